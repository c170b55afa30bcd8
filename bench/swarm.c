/* Plays many workers in one process, over real connections, to measure everything but the work: each answers
 * a tile at once with nothing found.
 *
 *   bench_swarm ENDPOINT WORKERS CREDIT [KEYS]
 *
 * KEYS: the worker.key of the job's folder; without it the coordinator runs with --insecure. Ends with the
 * job and prints "workers N tiles T seconds S rate R joined J again A": R is measured between the first and
 * the last tenth of the acknowledgements, J the seconds until all were welcome, A counts acknowledgements of
 * tiles that were acknowledged before. bench/dispatch.sh runs it.
 *
 * One thread and one context for all: a thread for each would measure the machine's scheduler. */
#include "coordinator/protocol/keys.h"
#include "coordinator/protocol/message.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { AT_ONCE = 256 /* messages of one worker before the next one's turn */ };

typedef struct player {
    void *socket;
    uint8_t instance[PT_INSTANCE_ID];
    bool opened, welcome, over;
    uint64_t progress;
    pt_held held[PT_HELD_MAX];
    double since[PT_HELD_MAX];
    size_t held_count;
    double hello_at, beat_at;
} player;

typedef struct swarm {
    void *context;
    player *players;
    zmq_pollitem_t *items;
    int count, credit, welcome, over;
    double now, began, joined, heartbeat;
    uint64_t job;
    uint32_t epoch;
    uint8_t hash[32];
    char program[32];
    uint8_t *done;               /* a byte per tile */
    int64_t tiles, acked, again; /* again: acknowledged before */
    double tenth, last_tenth;
    int64_t at_tenth, at_last_tenth;
} swarm;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(pt_status status)
{
    if (status.code != PT_OK) {
        fprintf(stderr, "bench_swarm: %s\n", status.message);
        exit(1);
    }
}

static void say(swarm *s, player *p, pt_message *m)
{
    uint8_t *bytes;
    size_t size;
    if (m->type != PT_MSG_HELLO) {
        m->job = s->job;
        m->epoch = s->epoch;
    }
    must(pt_message_encode(m, &bytes, &size));
    zmq_send(p->socket, bytes, size, ZMQ_DONTWAIT); /* lost when the queue is full: said again later */
    pt_free(bytes);
}

static void greet(swarm *s, player *p)
{
    pt_message m = {.type = PT_MSG_HELLO};
    pt_hello *h = &m.as.hello;
    memcpy(h->instance, p->instance, sizeof h->instance);
    snprintf(h->name, sizeof h->name, "swarm:%d", (int)(p - s->players));
    snprintf(h->program, sizeof h->program, "%s", p->opened ? s->program : PANTILE_VERSION);
    h->threads = 1;
    h->opened = p->opened;
    if (p->opened) {
        memcpy(h->job_hash, s->hash, sizeof h->job_hash);
    }
    say(s, p, &m);
    p->hello_at = s->now + 1;
}

static void beat(swarm *s, player *p)
{
    pt_message m = {.type = PT_MSG_HEARTBEAT};
    m.as.heartbeat.progress = p->progress;
    m.as.heartbeat.credit = s->credit;
    m.as.heartbeat.held_count = p->held_count;
    memcpy(m.as.heartbeat.held, p->held, p->held_count * sizeof *p->held);
    say(s, p, &m);
    p->beat_at = s->now + s->heartbeat;
}

static void answer(swarm *s, player *p, pt_held tile)
{
    pt_message m = {.type = PT_MSG_RESULT};
    m.as.result.result.tile = tile.tile;
    m.as.result.result.attempt = tile.attempt;
    m.as.result.result.outcome = PT_TILE_DONE;
    say(s, p, &m);
    p->progress++;
}

static void take_job(swarm *s, player *p, const pt_message *m)
{
    if (!s->job) {
        pt_job_spec spec = {0};
        must(pt_job_spec_decode(m->as.job.spec, m->as.job.size, &spec));
        must(pt_job_spec_hash(&spec, s->hash));
        snprintf(s->program, sizeof s->program, "%s", spec.program);
        s->tiles = pt_job_spec_tiles(&spec);
        s->heartbeat = m->as.job.heartbeat_seconds;
        s->done = pt_calloc((size_t)s->tiles, 1);
        must(s->done ? pt_ok() : PT_NOMEM("the swarm"));
        s->job = m->job;
        s->epoch = m->epoch;
        pt_job_spec_fini(&spec);
    }
    p->opened = true;
    greet(s, p);
}

static void take_welcome(swarm *s, player *p)
{
    s->welcome += !p->welcome;
    if (!p->welcome && s->welcome == s->count) {
        s->joined = s->now - s->began;
    }
    p->welcome = true;
    p->beat_at = s->now + s->heartbeat * (double)(p - s->players + 1) / s->count; /* not all at once */
    pt_message m = {.type = PT_MSG_READY, .as.credit = s->credit};
    say(s, p, &m);
}

static size_t find(const player *p, int64_t tile)
{
    size_t i = 0;
    while (i < p->held_count && p->held[i].tile != tile) {
        i++;
    }
    return i;
}

static void take_tile(swarm *s, player *p, const pt_assignment *a)
{
    size_t i = find(p, a->tile);
    pt_held tile = {a->tile, a->attempt, true};
    if (i == PT_HELD_MAX) {
        return;
    }
    if (i == p->held_count) {
        p->held_count++;
        pt_message m = {.type = PT_MSG_STARTED, .as.tile = tile};
        say(s, p, &m);
    }
    p->held[i] = tile;
    p->since[i] = s->now;
    answer(s, p, tile);
}

