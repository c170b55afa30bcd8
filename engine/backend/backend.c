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

const char *const *pt_backend_names(void)
{
    return backend_names;
}

static pt_status unknown(const char *name)
{
    char list[128] = "";
    size_t used = 0;
    for (size_t i = 0; i < BACKENDS && used < sizeof list; i++) {
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", backends[i]->name);
    }
    return pt_error(PT_E_USAGE, "no backend named %s in this build; it has %s", name, list);
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
    bool any = !name || strcmp(name, "auto") == 0;
    for (size_t i = 0; i < BACKENDS; i++) {
        if (any ? !is_fast_here(backends[i]) : strcmp(name, backends[i]->name) != 0) {
            continue;
        }
        pt_status status = backends[i]->open(threads ? threads : pt_cpu_count(), out);
        if (!any || status.code != PT_E_UNSUPPORTED) {
            return status; /* else this CPU has not what the backend needs: the next may do */
        }
    }
    return unknown(any ? "auto" : name);
}

void pt_backend_close(pt_backend **backend)
{
    if (*backend) {
        (*backend)->ops->close(*backend);
        *backend = NULL;
    }
}
