/* The workers of this process, each in its own thread.
 *
 * Life cycle: pt_crew_start -> pt_crew_join (after no_more or close) -> *crew is empty again.
 */
#ifndef PANTILE_CLI_CREW_H
#define PANTILE_CLI_CREW_H

#include "cli/job.h"
#include "coordinator/protocol/link.h"

typedef struct pt_crew pt_crew;

/* Makes `count` detectors and starts as many workers. Closes the link and joins what it started on failure.
 */
pt_status pt_crew_start(const pt_job *job, const pt_scene *scene, pt_link *link, size_t count, pt_crew **out);
/* Waits for all, frees the crew; the first failure that a worker had. */
pt_status pt_crew_join(pt_crew **crew);

#endif
