/* The calls every link answers, whatever carries them. */
#include "coordinator/protocol/link.h"

#include <string.h>

void pt_result_fini(pt_result *result)
{
    if (!result) {
        return;
    }
    pt_instance_list_fini(&result->instances);
    memset(result, 0, sizeof *result);
}

pt_status pt_link_assign(pt_link *link, const pt_assignment *assignment)
{
    return link->vtable->assign(link, assignment);
}

pt_status pt_link_take(pt_link *link, pt_result *out)
{
    return link->vtable->take(link, out);
}

pt_status pt_link_next(pt_link *link, pt_assignment *out)
{
    return link->vtable->next(link, out);
}

pt_status pt_link_reply(pt_link *link, pt_result *result)
{
    return link->vtable->reply(link, result);
}

void pt_link_no_more(pt_link *link)
{
    link->vtable->no_more(link);
}

void pt_link_close(pt_link *link)
{
    link->vtable->close(link);
}

void pt_link_free(pt_link **link)
{
    if (link && *link) {
        (*link)->vtable->free(*link);
        *link = NULL;
    }
}
