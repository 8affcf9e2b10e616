/* SPDX-License-Identifier: MIT
 * Asks an OpenAI-compatible server for many streams at once, and measures them: time to the first text, tokens a second, and, where a
 * stream's text is the time at which it was made (gateway_fake's "stamp"), how long it was on its way. Prints `name value unit` lines.
 *
 *     gateway_bench --port N [--streams N] [--requests N] [--max N] [--prompt TEXT] [--body JSON] [--idle N] [--pid N] [--name PREFIX]
 *
 * --requests: how many in all, default one a stream; each stream asks again as soon as it has its answer, on the same connection.
 * --body: fields that are added to each request ("\"ignore_eos\":true"). --idle: that many connections that say nothing, opened before.
 * --pid: the server's: its processor time for each token, and its memory. One thread, epoll; no libraries but our own floor 0. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum { MAX_ANSWER = 64 << 20, EVENTS = 256 };

struct list {
    double *v;
    size_t n, cap;
};

struct setup {
    uint16_t port;
    unsigned streams, requests, max, idle;
    int pid;
    const char *prompt, *body, *name;
};

struct stream {
    int fd;
    struct buf in;
    size_t seen;      /* bytes of `in` that have been read as lines */
    bool started, done; /* text has come; the last event has come */
    unsigned tries;
    char *request;    /* the request, to be sent again if the server closed the connection first */
    uint64_t sent_ns;
};

struct bench {
    struct setup o;
    int epoll;
    struct stream *streams;
    unsigned first;   /* number of the first question: no question repeats an earlier one, which the server may remember */
    unsigned asked, answered;
    uint64_t tokens, chunks;
    struct list ttft_ms, way_us;
};

static void stop(const char *what) {
    fprintf(stderr, "gateway_bench: %s%s%s\n", what, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- figures ---- */

static void list_add(struct list *l, double value) {
    if (l->n == l->cap) {
        l->cap = l->cap > 0 ? 2 * l->cap : 1024;
        l->v = mem_realloc(l->v, l->cap, sizeof(*l->v));
    }
    l->v[l->n++] = value;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double list_at(struct list *l, double part) {
    if (l->n == 0) return 0;
    qsort(l->v, l->n, sizeof(*l->v), by_value);
    return l->v[(size_t)((double)(l->n - 1) * part)];
}

static void print(const struct bench *b, const char *what, double value, const char *unit) {
    printf("%s%s%s %.3f %s\n", b->o.name, *b->o.name != '\0' ? "." : "", what, value, unit);
}

/* Nanoseconds that all threads of the process have run. */
static uint64_t cpu_ns(int pid) {
    char path[320];
    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    if (dir == NULL) stop(path);
    uint64_t sum = 0;
    for (struct dirent *d; (d = readdir(dir)) != NULL;) {
        char ran[64];
        snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, d->d_name);
        FILE *f = *d->d_name != '.' ? fopen(path, "r") : NULL;
        if (f != NULL && fgets(ran, sizeof(ran), f) != NULL) sum += strtoull(ran, NULL, 10);
        if (f != NULL) fclose(f);
    }
    closedir(dir);
    return sum;
}

static double memory_mb(int pid) {
    char path[64], line[256];
    double kb = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0) kb = strtod(line + 6, NULL);
    if (f != NULL) fclose(f);
    return kb / 1024;
}

/* ---- streams ---- */

static int open_socket(const struct bench *b) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(b->o.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0) stop("cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* Servers close connections that have been used often enough: the question is asked again on a new one, as clients do. */
static void send_request(struct bench *b, struct stream *s) {
    if (s->fd < 0) {
        s->fd = open_socket(b);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = s};
        if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, s->fd, &ev) != 0) stop("epoll");
    }
    size_t len = strlen(s->request);
    ssize_t n = send(s->fd, s->request, len, MSG_NOSIGNAL);
    if (n != (ssize_t)len && errno != EPIPE && errno != ECONNRESET) stop("cannot send"); /* a closed one is seen by recv */
}

static void ask(struct bench *b, struct stream *s) {
    char *body = mem_printf("{\"messages\":[{\"role\":\"user\",\"content\":\"%06u %s\"}],\"max_tokens\":%u,\"stream\":true,"
                            "\"temperature\":0,\"stream_options\":{\"include_usage\":true}%s%s}",
                            (b->first + b->asked) % 1000000, b->o.prompt, b->o.max, *b->o.body != '\0' ? "," : "", b->o.body);
    free(s->request);
    s->request = mem_printf("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu"
                            "\r\n\r\n%s",
                            strlen(body), body);
    free(body);
    b->asked++;
    s->started = s->done = false;
    s->seen = 0;
    s->tries = 0;
    buf_clear(&s->in);
    s->sent_ns = now_ns();
    send_request(b, s);
}

static void ask_again(struct bench *b, struct stream *s) {
    close(s->fd);
    s->fd = -1;
    if (s->done) return; /* it has had its answers */
    if (s->in.len > 0 || s->tries++ == 3) stop("the server closed a connection");
    send_request(b, s);
}

/* One event's JSON. Text is there when content is a string that is not empty. */
static void take_event(struct bench *b, struct stream *s, const char *line, uint64_t now) {
    if (strncmp(line, "[DONE]", 6) == 0) s->done = true;
    const char *content = strstr(line, "\"content\":\""), *usage = strstr(line, "\"completion_tokens\":");
    if (usage != NULL) b->tokens += strtoull(usage + 20, NULL, 10);
    if (content == NULL || content[11] == '"') return;
    b->chunks++;
    if (!s->started) list_add(&b->ttft_ms, (double)(now - s->sent_ns) / 1e6);
    s->started = true;
    uint64_t stamp = strtoull(content + 11, NULL, 10);
    if (stamp > now / 2 && stamp <= now) list_add(&b->way_us, (double)(now - stamp) / 1e3);
}

