/* Errors as values: a code that tells the caller what to do next, and a message for the person who must act.
 *
 * A function that can fail returns pt_status; results leave by pointer and stay untouched on failure. The
 * message names the file, tile or layer at fault and the remedy. Context is added at most once on the way up.
 */
#ifndef PANTILE_TILING_BASE_STATUS_H
#define PANTILE_TILING_BASE_STATUS_H

#include <stdbool.h>

typedef enum pt_code {
    PT_OK = 0,
    PT_E_USAGE,       /* the caller's arguments are wrong: fail the job, exit 1 */
    PT_E_INPUT,       /* a scene, model, layer or config is bad or missing: fail the job, exit 2 */
    PT_E_UNSUPPORTED, /* well-formed but beyond what this build does: fail the job, exit 2 */
    PT_E_EXISTS,      /* an output is in the way: fail the job, exit 2 */
    PT_E_READ,        /* pixels could not be read: retry the tile, then fail the tile */
    PT_E_TILE,        /* this tile can never succeed: fail the tile, go on */
    PT_E_NOMEM,       /* an allocation failed: fail the job, exit 5 */
    PT_E_NOSPACE,     /* the disk or quota is full: fail the job, exit 4 */
    PT_E_WRITE,       /* an output could not be written for another reason: fail the job, exit 2 */
    PT_E_STOPPED,     /* a signal or another part asked to stop: exit 130 or 143 */
    PT_E_INTERNAL,    /* our own bug: fail the job, exit 5 */
} pt_code;

enum { PT_STATUS_MESSAGE = 508 }; /* longer messages are cut and end in "..." */

typedef struct pt_status {
    pt_code code;
    char
        message[PT_STATUS_MESSAGE]; /* empty when code is PT_OK; one line, no trailing full stop or newline */
} pt_status;

pt_status pt_ok(void);
pt_status pt_error(pt_code code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "CONTEXT: " before the message of a failed status; returns a good status unchanged. */
pt_status pt_context(pt_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The code's lower-case name for logs ("input", "read", ...); never NULL. */
const char *pt_code_name(pt_code code);

/* For functions without resources to free. */
#define PT_TRY(call)                                                                                         \
    do {                                                                                                     \
        pt_status pt_try_status_ = (call);                                                                   \
        if (pt_try_status_.code != PT_OK) {                                                                  \
            return pt_try_status_;                                                                           \
        }                                                                                                    \
    } while (0)

/* For functions with an `out:` label and a local `pt_status status`. */
#define PT_TRY_OUT(call)                                                                                     \
    do {                                                                                                     \
        status = (call);                                                                                     \
        if (status.code != PT_OK) {                                                                          \
            goto out;                                                                                        \
        }                                                                                                    \
    } while (0)

#endif
