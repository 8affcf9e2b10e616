/* SPDX-License-Identifier: MIT
 * Keys, and loopback only without them. */
#include "gateway/api_keys.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "io/loop.h"
#include "io/sign.h"

static bool is_loopback_address(const char *host) {
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_local_name(const char *host) {
    size_t len = strlen(host);
    static const char suffix[] = ".localhost"; /* RFC 6761 section 6.3 */
    return strcasecmp(host, "localhost") == 0 || (len > sizeof suffix && strcasecmp(host + len - (sizeof suffix - 1), suffix) == 0);
}

err_code gateway_check_bind(const char *host, size_t n_keys, struct err *e) {
    if (n_keys > 0 || is_loopback_address(host) || strcasecmp(host, "localhost") == 0) return ERR_OK;
    err_set(e, ERR_AUTH, "refusing to serve on \"%s\" without API keys: anyone on the network could use it", host);
    err_hint(e, "set a key with --api-key, or serve on 127.0.0.1");
    return ERR_AUTH;
}

void gateway_keys_init(struct gateway_keys *k, const char *const *keys, size_t n) {
    *k = (struct gateway_keys){.keys = mem_calloc(n > 0 ? n : 1, sizeof *k->keys), .n = n};
    for (size_t i = 0; i < n; i++) k->keys[i] = mem_strdup(keys[i]);
}

void gateway_keys_done(struct gateway_keys *k) {
    for (size_t i = 0; i < k->n; i++) free(k->keys[i]);
    free(k->keys);
    free(k->origins);
    *k = (struct gateway_keys){0};
}

/* Time depends on the given text's length alone, not on where it differs nor on the key's length. */
static bool same_secret(const char *key, const char *given) {
    size_t key_len = strlen(key), given_len = strlen(given);
    volatile unsigned char differs = key_len != given_len;
    for (size_t i = 0; i < given_len; i++) differs |= (unsigned char)(given[i] ^ key[key_len > 0 ? i % key_len : 0]);
    return differs == 0;
}

static bool any_key(const struct gateway_keys *k, const char *given) {
    bool found = false;
    for (size_t i = 0; i < k->n; i++) found |= same_secret(k->keys[i], given);
    return found;
}

static const char *given_key(const struct io_http_request *r) {
    static const char bearer[] = "Bearer ";
    const char *given = io_http_request_header(r, "authorization");
    if (given == NULL || strncasecmp(given, bearer, sizeof bearer - 1) != 0) return io_http_request_header(r, "x-api-key");
    return given + strspn(given + sizeof bearer - 1, " ") + sizeof bearer - 1;
}

void gateway_keys_owner(const struct gateway_keys *k, const struct io_http_request *r, char ret[GATEWAY_OWNER_SIZE]) {
    uint8_t hash[IO_SHA256_SIZE];
    const char *given = k->n > 0 ? given_key(r) : NULL;
    ret[0] = '\0';
    if (given == NULL) return;
    io_sha256(given, strlen(given), hash);
    for (size_t i = 0; i < (GATEWAY_OWNER_SIZE - 1) / 2; i++) snprintf(ret + 2 * i, 3, "%02x", hash[i]);
}

static err_code check_key(const struct gateway_keys *k, const struct io_http_request *r, struct err *e) {
    const char *given = given_key(r);
    if (given == NULL) {
        err_set(e, ERR_AUTH, "an API key is needed");
        err_hint(e, "send it as \"Authorization: Bearer KEY\"");
        return ERR_AUTH;
    }
    return any_key(k, given) ? ERR_OK : err_set(e, ERR_AUTH, "the API key is not known here");
}

/* The host of "host", "host:port", "[v6]:port": false when it doesn't fit. */
static bool take_host(const char *text, char host[STR_HOST_MAX]) {
    uint16_t port;
    char *authority = mem_strndup(text, strcspn(text, "/"));
    bool ok = str_parse_address(authority, NULL, 80, host, &port);
    free(authority);
    return ok;
}

static bool is_local_host(const char *authority) {
    char host[STR_HOST_MAX];
    return take_host(authority, host) && (is_loopback_address(host) || is_local_name(host));
}

/* A page of the web has an http or https origin; desktop programs have schemes of their own, and those are not the web's to claim. */
static bool is_local_origin(const char *origin) {
    if (strncasecmp(origin, "http://", 7) == 0) return is_local_host(origin + 7);
    if (strncasecmp(origin, "https://", 8) == 0) return is_local_host(origin + 8);
    return strcasecmp(origin, "null") != 0;
}

bool gateway_keys_allow_origin(const struct gateway_keys *k, const char *origin) {
    const char *part;
    size_t len;
    if (origin == NULL || k->origins == NULL) return false;
    for (const char *at = k->origins; str_next(&at, ' ', &part, &len);)
        if ((len == 1 && part[0] == '*') || (len == strlen(origin) && strncasecmp(part, origin, len) == 0)) return true;
    return false;
}

static err_code check_local(const struct gateway_keys *k, const struct io_http_request *r, struct err *e) {
    const char *host = io_http_request_header(r, "host"), *origin = io_http_request_header(r, "origin");
    if (host != NULL && !is_local_host(host)) {
        err_set(e, ERR_AUTH, "refusing a request for the host \"%.80s\": without API keys only loopback is served", host);
    } else if (origin != NULL && !is_local_origin(origin) && !gateway_keys_allow_origin(k, origin)) {
        err_set(e, ERR_AUTH, "refusing a request of the web page \"%.80s\": without API keys only loopback is served", origin);
    } else {
        return ERR_OK;
    }
    err_hint(e, "set a key with --api-key to allow it");
    return ERR_AUTH;
}

err_code gateway_keys_check(const struct gateway_keys *k, const struct io_http_request *r, struct err *e) {
    return k->n > 0 ? check_key(k, r, e) : check_local(k, r, e);
}
