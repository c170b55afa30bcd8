#include "coordinator/control/roster.h"

#include <string.h>

enum { FIRST_BUCKETS = 64 };

/* An instance is random, so any eight of its bytes are as good as a hash, and who chooses them badly on
 * purpose slows down nothing but the search for itself. */
static uint64_t instance_key(const uint8_t *instance)
{
    uint64_t key;
    memcpy(&key, instance, sizeof key);
    return key;
}

static uint64_t key_of(const pt_member *m, int index)
{
    switch (index) {
    case PT_BY_PEER:
        return m->peer;
    case PT_BY_WORKER:
        return m->worker;
    default:
        return instance_key(m->instance);
    }
}

static pt_member **bucket(const pt_roster *r, int index, uint64_t key)
{
    uint64_t mixed = key * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 over the golden ratio: spreads runs */
    return &r->buckets[index][(size_t)(mixed >> 32) & (r->bucket_count - 1)];
}

static void link_in(pt_roster *r, pt_member *m, int index)
{
    pt_member **head = bucket(r, index, key_of(m, index));
    m->next[index] = *head;
    *head = m;
}

static void unlink_from(pt_roster *r, pt_member *m, int index)
{
    pt_member **at = bucket(r, index, key_of(m, index));
    while (*at != m) {
        at = &(*at)->next[index];
    }
    *at = m->next[index];
}

void pt_roster_fini(pt_roster *r)
{
    for (size_t i = 0; i < r->count; i++) {
        pt_free(r->members[i]);
    }
    for (int index = 0; index < PT_ROSTER_INDEXES; index++) {
        pt_free(r->buckets[index]);
    }
    pt_free(r->members);
    memset(r, 0, sizeof *r);
}

static pt_status grow_buckets(pt_roster *r)
{
    size_t wanted = r->bucket_count ? 2 * r->bucket_count : FIRST_BUCKETS;
    pt_member **fresh[PT_ROSTER_INDEXES] = {NULL};
    for (int index = 0; index < PT_ROSTER_INDEXES; index++) {
        fresh[index] = pt_calloc(wanted, sizeof(pt_member *));
        if (!fresh[index]) {
            while (index-- > 0) {
                pt_free(fresh[index]);
            }
            return PT_NOMEM("the list of workers");
        }
    }
    r->bucket_count = wanted;
    for (int index = 0; index < PT_ROSTER_INDEXES; index++) {
        pt_free(r->buckets[index]);
        r->buckets[index] = fresh[index];
        for (size_t i = 0; i < r->count; i++) {
            link_in(r, r->members[i], index);
        }
    }
    return pt_ok();
}

pt_status pt_roster_add(pt_roster *r, pt_peer peer, pt_worker worker, const uint8_t *instance,
                        pt_member **out)
{
    if (r->count >= r->bucket_count) {
        PT_TRY(grow_buckets(r));
    }
    PT_TRY(pt_grow(&r->members, &r->capacity, r->count + 1, sizeof(pt_member *)));
    pt_member *m = pt_calloc(1, sizeof *m);
    if (!m) {
        return PT_NOMEM("a worker's entry");
    }
    m->peer = peer;
    m->worker = worker;
    memcpy(m->instance, instance, sizeof m->instance);
    m->place = r->count;
    r->members[r->count++] = m;
    for (int index = 0; index < PT_ROSTER_INDEXES; index++) {
        link_in(r, m, index);
    }
    *out = m;
    return pt_ok();
}

void pt_roster_remove(pt_roster *r, pt_member **member)
{
    pt_member *m = *member;
    for (int index = 0; index < PT_ROSTER_INDEXES; index++) {
        unlink_from(r, m, index);
    }
    pt_member *last = r->members[--r->count];
    r->members[m->place] = last;
    last->place = m->place;
    pt_free(m);
    *member = NULL;
}

void pt_roster_rebind(pt_roster *r, pt_member *m, pt_peer peer)
{
    unlink_from(r, m, PT_BY_PEER);
    m->peer = peer;
    link_in(r, m, PT_BY_PEER);
}

pt_member *pt_roster_peer(const pt_roster *r, pt_peer peer)
{
    pt_member *m = r->bucket_count ? *bucket(r, PT_BY_PEER, peer) : NULL;
    while (m && m->peer != peer) {
        m = m->next[PT_BY_PEER];
    }
    return m;
}

pt_member *pt_roster_worker(const pt_roster *r, pt_worker worker)
{
    pt_member *m = r->bucket_count ? *bucket(r, PT_BY_WORKER, worker) : NULL;
    while (m && m->worker != worker) {
        m = m->next[PT_BY_WORKER];
    }
    return m;
}

pt_member *pt_roster_instance(const pt_roster *r, const uint8_t *instance)
{
    pt_member *m = r->bucket_count ? *bucket(r, PT_BY_INSTANCE, instance_key(instance)) : NULL;
    while (m && memcmp(m->instance, instance, sizeof m->instance) != 0) {
        m = m->next[PT_BY_INSTANCE];
    }
    return m;
}

pt_member *pt_roster_slot(const pt_roster *r, uint64_t slot, const uint8_t *instance)
{
    for (size_t i = 0; slot != 0 && i < r->count; i++) {
        pt_member *m = r->members[i];
        if (m->slot == slot && memcmp(m->instance, instance, sizeof m->instance) != 0) {
            return m;
        }
    }
    return NULL;
}

static bool is_native(const char *backend)
{
    static const char native[] = "native";
    return strncmp(backend, native, sizeof native - 1) == 0;
}

const pt_member *pt_roster_differs(const pt_roster *r, const pt_member *member)
{
    for (size_t i = 0; i < r->count; i++) {
        const pt_member *m = r->members[i];
        bool native = is_native(m->backend) && is_native(member->backend);
        if (!native && strcmp(m->backend, member->backend) != 0) {
            return m;
        }
    }
    return NULL;
}
