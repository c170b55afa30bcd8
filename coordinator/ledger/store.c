/* The database beneath: SQLite in WAL mode, every commit synced.
 *
 * docs/decisions/0010-ledger.md has the measurements behind the settings. */
#include "coordinator/ledger/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    APPLICATION_ID = 0x50544C47, /* "PTLG", so that file(1) and we know it */
    SCHEMA_VERSION = 1,
    BUSY_MILLISECONDS = 5000, /* someone looks at it with SQLite's own tools */
    PAGE_SIZE = 16384,
    CHECKPOINT_PAGES = 1000, /* 16 MiB of log */
};

/* `seal`: the sum of the row's other fields. A tile cannot be settled twice, nor have a result without being
 * settled. */
static const char *const schema[][2] = {
    {"job",
     "CREATE TABLE job (id INTEGER PRIMARY KEY CHECK (id = 1), spec BLOB NOT NULL, hash BLOB NOT NULL, "
     "epoch INTEGER NOT NULL, state INTEGER NOT NULL, output TEXT, output_sha256 BLOB NOT NULL, "
     "seal INTEGER NOT NULL) STRICT"},
    {"tiles", "CREATE TABLE tiles (tile INTEGER PRIMARY KEY, outcome INTEGER NOT NULL, "
              "attempts INTEGER NOT NULL, worker TEXT NOT NULL, reason TEXT, capped INTEGER NOT NULL, "
              "detections INTEGER NOT NULL, read_seconds REAL NOT NULL, infer_seconds REAL NOT NULL, "
              "digest INTEGER NOT NULL, size INTEGER NOT NULL, "
              "seal INTEGER NOT NULL) STRICT"},
    {"results", "CREATE TABLE results (tile INTEGER PRIMARY KEY REFERENCES tiles (tile), "
                "payload BLOB NOT NULL) STRICT"},
    {"strikes", "CREATE TABLE strikes (tile INTEGER PRIMARY KEY, strikes INTEGER NOT NULL, "
                "lives INTEGER NOT NULL, seal INTEGER NOT NULL) STRICT"},
};
enum { TABLES = sizeof schema / sizeof *schema };

#define TILE_FIELDS                                                                                          \
    "t.tile, t.outcome, t.attempts, t.worker, t.reason, t.capped, t.detections, t.read_seconds, "            \
    "t.infer_seconds, t.digest, t.size, t.seal"

static const char *const statements[PT_LEDGER_STATEMENTS] = {
    [PT_LEDGER_BEGIN] = "BEGIN IMMEDIATE",
    [PT_LEDGER_COMMIT] = "COMMIT",
    [PT_LEDGER_ROLLBACK] = "ROLLBACK",
    [PT_LEDGER_ADD_TILE] = "INSERT INTO tiles VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [PT_LEDGER_ADD_RESULT] = "INSERT INTO results VALUES (?, ?)",
    [PT_LEDGER_PUT_STRIKE] = "INSERT OR REPLACE INTO strikes VALUES (?, ?, ?, ?)",
    [PT_LEDGER_PUT_JOB] = "INSERT OR REPLACE INTO job VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
    [PT_LEDGER_GET_JOB] = "SELECT spec, hash, epoch, state, output, output_sha256, seal FROM job",
    [PT_LEDGER_ALL_TILES] = "SELECT " TILE_FIELDS " FROM tiles t ORDER BY t.tile",
    [PT_LEDGER_ALL_RESULTS] = "SELECT " TILE_FIELDS ", r.payload FROM tiles t LEFT JOIN results r "
                              "ON r.tile = t.tile ORDER BY t.tile",
    [PT_LEDGER_OPEN_STRIKES] = "SELECT s.tile, s.strikes, s.lives, s.seal FROM strikes s "
                               "WHERE NOT EXISTS (SELECT 1 FROM tiles t WHERE t.tile = s.tile) "
                               "ORDER BY s.tile",
};

