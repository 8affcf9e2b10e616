/* SPDX-License-Identifier: MIT
 * The real gateway on a backend without a model: for tests of HTTP and API edges that a real model cannot be made to show on demand. The
 * answer is scripted by the prompt itself: JSON between "@@" and "@@":
 *   pieces: ["te", {"control": "[X]"}]   the tokens' texts          hex: ["e282", "ac"]   the same as bytes
 *   repeat: N            that many times                            tail: "..."           one more token after all repeats
 *   stamp: true          each token's text is the time (monotonic, nanoseconds) at which it was made
 *   start_ms: N          queued before STARTED                      prefill_ms: N         between STARTED and the first token
 *   delay_ms: N          before each token
 *   fail: "ENGINE"       FAILED with that code                      fail_after: N         after that many tokens (default 0)
 *   refuse: "BUSY"       submit fails
 *   lose: [N, ...]       its place is lost (UNAVAILABLE) when it has just given its N-th token; sent again, it goes on after the
 *                        generated tokens, which must be those that it had given
 *   lose_as: "CRASH"     ... with this code instead
 * Without a script it tells a short story. FAKE_AWAIT=MS: models can be waited for, so long; never: they don't come. FAKE_REPLAY_LIMIT: the
 * gateway's, in seconds. FAKE_CACHE=on: answers are kept, in memory, or on the server FAKE_CACHE_URL. Usage: gateway_fake [PORT [KEY]];
 * prints "port N" when it listens; counters at /caravan/v1/status. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "cache/valkey.h"
#include "endpoint/server.h"
#include "io/watch.h"

struct backend_call {
    struct fake *fake;
    struct backend_call *next, **slot;
    struct io_timer *timer;
    backend_event_fn fn;
    void *user;
    struct request_event ev;
    struct {
        uint8_t bytes[64];
        size_t len;
        bool control;
    } *pieces; /* owned */
    size_t n_pieces, n_total, at;
    bool started, stamp;
    uint64_t start_ms, prefill_ms, delay_ms;
    err_code fail;
    int64_t fail_after;
    size_t first;       /* tokens generated elsewhere */
    uint64_t lose[16];
    size_t n_lose;
    err_code lose_as;
    bool length;
    uint32_t n_top;
    backend_text_fn text_fn;
    int32_t *tokens; /* to be told, and their bytes */
    char *bytes;
    bool embeds;        /* a vector is to be given yet */
    uint8_t vector[16];
};

struct fake {
    struct io_loop *loop;
    struct endpoint *endpoint;
    struct io_signal *term, *interrupt;
    struct backend_call *calls;
    uint64_t submitted, suspects, running, started, tokens, cancelled, finished, lost;
    bool lost_vectors;  /* texts sent again are given their vectors */
    bool waits_for_ever;
    uint64_t await_ms;
    uint64_t last_seed;
    bool keeps;         /* keep has been called; by the last call */
    int32_t keep_s;
};

static void add_piece(struct backend_call *c, const void *bytes, size_t len) {
    if (len > sizeof(c->pieces[0].bytes)) abort();
    c->pieces = mem_realloc(c->pieces, c->n_pieces + 1, sizeof(*c->pieces));
    memset(&c->pieces[c->n_pieces], 0, sizeof(*c->pieces));
    memcpy(c->pieces[c->n_pieces].bytes, bytes, len);
    c->pieces[c->n_pieces++].len = len;
}

static void add_hex(struct backend_call *c, const char *hex) {
    uint8_t bytes[64];
    size_t n = 0;
    for (; hex[0] != '\0' && hex[1] != '\0' && n < sizeof(bytes); hex += 2) {
        const char digits[3] = {hex[0], hex[1], '\0'};
        bytes[n++] = (uint8_t)strtoul(digits, NULL, 16);
    }
    add_piece(c, bytes, n);
}

static void add_story(struct backend_call *c, uint64_t seed) {
    static const char *const stories[] = {
        "Twelve llamas walked the long road, and each one carried a part of the load.",
        "The caravan rested at the well; in the morning every llama took up its pack again.",
        "One llama was tired, so the others shared what it carried, and nothing was lost.",
    };
    const char *text = stories[seed % ARRAY_LEN(stories)];
    for (size_t i = 0, len = strlen(text); i < len; i += 5) add_piece(c, text + i, len - i < 5 ? len - i : 5);
}

