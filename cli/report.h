/* The JSON report of a run: what was run, with which values, by whom, and how it went. */
#ifndef PANTILE_CLI_REPORT_H
#define PANTILE_CLI_REPORT_H

#include "cli/job.h"
#include "cli/run_scenes.h"
#include "coordinator/control/control.h"
#include "coordinator/ledger/ledger.h"

typedef struct pt_report_facts {
    const pt_job *job;
    const pt_run_scenes *scenes;
    const pt_assemble_report *totals;
    const pt_control_snapshot *control; /* after the last tile */
    pt_ledger *ledger;
    char backend[128]; /* of the first worker's engine; empty: none seen, or no network */
    int threads;       /* of the same */
    double seconds;    /* of the whole run */
    bool replace;      /* a report that is there already */
} pt_report_facts;

/* To options.report; nothing when none is wanted. */
pt_status pt_report_write(const pt_report_facts *facts);

#endif
