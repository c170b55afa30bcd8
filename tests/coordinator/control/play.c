#include "play.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char parent[64];
char play_folder[96];

/* In memory where that can be had: what a disk takes to sync says nothing here. */
int play_begin(void **state)
{
    (void)state;
    strcpy(parent, "/dev/shm/pantile-control-XXXXXX");
    if (!mkdtemp(parent)) {
        strcpy(parent, "/tmp/pantile-control-XXXXXX");
        if (!mkdtemp(parent)) {
            return -1;
        }
    }
    snprintf(play_folder, sizeof play_folder, "%s/job", parent);
    return 0;
}

int play_end(void **state)
{
    (void)state;
    return rmdir(parent);
}

int play_clear(void **state)
{
    (void)state;
    job_remove(play_folder);
    return 0;
}

outcome play_with(job *j, const world_options *options, const pt_control_options *control_options)
{
    outcome o;
    pt_control *control = NULL;
    pt_hub *hub = world_new(options);
    assert_string_equal(pt_control_new(hub, j->ledger, j->feed, control_options, &control).message, "");
    o.status = world_run(hub, control);
    pt_control_look(control, &o.shown);
    o.world = world_look(hub);
    pt_control_free(&control);
    assert_null(control);
    world_free(&hub);
    return o;
}

outcome play(job *j, const world_options *options)
{
    pt_control_options defaults = pt_control_defaults();
    return play_with(j, options, &defaults);
}

outcome play_whole(const world_options *options)
{
    job j;
    job_open(&j, play_folder, false);
    outcome o = play(&j, options);
    assert_string_equal(o.status.message, "");
    assert_int_equal(o.shown.dispatch.settled, job_tiles());
    assert_int_equal(o.shown.done + o.shown.empty + o.shown.outside, job_tiles());
    job_check(&j, NULL);
    job_close(&j);
    job_remove(play_folder);
    return o;
}