static uint64_t script_number(yyjson_val *script, const char *key, uint64_t otherwise) {
    yyjson_val *v = yyjson_obj_get(script, key);
    return v != NULL ? yyjson_get_uint(v) : otherwise;
}

static void read_script(struct backend_call *c, yyjson_val *script, uint64_t seed) {
    yyjson_val *v;
    size_t i, n;
    yyjson_arr_foreach(yyjson_obj_get(script, "pieces"), i, n, v) {
        yyjson_val *control = yyjson_obj_get(v, "control"), *text = control != NULL ? control : v;
        add_piece(c, yyjson_get_str(text), yyjson_get_len(text));
        c->pieces[c->n_pieces - 1].control = control != NULL;
    }
    yyjson_arr_foreach(yyjson_obj_get(script, "hex"), i, n, v) add_hex(c, yyjson_get_str(v));
    if (c->n_pieces == 0) add_story(c, seed);
    c->n_total = c->n_pieces * script_number(script, "repeat", 1);
    v = yyjson_obj_get(script, "tail");
    if (v != NULL) {
        if (c->n_total != c->n_pieces) abort();
        add_piece(c, yyjson_get_str(v), yyjson_get_len(v));
        c->n_total++;
    }
    c->stamp = yyjson_get_bool(yyjson_obj_get(script, "stamp"));
    c->delay_ms = script_number(script, "delay_ms", 0);
    c->start_ms = script_number(script, "start_ms", 0);
    c->prefill_ms = script_number(script, "prefill_ms", 0);
    v = yyjson_obj_get(script, "fail");
    if (v != NULL) c->fail = err_from_name(yyjson_get_str(v));
    c->fail_after = (int64_t)script_number(script, "fail_after", 0);
    v = yyjson_obj_get(script, "lose_as");
    c->lose_as = v != NULL ? err_from_name(yyjson_get_str(v)) : ERR_UNAVAILABLE;
    yyjson_arr_foreach(yyjson_obj_get(script, "lose"), i, n, v) if (c->n_lose < ARRAY_LEN(c->lose)) c->lose[c->n_lose++] =
        yyjson_get_uint(v);
}

static void call_end(struct backend_call *c) {
    *c->slot = c->next;
    if (c->next != NULL) c->next->slot = c->slot;
    c->fake->running--;
    io_timer_close(c->timer);
    free(c->tokens);
    free(c->bytes);
    free(c->pieces);
    free(c);
}

static bool is_lost(const struct backend_call *c) {
    for (size_t i = 0; i < c->n_lose; i++)
        if (c->at == c->lose[i] && (c->at > c->first || (c->embeds && !c->fake->lost_vectors))) return true;
    return false;
}

static void send_end(struct backend_call *c) {
    struct request_event ev = c->ev;
    backend_event_fn fn = c->fn;
    void *user = c->user;
    ev.kind = REQUEST_DONE;
    ev.finish = c->length ? REQUEST_FINISH_LENGTH : REQUEST_FINISH_STOP;
    ev.queued_us = 1000;
    ev.prefill_us = 2000;
    ev.decode_us = 3000;
    ev.n_hop = 1;
    ev.hops[0] = (struct request_hop){.stage = 0, .frames = ev.completion_tokens, .compute_us = 2500, .wait_us = 10, .hop_us = 20};
    if (c->fail != ERR_OK && (int64_t)c->at >= c->fail_after) {
        ev.kind = REQUEST_FAILED;
        err_set(&ev.err, c->fail, "the script made this request fail");
    }
    if (is_lost(c)) {
        ev.kind = REQUEST_FAILED;
        err_set(&ev.err, c->lose_as, "the script made the place be lost");
        c->fake->lost++;
        c->fake->lost_vectors |= c->embeds;
    }
    c->fake->finished++;
    call_end(c);
    fn(user, &ev);
}

/* The text is the time at which it is made: tests/bench/gateway_bench.c sees how long it was on its way. */
static void put_stamp(struct request_event *ev) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    ev->piece_len = (uint16_t)snprintf(ev->piece, sizeof(ev->piece), "%" PRId64 " ", ns);
}

