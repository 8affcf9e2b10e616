/* SPDX-License-Identifier: MIT
 * How long a server takes for a request whose answer it has kept, and for one that it computes: one connection, the two in turn, so that
 * whatever else the machine does falls on both. Prints the medians and 99th percentiles as `name value` lines, in microseconds.
 *
 *     cache_time --port N [--requests N] [--model NAME] [--max N] [--stream] [--name PREFIX]
 *
 * The computed one carries Cache-Control: no-store. One thread, blocking; no libraries but our own floor 0. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum { MOST = 100000, MAX_ANSWER = 16 << 20 };

struct setup {
    unsigned port, requests, max;
    const char *model, *name;
    bool stream;
};

static void stop(const char *what) {
    fprintf(stderr, "cache_time: %s%s%s\n", what, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    exit(1);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int open_socket(unsigned port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) stop("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static char *request_of(const struct setup *o, const char *headers) {
    char *body = mem_printf("{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Tell me of llamas.\"}],\"temperature\":0,"
                            "\"max_tokens\":%u,\"stream\":%s}",
                            o->model, o->max, o->stream ? "true" : "false");
    char *text = mem_printf("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n%sContent-Type: application/json\r\nContent-Length: "
                            "%zu\r\n\r\n%s",
                            headers, strlen(body), body);
    free(body);
    return text;
}

/* Is the whole response there? A chunked one ends with an empty chunk. */
static bool is_whole(struct buf *in) {
    const char *text = buf_cstr(in), *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
    if (end == NULL) return false;
    if (length != NULL && length < end) return in->len >= (size_t)(end + 4 - text) + strtoul(length + 16, NULL, 10);
    return in->len >= 5 && strcmp(text + in->len - 5, "0\r\n\r\n") == 0;
}

/* Sends the request and reads its answer, whose header x-caravan-cache must be `wanted`; returns the microseconds that it took. */
static double take(int fd, const char *request, const char *wanted, struct buf *in) {
    double before = now_us();
    buf_clear(in);
    errno = 0;
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request)) stop("cannot send");
    do {
        if (!buf_reserve(in, 65536)) stop("the answer is too long");
        ssize_t n = recv(fd, in->data + in->len, in->cap - in->len - 1, 0);
        if (n <= 0) stop("the server closed the connection");
        in->len += (size_t)n;
    } while (!is_whole(in));
    double took = now_us() - before;
    if (strstr(buf_cstr(in), wanted) == NULL) {
        fprintf(stderr, "%s\n", buf_cstr(in));
        stop("another answer was expected");
    }
    return took;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(const struct setup *o, const char *what, double *v, unsigned n) {
    qsort(v, n, sizeof(*v), by_value);
    printf("%s.%s %.1f\n%s.%s_p99 %.1f\n", o->name, what, v[n / 2], o->name, what, v[(n - 1) * 99 / 100]);
}

static void read_options(int argc, char **argv, struct setup *o) {
    static const struct option options[] = {
        {"port", 1, NULL, 'p'},   {"requests", 1, NULL, 'r'}, {"model", 1, NULL, 'm'}, {"max", 1, NULL, 'x'},
        {"stream", 0, NULL, 's'}, {"name", 1, NULL, 'n'},     {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (c == 'p') o->port = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'r') o->requests = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 'm') o->model = optarg;
        else if (c == 'x') o->max = (unsigned)strtoul(optarg, NULL, 10);
        else if (c == 's') o->stream = true;
        else if (c == 'n') o->name = optarg;
        else exit(64);
    if (o->port == 0 || o->requests == 0 || o->requests > MOST) stop("--port N and --requests N (at most 100000) are needed");
}

int main(int argc, char **argv) {
    struct setup o = {.requests = 1000, .max = 24, .model = "", .name = "cache"};
    read_options(argc, argv, &o);
    char *kept = request_of(&o, ""), *computed = request_of(&o, "Cache-Control: no-store\r\n");
    double *hits = mem_calloc(o.requests, sizeof(double)), *misses = mem_calloc(o.requests, sizeof(double));
    struct buf in;
    buf_init(&in, MAX_ANSWER);
    int fd = open_socket(o.port);
    take(fd, kept, "x-caravan-cache: ", &in); /* from now on it is kept */
    for (unsigned i = 0; i < o.requests; i++) {
        hits[i] = take(fd, kept, "x-caravan-cache: hit", &in);
        misses[i] = take(fd, computed, "x-caravan-cache: bypass", &in);
    }
    print(&o, "hit", hits, o.requests);
    print(&o, "computed", misses, o.requests);
    close(fd);
    buf_done(&in);
    free(hits);
    free(misses);
    free(kept);
    free(computed);
    return 0;
}