pt_status pt_ledger_damaged(const pt_ledger *ledger, const char *what)
{
    pt_status status = pt_error(PT_E_INPUT,
                                "%s is damaged (%s): nothing in it can be relied on; begin anew with "
                                "--overwrite",
                                ledger->path, what);
    for (char *c = status.message; *c; c++) { /* what was found there may be anything, a message is a line */
        *c = (unsigned char)*c < ' ' ? ' ' : *c;
    }
    return status;
}

static pt_status input_output_error(const pt_ledger *ledger, int rc)
{
    int error = sqlite3_system_errno(ledger->db);
    const char *why = error ? strerror(error) : sqlite3_errstr(rc);
    if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
        return pt_error(PT_E_NOSPACE,
                        "%s: no space left for the job's ledger (%s); free some and go on with "
                        "--resume",
                        ledger->path, why);
    }
    if (rc == SQLITE_IOERR_READ || rc == SQLITE_IOERR_SHORT_READ) {
        return pt_error(PT_E_INPUT, "%s: cannot be read: %s", ledger->path, why);
    }
    return pt_error(PT_E_WRITE,
                    "%s: cannot be written: %s; what was acknowledged stands, go on with --resume",
                    ledger->path, why);
}

pt_status pt_store_error(const pt_ledger *ledger, int rc)
{
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return pt_error(PT_E_NOSPACE,
                        "%s: no space left for the job's ledger; free some and go on with "
                        "--resume",
                        ledger->path);
    case SQLITE_IOERR:
        return input_output_error(ledger, rc);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return pt_ledger_damaged(ledger, sqlite3_errstr(rc));
    case SQLITE_ERROR: /* our statements are constant: it is the tables that are not what they were */
        return pt_ledger_damaged(ledger, sqlite3_errmsg(ledger->db));
    case SQLITE_NOMEM:
        return PT_NOMEM("the ledger");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
        return pt_error(PT_E_EXISTS, "%s is in use by another program; close that first", ledger->path);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return pt_error(ledger->writable ? PT_E_WRITE : PT_E_INPUT,
                        "%s cannot be opened%s: no permission, or not a file", ledger->path,
                        ledger->writable ? " for writing" : "");
    default:
        return pt_error(PT_E_INTERNAL, "%s: %s", ledger->path, sqlite3_errmsg(ledger->db));
    }
}

