/* A bad network between workers and coordinator: passes ZeroMQ messages on, some twice, some late (so that
 * later ones overtake them), some not at all, as a seed decides. Workers connect to LISTEN (unencrypted);
 * each gets a connection of its own to CONNECT, so that the coordinator sees as many peers as there are.
 *
 *   proxy LISTEN CONNECT SEED DOUBLED LATE LATE_MS LOST
 *
 * DOUBLED, LATE, LOST: of 1,000 messages, how many. Prints "ready", and when SIGTERM ends it one line of JSON
 * with what it has done. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

enum { PEERS_MAX = 64, WAITING_MAX = 65536, IDENTITY_MAX = 255 };

typedef struct peer {
    unsigned char identity[IDENTITY_MAX];
    size_t identity_size;
    void *socket; /* DEALER to the coordinator */
} peer;

typedef struct waiting {
    int64_t due; /* milliseconds; 0: the place is free */
    size_t peer;
    bool to_worker;
    zmq_msg_t body;
} waiting;

static void *context, *front;
static const char *target;
static peer peers[PEERS_MAX];
static size_t peer_count;
static waiting late[WAITING_MAX];
static size_t late_count; /* places in use or freed */
static uint64_t state;
static unsigned doubled_rate, late_rate, late_ms, lost_rate;
static struct {
    long passed, doubled, late, lost;
} told;
static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    (void)signal;
    stop = 1;
}

static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "proxy: %s: %s\n", what, zmq_strerror(zmq_errno()));
        exit(1);
    }
}

static unsigned chance(void) /* 0 .. 999; splitmix64 */
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (unsigned)((z ^ z >> 31) % 1000);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A peer that is gone, or that does not keep up, loses the message: so does a network. */
static void send_on(size_t index, bool to_worker, zmq_msg_t *body)
{
    peer *p = &peers[index];
    zmq_msg_t copy;
    zmq_msg_init(&copy);
    check(zmq_msg_copy(&copy, body) == 0, "copy");
    if (to_worker && zmq_send(front, p->identity, p->identity_size, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&copy);
        return;
    }
    if (zmq_msg_send(&copy, to_worker ? front : p->socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&copy);
    }
}

static void keep(size_t index, bool to_worker, zmq_msg_t *body)
{
    size_t place = 0;
    while (place < late_count && late[place].due) {
        place++;
    }
    check(place < WAITING_MAX, "too many late messages");
    late_count = place == late_count ? place + 1 : late_count;
    late[place] = (waiting){now_ms() + 1 + (int64_t)(chance() * late_ms / 1000), index, to_worker, {{0}}};
    zmq_msg_init(&late[place].body);
    check(zmq_msg_copy(&late[place].body, body) == 0, "copy");
}

static void pass(size_t index, bool to_worker, zmq_msg_t *body)
{
    if (chance() < lost_rate) {
        told.lost++;
        return;
    }
    if (chance() < late_rate) {
        told.late++;
        keep(index, to_worker, body);
        return;
    }
    told.passed++;
    send_on(index, to_worker, body);
    if (chance() < doubled_rate) {
        told.doubled++;
        keep(index, to_worker, body); /* the second one a little later */
    }
}

/* When the next late message is due, in milliseconds from now; at most a second. */
static long send_late(void)
{
    int64_t now = now_ms(), next = now + 1000;
    for (size_t i = 0; i < late_count; i++) {
        if (late[i].due && late[i].due <= now) {
            send_on(late[i].peer, late[i].to_worker, &late[i].body);
            zmq_msg_close(&late[i].body);
            late[i].due = 0;
        } else if (late[i].due && late[i].due < next) {
            next = late[i].due;
        }
    }
    return (long)(next - now);
}

static size_t peer_of(const void *identity, size_t size)
{
    for (size_t i = 0; i < peer_count; i++) {
        if (peers[i].identity_size == size && memcmp(peers[i].identity, identity, size) == 0) {
            return i;
        }
    }
    check(peer_count < PEERS_MAX && size <= IDENTITY_MAX, "too many peers");
    peer *p = &peers[peer_count];
    memcpy(p->identity, identity, size);
    p->identity_size = size;
    p->socket = zmq_socket(context, ZMQ_DEALER);
    check(p->socket && zmq_connect(p->socket, target) == 0, target);
    return peer_count++;
}

static void take_from_workers(void)
{
    zmq_msg_t identity, body;
    zmq_msg_init(&identity);
    zmq_msg_init(&body);
    while (zmq_msg_recv(&identity, front, ZMQ_DONTWAIT) >= 0) {
        check(zmq_msg_more(&identity) && zmq_msg_recv(&body, front, 0) >= 0, "a message without a body");
        check(!zmq_msg_more(&body), "a message of more than one frame");
        pass(peer_of(zmq_msg_data(&identity), zmq_msg_size(&identity)), false, &body);
    }
    zmq_msg_close(&identity);
    zmq_msg_close(&body);
}

static void take_from_coordinator(size_t index)
{
    zmq_msg_t body;
    zmq_msg_init(&body);
    while (zmq_msg_recv(&body, peers[index].socket, ZMQ_DONTWAIT) >= 0) {
        check(!zmq_msg_more(&body), "a message of more than one frame");
        pass(index, true, &body);
    }
    zmq_msg_close(&body);
}

static void serve(void)
{
    while (!stop) {
        zmq_pollitem_t items[PEERS_MAX + 1] = {{front, 0, ZMQ_POLLIN, 0}};
        size_t count = peer_count;
        for (size_t i = 0; i < count; i++) {
            items[i + 1] = (zmq_pollitem_t){peers[i].socket, 0, ZMQ_POLLIN, 0};
        }
        if (zmq_poll(items, (int)count + 1, send_late()) < 0) {
            check(zmq_errno() == EINTR, "poll");
            continue;
        }
        take_from_workers();
        for (size_t i = 0; i < count; i++) {
            if (items[i + 1].revents & ZMQ_POLLIN) {
                take_from_coordinator(i);
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 8) {
        fprintf(stderr, "proxy LISTEN CONNECT SEED DOUBLED LATE LATE_MS LOST\n");
        return 1;
    }
    target = argv[2];
    state = strtoull(argv[3], NULL, 10);
    doubled_rate = (unsigned)strtoul(argv[4], NULL, 10);
    late_rate = (unsigned)strtoul(argv[5], NULL, 10);
    late_ms = (unsigned)strtoul(argv[6], NULL, 10);
    lost_rate = (unsigned)strtoul(argv[7], NULL, 10);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    context = zmq_ctx_new();
    front = zmq_socket(context, ZMQ_ROUTER);
    check(front && zmq_bind(front, argv[1]) == 0, argv[1]);
    puts("ready");
    fflush(stdout);
    serve();
    printf("{\"peers\": %zu, \"passed\": %ld, \"doubled\": %ld, \"late\": %ld, \"lost\": %ld}\n", peer_count,
           told.passed, told.doubled, told.late, told.lost);
    fflush(stdout);
    _exit(0); /* sockets with unsent messages would hold up a proper end */
}
