#include "cli/options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { OPTIONS_MAX = 64, FIRST_CODE = 256 };

pt_status pt_texts_add(pt_texts *texts, const char *text)
{
    if (texts->count == PT_TEXTS_MAX) {
        return pt_error(PT_E_USAGE, "more than %d values", PT_TEXTS_MAX);
    }
    PT_TRY(pt_grow(&texts->items, &texts->capacity, texts->count + 1, sizeof *texts->items));
    texts->items[texts->count++] = text;
    return pt_ok();
}

void pt_texts_fini(pt_texts *texts)
{
    pt_free(texts->items);
    memset(texts, 0, sizeof *texts);
}

static pt_status wrong(const pt_option *option, const char *text, const char *wanted)
{
    return pt_error(PT_E_USAGE, "--%s %s: %s", option->name, text, wanted);
}

static pt_status out_of_range(const pt_option *option, const char *text)
{
    return pt_error(PT_E_USAGE, "--%s %s: must be from %.15g to %.15g", option->name, text, option->least,
                    option->most);
}

static pt_status set_integer(const pt_option *option, int64_t *out, const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end || errno) {
        return wrong(option, text, "must be a whole number");
    }
    if ((double)value < option->least || (double)value > option->most) {
        return out_of_range(option, text);
    }
    *out = value;
    return pt_ok();
}

/* One number that ends at `stop` or at the text's end. */
static pt_status take_real(const pt_option *option, const char *text, const char *at, char **end, double *out)
{
    errno = 0;
    double value = strtod(at, end);
    if (*end == at || (**end && **end != ',') || errno == ERANGE || !isfinite(value)) {
        return wrong(option, text,
                     option->kind == PT_OPTION_REALS ? "must be numbers separated by commas"
                                                     : "must be a number");
    }
    if (value < option->least || value > option->most) {
        return out_of_range(option, text);
    }
    *out = value;
    return pt_ok();
}

static pt_status set_real(const pt_option *option, double *out, const char *text)
{
    char *end;
    double value = 0;
    PT_TRY(take_real(option, text, text, &end, &value));
    if (*end) {
        return wrong(option, text, "must be a number");
    }
    *out = value;
    return pt_ok();
}

static pt_status set_reals(const pt_option *option, pt_reals *out, const char *text)
{
    pt_reals read = {0};
    const char *at = text;
    for (;;) {
        char *end;
        double value = 0;
        PT_TRY(take_real(option, text, at, &end, &value));
        if (read.count == option->count) {
            break;
        }
        read.values[read.count++] = value;
        if (!*end) {
            if (read.count != option->count) {
                break;
            }
            *out = read;
            return pt_ok();
        }
        at = end + 1;
    }
    return pt_error(PT_E_USAGE, "--%s %s: must be %zu numbers separated by commas", option->name, text,
                    option->count);
}

static bool is_word(const char *words, const char *text)
{
    size_t length = strlen(text);
    for (const char *w = words; *w;) {
        size_t n = strcspn(w, " ");
        if (n == length && strncmp(w, text, n) == 0) {
            return true;
        }
        w += n;
        w += strspn(w, " ");
    }
    return false;
}

static pt_status set_flag(const pt_option *option, bool *out, const char *text)
{
    if (is_word("true yes on", text)) {
        *out = true;
    } else if (is_word("false no off", text)) {
        *out = false;
    } else {
        return wrong(option, text, "must be true or false");
    }
    return pt_ok();
}

pt_status pt_option_set(const pt_option *option, void *values, const char *text)
{
    void *member = (char *)values + option->offset;
    switch (option->kind) {
    case PT_OPTION_FLAG:
        return set_flag(option, member, text);
    case PT_OPTION_COUNT:
        ++*(int *)member;
        return pt_ok();
    case PT_OPTION_TEXT:
        if (option->strict && !is_word(option->words, text)) {
            return pt_error(PT_E_USAGE, "--%s %s: must be one of: %s", option->name, text, option->words);
        }
        *(const char **)member = text;
        return pt_ok();
    case PT_OPTION_TEXTS:
        return pt_texts_add(member, text);
    case PT_OPTION_INTEGER:
        return set_integer(option, member, text);
    case PT_OPTION_REAL:
        return set_real(option, member, text);
    case PT_OPTION_REALS:
        return set_reals(option, member, text);
    }
    return pt_error(PT_E_INTERNAL, "--%s: unknown kind", option->name);
}

void pt_option_reset(const pt_option *option, void *values)
{
    if (option->kind == PT_OPTION_TEXTS) {
        ((pt_texts *)(void *)((char *)values + option->offset))->count = 0;
    }
}

static bool takes_value(const pt_option *option)
{
    return option->kind != PT_OPTION_FLAG && option->kind != PT_OPTION_COUNT;
}

/* Fills what getopt_long wants. */
static void describe(const pt_command *command, struct option *longs, char *shorts)
{
    size_t n = 0;
    shorts[n++] = ':'; /* a missing value is told from an unknown option */
    for (size_t i = 0; i < command->option_count; i++) {
        const pt_option *o = &command->options[i];
        longs[i] = (struct option){o->name, takes_value(o) ? required_argument : no_argument, NULL,
                                   FIRST_CODE + (int)i};
        if (o->letter) {
            shorts[n++] = o->letter;
            if (takes_value(o)) {
                shorts[n++] = ':';
            }
        }
    }
    shorts[n] = '\0';
    longs[command->option_count] = (struct option){0};
}

static const pt_option *find(const pt_command *command, int code)
{
    for (size_t i = 0; i < command->option_count; i++) {
        if (code == FIRST_CODE + (int)i || (code < FIRST_CODE && code == command->options[i].letter)) {
            return &command->options[i];
        }
    }
    return NULL;
}

static pt_status refuse(const pt_command *command, int code, int argc, char **argv)
{
    int at = optind - 1 < argc && optind > 1 ? optind - 1 : 1;
    if (code == ':') {
        return pt_error(PT_E_USAGE, "%s needs a value; see pantile %s --help", argv[at], command->name);
    }
    return pt_error(PT_E_USAGE, "unknown option %s; see pantile %s --help", argv[at], command->name);
}

pt_status pt_options_parse(const pt_command *command, int argc, char **argv, void *values,
                           pt_texts *arguments)
{
    struct option longs[OPTIONS_MAX + 1];
    char shorts[2 * OPTIONS_MAX + 2];
    bool seen[OPTIONS_MAX] = {false};
    if (command->option_count > OPTIONS_MAX) {
        return pt_error(PT_E_INTERNAL, "too many options");
    }
    describe(command, longs, shorts);
    optind = 0; /* glibc: begin anew, also after an earlier parse */
    opterr = 0;
    int code;
    while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        const pt_option *option = code == '?' || code == ':' ? NULL : find(command, code);
        if (!option) {
            return refuse(command, code, argc, argv);
        }
        if (takes_value(option) && !*optarg) { /* as of an unset variable of a script */
            return pt_error(PT_E_USAGE, "--%s needs a value, not an empty one; see pantile %s --help",
                            option->name, command->name);
        }
        size_t index = (size_t)(option - command->options);
        if (!seen[index]) {
            pt_option_reset(option, values); /* a list on the command line replaces the config's */
            seen[index] = true;
        }
        PT_TRY(pt_option_set(option, values, takes_value(option) ? optarg : "true"));
    }
    for (int i = optind; i < argc; i++) {
        PT_TRY(pt_texts_add(arguments, argv[i]));
    }
    return pt_ok();
}
