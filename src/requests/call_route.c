/* SPDX-License-Identifier: MIT
 * Which target of the routes file answers a call, and which one follows when it fails. See call_priv.h and routing/table.h.
 * Of the targets that may be asked, the first one that is ready is taken; if none is, the first one that can be loaded. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/parse.h"
#include "base/mem.h"
#include "base/str.h"
#include "cloud/cloud.h"
#include "gateway/find.h"
#include "requests/call_account.h"
#include "requests/call_route.h"

/* What a target changes in the request: the next target begins with this. */
struct call_before {
    struct api_prompt *prompts; /* in the request's arena */
    size_t n_prompts;
    yyjson_doc *sampling;
};

/* ---- what the client says ---- */

void call_route_begin(struct call *call) { call->route.table = routing_table_keep(aliases_table(call->gateway->aliases)); }

static err_code read_priority(const char *text, struct call_route *r, struct err *e) {
    int64_t priority = 0;
    if (!str_parse_i64(text, &priority) || priority < -ROUTING_MAX_PRIORITY || priority > ROUTING_MAX_PRIORITY)
        return err_set(e, ERR_INVALID, "header x-caravan-priority: expected a whole number from %d to %d, got \"%.40s\"",
                       -ROUTING_MAX_PRIORITY, ROUTING_MAX_PRIORITY, text);
    r->priority = (int32_t)priority;
    r->has_priority = true;
    return ERR_OK;
}

static err_code read_session(const char *text, struct call_route *r, struct err *e) {
    (void)e;
    if (*text != '\0') r->session = str_hash(text);
    return ERR_OK;
}

static err_code read_cloud(const char *text, struct call_route *r, struct err *e) {
    r->no_cloud = strcmp(text, "never") == 0;
    if (r->no_cloud || strcmp(text, "allowed") == 0) return ERR_OK;
    return err_set(e, ERR_INVALID, "header x-caravan-cloud: expected \"never\" or \"allowed\", got \"%.40s\"", text);
}

static err_code read_on_absent(const char *text, struct call_route *r, struct err *e) {
    bool refuses = strcmp(text, "refuse") == 0;
    r->on_absent = refuses ? ROUTING_ABSENT_REFUSE : ROUTING_ABSENT_WAIT;
    if (refuses || strcmp(text, "wait") == 0) return ERR_OK;
    return err_set(e, ERR_INVALID, "header x-caravan-on-absent: expected \"wait\" or \"refuse\", got \"%.40s\"", text);
}

/* What it says is heeded where the cache is asked (cache/wish.h). */
static err_code check_cache(const char *text, struct call_route *r, struct err *e) {
    (void)r;
    if (strcasecmp(text, "any") == 0) return ERR_OK;
    return err_set(e, ERR_INVALID,
                   "header x-caravan-cache: expected \"any\", got \"%.40s\"; Cache-Control: no-store or no-cache forbid the cache", text);
}

/* A key made by `caravan keys` has a priority, to which that of the alias is added. Its clients may ask for less, and not for more; and it
 * may be one that never goes to the cloud. */
static void heed_key(struct call *call) {
    struct call_route *r = &call->route;
    const struct ledger_key *key = gateway_keys_made_of(&call->gateway->keys, http_request(call->x));
    int32_t usual = (r->alias != NULL ? r->alias->priority : 0) + (key != NULL ? (int32_t)key->priority : 0);
    if (!r->has_priority || (key != NULL && r->priority > usual)) r->priority = usual;
    if (http_request(call->x)->behalf != NULL) r->priority = QUEUE_BACKGROUND;
    if (!call_account_may_leave(call)) r->no_cloud = true;
}

err_code call_route_headers(struct call *call, struct err *e) {
    static const struct {
        const char *name;
        err_code (*read)(const char *text, struct call_route *r, struct err *e);
    } headers[] = {{"x-caravan-priority", read_priority},
                   {"x-caravan-session", read_session},
                   {"x-caravan-cloud", read_cloud},
                   {"x-caravan-on-absent", read_on_absent},
                   {"x-caravan-cache", check_cache}};
    err_code code = ERR_OK;
    for (size_t i = 0; i < ARRAY_LEN(headers) && code == ERR_OK; i++) {
        const char *text = http_request_header(http_request(call->x), headers[i].name);
        if (text != NULL) code = headers[i].read(text, &call->route, e);
    }
    heed_key(call);
    return code;
}

struct call_route call_route_keep(const struct call_route *route) {
    struct call_route copy = *route;
    copy.before = NULL;
    routing_table_keep(copy.table);
    return copy;
}

void call_route_drop(struct call_route *route) {
    if (route->before != NULL) yyjson_doc_free(route->before->sampling);
    free(route->before);
    routing_table_drop(route->table);
    *route = (struct call_route){0};
}

