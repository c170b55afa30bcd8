#include "tiling/base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>

enum { LINE = 4096 };

/* The latest line, and how many there were. */
typedef struct heard {
    char line[LINE];
    pt_log_level level;
    int count;
} heard;

static void listen(void *user, pt_log_level level, const char *line)
{
    heard *h = user;
    assert_true(strlen(line) < sizeof h->line);
    snprintf(h->line, sizeof h->line, "%s", line);
    h->level = level;
    h->count++;
}

static void start(heard *h, pt_log_format format)
{
    *h = (heard){.count = 0};
    pt_log_setup(PT_LOG_INFO, format);
    pt_log_to(listen, h);
}

static void stop(void)
{
    pt_log_to(NULL, NULL);
    pt_log_setup(PT_LOG_INFO, PT_LOG_TEXT);
}

/* The line as JSON; it must be one object, one newline at its very end. */
static json_t *parsed(const heard *h)
{
    size_t length = strlen(h->line);
    assert_true(length > 0 && strchr(h->line, '\n') == h->line + length - 1);
    json_error_t error;
    json_t *json = json_loads(h->line, 0, &error);
    if (!json) {
        fail_msg("%s in %s", error.text, h->line);
    }
    assert_true(json_is_object(json));
    return json;
}

static const char *text_of(json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static void text_lines_have_pairs(void **state)
{
    (void)state;
    heard h;
    start(&h, PT_LOG_TEXT);
    PT_WARN("no CRS", PT_S("scene", "a.tif"), PT_S("name", "two words"), PT_S("none", ""), PT_I("tile", -7),
            PT_F("gsd", 0.25));
    assert_int_equal(h.level, PT_LOG_WARN);
    assert_string_equal(h.line + 12,
                        " warn  no CRS scene=a.tif name=\"two words\" none=\"\" tile=-7 gsd=0.25\n");
    assert_true(h.line[2] == ':' && h.line[5] == ':' && h.line[8] == '.');
    stop();
}

static void one_message_is_one_line(void **state)
{
    (void)state;
    heard h;
    start(&h, PT_LOG_TEXT);
    PT_ERROR("first\nsecond\xff", PT_S("path", "a\nb"), PT_S("tab", "\t"), PT_S("caf\xc3\xa9", "\xc3\xa9"));
    assert_string_equal(h.line + 12,
                        " error first second? path=\"a\\u000ab\" tab=\"\\u0009\" caf\xc3\xa9=\xc3\xa9\n");
    stop();
}

static void json_lines_are_objects(void **state)
{
    (void)state;
    heard h;
    start(&h, PT_LOG_JSON);
    PT_INFO("a \"quoted\" \\ line\n\x01 caf\xc3\xa9", PT_S("scene", "b\\c.tif"), PT_S("null", NULL),
            PT_I("n", INT64_MIN), PT_F("f", 1.5), PT_F("nan", NAN), PT_F("inf", -INFINITY));
    json_t *json = parsed(&h);
    assert_string_equal(text_of(json, "level"), "info");
    assert_string_equal(text_of(json, "msg"), "a \"quoted\" \\ line\n\x01 caf\xc3\xa9");
    assert_string_equal(text_of(json, "scene"), "b\\c.tif");
    assert_string_equal(text_of(json, "null"), "");
    assert_true(json_integer_value(json_object_get(json, "n")) == INT64_MIN);
    assert_true(json_real_value(json_object_get(json, "f")) == 1.5);
    assert_true(json_is_null(json_object_get(json, "nan")));
    assert_true(json_is_null(json_object_get(json, "inf")));
    const char *time = text_of(json, "t");
    assert_int_equal(strlen(time), strlen("2026-11-21T12:03:44.123Z"));
    assert_true(time[10] == 'T' && time[23] == 'Z');
    json_decref(json);
    stop();
}

static void levels_above_the_limit_are_silent(void **state)
{
    (void)state;
    heard h;
    start(&h, PT_LOG_TEXT);
    PT_DEBUG("not heard");
    assert_int_equal(h.count, 0);
    assert_false(pt_log_enabled(PT_LOG_DEBUG));
    pt_log_setup(PT_LOG_ERROR, PT_LOG_TEXT);
    PT_INFO("not heard");
    PT_WARN("not heard");
    assert_int_equal(h.count, 0);
    PT_ERROR("heard");
    assert_int_equal(h.count, 1);
    pt_log_setup(PT_LOG_DEBUG, PT_LOG_TEXT);
    PT_DEBUG("heard");
    assert_int_equal(h.count, 2);
    stop();
}

/* Whatever a line is cut in - an escape, a character of several bytes, a pair - it stays valid. */
static void long_json_lines_stay_valid(void **state)
{
    (void)state;
    static const char *const units[] = {
        "x", "\"", "\n", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xff", "\xe2\x82"};
    heard h;
    start(&h, PT_LOG_JSON);
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        char text[LINE] = "";
        for (size_t length = 0; length + strlen(units[u]) < sizeof text; length += strlen(units[u])) {
            if (length > 200 && length < 1700 && length % 50 > 4) { /* where nothing is cut, some will do */
                strcat(text + length, units[u]);
                continue;
            }
            PT_INFO(text, PT_S("scene", "a.tif"));
            json_decref(parsed(&h));
            PT_INFO("message", PT_S("before", "b"), PT_S("long", text), PT_I("after", 1));
            json_t *json = parsed(&h);
            assert_string_equal(text_of(json, "msg"), "message");
            assert_string_equal(text_of(json, "before"), "b");
            json_decref(json);
            PT_INFO("message", PT_S(text, "value"));
            json_decref(parsed(&h));
            strcat(text + length, units[u]);
        }
    }
    stop();
}

static void long_text_lines_end_in_a_newline(void **state)
{
    (void)state;
    heard h;
    char text[LINE];
    start(&h, PT_LOG_TEXT);
    for (size_t length = 1900; length < 2200; length++) {
        memset(text, 'x', length);
        text[length] = '\0';
        PT_INFO(text, PT_I("n", 12345));
        size_t used = strlen(h.line);
        assert_true(strchr(h.line, '\n') == h.line + used - 1);
        bool pair = strcmp(h.line + used - 9, " n=12345\n") == 0;
        assert_true(pair || h.line[used - 2] == 'x');
    }
    stop();
}

static void cut_messages_keep_their_beginning(void **state)
{
    (void)state;
    heard h;
    char text[LINE];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    start(&h, PT_LOG_JSON);
    PT_INFO(text);
    json_t *json = parsed(&h);
    const char *message = text_of(json, "msg");
    assert_true(strlen(message) > 1900);
    assert_memory_equal(message, text, strlen(message));
    json_decref(json);
    stop();
}

static void *log_many(void *user)
{
    for (int i = 0; i < 500; i++) {
        PT_INFO("from a thread", PT_S("who", user), PT_I("i", i));
    }
    return NULL;
}

static void listen_json(void *user, pt_log_level level, const char *line)
{
    (void)level;
    json_t *json = json_loads(line, 0, NULL);
    *(int *)user += json != NULL;
    json_decref(json);
}

static void threads_do_not_mix_lines(void **state)
{
    (void)state;
    int good = 0;
    char name[] = "somebody";
    pthread_t threads[4];
    pt_log_setup(PT_LOG_INFO, PT_LOG_JSON);
    pt_log_to(listen_json, &good);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, name), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(good, 4 * 500);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines_have_pairs),
        cmocka_unit_test(one_message_is_one_line),
        cmocka_unit_test(json_lines_are_objects),
        cmocka_unit_test(levels_above_the_limit_are_silent),
        cmocka_unit_test(long_json_lines_stay_valid),
        cmocka_unit_test(long_text_lines_end_in_a_newline),
        cmocka_unit_test(cut_messages_keep_their_beginning),
        cmocka_unit_test(threads_do_not_mix_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