/* A checkpoint would sync again what could not be synced, and be told that all is well. */
pt_status pt_store_spend(pt_ledger *ledger, pt_status status)
{
    if (ledger->failed.code == PT_OK) {
        ledger->failed = status;
        sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    return status;
}

pt_status pt_store_execute(pt_ledger *ledger, const char *sql)
{
    int rc = sqlite3_exec(ledger->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? pt_ok() : pt_store_error(ledger, rc);
}

pt_status pt_store_run(pt_ledger *ledger, pt_ledger_statement which)
{
    sqlite3_stmt *statement = ledger->statements[which];
    int rc = sqlite3_step(statement);
    /* The error is taken before the reset that could clear it. */
    pt_status status = rc == SQLITE_DONE ? pt_ok() : pt_store_error(ledger, rc);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

pt_status pt_store_checkpoint(pt_ledger *ledger, bool truncate)
{
    ledger->journal_pages = 0;
    int mode = truncate ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE;
    int rc = sqlite3_wal_checkpoint_v2(ledger->db, NULL, mode, NULL, NULL);
    return rc == SQLITE_OK ? pt_ok() : pt_store_spend(ledger, pt_store_error(ledger, rc));
}

pt_status pt_store_transact(pt_ledger *ledger, pt_status (*work)(pt_ledger *ledger, const void *user),
                            const void *user)
{
    PT_TRY(ledger->failed);
    pt_status status = pt_store_run(ledger, PT_LEDGER_BEGIN);
    if (status.code == PT_OK) {
        status = work(ledger, user);
    }
    if (status.code == PT_OK) {
        status = pt_store_run(ledger, PT_LEDGER_COMMIT);
    }
    if (status.code != PT_OK) {
        /* SQLite has rolled back itself after some failures. */
        bool back =
            sqlite3_get_autocommit(ledger->db) || pt_store_run(ledger, PT_LEDGER_ROLLBACK).code == PT_OK;
        return status.code == PT_E_INTERNAL && back ? status : pt_store_spend(ledger, status);
    }
    /* SQLite's own automatic checkpoint would hide its failures and try again after the next commit. */
    return ledger->journal_pages < CHECKPOINT_PAGES ? status : pt_store_checkpoint(ledger, false);
}

static int count_pages(void *user, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((pt_ledger *)user)->journal_pages = pages;
    return SQLITE_OK;
}

static pt_status prepare(pt_ledger *ledger)
{
    for (int i = 0; i < PT_LEDGER_STATEMENTS; i++) {
        int rc = sqlite3_prepare_v3(ledger->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                    &ledger->statements[i], NULL);
        if (rc != SQLITE_OK) {
            return pt_store_error(ledger, rc);
        }
    }
    return pt_ok();
}

static pt_status get_integer(pt_ledger *ledger, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(ledger->db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
    }
    pt_status status = rc == SQLITE_ROW ? pt_ok() : pt_store_error(ledger, rc);
    if (rc == SQLITE_ROW) {
        *out = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    return status;
}

/* The tables must be ours to the letter: a flipped bit in a constraint would go unseen for long. */
static pt_status check_schema(pt_ledger *ledger)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(ledger->db,
                                "SELECT count(*) = 1 AND min(sql) IS ?2 FROM sqlite_schema WHERE name = ?1",
                                -1, &statement, NULL);
    bool same = rc == SQLITE_OK;
    for (int i = 0; same && i < TABLES; i++) {
        sqlite3_bind_text(statement, 1, schema[i][0], -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 2, schema[i][1], -1, SQLITE_STATIC);
        rc = sqlite3_step(statement);
        same = rc == SQLITE_ROW && sqlite3_column_int(statement, 0) == 1;
        sqlite3_reset(statement);
    }
    pt_status status = same               ? pt_ok()
                       : rc == SQLITE_ROW ? pt_ledger_damaged(ledger, "its tables are not those of a ledger")
                                          : pt_store_error(ledger, rc);
    sqlite3_finalize(statement);
    return status;
}

static pt_status check_kind(pt_ledger *ledger)
{
    int64_t application = 0, version = 0;
    PT_TRY(get_integer(ledger, "PRAGMA application_id", &application));
    PT_TRY(get_integer(ledger, "PRAGMA user_version", &version));
    if (application != APPLICATION_ID) {
        return pt_ledger_damaged(ledger, "not a ledger of pantile");
    }
    if (version != SCHEMA_VERSION) {
        return pt_error(PT_E_UNSUPPORTED,
                        "%s was written by another version of pantile (ledger %lld, this one knows %d); use "
                        "that, or begin anew with --overwrite",
                        ledger->path, (long long)version, SCHEMA_VERSION);
    }
    return check_schema(ledger);
}

/* Characters that an URI would take for its own are escaped. */
static char *immutable_uri(const char *path)
{
    static const char head[] = "file:", tail[] = "?immutable=1", digits[] = "0123456789ABCDEF";
    char *uri = pt_alloc(strlen(path) * 3 + sizeof head + sizeof tail, 1);
    if (!uri) {
        return NULL;
    }
    size_t at = sizeof head - 1;
    memcpy(uri, head, at);
    for (const char *c = path; *c; c++) {
        if (strchr("%?#", *c)) {
            uri[at++] = '%';
            uri[at++] = digits[(unsigned char)*c >> 4];
            uri[at++] = digits[*c & 15];
        } else {
            uri[at++] = *c;
        }
    }
    memcpy(uri + at, tail, sizeof tail);
    return uri;
}

static bool has_log(const pt_ledger *ledger)
{
    struct stat found;
    char *log = pt_asprintf("%s-wal", ledger->path);
    bool there = !log || (stat(log, &found) == 0 && found.st_size > 0);
    pt_free(log);
    return there;
}

static int connect(pt_ledger *ledger, int flags)
{
    /* Without a log to play back, reading needs no right to write: folders of others can be looked at. */
    bool still = !ledger->writable && !has_log(ledger);
    char *uri = still ? immutable_uri(ledger->path) : NULL;
    if (still && !uri) {
        return SQLITE_NOMEM;
    }
    flags |= SQLITE_OPEN_NOMUTEX | (still ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI : SQLITE_OPEN_READWRITE);
    int rc = sqlite3_open_v2(uri ? uri : ledger->path, &ledger->db, flags, NULL);
    pt_free(uri);
    if (rc != SQLITE_OK) {
        return rc;
    }
    sqlite3_extended_result_codes(ledger->db, 1);
    sqlite3_busy_timeout(ledger->db, BUSY_MILLISECONDS);
    sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (!ledger->writable) {
        sqlite3_db_config(ledger->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    }
    return SQLITE_OK;
}

static pt_status settle_in(pt_ledger *ledger, int flags)
{
    int rc = connect(ledger, flags);
    if (rc != SQLITE_OK) {
        return pt_store_error(ledger, rc);
    }
    /* Alone in the folder, SQLite needs no shared memory, which some network file systems lack and a full
     * disk has no room for. Deleted results are not overwritten first: at their size that would take as long
     * as writing them. */
    PT_TRY(pt_store_execute(ledger, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA foreign_keys = ON; "
                                    "PRAGMA cell_size_check = ON; PRAGMA secure_delete = OFF"));
    return pt_store_execute(ledger, ledger->writable
                                        ? "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0"
                                        : "PRAGMA query_only = ON");
}

pt_status pt_store_open(pt_ledger *ledger)
{
    PT_TRY(settle_in(ledger, 0));
    PT_TRY(check_kind(ledger));
    PT_TRY(prepare(ledger));
    if (!ledger->writable) {
        return pt_ok();
    }
    /* Asking for the mode that it has, which a flipped bit in the file's head may have changed. */
    PT_TRY(pt_store_execute(ledger, "PRAGMA journal_mode = WAL"));
    sqlite3_wal_hook(ledger->db, count_pages, ledger);
    /* A log that an earlier process could not sync may lie in the cache alone: this writes it all anew. */
    return pt_store_checkpoint(ledger, true);
}

static pt_status lay_tables(pt_ledger *ledger)
{
    char sql[128];
    snprintf(sql, sizeof sql, "BEGIN; PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
             SCHEMA_VERSION);
    PT_TRY(pt_store_execute(ledger, sql));
    for (int i = 0; i < TABLES; i++) {
        PT_TRY(pt_store_execute(ledger, schema[i][1]));
    }
    return pt_store_execute(ledger, "COMMIT");
}

static pt_status write_job(pt_ledger *ledger, const void *user)
{
    (void)user;
    return pt_job_row_put(ledger);
}

pt_status pt_store_create(pt_ledger *ledger)
{
    char sql[128];
    PT_TRY(settle_in(ledger, SQLITE_OPEN_CREATE));
    snprintf(sql, sizeof sql, "PRAGMA page_size = %d; PRAGMA journal_mode = WAL", PAGE_SIZE);
    PT_TRY(pt_store_execute(ledger, sql));
    PT_TRY(lay_tables(ledger));
    PT_TRY(prepare(ledger));
    PT_TRY(pt_store_transact(ledger, write_job, NULL));
    return pt_store_checkpoint(ledger, true);
}

void pt_store_close(pt_ledger *ledger)
{
    for (int i = 0; i < PT_LEDGER_STATEMENTS; i++) {
        sqlite3_finalize(ledger->statements[i]);
        ledger->statements[i] = NULL;
    }
    sqlite3_close(ledger->db);
    ledger->db = NULL;
}
