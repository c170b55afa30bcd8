/* Where a hub listens: "tcp://HOST:PORT" or "ipc://PATH". Private to the folder. */
#ifndef PANTILE_COORDINATOR_PROTOCOL_ENDPOINT_H
#define PANTILE_COORDINATOR_PROTOCOL_ENDPOINT_H

#include "tiling/base/base.h"

/* PT_E_USAGE for other texts. *exposed: not only processes of this machine that may open a file, or that
 * share its loopback interface, can connect. */
pt_status pt_endpoint_check(const char *endpoint, bool *exposed);
bool pt_endpoint_is_ipv6(const char *endpoint);
/* Before listening, for an ipc path: libzmq removes whatever lies there, be it a file of the user's or the
 * socket of a coordinator at work. PT_E_EXISTS when it is more than a socket that nobody listens at. */
pt_status pt_endpoint_free(const char *endpoint);
/* Why a hub cannot listen there, from libzmq's error number, and what helps. */
pt_status pt_endpoint_refused(const char *endpoint, int error);
/* What others connect to when `bound` is listened at: a wildcard host becomes the IPv4 address that this
 * machine's name has, else the first of an interface that is up and no loopback, else 127.0.0.1. Owned by the
 * caller. */
pt_status pt_endpoint_reachable(const char *bound, char **out);

#endif
