/* What the protocol and its links cost.
 *
 *   bench_link codec                    bytes and microseconds of a result with 300 instances of 50 x 50
 * pixels bench_link tiles ENDS SECONDS KIND  tiles a second through one hub: ASSIGN, STARTED, RESULT, ACK,
 * nothing else; KIND is local, ipc, tcp or curve bench_link hub ENDPOINT SECONDS     answers what it hears
 * and counts it bench_link end ENDPOINT SECONDS     says something every 0.5 s and tells when answers come
 * late: with a cut of the network in between, how long it takes to talk again
 */
#include "coordinator/protocol/link.h"
#include "tests/coordinator/protocol/samples.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE_MAX = 64 << 20, CREDIT = 2 };

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void must(pt_status status)
{
    if (status.code != PT_OK) {
        fprintf(stderr, "bench_link: %s\n", status.message);
        exit(1);
    }
}

static void measure_list(const char *name, bool probabilities)
{
    enum { ROUNDS = 100 };
    pt_instance_list list = sample_instances(300, 50, probabilities);
    double times[4] = {0};
    size_t size = 0;
    size_t frame_size = 0;
    for (int n = 0; n < ROUNDS; n++) {
        uint8_t *payload, *frame;
        double start = seconds();
        must(pt_instances_encode(&list, &payload, &size));
        times[0] += seconds() - start;
        pt_message m = {.type = PT_MSG_RESULT,
                        .as.result = {.result = {.attempt = 1}, .payload = payload, .size = size}};
        start = seconds();
        must(pt_message_encode(&m, &frame, &frame_size));
        times[1] += seconds() - start;
        pt_message_fini(&m);
        start = seconds();
        must(pt_message_decode(frame, frame_size, &m));
        times[2] += seconds() - start;
        pt_instance_list back;
        start = seconds();
        must(pt_instances_decode(m.as.result.payload, m.as.result.size, sample_window, &back));
        times[3] += seconds() - start;
        pt_instance_list_fini(&back);
        pt_message_fini(&m);
        pt_free(frame);
    }
    size_t spans = 0;
    for (size_t i = 0; i < list.count; i++) {
        spans += list.items[i].mask.count;
    }
    printf(
        "%-22s %8zu bytes (%zu spans), us: instances %.0f, frame %.0f, unframe %.0f, instances back %.0f\n",
        name, frame_size, spans, times[0] / ROUNDS * 1e6, times[1] / ROUNDS * 1e6, times[2] / ROUNDS * 1e6,
        times[3] / ROUNDS * 1e6);
    pt_instance_list_fini(&list);
}

static int bench_codec(void)
{
    measure_list("with probabilities", true);
    measure_list("without", false);
    return 0;
}

typedef struct worker {
    pt_end *end;
    pthread_t thread;
} worker;

static void *work(void *argument)
{
    const worker *w = argument;
    pt_message m = {.type = PT_MSG_READY, .as.credit = CREDIT};
    must(pt_end_send(w->end, &m));
    for (;;) {
        bool got = false;
        must(pt_end_receive(w->end, 60000, &m, &got));
        if (!got || m.type == PT_MSG_BYE) {
            return NULL;
        }
        if (m.type == PT_MSG_ASSIGN) {
            pt_message started = {.type = PT_MSG_STARTED,
                                  .as.tile = {.tile = m.as.assign.tile, .attempt = 1}};
            pt_message result = {.type = PT_MSG_RESULT,
                                 .as.result.result = {.tile = m.as.assign.tile, .attempt = 1}};
            must(pt_end_send(w->end, &started));
            must(pt_end_send(w->end, &result));
        }
        pt_message_fini(&m);
    }
}

static void assign(pt_hub *hub, pt_peer peer, int64_t tile)
{
    pt_message m = {.type = PT_MSG_ASSIGN, .as.assign = {.tile = tile, .attempt = 1}};
    must(pt_hub_send(hub, peer, &m, NULL));
}

static int64_t drive(pt_hub *hub, double until)
{
    int64_t tiles = 0;
    while (seconds() < until) {
        pt_message m;
        pt_peer peer;
        bool got = false;
        must(pt_hub_receive(hub, 100, &peer, &m, &got));
        if (!got) {
            continue;
        }
        if (m.type == PT_MSG_READY) {
            for (int c = 0; c < CREDIT; c++) {
                assign(hub, peer, 0);
            }
        } else if (m.type == PT_MSG_RESULT) {
            pt_message ack = {.type = PT_MSG_ACK, .as.tile = {.tile = m.as.result.result.tile, .attempt = 1}};
            must(pt_hub_send(hub, peer, &ack, NULL));
            assign(hub, peer, ++tiles);
        }
        pt_message_fini(&m);
    }
    return tiles;
}

