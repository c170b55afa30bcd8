/* The cores of this process, and its share of those that it has in common with others of its host. Private to
 * coordinator/launch and its tests. */
#ifndef PANTILE_COORDINATOR_LAUNCH_CORES_H
#define PANTILE_COORDINATOR_LAUNCH_CORES_H

#include <stdint.h>

enum { PT_CORE_WORDS = 16 }; /* 1,024 cores, as many as a cpu_set_t knows */

typedef struct pt_cores {
    uint64_t words[PT_CORE_WORDS]; /* a bit each */
} pt_cores;

/* By affinity; all that are online where the kernel does not tell. */
pt_cores pt_launch_own_cores(void);
int pt_launch_count_cores(const pt_cores *cores);
/* `sets`: what each of the host's ranks may use. At least 1; together no more than there are, unless there
 * are more ranks than cores. */
int pt_launch_fair_share(const pt_cores *sets, int rank, int ranks);

#endif
