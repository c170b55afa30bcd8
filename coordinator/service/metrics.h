/* Prometheus text over HTTP, from a snapshot of the coordinator (libmicrohttpd).
 *
 * GET /metrics; GET /healthz answers "ok". Anything else is 404, any other method 405. On loopback, unless
 * the user gives another address in full.
 *
 * Life cycle: pt_metrics_open("127.0.0.1:9464", look, user, &metrics) -> pt_metrics_close.
 */
#ifndef PANTILE_COORDINATOR_SERVICE_METRICS_H
#define PANTILE_COORDINATOR_SERVICE_METRICS_H

#include "coordinator/control/control.h"

typedef struct pt_metrics pt_metrics;

/* Fills a snapshot; called from the server's thread. */
typedef void pt_metrics_look(void *user, pt_control_snapshot *out);

/* "HOST:PORT" with a numeric host or localhost, or a port alone, which is loopback's. PT_E_USAGE: the address
 * is none, or taken; PT_E_NOMEM. Port 0 takes a free one. */
pt_status pt_metrics_open(const char *address, pt_metrics_look *look, void *user, pt_metrics **out);
int pt_metrics_port(const pt_metrics *metrics);
void pt_metrics_close(pt_metrics **metrics);

/* The page as text; free with pt_free. Names are in docs/metrics.md. */
pt_status pt_metrics_render(const pt_control_snapshot *snapshot, char **out);

#endif
