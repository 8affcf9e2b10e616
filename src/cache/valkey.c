/* SPDX-License-Identifier: MIT
 * A Valkey server as a store of answers. See valkey.h. */
#include "cache/valkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <hiredis/hiredis.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "cache/entry.h"
#include "io/stream.h"
#include "io/tls_client.h"

enum {
    CONNECT_MS = 2000,
    ANSWER_MS = 250,              /* that a request waits for the server */
    SILENCE_MS = 5000,            /* after which the server counts as gone: a long answer may be on its way to it */
    FIRST_PAUSE_MS = 250,
    LONGEST_PAUSE_MS = 30000,
    QUEUE = 32 << 20,             /* bytes that may wait to be sent */
    REPLY = ENTRY_MAX + 64 * 1024 /* bytes of a reply */
};

enum command_kind { COMMAND_GET, COMMAND_SET, COMMAND_HELLO };

/* A command whose reply has not come. Replies come in the order of the commands. */
struct command {
    struct list link;
    enum command_kind kind;
    uint8_t key[CACHE_KEY_SIZE];
    clock_us sent;
    bool given_up; /* GET: nobody waits for its reply any more */
};

struct valkey {
    struct io_loop *loop;
    struct cache_valkey_address address;
    char *password;
    cache_found_fn fn;
    void *user;
    struct io_dial *dial;
    struct io_conn *conn;
    struct io_tls_trust *trust; /* NULL: no TLS */
    struct io_tls_client *tls;  /* of the connection */
    struct io_timer *timer;  /* the next attempt, or the oldest command's end */
    redisReader *reader;
    size_t unread;           /* bytes of a reply that is not whole */
    struct list commands;
    uint64_t pause_ms;
    bool told;               /* the log has said that it is gone */
};

static void connect_later(struct valkey *v);

/* ---- the address ---- */

static err_code wrong(struct err *e, const char *why) {
    err_set(e, ERR_INVALID, "--cache-url: %s", why);
    err_hint(e, "write redis://HOST:PORT, redis://USER@HOST:PORT/DATABASE, or rediss:// for TLS");
    return ERR_INVALID;
}

static err_code take_user(const char *text, size_t len, struct cache_valkey_address *a, struct err *e) {
    if (memchr(text, ':', len) != NULL) {
        err_set(e, ERR_INVALID, "--cache-url: a password in a URL is shown to every user of this machine");
        err_hint(e, "put it into a file and name that with --cache-password-file, or set CARAVAN_CACHE_PASSWORD");
        return ERR_INVALID;
    }
    if (len >= sizeof(a->user)) return wrong(e, "the user's name is too long");
    memcpy(a->user, text, len);
    a->user[len] = '\0';
    return ERR_OK;
}

static err_code take_database(const char *text, struct cache_valkey_address *a, struct err *e) {
    int64_t number = 0;
    if (*text != '\0' && (!str_parse_i64(text, &number) || number < 0 || number > VALKEY_MAX_DATABASE))
        return wrong(e, "after the last / the number of a database is expected");
    a->database = (uint32_t)number;
    return ERR_OK;
}

static bool take_scheme(const char *url, size_t len, struct cache_valkey_address *a) {
    static const char *const plain[] = {"redis", "valkey"}, *const secure[] = {"rediss", "valkeys"};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        a->tls = strlen(secure[i]) == len && strncasecmp(url, secure[i], len) == 0;
        if (a->tls || (strlen(plain[i]) == len && strncasecmp(url, plain[i], len) == 0)) return true;
    }
    return false;
}

