#include "coordinator/protocol/link.h"

pt_status pt_hub_receive(pt_hub *hub, int timeout_ms, pt_peer *peer, pt_message *out, bool *got)
{
    return hub->vtable->receive(hub, timeout_ms, peer, out, got);
}

pt_status pt_hub_send(pt_hub *hub, pt_peer peer, const pt_message *message, bool *reached)
{
    bool ignored;
    return hub->vtable->send(hub, peer, message, reached ? reached : &ignored);
}

void pt_hub_expel(pt_hub *hub, pt_peer peer)
{
    hub->vtable->expel(hub, peer);
}

void pt_hub_wake(pt_hub *hub)
{
    hub->vtable->wake(hub);
}

pt_link_stats pt_hub_stats(const pt_hub *hub)
{
    return hub->vtable->stats(hub);
}

void pt_hub_close(pt_hub **hub)
{
    if (*hub) {
        (*hub)->vtable->close(*hub);
        *hub = NULL;
    }
}

pt_status pt_end_receive(pt_end *end, int timeout_ms, pt_message *out, bool *got)
{
    return end->vtable->receive(end, timeout_ms, out, got);
}

pt_status pt_end_send(pt_end *end, const pt_message *message)
{
    return end->vtable->send(end, message);
}

pt_status pt_end_reconnect(pt_end *end)
{
    return end->vtable->reconnect(end);
}

void pt_end_wake(pt_end *end)
{
    end->vtable->wake(end);
}

void pt_end_close(pt_end **end)
{
    if (*end) {
        (*end)->vtable->close(*end);
        *end = NULL;
    }
}
