#include "cli/tune_sizes.h"

#include "engine/calibrate/calibrate.h"
#include "engine/measure/measure.h"
#include "worker/detect/detector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZES = 16, TILES_MAX = 100000 };

static pt_status parse_sizes(const char *text, int64_t *sizes, size_t *count)
{
    *count = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        long value = strtol(at, &end, 10);
        bool number = *at >= '0' && *at <= '9' && errno == 0 && value <= TILES_MAX;
        if (!number || (*end != ',' && *end != '\0') || *count == SIZES) {
            return pt_error(PT_E_USAGE,
                            "--calibration-sizes %s: must be up to %d numbers of tiles, as in 0,5,50,100",
                            text, SIZES);
        }
        sizes[(*count)++] = value;
        at = end;
        if (*at == '\0') {
            return pt_ok();
        }
    }
}

static pt_status take_tile(void *user, const pt_sample *sample)
{
    pt_image image = pt_detector_image(sample->window);
    return pt_calibrator_add(user, &image);
}

static pt_status take_made(pt_calibrator *calibrator)
{
    pt_image image;
    PT_TRY(pt_measure_image_new(PT_MEASURE_SIDE, &image));
    pt_status status = pt_calibrator_add_made(calibrator, &image);
    pt_measure_image_free(&image);
    return status;
}

static pt_status calibrate(const pt_tune *tune, const char *model, const pt_job *job, int64_t tiles,
                           pt_range_method method, const char *to)
{
    pt_calibrator *calibrator = NULL;
    pt_status status;
    PT_TRY_OUT(pt_calibrator_open(model, tune->threads, &calibrator));
    PT_TRY_OUT(tiles > 0 ? pt_sample_tiles(job, tiles, take_tile, calibrator) : take_made(calibrator));
    status = pt_calibrator_write(calibrator, method, pt_calibrator_precision(calibrator), to);
out:
    pt_calibrator_close(&calibrator);
    return status;
}

static pt_status add_row(const pt_tune *tune, const char *model, const char *precision, char *name,
                         pt_tune_row *rows, size_t *count)
{
    if (!name) {
        return PT_NOMEM("the table");
    }
    rows[*count].precision = name;
    return pt_tune_measure(tune, model, precision, &rows[(*count)++]);
}

/* The models go to a temporary file, one over the other. */
static pt_status measure_sizes(const pt_tune *tune, const char *model, const pt_job *job,
                               const int64_t *sizes, size_t size_count, pt_range_method method,
                               pt_tune_row *rows, size_t *count)
{
    const char *folder = getenv("TMPDIR");
    char *path = pt_asprintf("%s/pantile-tune-XXXXXX", folder ? folder : "/tmp");
    if (!path) {
        return PT_NOMEM("a path");
    }
    int fd = mkstemp(path);
    if (fd < 0) {
        pt_status failed = pt_error(PT_E_WRITE, "%s: %s; set TMPDIR to a folder with room for the model",
                                    path, strerror(errno));
        pt_free(path);
        return failed;
    }
    close(fd);
    pt_status status;
    PT_TRY_OUT(add_row(tune, model, "fp32", pt_strdup("fp32"), rows, count));
    for (size_t i = 0; i < size_count; i++) {
        PT_TRY_OUT(calibrate(tune, model, job, sizes[i], method, path));
        PT_TRY_OUT(add_row(tune, path, "auto", pt_asprintf("%lld", (long long)sizes[i]), rows, count));
        pt_progress progress = {.done = (int64_t)i + 1, .total = (int64_t)size_count};
        pt_console_progress(&progress);
    }
out:
    pt_console_progress_end();
    unlink(path);
    pt_free(path);
    return status;
}

pt_status pt_tune_sizes(const pt_tune *tune, const char *model, const pt_sample_options *sample,
                        const char *sizes, const char *method, pt_tune_row **rows, size_t *count)
{
    int64_t tiles[SIZES];
    size_t size_count;
    pt_range_method chosen = PT_RANGE_DEFAULT;
    pt_run_options run;
    pt_job job;
    PT_TRY(parse_sizes(sizes, tiles, &size_count));
    if (method) {
        pt_range_method_find(method, &chosen); /* the option's table lets no other word through */
    }
    *rows = pt_calloc(size_count + 1, sizeof **rows);
    if (!*rows) {
        return PT_NOMEM("the table");
    }
    PT_TRY(pt_sample_job(sample, NULL, &run, &job));
    pt_status status = measure_sizes(tune, model, &job, tiles, size_count, chosen, *rows, count);
    pt_job_close(&job);
    return status;
}
