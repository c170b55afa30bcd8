/* The last rows of the option table of a command that writes a file: for a `type` with the members overwrite,
 * help and console. */
#ifndef PANTILE_CLI_OUTPUT_ROWS_H
#define PANTILE_CLI_OUTPUT_ROWS_H

#include "cli/console.h"
#include "cli/options.h"

/* clang-format off */
#define PT_OUTPUT_ROWS(type) \
    {.name = "overwrite", .kind = PT_OPTION_FLAG, .offset = offsetof(type, overwrite), \
     .help = "replace an output that exists"}, \
    {.name = "quiet", .letter = 'q', .kind = PT_OPTION_FLAG, .offset = offsetof(type, console.quiet), \
     .help = "warnings and errors alone"}, \
    {.name = "log", .value = "FORMAT", .kind = PT_OPTION_TEXT, .offset = offsetof(type, console.log), .words = "text json", \
     .strict = true, .help = "text, or json: one JSON object a line on standard error [text]"}, \
    {.name = "verbose", .letter = 'v', .kind = PT_OPTION_COUNT, .offset = offsetof(type, console.verbose), \
     .help = "say more; twice: everything"}, \
    {.name = "help", .letter = 'h', .kind = PT_OPTION_FLAG, .offset = offsetof(type, help), .help = "print the help and leave"}
/* clang-format on */

#endif
