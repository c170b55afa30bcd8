#include "cli/help.h"

#include <string.h>

enum { WIDTH = 100, COLUMN = 26 };

/* Prints words, breaking lines at WIDTH and indenting those after the first. */
static void print_wrapped(FILE *out, const char *text, int column, int indent)
{
    while (*text) {
        int n = (int)strcspn(text, " ");
        if (column > indent && column + 1 + n > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, (size_t)n, out);
        column += n;
        text += n;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static int print_names(FILE *out, const pt_option *o)
{
    int n = o->letter ? fprintf(out, "  -%c, --%s", o->letter, o->name) : fprintf(out, "  --%s", o->name);
    return o->value ? n + fprintf(out, " %s", o->value) : n;
}

static void print_option(FILE *out, const pt_option *o)
{
    int n = print_names(out, o);
    if (n >= COLUMN) {
        fputc('\n', out);
        n = 0;
    }
    fprintf(out, "%*s", COLUMN - n, "");
    print_wrapped(out, o->help, COLUMN, COLUMN);
}

static void print_rare(FILE *out, const pt_command *c)
{
    char text[2048];
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < c->option_count; i++) {
        const pt_option *o = &c->options[i];
        if (o->rare && used < sizeof text) {
            used += (size_t)snprintf(text + used, sizeof text - used, "--%s%s%s ", o->name,
                                     o->value ? "=" : "", o->value ? o->value : "");
        }
    }
    if (used > 0) {
        fprintf(out, "More, explained by pantile help %s:\n  ", c->name);
        print_wrapped(out, text, 2, 2);
    }
}

void pt_help_command(FILE *out, const pt_command *c, bool full)
{
    fprintf(out, "pantile %s %s\n", c->name, c->arguments);
    print_wrapped(out, full ? c->detail : c->summary, 0, 0);
    for (size_t i = 0; i < c->option_count; i++) {
        if (full || !c->options[i].rare) {
            print_option(out, &c->options[i]);
        }
    }
    if (!full) {
        print_rare(out, c);
    }
    fprintf(out, "Example: %s\n", c->example);
}

void pt_help_program(FILE *out, const pt_command *const *commands, size_t count)
{
    fprintf(out, "pantile COMMAND [OPTION]... ARGUMENT...\n"
                 "Building and field polygons from satellite and aerial scenes of any size.\n\n");
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "  %-10s%s\n", commands[i]->name, commands[i]->summary);
    }
    fprintf(out, "\npantile COMMAND --help tells more; pantile help COMMAND tells all; pantile --version.\n"
                 "Exit codes: 0 done, 1 usage, 2 bad input, 3 finished with failed tiles, 4 no space left,\n"
                 "5 out of memory or internal error, 130 or 143 interrupted.\n"
                 "Example: pantile run scene.tif -o buildings.geojson --model buildings_mnv2_fpn\n");
}

/* Troff reads '-' as a hyphen and a leading '.' or '\'' as a request. */
static void print_troff(FILE *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '-' || *c == '\\') {
            fputc('\\', out);
        } else if (c == text && (*c == '.' || *c == '\'')) {
            fputs("\\&", out);
        }
        fputc(*c, out);
    }
}

static void man_option(FILE *out, const pt_option *o)
{
    fputs(".TP\n.B ", out);
    if (o->letter) {
        fprintf(out, "\\-%c, ", o->letter);
    }
    fputs("\\-\\-", out);
    print_troff(out, o->name);
    if (o->value) {
        fputs(" \\fI", out);
        print_troff(out, o->value);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    print_troff(out, o->help);
    fputc('\n', out);
}

static void man_command(FILE *out, const pt_command *c)
{
    fputs(".SS pantile ", out);
    print_troff(out, c->name);
    fputc(' ', out);
    print_troff(out, c->arguments);
    fputc('\n', out);
    print_troff(out, c->detail);
    fputc('\n', out);
    for (size_t i = 0; i < c->option_count; i++) {
        man_option(out, &c->options[i]);
    }
    fputs(".PP\nExample:\n.PP\n.RS\n", out);
    print_troff(out, c->example);
    fputs("\n.RE\n", out);
}

void pt_help_man(FILE *out, const pt_command *const *commands, size_t count)
{
    fputs(".TH PANTILE 1 \"\" \"pantile " PANTILE_VERSION "\" \"User Commands\"\n"
          ".SH NAME\npantile \\- building and field polygons from satellite and aerial scenes of any size\n"
          ".SH SYNOPSIS\n.B pantile\n.I COMMAND\n[\\fIOPTION\\fR]... \\fIARGUMENT\\fR...\n.SH COMMANDS\n",
          out);
    for (size_t i = 0; i < count; i++) {
        man_command(out, commands[i]);
    }
    fputs(".SH EXIT STATUS\n"
          ".TP\n.B 0\nDone.\n.TP\n.B 1\nWrong usage.\n"
          ".TP\n.B 2\nBad or missing input, or an output in the way.\n"
          ".TP\n.B 3\nFinished, but some tiles failed; they are named.\n.TP\n.B 4\nNo space left.\n"
          ".TP\n.B 5\nOut of memory, or an internal error.\n"
          ".TP\n.B 130, 143\nInterrupted by SIGINT or SIGTERM.\n",
          out);
}

static void complete_command(FILE *out, const pt_command *c)
{
    fprintf(out, "    %s)\n        case $previous in\n", c->name);
    for (size_t i = 0; i < c->option_count; i++) {
        const pt_option *o = &c->options[i];
        if (!o->value) {
            continue;
        }
        fprintf(out, "        --%s", o->name);
        if (o->letter) {
            fprintf(out, "|-%c", o->letter);
        }
        if (o->words) {
            fprintf(out, ") COMPREPLY=($(compgen -W '%s' -- \"$current\")); return ;;\n", o->words);
        } else {
            fputs(") compopt -o default; COMPREPLY=(); return ;;\n", out);
        }
    }
    fputs("        esac\n        options='", out);
    for (size_t i = 0; i < c->option_count; i++) {
        fprintf(out, "%s--%s", i ? " " : "", c->options[i].name);
    }
    fputs("' ;;\n", out);
}

void pt_help_completion(FILE *out, const pt_command *const *commands, size_t count)
{
    fputs("# bash completion for pantile, made by `pantile __completion`\n_pantile()\n{\n"
          "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} options=\n"
          "    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W '",
          out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%s%s", i ? " " : "", commands[i]->name);
    }
    fputs("' -- \"$current\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n", out);
    for (size_t i = 0; i < count; i++) {
        complete_command(out, commands[i]);
    }
    fputs("    esac\n    if [[ $current == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
          "    else\n        compopt -o default\n    fi\n}\ncomplete -F _pantile pantile\n",
          out);
}
