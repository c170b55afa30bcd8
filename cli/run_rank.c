#include "cli/run_coordinate.h"

#include "cli/run_local.h"
#include "cli/stop.h"
#include "tiling/base/sha256.h"

/* A coordinator under mpirun never comes back, so its ranks need not wait for long. */
enum { SILENCE_SECONDS = 120 };

static void drain(void *user)
{
    pt_run_local_ask(user, PT_RUN_LOCAL_DRAIN);
}

static pt_status work(const pt_run_options *options, const pt_launch *launch, const pt_invitation *invitation)
{
    pt_run_local *local = NULL;
    bool secure = invitation->server.text[0] != '\0';
    char model[PT_SHA256_HEX];
    pt_sha256_hex(invitation->engine_sha256, model);
    PT_DEBUG("invited", PT_I("rank", launch->rank), PT_S("endpoint", invitation->endpoint),
             PT_S("sha256", model));
    PT_TRY(pt_run_local_start(&(pt_run_local_options){.run = options,
                                                      .endpoint = invitation->endpoint,
                                                      .keys = secure ? &invitation->worker : NULL,
                                                      .server = secure ? &invitation->server : NULL,
                                                      .timeout = SILENCE_SECONDS,
                                                      .cores = pt_launch_cores(launch),
                                                      .first_device = pt_run_local_device(options, launch)},
                              &local));
    pt_stop_call(drain, local);
    pt_status status = pt_run_local_wait(local, -1);
    pt_stop_call(NULL, NULL);
    pt_run_local_join(&local);
    return status;
}

pt_status pt_run_rank(const pt_run_options *options, const pt_launch *launch)
{
    pt_invitation invitation = {.failed = false};
    PT_TRY(pt_launch_share(launch, &invitation));
    pt_status status = pt_ok();
    if (options && !invitation.failed) {
        status = pt_context(work(options, launch, &invitation), "rank %d", launch->rank);
    }
    pt_key_pair_wipe(&invitation.worker);
    return status;
}
