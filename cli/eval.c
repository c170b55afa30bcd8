/* pantile eval: predicted against true polygons. */
#include "cli/commands.h"

#include "cli/console.h"
#include "cli/help.h"
#include "tiling/evaluate/evaluate.h"

#include <jansson.h>
#include <stdio.h>

typedef struct eval_options {
    double score;
    const char *within, *class_field;
    bool json, help;
    pt_console_options console;
} eval_options;

#define AT(member) offsetof(eval_options, member)

/* clang-format off */
static const pt_option eval_table[] = {
    {.name = "score", .value = "S", .kind = PT_OPTION_REAL, .offset = AT(score), .least = 0, .most = 1, .words = "",
     .help = "predictions below count for AP alone, not for precision, recall, F1 and PQ [0]"},
    {.name = "within", .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(within),
     .help = "vector or raster file: polygons less than half inside its extent are ignored"},
    {.name = "class-field", .value = "NAME", .kind = PT_OPTION_TEXT, .offset = AT(class_field), .words = "",
     .help = "attribute that holds the class [class]"},
    {.name = "json", .kind = PT_OPTION_FLAG, .offset = AT(json), .help = "print JSON"},
    {.name = "quiet", .letter = 'q', .kind = PT_OPTION_FLAG, .offset = AT(console.quiet),
     .help = "warnings and errors alone beside the table"},
    {.name = "log", .value = "FORMAT", .kind = PT_OPTION_TEXT, .offset = AT(console.log), .words = "text json",
     .strict = true, .help = "text, or json: one JSON object a line on standard error [text]"},
    {.name = "help", .letter = 'h', .kind = PT_OPTION_FLAG, .offset = AT(help), .help = "print the help and leave"},
};
/* clang-format on */

static void print_row(const pt_score *s)
{
    printf("%-16.16s %8lld %9lld %8lld %9.4f %7.4f %7.4f %7.4f %7.4f %7.4f %7.4f\n", s->name,
           (long long)s->truth, (long long)s->predicted, (long long)s->hits, s->precision, s->recall, s->f1,
           s->pq, s->ap50, s->ap75, s->ap);
}

static void print_table(const pt_evaluation *e)
{
    printf("%-16s %8s %9s %8s %9s %7s %7s %7s %7s %7s %7s\n", "class", "truth", "predicted", "hits",
           "precision", "recall", "F1", "PQ", "AP50", "AP75", "AP");
    print_row(&e->all);
    for (size_t i = 0; e->class_count > 1 && i < e->class_count; i++) {
        print_row(&e->classes[i]);
    }
}

static json_t *score_json(const pt_score *s)
{
    return json_pack("{s:s,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "class", s->name, "truth",
                     (json_int_t)s->truth, "predicted", (json_int_t)s->predicted, "hits", (json_int_t)s->hits,
                     "precision", s->precision, "recall", s->recall, "f1", s->f1, "pq", s->pq, "sq", s->sq,
                     "rq", s->rq, "mean_iou", s->mean_iou, "ap50", s->ap50, "ap75", s->ap75, "ap", s->ap);
}

static pt_status print_json(const pt_evaluation *e)
{
    json_t *classes = json_array();
    for (size_t i = 0; i < e->class_count; i++) {
        json_array_append_new(classes, score_json(&e->classes[i]));
    }
    json_t *root = json_pack("{s:o,s:o}", "all", score_json(&e->all), "classes", classes);
    if (!root) {
        return PT_NOMEM("the table");
    }
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
    return pt_ok();
}

static pt_status work(const eval_options *o, const pt_texts *files)
{
    if (files->count != 2) {
        return pt_error(PT_E_USAGE,
                        "name two files: what was predicted and what is true; see pantile eval --help");
    }
    pt_evaluate_options options = pt_evaluate_defaults();
    options.min_score = o->score;
    options.within = o->within;
    if (o->class_field) {
        options.class_field = o->class_field;
    }
    pt_evaluation evaluation;
    PT_TRY(pt_evaluate(files->items[0], files->items[1], &options, &evaluation));
    pt_status status = pt_ok();
    if (o->json) {
        status = print_json(&evaluation);
    } else {
        print_table(&evaluation);
    }
    pt_evaluation_fini(&evaluation);
    return status;
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    eval_options options = {.score = 0};
    pt_texts files = {0};
    pt_status status = pt_options_parse(command, argc, argv, &options, &files);
    if (status.code == PT_OK && options.help) {
        pt_help_command(stdout, command, false);
    } else if (status.code == PT_OK) {
        pt_console_setup(&options.console);
        status = work(&options, &files);
    }
    pt_texts_fini(&files);
    return pt_finish(command, status);
}

const pt_command pt_command_eval = {
    .name = "eval",
    .arguments = "PREDICTED TRUTH [OPTION]...",
    .summary = "compares predicted with true polygons: AP, precision, recall, F1, PQ",
    .detail =
        "Compares predicted with true polygons, matched greedily by falling score at IoU 0.5 (AP: 0.50, "
        "0.55, ... "
        "0.95): AP, precision, recall, F1 and PQ, over all and per class. Any vector files that OGR opens.",
    .example = "pantile eval buildings.geojson truth.geojson --within scene.tif",
    .options = eval_table,
    .option_count = sizeof eval_table / sizeof *eval_table,
    .reads_only = true,
    .run = run_command};
