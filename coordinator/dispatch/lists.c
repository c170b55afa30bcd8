#include "coordinator/dispatch/internal.h"

void pt_list_append(pt_dispatch *d, pt_list *list, pt_list_pair *pair, uint32_t item)
{
    *pair(d, item) = (pt_link_pair){.next = PT_NONE, .before = list->last};
    if (list->last == PT_NONE) {
        list->first = item;
    } else {
        pair(d, list->last)->next = item;
    }
    list->last = item;
}

void pt_list_remove(pt_dispatch *d, pt_list *list, pt_list_pair *pair, uint32_t item)
{
    pt_link_pair links = *pair(d, item);
    if (links.before == PT_NONE) {
        list->first = links.next;
    } else {
        pair(d, links.before)->next = links.next;
    }
    if (links.next == PT_NONE) {
        list->last = links.before;
    } else {
        pair(d, links.next)->before = links.before;
    }
}
