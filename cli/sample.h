/* Tiles spread evenly over all scenes of a job: the same for the same scenes and the same number. */
#ifndef PANTILE_CLI_SAMPLE_H
#define PANTILE_CLI_SAMPLE_H

#include "cli/job.h"

enum { PT_SAMPLE_TILE_MIN = 128 };
#define PT_SAMPLE_METHODS "mse kl percentile minmax" /* of calibration */

/* Which scenes, and how they are read: as `pantile run` reads them. */
typedef struct pt_sample_options {
    const char *model, *gsd, *aoi;
    int64_t tile, threads;
    pt_texts scenes, drivers;
    pt_reals bands, range, bbox;
} pt_sample_options;

pt_sample_options pt_sample_defaults(void);
void pt_sample_options_fini(pt_sample_options *options);
/* PT_E_USAGE when anything stands on the line without an option. */
pt_status pt_sample_no_arguments(const pt_texts *arguments);
/* Rows of an option table for the pt_sample_options `member` of `type`. */
/* clang-format off */
#define PT_SAMPLE_AT(type, member, name) offsetof(type, member.name)
#define PT_SAMPLE_ROWS(type, member) \
    {.name = "model", .letter = 'm', .value = "FILE", .kind = PT_OPTION_TEXT, .offset = PT_SAMPLE_AT(type, member, model), \
     .help = "model file (.safetensors), or the name of a bundled one (required)"}, \
    {.name = "scene", .letter = 's', .value = "FILE", .kind = PT_OPTION_TEXTS, .offset = PT_SAMPLE_AT(type, member, scenes), \
     .help = "scene like those that the model will see (required); repeatable"}, \
    {.name = "tile", .value = "N", .kind = PT_OPTION_INTEGER, .offset = PT_SAMPLE_AT(type, member, tile), \
     .least = PT_SAMPLE_TILE_MIN, .most = 16384, .words = "", .help = "side of a tile, scene pixels [1024]"}, \
    {.name = "gsd", .value = "M", .kind = PT_OPTION_TEXT, .offset = PT_SAMPLE_AT(type, member, gsd), .words = "auto native", \
     .help = "metres per pixel: auto (the model's), native, or a number [auto]"}, \
    {.name = "bands", .value = "R,G,B", .kind = PT_OPTION_REALS, .offset = PT_SAMPLE_AT(type, member, bands), .least = 1, \
     .most = 65535, .count = 3, .words = "", \
     .help = "bands to use as red, green and blue [by colour interpretation, else 1,2,3]"}, \
    {.name = "range", .value = "LO,HI", .kind = PT_OPTION_REALS, .offset = PT_SAMPLE_AT(type, member, range), .least = -1e30, \
     .most = 1e30, .count = 2, .words = "", \
     .help = "sample values that become black and white [bytes as they are, others 2-98 %]"}, \
    {.name = "aoi", .value = "FILE", .kind = PT_OPTION_TEXT, .offset = PT_SAMPLE_AT(type, member, aoi), \
     .help = "only inside these polygons"}, \
    {.name = "bbox", .value = "X0,Y0,X1,Y1", .kind = PT_OPTION_REALS, .offset = PT_SAMPLE_AT(type, member, bbox), \
     .least = -1e30, .most = 1e30, .count = 4, .words = "", .help = "only inside this box, in the scene's CRS"}, \
    {.name = "threads", .letter = 't', .value = "N", .kind = PT_OPTION_INTEGER, .offset = PT_SAMPLE_AT(type, member, threads), \
     .least = 1, .most = 1024, .words = "", .help = "threads [all cores]"}, \
    {.name = "driver", .value = "NAME", .kind = PT_OPTION_TEXTS, .offset = PT_SAMPLE_AT(type, member, drivers), .words = "", \
     .help = "allow one more GDAL driver (GTiff, COG, VRT, JP2OpenJPEG, PNG, JPEG are); repeatable"}
/* clang-format on */

/* A job of these scenes; `run` is filled, and borrowed by the job until it is closed. PT_E_USAGE without a
 * scene or when `output` is one of them; else what pt_job_open fails with. */
pt_status pt_sample_job(const pt_sample_options *options, const char *output, pt_run_options *run,
                        pt_job *out);

/* A window with valid pixels: the index-th tile of `wanted`. */
typedef struct pt_sample {
    const pt_scene *scene; /* valid during the call, as is the next */
    const pt_window *window;
    int64_t tile; /* of the scene's grid */
    int64_t index, wanted;
} pt_sample;

typedef pt_status pt_sample_take(void *user, const pt_sample *sample);

/* Calls back for at most `most` tiles, in the order of the scenes and their tiles; all of them where there
 * are fewer. Those without a valid pixel are left out. PT_E_INPUT when no tile has any; PT_E_STOPPED after a
 * signal; what reading and `take` fail with. */
pt_status pt_sample_tiles(const pt_job *job, int64_t most, pt_sample_take *take, void *user);

#endif