/* One step: STARTED, a token, or the end. Sends at most one event, last, since the gateway may cancel inside it. */
static void step(void *user) {
    struct backend_call *c = user;
    bool fails = c->fail != ERR_OK && (int64_t)c->at >= c->fail_after;
    if (!c->started && !(fails && c->fail_after == 0)) {
        c->started = true;
        c->fake->started++;
        c->ev.kind = REQUEST_STARTED;
        io_timer_start(c->timer, c->prefill_ms > 0 ? c->prefill_ms : c->delay_ms, 0);
        c->fn(c->user, &c->ev);
        return;
    }
    if (is_lost(c)) {
        send_end(c);
        return;
    }
    if (c->embeds) {
        c->embeds = false;
        c->ev.kind = REQUEST_VECTOR;
        c->ev.vector = c->vector;
        c->ev.n_vector = (uint32_t)(sizeof(c->vector) / 4);
        io_timer_start(c->timer, c->delay_ms, 0);
        c->fn(c->user, &c->ev);
        return;
    }
    if (fails || c->at == c->n_total) {
        send_end(c);
        return;
    }
    size_t k = c->at % c->n_pieces;
    c->fake->tokens++;
    c->ev.kind = REQUEST_TOKEN;
    c->ev.token = (int32_t)(100 + k);
    c->ev.logprob = -0.25f * (float)(k + 1);
    c->ev.completion_tokens = (uint32_t)++c->at;
    c->ev.piece_len = (uint16_t)c->pieces[k].len;
    c->ev.control = c->pieces[k].control;
    memcpy(c->ev.piece, c->pieces[k].bytes, c->pieces[k].len);
    if (c->stamp) put_stamp(&c->ev);
    c->ev.n_top = (uint16_t)c->n_top;
    for (uint32_t i = 0; i < c->n_top; i++) {
        c->ev.top[i].token = (int32_t)(100 + k + i);
        c->ev.top[i].logprob = c->ev.logprob - (float)i;
        c->ev.top[i].piece_len = (uint16_t)(i == 0 ? c->pieces[k].len : 1);
        if (i == 0) memcpy(c->ev.top[i].piece, c->pieces[k].bytes, c->pieces[k].len);
        else c->ev.top[i].piece[0] = (char)('a' + i);
    }
    io_timer_start(c->timer, c->delay_ms, 0);
    c->fn(c->user, &c->ev);
}

/* It continues after the tokens that it gave: no token twice, none left out. */
static void go_on_behind(struct backend_call *c, const struct request *r) {
    c->at = c->first = r->n_generated;
    for (size_t i = 0; i < r->n_generated; i++)
        if (r->generated[i] != (int32_t)(100 + i % c->n_pieces)) abort();
}

/* The end of the script that begins here: after its brace, before "@@" (some agents put a blank between them). NULL: there is none. */
static const char *script_end(const char *from, const char *end) {
    const char *mark;
    for (const char *at = from; (mark = memmem(at, (size_t)(end - at), "@@", 2)) != NULL; at = mark + 2) {
        const char *last = mark;
        while (last > from && last[-1] == ' ') last--;
        if (last > from && last[-1] == '}') return last;
    }
    return NULL;
}

/* The last script: earlier ones of a chat have been answered. */
static void find_script(const struct request *r, const char **ret_from, const char **ret_to) {
    const char *at = r->text, *end = r->text != NULL ? r->text + r->text_len : NULL, *from, *to;
    while (at != NULL && (from = memmem(at, (size_t)(end - at), "@@{", 3)) != NULL && (to = script_end(from + 2, end)) != NULL) {
        *ret_from = from;
        *ret_to = to;
        at = to;
    }
}

/* A script that came in a result of a tool may stand in a JSON string. */
static err_code parse_script(const char *text, size_t len, yyjson_doc **ret, struct err *e) {
    if (len < 2 || text[1] != '\\') return json_parse(text, len, ret, e);
    char *quoted = mem_printf("\"%.*s\"", (int)len, text);
    yyjson_doc *string = yyjson_read(quoted, strlen(quoted), 0);
    const char *inner = yyjson_get_str(yyjson_doc_get_root(string));
    err_code code = json_parse(inner != NULL ? inner : "", inner != NULL ? strlen(inner) : 0, ret, e);
    yyjson_doc_free(string);
    free(quoted);
    return code;
}

