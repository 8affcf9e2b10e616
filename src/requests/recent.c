/* SPDX-License-Identifier: MIT
 * See recent.h. */
#include "requests/recent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "model/card.h"
#include "requests/call_priv.h"
#include "requests/capture.h"

enum { RECENT_MAX = 200 };

struct recent_call {
    char id[LOG_REQUEST_SIZE];
    char key[LEDGER_ID_SIZE];  /* under which it is counted */
    char model[MODEL_NAME_SIZE]; /* "": none was found yet */
    char served[160];
    const char *api, *state;   /* literals */
    const char *cache;         /* what the cache said, a literal; NULL: nothing */
    int64_t started;           /* seconds since 1970 */
    clock_us took;
    uint64_t prompt, cached, completion, queued_us, prefill_us, decode_us;
};

struct recent {
    struct recent_call entries[RECENT_MAX]; /* the i-th that ended is at i % RECENT_MAX */
    size_t n;
};

struct recent *recent_create(void) { return MEM_NEW(struct recent); }

void recent_free(struct recent *r) { free(r); }

static const char *const state_words[CALL_STATES] = {
    [CALL_READING] = "reading",     [CALL_RECALLING] = "recalling", [CALL_ROUTING] = "routing", [CALL_LOOKING] = "looking",
    [CALL_WAITING] = "loading",     [CALL_RENDERING] = "rendering", [CALL_QUEUING] = "queued",  [CALL_RUNNING] = "running",
    [CALL_FINISHING] = "finishing", [CALL_ENDED] = "ended",
};

static void recent_fill(struct recent_call *e, const struct call *call, const char *state) {
    const struct api_usage *u = &call->answer.usage;
    const char *model = call->model != NULL ? call->model : call->request.model != NULL ? call->request.model : "";
    *e = (struct recent_call){.api = call->api->name,
                              .state = state,
                              .cache = call->cache_says,
                              .took = io_loop_now(call->gateway->loop) - call->started,
                              .prompt = u->prompt_tokens,
                              .cached = u->cached_tokens,
                              .completion = u->completion_tokens,
                              .queued_us = u->queued_us,
                              .prefill_us = u->prefill_us,
                              .decode_us = u->decode_us};
    e->started = clock_wall_s() - e->took / 1000000;
    snprintf(e->id, sizeof(e->id), "%s", call->name.id);
    memcpy(e->key, call->account, sizeof(e->key));
    snprintf(e->model, sizeof(e->model), "%.*s", (int)sizeof(e->model) - 1, model);
    snprintf(e->served, sizeof(e->served), "%.*s", (int)strcspn(call->served, ";"), call->served);
}

void recent_add(struct recent *r, const struct call *call, const char *how) { recent_fill(&r->entries[r->n++ % RECENT_MAX], call, how); }

static void put_call(const struct gateway *g, const struct recent_call *e, yyjson_mut_doc *doc, yyjson_mut_val *list) {
    yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
    const char *key = e->key;
    for (size_t i = 0; i < g->keys.n_made; i++)
        if (strncmp(g->keys.made[i].id, e->key, sizeof(e->key)) == 0) key = g->keys.made[i].name;
    yyjson_mut_obj_add_strcpy(doc, o, "id", e->id);
    yyjson_mut_obj_add_str(doc, o, "api", e->api);
    yyjson_mut_obj_add_str(doc, o, "state", e->state);
    yyjson_mut_obj_add_strcpy(doc, o, "model", e->model);
    yyjson_mut_obj_add_strcpy(doc, o, "key", key);
    yyjson_mut_obj_add_strcpy(doc, o, "served_by", e->served);
    if (e->cache != NULL) yyjson_mut_obj_add_str(doc, o, "cache", e->cache);
    yyjson_mut_obj_add_int(doc, o, "started", e->started);
    yyjson_mut_obj_add_real(doc, o, "seconds", (double)e->took / 1e6);
    yyjson_mut_obj_add_uint(doc, o, "prompt_tokens", e->prompt);
    yyjson_mut_obj_add_uint(doc, o, "cached_tokens", e->cached);
    yyjson_mut_obj_add_uint(doc, o, "completion_tokens", e->completion);
    yyjson_mut_obj_add_real(doc, o, "queued_ms", (double)e->queued_us / 1e3);
    yyjson_mut_obj_add_real(doc, o, "prefill_ms", (double)e->prefill_us / 1e3);
    yyjson_mut_obj_add_real(doc, o, "decode_ms", (double)e->decode_us / 1e3);
    if (capture_has(g->requests->captures, e->id)) yyjson_mut_obj_add_bool(doc, o, "captured", true);
}

yyjson_mut_val *recent_value(const struct gateway *g, yyjson_mut_doc *doc) {
    const struct recent *r = g->requests->recent;
    yyjson_mut_val *root = yyjson_mut_obj(doc), *now = yyjson_mut_obj_add_arr(doc, root, "running");
    yyjson_mut_val *before = yyjson_mut_obj_add_arr(doc, root, "ended");
    for (const struct call *call = g->requests->calls; call != NULL; call = call->next) {
        struct recent_call e;
        recent_fill(&e, call, state_words[call->state]);
        put_call(g, &e, doc, now);
    }
    for (size_t i = r->n; i > 0 && r->n - i < RECENT_MAX; i--) put_call(g, &r->entries[(i - 1) % RECENT_MAX], doc, before);
    return root;
}
