/* What the tables of options say, as help, man page and completion. */
#ifndef PANTILE_CLI_HELP_H
#define PANTILE_CLI_HELP_H

#include "cli/options.h"

#include <stdio.h>

/* `full`: every option explained; else the rare ones are only named, so that the text fits a screen. */
void pt_help_command(FILE *out, const pt_command *command, bool full);
void pt_help_program(FILE *out, const pt_command *const *commands, size_t count);
void pt_help_man(FILE *out, const pt_command *const *commands, size_t count);
void pt_help_completion(FILE *out, const pt_command *const *commands, size_t count);

#endif
