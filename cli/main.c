/* The program's entry: makes sure that OpenBLAS runs its fast kernels, then picks the command. */
#include "cli/commands.h"
#include "engine/engine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static const char threads_name[] = "OPENBLAS_NUM_THREADS";

/* OpenBLAS starts a thread for each core as it is loaded. Nobody here uses them, since the engine shares out
 * the work itself; and under a small `ulimit -v` they try for ever to get their buffers, while no fork
 * returns before they have ended. */
static bool is_cramped(void)
{
    struct rlimit limit;
    return !getenv(threads_name) && getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

/* Those that leave computing to the workers that they start. */
static bool computes(const char *command)
{
    return strcmp(command, "run") != 0 && strcmp(command, "worker") != 0;
}

/* An OpenBLAS older than the CPU falls back to slow kernels. It reads both cures, environment variables, as
 * it is loaded: only a fresh start of the program helps. The engine asks for none once the variable is set,
 * which ends the loop; ours ends it even if that should fail. Workers, which this process starts, inherit
 * them. */
static void restart_for_blas(int argc, char **argv)
{
    const char *name;
    const char *value;
    bool cramped = is_cramped();
    bool slow = pt_engine_blas_core_fix(&name, &value);
    (void)setenv(threads_name, "1", 0);
    if (!cramped) {
        pt_engine_blas_end_threads();
    }
    if (getenv("PANTILE_RESTARTED") || (!slow && !cramped)) {
        return;
    }
    bool cured = !slow || setenv(name, value, 1) == 0;
    if (!cramped && argc > 1 && !computes(argv[1])) {
        return;
    }
    if (cured && setenv("PANTILE_RESTARTED", "1", 1) == 0) {
        execv("/proc/self/exe", argv); /* on failure we go on, only slower: pt_engine_open says so */
    }
}

/* Started without standard input, output or error, the next file opened would stand in for it, and lines
 * meant for people would end in a scene, an output, or the pipe of the signals. What is put there instead
 * fails as a closed one does. */
static void fill_standard_places(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            (void)open("/dev/null",
                       fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* takes the lowest: this one */
        }
    }
}

int main(int argc, char **argv)
{
    fill_standard_places();
    /* Else a worker is "exe" to top and pkill: what /proc/self/exe ends in. */
    (void)prctl(PR_SET_NAME, "pantile");
    if (argc > 0) {
        restart_for_blas(argc, argv);
    }
    return pt_program(argc, argv);
}
