/* pantile verify: proves from a job's ledger that no tile was lost or doubled, and that the output is the
 * file that the job wrote. */
#include "cli/commands.h"

#include "cli/console.h"
#include "cli/help.h"
#include "coordinator/ledger/ledger.h"
#include "tiling/base/sha256.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct verify_options {
    bool json, help;
    pt_console_options console;
} verify_options;

#define AT(member) offsetof(verify_options, member)

/* clang-format off */
static const pt_option verify_table[] = {
    {.name = "json", .kind = PT_OPTION_FLAG, .offset = AT(json), .help = "print JSON"},
    {.name = "log", .value = "FORMAT", .kind = PT_OPTION_TEXT, .offset = AT(console.log), .words = "text json",
     .strict = true, .help = "text, or json: one JSON object a line on standard error [text]"},
    {.name = "help", .letter = 'h', .kind = PT_OPTION_FLAG, .offset = AT(help), .help = "print the help and leave"},
};
/* clang-format on */

static const char folder_ending[] = ".pantile";

typedef enum output_state { OUTPUT_NONE, OUTPUT_AS_WRITTEN, OUTPUT_CHANGED, OUTPUT_GONE } output_state;

typedef struct findings {
    char *folder; /* owned; of the job */
    char *output; /* owned; the file that was looked at; NULL before the job is done */
    bool named;   /* the user named the output, not the folder */
    output_state state;
    char sha256[PT_SHA256_HEX]; /* that the ledger has */
    bool done;
    uint32_t epoch;
    pt_ledger_counts counts;
} findings;

static bool is_folder(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 && S_ISDIR(found.st_mode);
}

static bool is_file(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 && !S_ISDIR(found.st_mode);
}

/* The job's folder: the path itself, or the one beside the output. */
static pt_status find_folder(const char *path, findings *f)
{
    f->named = !is_folder(path);
    f->folder = f->named ? pt_asprintf("%s%s", path, folder_ending) : pt_strdup(path);
    if (!f->folder) {
        return PT_NOMEM("the job's folder");
    }
    if (is_folder(f->folder)) {
        return pt_ok();
    }
    return pt_error(PT_E_INPUT,
                    "%s: no job: neither is it a folder, nor is there a folder %s; name what pantile "
                    "run was given as --job-dir",
                    path, f->folder);
}

/* "DIR/out.geojson.pantile/" -> "DIR/out.geojson"; NULL: the folder is not named so, or out of memory. */
static char *beside(const char *folder)
{
    size_t length = strlen(folder), ending = strlen(folder_ending);
    while (length > 1 && folder[length - 1] == '/') {
        length--;
    }
    bool ends = length > ending && memcmp(folder + length - ending, folder_ending, ending) == 0;
    return ends ? pt_asprintf("%.*s", (int)(length - ending), folder) : NULL;
}

/* The output: as the user named it, else where it was written, else beside the folder, for both may have been
 * moved together. */
static pt_status find_output(const char *path, const char *recorded, findings *f)
{
    char *near = beside(f->folder);
    const char *at = f->named ? path : is_file(recorded) || !near || !is_file(near) ? recorded : near;
    f->output = pt_strdup(at);
    pt_free(near);
    return f->output ? pt_ok() : PT_NOMEM("the output's name");
}

static pt_status check_output(const char *path, const pt_ledger *ledger, findings *f)
{
    uint8_t wanted[PT_SHA256_BYTES], found[PT_SHA256_BYTES];
    const char *recorded = pt_ledger_output(ledger, wanted);
    if (!recorded) {
        return pt_ok();
    }
    pt_sha256_hex(wanted, f->sha256);
    PT_TRY(find_output(path, recorded, f));
    f->state = OUTPUT_GONE;
    if (!is_file(f->output)) {
        return pt_ok();
    }
    PT_TRY(pt_sha256_file(f->output, found));
    f->state = memcmp(wanted, found, sizeof wanted) == 0 ? OUTPUT_AS_WRITTEN : OUTPUT_CHANGED;
    return pt_ok();
}

static pt_status look(const char *path, findings *f)
{
    pt_ledger *ledger = NULL;
    PT_TRY(find_folder(path, f));
    PT_TRY(pt_ledger_read(f->folder, &ledger));
    pt_status status;
    PT_TRY_OUT(pt_ledger_verify(ledger, &f->counts));
    f->done = pt_ledger_state(ledger) == PT_JOB_DONE;
    f->epoch = pt_ledger_epoch(ledger);
    PT_TRY_OUT(check_output(path, ledger, f));
out:
    pt_ledger_close(&ledger);
    return status;
}

