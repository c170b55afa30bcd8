/* Leveled log lines on standard error: a message and key=value pairs, or one JSON object a line.
 *
 *   12:03:44.123 warn  no CRS, writing pixel coordinates scene=a.tif
 *   {"t":"2026-11-21T12:03:44.123Z","level":"warn","msg":"no CRS, ...","scene":"a.tif"}
 *
 * The level and format are process-wide settings that main makes once, before threads start; lines of several
 * threads never mix. A line holds about 2,000 bytes: a longer message is cut, pairs that no longer fit are
 * left out, and a JSON line is valid JSON all the same; bytes that are no UTF-8 are replaced. Libraries log
 * what a user may want to know; what the caller must handle is a pt_status. */
#ifndef PANTILE_TILING_BASE_LOG_H
#define PANTILE_TILING_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

typedef enum pt_log_level { PT_LOG_ERROR, PT_LOG_WARN, PT_LOG_INFO, PT_LOG_DEBUG } pt_log_level;
typedef enum pt_log_format { PT_LOG_TEXT, PT_LOG_JSON } pt_log_format;

/* Called with each finished line (newline included) in place of writing it to standard error. */
typedef void pt_log_sink(void *user, pt_log_level level, const char *line);

void pt_log_setup(pt_log_level level, pt_log_format format);
void pt_log_to(pt_log_sink *sink, void *user); /* NULL: standard error again */
bool pt_log_enabled(pt_log_level level);

/* A pair's value; build them with the macros below. */
typedef struct pt_log_pair {
    const char *key;
    enum { PT_LOG_STRING, PT_LOG_INTEGER, PT_LOG_REAL } kind;
    const char *text;
    int64_t integer;
    double real;
} pt_log_pair;

#define PT_S(k, v) ((pt_log_pair){(k), PT_LOG_STRING, (v), 0, 0})
#define PT_I(k, v) ((pt_log_pair){(k), PT_LOG_INTEGER, 0, (int64_t)(v), 0})
#define PT_F(k, v) ((pt_log_pair){(k), PT_LOG_REAL, 0, 0, (double)(v)})

void pt_log_write(pt_log_level level, const char *message, const pt_log_pair *pairs, int count);

#define PT_LOG(level, message, ...)                                                                          \
    do {                                                                                                     \
        if (pt_log_enabled(level)) {                                                                         \
            const pt_log_pair pt_pairs_[] = {PT_S("", ""), ##__VA_ARGS__};                                   \
            pt_log_write((level), (message), pt_pairs_ + 1,                                                  \
                         (int)(sizeof pt_pairs_ / sizeof *pt_pairs_) - 1);                                   \
        }                                                                                                    \
    } while (0)

#define PT_ERROR(message, ...) PT_LOG(PT_LOG_ERROR, message, ##__VA_ARGS__)
#define PT_WARN(message, ...) PT_LOG(PT_LOG_WARN, message, ##__VA_ARGS__)
#define PT_INFO(message, ...) PT_LOG(PT_LOG_INFO, message, ##__VA_ARGS__)
#define PT_DEBUG(message, ...) PT_LOG(PT_LOG_DEBUG, message, ##__VA_ARGS__)

#endif
