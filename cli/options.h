/* One table per command says everything about its options; parsing, --help, the man page, the shell
 * completion and the config reader all work from it, so that they cannot drift apart.
 *
 * Values live in a struct of the command; each option names the member by offset. Texts are borrowed from
 * argv or from the config, which outlive the struct.
 */
#ifndef PANTILE_CLI_OPTIONS_H
#define PANTILE_CLI_OPTIONS_H

#include "tiling/base/base.h"

#include <stddef.h>

enum { PT_TEXTS_MAX = 4096, PT_REALS_MAX = 4 };

/* Values of a repeated option, or a command's arguments. */
typedef struct pt_texts {
    const char **items; /* owned */
    size_t count, capacity;
} pt_texts;

/* A list such as 0,3000; count 0: not given. */
typedef struct pt_reals {
    size_t count;
    double values[PT_REALS_MAX];
} pt_reals;

typedef enum pt_option_kind {
    PT_OPTION_FLAG,    /* bool */
    PT_OPTION_COUNT,   /* int, how often it was given; never in a config */
    PT_OPTION_TEXT,    /* const char *, one of `words` when `strict` */
    PT_OPTION_TEXTS,   /* pt_texts, repeatable */
    PT_OPTION_INTEGER, /* int64_t within [least, most] */
    PT_OPTION_REAL,    /* double within [least, most] */
    PT_OPTION_REALS,   /* pt_reals, exactly `count` numbers within [least, most] */
} pt_option_kind;

typedef struct pt_option {
    const char *name;  /* without the two hyphens; also the key in a config */
    char letter;       /* of the short form; 0: none */
    const char *value; /* placeholder in the help, NULL for flags */
    const char *help;
    pt_option_kind kind;
    size_t offset;
    double least, most;
    size_t count;
    const char *words; /* completions, separated by blanks; NULL: file names, "": nothing */
    bool strict;       /* only `words` will do */
    bool rare;         /* named, not explained, in the short help */
    bool config;       /* may stand in a config file */
} pt_option;

typedef struct pt_command {
    const char *name, *arguments, *summary, *detail, *example;
    const pt_option *options;
    size_t option_count;
    bool reads_only; /* writes no files: a signal may end it at once */
    int (*run)(const struct pt_command *command, int argc, char **argv); /* returns the exit code */
} pt_command;

/* Sets one option from text, as given on a command line or in a config. PT_E_USAGE names the option and what
 * it takes. */
pt_status pt_option_set(const pt_option *option, void *values, const char *text);
/* The member back to what `defaults` holds, before a list is set anew. */
void pt_option_reset(const pt_option *option, void *values);

/* Parses argv[1 ...]; argv[0] is the command's name. What is no option goes to `arguments`. */
pt_status pt_options_parse(const pt_command *command, int argc, char **argv, void *values,
                           pt_texts *arguments);

pt_status pt_texts_add(pt_texts *texts, const char *text);
void pt_texts_fini(pt_texts *texts);

#endif