static pt_hub *open_hub(const char *kind, const pt_key_pair keys[2])
{
    pt_hub *hub = NULL;
    if (strcmp(kind, "local") == 0) {
        must(pt_hub_open_local(&hub));
        return hub;
    }
    bool curve = strcmp(kind, "curve") == 0;
    const pt_hub_options options = {.endpoint = strcmp(kind, "ipc") == 0 ? "ipc://*" : "tcp://127.0.0.1:*",
                                    .keys = curve ? &keys[0] : NULL,
                                    .allowed = &keys[1].public_key,
                                    .allowed_count = 1,
                                    .message_max = MESSAGE_MAX};
    must(pt_hub_open_zmq(&options, &hub));
    return hub;
}

static void start_workers(pt_hub *hub, int ends, const char *kind, const pt_key_pair keys[2])
{
    bool curve = strcmp(kind, "curve") == 0;
    worker *workers = calloc((size_t)ends, sizeof *workers);
    for (int e = 0; e < ends; e++) {
        const pt_end_options options = {.endpoint = pt_hub_endpoint(hub),
                                        .keys = curve ? &keys[1] : NULL,
                                        .server = curve ? &keys[0].public_key : NULL,
                                        .message_max = MESSAGE_MAX};
        must(strcmp(kind, "local") == 0 ? pt_end_open_local(hub, &workers[e].end)
                                        : pt_end_open_zmq(&options, &workers[e].end));
        pthread_create(&workers[e].thread, NULL, work, &workers[e]);
    }
}

static int bench_tiles(int ends, double duration, const char *kind)
{
    pt_key_pair keys[2];
    must(pt_key_pair_new(&keys[0]));
    must(pt_key_pair_new(&keys[1]));
    pt_hub *hub = open_hub(kind, keys);
    /* In a process of their own, so that the memory that is told is the hub's. */
    pid_t child = strcmp(kind, "local") == 0 ? -1 : fork();
    if (child <= 0) {
        start_workers(hub, ends, kind, keys);
    }
    while (child == 0) {
        pause();
    }
    drive(hub, seconds() + 1 + ends / 100.0); /* all are connected */
    double start = seconds();
    int64_t tiles = drive(hub, start + duration);
    double took = seconds() - start;
    pt_link_stats stats = pt_hub_stats(hub);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%s, %d ends: %.0f tiles/s, %.0f messages/s through the hub; lost %llu; %ld MiB\n", kind, ends,
           (double)tiles / took, (double)tiles * 4 / took, (unsigned long long)stats.lost,
           usage.ru_maxrss / 1024);
    fflush(stdout);
    if (child > 0) {
        kill(child, SIGKILL);
    }
    _exit(0); /* without waiting for ends that wait */
}

static int run_hub(const char *endpoint, double duration)
{
    const pt_hub_options options = {.endpoint = endpoint, .insecure = true, .message_max = MESSAGE_MAX};
    pt_hub *hub = NULL;
    must(pt_hub_open_zmq(&options, &hub));
    pt_peer last = 0;
    int peers = 0;
    int64_t heard = 0;
    for (double end = seconds() + duration; seconds() < end;) {
        pt_message m;
        pt_peer peer = 0;
        bool got = false;
        must(pt_hub_receive(hub, 100, &peer, &m, &got));
        if (got) {
            heard++;
            peers += peer != last;
            last = peer;
            must(pt_hub_send(hub, peer, &m, NULL));
        }
    }
    printf("hub: heard %lld from %d connections\n", (long long)heard, peers);
    pt_hub_close(&hub);
    return 0;
}

static int run_end(const char *endpoint, double duration)
{
    const pt_end_options options = {.endpoint = endpoint, .message_max = MESSAGE_MAX};
    pt_end *end = NULL;
    must(pt_end_open_zmq(&options, &end));
    double start = seconds();
    double last = start;
    int64_t said = 0;
    int64_t heard = 0;
    for (double next = start; seconds() < start + duration;) {
        if (seconds() >= next) {
            pt_message m = {.type = PT_MSG_HEARTBEAT, .as.heartbeat = {.progress = (uint64_t)said++}};
            must(pt_end_send(end, &m));
            next += 0.5;
        }
        pt_message m;
        bool got = false;
        must(pt_end_receive(end, 20, &m, &got));
        if (got) {
            double now = seconds();
            if (now - last > 1) {
                printf("end: silent from %.1f s to %.1f s\n", last - start, now - start);
            }
            last = now;
            heard++;
        }
    }
    printf("end: said %lld, heard %lld back\n", (long long)said, (long long)heard);
    pt_end_close(&end);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "codec") == 0) {
        return bench_codec();
    }
    if (argc == 5 && strcmp(argv[1], "tiles") == 0) {
        return bench_tiles(atoi(argv[2]), atof(argv[3]), argv[4]);
    }
    if (argc == 4 && strcmp(argv[1], "hub") == 0) {
        return run_hub(argv[2], atof(argv[3]));
    }
    if (argc == 4 && strcmp(argv[1], "end") == 0) {
        return run_end(argv[2], atof(argv[3]));
    }
    fprintf(
        stderr,
        "usage: bench_link codec | tiles ENDS SECONDS KIND | hub ENDPOINT SECONDS | end ENDPOINT SECONDS\n");
    return 1;
}
