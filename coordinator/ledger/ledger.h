/* What is true about a job, on disk: the spec and its hash, every tile's state and result. SQLite in WAL
 * mode, committed and synced before anything is acknowledged.
 *
 * A job folder (OUT.pantile, or --job-dir) holds ledger.db, the coordinator's keys and its lock. Results are
 * kept until the output is in place, then dropped; the tiles' states stay as the proof that none was lost.
 *
 * Life cycle:
 *   pt_ledger_create(dir, &spec, &ledger)   a new job; or
 *   pt_ledger_resume(dir, &spec, &ledger)   an interrupted one; refuses when anything differs
 *   pt_ledger_read(dir, &ledger)            only to look at (verify, coverage)
 *   pt_ledger_replay -> pt_ledger_record, in batches -> pt_ledger_finish -> pt_ledger_close
 * One process at a time writes (a lock on the folder); not thread-safe.
 */
#ifndef PANTILE_COORDINATOR_LEDGER_LEDGER_H
#define PANTILE_COORDINATOR_LEDGER_LEDGER_H

#include "coordinator/protocol/job_spec.h"
#include "coordinator/protocol/message.h"

typedef struct pt_ledger pt_ledger;

typedef enum pt_job_state {
    PT_JOB_RUNNING, /* or interrupted */
    PT_JOB_DONE,    /* the output is in place */
} pt_job_state;

/* Makes the folder (0700) where it is missing; its parent must be there. PT_E_EXISTS when the folder holds a
 * job already (the message says whether --resume or --overwrite helps) and not `overwrite`, or when another
 * process works in it; PT_E_NOSPACE; PT_E_WRITE. With `overwrite` the epoch goes on from the old job's, so
 * that workers of that one do not take the new coordinator for an older. */
pt_status pt_ledger_create(const char *dir, const pt_job_spec *spec, bool overwrite, pt_ledger **out);
/* PT_E_INPUT: no job there, a damaged ledger, or another job: the message lists the fields that differ with
 * both values, and each is also logged as a warning, for a message has an end. PT_E_UNSUPPORTED: a ledger of
 * another version. Raises the epoch and makes it durable; a job that is done stays as it is. */
pt_status pt_ledger_resume(const char *dir, const pt_job_spec *spec, pt_ledger **out);
/* Never makes or changes anything, and keeps coordinators out until closed. PT_E_INPUT, PT_E_UNSUPPORTED as
 * above; PT_E_EXISTS: a coordinator is at work in it, or a job whose coordinator died is being read already.
 */
pt_status pt_ledger_read(const char *dir, pt_ledger **out);
void pt_ledger_close(pt_ledger **ledger);
/* Closes it and removes the job, while no other process can have it; the folder too when nothing else is in
 * it. A reader's only is closed. */
void pt_ledger_discard(pt_ledger **ledger);

pt_job_state pt_ledger_state(const pt_ledger *ledger);
uint32_t pt_ledger_epoch(const pt_ledger *ledger);
const pt_job_spec *pt_ledger_spec(const pt_ledger *ledger); /* valid until close */
const char *pt_ledger_dir(const pt_ledger *ledger);         /* valid until close */
/* The output as pt_ledger_finish was given it, valid until close; NULL (and *sha256 untouched) before. */
const char *pt_ledger_output(const pt_ledger *ledger, uint8_t sha256[32]);

/* What is known of one tile. */
typedef struct pt_settlement {
    int64_t tile;
    pt_tile_outcome outcome; /* PT_TILE_FAILED: quarantined */
    int attempts;
    const char *worker; /* name; borrowed */
    const char *reason; /* of a quarantined tile; borrowed; NULL otherwise */
    bool capped;
    int64_t detections;
    double read_seconds, infer_seconds;
    uint64_t digest;        /* pt_result_digest */
    const uint8_t *payload; /* encoded instances; borrowed; NULL when there are none */
    size_t size;
} pt_settlement;

/* One transaction, synced when this returns PT_OK, and otherwise there as a whole or not at all, as the next
 * start will show. PT_E_INTERNAL: a tile that is settled already or not of the job, a digest that is not the
 * payload's; nothing of the batch is there. PT_E_NOSPACE: the disk is full; PT_E_WRITE: anything else. After
 * these two every further write returns the same: a sync that failed must never be tried again, for
 * the kernel may have dropped what it could not write. */
pt_status pt_ledger_record(pt_ledger *ledger, const pt_settlement *items, size_t count);
/* In place of what was known of the tile before; errors as above. */
pt_status pt_ledger_strike(pt_ledger *ledger, int64_t tile, int strikes, int lives);

/* Settled tiles by number, row by row that is, then the strikes of the others. Borrowed fields are valid
 * during the call. A sink's failure ends the replay and is returned. PT_E_INPUT: a row that is not as it was
 * written. Payloads are NULL once the job is done. */
typedef pt_status pt_settlement_sink(void *user, const pt_settlement *settlement);
typedef pt_status pt_strike_sink(void *user, int64_t tile, int strikes, int lives);
pt_status pt_ledger_replay(pt_ledger *ledger, pt_settlement_sink *settled, pt_strike_sink *struck,
                           void *user);
/* The same of the settled tiles alone, without payloads: for the coverage layer and reports. */
pt_status pt_ledger_list(pt_ledger *ledger, pt_settlement_sink *sink, void *user);

/* The output is in place: marks the job done, durably, then drops the results and shrinks the file. That the
 * job is done stands even where the shrinking fails, with a warning; the next resume tries again. */
pt_status pt_ledger_finish(pt_ledger *ledger, const char *output, const uint8_t output_sha256[32]);

typedef struct pt_ledger_counts {
    int64_t tiles;                    /* that the spec's grid has */
    int64_t done, empty, quarantined; /* empty: also outside */
    int64_t missing;                  /* of the grid, not settled soundly */
    int64_t foreign;                  /* settled, but not of the grid */
    int64_t doubled;                  /* settled more than once: the schema forbids it, the count proves it */
    int64_t damaged;                  /* rows that are not as they were written; they count nowhere else */
} pt_ledger_counts;
/* Counts from the rows themselves, after SQLite's own integrity check (PT_E_INPUT when that fails). */
pt_status pt_ledger_verify(pt_ledger *ledger, pt_ledger_counts *out);

#endif
