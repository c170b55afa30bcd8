/* How the program was started: alone, or as one of several ranks under mpirun or srun. Knows MPI; nothing
 * else does.
 *
 * Under MPI every rank calls pt_launch_begin; rank 0 fills in where the others shall connect; pt_launch_share
 * broadcasts it, waits for all, and finalises MPI at once, since a rank that dies while MPI is open takes all
 * down. From then on ZeroMQ alone speaks. Alone, MPI is never initialised: a singleton would start a daemon.
 *
 *   pt_launch_begin(&launch) -> (rank 0 binds) -> pt_launch_share(&launch, &invitation)
 *
 * Whoever has begun must share, also when it has failed meanwhile (invitation.failed): the others wait for
 * it.
 */
#ifndef PANTILE_COORDINATOR_LAUNCH_LAUNCH_H
#define PANTILE_COORDINATOR_LAUNCH_LAUNCH_H

#include "coordinator/protocol/keys.h"
#include "tiling/base/base.h"

#include <stdint.h>

typedef struct pt_launch {
    bool mpi;                   /* one of several; MPI is open until pt_launch_share */
    int rank, size;             /* 0, 1 when alone */
    int local_rank, local_size; /* among those of this host */
    int hosts;                  /* at least 1 */
    int cores;                  /* for this rank, shared fairly with the host's others; at least 1 */
} pt_launch;

/* What a rank must know to become a worker. */
typedef struct pt_invitation {
    char endpoint[256];
    pt_key_pair worker; /* the job's one key for all ranks; empty without encryption */
    pt_public_key server;
    uint8_t engine_sha256[32]; /* zero: none */
    bool failed;               /* rank 0 could not start: the others leave quietly */
} pt_invitation;

/* What the environment says, without MPI: whether a launcher started several of us, and which one this is.
 * For what must be known before pt_launch_begin or after it failed. */
bool pt_launch_foresee(int *rank);

/* One process by itself, whatever the environment says: for workers that nobody invited by MPI. */
pt_launch pt_launch_alone(void);
/* Looks at the environment, initialises MPI when it says that there are several ranks. PT_E_USAGE when a
 * launcher said several but MPI sees one (srun without --mpi=pmix). */
pt_status pt_launch_begin(pt_launch *out);
/* Collective, once; on rank 0 *invitation goes in, on the others it comes out. Finalises MPI. Does nothing
 * alone. Waiting costs no CPU. */
pt_status pt_launch_share(const pt_launch *launch, pt_invitation *invitation);
/* Cores that this process may use, shared fairly with the host's other ranks; at least 1. */
int pt_launch_cores(const pt_launch *launch);
/* mpirun does not return rank 0's code reliably: scripts/pantile-mpirun names a file by PANTILE_EXIT_FILE,
 * and rank 0 writes the code there. Nothing without the variable. */
void pt_launch_leave_code(const pt_launch *launch, int code);

#endif
