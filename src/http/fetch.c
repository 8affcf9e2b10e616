/* SPDX-License-Identifier: MIT
 * See fetch.h. */
#include "http/fetch.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "http/web_priv.h"
#include "io/address.h"
#include "os/net.h"

static const char PUBLIC[] = "public";

/* ---- the owner's list ---- */

err_code http_fetch_check(const char *hosts, struct err *e) {
    const char *part, *at = hosts;
    size_t len, n = 0;
    while (*hosts != '\0' && str_next(&at, ',', &part, &len)) {
        bool odd = len == 0;
        for (size_t i = 0; i < len; i++) odd = odd || part[i] <= ' ' || part[i] == '/' || part[i] == '@' || part[i] == '*';
        if (odd) {
            err_set(e, ERR_INVALID, "\"%.*s\" is no host", (int)(len < 80 ? len : 80), part);
            err_hint(e, "expected public, or names of hosts: nas.lan,pictures.example.org:8080");
            return ERR_INVALID;
        }
        if (++n > HTTP_FETCH_MAX_HOSTS) return err_set(e, ERR_LIMIT, "at most %d hosts", HTTP_FETCH_MAX_HOSTS);
    }
    return ERR_OK;
}

static bool is_listed(const char *hosts, const char *word) {
    const char *part, *at = hosts;
    size_t len;
    while (*hosts != '\0' && str_next(&at, ',', &part, &len))
        if (len == strlen(word) && strncasecmp(part, word, len) == 0) return true;
    return false;
}

/* ---- one step ---- */

struct step {
    const char *hosts;
    char *host;                /* with its port, if the address has one */
    bool named, refused;       /* by the owner; because its address is not public */
    struct buf *body;
    char text[CURL_ERROR_SIZE];
};

/* Scheme and host of an address, and whether that host was named. */
static err_code look_at(struct step *s, const char *url, struct err *e) {
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    bool whole = parts != NULL && strlen(url) < WEB_MAX_URL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                 curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                 curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK;
    bool plain = whole && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    bool secret = whole && curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK;
    if (plain && curl_url_get(parts, CURLUPART_PORT, &port, 0) == CURLUE_OK) s->host = mem_printf("%s:%s", host, port);
    else if (plain) s->host = mem_strdup(host);
    s->named = plain && strcasecmp(host, PUBLIC) != 0 && (is_listed(s->hosts, host) || is_listed(s->hosts, s->host));
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_url_cleanup(parts);
    if (!plain) return err_set(e, ERR_INVALID, "no address that begins with http:// or https://");
    if (secret) return err_set(e, ERR_INVALID, "an address with a user name");
    if (s->named || is_listed(s->hosts, PUBLIC)) return ERR_OK;
    return err_set(e, ERR_INVALID, "nothing is fetched from \"%.100s\" here", s->host);
}

/* Every socket to a host is made here, so no other address is connected to. */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *to) {
    struct step *s = user;
    (void)purpose;
    if (!s->named && !io_address_is_public(&to->addr)) {
        s->refused = true;
        return CURL_SOCKET_BAD;
    }
    return os_socket(to->family, to->socktype);
}

static size_t on_body(char *data, size_t size, size_t n, void *user) {
    struct step *s = user;
    buf_append(s->body, data, size * n);
    return s->body->failed ? 0 : size * n;
}

static void set_up(CURL *h, struct step *s, const char *url, clock_us left) {
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_PROXY, "");
    curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, s);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_FETCH_CONNECT_MS);
    curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)(left / 1000) + 1);
    curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, s->text);
    if (strncasecmp(url, "https:", 6) == 0) web_trust_system(h);
}

static err_code step_error(const struct step *s, CURLcode rc, long status, struct err *e) {
    if (s->refused) return err_set(e, ERR_INVALID, "\"%.100s\" has no public address", s->host);
    if (s->body->failed) return err_set(e, ERR_INVALID, "the file at \"%.100s\" has more than %zu bytes", s->host, s->body->max);
    if (rc == CURLE_OPERATION_TIMEDOUT) return err_set(e, ERR_INVALID, "the file did not come from \"%.100s\" in time", s->host);
    if (rc != CURLE_OK)
        return err_set(e, ERR_INVALID, "cannot fetch from \"%.100s\": %s", s->host, s->text[0] ? s->text : curl_easy_strerror(rc));
    if (status / 100 == 3) return ERR_OK;
    if (status != 200) return err_set(e, ERR_INVALID, "\"%.100s\" answers with status %ld", s->host, status);
    return s->body->len > 0 ? ERR_OK : err_set(e, ERR_INVALID, "the file at \"%.100s\" is empty", s->host);
}

/* *ret_next: the address where the file is instead; owned; NULL: the file has come. */
static err_code take_step(const char *url, const char *hosts, clock_us left, struct buf *ret, char **ret_next, struct err *e) {
    struct step s = {.hosts = hosts, .body = ret};
    char *next = NULL;
    *ret_next = NULL;
    err_code code = look_at(&s, url, e);
    if (code == ERR_OK) {
        CURL *h = web_handle_bare(url);
        buf_clear(ret);
        set_up(h, &s, url, left);
        CURLcode rc = curl_easy_perform(h);
        code = step_error(&s, rc, web_status(h), e);
        if (code == ERR_OK && web_status(h) / 100 == 3) curl_easy_getinfo(h, CURLINFO_REDIRECT_URL, &next);
        if (code == ERR_OK && web_status(h) / 100 == 3 && next == NULL)
            code = err_set(e, ERR_INVALID, "\"%.100s\" answers with status %ld", s.host, web_status(h));
        if (next != NULL) *ret_next = mem_strdup(next);
        curl_easy_cleanup(h);
    }
    free(s.host);
    return code;
}

err_code http_fetch(const char *url, const char *hosts, clock_us limit, struct buf *ret, struct err *e) {
    clock_us end = clock_now() + limit;
    char *at = mem_strdup(url), *next = NULL;
    err_code code = ERR_OK;
    for (int steps = 0; code == ERR_OK && at != NULL; steps++) {
        clock_us now = clock_now(), left = now < end ? end - now : 0;
        if (steps > HTTP_FETCH_MAX_REDIRECTS) code = err_set(e, ERR_INVALID, "more than %d redirects", HTTP_FETCH_MAX_REDIRECTS);
        else if (left == 0) code = err_set(e, ERR_INVALID, "the file did not come in time");
        else code = take_step(at, hosts, left, ret, &next, e);
        bool encrypted = strncasecmp(at, "https:", 6) == 0;
        free(at);
        at = next;
        next = NULL;
        if (at != NULL && encrypted && strncasecmp(at, "https:", 6) != 0)
            code = err_set(e, ERR_INVALID, "a redirect from an encrypted address to a plain one");
    }
    free(at);
    return code;
}
