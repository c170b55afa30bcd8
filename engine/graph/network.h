/* The whole network on one image: backbone and pyramid, proposals, box head, mask head. */
#ifndef PANTILE_ENGINE_GRAPH_NETWORK_H
#define PANTILE_ENGINE_GRAPH_NETWORK_H

#include "engine/backend/backend.h"
#include "engine/graph/tap.h"
#include "engine/model/model.h"
#include "engine/ops/detections.h"
#include "engine/quant/precision.h"

typedef struct pt_network pt_network;

/* The backend is borrowed; the model is read during the call alone. Of the options, the thresholds and caps
 * and the passes count; precision and strict are what pt_parts_precision makes of the rest. */
pt_status pt_network_new(const pt_model *model, pt_backend *backend, const pt_engine_options *options,
                         const pt_precision *precision, bool strict, pt_network **out);
/* A second network over the same prepared layers, to be run beside the first, which must outlive it. */
pt_status pt_network_share(const pt_network *of, pt_backend *backend, pt_network **out);
void pt_network_free(pt_network **network);
void pt_network_set_tap(pt_network *network, pt_tap *tap, void *user);
void pt_network_observe(pt_network *network, pt_observer *observer, void *user);
/* The most that a run can find: the cap, or what all proposals can be. */
int pt_network_max_detections(const pt_network *network);

/* Prepares for images of width x height; allocates only for a size that is not among the last few, or when
 * it needs more memory than any before. */
pt_status pt_network_plan(pt_network *network, int width, int height);
/* An image of the planned size. masks holds max_detections * mask_size^2 probabilities; *found is valid until
 * the next run. Adds to *caps. Returns how many were found. */
size_t pt_network_run(pt_network *network, const pt_image *image, const pt_found **found, float *masks,
                      pt_engine_caps *caps);

void pt_network_time(pt_network *network, bool on); /* and set the times to 0 */
/* The layers and the steps between them as of the last run; PT_E_USAGE before the first plan. Grows *items,
 * which pt_free frees. */
pt_status pt_network_layers(const pt_network *network, pt_layer_report **items, size_t *capacity,
                            size_t *count);
pt_engine_memory pt_network_memory_use(const pt_network *network);

#endif
