/* What `pantile worker` and the process that it starts, `pantile __worker`, share. */
#ifndef PANTILE_CLI_WORKER_H
#define PANTILE_CLI_WORKER_H

#include "cli/commands.h"
#include "cli/console.h"

typedef struct pt_worker_settings {
    const char *connect, *keys, *root, *model, *dump_tiles, *slot, *ahead, *backend, *precision;
    pt_texts urls, drivers;
    int64_t workers, threads, credit, beat_fd, keys_fd, door_fd, detections, proposals;
    double coordinator_timeout, score;
    bool no_scene, insecure, help;
    pt_console_options console;
} pt_worker_settings;

/* Not among pt_commands: started by a supervisor alone. Neither watches signals as the others do nor lets a
 * terminal's Ctrl-C end it. */
extern const pt_command pt_command_worker_child;

#endif