/* Reads the available bytes and takes the complete lines of events. */
static void take(struct bench *b, struct stream *s) {
    buf_reserve(&s->in, 16384);
    ssize_t n = recv(s->fd, s->in.data + s->in.len, s->in.cap - s->in.len - 1, MSG_DONTWAIT);
    uint64_t now = now_ns();
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        ask_again(b, s);
        return;
    }
    s->in.len += (size_t)n;
    char *text = (char *)s->in.data, *end;
    text[s->in.len] = '\0';
    while ((end = strstr(text + s->seen, "\n\n")) != NULL) {
        char *line = strstr(text + s->seen, "data: ");
        *end = '\0';
        if (line != NULL && line < end) take_event(b, s, line + 6, now);
        s->seen = (size_t)(end + 2 - text);
    }
    if (s->seen == 0 && strncmp(text, "HTTP/1.1 200", s->in.len < 12 ? s->in.len : 12) != 0) {
        fprintf(stderr, "%s\n", text);
        errno = 0;
        stop("the server refused");
    }
    if (!s->done || memcmp(text + s->in.len - 5, "0\r\n\r\n", 5) != 0) return;
    b->answered++;
    if (b->asked < b->o.requests) ask(b, s);
}

static void open_streams(struct bench *b) {
    b->epoll = epoll_create1(EPOLL_CLOEXEC);
    b->streams = mem_calloc(b->o.streams, sizeof(*b->streams));
    for (unsigned i = 0; i < b->o.streams; i++) {
        struct stream *s = &b->streams[i];
        s->fd = -1;
        buf_init(&s->in, MAX_ANSWER);
    }
}

static void run(struct bench *b) {
    struct epoll_event events[EVENTS];
    double most_mb = 0;
    uint64_t cpu = b->o.pid > 0 ? cpu_ns(b->o.pid) : 0, start = now_ns();
    for (unsigned i = 0; i < b->o.streams && b->asked < b->o.requests; i++) ask(b, &b->streams[i]);
    for (unsigned turn = 0; b->answered < b->o.requests; turn++) {
        int n = epoll_wait(b->epoll, events, EVENTS, 60 * 1000);
        if (n == 0) stop("the server says nothing for a minute");
        for (int i = 0; i < n; i++) take(b, events[i].data.ptr);
        if (b->o.pid > 0 && turn % 256 == 0) {
            double mb = memory_mb(b->o.pid);
            if (mb > most_mb) most_mb = mb;
        }
    }
    double seconds = (double)(now_ns() - start) / 1e9;
    if (b->tokens == 0) b->tokens = b->chunks;
    print(b, "ttft_p50", list_at(&b->ttft_ms, 0.5), "ms");
    print(b, "ttft_p95", list_at(&b->ttft_ms, 0.95), "ms");
    print(b, "tokens", (double)b->tokens / seconds, "tok/s");
    if (b->way_us.n > 0) {
        print(b, "way_p50", list_at(&b->way_us, 0.5), "us");
        print(b, "way_p99", list_at(&b->way_us, 0.99), "us");
    }
    if (b->o.pid <= 0) return;
    print(b, "cpu_token", (double)(cpu_ns(b->o.pid) - cpu) / 1e3 / (double)b->tokens, "us");
    print(b, "memory", most_mb, "MiB");
}

/* Connections that wait for nothing: the last one is known to be accepted when it has been answered. */
static void open_idle(const struct bench *b) {
    static const char question[] = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char answer[4096];
    for (unsigned i = 0; i < b->o.idle; i++) {
        int fd = open_socket(b);
        if (i + 1 < b->o.idle) continue;
        if (send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0 || recv(fd, answer, sizeof(answer), 0) <= 0)
            stop("an idle connection");
    }
}

static unsigned number(const char *text) { return (unsigned)strtoul(text, NULL, 10); }

int main(int argc, char **argv) {
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},     {"streams", required_argument, NULL, 's'},
                                            {"requests", required_argument, NULL, 'r'}, {"max", required_argument, NULL, 'm'},
                                            {"idle", required_argument, NULL, 'i'},     {"pid", required_argument, NULL, 'P'},
                                            {"prompt", required_argument, NULL, 't'},   {"body", required_argument, NULL, 'b'},
                                            {"name", required_argument, NULL, 'n'},     {NULL, 0, NULL, 0}};
    struct bench b = {.o = {.streams = 1, .max = 32, .prompt = "hello", .body = "", .name = ""}};
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'p': b.o.port = (uint16_t)number(optarg); break;
        case 's': b.o.streams = number(optarg); break;
        case 'r': b.o.requests = number(optarg); break;
        case 'm': b.o.max = number(optarg); break;
        case 'i': b.o.idle = number(optarg); break;
        case 'P': b.o.pid = (int)number(optarg); break;
        case 't': b.o.prompt = optarg; break;
        case 'b': b.o.body = optarg; break;
        case 'n': b.o.name = optarg; break;
        default: return 2;
        }
    }
    b.first = (unsigned)(now_ns() / 1000);
    if (b.o.requests == 0) b.o.requests = b.o.streams;
    open_idle(&b);
    open_streams(&b);
    run(&b);
    for (unsigned i = 0; i < b.o.streams; i++) {
        buf_done(&b.streams[i].in);
        free(b.streams[i].request);
    }
    free(b.streams);
    free(b.ttft_ms.v);
    free(b.way_us.v);
    return 0;
}