static err_code fake_submit(void *self, const struct request *r, backend_event_fn fn, void *user, struct backend_call **ret,
                            struct err *e) {
    struct fake *f = self;
    const char *from = NULL, *to = NULL;
    find_script(r, &from, &to);
    yyjson_doc *doc = NULL;
    if (to != NULL && parse_script(from + 2, (size_t)(to - from - 2), &doc, e) != ERR_OK) return ERR_FORMAT;
    if (r->n_media > 0) {
        yyjson_doc_free(doc);
        return err_set(e, ERR_UNSUPPORTED, "pictures and sounds need a projector, and there is none here");
    }
    yyjson_val *script = yyjson_doc_get_root(doc), *refuse = yyjson_obj_get(script, "refuse");
    if (refuse != NULL) {
        err_code code = err_from_name(yyjson_get_str(refuse));
        yyjson_doc_free(doc);
        return err_set(e, code, "the script made this request be refused");
    }
    struct backend_call *c = MEM_NEW(struct backend_call);
    c->fake = f;
    c->fn = fn;
    c->user = user;
    read_script(c, script, r->sampling.seed);
    yyjson_doc_free(doc);
    if (r->max_tokens >= 0 && (size_t)r->max_tokens < c->n_total) {
        c->n_total = (size_t)r->max_tokens;
        c->length = true;
    }
    c->embeds = r->embed;
    for (size_t i = 0; c->embeds && i < sizeof(c->vector) / 4; i++) bytes_put_f32(c->vector + 4 * i, (float)(i + r->text_len));
    if (c->embeds) c->n_total = 0;
    go_on_behind(c, r);
    c->n_top = r->sampling.n_top_logprobs;
    c->ev.prompt_tokens = (uint32_t)(r->tokens != NULL ? r->n_tokens : r->text_len / 4 + 1);
    c->next = f->calls;
    c->slot = &f->calls;
    if (c->next != NULL) c->next->slot = &c->next;
    f->calls = c;
    f->submitted++;
    f->suspects += r->alone;
    f->running++;
    f->last_seed = r->sampling.seed;
    c->timer = io_timer_open(f->loop, step, c);
    io_timer_start(c->timer, c->start_ms, 0);
    *ret = c;
    return ERR_OK;
}

/* ---- a token for each byte ---- */

static void tell_text(void *user) {
    struct backend_call *c = user;
    backend_text_fn fn = c->text_fn;
    void *fn_user = c->user;
    size_t n = c->n_total;
    int32_t *tokens = c->tokens;
    char *bytes = c->bytes;
    uint32_t *ends = mem_calloc(n, sizeof(*ends));
    for (size_t i = 0; i < n; i++) ends[i] = (uint32_t)i + 1;
    c->tokens = NULL;
    c->bytes = NULL;
    call_end(c);
    fn(fn_user, ERR_OK, &(struct backend_text){.tokens = tokens, .bytes = bytes, .ends = ends, .n = n}, NULL);
    free(tokens);
    free(bytes);
    free(ends);
}

static struct backend_call *text_call(struct fake *f, size_t n, backend_text_fn fn, void *user) {
    struct backend_call *c = MEM_NEW(struct backend_call);
    *c = (struct backend_call){.fake = f, .next = f->calls, .slot = &f->calls, .text_fn = fn, .user = user, .n_total = n};
    if (c->next != NULL) c->next->slot = &c->next;
    f->calls = c;
    f->running++;
    c->tokens = mem_calloc(n, sizeof(*c->tokens));
    c->bytes = mem_alloc(n);
    c->timer = io_timer_open(f->loop, tell_text, c);
    io_timer_start(c->timer, 0, 0);
    return c;
}

static err_code fake_tokenize(void *self, const char *model, const char *text, size_t len, bool bos, bool special, backend_text_fn fn,
                              void *user, struct backend_call **ret, struct err *e) {
    (void)model;
    (void)special;
    (void)e;
    *ret = text_call(self, len + bos, fn, user);
    for (size_t i = 0; i < len; i++) (*ret)->tokens[i + bos] = (uint8_t)text[i];
    return ERR_OK;
}

static err_code fake_detokenize(void *self, const char *model, const int32_t *tokens, size_t n, backend_text_fn fn, void *user,
                                struct backend_call **ret, struct err *e) {
    (void)model;
    (void)e;
    *ret = text_call(self, n, fn, user);
    for (size_t i = 0; i < n; i++) (*ret)->bytes[i] = (char)tokens[i];
    return ERR_OK;
}

static void tell_ready(void *user) {
    struct backend_call *c = user;
    backend_text_fn fn = c->text_fn;
    void *fn_user = c->user;
    struct err e = {0};
    call_end(c);
    fn(fn_user, ERR_OK, NULL, &e);
}

