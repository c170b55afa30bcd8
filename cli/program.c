/* Picks the subcommand; help, version, exit codes. */
#include "cli/commands.h"

#include "cli/console.h"
#include "cli/help.h"
#include "cli/stop.h"
#include "cli/worker.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const pt_command *const commands[] = {&pt_command_run,   &pt_command_worker,    &pt_command_verify,
                                             &pt_command_plan,  &pt_command_detect,    &pt_command_info,
                                             &pt_command_eval,  &pt_command_calibrate, &pt_command_tune,
                                             &pt_command_bench, &pt_command_keygen};
enum { COMMANDS = sizeof commands / sizeof *commands };

const pt_command *const *pt_commands(size_t *count)
{
    *count = COMMANDS;
    return commands;
}

static const pt_command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i];
        }
    }
    return NULL;
}

int pt_exit_code(pt_status status)
{
    switch (status.code) {
    case PT_OK:
        return 0;
    case PT_E_USAGE:
        return 1;
    case PT_E_INPUT:
    case PT_E_UNSUPPORTED:
    case PT_E_EXISTS:
    case PT_E_READ:
    case PT_E_TILE:
    case PT_E_WRITE:
        return 2;
    case PT_E_NOSPACE:
        return 4;
    case PT_E_STOPPED:
        return 128 + pt_stop_signal();
    case PT_E_NOMEM:
    case PT_E_INTERNAL:
        break;
    }
    return 5;
}

int pt_finish(const pt_command *command, pt_status status)
{
    if (status.code != PT_OK) {
        pt_console_failure(command->name, status);
    }
    return pt_exit_code(status);
}

static int say_help(int argc, char **argv)
{
    const pt_command *command = argc > 2 ? find(argv[2]) : NULL;
    if (argc > 2 && !command) {
        fprintf(stderr, "pantile: no command %s; see pantile help\n", argv[2]);
        return 1;
    }
    if (command) {
        pt_help_command(stdout, command, true);
    } else {
        pt_help_program(stdout, commands, COMMANDS);
    }
    return 0;
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    pt_console_foresee(argc, argv);
    pt_status status = pt_ok();
    if (command->reads_only) {
        pt_stop_at_once();
    } else {
        status = pt_stop_watch();
    }
    return status.code == PT_OK ? command->run(command, argc, argv) : pt_finish(command, status);
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "pantile: no command; see pantile help\n");
        return 1;
    }
    const char *name = argv[1];
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        return say_help(argc, argv);
    }
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("pantile %s\n", PANTILE_VERSION);
        return 0;
    }
    if (strcmp(name, "__man") == 0) {
        pt_help_man(stdout, commands, COMMANDS);
        return 0;
    }
    if (strcmp(name, "__completion") == 0) {
        pt_help_completion(stdout, commands, COMMANDS);
        return 0;
    }
    if (strcmp(name, pt_command_worker_child.name) == 0) {
        pt_console_foresee(argc - 1, argv + 1);
        return pt_command_worker_child.run(&pt_command_worker_child, argc - 1, argv + 1);
    }
    const pt_command *command = find(name);
    if (!command) {
        fprintf(stderr, "pantile: no command %s; see pantile help\n", name);
        return 1;
    }
    return run_command(command, argc - 1, argv + 1);
}

/* A table that did not arrive is a failure, as it is for cat. */
static pt_status flush_output(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return pt_ok();
    }
    return errno == ENOSPC
               ? pt_error(PT_E_NOSPACE, "standard output: no space left; write elsewhere")
               : pt_error(PT_E_WRITE, "standard output cannot be written: %s", strerror(errno ? errno : EIO));
}

int pt_program(int argc, char **argv)
{
    int code = dispatch(argc, argv);
    pt_status status = flush_output();
    if (status.code != PT_OK) {
        pt_console_failure("", status);
        code = code ? code : pt_exit_code(status);
    }
    return code;
}
