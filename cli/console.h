/* What a person sees while the program works: lines and a progress bar on standard error, or log lines as
 * JSON.
 *
 * pt_console_setup once, before threads start. The other functions may be called from any thread.
 */
#ifndef PANTILE_CLI_CONSOLE_H
#define PANTILE_CLI_CONSOLE_H

#include "tiling/base/base.h"

typedef struct pt_console_options {
    bool quiet;      /* errors and warnings alone */
    const char *log; /* "text" or "json" */
    int verbose;     /* 1: what libraries say, 2: more */
} pt_console_options;

void pt_console_setup(const pt_console_options *options);
/* Sets up JSON lines when the command line asks for them, so that its own mistakes are told so too. */
void pt_console_foresee(int argc, char **argv);
bool pt_console_is_json(void);

/* A line for people; nothing when quiet or in JSON mode (callers log the same as PT_INFO pairs then). */
void pt_console_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The error that ends the program: one line naming the command. */
void pt_console_failure(const char *command, pt_status status);

/* What lies behind, what lies ahead. Draws a bar at most ten times a second on a terminal, with `details`
 * below; elsewhere writes a line after each tenth of the work and every 10 s. */
typedef struct pt_progress {
    int64_t done, total; /* tiles */
    int64_t resumed;     /* of those done, before this start: no measure of speed */
    int64_t objects;
    double seconds; /* since the start */
    double pixels;  /* inferred so far */
    int64_t queue, retries, workers;
    const char *details; /* further lines, each begun by a newline; NULL: none */
} pt_progress;
void pt_console_progress(const pt_progress *progress);
void pt_console_progress_end(void); /* removes the bar */

double pt_console_clock(void); /* seconds, monotonic */

#endif
