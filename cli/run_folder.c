#include "cli/run_folder.h"

#include "tiling/base/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pt_status default_path(const pt_run_options *o, char **out)
{
    char *path = o->job_dir ? pt_strdup(o->job_dir) : pt_asprintf("%s.pantile", o->output);
    if (!path) {
        return PT_NOMEM("the job folder's name");
    }
    *out = path;
    return pt_ok();
}

pt_status pt_run_folder_path(const pt_run_folder *folder, const char *name, char **out)
{
    char *path = pt_asprintf("%s/%s", folder->path, name);
    if (!path) {
        return PT_NOMEM("a file name in the job's folder");
    }
    *out = path;
    return pt_ok();
}

static bool has_file(const pt_run_folder *folder, const char *name)
{
    char *path = NULL;
    bool there = pt_run_folder_path(folder, name, &path).code == PT_OK && access(path, F_OK) == 0;
    pt_free(path);
    return there;
}

static void remove_file(const pt_run_folder *folder, const char *name)
{
    char *path = NULL;
    if (pt_run_folder_path(folder, name, &path).code == PT_OK) {
        unlink(path);
    }
    pt_free(path);
}

/* Of this process's life; a restart under the same keys needs them, a finished job does not. */
static void remove_keys(const pt_run_folder *folder)
{
    static const char *const names[] = {"endpoint", "worker.key", "coordinator.key", "placing"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        remove_file(folder, names[i]);
    }
}

static pt_status resume(const pt_run_options *o, const pt_job_spec *spec, pt_run_folder *folder)
{
    PT_TRY(pt_ledger_resume(folder->path, spec, &folder->ledger));
    folder->resumed = true;
    folder->placing = has_file(folder, "placing");
    if (pt_ledger_state(folder->ledger) != PT_JOB_DONE) {
        return pt_ok();
    }
    if (access(o->output, F_OK) != 0) {
        return pt_error(PT_E_INPUT,
                        "%s: the job is done, but %s is gone, and its results were dropped; run it anew with "
                        "--overwrite instead of --resume",
                        folder->path, o->output);
    }
    folder->finished = true;
    remove_keys(folder); /* it may have been cut off right before it did so */
    return pt_ok();
}

/* The proof of a job that is done gives way once what it proves is gone. */
static bool may_replace(const pt_run_options *o, const pt_run_folder *folder)
{
    uint8_t sha256[PT_SHA256_BYTES];
    pt_ledger *before = NULL;
    if (o->overwrite || pt_ledger_read(folder->path, &before).code != PT_OK) {
        return o->overwrite;
    }
    const char *output = pt_ledger_output(before, sha256);
    bool gone = pt_ledger_state(before) == PT_JOB_DONE && output && access(output, F_OK) != 0;
    pt_ledger_close(&before);
    return gone;
}

pt_status pt_run_folder_open(const pt_run_options *options, const pt_job_spec *spec, pt_run_folder *out)
{
    pt_run_folder folder = {.path = NULL};
    PT_TRY(default_path(options, &folder.path));
    pt_status status =
        options->resume ? resume(options, spec, &folder)
                        : pt_ledger_create(folder.path, spec, may_replace(options, &folder), &folder.ledger);
    if (status.code != PT_OK) {
        pt_run_folder_close(&folder, true);
        return status;
    }
    if (!folder.resumed) {
        remove_keys(&folder); /* of the job that was replaced */
    }
    *out = folder;
    return status;
}

static pt_status failed(const char *path)
{
    return errno == ENOSPC || errno == EDQUOT
               ? pt_error(PT_E_NOSPACE, "%s: no space left; free some or choose another --job-dir", path)
               : pt_error(PT_E_WRITE, "%s: cannot be written: %s", path, strerror(errno));
}

/* A small text, whole or not at all, on the disk when this returns. */
static pt_status leave_text(const pt_run_folder *folder, const char *name, const char *text)
{
    char *path = NULL;
    char *partial = NULL;
    pt_status status;
    PT_TRY_OUT(pt_run_folder_path(folder, name, &path));
    PT_TRY_OUT(pt_run_folder_path(folder, "partial", &partial));
    int file = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t size = strlen(text);
    bool good = file >= 0 && write(file, text, size) == (ssize_t)size && write(file, "\n", 1) == 1 &&
                fsync(file) == 0;
    good = (file < 0 || close(file) == 0) && good && rename(partial, path) == 0;
    if (!good) {
        status = failed(path);
        unlink(partial);
    }
out:
    pt_free(path);
    pt_free(partial);
    return status;
}

pt_status pt_run_folder_invite(const pt_run_folder *folder, const char *endpoint)
{
    return leave_text(folder, "endpoint", endpoint);
}

pt_status pt_run_folder_place(pt_run_folder *folder, const char *output)
{
    return leave_text(folder, "placing", output);
}

pt_status pt_run_folder_finish(pt_run_folder *folder, const char *output)
{
    uint8_t sha256[PT_SHA256_BYTES];
    PT_TRY(pt_sha256_file(output, sha256));
    char *path = realpath(output, NULL); /* the proof outlives the current folder */
    if (!path) {
        return errno == ENOMEM ? PT_NOMEM("a path")
                               : pt_error(PT_E_WRITE, "%s: has vanished: %s", output, strerror(errno));
    }
    pt_status status = pt_ledger_finish(folder->ledger, path, sha256);
    free(path);
    if (status.code == PT_OK) {
        remove_keys(folder);
    }
    return status;
}

void pt_run_folder_close(pt_run_folder *folder, bool keep)
{
    if (folder->ledger && !keep) {
        remove_keys(folder);
        pt_ledger_discard(&folder->ledger);
    }
    pt_ledger_close(&folder->ledger);
    pt_free(folder->path);
    memset(folder, 0, sizeof *folder);
}
