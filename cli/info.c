/* pantile info: what a scene or a model is. */
#include "cli/commands.h"

#include "cli/help.h"
#include "cli/info_graph.h"
#include "cli/job.h"
#include "cli/paths.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

typedef struct info_options {
    pt_texts drivers;
    const char *precision, *without_passes;
    int64_t size;
    bool json, graph, help;
    pt_console_options console;
} info_options;

#define AT(member) offsetof(info_options, member)

/* clang-format off */
static const pt_option info_table[] = {
    {.name = "json", .kind = PT_OPTION_FLAG, .offset = AT(json), .help = "print JSON"},
    {.name = "graph", .kind = PT_OPTION_FLAG, .offset = AT(graph),
     .help = "of a model: its layers as they are computed, with shapes, operations, bytes and precision"},
    {.name = "size", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(size), .least = 1, .most = 16384,
     .words = "", .help = "with --graph: side of the image in pixels [1024]"},
    {.name = "precision", .value = "TEXT", .kind = PT_OPTION_TEXT, .offset = AT(precision),
     .words = "auto fp32 int8", .help = "with --graph: fp32, int8, int8,mask=fp32, ... [auto: the model's own]"},
    {.name = "without-passes", .value = "LIST", .kind = PT_OPTION_TEXT, .offset = AT(without_passes), .words = "all",
     .help = "with --graph: passes over the graph to leave out, separated by commas, or all"},
    {.name = "driver", .value = "NAME", .kind = PT_OPTION_TEXTS, .offset = AT(drivers), .words = "",
     .help = "allow one more GDAL driver (GTiff, COG, VRT, JP2OpenJPEG, PNG, JPEG are); repeatable"},
    {.name = "log", .value = "FORMAT", .kind = PT_OPTION_TEXT, .offset = AT(console.log), .words = "text json",
     .strict = true, .help = "text, or json: one JSON object a line on standard error [text]"},
    {.name = "help", .letter = 'h', .kind = PT_OPTION_FLAG, .offset = AT(help), .help = "print the help and leave"},
};
/* clang-format on */

/* A safetensors file begins with the length of its header (8 bytes, little-endian) and the header, a JSON
 * object. */
static bool looks_like_model(const char *path)
{
    unsigned char head[9];
    FILE *file = fopen(path, "rb");
    if (!file) {
        return false;
    }
    size_t n = fread(head, 1, sizeof head, file);
    fclose(file);
    size_t length = strlen(path);
    bool named = length > 12 && strcmp(path + length - 12, ".safetensors") == 0;
    return named || (n == sizeof head && head[8] == '{' && head[6] == 0 && head[7] == 0);
}

/* File names may be no UTF-8: then null. */
static json_t *name_json(const char *name)
{
    json_t *text = json_string(name);
    return text ? text : json_null();
}

static json_t *model_json(const char *path, const pt_model_summary *m)
{
    json_t *classes = json_array();
    for (int i = 0; i < m->class_count; i++) {
        json_array_append_new(classes, json_string(m->class_names[i]));
    }
    return json_pack(
        "{s:s,s:o,s:o,s:s,s:s,s:I,s:o,s:i,s:i,s:i,s:i,s:[f,f,f],s:[f,f,f],s:f,s:f,s:f,s:f,s:i,s:i,s:i,s:"
        "f,s:s?,s:i,s:s,s:s}",
        "kind", "model", "path", name_json(path), "name", name_json(m->name), "architecture", m->architecture,
        "dtype", m->dtype, "parameters", (json_int_t)m->parameters, "classes", classes, "fpn_channels",
        m->fpn_channels, "levels", m->level_count, "stride", m->stride, "mask_size", m->mask_size, "mean",
        m->mean[0], m->mean[1], m->mean[2], "std", m->std[0], m->std[1], m->std[2], "gsd", m->gsd,
        "score_threshold", m->score_threshold, "nms_threshold", m->nms_threshold, "export_score",
        m->export_score, "max_detections", m->max_detections, "rpn_pre_nms", m->rpn_pre_nms, "rpn_post_nms",
        m->rpn_post_nms, "rpn_nms_threshold", m->rpn_nms_threshold, "calibration", m->calibration,
        "calibration_tiles", m->calibration_tiles, "precision", m->precision, "sha256", m->sha256);
}

