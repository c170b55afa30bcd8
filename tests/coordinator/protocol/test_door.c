/* What a process that was started early is told: the whole of it, nothing, or nonsense. */
#include "coordinator/protocol/door.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static pt_code tell_and_hear(const char *endpoint, const pt_key_pair *keys, const pt_public_key *server,
                             pt_door *door)
{
    int ends[2];
    assert_int_equal(pt_door_pair(ends).code, PT_OK);
    assert_int_equal(pt_door_tell(ends[0], endpoint, keys, server).code, PT_OK);
    close(ends[0]);
    return pt_door_hear(ends[1], NULL, NULL, door).code;
}

static void test_whole(void **state)
{
    (void)state;
    pt_key_pair keys, server;
    pt_door door;
    char longest[PT_DOOR_URL] = "";
    assert_int_equal(pt_key_pair_new(&keys).code, PT_OK);
    assert_int_equal(pt_key_pair_new(&server).code, PT_OK);
    assert_int_equal(tell_and_hear("tcp://127.0.0.1:5", &keys, &server.public_key, &door), PT_OK);
    assert_true(door.secure);
    assert_string_equal(door.endpoint, "tcp://127.0.0.1:5");
    assert_memory_equal(&door.keys, &keys, sizeof keys);
    assert_string_equal(door.server.text, server.public_key.text);
    memset(longest, 'x', sizeof longest - 1);
    assert_int_equal(tell_and_hear(longest, NULL, NULL, &door), PT_OK);
    assert_false(door.secure);
    assert_string_equal(door.endpoint, longest);
    assert_int_equal(tell_and_hear(longest, &keys, &server.public_key, &door), PT_OK);
    assert_string_equal(door.endpoint, longest);
}

static void test_too_long(void **state)
{
    (void)state;
    int ends[2];
    char text[PT_DOOR_URL + 1] = "";
    memset(text, 'x', PT_DOOR_URL);
    assert_int_equal(pt_door_pair(ends).code, PT_OK);
    assert_int_equal(pt_door_tell(ends[0], text, NULL, NULL).code, PT_E_USAGE);
    close(ends[0]);
    close(ends[1]);
}

static void test_nobody_listens(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pt_door_pair(ends).code, PT_OK);
    close(ends[1]);
    assert_int_equal(pt_door_tell(ends[0], "tcp://a:1", NULL, NULL).code, PT_E_STOPPED); /* and lives */
    close(ends[0]);
}

static pt_code hear(const char *text, size_t size)
{
    int ends[2];
    pt_door door = {.endpoint = "untouched"};
    assert_int_equal(pt_door_pair(ends).code, PT_OK);
    assert_int_equal(write(ends[0], text, size), (ssize_t)size);
    close(ends[0]);
    pt_code code = pt_door_hear(ends[1], NULL, NULL, &door).code;
    assert_string_equal(door.endpoint, "untouched");
    assert_int_equal(close(ends[1]), -1); /* it was closed */
    return code;
}

static void test_nonsense(void **state)
{
    (void)state;
    char endless[2 * PT_DOOR_URL];
    memset(endless, 'x', sizeof endless);
    assert_int_equal(hear("", 0), PT_E_STOPPED);
    assert_int_equal(hear("open tcp://a", 12), PT_E_STOPPED); /* cut off */
    assert_int_equal(hear("tcp://a:1\n", 10), PT_E_INPUT);
    assert_int_equal(hear("secure tcp://a:1\n", 17), PT_E_INPUT); /* without keys */
    assert_int_equal(hear("secure tcp://a:1\npublic x\n", 26), PT_E_INPUT);
    assert_int_equal(hear(endless, sizeof endless), PT_E_INPUT);
    memcpy(endless, "open ", 5);
    endless[5 + PT_DOOR_URL] = '\n'; /* one byte more than fits */
    assert_int_equal(hear(endless, 5 + PT_DOOR_URL + 1), PT_E_INPUT);
}

/* Tells as soon as the other has waited. */
static void tell_at_last(void *user)
{
    int *fd = user;
    if (*fd >= 0) {
        assert_int_equal(pt_door_tell(*fd, "ipc:///x", NULL, NULL).code, PT_OK);
        close(*fd);
        *fd = -1;
    }
}

static void test_waiting(void **state)
{
    (void)state;
    int ends[2];
    pt_door door;
    assert_int_equal(pt_door_pair(ends).code, PT_OK);
    assert_int_equal(pt_door_hear(ends[1], tell_at_last, &ends[0], &door).code, PT_OK);
    assert_string_equal(door.endpoint, "ipc:///x");
    assert_int_equal(ends[0], -1);
}

static void test_no_memory(void **state)
{
    (void)state;
    pt_key_pair keys, server;
    pt_door door;
    int ends[2];
    assert_int_equal(pt_key_pair_new(&keys).code, PT_OK);
    assert_int_equal(pt_key_pair_new(&server).code, PT_OK);
    assert_int_equal(pt_door_pair(ends).code, PT_OK);
    assert_int_equal(pt_door_tell(ends[0], "tcp://a:1", &keys, &server.public_key).code, PT_OK);
    close(ends[0]);
    pt_alloc_fail_after(0);
    pt_code code = pt_door_hear(ends[1], NULL, NULL, &door).code;
    pt_alloc_fail_after(-1);
    assert_int_equal(code, PT_E_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole),          cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_nobody_listens), cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_waiting),        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
