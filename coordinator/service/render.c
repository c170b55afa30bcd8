/* A snapshot as Prometheus text: https://prometheus.io/docs/instrumenting/exposition_formats/ */
#include "coordinator/service/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct page {
    char *text; /* owned */
    size_t length, capacity;
    pt_status status; /* the first failure: everything after it does nothing */
} page;

static void add(page *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(page *p, const char *format, ...)
{
    enum { LINE = 1024 }; /* longer than any line below */
    char line[LINE];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (p->status.code == PT_OK) {
        p->status = pt_grow(&p->text, &p->capacity, p->length + (size_t)length + 1, 1);
    }
    if (p->status.code == PT_OK) {
        memcpy(p->text + p->length, line, (size_t)length + 1);
        p->length += (size_t)length;
    }
}

typedef enum type { COUNTER, GAUGE } type;
typedef enum number { INTEGER, UNSIGNED, SIZE, REAL } number;

typedef struct row {
    const char *name; /* without "pantile_"; NULL: as the row before, with other labels */
    const char *help;
    type type;
    const char *labels; /* may be NULL */
    number number;
    size_t offset; /* in the snapshot */
} row;

#define AT(field) offsetof(pt_control_snapshot, field)

static const row rows[] = {
    {"run_seconds", "Since this start of the coordinator.", GAUGE, NULL, REAL, AT(seconds)},
    {"tiles", "Tiles of the job.", GAUGE, NULL, INTEGER, AT(dispatch.tiles)},
    {"tiles_open", "Tiles that are not settled, by state.", GAUGE, "state=\"pending\"", INTEGER,
     AT(dispatch.pending)},
    {NULL, NULL, GAUGE, "state=\"leased\"", INTEGER, AT(dispatch.leased)},
    {NULL, NULL, GAUGE, "state=\"settling\"", INTEGER, AT(dispatch.settling)},
    {"tiles_settled_total", "Tiles that are settled for good, those of earlier starts included.", COUNTER,
     "outcome=\"done\"", INTEGER, AT(done)},
    {NULL, NULL, COUNTER, "outcome=\"empty\"", INTEGER, AT(empty)},
    {NULL, NULL, COUNTER, "outcome=\"outside\"", INTEGER, AT(outside)},
    {NULL, NULL, COUNTER, "outcome=\"quarantined\"", INTEGER, AT(failed)},
    {"tiles_resumed", "Tiles that were settled before this start.", GAUGE, NULL, INTEGER, AT(resumed)},
    {"detections_total", "Instances in settled tiles, before stitching.", COUNTER, NULL, INTEGER,
     AT(detections)},
    {"pixels_total", "Pixels of the windows that were inferred since this start.", COUNTER, NULL, INTEGER,
     AT(pixels)},
    {"assignments_total", "Tiles handed out.", COUNTER, NULL, INTEGER, AT(dispatch.assigned)},
    {"retries_total", "Assignments after a failure or a death.", COUNTER, NULL, INTEGER,
     AT(dispatch.retries)},
    {"speculations_total", "Second runs of slow tiles.", COUNTER, NULL, INTEGER, AT(dispatch.speculated)},
    {"wasted_results_total", "Results that came after another one.", COUNTER, NULL, INTEGER,
     AT(dispatch.wasted)},
    {"duplicate_results_total", "Results of tiles that were in the ledger already.", COUNTER, NULL, INTEGER,
     AT(duplicates)},
    {"strikes_total", "Deaths of workers over a tile.", COUNTER, NULL, INTEGER, AT(dispatch.strikes)},
    {"alarms_total", "Second results that differ from the first.", COUNTER, NULL, INTEGER,
     AT(dispatch.alarms)},
    {"tile_seconds_p95", "95th percentile of a tile's time on its worker, of the last ones.", GAUGE, NULL,
     REAL, AT(dispatch.p95_seconds)},
    {"workers", "Workers that are connected.", GAUGE, NULL, SIZE, AT(worker_count)},
    {"workers_suspect", "Of them, those that are silent or stand still.", GAUGE, NULL, INTEGER,
     AT(dispatch.suspects)},
    {"workers_joined_total", "Workers that were welcomed.", COUNTER, NULL, INTEGER, AT(joined_workers)},
    {"workers_lost_total", "Workers that died or were given up.", COUNTER, NULL, INTEGER, AT(lost_workers)},
    {"workers_refused_total", "Workers that were refused.", COUNTER, NULL, INTEGER, AT(refused_workers)},
    {"messages_total", "Messages of the link.", COUNTER, "direction=\"received\"", UNSIGNED,
     AT(link.received)},
    {NULL, NULL, COUNTER, "direction=\"sent\"", UNSIGNED, AT(link.sent)},
    {"message_bytes_total", "Their bytes.", COUNTER, "direction=\"received\"", UNSIGNED,
     AT(link.received_bytes)},
    {NULL, NULL, COUNTER, "direction=\"sent\"", UNSIGNED, AT(link.sent_bytes)},
    {"messages_lost_total", "Messages to peers that were gone or did not keep up.", COUNTER, NULL, UNSIGNED,
     AT(link.lost)},
    {"messages_stray_total", "Messages of another job, or of workers that had to say HELLO again.", COUNTER,
     NULL, INTEGER, AT(strays)},
    {"frames_refused_total", "Frames that broke a rule of the protocol.", COUNTER, NULL, UNSIGNED,
     AT(link.refused)},
    {"peers_expelled_total", "Peers that were dropped for it.", COUNTER, NULL, UNSIGNED, AT(link.expelled)},
    {"connections_denied_total", "Connections without a key on the list.", COUNTER, NULL, UNSIGNED,
     AT(link.denied)},
    {"feed_bytes", "Results that wait to be stitched.", GAUGE, NULL, SIZE, AT(feed_bytes)},
    {"ledger_commits_total", "Transactions of the ledger.", COUNTER, NULL, INTEGER, AT(commits)},
    {"ledger_seconds_total", "Time spent in them.", COUNTER, NULL, REAL, AT(ledger_seconds)},
};

static void add_head(page *p, const char *name, const char *help, type t)
{
    add(p, "# HELP pantile_%s %s\n# TYPE pantile_%s %s\n", name, help, name,
        t == COUNTER ? "counter" : "gauge");
}

static void add_value(page *p, const pt_control_snapshot *s, const row *r)
{
    const char *at = (const char *)s + r->offset;
    int64_t integer;
    uint64_t natural;
    size_t size;
    double real;
    switch (r->number) {
    case INTEGER:
        memcpy(&integer, at, sizeof integer);
        add(p, " %" PRId64 "\n", integer);
        break;
    case UNSIGNED:
        memcpy(&natural, at, sizeof natural);
        add(p, " %" PRIu64 "\n", natural);
        break;
    case SIZE:
        memcpy(&size, at, sizeof size);
        add(p, " %zu\n", size);
        break;
    case REAL:
        memcpy(&real, at, sizeof real);
        add(p, " %.9g\n", real);
        break;
    }
}

static void add_rows(page *p, const pt_control_snapshot *s)
{
    const char *name = "";
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const row *r = &rows[i];
        if (r->name) {
            name = r->name;
            add_head(p, name, r->help, r->type);
        }
        add(p, "pantile_%s", name);
        if (r->labels) {
            add(p, "{%s}", r->labels);
        }
        add_value(p, s, r);
    }
}

