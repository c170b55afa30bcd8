#include "tests/coordinator/protocol/link_kinds.h"
#include "tests/coordinator/protocol/samples.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* What every kind of link must do. Waits are generous: nothing here measures time. */
enum { LONG = 20000 /* ms; never reached when all is well */, SHORT = 50 };

static const link_kind *kind;

static void ok(pt_status status)
{
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
}

static pt_hub *open_hub(void)
{
    pt_hub *hub = NULL;
    ok(kind->open_hub(&hub));
    return hub;
}

static pt_end *open_end(pt_hub *hub)
{
    pt_end *end = NULL;
    ok(kind->open_end(hub, &end));
    return end;
}

static pt_message tile_message(pt_message_type type, int64_t tile)
{
    return (pt_message){.type = type, .as.tile = {.tile = tile, .attempt = 1}};
}

static void end_says(pt_end *end, int64_t tile)
{
    pt_message m = tile_message(PT_MSG_STARTED, tile);
    ok(pt_end_send(end, &m));
}

static pt_message hub_hears(pt_hub *hub, pt_peer *peer)
{
    pt_message m = {0};
    bool got = false;
    ok(pt_hub_receive(hub, LONG, peer, &m, &got));
    assert_true(got);
    return m;
}

static pt_message end_hears(pt_end *end)
{
    pt_message m = {0};
    bool got = false;
    ok(pt_end_receive(end, LONG, &m, &got));
    assert_true(got);
    return m;
}

static bool hub_says(pt_hub *hub, pt_peer peer, int64_t tile)
{
    pt_message m = tile_message(PT_MSG_ACK, tile);
    bool reached = false;
    ok(pt_hub_send(hub, peer, &m, &reached));
    return reached;
}

/* The hub learns of an end by its first message. */
static pt_peer meet(pt_hub *hub, pt_end *end)
{
    pt_peer peer = 0;
    end_says(end, 0);
    pt_message m = hub_hears(hub, &peer);
    assert_int_equal(m.type, PT_MSG_STARTED);
    assert_true(peer != 0);
    return peer;
}

static void nothing_for_hub(pt_hub *hub, int timeout)
{
    pt_message m;
    pt_peer peer = 0;
    bool got = true;
    ok(pt_hub_receive(hub, timeout, &peer, &m, &got));
    assert_false(got);
}

static void nothing_for_end(pt_end *end, int timeout)
{
    pt_message m;
    bool got = true;
    ok(pt_end_receive(end, timeout, &m, &got));
    assert_false(got);
}

static void test_every_message_passes_both_ways(void **state)
{
    (void)state;
    pt_hub *hub = open_hub();
    pt_end *end = open_end(hub);
    pt_peer peer = meet(hub, end);
    for (int type = PT_MSG_HELLO; type < PT_MSG_TYPES; type++) {
        pt_message m = sample_message((pt_message_type)type, 1);
        uint8_t *sent, *back;
        size_t sent_size, back_size;
        ok(pt_message_encode(&m, &sent, &sent_size));
        ok(pt_end_send(end, &m));
        pt_peer from = 0;
        pt_message at_hub = hub_hears(hub, &from);
        assert_true(from == peer);
        bool reached = false;
        ok(pt_hub_send(hub, peer, &at_hub, &reached));
        assert_true(reached);
        pt_message again = end_hears(end);
        ok(pt_message_encode(&again, &back, &back_size));
        assert_int_equal(sent_size, back_size);
        assert_memory_equal(sent, back, sent_size);
        pt_message_fini(&m);
        pt_message_fini(&at_hub);
        pt_message_fini(&again);
        pt_free(sent);
        pt_free(back);
    }
    pt_link_stats stats = pt_hub_stats(hub);
    assert_int_equal(stats.sent, PT_MSG_TYPES - 1);
    assert_int_equal(stats.received, PT_MSG_TYPES);
    assert_true(stats.received_bytes > stats.sent_bytes && stats.sent_bytes > 32 * stats.sent);
    assert_int_equal(stats.refused + stats.expelled + stats.denied + stats.lost, 0);
    pt_end_close(&end);
    pt_hub_close(&hub);
    pt_hub_close(&hub);
    assert_null(end);
}

