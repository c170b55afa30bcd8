/* Jobs and settlements to test the ledger with. */
#ifndef PANTILE_TESTS_COORDINATOR_LEDGER_SUPPORT_H
#define PANTILE_TESTS_COORDINATOR_LEDGER_SUPPORT_H

#include "coordinator/ledger/ledger.h"

/* Tiles of a job of ledger_spec: 5 by 5. */
enum { TILES = 25 };

/* A job of one scene; pt_job_spec_fini frees it. Jobs of different `min_area` differ. */
pt_job_spec ledger_spec(double min_area);

/* A settled tile that is a function of its number: every outcome occurs, payloads of 0 to `largest` bytes.
 * Points into memory that the next call with the same `slot` (0 to 31) overwrites. */
pt_settlement ledger_settlement(int64_t tile, size_t largest, int slot);

/* Whether a settlement is the one of that function; without `payload` that is not looked at. */
bool ledger_is_settlement(const pt_settlement *found, size_t largest, bool payload);

/* A new empty folder below the system's, and its removal with all that is in it. */
const char *ledger_scratch(void);
void ledger_scratch_remove(void);
void ledger_remove(const char *folder); /* with all that is in it */
/* A path in it; of the last four calls. */
const char *ledger_path(const char *name);

#endif
