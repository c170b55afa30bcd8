/* A file that appears under its name only once it is whole.
 *
 * Life cycle: pt_outfile_open -> write to .stream -> pt_outfile_commit -> pt_outfile_close (without commit:
 * removes the partial file).
 */
#ifndef PANTILE_CLI_OUTFILE_H
#define PANTILE_CLI_OUTFILE_H

#include "tiling/base/base.h"

#include <stdio.h>

typedef struct pt_outfile {
    FILE *stream;
    char *path, *partial; /* owned */
    bool overwrite;
} pt_outfile;

/* PT_E_EXISTS when it is there and not `overwrite`, PT_E_WRITE when it is a folder or a device or when its
 * own folder is missing or read-only: for outputs that are written at the end of a long job. */
pt_status pt_outfile_check(const char *path, bool overwrite);
/* PT_E_USAGE when `output` is the same file as `other`, which is read or written too; other may be NULL. */
pt_status pt_outfile_apart(const char *output, const char *other);
pt_status pt_outfile_open(const char *path, bool overwrite, pt_outfile *out);
pt_status pt_outfile_commit(pt_outfile *file);
void pt_outfile_close(pt_outfile *file);

#endif
