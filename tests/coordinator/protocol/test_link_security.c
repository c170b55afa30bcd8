/* Hubs among strangers: no key, wrong keys, bytes that are no ZeroMQ, frames that are no messages. The good
 * worker beside them must feel nothing. */
#include "coordinator/protocol/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include <cmocka.h>

enum { LONG = 20000, SHORT = 50, MESSAGE_MAX = 1 << 20 };

static pt_key_pair server_keys, worker_keys, other_keys;

static void ok(pt_status status)
{
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
}

static pt_hub *open_curve_hub(void)
{
    const pt_hub_options options = {.endpoint = "tcp://127.0.0.1:*",
                                    .keys = &server_keys,
                                    .allowed = &worker_keys.public_key,
                                    .allowed_count = 1,
                                    .message_max = MESSAGE_MAX};
    pt_hub *hub = NULL;
    ok(pt_hub_open_zmq(&options, &hub));
    return hub;
}

static pt_hub *open_plain_hub(void)
{
    const pt_hub_options options = {.endpoint = "tcp://127.0.0.1:*", .message_max = MESSAGE_MAX};
    pt_hub *hub = NULL;
    ok(pt_hub_open_zmq(&options, &hub));
    return hub;
}

static pt_end *open_end(const pt_hub *hub, const pt_key_pair *keys, const pt_key_pair *server)
{
    const pt_end_options options = {.endpoint = pt_hub_endpoint(hub),
                                    .keys = keys,
                                    .server = server ? &server->public_key : NULL,
                                    .message_max = MESSAGE_MAX};
    pt_end *end = NULL;
    ok(pt_end_open_zmq(&options, &end));
    return end;
}

static void say(pt_end *end, int64_t tile)
{
    const pt_message m = {.type = PT_MSG_STARTED, .as.tile = {.tile = tile, .attempt = 1}};
    ok(pt_end_send(end, &m));
}

/* Whatever else arrives must not come out. */
static pt_peer hear(pt_hub *hub, int64_t tile)
{
    for (int n = 0; n < 100; n++) { /* a flood may give the caller a turn in between */
        pt_message m;
        pt_peer peer = 0;
        bool got = false;
        ok(pt_hub_receive(hub, LONG, &peer, &m, &got));
        if (got) {
            assert_int_equal(m.type, PT_MSG_STARTED);
            assert_true(m.as.tile.tile == tile);
            return peer;
        }
    }
    fail_msg("nothing was heard");
    return 0;
}

static void hear_nothing(pt_hub *hub)
{
    pt_message m;
    pt_peer peer;
    bool got = true;
    ok(pt_hub_receive(hub, 5 * SHORT, &peer, &m, &got));
    assert_false(got);
}

static void hub_turn(pt_hub *hub)
{
    pt_message m;
    pt_peer peer;
    bool got = true;
    ok(pt_hub_receive(hub, 0, &peer, &m, &got));
    assert_false(got);
}

static void answer(pt_hub *hub, pt_peer peer, pt_end *end)
{
    const pt_message m = {.type = PT_MSG_ACK, .as.tile = {.tile = 6, .attempt = 1}};
    bool reached = false;
    ok(pt_hub_send(hub, peer, &m, &reached));
    assert_true(reached);
    pt_message back;
    bool got = false;
    ok(pt_end_receive(end, LONG, &back, &got));
    assert_true(got && back.type == PT_MSG_ACK);
}