static void test_order_is_kept(void **state)
{
    (void)state;
    enum { ENDS = 3, EACH = 300 };
    pt_hub *hub = open_hub();
    pt_end *ends[ENDS];
    pt_peer peers[ENDS];
    int64_t next[ENDS];
    for (int e = 0; e < ENDS; e++) {
        ends[e] = open_end(hub);
        peers[e] = meet(hub, ends[e]);
        next[e] = 0;
    }
    assert_true(peers[0] != peers[1] && peers[1] != peers[2] && peers[0] != peers[2]);
    for (int n = 0; n < EACH; n++) {
        for (int e = 0; e < ENDS; e++) {
            end_says(ends[e], n);
        }
    }
    for (int n = 0; n < EACH * ENDS; n++) {
        pt_peer from = 0;
        pt_message m = hub_hears(hub, &from);
        int e = from == peers[0] ? 0 : from == peers[1] ? 1 : 2;
        assert_true(from == peers[e]);
        assert_true(m.as.tile.tile == next[e]++);
        assert_true(hub_says(hub, from, m.as.tile.tile));
    }
    for (int e = 0; e < ENDS; e++) {
        for (int64_t n = 0; n < EACH; n++) {
            assert_true(end_hears(ends[e]).as.tile.tile == n);
        }
        nothing_for_end(ends[e], 0);
        pt_end_close(&ends[e]);
    }
    nothing_for_hub(hub, 0);
    pt_hub_close(&hub);
}

static void test_large_messages_pass(void **state)
{
    (void)state;
    pt_hub *hub = open_hub();
    pt_end *end = open_end(hub);
    pt_peer peer = meet(hub, end);
    enum { LARGE = 8 << 20 };
    pt_message m = {.type = PT_MSG_ASSIGN,
                    .as.assign = {.tile = 1, .attempt = 1, .has_pixels = true, .pixel_bytes = LARGE}};
    m.as.assign.pixels = pt_calloc(LARGE, 1);
    for (size_t i = 0; i < LARGE / 4 * 3; i++) {
        m.as.assign.pixels[i] = (uint8_t)(i * 31 >> 3);
    }
    for (int n = 0; n < 3; n++) {
        bool reached = false;
        ok(pt_hub_send(hub, peer, &m, &reached));
        assert_true(reached);
        pt_message back = end_hears(end);
        assert_int_equal(back.as.assign.pixel_bytes, LARGE);
        assert_memory_equal(back.as.assign.pixels, m.as.assign.pixels, LARGE);
        pt_message_fini(&back);
    }
    pt_message_fini(&m);
    pt_end_close(&end);
    pt_hub_close(&hub);
}

static void test_bad_messages_are_not_sent(void **state)
{
    (void)state;
    pt_hub *hub = open_hub();
    pt_end *end = open_end(hub);
    pt_peer peer = meet(hub, end);
    pt_message m = tile_message(PT_MSG_ACK, -1);
    assert_int_equal(pt_hub_send(hub, peer, &m, NULL).code, PT_E_USAGE);
    assert_int_equal(pt_end_send(end, &m).code, PT_E_USAGE);
    pt_alloc_fail_after(0);
    m.as.tile.tile = 1;
    assert_int_equal(pt_hub_send(hub, peer, &m, NULL).code, PT_E_NOMEM);
    assert_int_equal(pt_end_send(end, &m).code, PT_E_NOMEM);
    pt_alloc_fail_after(-1);
    nothing_for_hub(hub, SHORT);
    nothing_for_end(end, SHORT);
    assert_true(hub_says(hub, peer, 5));
    assert_int_equal(end_hears(end).as.tile.tile, 5);
    pt_end_close(&end);
    pt_hub_close(&hub);
}

