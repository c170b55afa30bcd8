/* A small job of two groups for tests: its ledger, feed and assemblers, and what every tile of it holds. */
#ifndef PANTILE_TESTS_COORDINATOR_CONTROL_JOB_H
#define PANTILE_TESTS_COORDINATOR_CONTROL_JOB_H

#include "coordinator/assemble/feed.h"
#include "coordinator/ledger/ledger.h"

enum { JOB_GROUPS = 2 };

typedef struct job {
    pt_ledger *ledger;
    pt_assembler *assemblers[JOB_GROUPS];
    pt_feed *feed;
} job;

const pt_job_spec *job_spec(void);
int64_t job_tiles(void);

/* A new job in `folder`, or the one that is there. */
void job_open(job *j, const char *folder, bool resume);
void job_open_fed(job *j, const char *folder, bool resume, size_t feed_limit);
void job_close(job *j);

/* What a good worker finds in a tile; the payload is the caller's. */
pt_result job_result(int64_t tile, uint8_t **payload, size_t *size);

/* The settled set is sound and whole: every tile once, with the digest of its content, but those of `failed`
 * (ended by -1; NULL: none), which are given up. Then the features: all of them where no tile failed. */
void job_check(job *j, const int64_t *failed);
int64_t job_settled(const job *j);

/* Removes a folder with what is in it. */
void job_remove(const char *folder);

#endif