static void test_only_the_listed_come_in(void **state)
{
    (void)state;
    pt_hub *hub = open_curve_hub();
    pt_end *unknown = open_end(hub, &other_keys, &server_keys);
    pt_end *misled = open_end(hub, &worker_keys, &other_keys);
    pt_end *plain = open_end(hub, NULL, NULL);
    pt_end *good = open_end(hub, &worker_keys, &server_keys);
    say(unknown, 1);
    say(misled, 2);
    say(plain, 3);
    say(good, 4);
    pt_peer peer = hear(hub, 4);
    hear_nothing(hub);
    for (int n = 0; n < LONG / SHORT && pt_hub_stats(hub).denied == 0; n++) {
        hear_nothing(hub);
    }
    assert_true(pt_hub_stats(hub).denied > 0);
    answer(hub, peer, good);
    pt_message m;
    bool got = true;
    pt_end *strangers[] = {unknown, misled, plain};
    for (int e = 0; e < 3; e++) {
        ok(pt_end_receive(strangers[e], SHORT, &m, &got));
        assert_false(got);
        pt_end_close(&strangers[e]);
    }
    assert_int_equal(pt_hub_stats(hub).expelled, 0);
    pt_end_close(&good);
    pt_hub_close(&hub);
}

static void test_endpoints_are_told(void **state)
{
    (void)state;
    pt_hub *hub = open_plain_hub();
    const char *endpoint = pt_hub_endpoint(hub);
    int port = 0;
    assert_int_equal(sscanf(endpoint, "tcp://127.0.0.1:%d", &port), 1);
    assert_true(port > 0);
    pt_hub *second = NULL;
    const pt_hub_options taken = {.endpoint = endpoint, .message_max = MESSAGE_MAX};
    pt_status status = pt_hub_open_zmq(&taken, &second);
    assert_int_equal(status.code, PT_E_EXISTS);
    assert_non_null(strstr(status.message, endpoint));
    assert_non_null(strstr(status.message, "choose another port"));
    pt_hub_close(&hub);

    const pt_hub_options wild = {.endpoint = "tcp://0.0.0.0:*",
                                 .keys = &server_keys,
                                 .allowed = &worker_keys.public_key,
                                 .allowed_count = 1,
                                 .message_max = MESSAGE_MAX};
    ok(pt_hub_open_zmq(&wild, &hub));
    assert_null(strstr(pt_hub_endpoint(hub), "0.0.0.0"));
    pt_end *end = open_end(hub, &worker_keys, &server_keys);
    say(end, 1);
    hear(hub, 1);
    pt_end_close(&end);
    pt_hub_close(&hub);

    const pt_hub_options file = {.endpoint = "ipc://*", .message_max = MESSAGE_MAX};
    ok(pt_hub_open_zmq(&file, &hub));
    struct stat about;
    assert_int_equal(stat(pt_hub_endpoint(hub) + strlen("ipc://"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    char *chosen = pt_strdup(pt_hub_endpoint(hub) + strlen("ipc://"));
    assert_non_null(chosen);
    pt_hub_close(&hub);
    *strrchr(chosen, '/') = '\0';
    assert_int_equal(access(chosen, F_OK), -1); /* nor the folder around it */
    pt_free(chosen);
    ok(pt_hub_open_local(&hub));
    assert_string_equal(pt_hub_endpoint(hub), "");
    pt_hub_close(&hub);
}

/* libzmq alone would remove all of these. */
static void test_ipc_takes_no_path_from_others(void **state)
{
    (void)state;
    char folder[] = "/tmp/pantile-ipc-XXXXXX", endpoint[64];
    assert_non_null(mkdtemp(folder));
    snprintf(endpoint, sizeof endpoint, "ipc://%s/here", folder);
    const char *path = endpoint + strlen("ipc://");
    const pt_hub_options options = {.endpoint = endpoint, .message_max = MESSAGE_MAX};
    pt_hub *hub = NULL, *second = NULL;
    struct stat about;

    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    assert_int_equal(pt_hub_open_zmq(&options, &hub).code, PT_E_EXISTS);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, 8);
    assert_int_equal(unlink(path), 0);

    ok(pt_hub_open_zmq(&options, &hub));
    pt_end *end = open_end(hub, NULL, NULL);
    assert_int_equal(pt_hub_open_zmq(&options, &second).code, PT_E_EXISTS);
    say(end, 1);
    hear(hub, 1);
    pt_end_close(&end);
    pt_hub_close(&hub);
    assert_int_equal(access(path, F_OK), -1); /* nor does it lie about afterwards */

    /* What a coordinator that was killed leaves: a socket that nobody listens at. */
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    assert_int_equal(stat(path, &about), 0);
    ok(pt_hub_open_zmq(&options, &hub));
    pt_hub_close(&hub);
    assert_int_equal(rmdir(folder), 0);
}

static int tcp_connect(const pt_hub *hub)
{
    int port = atoi(strrchr(pt_hub_endpoint(hub), ':') + 1);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void tcp_say(int fd, const void *bytes, size_t size)
{
    /* The hub may have hung up already. */
    ssize_t ignored = send(fd, bytes, size, MSG_NOSIGNAL);
    (void)ignored;
}

static const uint8_t greeting[64] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0, 'N', 'U', 'L', 'L'};

static void test_strange_connections_change_nothing(void **state)
{
    (void)state;
    enum { STRANGERS = 200 };
    for (int curve = 0; curve < 2; curve++) {
        pt_hub *hub = curve ? open_curve_hub() : open_plain_hub();
        pt_end *good = open_end(hub, curve ? &worker_keys : NULL, curve ? &server_keys : NULL);
        say(good, 0);
        pt_peer peer = hear(hub, 0);
        int fds[STRANGERS];
        uint64_t random = 12345;
        for (int i = 0; i < STRANGERS; i++) {
            uint8_t noise[512];
            for (size_t n = 0; n < sizeof noise; n++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                noise[n] = (uint8_t)(random >> 56);
            }
            fds[i] = tcp_connect(hub);
            switch (i % 5) {
            case 0: /* silent */
                break;
            case 1:
                tcp_say(fds[i], noise, sizeof noise);
                break;
            case 2:
                tcp_say(fds[i], greeting, 1 + (size_t)i % 60);
                break;
            case 3:
                tcp_say(fds[i], greeting, sizeof greeting);
                tcp_say(fds[i], noise, sizeof noise);
                break;
            default:
                tcp_say(fds[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
                break;
            }
            if (i % 3 == 0) {
                say(good, i);
                hear(hub, i);
            }
        }
        answer(hub, peer, good);
        hear_nothing(hub);
        for (int i = 0; i < STRANGERS; i++) {
            close(fds[i]);
        }
        say(good, 1000);
        assert_true(hear(hub, 1000) == peer);
        pt_end_close(&good);
        pt_hub_close(&hub);
    }
}

/* A client of libzmq's own, with the right keys, that says what it likes. */
static void *open_raw(void *context)
{
    void *raw = zmq_socket(context, ZMQ_DEALER);
    assert_non_null(raw);
    assert_int_equal(zmq_setsockopt(raw, ZMQ_CURVE_SERVERKEY, server_keys.public_key.text, PT_KEY_TEXT), 0);
    assert_int_equal(zmq_setsockopt(raw, ZMQ_CURVE_PUBLICKEY, worker_keys.public_key.text, PT_KEY_TEXT), 0);
    assert_int_equal(zmq_setsockopt(raw, ZMQ_CURVE_SECRETKEY, worker_keys.secret, PT_KEY_TEXT), 0);
    assert_int_equal(zmq_setsockopt(raw, ZMQ_LINGER, &(int){0}, sizeof(int)), 0);
    assert_int_equal(zmq_setsockopt(raw, ZMQ_RECONNECT_IVL, &(int){-1}, sizeof(int)), 0);
    return raw;
}

static void connect_raw(void *raw, const pt_hub *hub)
{
    assert_int_equal(zmq_connect(raw, pt_hub_endpoint(hub)), 0);
}

static void expect_expelled(pt_hub *hub, uint64_t count)
{
    for (int n = 0; n < LONG && pt_hub_stats(hub).expelled < count; n++) {
        pt_message m;
        pt_peer peer;
        bool got = true;
        ok(pt_hub_receive(hub, 1, &peer, &m, &got));
        assert_false(got);
    }
    assert_int_equal(pt_hub_stats(hub).expelled, count);
}

static void test_bad_frames_cost_the_connection(void **state)
{
    (void)state;
    pt_hub *hub = open_curve_hub();
    pt_end *good = open_end(hub, &worker_keys, &server_keys);
    say(good, 0);
    pt_peer peer = hear(hub, 0);
    const pt_message started = {.type = PT_MSG_STARTED, .as.tile = {.tile = 5, .attempt = 1}};
    uint8_t *frame;
    size_t size;
    ok(pt_message_encode(&started, &frame, &size));
    void *context = zmq_ctx_new();
    uint64_t expelled = 0;
    for (int kind = 0; kind < 4; kind++) {
        void *raw = open_raw(context);
        connect_raw(raw, hub);
        switch (kind) {
        case 0: /* nonsense */
            zmq_send(raw, "hello", 5, 0);
            break;
        case 1: /* nothing at all */
            zmq_send(raw, "", 0, 0);
            break;
        case 2: /* several parts */
            zmq_send(raw, frame, size, ZMQ_SNDMORE);
            zmq_send(raw, frame, size, ZMQ_SNDMORE);
            zmq_send(raw, frame, size, 0);
            break;
        default: /* damaged */
            frame[size - 1] ^= 1;
            zmq_send(raw, frame, size, 0);
            frame[size - 1] ^= 1;
            break;
        }
        for (int n = 0; n < 20; n++) { /* what follows is not heard, however good */
            zmq_send(raw, frame, size, ZMQ_DONTWAIT);
        }
        expect_expelled(hub, ++expelled);
        hear_nothing(hub);
        zmq_close(raw);
    }
    assert_int_equal(pt_hub_stats(hub).refused, expelled);
    /* One that wants a name of its own never gets a number. */
    void *named = open_raw(context);
    assert_int_equal(zmq_setsockopt(named, ZMQ_ROUTING_ID, "boss", 4), 0);
    connect_raw(named, hub);
    zmq_send(named, frame, size, 0);
    for (int n = 0; n < LONG / SHORT && pt_hub_stats(hub).refused == expelled; n++) {
        hear_nothing(hub);
    }
    assert_int_equal(pt_hub_stats(hub).refused, expelled + 1);
    zmq_close(named);
    answer(hub, peer, good);
    zmq_ctx_term(context);
    pt_free(frame);
    pt_end_close(&good);
    pt_hub_close(&hub);
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* A frame above the limit ends its connection, and never comes out; what is said afterwards comes over a new
 * one. */
static void test_larger_frames_are_refused(void **state)
{
    (void)state;
    pt_hub *hub = open_curve_hub();
    pt_end *end = open_end(hub, &worker_keys, &server_keys);
    say(end, 1);
    pt_peer before = hear(hub, 1);
    pt_message large = {.type = PT_MSG_ASSIGN, .as.assign = {.attempt = 1, .has_pixels = true}};
    for (int n = 0; n < 2; n++) {
        large.as.assign.pixel_bytes = n == 0 ? MESSAGE_MAX / 2 : 2 * MESSAGE_MAX;
        large.as.assign.pixels = pt_calloc(large.as.assign.pixel_bytes, 1);
        ok(pt_end_send(end, &large));
        pt_free(large.as.assign.pixels);
    }
    pt_message m;
    pt_peer peer = 0;
    bool got = false;
    ok(pt_hub_receive(hub, LONG, &peer, &m, &got));
    assert_true(got && m.type == PT_MSG_ASSIGN && m.as.assign.pixel_bytes == MESSAGE_MAX / 2);
    pt_message_fini(&m);
    hear_nothing(hub);
    for (got = false; !got;) { /* what was on its way when the connection ended is lost */
        say(end, 2);
        ok(pt_hub_receive(hub, SHORT, &peer, &m, &got));
    }
    assert_true(m.type == PT_MSG_STARTED && peer != before);
    pt_end_close(&end);
    pt_hub_close(&hub);
}

/* Connections that say nonsense, one after the other: memory does not grow with them. The sanitizer keeps up
 * to 256 MiB of freed memory. */
static void test_floods_do_not_fill_the_memory(void **state)
{
    (void)state;
    enum { FLOOD = 200, NOISE = 100000, ALLOWED_KIB = 400 << 10 };
    pt_hub *hub = open_curve_hub();
    pt_end *good = open_end(hub, &worker_keys, &server_keys);
    say(good, 0);
    pt_peer peer = hear(hub, 0);
    long before = resident_kib();
    void *context = zmq_ctx_new();
    uint8_t *noise = calloc(NOISE, 1);
    assert_non_null(noise);
    for (int n = 0; n < FLOOD; n++) {
        void *raw = open_raw(context);
        connect_raw(raw, hub);
        for (int m = 0; m < 10; m++) {
            zmq_send(raw, noise, NOISE, ZMQ_DONTWAIT);
        }
        expect_expelled(hub, (uint64_t)n + 1);
        zmq_close(raw);
        say(good, n);
        hear(hub, n);
    }
    answer(hub, peer, good);
    assert_true(resident_kib() - before < ALLOWED_KIB);
    zmq_ctx_term(context);
    free(noise);
    pt_end_close(&good);
    pt_hub_close(&hub);
}

/* A client of our own making that says that more follows with each frame: libzmq keeps what it has until the
 * end, which never comes. */
static void test_messages_without_an_end_are_cut(void **state)
{
    (void)state;
    enum { FRAME = 100000, HEAD = 9, ENOUGH = 300 << 20 };
    pt_hub *hub = open_plain_hub();
    pt_end *good = open_end(hub, NULL, NULL);
    say(good, 0);
    pt_peer peer = hear(hub, 0);
    int fd = tcp_connect(hub);
    const struct timeval timeout = {.tv_usec = SHORT * 1000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout), 0);
    tcp_say(fd, greeting, sizeof greeting);
    static const char ready[] = "\x04\x1c\x05READY\x0bSocket-Type\0\0\0\x06"
                                "DEALER";
    tcp_say(fd, ready, sizeof ready - 1);
    /* Its answer: another greeting, and a READY of 41 bytes behind its head. */
    uint8_t reply[64 + 2 + 41];
    assert_int_equal(recv(fd, reply, sizeof reply, MSG_WAITALL), sizeof reply);
    uint8_t *frame = calloc(HEAD + FRAME, 1);
    assert_non_null(frame);
    memcpy(frame, (const uint8_t[]){3, 0, 0, 0, 0, 0, FRAME >> 16, FRAME >> 8 & 255, FRAME & 255}, HEAD);
    size_t sent = 0;
    /* The client cannot tell: its system goes on asking for room until that of the hub has forgotten. */
    for (int n = 0; sent < ENOUGH && pt_hub_stats(hub).expelled == 0; n++) {
        size_t at = sent % (HEAD + FRAME); /* what did not fit before goes on in the middle of a frame */
        ssize_t now = send(fd, frame + at, HEAD + FRAME - at, MSG_NOSIGNAL);
        sent += now > 0 ? (size_t)now : 0;
        if (n % 10 == 0) {
            say(good, n);
            assert_true(hear(hub, n) == peer);
            hub_turn(hub);
        }
    }
    expect_expelled(hub, 1);
    answer(hub, peer, good);
    free(frame);
    close(fd);
    pt_end_close(&good);
    pt_hub_close(&hub);
}

static int make_keys(void **state)
{
    (void)state;
    return pt_key_pair_new(&server_keys).code | pt_key_pair_new(&worker_keys).code |
           pt_key_pair_new(&other_keys).code;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_listed_come_in),
        cmocka_unit_test(test_endpoints_are_told),
        cmocka_unit_test(test_ipc_takes_no_path_from_others),
        cmocka_unit_test(test_strange_connections_change_nothing),
        cmocka_unit_test(test_bad_frames_cost_the_connection),
        cmocka_unit_test(test_larger_frames_are_refused),
        cmocka_unit_test(test_floods_do_not_fill_the_memory),
        cmocka_unit_test(test_messages_without_an_end_are_cut),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
