#include "engine/backend/backend.h"

#include "engine/kernels/cpu.h"

#include <stdio.h>
#include <string.h>

enum { MAX_THREADS = 1024 };

/* The best first, and their names. */
static const pt_backend_ops *const backends[] = {
    &pt_backend_native,
#ifdef PANTILE_ONEDNN
    &pt_backend_onednn,
#endif
    &pt_backend_portable,
};
enum { BACKENDS = sizeof backends / sizeof *backends };

static const char *const backend_names[BACKENDS + 1] = {
    "native",
#ifdef PANTILE_ONEDNN
    "onednn",
#endif
    "portable",
};

static const char *const names_anywhere[] = {"native", "onednn", "portable", NULL};

const char *const *pt_backend_names(void)
{
    return backend_names;
}

static bool is_auto(const char *name)
{
    return !name || strcmp(name, "auto") == 0;
}

static bool lists(const char *const *names, const char *name)
{
    while (*names && strcmp(*names, name) != 0) {
        names++;
    }
    return *names != NULL;
}

static void join_names(const char *const *names, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; names[i] && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", names[i]);
    }
}

pt_status pt_backend_check_name(const char *name)
{
    char list[128];
    if (is_auto(name) || lists(names_anywhere, name)) {
        return pt_ok();
    }
    join_names(names_anywhere, list, sizeof list);
    return pt_error(PT_E_USAGE, "no backend named %s; there are auto, %s", name, list);
}

static pt_status not_built(const char *name)
{
    char list[128];
    join_names(backend_names, list, sizeof list);
    return pt_error(PT_E_USAGE, "no backend named %s in this build; it has auto, %s", name, list);
}

/* Whether a backend is a choice of "auto": without vectors, OpenBLAS is faster than plain C. */
static bool is_fast_here(const pt_backend_ops *ops)
{
    return ops != &pt_backend_native || pt_isa_best() >= PT_ISA_AVX2;
}

pt_status pt_backend_open(const char *name, int threads, pt_backend **out)
{
    if (threads < 0 || threads > MAX_THREADS) {
        return pt_error(PT_E_USAGE, "%d threads: give 0 (all cores) to %d", threads, MAX_THREADS);
    }
    PT_TRY(pt_backend_check_name(name));
    bool any = is_auto(name);
    for (size_t i = 0; i < BACKENDS; i++) {
        if (any ? !is_fast_here(backends[i]) : strcmp(name, backends[i]->name) != 0) {
            continue;
        }
        pt_status status = backends[i]->open(threads ? threads : pt_cpu_count(), out);
        if (!any || status.code != PT_E_UNSUPPORTED) {
            return status; /* else this CPU has not what the backend needs: the next may do */
        }
    }
    return not_built(any ? "auto" : name);
}

void pt_backend_close(pt_backend **backend)
{
    if (*backend) {
        (*backend)->ops->close(*backend);
        *backend = NULL;
    }
}