static void test_the_gone_are_not_reached(void **state)
{
    (void)state;
    pt_hub *hub = open_hub();
    pt_end *end = open_end(hub);
    pt_end *other = open_end(hub);
    pt_peer peer = meet(hub, end);
    pt_peer stays = meet(hub, other);
    end_says(end, 77);
    pt_end_close(&end);
    /* What was said before leaving still arrives. */
    pt_peer from = 0;
    assert_int_equal(hub_hears(hub, &from).as.tile.tile, 77);
    assert_true(from == peer);
    int64_t lost = 0;
    for (int n = 0; n < LONG / SHORT && lost == 0; n++) {
        lost += !hub_says(hub, peer, 1);
        nothing_for_hub(hub, SHORT);
    }
    assert_true(lost > 0);
    assert_int_equal(pt_hub_stats(hub).lost, lost);
    assert_false(hub_says(hub, peer + 1000000, 1)); /* nor those who never came */
    assert_false(hub_says(hub, 0, 1));
    assert_true(hub_says(hub, stays, 3));
    assert_int_equal(end_hears(other).as.tile.tile, 3);
    pt_end_close(&other);
    pt_hub_close(&hub);
}

static void test_the_expelled_are_not_heard(void **state)
{
    (void)state;
    pt_hub *hub = open_hub();
    pt_end *bad = open_end(hub);
    pt_end *good = open_end(hub);
    pt_peer expelled = meet(hub, bad);
    pt_peer stays = meet(hub, good);
    for (int n = 0; n < 10; n++) {
        end_says(bad, n);
    }
    pt_hub_expel(hub, expelled);
    pt_hub_expel(hub, expelled);
    pt_hub_expel(hub, 0);
    assert_int_equal(pt_hub_stats(hub).expelled, 1);
    assert_false(hub_says(hub, expelled, 1));
    end_says(bad, 11);
    end_says(good, 42);
    pt_peer from = 0;
    assert_int_equal(hub_hears(hub, &from).as.tile.tile, 42);
    assert_true(from == stays);
    pt_end_close(&bad);
    pt_end_close(&good);
    pt_hub_close(&hub);
}

static void test_who_reconnects_is_new(void **state)
{
    (void)state;
    pt_hub *hub = open_hub();
    pt_end *end = open_end(hub);
    pt_peer before = meet(hub, end);
    pt_peer seen[20];
    for (int n = 0; n < 20; n++) {
        ok(pt_end_reconnect(end));
        end_says(end, n);
        assert_int_equal(hub_hears(hub, &seen[n]).as.tile.tile, n);
        assert_true(seen[n] != before);
        for (int m = 0; m < n; m++) {
            assert_true(seen[m] != seen[n]);
        }
        assert_true(hub_says(hub, seen[n], n));
        assert_int_equal(end_hears(end).as.tile.tile, n);
    }
    /* The one before is gone in the end, and what is sent to it never comes out at the new one. */
    bool reached = true;
    for (int n = 0; n < LONG / SHORT && reached; n++) {
        reached = hub_says(hub, before, 99);
        nothing_for_end(end, SHORT);
    }
    assert_false(reached);
    pt_end_close(&end);
    pt_hub_close(&hub);
}

static void test_expelled_peers_may_come_back_as_others(void **state)
{
    (void)state;
    pt_hub *hub = open_hub();
    pt_end *end = open_end(hub);
    pt_hub_expel(hub, meet(hub, end));
    ok(pt_end_reconnect(end));
    assert_true(hub_says(hub, meet(hub, end), 6));
    assert_int_equal(end_hears(end).as.tile.tile, 6);
    pt_end_close(&end);
    pt_hub_close(&hub);
}