/* The names by which the APIs' clients tell that requests belong together. */
static const char *session_of(yyjson_val *root) {
    const char *text = yyjson_get_str(yyjson_obj_get(root, "prompt_cache_key"));
    if (text == NULL) text = yyjson_get_str(yyjson_obj_get(root, "user"));
    if (text == NULL) text = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(root, "metadata"), "user_id"));
    return text;
}

yyjson_doc *call_route_take(struct call_route *route, yyjson_val *root) {
    const char *name = yyjson_get_str(yyjson_obj_get(root, "model")), *session = session_of(root);
    if (!yyjson_is_obj(root)) return NULL;
    if (route->session == 0 && session != NULL && *session != '\0') route->session = str_hash(session);
    if (name != NULL) route->alias = routing_table_find(route->table, name);
    return route->alias != NULL ? routing_apply(route->alias, root) : NULL;
}

/* ---- the targets ---- */

static const struct routing_target *target_at(const struct call_route *r, size_t at) { return &r->alias->targets[r->order[at]]; }

const char *call_route_model(const struct call *call) {
    const struct call_route *r = &call->route;
    return r->alias != NULL ? target_at(r, r->at)->model : call->request.model;
}

const struct upstream *call_route_upstream(const struct call *call) {
    return call->route.alias != NULL ? target_at(&call->route, call->route.at)->upstream : NULL;
}

bool call_route_may_leave(const struct call_route *r) {
    for (size_t i = 0; r->alias != NULL && !r->alias->no_cloud && !r->no_cloud && i < r->alias->n_targets; i++)
        if (r->alias->targets[i].upstream != NULL) return true;
    return false;
}

static bool may_use_cloud(const struct call *call) {
    enum api_work work = call->api->work;
    return call_route_may_leave(&call->route) && (work == API_WORK_TEXT || work == API_WORK_VECTORS);
}

enum readiness { TARGET_NONE, TARGET_LOADABLE, TARGET_READY };

static enum readiness readiness_of(const struct call *call, const struct routing_target *t) {
    const struct backend_model *model = NULL;
    if (t->upstream != NULL) return may_use_cloud(call) ? TARGET_READY : TARGET_NONE;
    if (call->request.only_upstream != NULL) return TARGET_NONE;
    if (gateway_find_model(call->gateway, t->model, &model, NULL) != ERR_OK) return TARGET_NONE;
    if (model->ready && call->request.n_media > 0 && !model->facts.sees && !model->facts.hears)
        return TARGET_NONE; /* another one may see */
    return model->ready ? TARGET_READY : model->loadable ? TARGET_LOADABLE : TARGET_NONE;
}

/* The target to ask, among that at `at` and those that follow when it is absent; n_targets: none can answer. */
static size_t usable_from(const struct call *call, size_t at) {
    const struct call_route *r = &call->route;
    size_t n = r->alias->n_targets, loadable = n;
    for (; at < n; at = routing_next(r->alias, r->order, at, ROUTING_ABSENT, may_use_cloud(call))) {
        enum readiness is = readiness_of(call, target_at(r, at));
        if (is == TARGET_READY) return at;
        if (is == TARGET_LOADABLE && loadable == n) loadable = at;
    }
    return loadable;
}

/* ---- before the first target ---- */

/* Puts text before the chat: into its first message, if that is a system's, else as a message of its own. */
static void add_system(struct api_request *r, const char *text) {
    yyjson_mut_val *first = yyjson_mut_arr_get_first(r->chat), *content = yyjson_mut_obj_get(first, "content");
    if (r->chat == NULL) return;
    if (yyjson_mut_equals_str(yyjson_mut_obj_get(first, "role"), "system") && yyjson_mut_is_str(content)) {
        struct buf both;
        buf_init(&both, SIZE_MAX - 1);
        buf_printf(&both, "%s\n\n", text);
        buf_append(&both, yyjson_mut_get_str(content), yyjson_mut_get_len(content));
        yyjson_mut_obj_put(first, yyjson_mut_str(r->doc, "content"), yyjson_mut_strncpy(r->doc, buf_cstr(&both), both.len));
        buf_done(&both);
        return;
    }
    api_chat_add(r, "system", text, strlen(text));
    yyjson_mut_arr_prepend(r->chat, yyjson_mut_arr_remove_last(r->chat));
}

static void keep_before(struct call *call) {
    struct api_request *r = &call->request;
    struct call_before *b = call->route.before = MEM_NEW(struct call_before);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, engine_sampling_to_json(&r->sampling, doc));
    b->sampling = yyjson_mut_doc_imut_copy(doc, NULL);
    yyjson_mut_doc_free(doc);
    b->n_prompts = r->n_prompts;
    b->prompts = arena_alloc(r->arena, (r->n_prompts + 1) * sizeof(*b->prompts));
    for (size_t i = 0; i < r->n_prompts; i++) b->prompts[i] = r->prompts[i];
}

