/* SPDX-License-Identifier: MIT
 * See web.h and web_priv.h. */
#include "http/web.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/mem.h"
#include "io/tls.h"
#include "io/tls_client.h"
#include "http/web_priv.h"

enum {
    WEB_CONNECT_S = 20,
    WEB_SILENT_S = 30,
    WEB_MAX_REDIRECTS = 8,
    WEB_LONGEST_WAIT_S = 300,
    WEB_LONGEST_BACKOFF_S = 30,
    WEB_TRIES_WITHOUT_ANSWER = 3
};

/* ---- libcurl ---- */

/* Whether two addresses have the same scheme, host and port, as they are written. */
static bool web_same_hub(const char *a, const char *b) {
    const char *x = strstr(a, "://"), *y = strstr(b, "://");
    size_t n = x ? strcspn(x + 3, "/?#") : 0;
    return x && y && n == strcspn(y + 3, "/?#") && strncasecmp(a, b, (size_t)(x - a) + 3 + n) == 0;
}

void web_trust_system(CURL *h) {
    char authorities[4096];
    if (io_tls_trust_system(authorities, sizeof(authorities))) curl_easy_setopt(h, CURLOPT_CAINFO, authorities);
}

CURL *web_handle_bare(const char *url) {
    io_tls_startup();
    CURL *h = curl_easy_init();
    if (!h) abort();
    bool https = strncasecmp(url, "https:", 6) == 0;
    curl_easy_setopt(h, CURLOPT_URL, url);
    curl_easy_setopt(h, CURLOPT_USERAGENT, "caravan/" CARAVAN_VERSION);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(h, CURLOPT_MAXREDIRS, (long)WEB_MAX_REDIRECTS);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_REDIR_PROTOCOLS_STR, https ? "https" : "http,https"); /* never from encrypted to plain */
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)WEB_CONNECT_S);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(h, CURLOPT_LOW_SPEED_TIME, (long)WEB_SILENT_S);
    return h;
}