static void test_waits_end(void **state)
{
    (void)state;
    pt_hub *hub = open_hub();
    pt_end *end = open_end(hub);
    nothing_for_hub(hub, 0);
    nothing_for_end(end, 0);
    nothing_for_hub(hub, 10);
    nothing_for_end(end, 10);
    /* A wake before the receive counts, and counts once. */
    pt_hub_wake(hub);
    pt_hub_wake(hub);
    nothing_for_hub(hub, -1);
    pt_end_wake(end);
    nothing_for_end(end, -1);
    nothing_for_hub(hub, 10);
    nothing_for_end(end, 10);
    /* It does not cost a message. */
    pt_peer peer = meet(hub, end);
    end_says(end, 8);
    pt_hub_wake(hub);
    pt_message m = {0};
    bool got = false;
    for (int n = 0; n < 2 && !got; n++) {
        ok(pt_hub_receive(hub, LONG, &peer, &m, &got));
    }
    assert_true(got && m.as.tile.tile == 8);
    pt_end_close(&end);
    pt_hub_close(&hub);
}

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void *wake_hub_soon(void *hub)
{
    sleep_ms(SHORT);
    pt_hub_wake(hub);
    return NULL;
}

static void *wake_end_soon(void *end)
{
    sleep_ms(SHORT);
    pt_end_wake(end);
    return NULL;
}

static void test_other_threads_wake(void **state)
{
    (void)state;
    pt_hub *hub = open_hub();
    pt_end *end = open_end(hub);
    for (int n = 0; n < 5; n++) {
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, wake_hub_soon, hub), 0);
        nothing_for_hub(hub, -1);
        pthread_join(thread, NULL);
        assert_int_equal(pthread_create(&thread, NULL, wake_end_soon, end), 0);
        nothing_for_end(end, -1);
        pthread_join(thread, NULL);
    }
    pt_end_close(&end);
    pt_hub_close(&hub);
}

static pt_hub *signalled;

static void on_signal(int signal)
{
    (void)signal;
    pt_hub_wake(signalled);
}

