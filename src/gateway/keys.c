/* SPDX-License-Identifier: MIT
 * See keys.h. */
#include "gateway/keys.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
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
    return strcasecmp(host, "localhost") == 0 || (len > sizeof(suffix) && strcasecmp(host + len - (sizeof(suffix) - 1), suffix) == 0);
}

err_code gateway_check_bind(const char *host, size_t n_keys, struct err *e) {
    if (n_keys > 0 || is_loopback_address(host) || strcasecmp(host, "localhost") == 0) return ERR_OK;
    err_set(e, ERR_AUTH, "refusing to serve on \"%s\" without API keys: anyone on the network could use it", host);
    err_hint(e, "start it on 127.0.0.1, make a key with `caravan keys add NAME`, and start it anew; or use --api-key-file");
    return ERR_AUTH;
}

/* ---- keys ---- */

static const struct {
    const char *word;
    uint32_t may;
} scope_words[] = {{"admin", GATEWAY_MAY_ADMIN}};

static err_code take_word(const char *word, size_t len, uint32_t *may, struct err *e) {
    for (size_t i = 0; i < ARRAY_LEN(scope_words); i++)
        if (strlen(scope_words[i].word) == len && memcmp(scope_words[i].word, word, len) == 0) {
            *may |= scope_words[i].may;
            return ERR_OK;
        }
    err_set(e, ERR_INVALID, "\"%.*s\" after an API key is not known", (int)(len < 40 ? len : 40), word);
    err_hint(e, "write KEY, or KEY admin for one that may load and delete models, shut nodes out and change the cluster's key");
    return ERR_INVALID;
}

err_code gateway_key_parse(const char *text, size_t len, struct gateway_key *ret, struct err *e) {
    static const char blanks[] = " \t\r\n";
    const char *at = text, *end = text + len, *secret = NULL;
    size_t secret_len = 0;
    uint32_t may = GATEWAY_MAY_ASK;
    for (;;) {
        while (at < end && strchr(blanks, *at) != NULL) at++;
        const char *word = at;
        while (at < end && strchr(blanks, *at) == NULL) at++;
        if (word == at || *word == '#') break;
        if (secret == NULL) {
            secret = word;
            secret_len = (size_t)(at - word);
            continue;
        }
        err_code code = take_word(word, (size_t)(at - word), &may, e);
        if (code != ERR_OK) return code;
    }
    *ret = (struct gateway_key){.secret = secret != NULL ? mem_strndup(secret, secret_len) : NULL, .may = may};
    return ERR_OK;
}

void gateway_key_done(struct gateway_key *key) {
    free(key->secret);
    *key = (struct gateway_key){0};
}

void gateway_keys_init(struct gateway_keys *k, const struct gateway_key *keys, size_t n, const char *own) {
    *k = (struct gateway_keys){.keys = mem_calloc(n + 1, sizeof(*k->keys)), .needed = n > 0};
    for (; k->n < n; k->n++) k->keys[k->n] = (struct gateway_key){.secret = mem_strdup(keys[k->n].secret), .may = keys[k->n].may};
    if (own == NULL) return;
    k->keys[k->n] = (struct gateway_key){.secret = mem_strdup(own), .may = GATEWAY_MAY_ASK | GATEWAY_MAY_ADMIN};
    k->own = k->keys[k->n++].secret;
}

void gateway_keys_done(struct gateway_keys *k) {
    for (size_t i = 0; i < k->n; i++) gateway_key_done(&k->keys[i]);
    for (size_t i = 0; i < k->n_made; i++) ledger_key_done(&k->made[i]);
    free(k->keys);
    free(k->made);
    free(k->origins);
    *k = (struct gateway_keys){0};
}

/* Compares a key with the given text. The time depends only on the length of the text: not on where it differs, nor on the key's length. */
static bool same_secret(const char *key, const char *given) {
    size_t key_len = strlen(key), given_len = strlen(given);
    volatile unsigned char differs = key_len != given_len;
    for (size_t i = 0; i < given_len; i++) differs |= (unsigned char)(given[i] ^ key[key_len > 0 ? i % key_len : 0]);
    return differs == 0;
}

void gateway_keys_add(struct gateway_keys *k, const struct ledger_key *key) {
    k->made = mem_realloc(k->made, k->n_made + 1, sizeof(*k->made));
    k->made[k->n_made++] = *key;
    k->needed = true;
}

bool gateway_keys_remove(struct gateway_keys *k, const char *id) {
    for (size_t i = 0; i < k->n_made; i++) {
        if (strcmp(k->made[i].id, id) != 0) continue;
        ledger_key_done(&k->made[i]);
        k->made[i] = k->made[--k->n_made];
        return true; /* `needed` stays: the gateway of a cluster must not be open because its last key was removed */
    }
    return false;
}

