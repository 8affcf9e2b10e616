/* SPDX-License-Identifier: MIT
 * See download.h. First a probe of one byte: does the server do ranges, how large is the file, which version, where do the redirects lead.
 * Then the connections, each at a range of its own (http/spans.h). A range that fails is given back, and taken again after a pause. */
#include "http/download.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/download_priv.h"
#include "http/web_priv.h"

enum { MIN_HALF = 1 << 20, SAVE_US = 2000000, PROGRESS_US = 100000, TURN_MS = 100 };

struct fetch;
struct connection {
    struct fetch *fetch;
    CURL *handle; /* NULL: idle */
    int slot;
    uint64_t at; /* where the next byte goes */
    bool direct; /* it uses the address where the redirects ended */
    bool checked, enough, refused;
    char text[CURL_ERROR_SIZE];
};
struct fetch {
    const struct http_download *d;
    CURLM *multi;
    struct part part;
    struct connection connections[HTTP_DOWNLOAD_MAX_CONNECTIONS];
    uint32_t n_connections;
    char url[WEB_MAX_URL]; /* where the redirects led */
    bool direct;              /* url is used; false: the address that was given, whose redirect may have run out */
    bool ranges;
    bool changed; /* the server offers another version of the file now */
    char sha256[HTTP_SHA256_TEXT];
    uint64_t fetched;
    unsigned failures; /* in a row, without a byte in between */
    clock_us wait_until, saved, shown;
    struct err why; /* the error that ends the download */
};

/* ---- the probe ---- */

struct probe {
    CURL *handle;
    bool seen;
};

/* Stops after the first byte: the probe needs only the headers. */
static size_t on_probe(char *data, size_t size, size_t n, void *user) {
    (void)data;
    struct probe *p = user;
    p->seen = true;
    return web_status(p->handle) == 206 ? size * n : 0;
}

/* A Content-Range header, "bytes 0-99/12345": where it begins, and of how many bytes. */
static bool read_range(const char *header, uint64_t *ret_first, uint64_t *ret_total) {
    const char *at = header && strncmp(header, "bytes ", 6) == 0 ? header + 6 : "", *slash = strchr(at, '/');
    if (!slash || !str_take_u64(&at, ret_first)) return false;
    at = slash + 1;
    return str_take_u64(&at, ret_total);
}

static bool is_sha256(const char *text) { return strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64; }

/* The server's name for this version of the file: hash, ETag or time of change. */
static void read_identity(struct fetch *f, CURL *h, uint64_t size, char *ret, size_t ret_size) {
    const char *linked = web_header(h, "x-linked-etag", 0), *tag = web_header(h, "etag", -1), *changed = web_header(h, "last-modified", -1);
    char text[128];
    snprintf(text, sizeof(text), "%s", linked ? linked : "");
    size_t len = strlen(text);
    if (len > 2 && text[0] == '"' && text[len - 1] == '"') { /* Hugging Face: the SHA-256 of a large file */
        memmove(text, text + 1, len - 2);
        text[len - 2] = '\0';
    }
    if (f->d->sha256 && f->d->sha256[0]) snprintf(f->sha256, sizeof(f->sha256), "%s", f->d->sha256);
    else if (is_sha256(text)) memcpy(f->sha256, text, HTTP_SHA256_TEXT);
    snprintf(ret, ret_size, "%s/%" PRIu64, f->sha256[0] ? f->sha256 : tag ? tag : changed ? changed : "", size);
}

static err_code probe_once(struct fetch *f, char *ret_identity, size_t identity_size, uint64_t *ret_size, long *ret_status,
                           long *ret_retry_after, struct err *e) {
    char text[CURL_ERROR_SIZE] = "";
    struct probe p = {.handle = web_handle(f->d->url, f->d->token)};
    CURL *h = p.handle;
    curl_easy_setopt(h, CURLOPT_RANGE, "0-0");
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, text);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_probe);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, &p);
    CURLcode rc = curl_easy_perform(h);
    if (rc == CURLE_WRITE_ERROR && p.seen) rc = CURLE_OK; /* it sends the whole file */
    long status = *ret_status = rc == CURLE_OK ? web_status(h) : 0;
    *ret_retry_after = web_retry_after(h);
    err_code code = web_error(rc, f->d->url, text, e);
    curl_off_t length = -1;
    uint64_t size = 0, first = 0;
    curl_easy_getinfo(h, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (code == ERR_OK && status == 206 && read_range(web_header(h, "content-range", -1), &first, &size)) f->ranges = true;
    else if (code == ERR_OK && status == 200 && length >= 0) size = (uint64_t)length;
    else if (code == ERR_OK && status / 100 == 2) code = err_set(e, ERR_PROTOCOL, "\"%.200s\" doesn't say how large it is", f->d->url);
    else if (code == ERR_OK) code = web_status_error(status, f->d->url, e);
    if (code == ERR_OK) {
        const char *where = NULL;
        curl_easy_getinfo(h, CURLINFO_EFFECTIVE_URL, &where);
        snprintf(f->url, sizeof(f->url), "%s", where && strlen(where) < sizeof(f->url) ? where : f->d->url);
        f->direct = true;
        read_identity(f, h, size, ret_identity, identity_size);
        *ret_size = size;
    }
    curl_easy_cleanup(h);
    return code;
}