/* What is not as it should be, if anything. */
static pt_status judge(const findings *f)
{
    const pt_ledger_counts *c = &f->counts;
    if (c->damaged + c->doubled + c->foreign > 0) {
        return pt_error(PT_E_INPUT,
                        "%s is damaged: of its tiles %lld are not as written, %lld doubled, %lld not "
                        "the job's; run the job anew with --overwrite",
                        f->folder, (long long)c->damaged, (long long)c->doubled, (long long)c->foreign);
    }
    if (!f->done) {
        return pt_error(PT_E_INPUT,
                        "%s: the job is not at its end, %lld of %lld tiles are missing; go on with "
                        "--resume",
                        f->folder, (long long)c->missing, (long long)c->tiles);
    }
    if (c->missing > 0) {
        return pt_error(PT_E_INPUT,
                        "%s: the job ended without %lld of its %lld tiles; run it anew with "
                        "--overwrite",
                        f->folder, (long long)c->missing, (long long)c->tiles);
    }
    if (f->state == OUTPUT_GONE) {
        return pt_error(PT_E_INPUT, "%s is gone; run the job anew with --overwrite", f->output);
    }
    if (f->state == OUTPUT_CHANGED) {
        return pt_error(PT_E_INPUT,
                        "%s was changed after the job had written it; restore it, or run the job anew "
                        "with --overwrite",
                        f->output);
    }
    return pt_ok();
}

static const char *const output_states[] = {"none", "as written", "changed", "gone"};

static void print_text(const findings *f)
{
    const pt_ledger_counts *c = &f->counts;
    printf("job           %s\nstate         %s\ntiles         %lld\n", f->folder,
           f->done ? "done" : "interrupted", (long long)c->tiles);
    const struct {
        const char *name;
        int64_t count;
    } rows[] = {{"done", c->done},       {"empty", c->empty},     {"quarantined", c->quarantined},
                {"missing", c->missing}, {"doubled", c->doubled}, {"foreign", c->foreign},
                {"damaged", c->damaged}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        printf("  %-12s%lld\n", rows[i].name, (long long)rows[i].count);
    }
    if (f->state != OUTPUT_NONE) {
        printf("output        %s\n  sha256      %s, %s\n", f->output, f->sha256, output_states[f->state]);
    }
}

static pt_status print_json(const findings *f, bool complete)
{
    const pt_ledger_counts *c = &f->counts;
    json_t *output = f->state == OUTPUT_NONE ? json_null()
                                             : json_pack("{s:s,s:s,s:s}", "path", f->output, "sha256",
                                                         f->sha256, "state", output_states[f->state]);
    json_t *root = json_pack(
        "{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:b}", "job", f->folder, "state",
        f->done ? "done" : "interrupted", "epoch", (json_int_t)f->epoch, "tiles", (json_int_t)c->tiles,
        "done", (json_int_t)c->done, "empty", (json_int_t)c->empty, "quarantined", (json_int_t)c->quarantined,
        "missing", (json_int_t)c->missing, "doubled", (json_int_t)c->doubled, "foreign",
        (json_int_t)c->foreign, "damaged", (json_int_t)c->damaged, "output", output, "complete", complete);
    if (!root) {
        return pt_error(PT_E_INTERNAL, "the findings do not fit into JSON");
    }
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
    return pt_ok();
}

static pt_status work(const verify_options *o, const pt_texts *jobs, findings *f)
{
    if (jobs->count != 1) {
        return pt_error(PT_E_USAGE, "name one job, or its output; see pantile verify --help");
    }
    PT_TRY(look(jobs->items[0], f));
    pt_status verdict = judge(f);
    if (o->json) {
        PT_TRY(print_json(f, verdict.code == PT_OK));
    } else {
        print_text(f);
    }
    return verdict;
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    enum { EXIT_QUARANTINED = 3 };
    verify_options options = {.json = false};
    findings found = {.folder = NULL};
    pt_texts jobs = {0};
    pt_status status = pt_options_parse(command, argc, argv, &options, &jobs);
    if (status.code == PT_OK && options.help) {
        pt_help_command(stdout, command, false);
    } else if (status.code == PT_OK) {
        pt_console_setup(&options.console);
        status = work(&options, &jobs, &found);
    }
    bool quarantined = status.code == PT_OK && found.counts.quarantined > 0;
    pt_texts_fini(&jobs);
    pt_free(found.folder);
    pt_free(found.output);
    return quarantined ? EXIT_QUARANTINED : pt_finish(command, status);
}

const pt_command pt_command_verify = {
    .name = "verify",
    .arguments = "JOB [OPTION]...",
    .summary = "proves that a job is complete and its output unchanged",
    .detail =
        "Proves from a job's ledger that every tile is done, empty or quarantined, none twice, and that the "
        "output is the file that the job wrote. JOB is the job's folder (OUT.pantile, or --job-dir) or the "
        "output beside it. Exit code 0: complete; 3: complete, but for quarantined tiles; 2: anything else.",
    .example = "pantile verify buildings.geojson",
    .options = verify_table,
    .option_count = sizeof verify_table / sizeof *verify_table,
    .reads_only = true,
    .run = run_command};
