/* Private to tiling/writer: a file that is written under another name and gets its own once it is whole. */
#ifndef PANTILE_TILING_WRITER_PARTIAL_H
#define PANTILE_TILING_WRITER_PARTIAL_H

#include "tiling/base/base.h"

/* The partial file is a hidden one in the same folder: ".NAME.partial-PLACE-PID-N.EXT". PLACE tells the
 * machine and its process table, so that leftovers of dead processes are recognised and removed when the same
 * output is opened again, and never those of a live process on another machine that shares the folder. */
typedef struct pt_partial {
    char *path;   /* owned; the name to get */
    char *folder; /* owned */
    char *temp;   /* owned; the partial file; NULL when not open */
    bool overwrite;
} pt_partial;

/* Creates the empty partial file. PT_E_EXISTS, PT_E_WRITE or PT_E_NOSPACE with a remedy. */
pt_status pt_partial_open(const char *path, bool overwrite, pt_partial *out);
/* The file must be closed. Syncs it, renames it (refusing a file that has come up meanwhile, unless
 * overwrite) and syncs the folder. On failure the partial file is still there until pt_partial_close. */
pt_status pt_partial_commit(pt_partial *partial);
/* Removes the partial file and what drivers put beside it, unless committed. */
void pt_partial_close(pt_partial *partial);
/* The status for a failure to write: PT_E_NOSPACE when `error` (an errno, or 0) says so or the disk is full
 * now, else PT_E_WRITE. `detail` may be empty. */
pt_status pt_partial_failed(const pt_partial *partial, int error, const char *detail);

#endif
