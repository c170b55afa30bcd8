#include "engine/graph/passes.h"

#include <string.h>

static const pt_pass all[] = {
    {"identity", pt_pass_drop_identities},
    {"norm", pt_pass_fold_norms},
    {"upsample", pt_pass_fuse_upsamples},
    {"add", pt_pass_fuse_adds},
    {"activation", pt_pass_fuse_activations},
    {"concat", pt_pass_merge_concats},
    {"dead", pt_pass_drop_dead},
};
enum { PASS_COUNT = sizeof all / sizeof *all };

const pt_pass *pt_passes(size_t *count)
{
    *count = PASS_COUNT;
    return all;
}

/* The bits of the passes that a word means; 0: there are none. */
static unsigned passes_of(const char *word, size_t length)
{
    unsigned found = 0;
    for (unsigned i = 0; i < PASS_COUNT; i++) {
        bool same = strlen(all[i].name) == length && memcmp(all[i].name, word, length) == 0;
        found |= same || (length == 3 && memcmp(word, "all", 3) == 0) ? 1U << i : 0;
    }
    return found;
}

static pt_status read_names(const char *without, unsigned *out)
{
    *out = 0;
    for (const char *at = without ? without : ""; *at;) {
        size_t length = strcspn(at, ",");
        unsigned found = passes_of(at, length);
        if (!found) {
            return pt_error(PT_E_USAGE,
                            "there is no pass \"%.*s\"; there are identity, norm, upsample, add, activation, "
                            "concat, dead, and all for all of them",
                            (int)(length < 64 ? length : 64), at);
        }
        *out |= found;
        at += length + (at[length] == ',');
    }
    return pt_ok();
}

pt_status pt_ir_run_passes(pt_ir *ir, const char *without)
{
    unsigned left_out;
    PT_TRY(read_names(without, &left_out));
    for (unsigned i = 0; i < PASS_COUNT; i++) {
        if (!(left_out & 1U << i)) {
            PT_TRY(all[i].run(ir));
        }
    }
    return pt_ok();
}
