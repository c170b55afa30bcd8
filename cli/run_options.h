/* The options of `pantile run`, which `pantile plan` shares and a config file may hold. */
#ifndef PANTILE_CLI_RUN_OPTIONS_H
#define PANTILE_CLI_RUN_OPTIONS_H

#include "cli/config.h"
#include "cli/console.h"
#include "cli/options.h"

typedef struct pt_run_options {
    const char *output, *model, *config, *engine, *precision, *backend, *gsd, *aoi, *overlay, *report, *dump_tiles;
    const char *on_read_error, *listen, *keys, *allow, *root, *job_dir, *coverage, *metrics;
    int64_t tile, overlap; /* scene pixels */
    int64_t threads;       /* of all local workers together; 0: all cores */
    int64_t workers;       /* processes of this rank */
    int64_t proposals;     /* cap of a tile; 0: the model's */
    int64_t detections;    /* cap of a tile; negative: a wide one, 0: the model's */
    pt_reals bands, range, bbox;
    pt_texts drivers;
    double score;              /* negative: the model's */
    double min_area, simplify; /* square metres, metres; simplify negative: half a pixel */
    double wait;               /* seconds without any worker; 0: for ever */
    bool square, overwrite, require_crs, strict, json, help;
    bool no_local_worker, insecure, ship_pixels, resume;
    pt_console_options console;
    pt_texts scenes;
    pt_config *loaded; /* texts may point into it */
} pt_run_options;

enum {
    PT_SHARED_OPTIONS = 23,
    PT_RUN_OPTIONS = PT_SHARED_OPTIONS + 22,
    PT_PLAN_OPTIONS = PT_SHARED_OPTIONS + 1
};
extern const pt_option pt_run_option_table[PT_RUN_OPTIONS];
extern const pt_option pt_plan_option_table[PT_PLAN_OPTIONS];

pt_run_options pt_run_defaults(void);
/* Config first, then the command line. */
pt_status pt_run_options_read(const pt_command *command, int argc, char **argv, pt_run_options *out);
void pt_run_options_fini(pt_run_options *options);

#endif
