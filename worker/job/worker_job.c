#include "worker/job/worker_job.h"

#include "worker/job/access.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct pt_worker_job {
    const pt_job_spec *spec; /* borrowed */
    pt_worker_access access; /* its pointers borrowed */
    char *engine_path;       /* owned; NULL for the null engine */
    pt_engine *engine;       /* owned; NULL unless it is a network */
    uint8_t sha256[PT_SHA256_BYTES];
    /* The group that is open. */
    bool has_group;
    bool scene_ahead; /* of the first group, which is all that is open yet */
    size_t group;
    pt_scene *scene;
    pt_scene_reader *reader;
    pt_detector *detector;
};

/* --- the engine --- */

static pt_engine_options engine_options(const pt_job_spec *spec, int threads)
{
    pt_engine_options options = pt_engine_defaults();
    options.threads = threads;
    options.score_threshold = (float)spec->engine.score;
    options.max_detections = spec->engine.detections;
    options.max_proposals = spec->engine.proposals;
    options.backend = spec->engine.backend;
    options.precision = spec->engine.precision;
    return options;
}

static pt_status open_engine(pt_worker_job *job)
{
    pt_engine_options options = engine_options(job->spec, job->access.threads);
    pt_status status = pt_engine_check_backend(options.backend, true);
    if (status.code != PT_OK) {
        return pt_error(
            status.code,
            "the job's --backend: %s; start this worker from a build that has it, or the job with "
            "--backend auto",
            status.message);
    }
    if (job->access.ahead) {
        char wanted[PT_SHA256_HEX];
        pt_sha256_hex(job->spec->engine.sha256, wanted);
        job->engine = pt_ahead_take(job->access.ahead, &options, wanted);
    }
    return job->engine ? pt_ok() : pt_engine_open(job->engine_path, &options, &job->engine);
}

/* The engine has computed the digest of what it has mapped: a file that changes meanwhile cannot slip by. */
static void take_engine_digest(pt_worker_job *job)
{
    pt_sha256_of_hex(pt_engine_model(job->engine)->sha256, job->sha256);
}

static pt_status find_engine(pt_worker_job *job)
{
    const pt_job_spec *spec = job->spec;
    if (spec->engine.kind == PT_ENGINE_MODEL && job->access.model) {
        job->engine_path = pt_strdup(job->access.model);
        return job->engine_path ? pt_ok() : PT_NOMEM("a path");
    }
    if (!spec->engine.path) {
        return pt_error(PT_E_INPUT, "the job names no file for its engine");
    }
    const char *what = spec->engine.kind == PT_ENGINE_MODEL ? "model" : "layer";
    return pt_access_resolve(&job->access, what, spec->engine.path, &job->engine_path);
}

/* The folder is below the root; a link in it need not lead there. */
static pt_status check_replay(const pt_worker_job *job)
{
    DIR *dir = opendir(job->engine_path);
    if (!dir) {
        return pt_error(PT_E_INPUT, "%s: %s", job->engine_path, strerror(errno));
    }
    pt_status status = pt_ok();
    for (const struct dirent *entry; status.code == PT_OK && (entry = readdir(dir)) != NULL;) {
        const char *ending = strrchr(entry->d_name, '.');
        if (ending && strcmp(ending, ".json") == 0) {
            char *path = pt_asprintf("%s/%s", job->engine_path, entry->d_name);
            status = path ? pt_access_check(&job->access, "layer", path) : PT_NOMEM("a path");
            pt_free(path);
        }
    }
    closedir(dir);
    return status;
}

static void open_scene_ahead(pt_worker_job *job);

static pt_status prepare_engine(pt_worker_job *job)
{
    pt_engine_kind kind = job->spec->engine.kind;
    if (kind == PT_ENGINE_NULL) {
        return pt_ok();
    }
    PT_TRY(find_engine(job));
    if (kind == PT_ENGINE_REPLAY) {
        PT_TRY(check_replay(job));
    }
    if (kind != PT_ENGINE_MODEL) {
        return pt_worker_engine_sha256(kind, job->engine_path, job->sha256);
    }
    if (job->access.ahead) {
        open_scene_ahead(job);
    }
    PT_TRY(open_engine(job));
    take_engine_digest(job);
    return pt_ok();
}

pt_status pt_worker_job_open(const pt_job_spec *spec, const pt_worker_access *access, pt_worker_job **out)
{
    if (access->threads < 0) {
        return pt_error(PT_E_USAGE, "%d threads: give 0 for all cores, or more", access->threads);
    }
    pt_worker_job *job = pt_calloc(1, sizeof *job);
    if (!job) {
        return PT_NOMEM("the worker's job");
    }
    job->spec = spec;
    job->access = *access;
    pt_status status = prepare_engine(job);
    if (status.code != PT_OK) {
        pt_worker_job_close(&job);
        return status;
    }
    *out = job;
    return status;
}

static void close_group(pt_worker_job *job)
{
    pt_detector_free(&job->detector);
    pt_scene_reader_close(&job->reader);
    pt_scene_close(&job->scene);
    job->has_group = job->scene_ahead = false;
}

