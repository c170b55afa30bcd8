#include "cli/run_options.h"

#include "cli/paths.h"

#include <string.h>

#define AT(member) offsetof(pt_run_options, member)

/* What both commands take; the same rows stand in both tables. */
#define SHARED_OPTIONS                                                                                       \
    {.name = "model",                                                                                        \
     .letter = 'm',                                                                                          \
     .value = "FILE",                                                                                        \
     .kind = PT_OPTION_TEXT,                                                                                 \
     .offset = AT(model),                                                                                    \
     .config = true,                                                                                         \
     .help = "model file (.safetensors), or the name of a bundled one"},                                     \
        {.name = "config",                                                                                   \
         .letter = 'c',                                                                                      \
         .value = "FILE",                                                                                    \
         .kind = PT_OPTION_TEXT,                                                                             \
         .offset = AT(config),                                                                               \
         .help = "options from a YAML file; the command line wins"},                                         \
        {.name = "score",                                                                                    \
         .value = "S",                                                                                       \
         .kind = PT_OPTION_REAL,                                                                             \
         .offset = AT(score),                                                                                \
         .least = 0,                                                                                         \
         .most = 1,                                                                                          \
         .words = "",                                                                                        \
         .config = true,                                                                                     \
         .help = "least score of an object [the model's, mostly 0.5]"},                                      \
        {.name = "gsd",                                                                                      \
         .value = "M",                                                                                       \
         .kind = PT_OPTION_TEXT,                                                                             \
         .offset = AT(gsd),                                                                                  \
         .words = "auto native",                                                                             \
         .config = true,                                                                                     \
         .help = "metres per pixel: auto (the model's), native, or a number [auto]"},                        \
        {.name = "bands",                                                                                    \
         .value = "R,G,B",                                                                                   \
         .kind = PT_OPTION_REALS,                                                                            \
         .offset = AT(bands),                                                                                \
         .least = 1,                                                                                         \
         .most = 65535,                                                                                      \
         .count = 3,                                                                                         \
         .words = "",                                                                                        \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "bands to use as red, green and blue [by colour interpretation, else 1,2,3]"},              \
        {.name = "range",                                                                                    \
         .value = "LO,HI",                                                                                   \
         .kind = PT_OPTION_REALS,                                                                            \
         .offset = AT(range),                                                                                \
         .least = -1e30,                                                                                     \
         .most = 1e30,                                                                                       \
         .count = 2,                                                                                         \
         .words = "",                                                                                        \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "sample values that become black and white [bytes as they are, others 2-98 %]"},            \
        {.name = "aoi",                                                                                      \
         .value = "FILE",                                                                                    \
         .kind = PT_OPTION_TEXT,                                                                             \
         .offset = AT(aoi),                                                                                  \
         .config = true,                                                                                     \
         .help = "only inside these polygons (scene without a CRS: in pixels, y negated)"},                  \
        {.name = "bbox",                                                                                     \
         .value = "X0,Y0,X1,Y1",                                                                             \
         .kind = PT_OPTION_REALS,                                                                            \
         .offset = AT(bbox),                                                                                 \
         .least = -1e30,                                                                                     \
         .most = 1e30,                                                                                       \
         .count = 4,                                                                                         \
         .words = "",                                                                                        \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help =                                                                                             \
             "only inside this box, in the scene's CRS (without a CRS: columns and rows, row 0 on top)"},    \
        {.name = "threads",                                                                                  \
         .letter = 't',                                                                                      \
         .value = "N",                                                                                       \
         .kind = PT_OPTION_INTEGER,                                                                          \
         .offset = AT(threads),                                                                              \
         .least = 1,                                                                                         \
         .most = 1024,                                                                                       \
         .words = "",                                                                                        \
         .config = true,                                                                                     \
         .help = "threads of this machine, shared by its workers [all cores]"},                              \
        {.name = "tile",                                                                                     \
         .value = "PX",                                                                                      \
         .kind = PT_OPTION_INTEGER,                                                                          \
         .offset = AT(tile),                                                                                 \
         .least = 64,                                                                                        \
         .most = 16384,                                                                                      \
         .words = "",                                                                                        \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "side of a tile, pixels; a multiple of the model's stride [1024]"},                         \
        {.name = "overlap",                                                                                  \
         .value = "PX",                                                                                      \
         .kind = PT_OPTION_INTEGER,                                                                          \
         .offset = AT(overlap),                                                                              \
         .least = 1,                                                                                         \
         .most = 16383,                                                                                      \
         .words = "",                                                                                        \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "pixels that neighbouring tiles share; larger than most objects [256]"},                    \
        {.name = "proposals",                                                                                \
         .value = "N",                                                                                       \
         .kind = PT_OPTION_INTEGER,                                                                          \
         .offset = AT(proposals),                                                                            \
         .least = 1,                                                                                         \
         .most = 100000,                                                                                     \
         .words = "",                                                                                        \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "cap on proposals of a tile [the model's]"},                                                \
        {.name = "detections",                                                                               \
         .value = "N",                                                                                       \
         .kind = PT_OPTION_INTEGER,                                                                          \
         .offset = AT(detections),                                                                           \
         .least = 0,                                                                                         \
         .most = 100000,                                                                                     \
         .words = "",                                                                                        \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "cap on objects of a tile, 0: the model's own [1000, or the model's if larger]"},           \
        {.name = "driver",                                                                                   \
         .value = "NAME",                                                                                    \
         .kind = PT_OPTION_TEXTS,                                                                            \
         .offset = AT(drivers),                                                                              \
         .words = "",                                                                                        \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "allow one more GDAL driver (GTiff, COG, VRT, JP2OpenJPEG, PNG, JPEG are); repeatable"},    \
        {.name = "require-crs",                                                                              \
         .kind = PT_OPTION_FLAG,                                                                             \
         .offset = AT(require_crs),                                                                          \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "refuse scenes without a CRS in place of writing pixel coordinates"},                       \
        {.name = "strict",                                                                                   \
         .kind = PT_OPTION_FLAG,                                                                             \
         .offset = AT(strict),                                                                               \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "a GDAL warning during a read fails the tile"},                                             \
        {.name = "engine",                                                                                   \
         .value = "WHAT",                                                                                    \
         .kind = PT_OPTION_TEXT,                                                                             \
         .offset = AT(engine),                                                                               \
         .words = "model oracle: replay: null",                                                              \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "who detects: model; oracle:FILE, the truth from a vector file; replay:DIR, another "       \
                 "program's detections (docs/replay.md); null, nobody, to measure the rest [model]"},        \
        {.name = "precision",                                                                                \
         .value = "WHAT",                                                                                    \
         .kind = PT_OPTION_TEXT,                                                                             \
         .offset = AT(precision),                                                                            \
         .words = "auto fp32 int8",                                                                          \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "what the network computes in: fp32; int8, of a calibrated model; a list such as "          \
                 "int8,mask=fp32; auto, the model's own [auto]"},                                            \
        {.name = "backend",                                                                                  \
         .value = "NAME",                                                                                    \
         .kind = PT_OPTION_TEXT,                                                                             \
         .offset = AT(backend),                                                                              \
         .words = "auto native onednn portable",                                                             \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "what computes the network's layers, on every worker (docs/engine.md) [auto: the fastest "  \
                 "of each machine]"},                                                                        \
        {.name = "quiet",                                                                                    \
         .letter = 'q',                                                                                      \
         .kind = PT_OPTION_FLAG,                                                                             \
         .offset = AT(console.quiet),                                                                        \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "warnings and errors alone"},                                                               \
        {.name = "log",                                                                                      \
         .value = "FORMAT",                                                                                  \
         .kind = PT_OPTION_TEXT,                                                                             \
         .offset = AT(console.log),                                                                          \
         .words = "text json",                                                                               \
         .strict = true,                                                                                     \
         .rare = true,                                                                                       \
         .config = true,                                                                                     \
         .help = "text, or json: one JSON object a line on standard error [text]"},                          \
        {.name = "verbose",                                                                                  \
         .letter = 'v',                                                                                      \
         .kind = PT_OPTION_COUNT,                                                                            \
         .offset = AT(console.verbose),                                                                      \
         .rare = true,                                                                                       \
         .help = "say more; twice: everything"},                                                             \
    {                                                                                                        \
        .name = "help", .letter = 'h', .kind = PT_OPTION_FLAG, .offset = AT(help), .rare = true,             \
        .help = "print the help and leave"                                                                   \
    }

