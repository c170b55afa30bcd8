#define _XOPEN_SOURCE 700 /* nftw */

#include "support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

pt_job_spec ledger_spec(double min_area)
{
    pt_job_spec spec = {.program = pt_strdup("0.1.0"), .group_count = 1};
    spec.groups = pt_calloc(1, sizeof *spec.groups);
    spec.groups[0].paths = pt_calloc(1, sizeof *spec.groups[0].paths);
    spec.groups[0].paths[0] = pt_strdup("data/scene.tif");
    spec.groups[0].path_count = 1;
    spec.groups[0].width = spec.groups[0].height = 1000;
    for (int i = 0; i < 3; i++) {
        spec.groups[0].range_hi[i] = 255;
    }
    spec.scene.gsd = spec.scene.model_gsd = 0.5;
    spec.grid.tile = 256;
    spec.grid.overlap = 64;
    spec.grid.lattice = 32;
    spec.engine.kind = PT_ENGINE_NULL;
    spec.engine.backend = pt_strdup("auto");
    spec.output.min_area = min_area;
    spec.output.format = pt_strdup("GeoJSON");
    spec.output.attempts = 3;
    return spec;
}

/* Noise that is a function of tile and place. */
static uint8_t noise(int64_t tile, size_t at)
{
    uint32_t x = (uint32_t)tile * 2654435761u + (uint32_t)at * 40503u + 12345u;
    x ^= x >> 15;
    return (uint8_t)(x * 2246822519u >> 24);
}

pt_settlement ledger_settlement(int64_t tile, size_t largest, int slot)
{
    static uint8_t *payloads[32];
    static char names[32][2][40];
    bool failed = tile % 7 == 5;
    size_t size = tile % 7 < 3 ? largest - largest * (size_t)(tile % 5) / 5 : 0;
    payloads[slot] = realloc(payloads[slot], size + 1);
    for (size_t i = 0; i < size; i++) {
        payloads[slot][i] = noise(tile, i);
    }
    snprintf(names[slot][0], sizeof names[slot][0], "host:%d", (int)tile % 3);
    snprintf(names[slot][1], sizeof names[slot][1], "tile %d kills its workers", (int)tile);
    pt_settlement t = {.tile = tile,
                       .outcome = failed          ? PT_TILE_FAILED
                                  : tile % 7 == 4 ? PT_TILE_EMPTY
                                  : tile % 7 == 6 ? PT_TILE_OUTSIDE
                                                  : PT_TILE_DONE,
                       .attempts = 1 + (int)(tile % 3),
                       .worker = names[slot][0],
                       .reason = failed ? names[slot][1] : NULL,
                       .capped = size > 0 && tile % 2,
                       .detections = (int64_t)size / 10,
                       .read_seconds = 0.125 * (double)tile,
                       .infer_seconds = 0.25 * (double)tile,
                       .payload = size ? payloads[slot] : NULL,
                       .size = size};
    t.digest = pt_result_digest(t.outcome, t.capped, t.payload, t.size);
    return t;
}

static bool same_text(const char *a, const char *b)
{
    return !a == !b && (!a || strcmp(a, b) == 0);
}

bool ledger_is_settlement(const pt_settlement *f, size_t largest, bool payload)
{
    pt_settlement t = ledger_settlement(f->tile, largest, 31);
    return f->outcome == t.outcome && f->attempts == t.attempts && same_text(f->worker, t.worker) &&
           same_text(f->reason, t.reason) && f->capped == t.capped && f->detections == t.detections &&
           f->read_seconds == t.read_seconds && f->infer_seconds == t.infer_seconds &&
           f->digest == t.digest &&
           (payload ? f->size == t.size && !f->payload == !t.payload &&
                          (!t.size || memcmp(f->payload, t.payload, t.size) == 0)
                    : f->size == 0 && !f->payload);
}

static char scratch[300];

static int remove_entry(const char *path, const struct stat *what, int kind, struct FTW *place)
{
    (void)what;
    (void)kind;
    (void)place;
    return remove(path);
}

void ledger_remove(const char *folder)
{
    nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

void ledger_scratch_remove(void)
{
    if (scratch[0]) {
        umount2(ledger_path("disk"), MNT_DETACH); /* in case a test failed */
        ledger_remove(scratch);
    }
    scratch[0] = '\0';
}

const char *ledger_scratch(void)
{
    /* In memory where that can be had: what is tested is what the program does, not how slow a disk is. */
    const char *temp = access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp";
    ledger_scratch_remove();
    snprintf(scratch, sizeof scratch, "%s/pantile-ledger-XXXXXX", temp);
    if (!mkdtemp(scratch)) {
        perror(scratch);
        abort();
    }
    return scratch;
}

const char *ledger_path(const char *name)
{
    static char paths[4][400];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}
