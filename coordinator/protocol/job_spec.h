/* What a job is: everything that decides the output's bytes, as one value that can be sent, stored, hashed
 * and compared. The coordinator makes it, workers open scene and engine by it, the ledger refuses to go on
 * when it differs.
 *
 * A job has one or more groups of scenes; each group is one mosaic with a grid of its own. Tiles are numbered
 * over all groups: first those of group 0 row by row, then those of group 1.
 *
 * Life cycle: a zeroed spec is valid and empty; fill it with pt_job_spec_set_text and friends or decode it;
 * pt_job_spec_fini frees. Values, not thread-safe.
 */
#ifndef PANTILE_COORDINATOR_PROTOCOL_JOB_SPEC_H
#define PANTILE_COORDINATOR_PROTOCOL_JOB_SPEC_H

#include "tiling/base/base.h"
#include "tiling/grid/grid.h"

#include <stddef.h>
#include <stdint.h>

typedef enum pt_engine_kind {
    PT_ENGINE_MODEL = 1,
    PT_ENGINE_ORACLE, /* truth from a vector layer */
    PT_ENGINE_REPLAY, /* another program's detections */
    PT_ENGINE_NULL,   /* finds nothing, reads nothing: for measuring everything else */
} pt_engine_kind;

typedef struct pt_job_group {
    char **paths; /* owned, and each text; relative to the coordinator's root ("/" by default) without a
                     leading slash, ".." or ".", or a URL that begins with /vsi */
    size_t path_count;
    uint8_t fingerprint[32];         /* pt_scene_fingerprint */
    int64_t width, height;           /* scene pixels */
    double range_lo[3], range_hi[3]; /* normalisation that was decided, so that no worker samples again */
} pt_job_group;

typedef struct pt_job_spec {
    char *program;        /* owned; version of pantile */
    pt_job_group *groups; /* owned */
    size_t group_count;
    struct {
        int32_t bands[3]; /* 0: chosen by the file */
        int32_t gsd_mode; /* pt_gsd_mode as a number */
        double gsd, model_gsd;
        char *aoi; /* owned; like a group's paths; NULL: none */
        uint8_t aoi_sha256[32];
        bool has_bbox;
        double bbox[4];
        bool has_range; /* the user's, already in the groups' ranges */
        double range_lo, range_hi;
        bool strict;
        char **drivers; /* owned */
        size_t driver_count;
        uint8_t fill[3];
    } scene;
    struct {
        int64_t tile, overlap, lattice; /* scene pixels */
    } grid;
    struct {
        pt_engine_kind kind;
        char *path;         /* owned; model file, layer or folder, like a group's paths; NULL for null */
        uint8_t sha256[32]; /* of the file; of names and sizes for a folder; zero for null */
        double score;
        int32_t detections, proposals; /* caps; 0: the model's */
        char *backend;                 /* owned; "auto" */
        char *precision; /* owned; what the network computes in, never "auto"; NULL for what is no network */
    } engine;
    struct { /* what the coordinator does with the results; part of the hash */
        double min_area, simplify;
        bool square;
        char *format; /* owned; "GeoJSON", ... */
        int32_t attempts;
        bool quarantine; /* tiles that cannot be read; else they fail the job */
    } output;
} pt_job_spec;

void pt_job_spec_fini(pt_job_spec *spec);

/* Replaces a text of the spec by a copy; NULL clears it. */
pt_status pt_job_spec_set_text(char **field, const char *text);
/* Appends a copy to a list of texts (a group's paths, the scene's drivers). */
pt_status pt_job_spec_add_text(char ***list, size_t *count, const char *text);
/* Appends a zeroed group; *out is valid until the next one is added. */
pt_status pt_job_spec_add_group(pt_job_spec *spec, pt_job_group **out);

/* Canonical: equal specs give equal bytes. Owned by the caller. PT_E_USAGE names the field that breaks a rule
 * which decoding holds. */
pt_status pt_job_spec_encode(const pt_job_spec *spec, uint8_t **bytes, size_t *size);
/* From outside bytes: PT_E_INPUT names the field at fault; sizes, counts, numbers, paths and the grid are
 * checked, and that these are the bytes which encode would make. */
pt_status pt_job_spec_decode(const uint8_t *bytes, size_t size, pt_job_spec *out);
/* SHA-256 of the encoded bytes. */
pt_status pt_job_spec_hash(const pt_job_spec *spec, uint8_t out[32]);

/* Calls back for every field that differs, with both values as text ("scene.bands", "1,2,3", "3,2,1"; long
 * ones are cut and end in "..."). Returns how many. */
typedef void pt_job_difference(void *user, const char *field, const char *was, const char *is);
int pt_job_spec_compare(const pt_job_spec *was, const pt_job_spec *is, pt_job_difference *sink, void *user);

/* Tiles of all groups. */
int64_t pt_job_spec_tiles(const pt_job_spec *spec);
/* The group of a tile, its grid, and its index there. PT_E_INPUT when the job has no such tile. */
pt_status pt_job_spec_locate(const pt_job_spec *spec, int64_t tile, size_t *group, pt_grid *grid,
                             int64_t *index);
pt_status pt_job_spec_grid(const pt_job_spec *spec, size_t group, pt_grid *out);

#endif
