/* What the rows themselves say, and the end of a job. */
#include "coordinator/ledger/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Runs a check that answers in rows: `good` is what its only row says when all is well, NULL for no row. */
static pt_status check(pt_ledger *l, const char *sql, const char *good)
{
    sqlite3_stmt *s = NULL;
    char what[120];
    int rc = sqlite3_prepare_v2(l->db, sql, -1, &s, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(s);
    }
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
    bool well = good ? text && strcmp(text, good) == 0 : rc == SQLITE_DONE;
    snprintf(what, sizeof what, "%.100s", text ? text : "no answer");
    pt_status status = well                                    ? pt_ok()
                       : rc == SQLITE_ROW || rc == SQLITE_DONE ? pt_ledger_damaged(l, what)
                                                               : pt_store_error(l, rc);
    sqlite3_finalize(s);
    return status;
}

pt_status pt_ledger_check_quickly(pt_ledger *ledger)
{
    return check(ledger, "PRAGMA quick_check(1)", "ok");
}

/* `last`: the number of the row before. */
static void count_row(const pt_tile_row *row, int64_t last, pt_ledger_counts *c)
{
    const pt_settlement *t = &row->settlement;
    if (!row->sound) {
        c->damaged++;
    } else if (t->tile < 0 || t->tile >= c->tiles) {
        c->foreign++;
    } else if (t->tile == last) {
        c->doubled++;
    } else if (t->outcome == PT_TILE_FAILED) {
        c->quarantined++;
    } else if (t->outcome == PT_TILE_DONE) {
        c->done++;
    } else {
        c->empty++;
    }
}

pt_status pt_ledger_verify(pt_ledger *ledger, pt_ledger_counts *out)
{
    PT_TRY(check(ledger, "PRAGMA integrity_check(1)", "ok"));
    PT_TRY(check(ledger, "PRAGMA foreign_key_check", NULL));
    bool payloads = ledger->state == PT_JOB_RUNNING;
    sqlite3_stmt *s = ledger->statements[payloads ? PT_LEDGER_ALL_RESULTS : PT_LEDGER_ALL_TILES];
    pt_ledger_counts counts = {.tiles = pt_job_spec_tiles(&ledger->spec)};
    int64_t last = -1;
    int rc;
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
        pt_tile_row row;
        pt_tile_row_read(s, &row);
        row.sound = row.sound && (!payloads || pt_tile_row_payload(s, &row));
        count_row(&row, last, &counts);
        last = row.settlement.tile;
    }
    pt_status status = rc == SQLITE_DONE ? pt_ok() : pt_store_error(ledger, rc);
    sqlite3_reset(s);
    PT_TRY(status);
    counts.missing = counts.tiles - counts.done - counts.empty - counts.quarantined;
    *out = counts;
    return status;
}

static pt_status put_done(pt_ledger *l, const void *user)
{
    (void)user;
    return pt_job_row_put(l);
}

static pt_status drop_results(pt_ledger *l, const void *user)
{
    (void)user;
    return pt_store_execute(l, "DELETE FROM results; DELETE FROM strikes");
}

static pt_status shrink(pt_ledger *ledger)
{
    PT_TRY(pt_store_transact(ledger, drop_results, NULL));
    PT_TRY(pt_store_execute(ledger, "VACUUM")); /* copies what is left, which is little */
    return pt_store_checkpoint(ledger, true);
}

void pt_ledger_shrink(pt_ledger *ledger)
{
    pt_status status = shrink(ledger);
    if (status.code != PT_OK) {
        PT_WARN("the job is done, but its results still take space", PT_S("ledger", ledger->path),
                PT_S("error", status.message));
    }
}

pt_status pt_ledger_finish(pt_ledger *ledger, const char *output, const uint8_t output_sha256[32])
{
    PT_TRY(ledger->failed);
    if (!ledger->writable || ledger->state == PT_JOB_DONE) {
        return pt_error(PT_E_INTERNAL, "%s: the job cannot be finished %s", ledger->path,
                        ledger->writable ? "twice" : "by a reader");
    }
    char *name = pt_strdup(output);
    if (!name) {
        return PT_NOMEM("the output's name");
    }
    ledger->output = name;
    memcpy(ledger->output_sha256, output_sha256, 32);
    ledger->state = PT_JOB_DONE;
    pt_status status = pt_store_transact(ledger, put_done, NULL);
    if (status.code != PT_OK) {
        ledger->state = PT_JOB_RUNNING;
        pt_free(ledger->output);
        ledger->output = NULL;
        return status;
    }
    pt_ledger_shrink(ledger);
    return pt_ok();
}