/* Waits before the next attempt. false: there will be none, or the wait was interrupted. */
static bool pause_before_retry(struct fetch *f, unsigned failures, long status, long retry_after, const char *why) {
    int wait = web_retry(failures, status, retry_after);
    if (wait < 0) return false;
    if (f->d->on_waiting) f->d->on_waiting(f->d->user, why, (unsigned)wait);
    return web_wait((unsigned)wait, f->d->stop);
}

static err_code probe(struct fetch *f, char *ret_identity, size_t identity_size, uint64_t *ret_size, struct err *e) {
    struct err why = {0};
    for (unsigned failures = 1;; failures++) {
        long status = 0, retry_after = 0;
        err_code code = probe_once(f, ret_identity, identity_size, ret_size, &status, &retry_after, &why);
        if (code == ERR_OK) return code;
        bool passing = status != 0 || code == ERR_NETWORK || code == ERR_TIMEOUT;
        if (!passing || !pause_before_retry(f, failures, status, retry_after, why.text)) {
            if (f->d->stop && *f->d->stop) return err_set(e, ERR_CANCELLED, "interrupted");
            if (e) *e = why;
            return code;
        }
    }
}

/* ---- connections ---- */

/* Whether the answer is the range that was asked for. */
static bool check_answer(struct connection *c) {
    struct fetch *f = c->fetch;
    long status = web_status(c->handle);
    uint64_t first = 0, total = 0;
    c->checked = true;
    if (!f->ranges) return status == 200;
    if (status != 206) return false;
    if (read_range(web_header(c->handle, "content-range", -1), &first, &total) && first == c->at && total == f->part.size) return true;
    if (f->why.code == ERR_OK) {
        err_set(&f->why, ERR_PROTOCOL, "\"%.200s\" has become another file while it was fetched", f->d->url);
        err_hint(&f->why, "run it again: it starts anew then");
        f->changed = true;
        download_part_remove(&f->part);
    }
    return false;
}

static size_t on_bytes(char *data, size_t size, size_t n, void *user) {
    struct connection *c = user;
    struct fetch *f = c->fetch;
    size_t len = size * n;
    if (!c->checked && !check_answer(c)) c->refused = true;
    if (c->refused) return 0;
    uint64_t wanted = spans_advance(&f->part.spans, c->slot, len);
    if (download_part_write(&f->part, c->at, data, (size_t)wanted, &f->why) != ERR_OK) return 0;
    c->at += wanted;
    f->fetched += wanted;
    if (wanted > 0) f->failures = 0;
    if (wanted == len && f->part.spans.list[c->slot].at < f->part.spans.list[c->slot].end) return len;
    c->enough = true;
    return wanted == len ? len : 0;
}

static bool connection_start(struct fetch *f, struct connection *c) {
    int slot = spans_take(&f->part.spans, MIN_HALF);
    if (slot < 0) return false;
    const char *url = f->direct ? f->url : f->d->url;
    *c = (struct connection){.fetch = f, .slot = slot, .direct = f->direct && strcmp(f->url, f->d->url) != 0};
    c->handle = web_handle(url, f->d->token);
    if (!f->ranges) { /* begins at 0: the server has no ranges */
        f->part.spans.list[slot] = (struct span){.at = 0, .end = f->part.size, .taken = true};
    } else {
        char range[64];
        const struct span *s = &f->part.spans.list[slot];
        snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, s->at, s->end - 1);
        curl_easy_setopt(c->handle, CURLOPT_RANGE, range);
    }
    c->at = f->part.spans.list[slot].at;
    curl_easy_setopt(c->handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* connections of their own, not streams in one */
    curl_easy_setopt(c->handle, CURLOPT_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(c->handle, CURLOPT_ERRORBUFFER, c->text);
    curl_easy_setopt(c->handle, CURLOPT_PRIVATE, c);
    curl_easy_setopt(c->handle, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(c->handle, CURLOPT_WRITEDATA, c);
    curl_multi_add_handle(f->multi, c->handle);
    return true;
}

static void connection_stop(struct connection *c) {
    if (!c->handle) return;
    curl_multi_remove_handle(c->fetch->multi, c->handle);
    curl_easy_cleanup(c->handle);
    c->handle = NULL;
    spans_give_back(&c->fetch->part.spans, c->slot);
}

/* A connection ended before its range was complete: decides when to try again, or gives up. */
static void connection_failed(struct fetch *f, struct connection *c, CURLcode rc, clock_us now) {
    struct err why = {0};
    long status = c->refused || rc == CURLE_OK ? web_status(c->handle) : 0, retry_after = web_retry_after(c->handle);
    if (f->why.code != ERR_OK) return;
    if (status != 0 && status / 100 != 2) web_status_error(status, f->d->url, &why);
    else if (rc != CURLE_OK && !c->refused) web_error(rc, f->d->url, c->text, &why);
    else err_set(&why, ERR_PROTOCOL, "\"%.200s\" answers with what was not asked for (status %ld)", f->d->url, status);
    if (c->direct && (status == 401 || status == 403 || status == 404 || status == 410)) {
        f->direct = false; /* a redirect is often good for some minutes only: ask for a new one */
        return;
    }
    if (now < f->wait_until) return; /* another connection had the same error a moment ago */
    int wait = web_retry(++f->failures, status, retry_after);
    if (wait < 0) {
        f->why = why;
        return;
    }
    if (status == 429 && f->n_connections > 1) f->n_connections /= 2;
    f->wait_until = now + (clock_us)wait * 1000000;
    if (f->d->on_waiting) f->d->on_waiting(f->d->user, why.text, (unsigned)wait);
}

static void reap(struct fetch *f, clock_us now) {
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(f->multi, &left)) != NULL;) {
        if (m->msg != CURLMSG_DONE) continue;
        CURLcode rc = m->data.result;
        struct connection *c = NULL;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &c);
        if (!c->enough) connection_failed(f, c, rc, now);
        connection_stop(c);
    }
}

