/* What `pantile info --graph` prints. */
#ifndef PANTILE_CLI_INFO_GRAPH_H
#define PANTILE_CLI_INFO_GRAPH_H

#include "engine/engine.h"

#include <jansson.h>

/* The layers, the sums of each component, and the counts before and after the passes, on standard output. */
void pt_info_graph_print(const pt_model_graph *graph);
/* The same as a JSON object; NULL: out of memory. */
json_t *pt_info_graph_json(const pt_model_graph *graph);

#endif
