/* The coordinator's door: where it listens, with which keys, and who may come in.
 *
 * Local workers and ranks share one key of the job. Outside workers come with a key on --allow's list, or
 * with the job's own worker.key when they can read the job's folder.
 */
#ifndef PANTILE_CLI_RUN_DOOR_H
#define PANTILE_CLI_RUN_DOOR_H

#include "cli/run_folder.h"
#include "coordinator/launch/launch.h"
#include "coordinator/protocol/link.h"

typedef struct pt_run_door {
    pt_hub *hub; /* owned */
    bool secure; /* false with --insecure: no keys below */
    pt_key_pair worker;
    pt_public_key server;
} pt_run_door;

/* Whether the options fit together; before anything is made. */
pt_status pt_run_door_check(const pt_run_options *options);
pt_status pt_run_door_open(const pt_run_options *options, const pt_launch *launch,
                           const pt_run_folder *folder, pt_run_door *out);
/* What the other ranks must know. */
pt_status pt_run_door_invite(const pt_run_door *door, pt_invitation *out);
void pt_run_door_close(pt_run_door *door); /* wipes the keys */

#endif
