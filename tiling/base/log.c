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

/* A line is built in a fixed buffer; what does not fit is cut, the newline never is. */
typedef struct line {
    char text[2048];
    size_t used;
} line;

static void put(line *l, const char *text, size_t length)
{
    size_t room = sizeof l->text - 3 - l->used; /* '}', newline, NUL */
    if (length > room) {
        length = room;
    }
    memcpy(l->text + l->used, text, length);
    l->used += length;
}

static void put_text(line *l, const char *text)
{
    put(l, text, strlen(text));
}

static void put_json_string(line *l, const char *text)
{
    put(l, "\"", 1);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        char escaped[8];
        if (*c == '"' || *c == '\\') {
            snprintf(escaped, sizeof escaped, "\\%c", *c);
            put_text(l, escaped);
        } else if (*c < 0x20) {
            snprintf(escaped, sizeof escaped, "\\u%04x", *c);
            put_text(l, escaped);
        } else {
            put(l, (const char *)c, 1);
        }
    }
    put(l, "\"", 1);
}

static void put_value(line *l, const pt_log_pair *pair, bool json)
{
    char number[40];
    if (pair->kind == PT_LOG_STRING) {
        const char *text = pair->text ? pair->text : "";
        if (json || strpbrk(text, " \"=\n") || !*text) {
            put_json_string(l, text);
        } else {
            put_text(l, text);
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
    char millis[8];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(text, sizeof text, format, &utc);
    snprintf(millis, sizeof millis, ".%03ld", now.tv_nsec / 1000000);
    put_text(l, text);
    put_text(l, millis);
}

static void build_text(line *l, pt_log_level level, const char *message, const pt_log_pair *pairs, int count)
{
    char name[8];
    put_time(l, "%H:%M:%S");
    snprintf(name, sizeof name, " %-5s ", level_names[level]);
    put_text(l, name);
    put_text(l, message);
    for (int i = 0; i < count; i++) {
        put(l, " ", 1);
        put_text(l, pairs[i].key);
        put(l, "=", 1);
        put_value(l, &pairs[i], false);
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
    for (int i = 0; i < count; i++) {
        /* A pair is written whole or not at all, so that a cut line is still valid JSON. */
        size_t before = l->used;
        put(l, ",", 1);
        put_json_string(l, pairs[i].key);
        put(l, ":", 1);
        put_value(l, &pairs[i], true);
        if (l->used >= sizeof l->text - 3) {
            l->used = before;
            break;
        }
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
    line l = {.used = 0};
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
