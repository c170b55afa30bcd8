#include "coordinator/service/metrics.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

static pt_control_snapshot sample(void)
{
    pt_control_snapshot s = {
        .dispatch = {.tiles = 100, .pending = 40, .leased = 7, .settled = 53, .p95_seconds = 0.5},
        .link = {.sent = 11, .received = 12, .sent_bytes = 13, .received_bytes = UINT64_MAX},
        .done = 50,
        .empty = 2,
        .failed = 1,
        .seconds = 12.5,
        .feed_bytes = 4096,
        .ledger_seconds = 0.25,
        .worker_count = 200,
        .workers_shown = 3};
    snprintf(s.workers[0].name, sizeof s.workers[0].name, "node:1");
    snprintf(s.workers[1].name, sizeof s.workers[1].name, "a\"b\\c\nd");
    snprintf(s.workers[2].name, sizeof s.workers[2].name, "node:1");
    s.workers[0].tiles = 30;
    s.workers[2].suspect = true;
    return s;
}

static void assert_line(const char *page, const char *line)
{
    size_t length = strlen(line);
    const char *at = page;
    while ((at = strstr(at, line)) != NULL) {
        if ((at == page || at[-1] == '\n') && at[length] == '\n') {
            return;
        }
        at++;
    }
    print_error("no line %s in\n%s", line, page);
    fail();
}

static void test_the_page(void **state)
{
    (void)state;
    pt_control_snapshot s = sample();
    char *page = NULL;
    assert_string_equal(pt_metrics_render(&s, &page).message, "");
    assert_line(page, "# TYPE pantile_tiles_settled_total counter");
    assert_line(page, "pantile_tiles 100");
    assert_line(page, "pantile_tiles_open{state=\"pending\"} 40");
    assert_line(page, "pantile_tiles_settled_total{outcome=\"done\"} 50");
    assert_line(page, "pantile_tiles_settled_total{outcome=\"quarantined\"} 1");
    assert_line(page, "pantile_message_bytes_total{direction=\"received\"} 18446744073709551615");
    assert_line(page, "pantile_run_seconds 12.5");
    assert_line(page, "pantile_tile_seconds_p95 0.5");
    assert_line(page, "pantile_workers 200");
    assert_line(page, "pantile_build_info{version=\"" PANTILE_VERSION "\"} 1");
    assert_line(page, "pantile_worker_tiles_total{worker=\"node:1\"} 30");
    assert_line(page, "pantile_worker_tiles_total{worker=\"a\\\"b\\\\c\\nd\"} 0");
    assert_line(page, "pantile_worker_suspect{worker=\"node:1#2\"} 1");
    pt_free(page);
}

/* The rules of the format: every series once, after the HELP and TYPE of its name, these once too. */
static void test_the_format(void **state)
{
    (void)state;
    enum { LINES = 1000 };
    char *lines[LINES];
    size_t count = 0;
    pt_control_snapshot s = sample();
    char *page = NULL;
    s.workers_shown = PT_WORKERS_SHOWN; /* most without a name */
    assert_string_equal(pt_metrics_render(&s, &page).message, "");
    assert_int_equal(page[strlen(page) - 1], '\n');
    for (char *line = strtok(page, "\n"); line; line = strtok(NULL, "\n")) {
        assert_true(count < LINES);
        lines[count++] = line;
    }
    char type[256] = "";
    for (size_t i = 0; i < count; i++) {
        char name[256];
        if (strncmp(lines[i], "# HELP ", 7) == 0) {
            assert_int_equal(sscanf(lines[i + 1], "# TYPE %255s", type), 1);
            assert_true(strncmp(lines[i] + 7, type, strlen(type)) == 0);
        } else if (lines[i][0] != '#') {
            char *end;
            assert_int_equal(sscanf(lines[i], "%255[a-z0-9_]", name), 1);
            assert_string_equal(name, type);
            char *value = strrchr(lines[i], ' ');
            strtod(value, &end);
            assert_true(*end == '\0' && end > value + 1);
            *value = '\0';
        }
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(lines[i], lines[j]);
        }
    }
    pt_free(page);
}

