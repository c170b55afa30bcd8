#include "cli/run_door.h"

#include <string.h>
#include <unistd.h>

/* Results of a tile; a thousand large masks with their probabilities are some 30 MB. */
enum { RESULT_MAX = 256 << 20 };

/* From the folder when an earlier start of the job made them, else new. */
static pt_status folder_keys(const pt_run_folder *folder, const char *name, const pt_public_key *server,
                             pt_key_pair *out)
{
    char *path = NULL;
    PT_TRY(pt_run_folder_path(folder, name, &path));
    pt_status status = pt_ok();
    if (access(path, F_OK) == 0) {
        status = pt_keys_load(path, out, NULL, NULL);
    } else {
        status = pt_key_pair_new(out);
        if (status.code == PT_OK) {
            status = pt_keys_save(path, out, server, false);
        }
    }
    pt_free(path);
    return status;
}

static pt_status coordinator_keys(const pt_run_options *o, const pt_run_folder *folder, pt_key_pair *out)
{
    return o->keys ? pt_keys_load(o->keys, out, NULL, NULL)
                   : folder_keys(folder, "coordinator.key", NULL, out);
}

/* The job's own worker key first, then the list's. */
static pt_status allowed_keys(const pt_run_options *o, const pt_public_key *own, pt_public_key **out,
                              size_t *count)
{
    pt_public_key *listed = NULL;
    size_t others = 0;
    if (o->allow) {
        PT_TRY(pt_public_keys_load(o->allow, &listed, &others));
    }
    pt_public_key *keys = pt_alloc(others + 1, sizeof *keys);
    if (keys) {
        keys[0] = *own;
        if (others > 0) {
            memcpy(keys + 1, listed, others * sizeof *keys);
        }
        *out = keys;
        *count = others + 1;
    }
    pt_free(listed);
    return keys ? pt_ok() : PT_NOMEM("the allow-list");
}

pt_status pt_run_door_check(const pt_run_options *options)
{
    if (options->insecure && (options->keys || options->allow)) {
        return pt_error(PT_E_USAGE, "%s and --insecure exclude each other",
                        options->keys ? "--keys" : "--allow");
    }
    if (options->allow && !options->keys) {
        return pt_error(PT_E_USAGE,
                        "--allow %s: its workers must know the coordinator's key; add --keys FILE "
                        "(made by pantile keygen)",
                        options->allow);
    }
    return pt_ok();
}

static bool is_local(const char *endpoint)
{
    return strncmp(endpoint, "ipc:", 4) == 0 || strncmp(endpoint, "tcp://127.", 10) == 0 ||
           strncmp(endpoint, "tcp://localhost:", 16) == 0 || strncmp(endpoint, "tcp://[::1]:", 12) == 0;
}

static pt_status choose_endpoint(const pt_run_options *o, const pt_launch *launch, const char **out)
{
    bool far = launch->hosts > 1;
    *out = o->listen ? o->listen : far ? "tcp://0.0.0.0:*" : "tcp://127.0.0.1:*";
    if (far && is_local(*out)) {
        return pt_error(PT_E_USAGE,
                        "--listen %s: the ranks on other hosts cannot reach it; name an address of this host "
                        "or leave the option out",
                        *out);
    }
    return pt_ok();
}

static pt_status make_keys(const pt_run_options *o, const pt_run_folder *folder, pt_key_pair *server,
                           pt_run_door *door)
{
    PT_TRY(coordinator_keys(o, folder, server));
    door->server = server->public_key;
    return folder_keys(folder, "worker.key", &door->server, &door->worker);
}

pt_status pt_run_door_open(const pt_run_options *options, const pt_launch *launch,
                           const pt_run_folder *folder, pt_run_door *out)
{
    pt_run_door door = {.secure = !options->insecure};
    pt_hub_options hub = {.insecure = options->insecure, .message_max = RESULT_MAX};
    pt_key_pair server = {0};
    pt_public_key *allowed = NULL;
    pt_status status;
    PT_TRY_OUT(choose_endpoint(options, launch, &hub.endpoint));
    if (door.secure) {
        PT_TRY_OUT(make_keys(options, folder, &server, &door));
        PT_TRY_OUT(allowed_keys(options, &door.worker.public_key, &allowed, &hub.allowed_count));
        hub.keys = &server;
        hub.allowed = allowed;
    }
    PT_TRY_OUT(pt_hub_open_zmq(&hub, &door.hub));
    PT_TRY_OUT(pt_run_folder_invite(folder, pt_hub_endpoint(door.hub)));
    *out = door;
    memset(&door, 0, sizeof door);
out:
    pt_free(allowed);
    pt_key_pair_wipe(&server);
    pt_run_door_close(&door);
    return status;
}

pt_status pt_run_door_invite(const pt_run_door *door, pt_invitation *out)
{
    const char *endpoint = pt_hub_endpoint(door->hub);
    if (strlen(endpoint) >= sizeof out->endpoint) {
        return pt_error(PT_E_USAGE, "--listen %s: is too long for the other ranks to be told", endpoint);
    }
    memcpy(out->endpoint, endpoint, strlen(endpoint) + 1);
    out->worker = door->worker;
    out->server = door->server;
    return pt_ok();
}

void pt_run_door_close(pt_run_door *door)
{
    pt_hub_close(&door->hub);
    pt_key_pair_wipe(&door->worker);
}
