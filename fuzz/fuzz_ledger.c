/* A job's ledger from outside bytes: opened, replayed, listed, verified. Whatever they are, it is refused or
 * read, and what is read is a settlement that the ledger would take. */
#include "coordinator/ledger/ledger.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[100];

static void make_folder(void)
{
    snprintf(dir, sizeof dir, "%s/pantile-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(dir)) {
        abort();
    }
    snprintf(path, sizeof path, "%s/lock", dir);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    snprintf(path, sizeof path, "%s/ledger.db", dir);
}

static void clean_up(void)
{
    unlink(path);
    snprintf(path, sizeof path, "%s/lock", dir);
    unlink(path);
    rmdir(dir);
}

static pt_status see_tile(void *user, const pt_settlement *settlement)
{
    (void)user;
    if (settlement->outcome > PT_TILE_FAILED || !settlement->worker ||
        !settlement->payload != !settlement->size) {
        abort();
    }
    return pt_ok();
}

static pt_status see_strike(void *user, int64_t tile, int strikes, int lives)
{
    (void)user;
    (void)tile;
    (void)strikes;
    (void)lives;
    return pt_ok();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!dir[0]) {
        make_folder();
        atexit(clean_up);
    }
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, data, size) != (ssize_t)size) {
        abort();
    }
    close(file);
    pt_ledger *ledger = NULL;
    pt_ledger_counts counts;
    if (pt_ledger_read(dir, &ledger).code == PT_OK) {
        pt_ledger_replay(ledger, see_tile, see_strike, NULL);
        pt_ledger_list(ledger, see_tile, NULL);
        pt_ledger_verify(ledger, &counts);
        pt_ledger_close(&ledger);
    }
    return 0;
}
