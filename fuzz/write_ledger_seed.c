/* A sound ledger for the fuzzer to begin with: write_ledger_seed FOLDER makes FOLDER/ledger.db. */
#include "tests/coordinator/ledger/support.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    enum { SETTLED = 8, LARGEST = 3000 };
    pt_ledger *ledger = NULL;
    pt_job_spec spec = ledger_spec(4);
    pt_settlement items[SETTLED];
    for (int i = 0; i < SETTLED; i++) {
        items[i] = ledger_settlement(i, LARGEST, i);
    }
    pt_status status =
        argc == 2 ? pt_ledger_create(argv[1], &spec, true, &ledger) : pt_error(PT_E_USAGE, "name one folder");
    if (status.code == PT_OK) {
        status = pt_ledger_record(ledger, items, SETTLED);
    }
    if (status.code == PT_OK) {
        status = pt_ledger_strike(ledger, SETTLED + 1, 1, 1);
    }
    pt_ledger_close(&ledger);
    pt_job_spec_fini(&spec);
    if (status.code != PT_OK) {
        fprintf(stderr, "write_ledger_seed: %s\n", status.message);
    }
    return status.code == PT_OK ? 0 : 1;
}
