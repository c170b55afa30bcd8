#include "coordinator/assemble/feed.h"

#include <pthread.h>
#include <string.h>

typedef struct item {
    struct item *next;
    pt_result result; /* the tile is the job's */
    uint8_t *payload;
    size_t size;
} item;

struct pt_feed {
    const pt_job_spec *spec;
    pt_assembler **assemblers; /* owned array */
    size_t limit;
    pthread_t thread;
    bool running; /* the thread was started and not joined: of the owner's thread alone */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    item *first, **last;
    size_t bytes;
    bool full, closing, dropping;
    pt_status status;
    void (*notify)(void *user);
    void *user;
};

static size_t weight(const item *it)
{
    return sizeof *it + it->size;
}

static void free_item(item *it)
{
    pt_free(it->payload);
    pt_free(it);
}

static pt_status stitch(pt_feed *feed, const item *it)
{
    pt_grid grid;
    size_t group;
    pt_result result = it->result;
    memset(&result.instances, 0, sizeof result.instances);
    PT_TRY(pt_job_spec_locate(feed->spec, it->result.tile, &group, &grid, &result.tile));
    if (it->payload) {
        pt_rect window = pt_grid_window(&grid, result.tile);
        pt_status status = pt_instances_decode(it->payload, it->size, window, &result.instances);
        if (status.code != PT_OK) {
            return pt_context(status, "tile %lld", (long long)it->result.tile);
        }
    }
    pt_status status = pt_assembler_add(feed->assemblers[group], &result);
    pt_instance_list_fini(&result.instances);
    return status;
}

static void tell(pt_feed *feed)
{
    if (feed->notify) {
        feed->notify(feed->user);
    }
}

/* An item is through, well or not; under the lock. */
static void account(pt_feed *feed, size_t bytes, const pt_status *status)
{
    feed->bytes -= bytes;
    if (status->code != PT_OK && feed->status.code == PT_OK) {
        feed->status = *status;
        tell(feed);
    }
    if (feed->full && feed->bytes <= feed->limit / 2) {
        feed->full = false;
        tell(feed);
    }
}

static item *take(pt_feed *feed)
{
    item *it = feed->first;
    if (it) {
        feed->first = it->next;
        if (!feed->first) {
            feed->last = &feed->first;
        }
    }
    return it;
}

static void *work(void *user)
{
    pt_feed *feed = user;
    pthread_mutex_lock(&feed->lock);
    for (;;) {
        item *it = take(feed);
        if (!it) {
            if (feed->closing) {
                break;
            }
            pthread_cond_wait(&feed->changed, &feed->lock);
            continue;
        }
        bool drop = feed->dropping || feed->status.code != PT_OK;
        pthread_mutex_unlock(&feed->lock);
        pt_status status = drop ? pt_ok() : stitch(feed, it);
        size_t bytes = weight(it);
        free_item(it);
        pthread_mutex_lock(&feed->lock);
        account(feed, bytes, &status);
    }
    pthread_mutex_unlock(&feed->lock);
    return NULL;
}

pt_status pt_feed_new(const pt_job_spec *spec, pt_assembler *const *assemblers, size_t limit, pt_feed **out)
{
    if (limit == 0) {
        return pt_error(PT_E_USAGE, "the queue of results needs room for at least one byte");
    }
    pt_feed *feed = pt_calloc(1, sizeof *feed);
    if (!feed) {
        return PT_NOMEM("the queue of results");
    }
    feed->spec = spec;
    feed->limit = limit;
    feed->last = &feed->first;
    pthread_mutex_init(&feed->lock, NULL);
    pthread_cond_init(&feed->changed, NULL);
    pt_status status = pt_ok();
    feed->assemblers = pt_alloc(spec->group_count, sizeof(pt_assembler *));
    if (!feed->assemblers) {
        status = PT_NOMEM("the queue of results");
        goto out;
    }
    memcpy(feed->assemblers, assemblers, spec->group_count * sizeof(pt_assembler *));
    if (pthread_create(&feed->thread, NULL, work, feed) != 0) {
        status = pt_error(PT_E_NOMEM, "the thread that stitches could not be started");
        goto out;
    }
    feed->running = true;
    *out = feed;
    feed = NULL;
out:
    pt_feed_free(&feed);
    return status;
}

void pt_feed_notify(pt_feed *feed, void (*notify)(void *user), void *user)
{
    pthread_mutex_lock(&feed->lock);
    feed->notify = notify;
    feed->user = user;
    pthread_mutex_unlock(&feed->lock);
}

static void append(pt_feed *feed, item *it)
{
    *feed->last = it;
    feed->last = &it->next;
    feed->bytes += weight(it);
    feed->full = feed->full || feed->bytes >= feed->limit;
    pthread_cond_signal(&feed->changed);
}

pt_status pt_feed_put(pt_feed *feed, const pt_result *result, uint8_t *payload, size_t size)
{
    item *it = pt_alloc(1, sizeof *it);
    if (!it) {
        pt_free(payload);
        return PT_NOMEM("a result that waits to be stitched");
    }
    *it = (item){.result = *result, .payload = payload, .size = size};
    pthread_mutex_lock(&feed->lock);
    pt_status status = feed->status;
    if (status.code == PT_OK) {
        append(feed, it);
        it = NULL;
    }
    pthread_mutex_unlock(&feed->lock);
    if (it) {
        free_item(it);
    }
    return status;
}

bool pt_feed_full(pt_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    bool full = feed->full;
    pthread_mutex_unlock(&feed->lock);
    return full;
}

size_t pt_feed_bytes(pt_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    size_t bytes = feed->bytes;
    pthread_mutex_unlock(&feed->lock);
    return bytes;
}

pt_status pt_feed_state(pt_feed *feed)
{
    pthread_mutex_lock(&feed->lock);
    pt_status status = feed->status;
    pthread_mutex_unlock(&feed->lock);
    return status;
}

static void stop(pt_feed *feed, bool drop)
{
    pthread_mutex_lock(&feed->lock);
    feed->closing = true;
    feed->dropping = drop;
    pthread_cond_signal(&feed->changed);
    pthread_mutex_unlock(&feed->lock);
    if (feed->running) {
        pthread_join(feed->thread, NULL);
        feed->running = false;
    }
}

pt_status pt_feed_finish(pt_feed *feed)
{
    stop(feed, false);
    return feed->status;
}

void pt_feed_free(pt_feed **feed)
{
    if (!feed || !*feed) {
        return;
    }
    pt_feed *f = *feed;
    stop(f, true);
    for (item *it = take(f); it; it = take(f)) { /* put after finish, or without a thread */
        free_item(it);
    }
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    pt_free(f->assemblers);
    pt_free(f);
    *feed = NULL;
}
