/* The coordinator among threads: workers on links in the process, somebody who looks, somebody who stops it.
 */
#include "coordinator/control/control.h"

#include "job.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { WORKERS = 4, REPEAT_MS = 200 };

static char folder[] = "/tmp/pantile-control-threads-XXXXXX";

typedef struct worker {
    pthread_t thread;
    pt_end *end;
    int number;
    bool blind; /* wants pixels */
    bool opened, welcome;
    uint64_t job;
    uint32_t epoch;
    uint8_t hash[32];
    atomic_int *computed;
    atomic_bool *over; /* the coordinator has gone: who came too late hears nothing any more */
    atomic_int refused;
} worker;

static void say(worker *w, pt_message *m)
{
    m->job = w->job;
    m->epoch = w->epoch;
    assert_int_equal(pt_end_send(w->end, m).code, PT_OK);
}

static void hello(worker *w)
{
    pt_message m = {.type = PT_MSG_HELLO};
    pt_hello *h = &m.as.hello;
    memset(h->instance, w->number + 1, sizeof h->instance);
    snprintf(h->name, sizeof h->name, "thread %d", w->number);
    snprintf(h->program, sizeof h->program, "%s", job_spec()->program);
    h->threads = 1;
    h->wants_pixels = w->blind;
    h->opened = h->has_engine_sha256 = w->opened;
    if (w->opened) {
        memcpy(h->engine_sha256, job_spec()->engine.sha256, 32);
        memcpy(h->job_hash, w->hash, 32);
    }
    say(w, &m);
}

static void compute(worker *w, const pt_assignment *a)
{
    pt_message started = {.type = PT_MSG_STARTED, .as.tile = {a->tile, a->attempt, true}};
    pt_message result = {.type = PT_MSG_RESULT};
    assert_true(a->has_pixels == w->blind);
    say(w, &started);
    result.as.result.result = job_result(a->tile, &result.as.result.payload, &result.as.result.size);
    result.as.result.result.attempt = a->attempt;
    say(w, &result);
    pt_message_fini(&result);
    atomic_fetch_add(w->computed, 1);
}

/* False at the end. */
static bool hear(worker *w, const pt_message *m)
{
    pt_message reply = {.type = PT_MSG_READY, .as.credit = 3};
    pt_job_spec spec = {0};
    w->job = m->job;
    w->epoch = m->epoch;
    switch (m->type) {
    case PT_MSG_JOB:
        assert_int_equal(pt_job_spec_decode(m->as.job.spec, m->as.job.size, &spec).code, PT_OK);
        assert_int_equal(pt_job_spec_hash(&spec, w->hash).code, PT_OK);
        pt_job_spec_fini(&spec);
        w->opened = true;
        hello(w);
        return true;
    case PT_MSG_WELCOME:
        w->welcome = true;
        say(w, &reply);
        return true;
    case PT_MSG_ASSIGN:
        compute(w, &m->as.assign);
        return true;
    case PT_MSG_REFUSED:
        atomic_store(&w->refused, 1);
        return false;
    case PT_MSG_BYE:
        reply = (pt_message){.type = PT_MSG_BYE};
        say(w, &reply);
        return false;
    default:
        return true;
    }
}

static void *work(void *user)
{
    worker *w = user;
    hello(w);
    for (bool going = true; going && !atomic_load(w->over);) {
        pt_message m = {0};
        bool got = false;
        assert_int_equal(pt_end_receive(w->end, REPEAT_MS, &m, &got).code, PT_OK);
        if (got) {
            going = hear(w, &m);
        } else if (!w->welcome) {
            hello(w);
        } else {
            pt_message beat = {.type = PT_MSG_HEARTBEAT, .as.heartbeat = {.credit = 3}};
            say(w, &beat);
        }
        pt_message_fini(&m);
    }
    return NULL;
}

typedef struct crowd {
    pt_hub *hub;
    pt_control *control;
    worker workers[WORKERS];
    atomic_int computed;
    pthread_t looker;
    atomic_bool over;
    int drain_at; /* tiles; 0: never */
} crowd;

