#include "engine/graph/cut.h"

#include "tiling/base/alloc.h"

enum { UNLIMITED = 1 << 28 };

/* Arcs lie in pairs: the one at i ^ 1 leads back, and has what flowed through this one. */
typedef struct arc {
    int to, left;
    int next; /* of the same node, -1: the last */
} arc;

struct pt_cut {
    int *first; /* per node: its first arc */
    size_t nodes, node_capacity, labels;
    arc *arcs;
    size_t arc_count, arc_capacity;
};

static pt_status add_node(pt_cut *cut, int *out)
{
    PT_TRY(pt_grow(&cut->first, &cut->node_capacity, cut->nodes + 1, sizeof *cut->first));
    cut->first[cut->nodes] = -1;
    *out = (int)cut->nodes++;
    return pt_ok();
}

pt_status pt_cut_new(int free_nodes, pt_cut **out)
{
    pt_status status = pt_ok();
    pt_cut *cut = pt_calloc(1, sizeof *cut);
    if (!cut) {
        return PT_NOMEM("the choice of elements");
    }
    for (int i = 0; i < 2 + free_nodes; i++) {
        int node;
        PT_TRY_OUT(add_node(cut, &node));
    }
    cut->labels = cut->nodes;
    *out = cut;
    cut = NULL;
out:
    pt_cut_free(&cut);
    return status;
}

void pt_cut_free(pt_cut **cut)
{
    if (*cut) {
        pt_free((*cut)->first);
        pt_free((*cut)->arcs);
        pt_free(*cut);
        *cut = NULL;
    }
}

static pt_status add_arc(pt_cut *cut, int from, int to, int capacity)
{
    PT_TRY(pt_grow(&cut->arcs, &cut->arc_capacity, cut->arc_count + 2, sizeof *cut->arcs));
    int at = (int)cut->arc_count;
    cut->arcs[at] = (arc){to, capacity, cut->first[from]};
    cut->first[from] = at;
    cut->arcs[at + 1] = (arc){from, 0, cut->first[to]};
    cut->first[to] = at + 1;
    cut->arc_count += 2;
    return pt_ok();
}

pt_status pt_cut_group(pt_cut *cut, const int *members, int count, int cost)
{
    int in, out;
    PT_TRY(add_node(cut, &in));
    PT_TRY(add_node(cut, &out));
    PT_TRY(add_arc(cut, in, out, cost));
    for (int i = 0; i < count; i++) {
        PT_TRY(add_arc(cut, members[i], in, UNLIMITED));
        PT_TRY(add_arc(cut, out, members[i], UNLIMITED));
    }
    return pt_ok();
}

/* Breadth first from the first label: by which arc each node is reached (-1: not, or the start). */
static bool reach(const pt_cut *cut, int *by, int *queue)
{
    size_t head = 0, tail = 0;
    for (size_t i = 0; i < cut->nodes; i++) {
        by[i] = -1;
    }
    queue[tail++] = PT_CUT_FIRST;
    while (head < tail) {
        int node = queue[head++];
        for (int a = cut->first[node]; a >= 0; a = cut->arcs[a].next) {
            int to = cut->arcs[a].to;
            if (cut->arcs[a].left > 0 && to != PT_CUT_FIRST && by[to] < 0) {
                by[to] = a;
                queue[tail++] = to;
            }
        }
    }
    return by[PT_CUT_SECOND] >= 0;
}

static void push(pt_cut *cut, const int *by)
{
    int amount = UNLIMITED;
    for (int node = PT_CUT_SECOND; node != PT_CUT_FIRST; node = cut->arcs[by[node] ^ 1].to) {
        int left = cut->arcs[by[node]].left;
        amount = left < amount ? left : amount;
    }
    for (int node = PT_CUT_SECOND; node != PT_CUT_FIRST; node = cut->arcs[by[node] ^ 1].to) {
        cut->arcs[by[node]].left -= amount;
        cut->arcs[by[node] ^ 1].left += amount;
    }
}

pt_status pt_cut_solve(pt_cut *cut, bool *is_first)
{
    int *by = pt_alloc(cut->nodes, sizeof *by), *queue = pt_alloc(cut->nodes, sizeof *queue);
    if (!by || !queue) {
        pt_free(by);
        pt_free(queue);
        return PT_NOMEM("the choice of elements");
    }
    while (reach(cut, by, queue)) {
        push(cut, by);
    }
    for (size_t i = 0; i < cut->labels; i++) {
        is_first[i] = i == PT_CUT_FIRST || by[i] >= 0;
    }
    pt_free(by);
    pt_free(queue);
    return pt_ok();
}