static void print_model(const pt_model_summary *m)
{
    printf("model         %s\narchitecture  %s, FPN of %d channels, %d levels, stride %d\n", m->name,
           m->architecture, m->fpn_channels, m->level_count, m->stride);
    printf("weights       %lld numbers as %s, sha256 %s\n", (long long)m->parameters, m->dtype, m->sha256);
    printf("classes       %d:", m->class_count - 1);
    for (int i = 1; i < m->class_count; i++) {
        printf("%s %s", i > 1 ? "," : "", m->class_names[i]);
    }
    if (m->gsd > 0) {
        printf("\ngsd           %g m\n", m->gsd);
    } else {
        printf("\ngsd           unknown\n");
    }
    printf("input         (RGB / 255 - (%g, %g, %g)) / (%g, %g, %g)\n", m->mean[0], m->mean[1], m->mean[2],
           m->std[0], m->std[1], m->std[2]);
    printf("proposals     %d per level before, %d after NMS at %g\n", m->rpn_pre_nms, m->rpn_post_nms,
           m->rpn_nms_threshold);
    printf("detections    score >= %g, NMS at %g, at most %d; worth exporting from %g\n", m->score_threshold,
           m->nms_threshold, m->max_detections, m->export_score);
    printf("masks         %d x %d probabilities\n", m->mask_size, m->mask_size);
    if (m->calibration) {
        printf("precision     %s unless told otherwise, calibrated by %s on %d tiles\n", m->precision,
               m->calibration, m->calibration_tiles);
    } else {
        printf("precision     fp32: not calibrated\n");
    }
}

static pt_status print_root(json_t *root)
{
    if (!root) {
        return pt_error(PT_E_INTERNAL, "the description does not fit into JSON");
    }
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    putchar('\n');
    json_decref(root);
    return pt_ok();
}

static pt_status tell_graph(const char *path, const info_options *o)
{
    pt_engine_options options = pt_engine_defaults();
    pt_model_graph *graph = NULL;
    options.precision = o->precision;
    options.without_passes = o->without_passes;
    PT_TRY(pt_model_graph_read(path, &options, (int)o->size, (int)o->size, &graph));
    pt_status status = pt_ok();
    if (o->json) {
        status = print_root(pt_info_graph_json(graph));
    } else {
        pt_info_graph_print(graph);
    }
    pt_model_graph_free(&graph);
    return status;
}

static pt_status tell_model(const char *path, const info_options *o)
{
    if (o->graph) {
        return tell_graph(path, o);
    }
    pt_model_summary *summary = NULL;
    PT_TRY(pt_model_summary_read(path, &summary));
    pt_status status = pt_ok();
    if (o->json) {
        status = print_root(model_json(path, summary));
    } else {
        print_model(summary);
    }
    pt_model_summary_free(&summary);
    return status;
}

static json_t *scene_json(const pt_scene_info *i, const char *crs)
{
    return json_pack(
        "{s:s,s:o,s:s,s:s,s:s,s:[I,I],s:i,s:[i,i,i],s:[f,f],s:b,s:[f,f,f],s:[f,f,f],s:[f,f,f,f,f,f]}", "kind",
        "scene", "path", name_json(i->path), "driver", i->driver, "type", i->type, "crs", crs, "size",
        (json_int_t)i->native_width, (json_int_t)i->native_height, "band_count", i->band_count, "bands",
        i->bands[0], i->bands[1], i->bands[2], "gsd", i->native_gsd_x, i->native_gsd_y, "has_mask",
        i->has_mask, "range_lo", i->range_lo[0], i->range_lo[1], i->range_lo[2], "range_hi", i->range_hi[0],
        i->range_hi[1], i->range_hi[2], "transform", i->georef.transform[0], i->georef.transform[1],
        i->georef.transform[2], i->georef.transform[3], i->georef.transform[4], i->georef.transform[5]);
}

