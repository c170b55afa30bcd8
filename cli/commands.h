/* The subcommands, one file each. */
#ifndef PANTILE_CLI_COMMANDS_H
#define PANTILE_CLI_COMMANDS_H

#include "cli/options.h"

extern const pt_command pt_command_run, pt_command_worker, pt_command_verify, pt_command_plan,
    pt_command_detect, pt_command_info, pt_command_eval, pt_command_calibrate, pt_command_tune,
    pt_command_bench, pt_command_keygen;

/* All of them, in the order of the help. */
const pt_command *const *pt_commands(size_t *count);

/* The exit code that docs/exit-codes.md gives a status. */
int pt_exit_code(pt_status status);

/* Says what went wrong, if anything; returns the exit code. */
int pt_finish(const pt_command *command, pt_status status);

/* The whole program: argv as main gets it. */
int pt_program(int argc, char **argv);

#endif
