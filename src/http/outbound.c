/* SPDX-License-Identifier: MIT
 * See outbound.h. libcurl's callbacks only fill buffers and set marks; the owner's callbacks are called afterwards, from a task of the
 * loop, since libcurl must not be called from within its own callbacks, and owners cancel where they like. */
#include "http/outbound.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "http/web_priv.h"
#include "io/tls.h"
#include "io/watch.h"

enum { CONNECTIONS_KEPT = 64 };

struct outbound {
    struct io_loop *loop;
    CURLM *multi;
    struct io_timer *timer;   /* libcurl's */
    struct list requests, sockets;
    size_t n_running;
};

struct socket_watch {
    struct list link;
    struct outbound *outbound;
    struct io_poll *poll;
    curl_socket_t fd;
};

struct outbound_request {
    struct list link;
    struct outbound *outbound;
    CURL *handle;
    struct curl_slist *headers;
    char *host;               /* for errors */
    void (*on_head)(void *user, const struct outbound_head *head);
    void (*on_body)(void *user, const void *data, size_t len);
    void (*on_end)(void *user, const struct outbound_end *end);
    void *user;
    struct io_task deliver;
    bool *gone;               /* set while a callback runs: it becomes true when the request is freed */
    struct io_timer *silence;
    uint64_t silent_ms, max_body, n_body;
    size_t n_header_bytes;
    struct buf body;          /* has come, and is not delivered yet */
    bool headed, head_given;  /* the head has come; it has been delivered */
    bool held, paused;        /* by the reader; libcurl doesn't read from the server */
    bool finished;            /* nothing comes any more; result says why */
    CURLcode result;
    err_code over;            /* why we ended it ourselves; OK: we did not */
    char text[CURL_ERROR_SIZE];
};

static void deliver_soon(struct outbound_request *r) { io_task_post(r->outbound->loop, &r->deliver); }

/* ---- libcurl and the loop ---- */

static void reap(struct outbound *o) {
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(o->multi, &left)) != NULL;) {
        struct outbound_request *r = NULL;
        if (m->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &r);
        r->finished = true;
        r->result = m->data.result;
        io_timer_stop(r->silence);
        deliver_soon(r);
    }
}

static void act(struct outbound *o, curl_socket_t fd, int events) {
    int running;
    curl_multi_socket_action(o->multi, fd, events, &running);
    reap(o);
}

static void on_timer(void *user) { act(user, CURL_SOCKET_TIMEOUT, 0); }

static void on_socket_event(void *user, int events, int error) {
    struct socket_watch *w = user;
    int which = (events & IO_READ ? CURL_CSELECT_IN : 0) | (events & IO_WRITE ? CURL_CSELECT_OUT : 0);
    act(w->outbound, w->fd, error != 0 ? CURL_CSELECT_ERR : which);
}

static int on_timeout_wanted(CURLM *multi, long ms, void *user) {
    struct outbound *o = user;
    (void)multi;
    if (ms < 0) io_timer_stop(o->timer);
    else io_timer_start(o->timer, (uint64_t)ms, 0);
    return 0;
}

static void unwatch(struct socket_watch *w) {
    io_poll_close(w->poll);
    list_remove(&w->link);
    free(w);
}

static struct socket_watch *watch(struct outbound *o, curl_socket_t fd) {
    struct socket_watch *w = MEM_NEW(struct socket_watch);
    *w = (struct socket_watch){.outbound = o, .fd = fd};
    w->poll = io_poll_open(o->loop, fd, on_socket_event, w);
    if (w->poll == NULL) { /* no descriptors left for the watch: libcurl's own time-out ends the request */
        free(w);
        return NULL;
    }
    list_push_back(&o->sockets, &w->link);
    curl_multi_assign(o->multi, fd, w);
    return w;
}

static int on_socket_wanted(CURL *handle, curl_socket_t fd, int what, void *user, void *watched) {
    struct outbound *o = user;
    struct socket_watch *w = watched;
    (void)handle;
    if (what == CURL_POLL_REMOVE) {
        if (w != NULL) unwatch(w);
        return 0;
    }
    if (w == NULL) w = watch(o, fd);
    if (w == NULL) return -1;
    io_poll_set(w->poll, (what & CURL_POLL_IN ? IO_READ : 0) | (what & CURL_POLL_OUT ? IO_WRITE : 0));
    return 0;
}

/* ---- what comes for a request ---- */

static void listen_again(struct outbound_request *r) {
    if (r->held || r->paused || r->finished) io_timer_stop(r->silence);
    else io_timer_start(r->silence, r->silent_ms, 0);
}

static void on_silence(void *user) {
    struct outbound_request *r = user;
    r->finished = true;
    r->over = ERR_TIMEOUT;
    deliver_soon(r);
}