static void print_scene(const pt_scene_info *i, const char *crs)
{
    printf("scene         %s\nformat        %s\nsize          %lld x %lld pixels\n", i->path, i->driver,
           (long long)i->native_width, (long long)i->native_height);
    printf("bands         %d of %s, used as red, green, blue: %d, %d, %d\n", i->band_count, i->type,
           i->bands[0], i->bands[1], i->bands[2]);
    printf("crs           %s\n", crs);
    if (i->native_gsd_x > 0) {
        printf("gsd           %.4f x %.4f m on the ground at the centre\n", i->native_gsd_x, i->native_gsd_y);
    } else {
        printf("gsd           unknown\n");
    }
    printf("range         R %g .. %g, G %g .. %g, B %g .. %g become 0 .. 255\n", i->range_lo[0],
           i->range_hi[0], i->range_lo[1], i->range_hi[1], i->range_lo[2], i->range_hi[2]);
    printf("invalid       %s\n", i->has_mask ? "marked by alpha, mask or nodata" : "no pixel is marked");
}

static pt_status tell_scene(const char *path, const info_options *o)
{
    pt_scene_options options = pt_scene_defaults();
    options.gsd_mode = PT_GSD_NATIVE;
    options.drivers = o->drivers.items;
    options.driver_count = o->drivers.count;
    pt_scene *scene = NULL;
    char crs[128];
    pt_status status = pt_scene_open(&path, 1, &options, &scene);
    if (status.code != PT_OK) {
        return status;
    }
    const pt_scene_info *info = pt_scene_describe(scene);
    pt_job_crs_name(info, crs, sizeof crs);
    if (o->json) {
        status = print_root(scene_json(info, crs));
    } else {
        print_scene(info, crs);
    }
    pt_scene_close(&scene);
    return status;
}

static pt_status work(const info_options *o, const pt_texts *files)
{
    if (files->count != 1) {
        return pt_error(PT_E_USAGE, "name one scene or model; see pantile info --help");
    }
    if (!o->graph && (o->precision || o->without_passes)) {
        return pt_error(PT_E_USAGE, "--precision and --without-passes say what --graph shows; add that");
    }
    const char *path = files->items[0];
    char *model = NULL;
    if (looks_like_model(path)) {
        return tell_model(path, o);
    }
    /* The name of a bundled model is no file. */
    FILE *file = fopen(path, "rb");
    if (file) {
        fclose(file);
    } else if (!strchr(path, '/') && pt_paths_model(path, &model).code == PT_OK) {
        pt_status status = tell_model(model, o);
        pt_free(model);
        return status;
    }
    if (o->graph) {
        return pt_error(PT_E_USAGE, "%s: no model, and scenes have no --graph", path);
    }
    return tell_scene(path, o);
}

static int run_command(const pt_command *command, int argc, char **argv)
{
    info_options options = {.size = 1024};
    pt_texts files = {0};
    pt_status status = pt_options_parse(command, argc, argv, &options, &files);
    if (status.code == PT_OK && options.help) {
        pt_help_command(stdout, command, false);
    } else if (status.code == PT_OK) {
        pt_console_setup(&options.console);
        status = work(&options, &files);
    }
    pt_texts_fini(&files);
    pt_texts_fini(&options.drivers);
    return pt_finish(command, status);
}

const pt_command pt_command_info = {.name = "info",
                                    .arguments = "FILE [OPTION]...",
                                    .summary = "says what a scene or a model is",
                                    .detail = "Says what a scene (any raster that GDAL opens) or a model "
                                              "(.safetensors, or the name of a bundled one) is; "
                                              "the content decides which of both.",
                                    .example = "pantile info buildings_mnv2_fpn",
                                    .options = info_table,
                                    .option_count = sizeof info_table / sizeof *info_table,
                                    .reads_only = true,
                                    .run = run_command};