/* Makes the request again what it was before its first target. */
static void restore_before(struct call *call) {
    const struct call_before *b = call->route.before;
    struct api_request *r = &call->request;
    engine_sampling_done(&r->sampling);
    engine_sampling_init(&r->sampling);
    engine_sampling_from_json(&r->sampling, yyjson_doc_get_root(b->sampling), NULL);
    r->n_prompts = b->n_prompts;
    for (size_t i = 0; i < b->n_prompts; i++) r->prompts[i] = b->prompts[i];
    free(call->model);
    free(call->tmpl);
    toolcall_format_free(call->output.format);
    call->model = call->tmpl = NULL;
    call->output = (struct output_options){0};
    call->form = (struct call_form){0};
    call->formed = call->asked_again = false;
    call->answer.usage = (struct api_usage){0};
    call->answer.model = call->route.alias->name;
    call->served[0] = '\0';
}

void call_route_choose(struct call *call) {
    struct call_route *r = &call->route;
    const struct routing_alias *a = r->alias;
    uint64_t draw = r->session != 0 ? r->session : ++call->gateway->requests->id_state;
    r->chosen = true;
    if (r->on_absent == ROUTING_ABSENT_WAIT) r->on_absent = a->on_absent;
    routing_order(a, draw, r->order);
    size_t at = usable_from(call, 0);
    r->at = at < a->n_targets ? at : 0;
    if (a->system != NULL) add_system(&call->request, a->system);
    if (a->n_targets > 1) keep_before(call);
}

bool call_route_is_slow(struct call *call, clock_us wait) {
    struct call_route *r = &call->route;
    if (r->before == NULL || call->given || r->priority == QUEUE_BACKGROUND) return false; /* who isn't waited for waits */
    uint32_t limit = routing_wait_limit(r->alias, r->order, r->at, may_use_cloud(call));
    if (limit == 0 || wait <= (clock_us)limit * 1000000) return false;
    size_t at = usable_from(call, routing_next(r->alias, r->order, r->at, ROUTING_WAIT, may_use_cloud(call)));
    if (at >= r->alias->n_targets) return false;
    r->at = at;
    restore_before(call);
    return true;
}

/* ---- after a failure ---- */

static size_t next_target(const struct call *call, err_code code) {
    const struct call_route *r = &call->route;
    const struct failure *f = failure_of_error(code);
    if (r->before == NULL || call->given || !f->moves) return SIZE_MAX;
    size_t at = usable_from(call, routing_next(r->alias, r->order, r->at, f->reason, may_use_cloud(call)));
    return at < r->alias->n_targets ? at : SIZE_MAX;
}

bool call_route_leaves(const struct call *call, err_code code) {
    return call->state >= CALL_WAITING && call->state < CALL_ENDED && next_target(call, code) != SIZE_MAX;
}

void call_route_next(struct call *call, err_code code) {
    size_t at = next_target(call, code);
    if (at != SIZE_MAX) call->route.at = at;
    restore_before(call);
}

/* Can this target go on with what `failed` has begun? */
static bool goes_on(const struct call *call, const struct routing_target *t, const struct routing_target *failed, err_code code) {
    const struct upstream *u = t->upstream;
    if (t == failed || !routing_is_same(t, failed) || readiness_of(call, t) == TARGET_NONE) return false;
    if (u == NULL) return failed->upstream != NULL; /* copies of the cluster's own replace each other by replay */
    return t->same != NULL && (t->when & 1u << failure_of_error(code)->reason) != 0 && call->gateway->cloud != NULL &&
           cloud_rest_s(call->gateway->cloud, u->name) == 0;
}

/* What an upstream says against an answer that is to be continued is no word about the client's own request. */
static bool may_move(err_code code, bool useless) {
    return failure_of_error(code)->moves || (useless && code != ERR_CANCELLED && code != ERR_QUOTA);
}

bool call_route_same(struct call *call, err_code code, bool useless) {
    struct call_route *r = &call->route;
    if (r->before == NULL || !may_move(code, useless)) return false;
    if (useless) r->useless |= 1u << r->at;
    for (size_t i = 0; i < r->alias->n_targets; i++) {
        if ((r->useless & 1u << i) != 0 || !goes_on(call, target_at(r, i), target_at(r, r->at), code)) continue;
        r->at = i;
        restore_before(call);
        return true;
    }
    return false;
}

void call_route_grows(struct call *call) { call->route.useless = 0; }

bool call_route_has_same(const struct call *call) {
    const struct call_route *r = &call->route;
    for (size_t i = 0; r->before != NULL && i < r->alias->n_targets; i++)
        if (r->alias->targets[i].same != NULL) return may_use_cloud(call);
    return false;
}
