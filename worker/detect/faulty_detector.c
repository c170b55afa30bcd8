/* Faults on purpose, so that tests can see what becomes of a job whose workers die, hang or fail. */
#include "worker/detect/detector.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef enum fault_kind {
    FAULT_KILL,
    FAULT_STOP,
    FAULT_HANG,
    FAULT_EXIT,
    FAULT_SLOW,
    FAULT_FAIL,
    FAULT_BAD,
    FAULT_NOMEM,
    FAULT_KINDS
} fault_kind;

static const struct {
    const char *name;
    bool has_value;
    double most;
} kinds[FAULT_KINDS] = {
    [FAULT_KILL] = {"kill", false, 0},  [FAULT_STOP] = {"stop", false, 0},
    [FAULT_HANG] = {"hang", false, 0},  [FAULT_EXIT] = {"exit", true, 255},
    [FAULT_SLOW] = {"slow", true, 1e6}, [FAULT_FAIL] = {"fail", false, 0},
    [FAULT_BAD] = {"bad", false, 0},    [FAULT_NOMEM] = {"nomem", false, 0},
};

typedef struct fault {
    fault_kind kind;
    int64_t tile;
    double value;
    int attempts; /* 0: all */
} fault;

typedef struct faulty_detector {
    pt_detector base;
    pt_detector *inner;
    fault *faults;
    size_t count, capacity;
} faulty_detector;

/* Digits, with a point where `real`; no sign, and no other base: in 0x1 the x is the attempts'. */
static bool read_number(const char **text, bool real, double least, double most, double *out)
{
    char digits[32];
    size_t length = strspn(*text, real ? "0123456789." : "0123456789");
    if (length == 0 || length >= sizeof digits) {
        return false;
    }
    memcpy(digits, *text, length);
    digits[length] = '\0';
    char *end;
    *out = strtod(digits, &end);
    *text += length;
    return *end == '\0' && *out >= least && *out <= most;
}

static bool read_kind(const char **text, fault_kind *out)
{
    size_t length = strcspn(*text, "@");
    for (int k = 0; k < FAULT_KINDS; k++) {
        if (strlen(kinds[k].name) == length && strncmp(kinds[k].name, *text, length) == 0) {
            *out = (fault_kind)k;
            *text += length;
            return true;
        }
    }
    return false;
}

/* WHAT@TILE[:VALUE][xATTEMPTS] up to a comma or the end. */
static bool read_fault(const char **text, fault *out)
{
    static const double most_tiles = 9007199254740992.0; /* 2^53: exact as a double */
    double tile, value = 0, attempts = 0;
    fault_kind kind;
    if (!read_kind(text, &kind) || *(*text)++ != '@' || !read_number(text, false, 0, most_tiles, &tile)) {
        return false;
    }
    if (kinds[kind].has_value &&
        (*(*text)++ != ':' || !read_number(text, kind == FAULT_SLOW, 0, kinds[kind].most, &value))) {
        return false;
    }
    if (**text == 'x') {
        ++*text;
        if (!read_number(text, false, 1, INT32_MAX, &attempts)) {
            return false;
        }
    }
    *out = (fault){kind, (int64_t)tile, value, (int)attempts};
    return **text == ',' || **text == '\0';
}

static pt_status read_faults(const char *text, faulty_detector *d)
{
    for (const char *at = text; *at;) {
        fault f;
        const char *begin = at;
        if (!read_fault(&at, &f)) {
            return pt_error(PT_E_USAGE,
                            "fault \"%.40s\": must be kill, stop, hang, fail, bad, nomem, exit or slow, then "
                            "@TILE, for exit :CODE, for slow :SECONDS, and perhaps xATTEMPTS",
                            begin);
        }
        PT_TRY(pt_grow(&d->faults, &d->capacity, d->count + 1, sizeof *d->faults));
        d->faults[d->count++] = f;
        at += *at == ',';
    }
    return pt_ok();
}

static void wait_seconds(double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)(1e9 * (seconds - (double)(time_t)seconds))};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/* The link's own thread has been given STARTED and sends it within this time, also on a busy machine. */
static const double until_told = 0.3;

static pt_status meet(const fault *f)
{
    switch (f->kind) {
    case FAULT_KILL:
    case FAULT_STOP:
        wait_seconds(until_told);
        kill(getpid(), f->kind == FAULT_KILL ? SIGKILL : SIGSTOP);
        return pt_ok();
    case FAULT_EXIT:
        wait_seconds(until_told);
        _exit((int)f->value);
    case FAULT_HANG:
        for (;;) {
            pause();
        }
    case FAULT_SLOW:
        wait_seconds(f->value);
        return pt_ok();
    case FAULT_FAIL:
        return pt_error(PT_E_READ, "tile %lld: failed on purpose", (long long)f->tile);
    case FAULT_BAD:
        return pt_error(PT_E_TILE, "tile %lld: failed for good on purpose", (long long)f->tile);
    case FAULT_NOMEM:
        return pt_error(PT_E_NOMEM, "tile %lld: out of memory on purpose", (long long)f->tile);
    case FAULT_KINDS:
        break;
    }
    return pt_ok();
}

static pt_status begin(pt_detector *detector, int64_t tile, int attempt)
{
    const faulty_detector *d = (const faulty_detector *)detector;
    for (size_t i = 0; i < d->count; i++) {
        if (d->faults[i].tile == tile && (d->faults[i].attempts == 0 || attempt <= d->faults[i].attempts)) {
            PT_TRY(meet(&d->faults[i]));
        }
    }
    return pt_detector_begin(d->inner, tile, attempt);
}

static pt_status detect(pt_detector *detector, int64_t tile, const pt_window *window, pt_instance_list *out,
                        bool *capped)
{
    return pt_detector_detect(((faulty_detector *)detector)->inner, tile, window, out, capped);
}

static void close_detector(pt_detector *detector)
{
    faulty_detector *d = (faulty_detector *)detector;
    pt_detector_free(&d->inner);
    pt_free(d->faults);
    pt_free(d);
}

static const pt_detector_vtable faulty_vtable = {.begin = begin, .detect = detect, .close = close_detector};

pt_status pt_detector_new_faulty(const char *faults, pt_detector *inner, pt_detector **out)
{
    faulty_detector *d = pt_calloc(1, sizeof *d);
    if (!d) {
        return PT_NOMEM("faults on purpose");
    }
    d->base.vtable = &faulty_vtable;
    d->base.blind = inner->blind;
    pt_status status = read_faults(faults, d);
    if (status.code != PT_OK) {
        close_detector(&d->base);
        return status;
    }
    d->inner = inner;
    *out = &d->base;
    return status;
}
