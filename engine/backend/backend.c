#include "engine/backend/backend.h"

#include <string.h>

enum { MAX_THREADS = 1024 };

/* The best first. */
static const pt_backend_ops *const backends[] = {&pt_backend_portable};

pt_status pt_backend_open(const char *name, int threads, pt_backend **out)
{
    if (threads < 0 || threads > MAX_THREADS) {
        return pt_error(PT_E_USAGE, "%d threads: give 0 (all cores) to %d", threads, MAX_THREADS);
    }
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        if (!name || strcmp(name, backends[i]->name) == 0) {
            return backends[i]->open(threads ? threads : pt_cpu_count(), out);
        }
    }
    return pt_error(PT_E_USAGE, "no backend named %s in this build; use portable", name);
}

void pt_backend_close(pt_backend **backend)
{
    if (*backend) {
        (*backend)->ops->close(*backend);
        *backend = NULL;
    }
}
