#include "coordinator/launch/launch.h"

#include "coordinator/launch/cores.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { RETRY_MS = 5 }; /* between two looks at a collective: far below what a start takes, no load */

static int number(const char *name)
{
    const char *text = getenv(name);
    return text ? (int)strtol(text, NULL, 10) : 0;
}

/* A launcher tells each process how many there are. Slurm's SLURM_NTASKS does not count: it also stands in
 * the batch script, which is one process; SLURM_STEP_NUM_TASKS is set by srun alone. */
bool pt_launch_foresee(int *rank)
{
    static const char *const launchers[][2] = {{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                               {"PMI_SIZE", "PMI_RANK"},
                                               {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};
    for (size_t i = 0; i < sizeof launchers / sizeof *launchers; i++) {
        if (number(launchers[i][0]) > 1) {
            *rank = number(launchers[i][1]);
            return true;
        }
    }
    *rank = 0;
    return false;
}

static pt_status mpi_error(int error, const char *what)
{
    char text[MPI_MAX_ERROR_STRING + 1] = "unknown";
    int length;
    MPI_Error_string(error, text, &length);
    return pt_error(PT_E_INTERNAL, "MPI: %s failed: %s", what, text);
}

#define TRY_MPI(call, what)                                                                                  \
    do {                                                                                                     \
        int error_ = (call);                                                                                 \
        if (error_ != MPI_SUCCESS) {                                                                         \
            return mpi_error(error_, what);                                                                  \
        }                                                                                                    \
    } while (0)

static pt_status share_cores(MPI_Comm host, pt_launch *launch)
{
    pt_cores mine = pt_launch_own_cores();
    pt_cores *all = pt_calloc((size_t)launch->local_size, sizeof *all);
    if (!all) {
        return PT_NOMEM("the cores of the host's ranks");
    }
    int error = MPI_Allgather(&mine, (int)sizeof mine, MPI_BYTE, all, (int)sizeof mine, MPI_BYTE, host);
    if (error == MPI_SUCCESS) {
        launch->cores = pt_launch_fair_share(all, launch->local_rank, launch->local_size);
    }
    pt_free(all);
    return error == MPI_SUCCESS ? pt_ok() : mpi_error(error, "gathering the host's cores");
}

static pt_status find_place(pt_launch *launch)
{
    MPI_Comm host;
    TRY_MPI(MPI_Comm_rank(MPI_COMM_WORLD, &launch->rank), "the rank");
    TRY_MPI(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, launch->rank, MPI_INFO_NULL, &host),
            "splitting by host");
    MPI_Comm_rank(host, &launch->local_rank);
    MPI_Comm_size(host, &launch->local_size);
    int first = launch->local_rank == 0;
    TRY_MPI(MPI_Allreduce(&first, &launch->hosts, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD), "counting hosts");
    PT_TRY(share_cores(host, launch));
    TRY_MPI(MPI_Comm_free(&host), "a communicator's end");
    return pt_ok();
}

pt_launch pt_launch_alone(void)
{
    pt_cores cores = pt_launch_own_cores();
    return (pt_launch){.size = 1, .local_size = 1, .hosts = 1, .cores = pt_launch_count_cores(&cores)};
}

pt_status pt_launch_begin(pt_launch *out)
{
    pt_launch launch = pt_launch_alone();
    int rank;
    if (!pt_launch_foresee(&rank)) {
        *out = launch;
        return pt_ok();
    }
    int provided;
    TRY_MPI(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided), "the start");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    TRY_MPI(MPI_Comm_size(MPI_COMM_WORLD, &launch.size), "the number of ranks");
    if (launch.size == 1) {
        MPI_Finalize();
        return pt_error(PT_E_USAGE,
                        "the launcher started several processes, but MPI sees this one alone; with "
                        "Slurm use srun --mpi=pmix, or mpirun inside the allocation");
    }
    launch.mpi = true;
    PT_TRY(find_place(&launch));
    *out = launch;
    return pt_ok();
}

/* MPI_Wait burns a whole core; rank 0 may need a while to open a large scene. */
static pt_status await(MPI_Request *request, const char *what)
{
    for (int done = 0; !done;) {
        TRY_MPI(MPI_Test(request, &done, MPI_STATUS_IGNORE), what);
        if (!done) {
            nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000L}, NULL);
        }
    }
    return pt_ok();
}

pt_status pt_launch_share(const pt_launch *launch, pt_invitation *invitation)
{
    MPI_Request request;
    if (!launch->mpi) {
        return pt_ok();
    }
    TRY_MPI(MPI_Ibcast(invitation, (int)sizeof *invitation, MPI_BYTE, 0, MPI_COMM_WORLD, &request),
            "the broadcast");
    PT_TRY(await(&request, "the broadcast"));
    TRY_MPI(MPI_Ibarrier(MPI_COMM_WORLD, &request), "the barrier");
    PT_TRY(await(&request, "the barrier"));
    TRY_MPI(MPI_Finalize(), "the end");
    return pt_ok();
}

int pt_launch_cores(const pt_launch *launch)
{
    return launch->cores > 1 ? launch->cores : 1;
}

void pt_launch_leave_code(const pt_launch *launch, int code)
{
    const char *path = getenv("PANTILE_EXIT_FILE");
    FILE *file = path && *path && launch->rank == 0 ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%d\n", code);
        fclose(file);
    }
}
