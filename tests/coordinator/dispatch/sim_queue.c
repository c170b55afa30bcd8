#include "tests/coordinator/dispatch/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(sim *s)
{
    uint64_t z = s->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double sim_chance(sim *s)
{
    return (double)(next_random(s) >> 11) * 0x1p-53;
}

bool sim_happens(sim *s, double probability)
{
    return probability > 0 && sim_chance(s) < probability;
}

int64_t sim_below(sim *s, int64_t n)
{
    return (int64_t)(next_random(s) % (uint64_t)n);
}

void sim_fail(sim *s, const char *format, ...)
{
    if (s->error[0] == '\0') { /* the first one counts */
        va_list args;
        va_start(args, format);
        vsnprintf(s->error, sizeof s->error, format, args);
        va_end(args);
    }
    s->ended = true;
}

static bool before(const sim_event *a, const sim_event *b)
{
    return a->time < b->time || (a->time == b->time && a->order < b->order);
}

static void grow(sim *s)
{
    size_t capacity = s->event_capacity ? s->event_capacity * 2 : 64;
    s->events = realloc(s->events, capacity * sizeof *s->events);
    s->heap = realloc(s->heap, capacity * sizeof *s->heap);
    s->spare = realloc(s->spare, capacity * sizeof *s->spare);
    if (!s->events || !s->heap || !s->spare) {
        fprintf(stderr, "out of memory\n");
        exit(2);
    }
    s->event_capacity = capacity;
}

void sim_put(sim *s, double delay, sim_event event)
{
    sim_put_at(s, s->now + delay, event);
}

void sim_put_at(sim *s, double time, sim_event event)
{
    if (s->spare_count == 0 && s->event_top == s->event_capacity) {
        grow(s);
    }
    uint32_t item = s->spare_count ? s->spare[--s->spare_count] : (uint32_t)s->event_top++;
    event.time = time;
    event.order = s->order++;
    s->events[item] = event;
    size_t i = s->heap_count++;
    for (; i > 0 && before(&event, &s->events[s->heap[(i - 1) / 2]]); i = (i - 1) / 2) {
        s->heap[i] = s->heap[(i - 1) / 2];
    }
    s->heap[i] = item;
}

bool sim_next(sim *s, sim_event *out)
{
    if (s->heap_count == 0) {
        return false;
    }
    uint32_t item = s->heap[0];
    *out = s->events[item];
    s->spare[s->spare_count++] = item;
    uint32_t last = s->heap[--s->heap_count];
    size_t i = 0;
    for (size_t child = 1; child < s->heap_count; child = 2 * i + 1) {
        if (child + 1 < s->heap_count && before(&s->events[s->heap[child + 1]], &s->events[s->heap[child]])) {
            child++;
        }
        if (!before(&s->events[s->heap[child]], &s->events[last])) {
            break;
        }
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    s->now = out->time;
    return true;
}

/* Each copy takes its own time, so that messages overtake each other. */
void sim_send(sim *s, bool to_worker, uint32_t life, const sim_message *message)
{
    bool calm = s->now >= s->c.quiet;
    int slot = s->lives[life].slot;
    if ((!calm && sim_happens(s, s->c.drop)) || s->workers[slot].cut > s->now) {
        s->totals->dropped_messages++;
        return;
    }
    int copies = !calm && sim_happens(s, s->c.twice) ? 2 : 1;
    s->totals->doubled_messages += copies - 1;
    for (; copies > 0; copies--) {
        double delay = 0.0005 + (calm ? 0 : s->c.delay * sim_chance(s));
        sim_put(s, delay,
                (sim_event){.kind = to_worker ? SIM_TO_WORKER : SIM_TO_COORDINATOR,
                            .slot = slot,
                            .life = life,
                            .message = *message});
    }
}
