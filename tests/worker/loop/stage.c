#include "tests/worker/loop/stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { WAIT_MS = 30000 };

static void note_alive(void *user, uint64_t settled)
{
    stage *s = user;
    atomic_fetch_add(&s->alive, 1);
    atomic_store(&s->settled, settled);
}

void stage_open(stage *s, const pt_job_spec *spec)
{
    uint8_t hash[PT_SHA256_BYTES];
    memset(s, 0, sizeof *s);
    s->spec = spec;
    s->epoch = 3;
    assert_string_equal(pt_job_spec_hash(spec, hash).message, "");
    for (int i = 0; i < 8; i++) {
        s->job |= (uint64_t)hash[i] << (8 * i);
    }
    assert_int_equal(pt_hub_open_local(&s->hub).code, PT_OK);
    assert_int_equal(pt_end_open_local(s->hub, &s->end).code, PT_OK);
    s->options = pt_worker_defaults();
    s->options.access = fixture_access();
    s->options.name = "tester:1";
    s->options.drain = &s->drain;
    s->options.alive = note_alive;
    s->options.alive_user = s;
}

static void *work(void *user)
{
    stage *s = user;
    s->how = pt_worker_run(s->end, &s->options, &s->status);
    return NULL;
}

void stage_start(stage *s)
{
    assert_int_equal(pthread_create(&s->thread, NULL, work, s), 0);
}

void stage_expect_silence(stage *s)
{
    pt_message message;
    bool got = true;
    pthread_join(s->thread, NULL);
    assert_int_equal(pt_hub_receive(s->hub, 0, &s->peer, &message, &got).code, PT_OK);
    assert_false(got);
    pt_end_close(&s->end);
    pt_hub_close(&s->hub);
}

void stage_join(stage *s)
{
    pthread_join(s->thread, NULL);
    pt_end_close(&s->end);
    pt_hub_close(&s->hub);
}

void stage_say(stage *s, pt_message *message)
{
    message->job = s->job;
    message->epoch = s->epoch;
    bool reached = false;
    assert_string_equal(pt_hub_send(s->hub, s->peer, message, &reached).message, "");
}

void stage_say_type(stage *s, pt_message_type type)
{
    pt_message message = {.type = type};
    stage_say(s, &message);
}

void stage_say_tile(stage *s, pt_message_type type, int64_t tile, int attempt)
{
    pt_message message = {.type = type};
    if (type == PT_MSG_ASSIGN) {
        message.as.assign = (pt_assignment){.tile = tile, .attempt = attempt};
    } else {
        message.as.tile = (pt_held){tile, attempt, false};
    }
    stage_say(s, &message);
}

void stage_say_job(stage *s)
{
    pt_message message = {.type = PT_MSG_JOB};
    message.as.job.heartbeat_seconds = 0.2;
    assert_string_equal(pt_job_spec_encode(s->spec, &message.as.job.spec, &message.as.job.size).message, "");
    stage_say(s, &message);
    pt_message_fini(&message);
}

/* Any message; a heartbeat is noted and answered. */
static pt_message hear_any(stage *s)
{
    pt_message message = {.type = 0};
    bool got = false;
    assert_string_equal(pt_hub_receive(s->hub, WAIT_MS, &s->peer, &message, &got).message, "");
    if (!got) {
        fail_msg("the worker is silent");
    }
    if (message.type == PT_MSG_HEARTBEAT) {
        s->beat = message.as.heartbeat;
        s->beats++;
        if (!s->deaf) {
            stage_say_type(s, PT_MSG_HEARTBEAT);
        }
    }
    return message;
}

pt_message stage_hear(stage *s)
{
    pt_message message = hear_any(s);
    while (message.type == PT_MSG_HEARTBEAT) {
        message = hear_any(s);
    }
    return message;
}

pt_message stage_expect(stage *s, pt_message_type type)
{
    pt_message message = stage_hear(s);
    if (message.type != type) {
        fail_msg("expected %s, heard %s", pt_message_name(type), pt_message_name(message.type));
    }
    return message;
}

void stage_expect_beat(stage *s)
{
    pt_message message = hear_any(s);
    if (message.type != PT_MSG_HEARTBEAT) {
        fail_msg("expected a heartbeat, heard %s", pt_message_name(message.type));
    }
}

void stage_expect_started(stage *s, int64_t tile, int attempt)
{
    pt_message message = stage_expect(s, PT_MSG_STARTED);
    assert_int_equal(message.as.tile.tile, tile);
    assert_int_equal(message.as.tile.attempt, attempt);
    assert_true(message.job == s->job && message.epoch == s->epoch);
}

pt_tile_outcome stage_expect_tile(stage *s, int64_t tile, int attempt)
{
    stage_expect_started(s, tile, attempt);
    pt_message message = stage_hear(s);
    assert_true(message.type == PT_MSG_RESULT || message.type == PT_MSG_FAILED);
    assert_int_equal(message.as.result.result.tile, tile);
    assert_int_equal(message.as.result.result.attempt, attempt);
    pt_tile_outcome outcome = message.as.result.result.outcome;
    pt_message_fini(&message);
    return outcome;
}

int stage_welcome(stage *s)
{
    pt_message hello = stage_expect(s, PT_MSG_HELLO);
    assert_false(hello.as.hello.opened);
    assert_true(hello.job == 0 && hello.epoch == 0);
    assert_string_equal(hello.as.hello.name, "tester:1");
    stage_say_job(s);
    do { /* it may have repeated itself before the job came */
        hello = stage_expect(s, PT_MSG_HELLO);
    } while (!hello.as.hello.opened);
    assert_true(hello.as.hello.has_engine_sha256);
    assert_memory_equal(hello.as.hello.engine_sha256, s->spec->engine.sha256, PT_SHA256_BYTES);
    uint8_t hash[PT_SHA256_BYTES];
    assert_int_equal(pt_job_spec_hash(s->spec, hash).code, PT_OK);
    assert_memory_equal(hello.as.hello.job_hash, hash, sizeof hash);
    stage_say_type(s, PT_MSG_WELCOME);
    pt_message ready = stage_hear(s);
    while (ready.type == PT_MSG_HELLO) {
        ready = stage_hear(s);
    }
    assert_int_equal(ready.type, PT_MSG_READY);
    return ready.as.credit;
}

void stage_bye(stage *s)
{
    stage_say_type(s, PT_MSG_BYE);
    pt_message message = stage_hear(s);
    while (message.type != PT_MSG_BYE) { /* what was on its way */
        pt_message_fini(&message);
        message = stage_hear(s);
    }
    stage_join(s);
    assert_string_equal(s->status.message, "");
    assert_int_equal(s->how, PT_WORKER_BYE);
}

bool stage_lists(const stage *s, int64_t tile)
{
    for (size_t i = 0; i < s->beat.held_count; i++) {
        if (s->beat.held[i].tile == tile) {
            return true;
        }
    }
    return false;
}