static void test_rendering_out_of_memory(void **state)
{
    (void)state;
    pt_control_snapshot s = sample();
    pt_status status = pt_error(PT_E_NOMEM, "none yet");
    for (long n = 0; status.code == PT_E_NOMEM; n++) {
        char *page = NULL;
        pt_alloc_fail_after(n);
        status = pt_metrics_render(&s, &page);
        pt_alloc_fail_after(-1);
        assert_true((page != NULL) == (status.code == PT_OK));
        pt_free(page);
    }
    assert_string_equal(status.message, "");
}

static void look(void *user, pt_control_snapshot *out)
{
    (void)user;
    *out = sample();
}

static pt_metrics *open_server(void)
{
    pt_metrics *m = NULL;
    assert_string_equal(pt_metrics_open("127.0.0.1:0", look, NULL, &m).message, "");
    assert_in_range(pt_metrics_port(m), 1, 65535);
    return m;
}

static int dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval patience = {.tv_sec = 60};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s >= 0);
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(s, (struct sockaddr *)&to, sizeof to), 0);
    return s;
}

/* Sends the bytes, says that there are no more where it `ends`, and reads until the server closes; the
 * status, 0 for no answer. */
static int ask(int port, const char *bytes, size_t size, bool ends, char *answer, size_t capacity)
{
    int s = dial(port);
    size_t sent = 0, length = 0;
    while (sent < size) {
        ssize_t n = send(s, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (n <= 0) {
            break; /* it refused before it had all: what it says is still read */
        }
        sent += (size_t)n;
    }
    if (ends) {
        shutdown(s, SHUT_WR);
    }
    ssize_t n;
    while (length + 1 < capacity && (n = recv(s, answer + length, capacity - 1 - length, 0)) > 0) {
        length += (size_t)n;
    }
    answer[length] = '\0';
    close(s);
    int status = 0;
    sscanf(answer, "HTTP/1.1 %d", &status);
    return status;
}

static int get(int port, const char *method, const char *path, char *answer, size_t capacity)
{
    char request[256];
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", method, path);
    return ask(port, request, strlen(request), false, answer, capacity);
}

static void test_what_is_served(void **state)
{
    (void)state;
    static char answer[1 << 16];
    pt_metrics *m = open_server();
    int port = pt_metrics_port(m);
    assert_int_equal(get(port, "GET", "/metrics", answer, sizeof answer), 200);
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4"));
    assert_line(answer, "pantile_tiles 100");
    assert_int_equal(get(port, "GET", "/healthz", answer, sizeof answer), 200);
    assert_non_null(strstr(answer, "\r\n\r\nok\n"));
    assert_int_equal(get(port, "HEAD", "/metrics", answer, sizeof answer), 200);
    assert_null(strstr(answer, "pantile_tiles"));
    const char *const paths[] = {"/", "/metrics/", "/metricsx", "/../etc/passwd", "//metrics"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal(get(port, "GET", paths[i], answer, sizeof answer), 404);
    }
    const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "BREW"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        assert_int_equal(get(port, methods[i], "/metrics", answer, sizeof answer), 405);
        assert_non_null(strstr(answer, "Allow: GET, HEAD"));
    }
    pt_metrics_close(&m);
    assert_null(m);
    pt_metrics_close(&m);
    pt_metrics_close(NULL);
}

static void assert_alive(int port)
{
    static char answer[1 << 16];
    assert_int_equal(get(port, "GET", "/healthz", answer, sizeof answer), 200);
}