static err_code fake_await(void *self, const char *model, backend_text_fn fn, void *user, struct backend_call **ret, struct err *e) {
    struct fake *f = self;
    (void)model;
    (void)e;
    *ret = text_call(self, 0, fn, user);
    io_timer_close((*ret)->timer);
    (*ret)->timer = io_timer_open(f->loop, tell_ready, *ret);
    if (!f->waits_for_ever) io_timer_start((*ret)->timer, f->await_ms, 0);
    return ERR_OK;
}

static void fake_cancel(void *self, struct backend_call *call) {
    struct fake *f = self;
    f->cancelled++;
    call_end(call);
}

/* Templates after those of three families, in short. */
static const char HERMES[] =
    "{% if tools %}<|im_start|>system\n<tools>{% for t in tools %}{{ t | tojson }}\n{% endfor %}</tools> Answer in <tool_call>.<|im_end|>\n"
    "{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>"
    "{\"name\": \"{{ c.function.name }}\", \"arguments\": {{ c.function.arguments | tojson }}}</tool_call>{% endfor %}{% endif "
    "%}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}";
static const char MISTRAL[] =
    "<s>{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}{% for m in messages %}{% if m.role == 'user' "
    "%}[INST]"
    "{{ m.content }}[/INST]{% elif m.role == 'tool' %}[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]{% elif m.tool_calls %}[TOOL_CALLS]"
    "{{ m.tool_calls | tojson }}</s>{% else %}{{ m.content }}</s>{% endif %}{% endfor %}";
static const char HARMONY[] =
    "{% for m in messages %}<|start|>{{ m.role }}<|channel|>final<|message|>{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}"
    "{% endif %}<|end|>{% endfor %}{% if tools %}{{ tools | tojson }}{% endif %}<|start|>assistant";

static const struct backend_model *fake_models(void *self, size_t *ret_n) {
    static const struct backend_model models[] = {
        {.id = "fake-model",
         .weights = "fake-model",
         .chat_template = "chatml",
         .bos = "",
         .eos = "<|im_end|>",
         .n_ctx = 4096,
         .n_vocab = 1000,
         .created = 1700000000,
         .ready = true,
         .facts = {.family = "fake",
                   .quantization = "Q4_K_M",
                   .digest = "f4ce",
                   .n_params = 7200000000,
                   .bytes = 4000000000,
                   .fim_pre = "<PRE>",
                   .fim_suf = "<SUF>",
                   .fim_mid = "<MID>",
                   .n_embd = 64,
                   .n_layer = 2,
                   .n_ctx_train = 8192}},
        {.id = "hermes",
         .weights = "hermes",
         .chat_template = HERMES,
         .bos = "",
         .eos = "<|im_end|>",
         .n_ctx = 4096,
         .n_vocab = 1000,
         .created = 1700000000,
         .ready = true},
        {.id = "mistral",
         .weights = "mistral",
         .chat_template = MISTRAL,
         .bos = "<s>",
         .eos = "</s>",
         .n_ctx = 4096,
         .n_vocab = 1000,
         .created = 1700000000,
         .ready = true},
        {.id = "harmony",
         .weights = "harmony",
         .chat_template = HARMONY,
         .bos = "",
         .eos = "<|return|>",
         .n_ctx = 4096,
         .n_vocab = 1000,
         .created = 1700000000,
         .ready = true},
        {.id = "hostile",
         .chat_template = "{% for i in range(99999) %}{% for k in range(99999) %}{% set last = k %}{% endfor %}{% endfor %}",
         .bos = "",
         .eos = "",
         .n_ctx = 4096,
         .n_vocab = 1000,
         .created = 1700000000,
         .ready = true},
        {.id = "org/loading", .chat_template = "chatml", .bos = "", .eos = "", .n_ctx = 4096, .n_vocab = 1000, .created = 1700000000},
        {.id = "plain", .chat_template = NULL, .bos = "", .eos = "", .n_ctx = 512, .n_vocab = 1000, .created = 1700000000, .ready = true},
    };
    (void)self;
    *ret_n = ARRAY_LEN(models);
    return models;
}

static void fake_keep(void *self, const char *model, int32_t seconds, bool may_unload) {
    struct fake *f = self;
    (void)model, (void)may_unload;
    f->keeps = true;
    f->keep_s = seconds;
}

static int64_t fake_expires(void *self, const char *model) {
    const struct fake *f = self;
    (void)model;
    return f->keeps && f->keep_s >= 0 ? clock_wall_s() + f->keep_s : INT64_MAX;
}

