/* The cheapest way to give every node one of two labels when some nodes have theirs and groups of nodes that
 * are labelled differently cost: a minimum cut of a hypergraph, by maximum flow.
 *
 * Source: a group becomes an arc between two nodes of its own that all members reach and are reached from
 * without limit (Lawler, Cutsets and partitions of hypergraphs, 1973); flow along shortest paths (Edmonds and
 * Karp, 1972).
 */
#ifndef PANTILE_ENGINE_GRAPH_CUT_H
#define PANTILE_ENGINE_GRAPH_CUT_H

#include "tiling/base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct pt_cut pt_cut;

enum { PT_CUT_FIRST, PT_CUT_SECOND }; /* nodes that have their labels; the free ones are numbered from 2 */

pt_status pt_cut_new(int free_nodes, pt_cut **out);
void pt_cut_free(pt_cut **cut);
/* A group costs `cost` when its members' labels differ. Members may be repeated. */
pt_status pt_cut_group(pt_cut *cut, const int *members, int count, int cost);
/* Labels for the least cost; of several ways the one with the fewest nodes that take the first label.
 * is_first holds 2 + free_nodes labels. Once. */
pt_status pt_cut_solve(pt_cut *cut, bool *is_first);

#endif
