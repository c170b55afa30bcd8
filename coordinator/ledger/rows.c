/* Tiles, their results and strikes: in and out. */
#include "coordinator/ledger/internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static uint64_t seal_of(const pt_settlement *t)
{
    uint64_t sum = pt_sum_integer(0, t->tile);
    sum = pt_sum_integer(sum, t->outcome);
    sum = pt_sum_integer(sum, t->attempts);
    sum = pt_sum_text(sum, t->worker);
    sum = pt_sum_text(sum, t->reason);
    sum = pt_sum_integer(sum, t->capped);
    sum = pt_sum_integer(sum, t->detections);
    sum = pt_sum_real(sum, t->read_seconds);
    sum = pt_sum_real(sum, t->infer_seconds);
    sum = pt_sum_integer(sum, (int64_t)t->digest);
    return pt_sum_integer(sum, (int64_t)t->size);
}

/* Whether the payload is the one that the digest was made of. */
static bool has_digest(const pt_settlement *t)
{
    return t->size == 0 || pt_result_digest(t->outcome, t->capped, t->payload, t->size) == t->digest;
}

void pt_tile_row_read(sqlite3_stmt *s, pt_tile_row *out)
{
    int64_t outcome = sqlite3_column_int64(s, 1), attempts = sqlite3_column_int64(s, 2);
    int64_t capped = sqlite3_column_int64(s, 5);
    pt_settlement t = {.tile = sqlite3_column_int64(s, 0),
                       .outcome = (pt_tile_outcome)outcome,
                       .attempts = (int)attempts,
                       .worker = (const char *)sqlite3_column_text(s, 3),
                       .reason = (const char *)sqlite3_column_text(s, 4),
                       .capped = capped == 1,
                       .detections = sqlite3_column_int64(s, 6),
                       .read_seconds = sqlite3_column_double(s, 7),
                       .infer_seconds = sqlite3_column_double(s, 8),
                       .digest = (uint64_t)sqlite3_column_int64(s, 9),
                       .size = (size_t)sqlite3_column_int64(s, 10)};
    bool fits = outcome >= PT_TILE_DONE && outcome <= PT_TILE_FAILED && attempts == (int)attempts &&
                capped >> 1 == 0 && t.worker;
    *out =
        (pt_tile_row){.settlement = t, .sound = fits && seal_of(&t) == (uint64_t)sqlite3_column_int64(s, 11)};
}

bool pt_tile_row_payload(sqlite3_stmt *s, pt_tile_row *row)
{
    pt_settlement *t = &row->settlement;
    const void *payload = sqlite3_column_blob(s, 12);
    size_t size = (size_t)sqlite3_column_bytes(s, 12);
    if (size != t->size) {
        return false;
    }
    t->payload = size ? payload : NULL;
    return has_digest(t);
}

static pt_status check(const pt_ledger *l, const pt_settlement *t)
{
    bool failed = t->outcome == PT_TILE_FAILED;
    bool good = t->tile >= 0 && t->tile < pt_job_spec_tiles(&l->spec) && t->outcome >= PT_TILE_DONE &&
                t->outcome <= PT_TILE_FAILED && t->attempts >= 0 && t->detections >= 0 &&
                isfinite(t->read_seconds) && isfinite(t->infer_seconds) && !t->payload == !t->size &&
                !t->reason == !failed && has_digest(t);
    return good ? pt_ok()
                : pt_error(PT_E_INTERNAL, "tile %" PRId64 ": not a settlement of this job", t->tile);
}

static pt_status add(pt_ledger *l, const pt_settlement *given)
{
    pt_settlement t = *given;
    t.worker = t.worker ? t.worker : "";
    sqlite3_stmt *s = l->statements[PT_LEDGER_ADD_TILE];
    sqlite3_bind_int64(s, 1, t.tile);
    sqlite3_bind_int(s, 2, t.outcome);
    sqlite3_bind_int(s, 3, t.attempts);
    sqlite3_bind_text(s, 4, t.worker, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 5, t.reason, -1, SQLITE_STATIC);
    sqlite3_bind_int(s, 6, t.capped);
    sqlite3_bind_int64(s, 7, t.detections);
    sqlite3_bind_double(s, 8, t.read_seconds);
    sqlite3_bind_double(s, 9, t.infer_seconds);
    sqlite3_bind_int64(s, 10, (int64_t)t.digest);
    sqlite3_bind_int64(s, 11, (int64_t)t.size);
    sqlite3_bind_int64(s, 12, (int64_t)seal_of(&t));
    PT_TRY(pt_store_run(l, PT_LEDGER_ADD_TILE));
    if (t.size == 0) {
        return pt_ok();
    }
    s = l->statements[PT_LEDGER_ADD_RESULT];
    sqlite3_bind_int64(s, 1, t.tile);
    sqlite3_bind_blob64(s, 2, t.payload, t.size, SQLITE_STATIC);
    return pt_store_run(l, PT_LEDGER_ADD_RESULT);
}

