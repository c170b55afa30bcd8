/* The whole network on one image: backbone and pyramid, proposals, box head, mask head. */
#ifndef PANTILE_ENGINE_GRAPH_NETWORK_H
#define PANTILE_ENGINE_GRAPH_NETWORK_H

#include "engine/backend/backend.h"
#include "engine/graph/tap.h"
#include "engine/model/model.h"
#include "engine/ops/detections.h"

typedef struct pt_network pt_network;

/* Model and backend are borrowed. Of the options, the thresholds and caps count. */
pt_status pt_network_new(const pt_model *model, pt_backend *backend, const pt_engine_options *options,
                         pt_network **out);
void pt_network_free(pt_network **network);
void pt_network_set_tap(pt_network *network, pt_tap *tap, void *user);
int pt_network_max_detections(const pt_network *network);

/* Prepares for images of width x height; allocates only when they need more memory than any before. */
pt_status pt_network_plan(pt_network *network, int width, int height);
/* An image of the planned size. masks holds max_detections * mask_size^2 probabilities; *found is valid until
 * the next run. Adds to *caps. Returns how many were found. */
size_t pt_network_run(pt_network *network, const pt_image *image, const pt_found **found, float *masks,
                      pt_engine_caps *caps);

#endif
