#include "coordinator/control/internal.h"

/* The job is over for everybody: whoever still speaks hears BYE, whoever says it is forgotten. */
static void answer(pt_control *c, pt_peer peer, const pt_message *message)
{
    pt_member *member = pt_roster_peer(&c->roster, peer);
    if (message->type != PT_MSG_BYE) {
        (void)pt_control_bye(c, peer, "the job is over"); /* the end comes, heard or not */
        if (!member) {
            (void)pt_control_invite(c, peer); /* counted as one who came */
        }
    } else if (member) {
        pt_control_forget(c, &member);
    }
}

/* Until when the hub is listened to: for members to leave, longer for those who have yet to come. */
static double last_moment(const pt_control *c, double began)
{
    int64_t came = c->numbers.joined_workers + c->numbers.refused_workers + (int64_t)c->invited_count;
    return came < c->options.expected     ? began + PT_LATE_SECONDS
           : c->roster.count > c->stalled ? began + PT_FAREWELL_SECONDS
                                          : began;
}

void pt_control_farewell(pt_control *c, const char *why)
{
    for (size_t i = 0; i < c->roster.count; i++) {
        (void)pt_control_bye(c, c->roster.members[i]->peer, why);
    }
    for (size_t i = 0; i < c->invited_count; i++) {
        (void)pt_control_bye(c, c->invited[i].peer, why);
    }
    c->now = c->clock(c->clock_user);
    double began = c->now;
    for (double until = last_moment(c, began); c->now < until; until = last_moment(c, began)) {
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