static err_code fetch_turn(struct fetch *f, clock_us now) {
    int running;
    uint32_t limit = f->ranges ? f->n_connections : 1, busy = 0;
    for (uint32_t i = 0; i < HTTP_DOWNLOAD_MAX_CONNECTIONS; i++) busy += f->connections[i].handle != NULL;
    for (uint32_t i = 0; i < HTTP_DOWNLOAD_MAX_CONNECTIONS && busy < limit && now >= f->wait_until; i++)
        if (!f->connections[i].handle && connection_start(f, &f->connections[i])) busy++;
    curl_multi_perform(f->multi, &running);
    reap(f, now);
    if (spans_missing(&f->part.spans) > 0 && f->why.code == ERR_OK) curl_multi_poll(f->multi, NULL, 0, TURN_MS, NULL);
    if (f->d->stop && *f->d->stop && f->why.code == ERR_OK) err_set(&f->why, ERR_CANCELLED, "interrupted");
    if (now - f->saved > SAVE_US && f->why.code == ERR_OK) {
        download_part_save(&f->part, &f->why);
        f->saved = now;
    }
    if (f->d->on_progress && now - f->shown > PROGRESS_US) {
        uint64_t size = f->part.size;
        f->d->on_progress(f->d->user, &(struct http_download_progress){.done = size - spans_missing(&f->part.spans), .size = size});
        f->shown = now;
    }
    return f->why.code;
}

static err_code fetch_all(struct fetch *f, struct err *e) {
    err_code code = ERR_OK;
    f->multi = curl_multi_init();
    f->saved = clock_now();
    while (code == ERR_OK && spans_missing(&f->part.spans) > 0) code = fetch_turn(f, clock_now());
    for (uint32_t i = 0; i < HTTP_DOWNLOAD_MAX_CONNECTIONS; i++) connection_stop(&f->connections[i]);
    curl_multi_cleanup(f->multi);
    if (code != ERR_OK && e) *e = f->why;
    if (code != ERR_OK && !f->changed) download_part_save(&f->part, NULL);
    return code;
}

err_code http_download(const struct http_download *d, struct http_download_result *ret, struct err *e) {
    char identity[512] = "";
    uint64_t size = 0;
    struct fetch *f = MEM_NEW(struct fetch);
    f->d = d;
    f->part.fd = -1;
    f->n_connections = d->connections < 1                               ? 1
                       : d->connections > HTTP_DOWNLOAD_MAX_CONNECTIONS ? HTTP_DOWNLOAD_MAX_CONNECTIONS
                                                                        : d->connections;
    struct http_download_result result = {0};
    err_code code = probe(f, identity, sizeof(identity), &size, e);
    if (code == ERR_OK && d->size > 0 && d->size != size)
        code = err_set(e, ERR_FORMAT, "\"%.200s\" has %" PRIu64 " bytes, but %" PRIu64 " are published for it", d->url, size, d->size);
    if (code == ERR_OK) code = download_part_open(&f->part, d->path, e);
    if (code == ERR_OK) code = download_part_begin(&f->part, size, identity, e);
    if (code == ERR_OK) code = fetch_all(f, e);
    result.size = size;
    result.fetched = f->fetched;
    if (code == ERR_OK) code = download_part_finish(&f->part, d, f->sha256, &result, e);
    if (code == ERR_OK) *ret = result;
    download_part_close(&f->part);
    free(f);
    return code;
}
