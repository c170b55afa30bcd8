/* pantile run: the main job, on this machine or on all ranks of mpirun. */
#include "cli/commands.h"

#include "cli/help.h"
#include "cli/run_coordinate.h"
#include "cli/stop.h"

/* A rank that was told to leave did what it should: any other code would make mpirun take the job down. */
static int run_rank(const pt_command *command, const pt_run_options *options, const pt_launch *launch)
{
    (void)pt_finish(command, pt_run_rank(options, launch));
    return 0;
}

static int run_job(const pt_command *command, const pt_run_options *options, const pt_launch *launch)
{
    enum { EXIT_FAILED_TILES = 3 };
    int64_t failed = 0;
    int code = pt_finish(command, pt_run_coordinate(options, launch, &failed));
    return code == 0 && failed > 0 ? EXIT_FAILED_TILES : code;
}

/* Nothing to coordinate: the other ranks, if any, are told so. */
static int refuse(const pt_command *command, const pt_launch *launch, pt_status status)
{
    pt_invitation refusal = {.failed = true};
    if (launch->rank > 0) {
        return run_rank(command, NULL, launch); /* rank 0 has the same mistake, and says so */
    }
    (void)pt_launch_share(launch, &refusal);
    return pt_finish(command, status);
}

static int start(const pt_command *command, int argc, char **argv, const pt_launch *launch)
{
    pt_run_options options;
    pt_status status = pt_run_options_read(command, argc, argv, &options);
    if (status.code != PT_OK) {
        return refuse(command, launch, status);
    }
    int code;
    if (options.help) {
        if (launch->rank == 0) {
            pt_help_command(stdout, command, false);
        }
        code = refuse(command, launch, pt_ok());
    } else {
        pt_console_setup(&options.console);
        code = launch->rank > 0 ? run_rank(command, &options, launch) : run_job(command, &options, launch);
    }
    pt_run_options_fini(&options);
    return code;
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    pt_launch launch;
    pt_stop_drain_too();
    pt_status status = pt_launch_begin(&launch);
    if (status.code != PT_OK) {
        return pt_finish(command, status);
    }
    int code = start(command, argc, argv, &launch);
    pt_launch_leave_code(&launch, code);
    return code;
}

const pt_command pt_command_run = {
    .name = "run",
    .arguments = "SCENE... -o OUT [OPTION]...",
    .summary = "finds objects in scenes and writes them as polygons",
    .detail =
        "Finds objects in georeferenced scenes and writes them as polygons. Scenes are any rasters "
        "that GDAL opens "
        "(also /vsicurl/ and /vsis3/ URLs); those that touch and agree in CRS and pixel size are "
        "treated as one, "
        "others one after another. Under mpirun the ranks share the work; workers on other machines may "
        "join (docs/clusters.md). An interrupted job goes on with --resume.",
    .example = "pantile run scene.tif -o buildings.geojson --model buildings_mnv2_fpn --overlay look.png",
    .options = pt_run_option_table,
    .option_count = PT_RUN_OPTIONS,
    .run = run_command};