CURL *web_handle(const char *url, struct web_token token) {
    CURL *h = web_handle_bare(url);
    web_trust_system(h); /* a plain address may lead to an encrypted one */
    if (token.text && token.text[0] && web_same_hub(url, token.hub)) { /* libcurl sends it to no other host after a redirect */
        curl_easy_setopt(h, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(h, CURLOPT_XOAUTH2_BEARER, token.text);
    }
    return h;
}

long web_status(CURL *h) {
    long status = 0;
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

long web_retry_after(CURL *h) {
    curl_off_t seconds = 0;
    curl_easy_getinfo(h, CURLINFO_RETRY_AFTER, &seconds);
    return (long)seconds;
}

const char *web_header(CURL *h, const char *name, int request) {
    struct curl_header *header;
    return curl_easy_header(h, name, 0, CURLH_HEADER, request, &header) == CURLHE_OK ? header->value : NULL;
}

err_code web_error(CURLcode rc, const char *url, const char *text, struct err *e) {
    const char *why = text[0] ? text : curl_easy_strerror(rc);
    switch (rc) {
    case CURLE_OK: return ERR_OK;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE: return err_set(e, ERR_AUTH, "cannot trust \"%.200s\": %s", url, why);
    case CURLE_OPERATION_TIMEDOUT: return err_set(e, ERR_TIMEOUT, "no answer from \"%.200s\": %s", url, why);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return err_set(e, ERR_INVALID, "bad address \"%.200s\": %s", url, why);
    default: return err_set(e, ERR_NETWORK, "cannot fetch \"%.200s\": %s", url, why);
    }
}

err_code web_status_error(long status, const char *url, struct err *e) {
    if (status == 401 || status == 403) return err_set(e, ERR_AUTH, "\"%.200s\" is refused (status %ld)", url, status);
    if (status == 404 || status == 410) return err_set(e, ERR_NOT_FOUND, "\"%.200s\" doesn't exist (status %ld)", url, status);
    if (status == 429) return err_set(e, ERR_BUSY, "\"%.200s\": too many requests (status 429)", url);
    return err_set(e, ERR_PROTOCOL, "\"%.200s\" answers with status %ld", url, status);
}

/* ---- trying again ---- */

int web_retry(unsigned failures, long status, long retry_after) {
    bool passing = status == 0 || status == 408 || status == 425 || status == 429 || status >= 500;
    if (!passing || failures == 0 || failures >= WEB_MAX_TRIES || retry_after > WEB_LONGEST_WAIT_S) return -1;
    if (retry_after > 0) return (int)retry_after;
    int wait = 1 << (failures - 1);
    return wait < WEB_LONGEST_BACKOFF_S ? wait : WEB_LONGEST_BACKOFF_S;
}

bool web_wait(unsigned seconds, const atomic_int *stop) {
    for (unsigned i = 0; i < seconds * 10; i++) {
        if (stop && *stop) return false;
        nanosleep(&(struct timespec){.tv_nsec = 100 * 1000 * 1000}, NULL);
    }
    return !stop || !*stop;
}

bool web_link_next(const char *header, char ret[WEB_MAX_URL]) {
    for (const char *p = header; (p = strchr(p, '<')) != NULL;) {
        const char *end = strchr(++p, '>');
        if (!end) return false;
        size_t parameters = strcspn(end, ",");
        const char *rel = strstr(end, "rel=\"next\"");
        if (!rel) rel = strstr(end, "rel=next");
        if (rel && rel < end + parameters && (size_t)(end - p) < WEB_MAX_URL) {
            memcpy(ret, p, (size_t)(end - p));
            ret[end - p] = '\0';
            return true;
        }
        p = end + parameters;
    }
    return false;
}

/* ---- a document ---- */

/* A body that comes. */
struct document {
    struct buf *body;
    uint64_t first; /* as in struct web_request */
};

static size_t on_document(char *data, size_t size, size_t n, void *user) {
    struct document *d = user;
    size_t len = size * n, take = d->first > 0 && len > d->first - d->body->len ? (size_t)(d->first - d->body->len) : len;
    buf_append(d->body, data, take);
    return d->body->failed ? 0 : take; /* less than came: libcurl ends with CURLE_WRITE_ERROR */
}

static int on_turn(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    const atomic_int *stop = user;
    return stop && *stop;
}

/* One attempt. *ret_status 0: there was no answer. */
static err_code web_try(const struct web_request *r, struct buf *body, char *ret_next, long *ret_status, long *ret_wait, struct err *e) {
    char text[CURL_ERROR_SIZE] = "";
    CURL *h = web_handle(r->url, r->token);
    struct curl_slist *headers = NULL;
    struct document doc = {.body = body, .first = r->first};
    char range[32];
    buf_clear(body);
    if (r->first > 0) {
        snprintf(range, sizeof(range), "0-%llu", (unsigned long long)r->first - 1);
        curl_easy_setopt(h, CURLOPT_RANGE, range);
    }
    if (r->accept) {
        char *line = mem_printf("Accept: %s", r->accept);
        headers = curl_slist_append(NULL, line);
        free(line);
        curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers);
    }
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, text);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_document);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, &doc);
    curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_turn);
    curl_easy_setopt(h, CURLOPT_XFERINFODATA, (void *)(uintptr_t)r->stop);
    CURLcode rc = curl_easy_perform(h);
    if (rc == CURLE_WRITE_ERROR && r->first > 0 && body->len == r->first) rc = CURLE_OK;
    *ret_status = rc == CURLE_OK ? web_status(h) : 0;
    *ret_wait = web_retry_after(h);
    err_code code;
    if (rc == CURLE_ABORTED_BY_CALLBACK) code = err_set(e, ERR_CANCELLED, "interrupted");
    else if (body->failed) code = err_set(e, ERR_LIMIT, "the answer of \"%.200s\" is over %zu bytes", r->url, body->max);
    else if (rc != CURLE_OK) code = web_error(rc, r->url, text, e);
    else code = *ret_status / 100 == 2 ? ERR_OK : web_status_error(*ret_status, r->url, e);
    const char *link = code == ERR_OK && ret_next ? web_header(h, "link", -1) : NULL;
    if (ret_next && !(link && web_link_next(link, ret_next))) ret_next[0] = '\0';
    curl_easy_cleanup(h);
    curl_slist_free_all(headers);
    return code;
}

err_code web_get(const struct web_request *r, struct buf *ret_body, char ret_next[WEB_MAX_URL], struct err *e) {
    struct err why = {0};
    for (unsigned failures = 1;; failures++) {
        long status = 0, retry_after = 0;
        err_code code = web_try(r, ret_body, ret_next, &status, &retry_after, &why);
        bool passing = status != 0 || (code == ERR_NETWORK || code == ERR_TIMEOUT); /* an error that may go away */
        int wait = code == ERR_OK || !passing || (status == 0 && failures >= WEB_TRIES_WITHOUT_ANSWER)
                       ? -1
                       : web_retry(failures, status, retry_after);
        if (wait < 0) {
            if (e && code != ERR_OK) *e = why;
            return code;
        }
        if (r->on_waiting) r->on_waiting(r->user, why.text, (unsigned)wait);
        if (!web_wait((unsigned)wait, r->stop)) return err_set(e, ERR_CANCELLED, "interrupted");
    }
}