enum { LABEL = 2 * sizeof(((pt_worker_view *)0)->name) + 16 };

/* A worker's name as a label, which must not occur twice: the second of a name gets "#2" behind it. */
static const char *label(const pt_control_snapshot *s, size_t worker, char out[LABEL])
{
    const char *name = s->workers[worker].name;
    size_t at = 0;
    int same = 1;
    for (const char *c = name; *c; c++) {
        if (*c == '\\' || *c == '"' || *c == '\n') {
            out[at++] = '\\';
        }
        out[at++] = *c == '\n' ? 'n' : *c;
    }
    out[at] = '\0';
    for (size_t i = 0; i < worker; i++) {
        same += strcmp(s->workers[i].name, name) == 0;
    }
    if (same > 1) {
        snprintf(out + at, LABEL - at, "#%d", same);
    }
    return out;
}

typedef struct column {
    const char *name, *help;
    type type;
    double (*value)(const pt_worker_view *worker);
} column;

static double tiles_of(const pt_worker_view *w)
{
    return (double)w->tiles;
}

static double seconds_of(const pt_worker_view *w)
{
    return w->tile_seconds;
}

static double held_of(const pt_worker_view *w)
{
    return w->held;
}

static double silent_of(const pt_worker_view *w)
{
    return w->silent;
}

static double suspect_of(const pt_worker_view *w)
{
    return w->suspect;
}

static const column columns[] = {
    {"worker_tiles_total", "Tiles that a worker settled; some workers only, when there are many.", COUNTER,
     tiles_of},
    {"worker_tile_seconds", "Mean of a worker's last tiles.", GAUGE, seconds_of},
    {"worker_held", "Tiles that a worker holds, as of its last heartbeat.", GAUGE, held_of},
    {"worker_silent_seconds", "Since a worker was heard.", GAUGE, silent_of},
    {"worker_suspect", "1 for a worker that is silent or stands still.", GAUGE, suspect_of},
};

static void add_workers(page *p, const pt_control_snapshot *s)
{
    char name[LABEL];
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
        add_head(p, columns[c].name, columns[c].help, columns[c].type);
        for (size_t i = 0; i < s->workers_shown; i++) {
            add(p, "pantile_%s{worker=\"%s\"} %.9g\n", columns[c].name, label(s, i, name),
                columns[c].value(&s->workers[i]));
        }
    }
}

pt_status pt_metrics_render(const pt_control_snapshot *snapshot, char **out)
{
    page p = {.status = pt_ok()};
    add(&p, "# HELP pantile_build_info The program.\n# TYPE pantile_build_info gauge\n"
            "pantile_build_info{version=\"" PANTILE_VERSION "\"} 1\n");
    add_rows(&p, snapshot);
    add_workers(&p, snapshot);
    if (p.status.code != PT_OK) {
        pt_free(p.text);
        return pt_context(p.status, "metrics");
    }
    *out = p.text;
    return p.status;
}