static yyjson_mut_val *fake_status(void *self, yyjson_mut_doc *doc) {
    struct fake *f = self;
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_uint(doc, o, "submitted", f->submitted);
    yyjson_mut_obj_add_uint(doc, o, "suspects", f->suspects);
    yyjson_mut_obj_add_uint(doc, o, "running", f->running);
    yyjson_mut_obj_add_uint(doc, o, "started", f->started);
    yyjson_mut_obj_add_uint(doc, o, "tokens", f->tokens);
    yyjson_mut_obj_add_uint(doc, o, "cancelled", f->cancelled);
    yyjson_mut_obj_add_uint(doc, o, "finished", f->finished);
    yyjson_mut_obj_add_uint(doc, o, "lost", f->lost);
    yyjson_mut_obj_add_uint(doc, o, "calls", endpoint_calls(f->endpoint));
    yyjson_mut_obj_add_uint(doc, o, "last_seed", f->last_seed);
    if (f->keeps) yyjson_mut_obj_add_int(doc, o, "keep_s", f->keep_s);
    return o;
}

static void on_drained(void *user) {
    struct fake *f = user;
    io_loop_stop(f->loop);
}

static void on_signal(void *user, int signo) {
    struct fake *f = user;
    if (signo == SIGTERM) endpoint_drain(f->endpoint, on_drained, f);
    else io_loop_stop(f->loop);
}

/* FAKE_CACHE, FAKE_CACHE_URL, CARAVAN_CACHE_PASSWORD. */
static void read_cache(struct endpoint_cache_options *o, struct cache_valkey_address *address) {
    const char *on = getenv("FAKE_CACHE"), *url = getenv("FAKE_CACHE_URL");
    *o = (struct endpoint_cache_options){.on = on != NULL && strcmp(on, "on") == 0, .ttl_s = 86400, .size = 64 << 20};
    if (url == NULL) return;
    if (cache_valkey_address(url, address, NULL) != ERR_OK) abort();
    o->server = address;
    o->password = getenv("CARAVAN_CACHE_PASSWORD");
}

int main(int argc, char **argv) {
    struct cache_valkey_address address;
    struct fake f = {.loop = io_loop_create()};
    struct endpoint_options o;
    endpoint_options_init(&o);
    struct gateway_key keys[2] = {{argc > 2 ? argv[2] : NULL, GATEWAY_MAY_ASK}, {getenv("FAKE_KEY"), GATEWAY_MAY_ASK}};
    o.port = (uint16_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : 0);
    o.keys = keys;
    o.n_keys = argc > 2 ? (keys[1].secret != NULL ? 2 : 1) : 0;
    o.ping_ms = 300;
    o.cors_origin = getenv("FAKE_CORS");
    read_cache(&o.cache, &address);
    const char *max = getenv("FAKE_MAX_CONNECTIONS");
    if (max != NULL) o.max_connections = (uint32_t)strtoul(max, NULL, 10);
    struct backend backend = {.self = &f,
                              .submit = fake_submit,
                              .cancel = fake_cancel,
                              .tokenize = fake_tokenize,
                              .detokenize = fake_detokenize,
                              .models = fake_models,
                              .status = fake_status,
                              .keep = fake_keep,
                              .expires = fake_expires};
    const char *await = getenv("FAKE_AWAIT"), *limit = getenv("FAKE_REPLAY_LIMIT");
    if (await != NULL) backend.await = fake_await;
    if (limit != NULL) o.replay_s = (uint32_t)strtoul(limit, NULL, 10);
    f.waits_for_ever = await != NULL && strcmp(await, "never") == 0;
    f.await_ms = await != NULL ? strtoul(await, NULL, 10) : 0;
    struct err e = {0};
    if (endpoint_create(f.loop, &o, &backend, &f.endpoint, &e) != ERR_OK) {
        fprintf(stderr, "gateway_fake: %s\n", e.text);
        return 1;
    }
    f.term = io_signal_open(f.loop, SIGTERM, on_signal, &f);
    f.interrupt = io_signal_open(f.loop, SIGINT, on_signal, &f);
    printf("port %u\n", endpoint_port(f.endpoint));
    fflush(stdout);
    io_loop_run(f.loop);
    endpoint_free(f.endpoint);
    io_signal_close(f.term);
    io_signal_close(f.interrupt);
    io_loop_free(f.loop);
    return f.calls == NULL ? 0 : 2;
}
