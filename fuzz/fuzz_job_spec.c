/* A job's specification on hostile bytes: what is taken is encoded to the same bytes again, and its tiles can
 * be found. */
#include "coordinator/protocol/job_spec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *user, const char *field, const char *was, const char *is)
{
    (void)user;
    if (strlen(field) == 0 || strlen(was) > 300 || strlen(is) > 300) {
        abort();
    }
}

static void check(const pt_job_spec *spec)
{
    int64_t tiles = pt_job_spec_tiles(spec);
    size_t group;
    pt_grid grid;
    int64_t index;
    if (tiles < 1 || pt_job_spec_locate(spec, tiles, &group, &grid, &index).code != PT_E_INPUT ||
        pt_job_spec_locate(spec, tiles - 1, &group, &grid, &index).code != PT_OK ||
        group != spec->group_count - 1 || index != pt_grid_count(&grid) - 1) {
        abort();
    }
    const pt_job_spec empty = {0};
    if (pt_job_spec_compare(spec, spec, ignore, NULL) != 0 ||
        pt_job_spec_compare(&empty, spec, ignore, NULL) == 0) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pt_job_spec spec;
    pt_status status = pt_job_spec_decode(data, size, &spec);
    if (status.code == PT_E_INPUT) {
        return 0;
    }
    uint8_t *again;
    size_t again_size;
    if (status.code != PT_OK || pt_job_spec_encode(&spec, &again, &again_size).code != PT_OK) {
        abort();
    }
    if (again_size != size || memcmp(again, data, size) != 0) {
        abort();
    }
    check(&spec);
    pt_free(again);
    pt_job_spec_fini(&spec);
    return 0;
}