static void test_hostile_requests(void **state)
{
    (void)state;
    enum { HUGE = 1 << 20 };
    static char answer[1 << 16];
    pt_metrics *m = open_server();
    int port = pt_metrics_port(m);
    char *bytes = malloc(HUGE);
    memset(bytes, 'a', HUGE);
    memcpy(bytes, "GET /", 5); /* an address without an end */
    int status = ask(port, bytes, HUGE, true, answer, sizeof answer);
    assert_true(status == 0 || status == 414 || status == 431 || status == 413);
    assert_alive(port);
    memset(bytes, 'b', HUGE); /* no HTTP at all */
    bytes[HUGE - 1] = '\n';
    status = ask(port, bytes, HUGE, true, answer, sizeof answer);
    assert_true(status == 0 || (status >= 400 && status < 500));
    memset(bytes, 0, HUGE);
    ask(port, "\r\n\r\n\0\0\0\xff\xfe\r\n\r\n", 13, true, answer, sizeof answer);
    assert_alive(port);
    const char *lie = "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999\r\n\r\n";
    assert_int_equal(ask(port, lie, strlen(lie), true, answer, sizeof answer), 405);
    assert_alive(port);
    free(bytes);
    pt_metrics_close(&m);
}

/* Far more connections than it takes, all silent: they cost nobody else more than a wait. */
static void test_many_connections(void **state)
{
    (void)state;
    enum { MANY = 100 };
    int sockets[MANY];
    pt_metrics *m = open_server();
    int port = pt_metrics_port(m);
    for (int i = 0; i < MANY; i++) {
        sockets[i] = dial(port);
    }
    for (int i = 0; i < MANY; i++) {
        close(sockets[i]);
    }
    assert_alive(port);
    for (int i = 0; i < MANY; i++) {
        sockets[i] = dial(port);
        (void)!send(sockets[i], "GET /met", 8, MSG_NOSIGNAL);
    }
    pt_metrics_close(&m); /* with all of them open */
    for (int i = 0; i < MANY; i++) {
        close(sockets[i]);
    }
}

static void *scrape(void *user)
{
    char *answer = malloc(1 << 16);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(get(*(int *)user, "GET", "/metrics", answer, 1 << 16), 200);
    }
    free(answer);
    return NULL;
}

static void test_scrapes_side_by_side(void **state)
{
    (void)state;
    enum { SCRAPERS = 4 };
    pthread_t threads[SCRAPERS];
    pt_metrics *m = open_server();
    int port = pt_metrics_port(m);
    for (int i = 0; i < SCRAPERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, scrape, &port), 0);
    }
    for (int i = 0; i < SCRAPERS; i++) {
        pthread_join(threads[i], NULL);
    }
    pt_metrics_close(&m);
}

static void test_bad_addresses(void **state)
{
    (void)state;
    const char *const bad[] = {
        "",       "127.0.0.1",  "127.0.0.1:",    "127.0.0.1:x",      "127.0.0.1:65536", "1.2.3:-1",
        "[::1:1", "here:there", "127.0.0.1:1 2", "127.0.0.1:123456", "256.0.0.1.9.9:1"};
    pt_metrics *m = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pt_status status = pt_metrics_open(bad[i], look, NULL, &m);
        assert_int_equal(status.code, PT_E_USAGE);
        assert_non_null(strstr(status.message, bad[i]));
        assert_null(m);
    }
    m = open_server();
    char taken[64];
    pt_metrics *second = NULL;
    snprintf(taken, sizeof taken, ":%d", pt_metrics_port(m));
    pt_status status = pt_metrics_open(taken, look, NULL, &second);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_non_null(strstr(status.message, "in use"));
    assert_null(second);
    pt_metrics_close(&m);
    assert_string_equal(pt_metrics_open("0", look, NULL, &m).message, ""); /* loopback, any port */
    assert_alive(pt_metrics_port(m));
    pt_metrics_close(&m);
    assert_string_equal(pt_metrics_open("localhost:0", look, NULL, &m).message, "");
    assert_alive(pt_metrics_port(m));
    pt_metrics_close(&m);
    pt_alloc_fail_after(0);
    status = pt_metrics_open("0", look, NULL, &m);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
    assert_null(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_page),
        cmocka_unit_test(test_the_format),
        cmocka_unit_test(test_rendering_out_of_memory),
        cmocka_unit_test(test_what_is_served),
        cmocka_unit_test(test_hostile_requests),
        cmocka_unit_test(test_many_connections),
        cmocka_unit_test(test_scrapes_side_by_side),
        cmocka_unit_test(test_bad_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
