/* What every link must do, whatever carries it: one suite, run once per transport. */
#ifndef PANTILE_TESTS_COORDINATOR_LINK_CONFORMANCE_H
#define PANTILE_TESTS_COORDINATOR_LINK_CONFORMANCE_H

#include "coordinator/protocol/link.h"

/* Makes a fresh link with room for `credit` items each way. */
typedef pt_status link_factory(size_t credit, pt_link **out);

/* Runs the suite as cmocka tests; returns the number of failures. */
int link_conformance(const char *name, link_factory *factory);

#endif
