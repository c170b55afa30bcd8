/* The job's folder: OUT.pantile, or --job-dir. While the job runs it holds the ledger, the coordinator's keys
 * (coordinator.key), a worker's (worker.key) and where to connect (endpoint), so that a worker that sees the
 * folder needs nothing else, and a coordinator that starts again is the same to those outside. Once the
 * output is in place only the ledger's proof stays.
 *
 * Life cycle: pt_run_folder_open -> pt_run_folder_path -> ... pt_run_folder_finish -> pt_run_folder_close.
 */
#ifndef PANTILE_CLI_RUN_FOLDER_H
#define PANTILE_CLI_RUN_FOLDER_H

#include "cli/run_options.h"
#include "coordinator/ledger/ledger.h"

typedef struct pt_run_folder {
    char *path;        /* owned */
    pt_ledger *ledger; /* owned */
    bool resumed;      /* continues a job */
    bool finished;     /* the job that was to be resumed is done, and its output is in place */
    bool placing;      /* it was cut off while the output was put in place: what is there is its own */
} pt_run_folder;

/* PT_E_EXISTS: an unfinished job is there and neither --resume nor --overwrite was said. */
pt_status pt_run_folder_open(const pt_run_options *options, const pt_job_spec *spec, pt_run_folder *out);
/* FOLDER/NAME; free with pt_free. */
pt_status pt_run_folder_path(const pt_run_folder *folder, const char *name, char **out);
/* Writes FOLDER/endpoint. */
pt_status pt_run_folder_invite(const pt_run_folder *folder, const char *endpoint);
/* Says durably that the output is about to appear under its name. */
pt_status pt_run_folder_place(pt_run_folder *folder, const char *output);
/* The output is there: its SHA-256 goes into the ledger, keys and endpoint go away. */
pt_status pt_run_folder_finish(pt_run_folder *folder, const char *output);
/* `keep` false: the job left nothing worth resuming, and the folder vanishes with what was made in it. */
void pt_run_folder_close(pt_run_folder *folder, bool keep);

#endif
