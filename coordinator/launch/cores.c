#define _GNU_SOURCE /* sched_getaffinity */
#include "coordinator/launch/cores.h"

#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { CORES_MAX = 64 * PT_CORE_WORDS };

static bool has_core(const pt_cores *cores, int core)
{
    return cores->words[core / 64] >> (core % 64) & 1;
}

pt_cores pt_launch_own_cores(void)
{
    pt_cores cores = {{0}};
    cpu_set_t set;
    bool known = sched_getaffinity(0, sizeof set, &set) == 0;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    for (int i = 0; i < CORES_MAX; i++) {
        bool ours = known ? i < CPU_SETSIZE && CPU_ISSET(i, &set) : i < online;
        cores.words[i / 64] |= (uint64_t)ours << (i % 64);
    }
    return cores;
}

int pt_launch_count_cores(const pt_cores *cores)
{
    int count = 0;
    for (int i = 0; i < CORES_MAX; i++) {
        count += has_core(cores, i);
    }
    return count;
}

/* Launchers bind ranks to cores, to sockets or not at all: each core is divided among the ranks that may use
 * it. Where that leaves fractions, every second (third, ...) rank with the same cores gets one more. */
int pt_launch_fair_share(const pt_cores *sets, int rank, int ranks)
{
    enum { PARTS = 1000000 }; /* of a core, rounded upwards: three thirds must make one again */
    double share = 0;
    int64_t before = 0; /* ranks with the same cores */
    for (int core = 0; core < CORES_MAX; core++) {
        int users = 0;
        for (int r = 0; r < ranks && has_core(&sets[rank], core); r++) {
            users += has_core(&sets[r], core);
        }
        share += users > 0 ? 1.0 / users : 0;
    }
    for (int r = 0; r < rank; r++) {
        before += memcmp(&sets[r], &sets[rank], sizeof *sets) == 0;
    }
    int64_t parts = (int64_t)ceil(share * PARTS - 1e-3);
    int64_t cores = (before + 1) * parts / PARTS - before * parts / PARTS;
    return cores > 1 ? (int)cores : 1;
}
