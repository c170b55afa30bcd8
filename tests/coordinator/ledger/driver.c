/* A process that keeps a ledger, for tests to kill: ledger_driver SCRATCH [STOP_AFTER]
 *
 * Creates or resumes SCRATCH/job, settles its tiles five at a time, finishes it, and writes what it was told
 * is durable to SCRATCH/acks, a line each: "open", "batch N", "strike", "done". With STOP_AFTER it leaves
 * after so many batches without closing anything. Exits with 0, or 10 + the code of the first failure; 99
 * when the ledger does not stand by a failure. */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 5, LARGEST = 20000 };

static int acks = -1;

static void acknowledge(const char *what, int number)
{
    char line[40];
    int length = snprintf(line, sizeof line, number < 0 ? "%s\n" : "%s %d\n", what, number);
    if (write(acks, line, (size_t)length) != length) {
        _exit(98);
    }
}

static pt_status count_tile(void *user, const pt_settlement *settlement)
{
    (void)settlement;
    ++*(int *)user;
    return pt_ok();
}

static pt_status ignore_strike(void *user, int64_t tile, int strikes, int lives)
{
    (void)user;
    (void)tile;
    (void)strikes;
    (void)lives;
    return pt_ok();
}

static pt_status open_job(const char *dir, pt_ledger **ledger, int *settled)
{
    pt_job_spec spec = ledger_spec(4);
    char path[600];
    snprintf(path, sizeof path, "%s/ledger.db", dir);
    pt_status status = access(path, F_OK) == 0 ? pt_ledger_resume(dir, &spec, ledger)
                                               : pt_ledger_create(dir, &spec, false, ledger);
    pt_job_spec_fini(&spec);
    PT_TRY(status);
    acknowledge("open", -1);
    return pt_ledger_replay(*ledger, count_tile, ignore_strike, settled);
}

static pt_status record(pt_ledger *ledger, int number)
{
    pt_settlement items[BATCH];
    for (int i = 0; i < BATCH; i++) {
        items[i] = ledger_settlement(number * BATCH + i, LARGEST, i);
    }
    return pt_ledger_record(ledger, items, BATCH);
}

static pt_status work(pt_ledger *ledger, int batch, int stop_after)
{
    for (; batch < TILES / BATCH; batch++) {
        if (batch == stop_after) {
            _exit(0);
        }
        PT_TRY(record(ledger, batch));
        acknowledge("batch", batch);
        if (batch == 2) {
            PT_TRY(pt_ledger_strike(ledger, TILES - 1, 2, 1));
            acknowledge("strike", -1);
        }
    }
    if (pt_ledger_state(ledger) == PT_JOB_RUNNING) {
        PT_TRY(pt_ledger_finish(ledger, "out.geojson", (const uint8_t[32]){1, 2, 3}));
    }
    acknowledge("done", -1);
    return pt_ok();
}

/* After a failed write nothing is tried again. */
static bool stands_by(pt_ledger *ledger, pt_status failure)
{
    uint8_t sha[32] = {0};
    return record(ledger, 4).code == failure.code && pt_ledger_strike(ledger, 1, 1, 1).code == failure.code &&
           pt_ledger_finish(ledger, "out", sha).code == failure.code;
}

int main(int argc, char **argv)
{
    char path[500];
    if (argc < 2) {
        return 97;
    }
    snprintf(path, sizeof path, "%s/acks", argv[1]);
    acks = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (acks < 0) {
        return 96;
    }
    pt_ledger *ledger = NULL;
    int settled = 0;
    snprintf(path, sizeof path, "%s/job", argv[1]);
    pt_status status = open_job(path, &ledger, &settled);
    if (status.code == PT_OK) {
        status = work(ledger, settled / BATCH, argc > 2 ? atoi(argv[2]) : -1);
    }
    if (status.code != PT_OK) {
        fprintf(stderr, "%s: %s\n", pt_code_name(status.code), status.message);
        if (ledger && !stands_by(ledger, status)) {
            return 99;
        }
    }
    pt_ledger_close(&ledger);
    close(acks);
    return status.code == PT_OK ? 0 : 10 + (int)status.code;
}
