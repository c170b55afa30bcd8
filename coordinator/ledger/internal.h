/* Private to coordinator/ledger. */
#ifndef PANTILE_COORDINATOR_LEDGER_INTERNAL_H
#define PANTILE_COORDINATOR_LEDGER_INTERNAL_H

#include "coordinator/ledger/ledger.h"

#include <sqlite3.h>

#define PT_NO_JOB                                                                                            \
    "%s holds no job; name the folder or the output of one, or begin one (pantile run without --resume)"

typedef enum pt_ledger_statement {
    PT_LEDGER_BEGIN,
    PT_LEDGER_COMMIT,
    PT_LEDGER_ROLLBACK,
    PT_LEDGER_ADD_TILE,
    PT_LEDGER_ADD_RESULT,
    PT_LEDGER_PUT_STRIKE,
    PT_LEDGER_PUT_JOB,
    PT_LEDGER_GET_JOB,
    PT_LEDGER_ALL_TILES,
    PT_LEDGER_ALL_RESULTS, /* tiles with their payloads */
    PT_LEDGER_OPEN_STRIKES,
    PT_LEDGER_STATEMENTS
} pt_ledger_statement;

struct pt_ledger {
    char *dir, *path; /* owned; the folder, and ledger.db in it */
    int lock;         /* of the folder; negative: none */
    bool writable;
    sqlite3 *db;
    sqlite3_stmt *statements[PT_LEDGER_STATEMENTS];
    int journal_pages; /* in the write-ahead log, as of the last commit */
    pt_status failed;  /* the first failed write: what reached the disk is unknown, nothing more is tried */

    /* The one row of the table `job`. */
    pt_job_spec spec;
    uint8_t *spec_bytes; /* owned; as encoded */
    size_t spec_size;
    uint8_t spec_hash[32];
    uint32_t epoch;
    pt_job_state state;
    char *output; /* owned; NULL until done */
    uint8_t output_sha256[32];
};

/* sum.c: what notices a flipped bit. Every step is a bijection, so that a change within one word of eight
 * bytes never goes unseen, and others with a chance of 2^-64. */
uint64_t pt_sum_add(uint64_t sum, const void *bytes, size_t size); /* also takes in the size */
uint64_t pt_sum_integer(uint64_t sum, int64_t value);
uint64_t pt_sum_real(uint64_t sum, double value);
uint64_t pt_sum_text(uint64_t sum, const char *text); /* NULL and "" differ */

/* folder.c */
/* The job's folder, made (0700) where it is missing, and locked: PT_E_EXISTS when another process has it. */
pt_status pt_folder_claim(const char *dir, int *lock);
/* The same for looking at: a shared lock, and nothing is made. PT_E_INPUT: there is no job. */
pt_status pt_folder_look(const char *dir, int *lock);
void pt_folder_leave(int *lock);         /* gives the lock back, if any */
void pt_folder_discard(const char *dir); /* the lock file, and the folder when nothing else is in it */
bool pt_folder_has(const char *path);
pt_status pt_folder_sync(const char *dir);
/* Puts the finished file `from` in the place of ledger.db (`path`), and away with what an older one left. */
pt_status pt_folder_install(const char *dir, const char *from, const char *path);
/* Removes a database and its write-ahead log; what is not there is no error. */
void pt_folder_remove(const char *path);

/* store.c */
/* What SQLite says, for people: the code says what to do next. */
pt_status pt_store_error(const pt_ledger *ledger, int rc);
/* Opens ledger->path, checks that it is a ledger of this version and prepares the statements. */
pt_status pt_store_open(pt_ledger *ledger);
/* A new database at ledger->path with the schema and the job's row (ledger->spec and so on), closed again. */
pt_status pt_store_create(pt_ledger *ledger);
void pt_store_close(pt_ledger *ledger);
/* Steps a statement that gives no rows; resets it. */
pt_status pt_store_run(pt_ledger *ledger, pt_ledger_statement statement);
pt_status pt_store_execute(pt_ledger *ledger, const char *sql);
/* A transaction: begin, work, commit; rolled back where any of it fails. Every failure but PT_E_INTERNAL ends
 * the ledger. The write-ahead log is moved into the database when it is long. */
pt_status pt_store_transact(pt_ledger *ledger, pt_status (*work)(pt_ledger *ledger, const void *user),
                            const void *user);
/* Moves the log into the database; `truncate`: and gives its space back. */
pt_status pt_store_checkpoint(pt_ledger *ledger, bool truncate);
/* The ledger is at its end: every later call repeats `status`, which is returned. */
pt_status pt_store_spend(pt_ledger *ledger, pt_status status);

/* job.c */
pt_status pt_job_row_put(pt_ledger *ledger);  /* within a transaction */
pt_status pt_job_row_load(pt_ledger *ledger); /* checked */
void pt_job_row_fini(pt_ledger *ledger);

/* rows.c */
/* A row of `tiles` as it lies there; `sound`: it has the sum that it was written with. */
typedef struct pt_tile_row {
    pt_settlement settlement; /* without payload; size as recorded */
    bool sound;
} pt_tile_row;
void pt_tile_row_read(sqlite3_stmt *statement, pt_tile_row *out);
/* Puts the payload that came with the row into the settlement; false when it is not what was recorded. */
bool pt_tile_row_payload(sqlite3_stmt *statement, pt_tile_row *row);

/* verify.c */
/* Pages that lost rows would only look like tiles that nobody has settled. */
pt_status pt_ledger_check_quickly(pt_ledger *ledger);
/* Drops the results of a job that is done and gives their space back; a failure is only logged. */
void pt_ledger_shrink(pt_ledger *ledger);

pt_status pt_ledger_damaged(const pt_ledger *ledger, const char *what);

#endif