/* clang-format off */
const pt_option pt_run_option_table[] = {
    {.name = "output", .letter = 'o', .value = "OUT", .kind = PT_OPTION_TEXT, .offset = AT(output), .config = true,
     .help = "file to write: .geojson, .geojsonl, .gpkg or .fgb (required)"},
    SHARED_OPTIONS,
    {.name = "min-area", .value = "M2", .kind = PT_OPTION_REAL, .offset = AT(min_area), .least = 0, .most = 1e12,
     .words = "", .config = true, .help = "drop objects, parts and holes smaller than this, square metres [0]"},
    {.name = "simplify", .value = "M", .kind = PT_OPTION_REAL, .offset = AT(simplify), .least = 0, .most = 1e6,
     .words = "", .config = true, .help = "tolerance of outlines, metres [half a pixel, less for small objects]"},
    {.name = "square", .kind = PT_OPTION_FLAG, .offset = AT(square), .config = true,
     .help = "turn outlines to right angles where that fits (buildings)"},
    {.name = "overlay", .value = "PNG", .kind = PT_OPTION_TEXT, .offset = AT(overlay), .config = true,
     .help = "draw the result over the scene"},
    {.name = "overwrite", .kind = PT_OPTION_FLAG, .offset = AT(overwrite), .config = true,
     .help = "replace outputs that exist"},
    {.name = "report", .value = "JSON", .kind = PT_OPTION_TEXT, .offset = AT(report), .rare = true, .config = true,
     .help = "write what was run, with which values, and how it went"},
    {.name = "dump-tiles", .value = "DIR", .kind = PT_OPTION_TEXT, .offset = AT(dump_tiles), .rare = true,
     .help = "write each window as DIR/<tile>.ppm for other programs (docs/replay.md)"},
    {.name = "on-read-error", .value = "WHAT", .kind = PT_OPTION_TEXT, .offset = AT(on_read_error),
     .words = "quarantine fail", .strict = true, .rare = true, .config = true,
     .help = "a tile that cannot be read after three tries is left out (quarantine), or fails the job (fail) [quarantine]"},
    {.name = "workers", .letter = 'w', .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(workers), .least = 1, .most = 1024,
     .words = "", .config = true, .help = "worker processes on this machine (of each rank under mpirun) [1]"},
    {.name = "no-local-worker", .kind = PT_OPTION_FLAG, .offset = AT(no_local_worker), .rare = true, .config = true,
     .help = "only coordinate: workers come from outside (docs/clusters.md)"},
    {.name = "wait", .value = "S", .kind = PT_OPTION_REAL, .offset = AT(wait), .least = 0, .most = 1e9, .words = "",
     .rare = true, .config = true, .help = "fail after so many seconds without any worker; 0: wait for ever [600]"},
    {.name = "listen", .value = "ENDPOINT", .kind = PT_OPTION_TEXT, .offset = AT(listen), .words = "tcp:// ipc://", .rare = true,
     .config = true, .help = "where workers connect, as in tcp://0.0.0.0:5555 [a free port of the loopback address]"},
    {.name = "keys", .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(keys), .rare = true, .config = true,
     .help = "the coordinator's key pair, from pantile keygen [made for the job]"},
    {.name = "allow", .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(allow), .rare = true, .config = true,
     .help = "public keys of outside workers that may join, one a line"},
    {.name = "insecure", .kind = PT_OPTION_FLAG, .offset = AT(insecure), .rare = true,
     .help = "neither keys nor encryption, on any address: for networks that nobody else can reach"},
    {.name = "root", .value = "DIR", .kind = PT_OPTION_TEXT, .offset = AT(root), .rare = true, .config = true,
     .help = "folder that holds all inputs; workers elsewhere name theirs by their own --root [/]"},
    {.name = "ship-pixels", .kind = PT_OPTION_FLAG, .offset = AT(ship_pixels), .rare = true, .config = true,
     .help = "send pixels to workers that cannot read the scene themselves"},
    {.name = "job-dir", .value = "DIR", .kind = PT_OPTION_TEXT, .offset = AT(job_dir), .rare = true,
     .help = "where the job's ledger lives [OUT.pantile]"},
    {.name = "resume", .kind = PT_OPTION_FLAG, .offset = AT(resume),
     .help = "go on with an interrupted job"},
    {.name = "coverage", .value = "GEOJSON", .kind = PT_OPTION_TEXT, .offset = AT(coverage), .rare = true, .config = true,
     .help = "write what became of each tile, as polygons"},
    {.name = "metrics", .value = "HOST:PORT", .kind = PT_OPTION_TEXT, .offset = AT(metrics), .words = "127.0.0.1:9464",
     .rare = true, .config = true, .help = "serve Prometheus metrics there while the job runs"},
};