static void test_signals_wake(void **state)
{
    (void)state;
    signalled = open_hub();
    struct sigaction before, action = {.sa_handler = on_signal};
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    timer_t timer;
    assert_int_equal(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
    struct itimerspec soon = {.it_value = {0, SHORT * 1000000}};
    assert_int_equal(timer_settime(timer, 0, &soon, NULL), 0);
    nothing_for_hub(signalled, -1);
    timer_delete(timer);
    sigaction(SIGALRM, &before, NULL);
    pt_hub_close(&signalled);
}

/* An end in a thread: says numbers, and wants each of them back. */
enum { EACH_SAYS = 500, AT_ONCE = 50 };

static void *talk(void *argument)
{
    pt_end *end = argument;
    int64_t heard = 0;
    for (int64_t said = 0; heard < EACH_SAYS;) {
        pt_message m = tile_message(PT_MSG_STARTED, said);
        if (said < EACH_SAYS && said - heard < AT_ONCE) {
            if (pt_end_send(end, &m).code != PT_OK) {
                break;
            }
            said++;
            continue;
        }
        bool got = false;
        if (pt_end_receive(end, LONG, &m, &got).code != PT_OK || !got || m.as.tile.tile != heard) {
            break;
        }
        heard++;
    }
    return (void *)(intptr_t)heard;
}

static void test_threads_talk(void **state)
{
    (void)state;
    enum { ENDS = 8 };
    pt_hub *hub = open_hub();
    pt_end *ends[ENDS];
    pthread_t threads[ENDS];
    for (int e = 0; e < ENDS; e++) {
        ends[e] = open_end(hub);
        assert_int_equal(pthread_create(&threads[e], NULL, talk, ends[e]), 0);
    }
    for (int n = 0; n < ENDS * EACH_SAYS; n++) {
        pt_peer from = 0;
        pt_message m = hub_hears(hub, &from);
        assert_true(hub_says(hub, from, m.as.tile.tile));
    }
    for (int e = 0; e < ENDS; e++) {
        void *heard = NULL;
        pthread_join(threads[e], &heard);
        assert_int_equal((intptr_t)heard, EACH_SAYS);
        pt_end_close(&ends[e]);
    }
    pt_hub_close(&hub);
}

/* A worker that never listens must not stop the others, nor fill the memory; likewise a hub. */
static void test_floods_are_lost_not_kept(void **state)
{
    (void)state;
    enum { FLOOD = 30000 };
    pt_hub *hub = open_hub();
    pt_end *deaf = open_end(hub);
    pt_end *good = open_end(hub);
    pt_peer flooded = meet(hub, deaf);
    pt_peer stays = meet(hub, good);
    pt_message m = sample_message(PT_MSG_REFUSED, 2);
    int64_t reached_count = 0;
    for (int n = 0; n < FLOOD; n++) {
        bool reached = false;
        ok(pt_hub_send(hub, flooded, &m, &reached));
        reached_count += reached;
    }
    assert_true(reached_count > 0 && reached_count < FLOOD);
    assert_int_equal(pt_hub_stats(hub).lost, FLOOD - reached_count);
    assert_true(hub_says(hub, stays, 4));
    assert_int_equal(end_hears(good).as.tile.tile, 4);
    m = tile_message(PT_MSG_STARTED, 0);
    for (int64_t n = 0; n < FLOOD; n++) {
        m.as.tile.tile = n;
        ok(pt_end_send(good, &m));
    }
    /* In order, or not at all. */
    pt_peer from = 0;
    int64_t heard = 0;
    int64_t last = -1;
    for (bool got = true; got;) {
        ok(pt_hub_receive(hub, 10 * SHORT, &from, &m, &got));
        if (got) {
            assert_true(from == stays && m.as.tile.tile > last);
            last = m.as.tile.tile;
            heard++;
        }
    }
    assert_true(heard > 0);
    pt_end_close(&deaf);
    pt_end_close(&good);
    pt_hub_close(&hub);
}

static void test_ends_outlive_the_hub(void **state)
{
    (void)state;
    pt_hub *hub = open_hub();
    pt_end *end = open_end(hub);
    pt_peer peer = meet(hub, end);
    assert_true(hub_says(hub, peer, 9));
    pt_hub_close(&hub);
    assert_null(hub);
    assert_int_equal(end_hears(end).as.tile.tile, 9); /* what was queued is sent first */
    nothing_for_end(end, SHORT);
    end_says(end, 1);
    ok(pt_end_reconnect(end));
    end_says(end, 2);
    nothing_for_end(end, SHORT);
    pt_end_close(&end);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    pt_hub *hub = NULL;
    for (long n = 0; !hub; n++) {
        pt_alloc_fail_after(n);
        pt_status status = kind->open_hub(&hub);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, hub ? PT_OK : PT_E_NOMEM);
    }
    pt_end *end = NULL;
    for (long n = 0; !end; n++) {
        pt_alloc_fail_after(n);
        pt_status status = kind->open_end(hub, &end);
        pt_alloc_fail_after(-1);
        assert_int_equal(status.code, end ? PT_OK : PT_E_NOMEM);
    }
    assert_true(hub_says(hub, meet(hub, end), 1));
    pt_end_close(&end);
    pt_hub_close(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_message_passes_both_ways),
        cmocka_unit_test(test_order_is_kept),
        cmocka_unit_test(test_large_messages_pass),
        cmocka_unit_test(test_bad_messages_are_not_sent),
        cmocka_unit_test(test_the_gone_are_not_reached),
        cmocka_unit_test(test_the_expelled_are_not_heard),
        cmocka_unit_test(test_who_reconnects_is_new),
        cmocka_unit_test(test_expelled_peers_may_come_back_as_others),
        cmocka_unit_test(test_waits_end),
        cmocka_unit_test(test_other_threads_wake),
        cmocka_unit_test(test_signals_wake),
        cmocka_unit_test(test_threads_talk),
        cmocka_unit_test(test_floods_are_lost_not_kept),
        cmocka_unit_test(test_ends_outlive_the_hub),
        cmocka_unit_test(test_allocation_failures),
    };
    int failed = 0;
    for (int k = 0; k < link_kind_count; k++) {
        kind = &link_kinds[k];
        failed += cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
    }
    return failed;
}