static void take_ack(swarm *s, player *p, int64_t tile)
{
    size_t i = find(p, tile);
    if (i == p->held_count) {
        return;
    }
    p->held[i] = p->held[--p->held_count];
    p->since[i] = p->since[p->held_count];
    if (s->done[tile]) {
        s->again++;
        return;
    }
    s->done[tile] = 1;
    s->acked++;
    if (s->welcome == s->count && s->tenth == 0 && s->acked * 10 >= s->tiles) {
        s->tenth = s->now;
        s->at_tenth = s->acked;
    } else if (s->acked * 10 <= s->tiles * 9) {
        s->last_tenth = s->now;
        s->at_last_tenth = s->acked;
    }
}

static void take(swarm *s, player *p, const pt_message *m)
{
    switch (m->type) {
    case PT_MSG_JOB:
        take_job(s, p, m);
        break;
    case PT_MSG_WELCOME:
        take_welcome(s, p);
        break;
    case PT_MSG_HELLO:
        greet(s, p);
        break;
    case PT_MSG_ASSIGN:
        take_tile(s, p, &m->as.assign);
        break;
    case PT_MSG_ACK:
        take_ack(s, p, m->as.tile.tile);
        break;
    case PT_MSG_REFUSED:
        fprintf(stderr, "bench_swarm: refused: %s\n", m->as.refused);
        exit(1);
    case PT_MSG_BYE: {
        pt_message bye = {.type = PT_MSG_BYE};
        say(s, p, &bye);
        s->over += !p->over;
        p->over = true;
        break;
    }
    default:
        break;
    }
}

static void listen_to(swarm *s, player *p)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    for (int n = 0; n < AT_ONCE && zmq_msg_recv(&part, p->socket, ZMQ_DONTWAIT) >= 0; n++) {
        pt_message m = {0};
        must(pt_message_decode(zmq_msg_data(&part), zmq_msg_size(&part), &m));
        take(s, p, &m);
        pt_message_fini(&m);
    }
    zmq_msg_close(&part);
}

static void do_what_is_due(swarm *s, player *p)
{
    enum { AGAIN = 5 };
    if (p->over) {
        return;
    }
    if (!p->welcome && s->now >= p->hello_at) {
        greet(s, p);
    }
    if (p->welcome && s->now >= p->beat_at) {
        beat(s, p);
        for (size_t i = 0; i < p->held_count; i++) {
            if (s->now - p->since[i] >= AGAIN) {
                p->since[i] = s->now;
                answer(s, p, p->held[i]);
            }
        }
    }
}

static void play(swarm *s)
{
    double due = 0;
    while (s->over < s->count) {
        int ready = zmq_poll(s->items, s->count, 50);
        s->now = seconds();
        for (int i = 0; i < s->count && ready > 0; i++) {
            if (s->items[i].revents) {
                ready--;
                listen_to(s, &s->players[i]);
            }
        }
        if (s->now >= due) {
            for (int i = 0; i < s->count; i++) {
                do_what_is_due(s, &s->players[i]);
            }
            due = s->now + 0.05;
        }
    }
}

static void open_player(swarm *s, int i, const char *endpoint, const pt_key_pair *keys,
                        const pt_public_key *server)
{
    player *p = &s->players[i];
    int linger = 200;
    p->socket = zmq_socket(s->context, ZMQ_DEALER);
    memcpy(p->instance, &i, sizeof i);
    p->instance[PT_INSTANCE_ID - 1] = 1; /* never all zero */
    bool good = p->socket && zmq_setsockopt(p->socket, ZMQ_LINGER, &linger, sizeof linger) == 0;
    if (good && keys) {
        good = zmq_setsockopt(p->socket, ZMQ_CURVE_SECRETKEY, keys->secret, PT_KEY_TEXT) == 0 &&
               zmq_setsockopt(p->socket, ZMQ_CURVE_PUBLICKEY, keys->public_key.text, PT_KEY_TEXT) == 0 &&
               zmq_setsockopt(p->socket, ZMQ_CURVE_SERVERKEY, server->text, PT_KEY_TEXT) == 0;
    }
    if (!good || zmq_connect(p->socket, endpoint) != 0) {
        fprintf(stderr, "bench_swarm: %s: %s\n", endpoint, zmq_strerror(zmq_errno()));
        exit(1);
    }
    s->items[i] = (zmq_pollitem_t){.socket = p->socket, .events = ZMQ_POLLIN};
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: bench_swarm ENDPOINT WORKERS CREDIT [KEYS]\n");
        return 1;
    }
    swarm s = {.context = zmq_ctx_new(),
               .count = (int)strtol(argv[2], NULL, 10),
               .credit = (int)strtol(argv[3], NULL, 10)};
    s.players = calloc((size_t)s.count, sizeof *s.players);
    s.items = calloc((size_t)s.count, sizeof *s.items);
    zmq_ctx_set(s.context, ZMQ_MAX_SOCKETS, s.count + 16);
    pt_key_pair keys;
    pt_public_key server;
    bool has_server = false;
    if (argc == 5) {
        must(pt_keys_load(argv[4], &keys, &server, &has_server));
    }
    s.began = s.now = seconds();
    for (int i = 0; i < s.count; i++) {
        open_player(&s, i, argv[1], has_server ? &keys : NULL, &server);
    }
    play(&s);
    double rate = (double)(s.at_last_tenth - s.at_tenth) / (s.last_tenth - s.tenth);
    printf("workers %d tiles %lld seconds %.3f rate %.0f joined %.3f again %lld\n", s.count,
           (long long)s.acked, s.now - s.began, rate, s.joined, (long long)s.again);
    for (int i = 0; i < s.count; i++) {
        zmq_close(s.players[i].socket);
    }
    zmq_ctx_term(s.context);
    pt_free(s.done);
    free(s.players);
    free(s.items);
    return 0;
}
