/* Values for the protocol's tests: random but the same in every run. */
#ifndef PANTILE_TESTS_COORDINATOR_PROTOCOL_SAMPLES_H
#define PANTILE_TESTS_COORDINATOR_PROTOCOL_SAMPLES_H

#include "coordinator/protocol/message.h"

enum { SAMPLE_SIDE = 512 };

static const pt_rect sample_window = {1000, 3000, SAMPLE_SIDE, SAMPLE_SIDE};

int64_t sample_random(int64_t n); /* 0 .. n - 1 */
void sample_seed(uint64_t seed);

/* `count` instances of about side x side pixels in the window, with or without probabilities. */
pt_instance_list sample_instances(size_t count, int side, bool probabilities);
bool sample_lists_equal(const pt_instance_list *a, const pt_instance_list *b);

/* Every field is set to something of its own. */
pt_job_spec sample_spec(void);
/* Variant 0, 1, ... of a type; each type has SAMPLE_VARIANTS. */
enum { SAMPLE_VARIANTS = 3 };
pt_message sample_message(pt_message_type type, int variant);

#endif
