/* SPDX-License-Identifier: MIT
 * Calls and the response cache: which calls may use it, what is recorded of an answer, and how a kept answer becomes this call's own. See
 * call_priv.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "gateway/find.h"
#include "os/os.h"
#include "requests/call_account.h"
#include "requests/call_cache.h"
#include "requests/call_route.h"

/* A call's part in the cache, from its question until it ends. */
struct call_cache {
    struct cache_request request;
    struct entry_writer writer;
    bool waits;     /* the answer to the question comes later */
    err_code code;  /* of a hit: the key's quota is used up, or ERR_OK */
    struct err err;
    bool records;   /* the call computes an answer that may be kept */
    uint64_t ids;   /* of a hit: from which the ids of its tool calls are made */
    uint32_t n_ids;
};

/* ---- a hit ---- */

static void cached_free(struct call *call) {
    struct api_answer *a = &call->answer;
    for (uint32_t i = 0; i < a->n_choices; i++) api_choice_done(&a->choices[i]);
    free(a->choices);
}

static err_code cached_start(struct call *call, struct err *e) {
    (void)call, (void)e;
    return ERR_OK;
}

/* The choices are there already, and there is nothing to compute. */
static const struct call_work call_work_cached = {.start = cached_start, .free = cached_free};

bool call_cache_hit(const struct call *call) { return call->work == &call_work_cached; }

/* An id for a tool call of this answer, in the form of the recorded one. An id of another form was written by the model, and stays. */
static void make_id(struct call_cache *cc, const char *recorded, char ret[TOOLCALL_MAX_ID]) {
    static const char prefix[] = "call_";
    enum { NINE = 9, OPENAI = 29 }; /* characters */
    size_t len = strlen(recorded);
    if (len == NINE) toolcall_make_id(TOOLCALL_IDS_NINE, cc->ids, cc->n_ids++, ret);
    else if (len == OPENAI && strncmp(recorded, prefix, strlen(prefix)) == 0)
        toolcall_make_id(TOOLCALL_IDS_OPENAI, cc->ids, cc->n_ids++, ret);
    else snprintf(ret, TOOLCALL_MAX_ID, "%s", recorded);
}

/* A copy of the token in a block of its own. Who collects the event owns it then. */
static struct api_token copy_token(const struct api_token *from) {
    struct api_token t = *from;
    size_t bytes = t.len;
    for (uint32_t i = 0; i < t.n_top; i++) bytes += t.top[i].len;
    t.block = mem_alloc(t.n_top * sizeof(*t.top) + bytes + 1);
    struct api_top *top = t.block;
    char *at = (char *)(top + t.n_top);
    t.piece = memcpy(at, from->piece, t.len);
    at += t.len;
    for (uint32_t i = 0; i < t.n_top; i++) {
        top[i] = from->top[i];
        top[i].piece = memcpy(at, from->top[i].piece, top[i].len);
        at += top[i].len;
    }
    t.top = top;
    return t;
}

static struct api_token *copy_tokens(const struct api_event *ev) {
    struct api_token *own = mem_calloc(ev->n_tokens + 1, sizeof(*own));
    for (size_t i = 0; i < ev->n_tokens; i++) own[i] = copy_token(&ev->tokens[i]);
    return own;
}

static void on_cached_event(void *user, const struct api_event *recorded, int stop) {
    struct call *call = user;
    struct api_event ev = *recorded;
    char id[TOOLCALL_MAX_ID];
    struct api_choice_text *c = &call->answer.choices[ev.choice];
    if (ev.kind == API_CALL) {
        make_id(call->cache, ev.id, id);
        ev.id = id;
    }
    if (ev.kind == API_FINISH) {
        c->finish = ev.finish;
        c->stop = stop >= 0 && (size_t)stop < call->request.n_stops ? &call->request.stops[stop] : NULL;
    }
    struct api_token *tokens = copy_tokens(&ev);
    ev.tokens = tokens;
    call_emit(call, &ev);
    for (size_t i = 0; i < ev.n_tokens && !call_collects(call); i++) free(tokens[i].block);
    free(tokens);
}

static void replay(struct call *call, const struct entry *entry, int64_t age_s) {
    struct api_answer *a = &call->answer;
    char age[24];
    snprintf(age, sizeof(age), "%" PRId64, age_s);
    call->cache_says = "hit";
    if (!http_stream_started(call->x)) http_response_header(call->x, "Age", age);
    metrics_count(&call->gateway->metrics, METRIC_CACHE_HITS, 1);
    os_random(&call->cache->ids, sizeof(call->cache->ids));
    call->work = &call_work_cached;
    snprintf(call->served, sizeof(call->served), "cache; model=%.256s", call->model);
    a->usage = entry->usage;
    a->choices = mem_calloc(entry->n_choices, sizeof(*a->choices));
    a->n_choices = entry->n_choices;
    for (uint32_t i = 0; i < a->n_choices; i++) api_choice_init(&a->choices[i]);
    entry_replay(entry, on_cached_event, call);
}

static void begin_to_record(struct call *call) {
    call->cache->records = true;
    call->cache_says = "miss";
    metrics_count(&call->gateway->metrics, METRIC_CACHE_MISSES, 1);
}