err_code cache_valkey_address(const char *url, struct cache_valkey_address *ret, struct err *e) {
    struct cache_valkey_address a = {0};
    err_code code = ERR_OK;
    const char *at = strstr(url, "://");
    if (at == NULL) return wrong(e, "it has no scheme");
    size_t scheme = (size_t)(at - url);
    at += 3;
    if (!take_scheme(url, scheme, &a)) return wrong(e, "its scheme is unknown");
    const char *user_end = strrchr(at, '@');
    if (user_end != NULL) code = take_user(at, (size_t)(user_end - at), &a, e);
    if (code != ERR_OK) return code;
    if (user_end != NULL) at = user_end + 1;
    const char *slash = strchr(at, '/');
    if (slash != NULL && (code = take_database(slash + 1, &a, e)) != ERR_OK) return code;
    char *place = mem_strndup(at, slash != NULL ? (size_t)(slash - at) : strlen(at));
    bool right = str_parse_address(place, NULL, VALKEY_PORT, a.host, &a.port);
    free(place);
    if (!right || a.port == 0) return wrong(e, "its host or port is missing or wrong");
    *ret = a;
    return ERR_OK;
}

/* ---- commands ---- */

/* Nobody waits for the reply any more. */
static void give_up(struct valkey *v, struct command *c) {
    if (c->kind != COMMAND_GET || c->given_up) return;
    c->given_up = true;
    v->fn(v->user, c->key, NULL, 0);
}

static clock_us later(clock_us from, uint64_t ms) { return from + (clock_us)ms * 1000; }

/* When the timer has something to do: the first request that waits gives up, or the oldest command has had no reply for too long. */
static void watch(struct valkey *v) {
    clock_us now = io_loop_now(v->loop), end = 0;
    for (LIST_EACH(link, &v->commands)) {
        const struct command *c = LIST_ENTRY(link, struct command, link);
        if (end == 0) end = later(c->sent, SILENCE_MS);
        if (c->kind != COMMAND_GET || c->given_up) continue;
        if (later(c->sent, ANSWER_MS) < end) end = later(c->sent, ANSWER_MS);
        break;
    }
    if (end == 0) io_timer_stop(v->timer);
    else io_timer_start(v->timer, end > now ? (end - now) / 1000 + 1 : 0, 0);
}

/* With TLS an error comes to light when the server's answer fails, too; then the connection is lost. */
static void send_bytes(struct valkey *v, const void *data, size_t len) {
    struct buf net;
    struct err e = {0};
    if (v->tls == NULL) {
        io_conn_write(v->conn, data, len);
        return;
    }
    buf_init(&net, QUEUE);
    if (io_tls_client_send(v->tls, data, len, &net, &e) != ERR_OK) log_debug("cache", "the cache server: %s", e.text);
    io_conn_write(v->conn, net.data, net.len);
    buf_done(&net);
}

static void send_command(struct valkey *v, enum command_kind kind, const uint8_t *key, int n, const char *const *words,
                         const size_t *lens) {
    char *text = NULL;
    long long len = redisFormatCommandArgv(&text, n, (const char **)(uintptr_t)words, lens);
    if (len < 0) return;
    struct command *c = MEM_NEW(struct command);
    c->kind = kind;
    c->sent = io_loop_now(v->loop);
    if (key != NULL) memcpy(c->key, key, CACHE_KEY_SIZE);
    list_push_back(&v->commands, &c->link);
    send_bytes(v, text, (size_t)len);
    redisFreeCommand(text);
    watch(v);
}

static void send_words(struct valkey *v, const char *const *words, int n) {
    size_t lens[3];
    for (int i = 0; i < n; i++) lens[i] = strlen(words[i]);
    send_command(v, COMMAND_HELLO, NULL, n, words, lens);
}

/* Logs in and chooses the database on a new connection. */
static void send_hello(struct valkey *v) {
    const struct cache_valkey_address *a = &v->address;
    char number[16];
    if (v->password != NULL && a->user[0] != '\0') send_words(v, (const char *const[]){"AUTH", a->user, v->password}, 3);
    else if (v->password != NULL) send_words(v, (const char *const[]){"AUTH", v->password}, 2);
    snprintf(number, sizeof(number), "%u", a->database);
    send_words(v, (const char *const[]){"SELECT", number}, 2); /* also with 0: its reply says that the server is there, and lets us in */
}

enum { NAME_SIZE = 8 + 2 * CACHE_KEY_SIZE + 1 };