const pt_option pt_plan_option_table[] = {
    SHARED_OPTIONS,
    {.name = "json", .kind = PT_OPTION_FLAG, .offset = AT(json), .help = "print JSON"},
};
/* clang-format on */

pt_run_options pt_run_defaults(void)
{
    return (pt_run_options){.gsd = "auto",
                            .engine = "model",
                            .precision = "auto",
                            .backend = "auto",
                            .tile = 1024,
                            .overlap = 256,
                            .score = -1,
                            .simplify = -1,
                            .on_read_error = "quarantine",
                            .workers = 1,
                            .wait = 600,
                            .root = "/",
                            .detections = -1};
}

/* `pantile plan` reads the same configs as run: keys of outputs are known to it too. */
static pt_status load_config(const char *name, pt_run_options *options)
{
    static const pt_command run = {
        .name = "run", .options = pt_run_option_table, .option_count = PT_RUN_OPTIONS};
    char *path = NULL;
    PT_TRY(pt_paths_config(name, &path));
    pt_status status = pt_config_load(path, &run, &options->loaded);
    pt_free(path);
    return status.code == PT_OK ? pt_config_apply(options->loaded, options) : status;
}

pt_status pt_run_options_read(const pt_command *command, int argc, char **argv, pt_run_options *out)
{
    pt_run_options options = pt_run_defaults();
    /* The first pass finds --config and every mistake; only then the file is read and the line parsed over
     * it. */
    pt_status status = pt_options_parse(command, argc, argv, &options, &options.scenes);
    if (status.code == PT_OK && options.config && !options.help) {
        const char *config = options.config;
        pt_run_options_fini(&options);
        options = pt_run_defaults();
        status = load_config(config, &options);
        if (status.code == PT_OK) {
            status = pt_options_parse(command, argc, argv, &options, &options.scenes);
        }
    }
    if (status.code != PT_OK) {
        pt_run_options_fini(&options);
        return status;
    }
    *out = options;
    return status;
}

void pt_run_options_fini(pt_run_options *options)
{
    pt_texts_fini(&options->drivers);
    pt_texts_fini(&options->scenes);
    pt_config_free(&options->loaded);
}
