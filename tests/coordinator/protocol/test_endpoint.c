/* Which addresses are taken, and what is said of others. */
#include "coordinator/protocol/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGE_MAX = 1 << 20 };

static void test_addresses_are_checked(void **state)
{
    (void)state;
    pt_key_pair server_keys, worker_keys;
    assert_int_equal(pt_key_pair_new(&server_keys).code, PT_OK);
    assert_int_equal(pt_key_pair_new(&worker_keys).code, PT_OK);
    static const char *const open[] = {"tcp://0.0.0.0:*",   "tcp://*:*",    "tcp://[::]:*",
                                       "tcp://192.0.2.1:5", "tcp://eth0:*", "tcp://127.0.0.x:5",
                                       "ipc://@name"};
    pt_hub *hub = NULL;
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        const pt_hub_options options = {.endpoint = open[i], .message_max = MESSAGE_MAX};
        pt_status status = pt_hub_open_zmq(&options, &hub);
        assert_int_equal(status.code, PT_E_USAGE);
        assert_non_null(strstr(status.message, "--insecure"));
    }
    static const char *const bad[] = {"",
                                      "tcp://",
                                      "tcp://127.0.0.1",
                                      "tcp://127.0.0.1:",
                                      "ipc://",
                                      "udp://127.0.0.1:5",
                                      "inproc://x",
                                      "127.0.0.1:5",
                                      "tcp://127.0.0.1:65536",
                                      "tcp://127.0.0.1:5x",
                                      "tcp://127.0.0.1:-1",
                                      "tcp://127.0.0.1: 5"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const pt_hub_options options = {.endpoint = bad[i], .insecure = true, .message_max = MESSAGE_MAX};
        assert_int_equal(pt_hub_open_zmq(&options, &hub).code, PT_E_USAGE);
        const pt_end_options end_options = {.endpoint = bad[i], .message_max = MESSAGE_MAX};
        pt_end *end = NULL;
        assert_int_equal(pt_end_open_zmq(&end_options, &end).code, PT_E_USAGE);
    }
    pt_hub_options options = {
        .endpoint = "tcp://127.0.0.1:*", .keys = &server_keys, .message_max = MESSAGE_MAX};
    pt_status status = pt_hub_open_zmq(&options, &hub);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_non_null(strstr(status.message, "no key is allowed"));
    pt_end *end = NULL;
    const pt_end_options half = {
        .endpoint = "tcp://127.0.0.1:5", .keys = &worker_keys, .message_max = MESSAGE_MAX};
    assert_int_equal(pt_end_open_zmq(&half, &end).code, PT_E_USAGE);
    assert_null(hub);
    assert_null(end);
}

static void test_what_cannot_be_listened_at_says_what_helps(void **state)
{
    (void)state;
    static const struct {
        const char *endpoint, *remedy;
    } bad[] = {
        {"tcp://192.0.2.1:5555", "no such address"},
        {"tcp://no-such-interface:5555", "that name"},
        {"ipc:///nowhere/at/all", "create it first"},
        {"ipc:///tmp/012345678901234567890123456789012345678901234567890123456789"
         "01234567890123456789012345678901234567890123456789",
         "a shorter one"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const pt_hub_options options = {
            .endpoint = bad[i].endpoint, .insecure = true, .message_max = MESSAGE_MAX};
        pt_hub *hub = NULL;
        pt_status status = pt_hub_open_zmq(&options, &hub);
        assert_int_equal(status.code, PT_E_USAGE);
        assert_non_null(strstr(status.message, bad[i].endpoint));
        assert_non_null(strstr(status.message, bad[i].remedy));
        assert_null(hub);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_are_checked),
        cmocka_unit_test(test_what_cannot_be_listened_at_says_what_helps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