/* The hash of the key that came with the request, which is asked for several times on the request's way, and computed once. */
static void hash_of_given(const struct http_request *r, const char *given, uint8_t ret[IO_SHA256_SIZE]) {
    static_assert(sizeof(r->note->hash) == IO_SHA256_SIZE, "a note has room for a hash");
    struct http_note own = {0}, *note = r->note != NULL ? r->note : &own;
    if (!note->known) ledger_key_hash(given, note->hash);
    note->known = true;
    memcpy(ret, note->hash, IO_SHA256_SIZE);
}

/* The key that came with the request, if it was made; NULL: it wasn't. Keys are compared by their hashes, so the time tells nothing of a
 * secret. */
static const struct ledger_key *find_made(const struct gateway_keys *k, const struct http_request *r, const char *given) {
    uint8_t hash[IO_SHA256_SIZE];
    if (k->n_made == 0) return NULL;
    hash_of_given(r, given, hash);
    for (size_t i = 0; i < k->n_made; i++)
        if (memcmp(k->made[i].hash, hash, sizeof(hash)) == 0) return &k->made[i];
    return NULL;
}

/* The permissions of this key, which may be one that was made; 0: it is unknown. Always compares all keys that were set. */
static uint32_t allowed(const struct gateway_keys *k, const char *given, const struct ledger_key *made) {
    uint32_t may = 0;
    for (size_t i = 0; i < k->n; i++) may |= same_secret(k->keys[i].secret, given) ? k->keys[i].may : 0;
    if (made != NULL) may |= GATEWAY_MAY_ASK | ((made->may & LEDGER_MAY(ADMIN)) != 0 ? GATEWAY_MAY_ADMIN : 0);
    return may;
}

const char *gateway_keys_given(const struct http_request *r) {
    static const char bearer[] = "Bearer ";
    const char *given = http_request_header(r, "authorization");
    if (given == NULL || strncasecmp(given, bearer, sizeof(bearer) - 1) != 0) return http_request_header(r, "x-api-key");
    return given + strspn(given + sizeof(bearer) - 1, " ") + sizeof(bearer) - 1;
}

/* ---- owners ---- */

static void owner_of_hash(const uint8_t hash[IO_SHA256_SIZE], char ret[GATEWAY_OWNER_SIZE]) {
    str_hex(hash, (GATEWAY_OWNER_SIZE - 1) / 2, ret);
}

static void owner_of_secret(const char *secret, char ret[GATEWAY_OWNER_SIZE]) {
    uint8_t hash[IO_SHA256_SIZE];
    ledger_key_hash(secret, hash);
    owner_of_hash(hash, ret);
}

static const struct ledger_key *made_of_owner(const struct gateway_keys *k, const char *owner) {
    char other[GATEWAY_OWNER_SIZE];
    for (size_t i = 0; i < k->n_made; i++) {
        owner_of_hash(k->made[i].hash, other);
        if (strcmp(other, owner) == 0) return &k->made[i];
    }
    return NULL;
}

static bool is_owner(const struct gateway_keys *k, const char *owner) {
    char other[GATEWAY_OWNER_SIZE];
    bool found = owner[0] == '\0' || made_of_owner(k, owner) != NULL;
    for (size_t i = 0; i < k->n && !found; i++) {
        owner_of_secret(k->keys[i].secret, other);
        found = strcmp(other, owner) == 0;
    }
    return found;
}

const struct ledger_key *gateway_keys_made_of(const struct gateway_keys *k, const struct http_request *r) {
    if (k->n_made == 0) return NULL;
    if (r->behalf != NULL) return made_of_owner(k, r->behalf);
    const char *given = gateway_keys_given(r);
    return given != NULL ? find_made(k, r, given) : NULL;
}

void gateway_keys_owner(const struct gateway_keys *k, const struct http_request *r, char ret[GATEWAY_OWNER_SIZE]) {
    const char *given = k->needed && r->behalf == NULL ? gateway_keys_given(r) : NULL;
    uint8_t hash[IO_SHA256_SIZE];
    ret[0] = '\0';
    if (r->behalf != NULL) snprintf(ret, GATEWAY_OWNER_SIZE, "%s", r->behalf);
    if (given == NULL || (k->own != NULL && same_secret(k->own, given))) return;
    hash_of_given(r, given, hash);
    owner_of_hash(hash, ret);
}

