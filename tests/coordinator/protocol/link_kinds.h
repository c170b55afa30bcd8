/* The kinds of link, for the suite that each of them must pass. */
#ifndef PANTILE_TESTS_COORDINATOR_PROTOCOL_LINK_KINDS_H
#define PANTILE_TESTS_COORDINATOR_PROTOCOL_LINK_KINDS_H

#include "coordinator/protocol/link.h"

typedef struct link_kind {
    const char *name;
    pt_status (*open_hub)(pt_hub **out);
    pt_status (*open_end)(pt_hub *hub, pt_end **out);
} link_kind;

extern const link_kind link_kinds[];
extern const int link_kind_count;

#endif