/* Looks, and stops the job when it has come so far. */
static void *look(void *user)
{
    crowd *c = user;
    pt_control_snapshot *shown = malloc(sizeof *shown);
    bool asked = false;
    while (!atomic_load(&c->over)) {
        pt_control_look(c->control, shown);
        if (c->drain_at && !asked && atomic_load(&c->computed) >= c->drain_at) {
            pt_control_drain(c->control, false);
            asked = true;
        }
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    free(shown);
    return NULL;
}

static pt_status run(job *j, const pt_control_options *options, int blind, int drain_at,
                     pt_control_snapshot *shown)
{
    crowd *c = calloc(1, sizeof *c);
    c->drain_at = drain_at;
    assert_string_equal(pt_hub_open_local(&c->hub).message, "");
    assert_string_equal(pt_control_new(c->hub, j->ledger, j->feed, options, &c->control).message, "");
    for (int i = 0; i < WORKERS; i++) {
        worker *w = &c->workers[i];
        w->number = i;
        w->blind = i < blind;
        w->computed = &c->computed;
        w->over = &c->over;
        assert_string_equal(pt_end_open_local(c->hub, &w->end).message, "");
        assert_int_equal(pthread_create(&w->thread, NULL, work, w), 0);
    }
    assert_int_equal(pthread_create(&c->looker, NULL, look, c), 0);
    pt_status status = pt_control_run(c->control);
    atomic_store(&c->over, true);
    pthread_join(c->looker, NULL);
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(c->workers[i].thread, NULL);
        pt_end_close(&c->workers[i].end);
        assert_int_equal(atomic_load(&c->workers[i].refused), 0);
    }
    pt_control_look(c->control, shown);
    pt_control_free(&c->control);
    pt_hub_close(&c->hub);
    free(c);
    return status;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    job_remove(folder);
    return 0;
}

static void test_stop_and_go_on(void **state)
{
    (void)state;
    pt_control_snapshot *shown = malloc(sizeof *shown);
    pt_control_options options = pt_control_defaults();
    job j;
    /* A queue so short that the stitching holds up the rest. */
    job_open_fed(&j, folder, false, 4000);
    pt_status status = run(&j, &options, 0, (int)job_tiles() / 2, shown);
    assert_true(status.code == PT_E_STOPPED || status.code == PT_OK);
    int64_t settled = job_settled(&j);
    job_close(&j);
    job_open_fed(&j, folder, true, 4000);
    status = run(&j, &options, 0, 0, shown);
    assert_string_equal(status.message, "");
    assert_int_equal(shown->resumed, settled);
    job_check(&j, NULL);
    job_close(&j);
    job_remove(folder);
    free(shown);
}

/* Windows for those who cannot read: every third has no valid pixel, the fifth reads at the second try. */
typedef struct source {
    atomic_int reads;
} source;

static pt_status read_window(void *user, int64_t tile, pt_assignment *assignment)
{
    source *s = user;
    atomic_fetch_add(&s->reads, 1);
    if (tile == 5 && assignment->attempt == 1) {
        return pt_error(PT_E_READ, "block 5 is broken");
    }
    if (tile % 3 == 0) {
        assignment->area_state = 1;
        return pt_ok();
    }
    size_t group;
    pt_grid grid;
    int64_t index;
    PT_TRY(pt_job_spec_locate(job_spec(), tile, &group, &grid, &index));
    pt_rect window = pt_grid_window(&grid, index);
    assignment->pixel_bytes = (size_t)(window.w * window.h) * 4;
    assignment->pixels = pt_calloc(assignment->pixel_bytes, 1);
    return assignment->pixels ? pt_ok() : PT_NOMEM("a test's window");
}

static void test_pixels_are_sent(void **state)
{
    (void)state;
    pt_control_snapshot *shown = malloc(sizeof *shown);
    pt_control_options options = pt_control_defaults();
    source s = {0};
    options.pixels = read_window;
    options.pixels_user = &s;
    options.ship_bytes = 1; /* one window at a time */
    job j;
    job_open(&j, folder, false);
    pt_status status = run(&j, &options, WORKERS, 0, shown);
    assert_string_equal(status.message, "");
    assert_in_range(atomic_load(&s.reads), job_tiles() + 1, 4 * job_tiles());
    assert_int_equal(shown->dispatch.retries, 1);
    job_check(&j, NULL);
    job_close(&j);
    job_remove(folder);
    free(shown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stop_and_go_on),
        cmocka_unit_test(test_pixels_are_sent),
    };
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
