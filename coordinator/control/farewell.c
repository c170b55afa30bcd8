#include "coordinator/control/internal.h"

/* The job is over for everybody: whoever still speaks hears BYE, whoever says it is forgotten. */
static void answer(pt_control *c, pt_peer peer, const pt_message *message)
{
    pt_member *member = pt_roster_peer(&c->roster, peer);
    if (message->type != PT_MSG_BYE) {
        (void)pt_control_bye(c, peer, "the job is over"); /* the end comes, heard or not */
    } else if (member) {
        pt_control_forget(c, &member);
    }
}

void pt_control_farewell(pt_control *c, const char *why)
{
    for (size_t i = 0; i < c->roster.count; i++) {
        (void)pt_control_bye(c, c->roster.members[i]->peer, why);
    }
    for (size_t i = 0; i < c->invited_count; i++) {
        (void)pt_control_bye(c, c->invited[i], why);
    }
    c->now = c->clock(c->clock_user);
    double until = c->now + PT_FAREWELL_SECONDS;
    while (c->roster.count > c->stalled && c->now < until) {
        pt_peer peer = 0;
        pt_message message = {0};
        bool got = false;
        int left_ms = (int)((until - c->now) * 1000) + 1;
        if (pt_hub_receive(c->hub, left_ms, &peer, &message, &got).code != PT_OK) {
            return;
        }
        if (got) {
            answer(c, peer, &message);
            pt_message_fini(&message);
        }
        c->now = c->clock(c->clock_user);
    }
}