/* Called for each line of all heads: those of 1xx, and of a proxy, come before the answer's own. */
static size_t on_header(char *data, size_t size, size_t n, void *user) {
    struct outbound_request *r = user;
    size_t len = size * n;
    r->n_header_bytes += len;
    if (r->n_header_bytes > OUTBOUND_MAX_HEADERS) {
        r->over = ERR_LIMIT;
        return 0;
    }
    listen_again(r);
    bool end = len <= 2 && (data[0] == '\r' || data[0] == '\n');
    if (end && web_status(r->handle) >= 200) {
        r->headed = true;
        deliver_soon(r);
    }
    return len;
}

static size_t on_data(char *data, size_t size, size_t n, void *user) {
    struct outbound_request *r = user;
    size_t len = size * n;
    if (r->body.len > 0 && r->body.len + len > OUTBOUND_MAX_WAITING) {
        r->paused = true;
        listen_again(r);
        return CURL_WRITEFUNC_PAUSE;
    }
    r->n_body += len;
    if (r->n_body > r->max_body) {
        r->over = ERR_LIMIT;
        return CURL_WRITEFUNC_ERROR;
    }
    r->headed = true;
    buf_append(&r->body, data, len);
    if (r->body.failed) {
        r->over = ERR_MEMORY;
        return CURL_WRITEFUNC_ERROR;
    }
    listen_again(r);
    deliver_soon(r);
    return len;
}

/* ---- delivery ---- */

static void request_free(struct outbound_request *r) {
    if (r->gone != NULL) *r->gone = true;
    io_task_cancel(&r->deliver);
    if (r->handle != NULL) curl_multi_remove_handle(r->outbound->multi, r->handle);
    curl_easy_cleanup(r->handle);
    curl_slist_free_all(r->headers);
    io_timer_close(r->silence);
    buf_done(&r->body);
    free(r->host);
    list_remove(&r->link);
    r->outbound->n_running--;
    free(r);
}

static void give_head(struct outbound_request *r) {
    char *type = NULL;
    r->head_given = true;
    curl_easy_getinfo(r->handle, CURLINFO_CONTENT_TYPE, &type);
    long wait = web_retry_after(r->handle);
    const struct outbound_head head = {.status = (int)web_status(r->handle),
                                       .retry_after_s = wait < 0           ? 0
                                                        : wait > INT32_MAX ? INT32_MAX
                                                                           : (uint32_t)wait,
                                       .content_type = type != NULL ? type : ""};
    r->on_head(r->user, &head);
}

/* The reader gets the bytes in a buffer of their own, since it may cancel the request. */
static void give_body(struct outbound_request *r) {
    struct buf body = r->body;
    buf_init(&r->body, body.max);
    r->on_body(r->user, body.data, body.len);
    buf_done(&body);
}

/* Why a request ended, from libcurl's words or from ours. */
static err_code end_error(const struct outbound_request *r, struct err *e) {
    if (r->over == ERR_TIMEOUT)
        return err_set(e, ERR_TIMEOUT, "\"%.200s\" has been silent for %llu s", r->host, (unsigned long long)r->silent_ms / 1000);
    if (r->over == ERR_LIMIT) return err_set(e, ERR_LIMIT, "the answer of \"%.200s\" is too long", r->host);
    if (r->over != ERR_OK) return err_set(e, r->over, "\"%.200s\": %s", r->host, err_text(r->over));
    if (r->result != CURLE_OK && r->headed) {
        const char *why = r->text[0] != '\0' ? r->text : curl_easy_strerror(r->result);
        return err_set(e, ERR_CLOSED, "the answer of \"%.200s\" was cut: %s", r->host, why);
    }
    return web_error(r->result, r->host, r->text, e);
}

static void give_end(struct outbound_request *r) {
    struct err e = {0};
    long bytes = 0;
    curl_easy_getinfo(r->handle, CURLINFO_REQUEST_SIZE, &bytes);
    err_code code = end_error(r, &e);
    void (*on_end)(void *user, const struct outbound_end *end) = r->on_end;
    void *user = r->user;
    const struct outbound_end end = {.code = code, .err = &e, .sent = bytes > 0};
    request_free(r);
    on_end(user, &end);
}

/* Goes on reading from the server, when its bytes have been delivered. libcurl may deliver more from within. */
static void unpause(struct outbound_request *r) {
    if (!r->paused || r->held || r->finished || r->body.len > 0) return;
    r->paused = false;
    listen_again(r);
    curl_easy_pause(r->handle, CURLPAUSE_CONT);
}

static void deliver(void *user) {
    struct outbound_request *r = user;
    bool gone = false;
    r->gone = &gone;
    if (!r->held && r->headed && !r->head_given) give_head(r);
    if (!gone && !r->held && r->body.len > 0) give_body(r);
    if (gone) return;
    r->gone = NULL;
    unpause(r);
    if (!r->held && r->finished && r->body.len == 0) give_end(r);
}

