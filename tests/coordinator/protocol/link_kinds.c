#include "tests/coordinator/protocol/link_kinds.h"

const link_kind link_kinds[] = {
    {"in one process", pt_hub_open_local, pt_end_open_local},
};
const int link_kind_count = sizeof link_kinds / sizeof *link_kinds;