static void name_of(const uint8_t key[CACHE_KEY_SIZE], char ret[NAME_SIZE]) {
    memcpy(ret, "caravan:", 8);
    str_hex(key, CACHE_KEY_SIZE, ret + 8);
}

static void valkey_get(void *self, const uint8_t key[CACHE_KEY_SIZE]) {
    struct valkey *v = self;
    char name[NAME_SIZE];
    if (v->conn == NULL) {
        v->fn(v->user, key, NULL, 0);
        return;
    }
    name_of(key, name);
    send_command(v, COMMAND_GET, key, 2, (const char *const[]){"GET", name}, (const size_t[]){3, NAME_SIZE - 1});
}

static void valkey_put(void *self, const uint8_t key[CACHE_KEY_SIZE], const void *data, size_t len, int64_t now, int64_t expires) {
    struct valkey *v = self;
    char name[NAME_SIZE], seconds[24];
    if (v->conn == NULL || io_conn_queued(v->conn) + len > QUEUE / 2) return; /* a slow server gets fewer answers */
    name_of(key, name);
    int n = snprintf(seconds, sizeof(seconds), "%lld", (long long)(expires - now));
    send_command(v, COMMAND_SET, key, 5, (const char *const[]){"SET", name, data, "EX", seconds},
                 (const size_t[]){3, NAME_SIZE - 1, len, 2, (size_t)n});
}

/* ---- the connection ---- */

/* Drops the connection. Requests that wait for a reply get none. */
static void disconnect(struct valkey *v) {
    io_conn_close(v->conn);
    io_tls_client_free(v->tls);
    v->conn = NULL;
    v->tls = NULL;
    if (v->reader != NULL) redisReaderFree(v->reader);
    v->reader = NULL;
    while (!list_empty(&v->commands)) {
        struct command *c = LIST_ENTRY(list_pop_front(&v->commands), struct command, link);
        give_up(v, c);
        free(c);
    }
}

static void lose(struct valkey *v, const char *why) {
    if (!v->told) log_warn("cache", "the cache server %s:%u: %s; answers are computed meanwhile", v->address.host, v->address.port, why);
    v->told = true;
    disconnect(v);
    connect_later(v);
}

/* A reply to the hello: the server is there, or doesn't let us in. */
static bool take_hello(struct valkey *v, const redisReply *r) {
    char why[160];
    if (r->type == REDIS_REPLY_ERROR) {
        str_line(r->str, r->len, why, sizeof(why));
        lose(v, why);
        return false;
    }
    if (v->told) log_info("cache", "the cache server %s:%u is there again", v->address.host, v->address.port);
    v->told = false;
    v->pause_ms = FIRST_PAUSE_MS;
    return true;
}

/* false: the connection is gone. */
static bool take_reply(struct valkey *v, const redisReply *r) {
    struct command *c = LIST_FIRST(&v->commands, struct command, link);
    if (c == NULL) {
        lose(v, "it answers what was not asked");
        return false;
    }
    if (c->kind == COMMAND_HELLO) {
        list_remove(&c->link);
        free(c);
        return take_hello(v, r);
    }
    list_remove(&c->link);
    if (r->type == REDIS_REPLY_ERROR) log_debug("cache", "the cache server refuses: %.*s", (int)(r->len < 120 ? r->len : 120), r->str);
    bool found = r->type == REDIS_REPLY_STRING;
    if (c->kind == COMMAND_GET && !c->given_up) v->fn(v->user, c->key, found ? r->str : NULL, found ? r->len : 0);
    free(c);
    return true;
}

static void take_bytes(struct valkey *v, const uint8_t *data, size_t len) {
    void *reply = NULL;
    v->unread += len;
    bool fits = v->unread <= REPLY && redisReaderFeed(v->reader, (const char *)data, len) == REDIS_OK;
    while (fits && (fits = redisReaderGetReply(v->reader, &reply) == REDIS_OK) && reply != NULL) {
        bool stays = take_reply(v, reply);
        freeReplyObject(reply);
        if (!stays) return;
        v->unread = v->reader->len - v->reader->pos;
    }
    if (!fits) lose(v, "what it sends is not the protocol");
    else watch(v);
}

