/* A process that no launcher started, and the sharing of cores. Several ranks: test_ranks.py. */
#include "coordinator/launch/cores.h"
#include "coordinator/launch/launch.h"

#include <mpi.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const names[] = {
    "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_SIZE",     "PMI_RANK",
    "SLURM_STEP_NUM_TASKS", "SLURM_PROCID",         "SLURM_NTASKS", "PANTILE_EXIT_FILE"};

static int forget(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsetenv(names[i]);
    }
    return 0;
}

static void test_alone(void **state)
{
    (void)state;
    pt_launch launch;
    int initialised = 1;
    assert_int_equal(pt_launch_begin(&launch).code, PT_OK);
    assert_false(launch.mpi);
    assert_int_equal(launch.rank, 0);
    assert_int_equal(launch.size, 1);
    assert_int_equal(launch.hosts, 1);
    assert_in_range(pt_launch_cores(&launch), 1, sysconf(_SC_NPROCESSORS_ONLN));
    pt_invitation invitation = {.endpoint = "mine"};
    assert_int_equal(pt_launch_share(&launch, &invitation).code, PT_OK);
    assert_string_equal(invitation.endpoint, "mine");
    MPI_Initialized(&initialised);
    assert_int_equal(initialised, 0);
}

static void test_environment(void **state)
{
    (void)state;
    int rank = 7;
    assert_false(pt_launch_foresee(&rank));
    assert_int_equal(rank, 0);
    setenv("SLURM_NTASKS", "8", 1); /* a batch script is one process, whatever it will start */
    setenv("SLURM_PROCID", "0", 1);
    assert_false(pt_launch_foresee(&rank));
    setenv("SLURM_STEP_NUM_TASKS", "8", 1);
    setenv("SLURM_PROCID", "5", 1);
    assert_true(pt_launch_foresee(&rank));
    assert_int_equal(rank, 5);
    setenv("OMPI_COMM_WORLD_SIZE", "1", 1);
    unsetenv("SLURM_STEP_NUM_TASKS");
    assert_false(pt_launch_foresee(&rank));
    setenv("OMPI_COMM_WORLD_SIZE", "3", 1);
    setenv("OMPI_COMM_WORLD_RANK", "2", 1);
    assert_true(pt_launch_foresee(&rank));
    assert_int_equal(rank, 2);
    pt_launch alone = pt_launch_alone();
    assert_false(alone.mpi);
    assert_true(alone.size == 1 && alone.rank == 0 && pt_launch_cores(&alone) >= 1);
    setenv("OMPI_COMM_WORLD_SIZE", "many", 1);
    assert_false(pt_launch_foresee(&rank));
}

static void test_code(void **state)
{
    (void)state;
    char path[] = "/tmp/pantile-launch-XXXXXX";
    char text[16] = "";
    pt_launch launch = {.size = 1};
    close(mkstemp(path));
    pt_launch_leave_code(&launch, 5); /* nobody asked */
    setenv("PANTILE_EXIT_FILE", path, 1);
    launch.rank = 1;
    pt_launch_leave_code(&launch, 4); /* not this one's */
    FILE *file = fopen(path, "r");
    assert_null(fgets(text, sizeof text, file));
    fclose(file);
    launch.rank = 0;
    pt_launch_leave_code(&launch, 3);
    file = fopen(path, "r");
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_string_equal(text, "3\n");
    unlink(path);
    setenv("PANTILE_EXIT_FILE", "/nowhere/at/all", 1);
    pt_launch_leave_code(&launch, 3); /* nothing to do about it */
}

static int total(const pt_cores *sets, int ranks)
{
    int sum = 0;
    for (int r = 0; r < ranks; r++) {
        sum += pt_launch_fair_share(sets, r, ranks);
    }
    return sum;
}

static void test_shares(void **state)
{
    (void)state;
    pt_cores sets[8];
    for (int cores = 1; cores <= 64; cores++) { /* all may use all */
        for (int ranks = 1; ranks <= 8; ranks++) {
            for (int r = 0; r < ranks; r++) {
                sets[r] = (pt_cores){{cores == 64 ? UINT64_MAX : (UINT64_C(1) << cores) - 1}};
            }
            assert_int_equal(total(sets, ranks), cores > ranks ? cores : ranks);
        }
    }
    for (int r = 0; r < 4; r++) { /* two sockets of three cores, ranks dealt out in turn */
        sets[r] = (pt_cores){{r % 2 == 0 ? 07 : 070}};
    }
    assert_int_equal(pt_launch_fair_share(sets, 0, 4) + pt_launch_fair_share(sets, 2, 4), 3);
    assert_int_equal(pt_launch_fair_share(sets, 1, 4) + pt_launch_fair_share(sets, 3, 4), 3);
    sets[0] = (pt_cores){{0, 0xff}}; /* bound: its own eight */
    sets[1] = (pt_cores){{1}};
    assert_int_equal(pt_launch_fair_share(sets, 0, 2), 8);
    assert_int_equal(pt_launch_fair_share(sets, 1, 2), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_alone, forget),
        cmocka_unit_test_setup(test_environment, forget),
        cmocka_unit_test_setup(test_code, forget),
        cmocka_unit_test_setup(test_shares, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