void pt_worker_job_close(pt_worker_job **job)
{
    pt_worker_job *j = *job;
    if (!j) {
        return;
    }
    close_group(j);
    pt_engine_close(&j->engine);
    pt_free(j->engine_path);
    pt_free(j);
    *job = NULL;
}

pt_status pt_worker_job_check(const pt_worker_job *job)
{
    if (memcmp(job->sha256, job->spec->engine.sha256, sizeof job->sha256) == 0) {
        return pt_ok();
    }
    char here[PT_SHA256_HEX], wanted[PT_SHA256_HEX];
    pt_sha256_hex(job->sha256, here);
    pt_sha256_hex(job->spec->engine.sha256, wanted);
    return pt_error(PT_E_INPUT,
                    "%s: is not the job's file: SHA-256 %s here, %s at the coordinator; give this worker the "
                    "same one",
                    job->engine_path ? job->engine_path : "the null engine", here, wanted);
}

const uint8_t *pt_worker_job_sha256(const pt_worker_job *job)
{
    return job->sha256;
}

const char *pt_worker_job_backend(const pt_worker_job *job)
{
    return job->engine ? pt_engine_backend(job->engine) : "";
}

int pt_worker_job_threads(const pt_worker_job *job)
{
    return job->engine ? pt_engine_threads(job->engine) : 1;
}

uint64_t pt_worker_job_progress(const pt_worker_job *job)
{
    return job->engine ? pt_engine_progress(job->engine) : 0;
}

/* --- a group --- */

pt_scene_options pt_worker_scene_options(const pt_job_spec *spec, const pt_job_group *group, const char *aoi)
{
    pt_scene_options o = pt_scene_defaults();
    o.drivers = (const char *const *)spec->scene.drivers;
    o.driver_count = spec->scene.driver_count;
    for (int i = 0; i < 3; i++) {
        o.bands[i] = spec->scene.bands[i];
        o.known_lo[i] = group ? group->range_lo[i] : 0;
        o.known_hi[i] = group ? group->range_hi[i] : 0;
    }
    o.has_known_range = group != NULL;
    o.plain = group != NULL; /* the coordinator has said what there is to say */
    o.has_range = spec->scene.has_range;
    o.range_lo = spec->scene.range_lo;
    o.range_hi = spec->scene.range_hi;
    o.gsd_mode = (pt_gsd_mode)spec->scene.gsd_mode;
    o.gsd = spec->scene.gsd;
    o.model_gsd = spec->scene.model_gsd;
    o.aoi = aoi;
    o.has_bbox = spec->scene.has_bbox;
    memcpy(o.bbox, spec->scene.bbox, sizeof o.bbox);
    o.strict = spec->scene.strict;
    memcpy(o.fill, spec->scene.fill, sizeof o.fill);
    return o;
}

/* Some drivers of GDAL make of a file's text what to fetch, and from where. */
static pt_status check_drivers(const pt_worker_job *job)
{
    const pt_job_spec *spec = job->spec;
    for (size_t d = 0; d < spec->scene.driver_count; d++) {
        bool allowed = false;
        for (size_t i = 0; i < job->access.driver_count; i++) {
            allowed = allowed || strcasecmp(job->access.drivers[i], spec->scene.drivers[d]) == 0;
        }
        if (!allowed) {
            return pt_error(PT_E_INPUT,
                            "the job asks for GDAL's driver %s, which this worker does not allow; see "
                            "--driver",
                            spec->scene.drivers[d]);
        }
    }
    return pt_ok();
}

static pt_status check_behind(void *user, const char *name)
{
    return pt_access_check(user, "scene", name);
}

static pt_status check_scene(pt_worker_job *job, const pt_job_group *group, const char *path)
{
    const pt_scene_info *info = pt_scene_describe(job->scene);
    if (info->width != group->width || info->height != group->height) {
        return pt_error(PT_E_INPUT,
                        "%s: is not the job's scene: %lld x %lld pixels here, %lld x %lld at the coordinator",
                        path, (long long)info->width, (long long)info->height, (long long)group->width,
                        (long long)group->height);
    }
    PT_TRY(pt_scene_files(job->scene, check_behind, &job->access));
    uint8_t print[PT_SHA256_BYTES];
    PT_TRY(pt_scene_fingerprint(job->scene, print));
    if (memcmp(print, group->fingerprint, sizeof print) != 0) {
        char here[PT_SHA256_HEX], wanted[PT_SHA256_HEX];
        pt_sha256_hex(print, here);
        pt_sha256_hex(group->fingerprint, wanted);
        return pt_error(PT_E_INPUT,
                        "%s: is not the job's scene: fingerprint %s here, %s at the coordinator; has it "
                        "changed, or is --root another folder?",
                        path, here, wanted);
    }
    return pt_ok();
}

