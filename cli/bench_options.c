#include "cli/bench_options.h"

#include "engine/measure/measure.h"

#define AT(member) offsetof(pt_bench_options, member)

/* clang-format off */
const pt_option pt_bench_table[PT_BENCH_OPTIONS] = {
    {.name = "model", .letter = 'm', .value = "FILE", .kind = PT_OPTION_TEXT, .offset = AT(model),
     .help = "model file (.safetensors), or the name of a bundled one (required)"},
    {.name = "image", .value = "FILE", .kind = PT_OPTION_TEXTS, .offset = AT(images),
     .help = "image to infer, such as a tile of run --dump-tiles; repeatable [a made one]"},
    {.name = "size", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(size), .least = 64, .most = 16384,
     .words = "", .help = "side of the image in pixels; of --image the upper left is cut [1024; whole images]"},
    {.name = "rounds", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(rounds), .least = 1, .most = 100000,
     .words = "", .help = "how often each image is timed [10]"},
    {.name = "threads", .letter = 't', .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(threads), .least = 1,
     .most = 1024, .words = "", .help = "threads [all cores]"},
    {.name = "streams", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(streams), .least = 1, .most = 256,
     .words = "", .help = "images computed side by side, each by threads / streams threads [1]"},
    {.name = "batch", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(batch), .least = 1, .most = 1024,
     .words = "", .help = "images of one call [as many as streams]"},
    {.name = "precision", .value = "TEXT", .kind = PT_OPTION_TEXT, .offset = AT(precision),
     .words = "auto fp32 int8", .help = "fp32, int8, int8,mask=fp32, ... [auto: the model's own]"},
    {.name = "backend", .value = "NAME", .kind = PT_OPTION_TEXT, .offset = AT(backend),
     .words = "auto native onednn portable", .help = "what computes the layers [auto: the fastest here]"},
    {.name = "score", .value = "S", .kind = PT_OPTION_REAL, .offset = AT(score), .least = 0, .most = 1, .words = "",
     .help = "least score of a detection [the model's own]"},
    {.name = "detections", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(detections), .least = 1,
     .most = 100000, .words = "", .help = "most detections of an image [the model's own]"},
    {.name = "proposals", .value = "N", .kind = PT_OPTION_INTEGER, .offset = AT(proposals), .least = 1,
     .most = 100000, .words = "", .help = "most proposals of an image [the model's own]"},
    {.name = "without-passes", .value = "LIST", .kind = PT_OPTION_TEXT, .offset = AT(without_passes), .words = "all",
     .help = "passes over the graph to leave out, separated by commas, or all"},
    {.name = "layers", .kind = PT_OPTION_FLAG, .offset = AT(layers), .help = "list the layers with their times"},
    {.name = "json", .kind = PT_OPTION_FLAG, .offset = AT(json), .help = "print one JSON object"},
    {.name = "help", .letter = 'h', .kind = PT_OPTION_FLAG, .offset = AT(help), .help = "print the help and leave"},
};
/* clang-format on */

pt_bench_options pt_bench_defaults(void)
{
    return (pt_bench_options){.rounds = 10, .score = -1};
}

pt_status pt_bench_measure(const pt_bench_options *o, const char *model_path, const pt_image *images,
                           size_t count)
{
    pt_measure_options options = {.model = model_path,
                                  .engine = pt_engine_defaults(),
                                  .images = images,
                                  .image_count = count,
                                  .size = (int)o->size,
                                  .batch = (int)o->batch,
                                  .rounds = (int)o->rounds};
    options.engine.threads = (int)o->threads;
    options.engine.streams = (int)o->streams;
    options.engine.score_threshold = (float)o->score;
    options.engine.max_detections = (int)o->detections;
    options.engine.max_proposals = (int)o->proposals;
    options.engine.precision = o->precision;
    options.engine.backend = o->backend;
    options.engine.without_passes = o->without_passes;
    pt_measurement result;
    PT_TRY(pt_measure(&options, &result));
    pt_status status = pt_ok();
    if (o->json) {
        status = pt_measure_json(&result, o->layers, stdout);
    } else {
        pt_measure_print(&result, o->layers, stdout);
    }
    pt_measure_fini(&result);
    return status;
}
