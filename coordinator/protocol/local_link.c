/* The in-process link: two bounded rings under one mutex. Tiles take seconds, so one lock is never contended.
 */
#include "coordinator/protocol/link.h"

#include <pthread.h>
#include <string.h>

typedef struct local_link {
    pt_link base;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* anything below changed */
    size_t credit;
    pt_assignment *assignments; /* rings of `credit` items */
    size_t first_assignment, assignment_count;
    pt_result *results;
    size_t first_result, result_count;
    bool drained_soon; /* no_more was called */
    bool closed;
} local_link;

static pt_status stopped(void)
{
    return pt_error(PT_E_STOPPED, "the link between coordinator and worker is closed");
}

static pt_status local_assign(pt_link *link, const pt_assignment *assignment)
{
    local_link *l = (local_link *)link;
    pthread_mutex_lock(&l->lock);
    while (!l->closed && !l->drained_soon && l->assignment_count == l->credit) {
        pthread_cond_wait(&l->changed, &l->lock);
    }
    bool refused = l->closed || l->drained_soon;
    if (!refused) {
        l->assignments[(l->first_assignment + l->assignment_count++) % l->credit] = *assignment;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return refused ? stopped() : pt_ok();
}

static pt_status local_take(pt_link *link, pt_result *out)
{
    local_link *l = (local_link *)link;
    pthread_mutex_lock(&l->lock);
    while (!l->closed && l->result_count == 0) {
        pthread_cond_wait(&l->changed, &l->lock);
    }
    bool closed = l->closed;
    if (!closed) {
        *out = l->results[l->first_result];
        l->first_result = (l->first_result + 1) % l->credit;
        l->result_count--;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return closed ? stopped() : pt_ok();
}

static pt_status local_next(pt_link *link, pt_assignment *out)
{
    local_link *l = (local_link *)link;
    pthread_mutex_lock(&l->lock);
    while (!l->closed && !l->drained_soon && l->assignment_count == 0) {
        pthread_cond_wait(&l->changed, &l->lock);
    }
    bool none = l->closed || l->assignment_count == 0;
    if (!none) {
        *out = l->assignments[l->first_assignment];
        l->first_assignment = (l->first_assignment + 1) % l->credit;
        l->assignment_count--;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return none ? stopped() : pt_ok();
}

static pt_status local_reply(pt_link *link, pt_result *result)
{
    local_link *l = (local_link *)link;
    pthread_mutex_lock(&l->lock);
    while (!l->closed && l->result_count == l->credit) {
        pthread_cond_wait(&l->changed, &l->lock);
    }
    bool closed = l->closed;
    if (!closed) {
        l->results[(l->first_result + l->result_count++) % l->credit] = *result;
        memset(result, 0, sizeof *result);
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return closed ? stopped() : pt_ok();
}

static void local_no_more(pt_link *link)
{
    local_link *l = (local_link *)link;
    pthread_mutex_lock(&l->lock);
    l->drained_soon = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static void local_close(pt_link *link)
{
    local_link *l = (local_link *)link;
    pthread_mutex_lock(&l->lock);
    l->closed = true;
    l->assignment_count = 0;
    while (l->result_count > 0) {
        pt_result_fini(&l->results[l->first_result]);
        l->first_result = (l->first_result + 1) % l->credit;
        l->result_count--;
    }
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static void local_free(pt_link *link)
{
    local_link *l = (local_link *)link;
    local_close(link);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    pt_free(l->assignments);
    pt_free(l->results);
    pt_free(l);
}

static const pt_link_vtable local_vtable = {.assign = local_assign,
                                            .take = local_take,
                                            .next = local_next,
                                            .reply = local_reply,
                                            .no_more = local_no_more,
                                            .close = local_close,
                                            .free = local_free};

pt_status pt_link_new_local(size_t credit, pt_link **out)
{
    if (credit == 0) {
        return pt_error(PT_E_USAGE, "a link needs a credit of at least 1");
    }
    local_link *l = pt_calloc(1, sizeof *l);
    pt_assignment *assignments = pt_calloc(credit, sizeof *assignments);
    pt_result *results = pt_calloc(credit, sizeof *results);
    if (!l || !assignments || !results) {
        pt_free(l);
        pt_free(assignments);
        pt_free(results);
        return PT_NOMEM("the link to the worker");
    }
    l->base.vtable = &local_vtable;
    l->credit = credit;
    l->assignments = assignments;
    l->results = results;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    *out = &l->base;
    return pt_ok();
}