static pt_status resolve_aoi(const pt_worker_job *job, char **aoi)
{
    const pt_job_spec *spec = job->spec;
    if (!spec->scene.aoi) {
        return pt_ok();
    }
    char *path = NULL;
    uint8_t digest[PT_SHA256_BYTES];
    PT_TRY(pt_access_resolve(&job->access, "area of interest", spec->scene.aoi, &path));
    pt_status status = pt_scene_layer_sha256(path, digest);
    if (status.code == PT_OK && memcmp(digest, spec->scene.aoi_sha256, sizeof digest) != 0) {
        status = pt_error(PT_E_INPUT, "%s: is not the job's area of interest", path);
    }
    if (status.code != PT_OK) {
        pt_free(path);
        return status;
    }
    *aoi = path;
    return status;
}

static pt_status open_scene(pt_worker_job *job, const pt_job_group *group)
{
    char *aoi = NULL;
    pt_status status;
    PT_TRY(check_drivers(job));
    char **paths = pt_calloc(group->path_count, sizeof *paths);
    if (!paths) {
        return PT_NOMEM("the list of scenes");
    }
    for (size_t i = 0; i < group->path_count; i++) {
        PT_TRY_OUT(pt_access_resolve(&job->access, "scene", group->paths[i], &paths[i]));
        PT_TRY_OUT(pt_scene_named(paths[i], check_behind, &job->access));
    }
    PT_TRY_OUT(resolve_aoi(job, &aoi));
    pt_scene_options options = pt_worker_scene_options(job->spec, group, aoi);
    PT_TRY_OUT(pt_scene_open((const char *const *)paths, group->path_count, &options, &job->scene));
    PT_TRY_OUT(check_scene(job, group, paths[0]));
    PT_TRY_OUT(pt_scene_reader_open(job->scene, &job->reader));
out:
    for (size_t i = 0; i < group->path_count; i++) {
        pt_free(paths[i]);
    }
    pt_free(paths);
    pt_free(aoi);
    return status;
}

static bool reads_scene(const pt_worker_job *job)
{
    return !job->access.no_scene && job->spec->engine.kind != PT_ENGINE_NULL;
}

/* While the engine is still being prepared. What goes wrong here goes wrong again, and is told, when the
 * group is asked for. */
static void open_scene_ahead(pt_worker_job *job)
{
    if (reads_scene(job) && job->spec->group_count > 0) {
        job->scene_ahead = open_scene(job, &job->spec->groups[0]).code == PT_OK;
        if (!job->scene_ahead) {
            close_group(job);
        }
    }
}

static pt_status new_detector(pt_worker_job *job, const pt_job_group *group, pt_detector **out)
{
    pt_rect whole = {0, 0, group->width, group->height};
    switch (job->spec->engine.kind) {
    case PT_ENGINE_MODEL:
        return pt_detector_new_engine(job->engine, whole, out);
    case PT_ENGINE_ORACLE:
        return job->scene ? pt_detector_new_oracle(job->engine_path, job->scene, out)
                          : pt_error(PT_E_UNSUPPORTED,
                                     "an oracle reads its layer on the scene's grid, which this worker does "
                                     "not see; start it without --no-scene");
    case PT_ENGINE_REPLAY:
        return pt_detector_new_replay(job->engine_path, whole, job->spec->engine.score, out);
    case PT_ENGINE_NULL:
        return pt_detector_new_null(out);
    }
    return pt_error(PT_E_INPUT, "the job's engine is of kind %d, which this worker does not know",
                    (int)job->spec->engine.kind);
}

typedef pt_status wrap_detector(const char *text, pt_detector *inner, pt_detector **out);

/* `text` NULL: nothing to wrap. */
static pt_status wrap(pt_detector **detector, wrap_detector *wrapper, const char *text)
{
    return text ? wrapper(text, *detector, detector) : pt_ok();
}

static pt_status open_detector(pt_worker_job *job, const pt_job_group *group)
{
    pt_engine_kind kind = job->spec->engine.kind;
    bool may_fail = kind == PT_ENGINE_ORACLE || kind == PT_ENGINE_NULL;
    pt_detector *detector = NULL;
    PT_TRY(new_detector(job, group, &detector));
    pt_status status = wrap(&detector, pt_detector_new_dump, job->access.dump);
    if (status.code == PT_OK) {
        status = wrap(&detector, pt_detector_new_faulty, may_fail ? getenv("PANTILE_TEST_FAULTS") : NULL);
    }
    if (status.code != PT_OK) {
        pt_detector_free(&detector);
        return status;
    }
    job->detector = detector;
    return status;
}

pt_status pt_worker_job_group(pt_worker_job *job, size_t group, pt_scene_reader **reader,
                              pt_detector **detector)
{
    if (group >= job->spec->group_count) {
        return pt_error(PT_E_USAGE, "group %zu asked for, the job has %zu", group, job->spec->group_count);
    }
    if (!job->has_group || job->group != group) {
        const pt_job_group *g = &job->spec->groups[group];
        bool ahead = job->scene_ahead && group == 0;
        if (!ahead) {
            close_group(job);
        }
        pt_status status = reads_scene(job) && !ahead ? open_scene(job, g) : pt_ok();
        if (status.code == PT_OK) {
            status = open_detector(job, g);
        }
        if (status.code != PT_OK) {
            close_group(job);
            return status;
        }
        job->has_group = true;
        job->scene_ahead = false;
        job->group = group;
    }
    *reader = job->reader;
    *detector = job->detector;
    return pt_ok();
}