static void on_answer(void *user, const struct entry *entry, int64_t age_s) {
    struct call *call = user;
    struct call_cache *cc = call->cache;
    bool waited = cc->waits;
    cc->waits = false;
    if (entry == NULL) begin_to_record(call);
    else if ((cc->code = call_account_admit(call, 0, 0, &cc->err)) == ERR_OK) replay(call, entry, age_s); /* a request, and no tokens */
    if (waited) call_resume(call, entry != NULL ? CALL_FINISHING : CALL_WAITING, cc->code, &cc->err);
}

/* ---- the question ---- */

/* The day, for templates that tell the model the date: an answer of yesterday is not one of today. */
static const char *day_of(const char *tmpl, char *ret, size_t size) {
    struct tm day;
    time_t now = (time_t)clock_wall_s();
    if (tmpl == NULL || strstr(tmpl, "strftime_now") == NULL || localtime_r(&now, &day) == NULL) return NULL;
    return strftime(ret, size, "%Y-%m-%d", &day) > 0 ? ret : NULL;
}

static void make_key(const struct call *call, const struct backend_model *model, uint8_t ret[CACHE_KEY_SIZE]) {
    char day[16];
    const struct cache_key_parts parts = {.request = call->digest,
                                          .api = call->api->name,
                                          .weights = model->weights,
                                          .adapters = model->lora,
                                          .chat_template = model->chat_template,
                                          .engine = model->engine,
                                          .tenant = call->owner,
                                          .system = call->route.alias != NULL ? call->route.alias->system : NULL,
                                          .day = day_of(model->chat_template, day, sizeof(day))};
    key_make(&parts, ret);
}

/* Is there anything to keep, and would it be the same again? (An echoed prompt is not kept, and a picture at an
 * address may be another one tomorrow.) */
static bool may_use(const struct call *call, struct cache_wish *ret) {
    const struct api_request *r = &call->request;
    const struct http_request *http = http_request(call->x);
    const struct ledger_key *key = gateway_keys_made_of(&call->gateway->keys, http);
    *ret = cache_wish_read(http_request_header(http, "cache-control"), http_request_header(http, "x-caravan-cache"));
    ret->any |= key != NULL && (key->may & LEDGER_MAY(CACHE)) != 0;
    return call->gateway->cache != NULL && call->api->work == API_WORK_TEXT && ret->keep && !r->echo && !r->has_fetched &&
           (r->n_prompts > 0 || yyjson_mut_arr_size(r->chat) > 0) && cache_wish_allows(ret, r->sampling.temperature, r->has_seed);
}

void call_cache_bypass(struct call *call) {
    if (call->gateway->cache != NULL && call->cache_says == NULL) metrics_count(&call->gateway->metrics, METRIC_CACHE_BYPASSES, 1);
    call->cache_says = "bypass";
}

static void bypass(struct call *call) {
    call->looked = true;
    call_cache_bypass(call);
}

static err_code ask(struct call *call, const struct backend_model *model, const struct cache_wish *wish, enum call_state *next,
                    struct err *e) {
    struct call_cache *cc = call->cache = MEM_NEW(struct call_cache);
    uint8_t key[CACHE_KEY_SIZE];
    make_key(call, model, key);
    call_set_adapters(call, model);
    call->looked = true;
    call_set_model(call, model->id);
    entry_writer_init(&cc->writer);
    cache_service_ask(call->gateway->cache, key, wish, &cc->request, on_answer, call);
    if (cc->code != ERR_OK) *e = cc->err;
    else if (call_cache_hit(call)) *next = CALL_FINISHING;
    else if (!cc->records) *next = CALL_LOOKING;
    cc->waits = *next == CALL_LOOKING;
    return cc->code;
}

err_code call_cache_look(struct call *call, enum call_state *next, struct err *e) {
    const struct backend_model *model = NULL;
    struct cache_wish wish;
    *next = CALL_WAITING; /* which says what is wrong with the model's name, or that the key may not ask it */
    if (call->looked) return ERR_OK; /* the target that was looked for has failed */
    if (!may_use(call, &wish)) bypass(call);
    else if (call_account_find(call, call_route_model(call), &model, NULL) != ERR_OK) bypass(call);
    else if (call_account_may_ask(call, model->id, NULL) != ERR_OK) bypass(call);
    else if (model->weights != NULL) return ask(call, model, &wish, next, e);
    else if (model->ready) bypass(call);
    return ERR_OK; /* else the model is not known before it is loaded */
}

bool call_cache_waits(const struct call *call) { return call->cache != NULL && call->cache->waits; }

/* ---- the answer ---- */

void call_cache_record(struct call *call, const struct api_event *ev) {
    const struct api_request *r = &call->request;
    const struct text_stop *stop = call->answer.choices[ev->choice].stop;
    if (call->cache == NULL || !call->cache->records) return;
    entry_add(&call->cache->writer, ev, ev->kind == API_FINISH && stop != NULL ? (int)(stop - r->stops) : -1);
}

void call_cache_keep(struct call *call, bool fits) {
    struct call_cache *cc = call->cache;
    bool unchecked = call->request.unchecked || (call->request.stream && (call->form.partial_format || call->form.partial_tools));
    if (cc == NULL || !cc->records || !fits || unchecked) return;
    cc->records = false;
    cache_service_done(call->gateway->cache, &cc->request, &cc->writer, &call->answer.usage);
}

void call_cache_free(struct call *call) {
    struct call_cache *cc = call->cache;
    if (cc == NULL) return;
    cache_service_leave(call->gateway->cache, &cc->request);
    entry_writer_done(&cc->writer);
    free(cc);
    call->cache = NULL;
}