typedef struct batch {
    const pt_settlement *items;
    size_t count;
} batch;

static pt_status add_all(pt_ledger *l, const void *user)
{
    const batch *b = user;
    for (size_t i = 0; i < b->count; i++) {
        PT_TRY(pt_context(add(l, &b->items[i]), "tile %" PRId64, b->items[i].tile));
    }
    return pt_ok();
}

static pt_status check_open(const pt_ledger *l)
{
    if (!l->writable || l->state == PT_JOB_DONE) {
        return pt_error(PT_E_INTERNAL, "%s: the ledger is %s, nothing can be recorded", l->path,
                        l->writable ? "closed" : "open for reading alone");
    }
    return l->failed;
}

pt_status pt_ledger_record(pt_ledger *ledger, const pt_settlement *items, size_t count)
{
    PT_TRY(check_open(ledger));
    for (size_t i = 0; i < count; i++) {
        PT_TRY(check(ledger, &items[i]));
    }
    return count ? pt_store_transact(ledger, add_all, &(batch){items, count}) : pt_ok();
}

typedef struct strike {
    int64_t tile;
    int strikes, lives;
} strike;

static uint64_t seal_strike(const strike *s)
{
    return pt_sum_integer(pt_sum_integer(pt_sum_integer(0, s->tile), s->strikes), s->lives);
}

static pt_status put_strike(pt_ledger *l, const void *user)
{
    const strike *given = user;
    sqlite3_stmt *s = l->statements[PT_LEDGER_PUT_STRIKE];
    sqlite3_bind_int64(s, 1, given->tile);
    sqlite3_bind_int(s, 2, given->strikes);
    sqlite3_bind_int(s, 3, given->lives);
    sqlite3_bind_int64(s, 4, (int64_t)seal_strike(given));
    return pt_store_run(l, PT_LEDGER_PUT_STRIKE);
}

pt_status pt_ledger_strike(pt_ledger *ledger, int64_t tile, int strikes, int lives)
{
    PT_TRY(check_open(ledger));
    if (tile < 0 || tile >= pt_job_spec_tiles(&ledger->spec) || strikes < 0 || lives < 0) {
        return pt_error(PT_E_INTERNAL, "tile %" PRId64 ": not a strike of this job", tile);
    }
    return pt_store_transact(ledger, put_strike, &(strike){tile, strikes, lives});
}

static pt_status walk_tiles(pt_ledger *l, bool payloads, pt_settlement_sink *sink, void *user)
{
    sqlite3_stmt *s = l->statements[payloads ? PT_LEDGER_ALL_RESULTS : PT_LEDGER_ALL_TILES];
    pt_status status = pt_ok();
    int rc = SQLITE_ROW;
    while (status.code == PT_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        pt_tile_row row;
        pt_tile_row_read(s, &row);
        bool sound = row.sound && (!payloads || pt_tile_row_payload(s, &row));
        if (!payloads) {
            row.settlement.size = 0;
        }
        if (sound) {
            status = sink(user, &row.settlement);
        } else {
            char what[80];
            snprintf(what, sizeof what, "tile %" PRId64 " does not have its checksum", row.settlement.tile);
            status = pt_ledger_damaged(l, what);
        }
    }
    if (status.code == PT_OK && rc != SQLITE_DONE) {
        status = pt_store_error(l, rc);
    }
    sqlite3_reset(s);
    return status;
}

static pt_status walk_strikes(pt_ledger *l, pt_strike_sink *sink, void *user)
{
    sqlite3_stmt *s = l->statements[PT_LEDGER_OPEN_STRIKES];
    pt_status status = pt_ok();
    int rc = SQLITE_ROW;
    while (status.code == PT_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        strike row = {sqlite3_column_int64(s, 0), sqlite3_column_int(s, 1), sqlite3_column_int(s, 2)};
        status = seal_strike(&row) == (uint64_t)sqlite3_column_int64(s, 3)
                     ? sink(user, row.tile, row.strikes, row.lives)
                     : pt_ledger_damaged(l, "a strike does not have its checksum");
    }
    if (status.code == PT_OK && rc != SQLITE_DONE) {
        status = pt_store_error(l, rc);
    }
    sqlite3_reset(s);
    return status;
}

pt_status pt_ledger_replay(pt_ledger *ledger, pt_settlement_sink *settled, pt_strike_sink *struck, void *user)
{
    PT_TRY(walk_tiles(ledger, ledger->state == PT_JOB_RUNNING, settled, user));
    return walk_strikes(ledger, struck, user);
}

pt_status pt_ledger_list(pt_ledger *ledger, pt_settlement_sink *sink, void *user)
{
    return walk_tiles(ledger, false, sink, user);
}
