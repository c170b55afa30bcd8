#include "cli/console.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 24, BLOCK = 4096, COLUMNS = 80 };

static struct console {
    bool quiet, json, terminal;
    pthread_mutex_t lock; /* of what follows, and of the order of lines */
    char block[BLOCK];    /* the bar and the lines below it, drawn now; empty: none */
    int lines;            /* of the block */
    double drawn_at;      /* seconds */
    int64_t tenth;        /* the last one that got a line */
} console = {.lock = PTHREAD_MUTEX_INITIALIZER};

double pt_console_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Back to where the block begins, everything from there on erased. Under the lock. */
static void erase_block(void)
{
    if (console.lines > 1) {
        fprintf(stderr, "\033[%dA", console.lines - 1);
    }
    if (console.lines > 0) {
        fputs("\r\033[J", stderr);
    }
}

/* Writes a whole line above the block, if there is one. */
static void write_line(const char *line)
{
    pthread_mutex_lock(&console.lock);
    erase_block();
    fputs(line, stderr);
    fputs(console.block, stderr);
    fflush(stderr);
    pthread_mutex_unlock(&console.lock);
}

/* Names may hold anything; a line stays one. */
static void flatten(char *line)
{
    for (char *c = line; *c; c++) {
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? ' ' : *c;
    }
}

static void take_log_line(void *user, pt_log_level level, const char *line)
{
    (void)user;
    (void)level;
    write_line(line);
}

void pt_console_setup(const pt_console_options *options)
{
    console.quiet = options->quiet;
    console.json = options->log && strcmp(options->log, "json") == 0;
    console.terminal = isatty(STDERR_FILENO) && !console.json;
    pt_log_level level = options->verbose >= 2                                        ? PT_LOG_DEBUG
                         : options->verbose == 1 || (console.json && !options->quiet) ? PT_LOG_INFO
                                                                                      : PT_LOG_WARN;
    pt_log_setup(level, console.json ? PT_LOG_JSON : PT_LOG_TEXT);
    pt_log_to(take_log_line, NULL);
}

void pt_console_foresee(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *value = strcmp(argv[i], "--log") == 0 && i + 1 < argc ? argv[i + 1]
                            : strncmp(argv[i], "--log=", 6) == 0          ? argv[i] + 6
                                                                          : "";
        if (strcmp(value, "json") == 0) {
            pt_console_setup(&(pt_console_options){.log = "json"});
        }
    }
}

bool pt_console_is_json(void)
{
    return console.json;
}

void pt_console_line(const char *format, ...)
{
    char line[1024];
    if (console.quiet || console.json) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    flatten(line);
    strcat(line, "\n");
    write_line(line);
}

void pt_console_failure(const char *command, pt_status status)
{
    char line[PT_STATUS_MESSAGE + 100];
    pt_console_progress_end();
    if (console.json) {
        PT_ERROR(status.message, PT_S("command", command), PT_S("code", pt_code_name(status.code)));
        return;
    }
    snprintf(line, sizeof line - 1, "pantile%s%s: %s", *command ? " " : "", command, status.message);
    flatten(line);
    strcat(line, "\n");
    write_line(line);
}

static void format_left(double seconds, char *out, size_t size)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600) {
        snprintf(out, size, "%ld h %02ld min", s / 3600, s % 3600 / 60);
    } else if (s >= 60) {
        snprintf(out, size, "%ld min %02ld s", s / 60, s % 60);
    } else {
        snprintf(out, size, "%ld s", s);
    }
}

static void format_progress(const pt_progress *p, char *out, size_t size)
{
    char left[40] = "?"; /* before the first tile of this start nobody knows */
    char retries[40] = "";
    double fresh = (double)(p->done - p->resumed), ahead = (double)(p->total - p->done);
    double seconds = p->seconds > 0 ? p->seconds : 1;
    if (fresh > 0 || ahead <= 0) {
        format_left(fresh > 0 ? p->seconds * ahead / fresh : 0, left, sizeof left);
    }
    if (p->retries > 0) {
        snprintf(retries, sizeof retries, "%lld retries, ", (long long)p->retries);
    }
    snprintf(out, size, "%lld of %lld tiles, %lld objects, %.1f tiles/s, %.2f Mpx/s, %s%s left",
             (long long)p->done, (long long)p->total, (long long)p->objects, fresh / seconds,
             p->pixels / 1e6 / seconds, retries, left);
}

/* Copies lines, each cut to the terminal's width: one that wraps could not be erased again. */
static int cut_lines(const char *text, size_t width, char *out, size_t size)
{
    int lines = 1;
    size_t used = 0, column = 0;
    for (; *text && used + 1 < size; text++) {
        lines += *text == '\n';
        column = *text == '\n' ? 0 : column + 1;
        if (column < width) {
            out[used++] = *text;
        }
    }
    out[used] = '\0';
    return lines;
}

static size_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS;
}

static void draw_block(const pt_progress *p, double now)
{
    if (now - console.drawn_at < 0.1 && p->done < p->total) {
        return;
    }
    char text[200];
    char bar[BAR + 1];
    char block[BLOCK];
    int filled = p->total > 0 ? (int)(BAR * p->done / p->total) : BAR;
    memset(bar, '-', BAR);
    memset(bar, '#', (size_t)filled);
    bar[BAR] = '\0';
    format_progress(p, text, sizeof text);
    snprintf(block, sizeof block, "[%s] %s%s", bar, text, p->details ? p->details : "");
    pthread_mutex_lock(&console.lock);
    erase_block();
    console.lines = cut_lines(block, terminal_width(), console.block, sizeof console.block);
    fputs(console.block, stderr);
    fflush(stderr);
    pthread_mutex_unlock(&console.lock);
    console.drawn_at = now;
}

void pt_console_progress(const pt_progress *p)
{
    double now = pt_console_clock();
    if (console.quiet) {
        return;
    }
    if (console.terminal) {
        draw_block(p, now);
        return;
    }
    /* A tenth more done and a second gone, or ten seconds: neither floods nor silence. */
    int64_t tenth = p->total > 0 ? 10 * p->done / p->total : 10;
    double gone = console.drawn_at > 0 ? now - console.drawn_at : tenth > 0;
    if (!(tenth > console.tenth && gone >= 1) && gone < 10) {
        return;
    }
    console.tenth = tenth;
    console.drawn_at = now;
    if (console.json) {
        double seconds = p->seconds > 0 ? p->seconds : 1;
        PT_INFO("progress", PT_I("done", p->done), PT_I("tiles", p->total), PT_I("objects", p->objects),
                PT_F("seconds", p->seconds), PT_F("tiles_per_s", (double)(p->done - p->resumed) / seconds),
                PT_F("mpx_per_s", p->pixels / 1e6 / seconds), PT_I("queue", p->queue),
                PT_I("retries", p->retries), PT_I("workers", p->workers));
        return;
    }
    char text[200];
    format_progress(p, text, sizeof text);
    pt_console_line("%s", text);
}

void pt_console_progress_end(void)
{
    pthread_mutex_lock(&console.lock);
    erase_block();
    fflush(stderr);
    console.block[0] = '\0';
    console.lines = 0;
    pthread_mutex_unlock(&console.lock);
    console.tenth = 0;
}
