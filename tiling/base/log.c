#include "tiling/base/log.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pt_log_level max_level = PT_LOG_INFO;
static pt_log_format line_format = PT_LOG_TEXT;
static pt_log_sink *line_sink;
static void *sink_user;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

/* A line is built in a fixed buffer; what does not fit is cut between characters, and nothing follows a cut
 * but what closes the line: at most a quote, '}', the newline and NUL, for which LINE_RESERVE is kept. */
enum { LINE_SIZE = 2048, LINE_RESERVE = 4 };
typedef struct line {
    char text[LINE_SIZE];
    size_t used;
    bool cut;
} line;

/* Writes all of it or, when that does not fit, nothing any more. */
static void put(line *l, const char *text, size_t length)
{
    l->cut = l->cut || l->used + length > LINE_SIZE - LINE_RESERVE;
    if (!l->cut) {
        memcpy(l->text + l->used, text, length);
        l->used += length;
    }
}

static void put_text(line *l, const char *text)
{
    put(l, text, strlen(text));
}

static bool continues(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* Bytes of the UTF-8 character at c, 0 when it is none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_length(const unsigned char *c)
{
    if (c[0] < 0x80) {
        return 1;
    }
    if (c[0] >= 0xc2 && c[0] <= 0xdf) {
        return continues(c[1]) ? 2 : 0;
    }
    if (!continues(c[1])) {
        return 0;
    }
    if ((c[0] & 0xf0) == 0xe0) {
        bool overlong = c[0] == 0xe0 && c[1] < 0xa0;
        bool surrogate = c[0] == 0xed && c[1] >= 0xa0;
        return !overlong && !surrogate && continues(c[2]) ? 3 : 0;
    }
    if (c[0] >= 0xf0 && c[0] <= 0xf4) {
        bool overlong = c[0] == 0xf0 && c[1] < 0x90;
        bool beyond = c[0] == 0xf4 && c[1] >= 0x90;
        return !overlong && !beyond && continues(c[2]) && continues(c[3]) ? 4 : 0;
    }
    return 0;
}

/* Characters one by one: bytes that are no UTF-8 become '?', control characters spaces, so that a line stays
 * one. */
static void put_plain(line *l, const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c && !l->cut;) {
        size_t length = utf8_length(c);
        if (length == 0) {
            put(l, "?", 1);
        } else if (*c < 0x20 || *c == 0x7f) {
            put(l, " ", 1);
        } else {
            put(l, (const char *)c, length);
        }
        c += length ? length : 1;
    }
}

/* Always closed: a cut string is still a string. */
static void put_json_string(line *l, const char *text)
{
    put(l, "\"", 1);
    if (l->cut) {
        return;
    }
    for (const unsigned char *c = (const unsigned char *)text; *c && !l->cut;) {
        char escaped[8];
        size_t length = utf8_length(c);
        if (length == 0) {
            put_text(l, "\\ufffd");
        } else if (*c == '"' || *c == '\\') {
            snprintf(escaped, sizeof escaped, "\\%c", *c);
            put_text(l, escaped);
        } else if (*c < 0x20) {
            snprintf(escaped, sizeof escaped, "\\u%04x", *c);
            put_text(l, escaped);
        } else {
            put(l, (const char *)c, length);
        }
        c += length ? length : 1;
    }
    l->text[l->used++] = '"';
}

static bool needs_quotes(const char *text)
{
    if (!*text || strpbrk(text, " \"=\\")) {
        return true;
    }
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20) {
            return true;
        }
    }
    return false;
}

static void put_value(line *l, const pt_log_pair *pair, bool json)
{
    char number[40];
    if (pair->kind == PT_LOG_STRING) {
        const char *text = pair->text ? pair->text : "";
        if (json || needs_quotes(text)) {
            put_json_string(l, text);
        } else {
            put_plain(l, text);
        }
        return;
    }
    if (pair->kind == PT_LOG_INTEGER) {
        snprintf(number, sizeof number, "%lld", (long long)pair->integer);
    } else if (json && !isfinite(pair->real)) {
        snprintf(number, sizeof number, "null");
    } else {
        snprintf(number, sizeof number, "%.6g", pair->real);
    }
    put_text(l, number);
}

static void put_time(line *l, const char *format)
{
    struct timespec now;
    struct tm utc;
    char text[40];
    char millis[24];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(text, sizeof text, format, &utc);
    snprintf(millis, sizeof millis, ".%03ld", now.tv_nsec / 1000000);
    put_text(l, text);
    put_text(l, millis);
}

/* A pair is written whole or not at all; one that is not written is the last. */
static void put_pair(line *l, const pt_log_pair *pair, bool json)
{
    size_t before = l->used;
    put(l, json ? "," : " ", 1);
    if (json) {
        put_json_string(l, pair->key);
    } else {
        put_plain(l, pair->key);
    }
    put(l, json ? ":" : "=", 1);
    put_value(l, pair, json);
    if (l->cut) {
        l->used = before;
    }
}

static void build_text(line *l, pt_log_level level, const char *message, const pt_log_pair *pairs, int count)
{
    char name[16];
    put_time(l, "%H:%M:%S");
    snprintf(name, sizeof name, " %-5s ", level_names[level]);
    put_text(l, name);
    put_plain(l, message);
    for (int i = 0; i < count && !l->cut; i++) {
        put_pair(l, &pairs[i], false);
    }
}

static void build_json(line *l, pt_log_level level, const char *message, const pt_log_pair *pairs, int count)
{
    put_text(l, "{\"t\":\"");
    put_time(l, "%Y-%m-%dT%H:%M:%S");
    put_text(l, "Z\",\"level\":\"");
    put_text(l, level_names[level]);
    put_text(l, "\",\"msg\":");
    put_json_string(l, message);
    for (int i = 0; i < count && !l->cut; i++) {
        put_pair(l, &pairs[i], true);
    }
    l->text[l->used++] = '}';
}

void pt_log_setup(pt_log_level level, pt_log_format format)
{
    max_level = level;
    line_format = format;
}

void pt_log_to(pt_log_sink *sink, void *user)
{
    pthread_mutex_lock(&lock);
    line_sink = sink;
    sink_user = user;
    pthread_mutex_unlock(&lock);
}

bool pt_log_enabled(pt_log_level level)
{
    return level <= max_level;
}

void pt_log_write(pt_log_level level, const char *message, const pt_log_pair *pairs, int count)
{
    line l = {.used = 0, .cut = false};
    if (line_format == PT_LOG_JSON) {
        build_json(&l, level, message, pairs, count);
    } else {
        build_text(&l, level, message, pairs, count);
    }
    l.text[l.used++] = '\n';
    l.text[l.used] = '\0';
    pthread_mutex_lock(&lock);
    if (line_sink) {
        line_sink(sink_user, level, l.text);
    } else {
        fwrite(l.text, 1, l.used, stderr);
    }
    pthread_mutex_unlock(&lock);
}
