/* A feature as bytes for the spool: native byte order, read back by the same process alone. Private to the
 * folder. */
#ifndef PANTILE_COORDINATOR_ASSEMBLE_RECORD_H
#define PANTILE_COORDINATOR_ASSEMBLE_RECORD_H

#include "tiling/instance/feature.h"

#include <stddef.h>

typedef struct pt_record {
    unsigned char *bytes; /* owned; reused by the next encode */
    size_t size, capacity;
} pt_record;

pt_status pt_record_encode(pt_record *record, const pt_feature *feature);
/* PT_E_INTERNAL when the bytes are not what encode wrote. The caller owns *out. */
pt_status pt_record_decode(const unsigned char *bytes, size_t size, pt_feature *out);
void pt_record_fini(pt_record *record);

#endif
