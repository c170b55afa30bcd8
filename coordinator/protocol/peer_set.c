#include "coordinator/protocol/peer_set.h"

enum { PLACES = 2 * PT_PEER_SET };

/* Where the peer is, or the free place where it belongs. Peers are counted up, so their low bits spread. */
static size_t place(const pt_peer *table, pt_peer peer)
{
    size_t at = peer % PLACES;
    while (table[at] != 0 && table[at] != peer) {
        at = (at + 1) % PLACES;
    }
    return at;
}

bool pt_peer_set_add(pt_peer_set *set, pt_peer peer)
{
    if (pt_peer_set_has(set, peer)) {
        return true;
    }
    if (!set->now || set->count == PT_PEER_SET) {
        pt_peer *table = pt_calloc(PLACES, sizeof *table);
        if (!table) {
            return false;
        }
        pt_free(set->before);
        set->before = set->now;
        set->now = table;
        set->count = 0;
    }
    set->now[place(set->now, peer)] = peer;
    set->count++;
    return true;
}

bool pt_peer_set_has(const pt_peer_set *set, pt_peer peer)
{
    return (set->now && set->now[place(set->now, peer)] == peer) ||
           (set->before && set->before[place(set->before, peer)] == peer);
}

void pt_peer_set_fini(pt_peer_set *set)
{
    pt_free(set->now);
    pt_free(set->before);
    *set = (pt_peer_set){0};
}