static void on_read(void *user, const uint8_t *data, size_t len) {
    struct valkey *v = user;
    struct buf plain, net;
    struct err e = {0};
    if (v->tls == NULL) {
        take_bytes(v, data, len);
        return;
    }
    buf_init(&plain, REPLY);
    buf_init(&net, QUEUE);
    err_code code = io_tls_client_receive(v->tls, data, len, &plain, &net, &e);
    if (net.len > 0) io_conn_write(v->conn, net.data, net.len);
    if (plain.len > 0) take_bytes(v, plain.data, plain.len);
    if (code != ERR_OK && v->conn != NULL) lose(v, e.text);
    buf_done(&plain);
    buf_done(&net);
}

static void on_end(void *user, err_code code) {
    (void)code;
    lose(user, "the connection was lost");
}

static void on_dialled(void *user, err_code code, int fd, const struct err *e) {
    static const struct io_conn_callbacks callbacks = {.on_read = on_read, .on_end = on_end};
    struct valkey *v = user;
    v->dial = NULL;
    if (code != ERR_OK) {
        lose(v, e->text);
        return;
    }
    v->conn = io_conn_open(v->loop, fd, QUEUE, QUEUE, &callbacks, v);
    if (v->trust != NULL) v->tls = io_tls_client_create(v->trust, v->address.host);
    v->reader = redisReaderCreate();
    v->unread = 0;
    send_hello(v);
}

static void connect_now(struct valkey *v) { v->dial = io_dial_start(v->loop, v->address.host, v->address.port, CONNECT_MS, on_dialled, v); }

static void connect_later(struct valkey *v) {
    io_timer_start(v->timer, v->pause_ms, 0);
    v->pause_ms = 2 * v->pause_ms < LONGEST_PAUSE_MS ? 2 * v->pause_ms : LONGEST_PAUSE_MS;
}

static void on_answers_due(struct valkey *v) {
    clock_us now = io_loop_now(v->loop);
    const struct command *oldest = LIST_FIRST(&v->commands, struct command, link);
    if (oldest != NULL && later(oldest->sent, SILENCE_MS) <= now) {
        lose(v, "it does not answer");
        return;
    }
    for (LIST_EACH(link, &v->commands)) {
        struct command *c = LIST_ENTRY(link, struct command, link);
        if (later(c->sent, ANSWER_MS) <= now) give_up(v, c);
    }
    watch(v);
}

static void on_timer(void *user) {
    struct valkey *v = user;
    if (v->conn == NULL) connect_now(v);
    else on_answers_due(v);
}

/* ---- life ---- */

static void valkey_close(void *self) {
    struct valkey *v = self;
    v->fn = NULL;
    io_dial_cancel(v->dial);
    io_conn_close(v->conn);
    io_tls_client_free(v->tls);
    io_timer_close(v->timer);
    if (v->reader != NULL) redisReaderFree(v->reader);
    while (!list_empty(&v->commands)) free(LIST_ENTRY(list_pop_front(&v->commands), struct command, link));
    free(v->password);
    free(v);
}

struct cache_port cache_valkey_open(struct io_loop *loop, const struct cache_valkey_address *address, const char *password,
                                    struct io_tls_trust *trust, cache_found_fn fn, void *user) {
    struct valkey *v = MEM_NEW(struct valkey);
    *v = (struct valkey){
        .loop = loop, .address = *address, .trust = address->tls ? trust : NULL, .fn = fn, .user = user, .pause_ms = FIRST_PAUSE_MS};
    if (password != NULL && password[0] != '\0') v->password = mem_strdup(password);
    list_init(&v->commands);
    v->timer = io_timer_open(loop, on_timer, v);
    connect_now(v);
    return (struct cache_port){.self = v, .get = valkey_get, .put = valkey_put, .close = valkey_close};
}