/* A request from within. The key may have gone since it was made. */
static err_code check_behalf(const struct gateway_keys *k, const char *owner, uint32_t may, struct err *e) {
    const struct ledger_key *made = made_of_owner(k, owner);
    if ((may & GATEWAY_MAY_ADMIN) != 0) return err_set(e, ERR_FORBIDDEN, "requests that nobody waits for may ask models only");
    if (!is_owner(k, owner)) return err_set(e, ERR_AUTH, "the API key for which this is asked is not known here any more");
    if (made == NULL || !ledger_key_expired(made, clock_wall_s())) return ERR_OK;
    return err_set(e, ERR_AUTH, "the API key \"%s\" has expired", made->name);
}

/* ---- checks ---- */

static err_code check_key(const struct gateway_keys *k, const struct http_request *r, uint32_t may, struct err *e) {
    const char *given = gateway_keys_given(r);
    if (given == NULL) {
        err_set(e, ERR_AUTH, "an API key is needed");
        err_hint(e, "send it as \"Authorization: Bearer KEY\"");
        return ERR_AUTH;
    }
    const struct ledger_key *made = find_made(k, r, given);
    if (made != NULL && ledger_key_expired(made, clock_wall_s())) return err_set(e, ERR_AUTH, "the API key \"%s\" has expired", made->name);
    uint32_t has = allowed(k, given, made);
    if (has == 0) return err_set(e, ERR_AUTH, "the API key is not known here");
    if ((has & may) == may) return ERR_OK;
    err_set(e, ERR_FORBIDDEN, "this API key may ask models, and is not marked \"admin\": %s \"%.120s\" is refused", r->method, r->path);
    err_hint(e, "`caravan keys add NAME --admin` makes an admin key; in the file of --api-key-file its line is: KEY admin");
    return ERR_FORBIDDEN;
}

/* Copies the host of "host", "host:port" or "[v6]:port". false: it is too long. */
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

/* Web pages have origins with http or https. Desktop programs have schemes of their own, which no web page can have. */
static bool is_local_origin(const char *origin) {
    if (strncasecmp(origin, "http://", 7) == 0) return is_local_host(origin + 7);
    if (strncasecmp(origin, "https://", 8) == 0) return is_local_host(origin + 8);
    return strcasecmp(origin, "null") != 0;
}

bool gateway_keys_allow_origin(const struct gateway_keys *k, const char *origin) {
    const char *part;
    size_t len;
    if (origin == NULL || k->origins == NULL) return false;
    if (is_local_origin(origin)) return true; /* where keys are set, the page needs one like any other client */
    for (const char *at = k->origins; str_next(&at, ' ', &part, &len);)
        if ((len == 1 && part[0] == '*') || (len == strlen(origin) && strncasecmp(part, origin, len) == 0)) return true;
    return false;
}

/* Did this server serve the page? Then its origin is the host of the request. */
static bool is_own_page(const struct http_request *r) {
    static const char scheme[] = "http://";
    const char *host = http_request_header(r, "host"), *origin = http_request_header(r, "origin");
    const char *site = http_request_header(r, "sec-fetch-site"); /* https://www.w3.org/TR/fetch-metadata/ */
    if (site != NULL && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0) return false;
    if (origin == NULL) return true; /* no web page, or a page that asks its own server */
    return host != NULL && strncasecmp(origin, scheme, sizeof(scheme) - 1) == 0 && strcasecmp(origin + sizeof(scheme) - 1, host) == 0;
}

static err_code check_local(const struct gateway_keys *k, const struct http_request *r, uint32_t may, struct err *e) {
    const char *host = http_request_header(r, "host"), *origin = http_request_header(r, "origin");
    if (host != NULL && !is_local_host(host)) {
        err_set(e, ERR_FORBIDDEN, "refusing a request for the host \"%.80s\": without API keys only loopback is served", host);
    } else if ((may & GATEWAY_MAY_ADMIN) != 0 && !is_own_page(r)) {
        err_set(e, ERR_FORBIDDEN,
                "refusing a change that a web page (\"%.80s\") asks for: without API keys only programs of this machine may",
                origin != NULL ? origin : "");
    } else if ((may & GATEWAY_MAY_ADMIN) == 0 && origin != NULL && !is_local_origin(origin) && !gateway_keys_allow_origin(k, origin)) {
        err_set(e, ERR_FORBIDDEN, "refusing a request of the web page \"%.80s\": without API keys only loopback is served", origin);
    } else {
        return ERR_OK;
    }
    err_hint(e, "make a key with `caravan keys add NAME`, and send it");
    return ERR_FORBIDDEN;
}

err_code gateway_keys_check(const struct gateway_keys *k, const struct http_request *r, uint32_t may, struct err *e) {
    if (r->behalf != NULL) return check_behalf(k, r->behalf, may, e);
    return k->needed ? check_key(k, r, may, e) : check_local(k, r, may, e);
}
