/* The job's row: what the job is, the coordinator's life that it is in, and how it ended. */
#include "coordinator/ledger/internal.h"

#include <string.h>

static uint64_t seal_of(const pt_ledger *l)
{
    uint64_t sum = pt_sum_add(0, l->spec_bytes, l->spec_size);
    sum = pt_sum_add(sum, l->spec_hash, sizeof l->spec_hash);
    sum = pt_sum_integer(sum, l->epoch);
    sum = pt_sum_integer(sum, l->state);
    sum = pt_sum_text(sum, l->output);
    return pt_sum_add(sum, l->output_sha256, sizeof l->output_sha256);
}

pt_status pt_job_row_put(pt_ledger *l)
{
    sqlite3_stmt *s = l->statements[PT_LEDGER_PUT_JOB];
    sqlite3_bind_blob64(s, 1, l->spec_bytes, l->spec_size, SQLITE_STATIC);
    sqlite3_bind_blob(s, 2, l->spec_hash, sizeof l->spec_hash, SQLITE_STATIC);
    sqlite3_bind_int64(s, 3, l->epoch);
    sqlite3_bind_int(s, 4, l->state);
    sqlite3_bind_text(s, 5, l->output, -1, SQLITE_STATIC);
    sqlite3_bind_blob(s, 6, l->output_sha256, sizeof l->output_sha256, SQLITE_STATIC);
    sqlite3_bind_int64(s, 7, (int64_t)seal_of(l));
    return pt_store_run(l, PT_LEDGER_PUT_JOB);
}

static bool copy_hash(sqlite3_stmt *s, int column, uint8_t out[32])
{
    const void *bytes = sqlite3_column_blob(s, column);
    if (!bytes || sqlite3_column_bytes(s, column) != 32) {
        return false;
    }
    memcpy(out, bytes, 32);
    return true;
}

/* Copies the row; the spec is not decoded yet. */
static pt_status copy_row(pt_ledger *l, sqlite3_stmt *s)
{
    const void *bytes = sqlite3_column_blob(s, 0);
    size_t size = (size_t)sqlite3_column_bytes(s, 0);
    const char *output = (const char *)sqlite3_column_text(s, 4);
    int64_t epoch = sqlite3_column_int64(s, 2), state = sqlite3_column_int64(s, 3);
    if (!bytes || !copy_hash(s, 1, l->spec_hash) || !copy_hash(s, 5, l->output_sha256) || epoch < 1 ||
        epoch > UINT32_MAX || (state != PT_JOB_RUNNING && state != PT_JOB_DONE)) {
        return pt_ledger_damaged(l, "the job's row");
    }
    l->epoch = (uint32_t)epoch;
    l->state = (pt_job_state)state;
    l->spec_size = size;
    l->spec_bytes = pt_alloc(size, 1);
    l->output = output ? pt_strdup(output) : NULL;
    if (!l->spec_bytes || (output && !l->output)) {
        return PT_NOMEM("the job's row");
    }
    memcpy(l->spec_bytes, bytes, size);
    if (seal_of(l) != (uint64_t)sqlite3_column_int64(s, 6)) {
        return pt_ledger_damaged(l, "the job's row does not have its checksum");
    }
    return pt_ok();
}

pt_status pt_job_row_load(pt_ledger *l)
{
    sqlite3_stmt *s = l->statements[PT_LEDGER_GET_JOB];
    int rc = sqlite3_step(s);
    pt_status status = rc == SQLITE_ROW    ? copy_row(l, s)
                       : rc == SQLITE_DONE ? pt_ledger_damaged(l, "it has no job")
                                           : pt_store_error(l, rc);
    sqlite3_reset(s);
    PT_TRY(status);
    return pt_context(pt_job_spec_decode(l->spec_bytes, l->spec_size, &l->spec), "%s", l->path);
}

void pt_job_row_fini(pt_ledger *l)
{
    pt_job_spec_fini(&l->spec);
    pt_free(l->spec_bytes);
    pt_free(l->output);
    l->spec_bytes = NULL;
    l->output = NULL;
}