void outbound_hold(struct outbound_request *r, bool hold) {
    r->held = hold;
    listen_again(r);
    if (!hold) deliver_soon(r);
}

/* ---- requests ---- */

static bool is_plain(const char *text) {
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7F) return false;
    return true;
}

static err_code add_headers(struct outbound_request *r, const struct outbound_options *options, struct err *e) {
    for (size_t i = 0; i < options->n_headers; i++) {
        const struct outbound_header *h = &options->headers[i];
        if (!is_plain(h->name) || !is_plain(h->value)) /* the value may be a key: it isn't quoted */
            return err_set(e, ERR_INVALID, "the header \"%.40s\" has control characters", h->name);
        char *line = mem_printf("%s: %s", h->name, h->value);
        r->headers = curl_slist_append(r->headers, line);
        free(line);
    }
    r->headers = curl_slist_append(r->headers, "Expect:"); /* libcurl would ask before it sends a long body */
    return ERR_OK;
}

static void set_up(struct outbound_request *r, const struct outbound_options *options) {
    CURL *h = r->handle = web_handle_bare(options->url);
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 0L); /* a held request is slow */
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, 0L);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_ms);
    curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L); /* a cancelled request doesn't wait for the thread that resolves its name */
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(h, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(h, CURLOPT_BUFFERSIZE, 16L * 1024);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, r->text);
    curl_easy_setopt(h, CURLOPT_PRIVATE, r);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, r);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, r);
    if (options->ca_file != NULL) curl_easy_setopt(h, CURLOPT_CAINFO, options->ca_file);
    else if (strncasecmp(options->url, "https:", 6) == 0) web_trust_system(h);
    if (options->body == NULL) return;
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)options->body_len);
    curl_easy_setopt(h, CURLOPT_COPYPOSTFIELDS, options->body);
}

/* Scheme, host and port of an address. */
static char *host_of(const char *url) {
    const char *at = strstr(url, "://");
    size_t from = at != NULL ? (size_t)(at - url) + 3 : 0;
    return mem_strndup(url, from + strcspn(url + from, "/?#"));
}

err_code outbound_start(struct outbound *o, const struct outbound_options *options, struct outbound_request **ret, struct err *e) {
    if (o->n_running == OUTBOUND_MAX_RUNNING) return err_set(e, ERR_BUSY, "%d requests to other servers are running", OUTBOUND_MAX_RUNNING);
    struct outbound_request *r = MEM_NEW(struct outbound_request);
    *r = (struct outbound_request){.outbound = o,
                                   .host = host_of(options->url),
                                   .on_head = options->on_head,
                                   .on_body = options->on_body,
                                   .on_end = options->on_end,
                                   .user = options->user,
                                   .silent_ms = options->silent_ms,
                                   .max_body = options->max_body,
                                   .deliver = {.fn = deliver, .user = r}};
    list_push_back(&o->requests, &r->link);
    o->n_running++;
    buf_init(&r->body, 4 * OUTBOUND_MAX_WAITING);
    r->silence = io_timer_open(o->loop, on_silence, r);
    err_code code = add_headers(r, options, e);
    if (code != ERR_OK) {
        request_free(r);
        return code;
    }
    set_up(r, options);
    io_timer_start(r->silence, (uint64_t)options->connect_ms + options->silent_ms, 0);
    if (curl_multi_add_handle(o->multi, r->handle) != CURLM_OK) {
        request_free(r);
        return err_set(e, ERR_MEMORY, "no memory for a request to another server");
    }
    *ret = r;
    return ERR_OK;
}

void outbound_cancel(struct outbound_request *r) { request_free(r); }

size_t outbound_running(const struct outbound *o) { return o->n_running; }

/* ---- the whole ---- */

struct outbound *outbound_create(struct io_loop *loop) {
    struct outbound *o = MEM_NEW(struct outbound);
    io_tls_startup();
    o->loop = loop;
    list_init(&o->requests);
    list_init(&o->sockets);
    o->timer = io_timer_open(loop, on_timer, o);
    o->multi = curl_multi_init();
    if (o->multi == NULL) abort();
    curl_multi_setopt(o->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
    curl_multi_setopt(o->multi, CURLMOPT_SOCKETDATA, o);
    curl_multi_setopt(o->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted);
    curl_multi_setopt(o->multi, CURLMOPT_TIMERDATA, o);
    curl_multi_setopt(o->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    return o;
}

void outbound_free(struct outbound *o) {
    if (o == NULL) return;
    while (!list_empty(&o->requests)) request_free(LIST_ENTRY(o->requests.next, struct outbound_request, link));
    curl_multi_cleanup(o->multi);
    while (!list_empty(&o->sockets)) unwatch(LIST_ENTRY(o->sockets.next, struct socket_watch, link));
    io_timer_close(o->timer);
    free(o);
}
