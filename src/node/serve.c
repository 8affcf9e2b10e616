/* SPDX-License-Identifier: MIT
 * The coordinator's side of a model: opens its header, gives plan/instance what it needs to know, and carries its actions out. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/types.h"
#include "node/node_priv.h"

enum { FAILURES = 3 }; /* loads in a row that came to nothing: requests no longer wait for it */
#define FAREWELL_US 5000000u /* so long a head's node may take to end its requests before the slices go all the same */
#define LOST_US     5000000u /* so long a node that was lost is waited for before requests are told that there is no room */

static void serve_describe(struct node *n, struct served *s) {
    struct record_model *m = &s->record;
    const struct model_gguf *g = s->file->gguf;
    const char *text;
    size_t len;
    snprintf(m->name, sizeof(m->name), "%s", s->file->card.name);
    snprintf(m->instance, sizeof(m->instance), "%.12s-%08x-%u", model_gguf_id(g), (unsigned)join_tag(n->join), ++n->count_served);
    if (s->replica == 0 && model_kv_str(model_gguf_find(g, "tokenizer.chat_template"), &text, &len) && len <= RECORD_MAX_TEMPLATE)
        m->chat_template = mem_strndup(text, len);
    model_token_text_of(g, "tokenizer.ggml.bos_token_id", m->bos, sizeof(m->bos));
    model_token_text_of(g, "tokenizer.ggml.eos_token_id", m->eos, sizeof(m->eos));
    m->n_ctx = s->shape.n_ctx;
    m->n_vocab = s->file->layout->n_vocab;
    m->n_layer = s->file->layout->n_layer;
    m->created = clock_wall_s();
    m->head = n->id;
    model_facts_make(g, s->file->layout, &m->facts);
    m->replica = s->replica;
    wish_set(&m->wish, WISH_CTX, s->shape.n_ctx);
    if (!wish_says(&m->wish, WISH_ASKED)) wish_set(&m->wish, WISH_ASKED, claims_now(n, m->name));
}

void serve_own_wish(const struct node *n, struct load_wish *ret) {
    const struct node_config *c = n->config;
    *ret = (struct load_wish){0};
    wish_set_text(ret, WISH_PLACEMENT, c->placement);
    if (c->load.n_ctx) wish_set(ret, WISH_CTX, c->load.n_ctx);
    wish_set(ret, WISH_PARALLEL, c->load.n_seq);
    wish_set(ret, WISH_REPLICAS, 1);
    wish_set(ret, WISH_KEPT, false);
    wish_set(ret, WISH_PINNED, false);
    wish_set(ret, WISH_BATCH, c->load.n_batch);
    wish_set(ret, WISH_UBATCH, c->load.n_ubatch);
    wish_set_text(ret, WISH_CACHE_TYPE_K, c->load.cache_type_k);
    wish_set_text(ret, WISH_CACHE_TYPE_V, c->load.cache_type_v);
    wish_set_text(ret, WISH_FLASH_ATTN, c->load.flash_attn);
    wish_set_text(ret, WISH_POOLING, c->load.pooling);
    wish_set(ret, WISH_EXACT, c->load.exact);
    wish_set_text(ret, WISH_WIRE_TYPE, c->dtype_auto ? "auto" : frame_dtype_name(c->dtype));
    wish_set(ret, WISH_LATENCY_BUDGET, c->latency_ms);
    wish_set(ret, WISH_PREFIX_CACHE, c->prefix_cache);
    wish_set(ret, WISH_SPECULATE, c->n_draft);
    wish_set(ret, WISH_SPECULATE_ALWAYS, c->draft_always);
}

/* How stages load it, but for what each node chooses by itself (hold_own_hardware). */
static void serve_load_options(const struct node *n, const struct load_wish *w, struct engine_load *ret) {
    *ret = n->config->load;
    ret->n_ctx = w->ctx;
    ret->n_seq = w->parallel;
    ret->n_batch = w->batch;
    ret->n_ubatch = w->ubatch;
    ret->exact = w->exact;
    ret->n_rewind = w->speculate_always ? w->speculate : 0; /* copies of a state are dear: only where they are asked for */
    snprintf(ret->cache_type_k, sizeof(ret->cache_type_k), "%s", w->cache_type_k);
    snprintf(ret->cache_type_v, sizeof(ret->cache_type_v), "%s", w->cache_type_v);
    snprintf(ret->flash_attn, sizeof(ret->flash_attn), "%s", w->flash_attn);
    snprintf(ret->pooling, sizeof(ret->pooling), "%s", w->pooling);
}

static err_code serve_shape(struct node *n, struct served *s, struct err *e) {
    struct engine_load load;
    serve_load_options(n, &s->record.wish, &load);
    uint32_t trained = s->file->layout->n_ctx_train ? s->file->layout->n_ctx_train : 4096;
    s->shape = (struct model_load_shape){.n_ctx = load.n_ctx       ? load.n_ctx
                                                  : trained < 4096 ? trained
                                                                   : 4096,
                                         .n_seq = load.n_seq,
                                         .streams = load.exact};
    s->shape.n_ubatch = engine_load_ubatch(&load);
    if (!model_type_parse(load.cache_type_k, &s->shape.type_k))
        return err_set(e, ERR_INVALID, "cache type \"%s\" is not one of ggml's", load.cache_type_k);
    if (!model_type_parse(load.cache_type_v, &s->shape.type_v))
        return err_set(e, ERR_INVALID, "cache type \"%s\" is not one of ggml's", load.cache_type_v);
    return ERR_OK;
}

static void serve_free(struct node *n, struct served *s) {
    for (size_t i = 0; i < n->n_served; i++)
        if (n->served[i] == s) {
            memmove(&n->served[i], &n->served[i + 1], (--n->n_served - i) * sizeof(n->served[0]));
            break;
        }
    if (n->named == s) n->named = NULL;
    instance_free(s->instance);
    plan_source_free(s->source);
    free(s->record.chat_template);
    free(s);
}

err_code serve_open(struct node *n, struct serve_file *file, const struct load_wish *wish, uint32_t replica, struct served **ret,
                    struct err *e) {
    if (n->n_served == NODE_MAX_SERVED) {
        err_set(e, ERR_LIMIT, "this node coordinates %d models already", NODE_MAX_SERVED);
        err_hint(e, "unload one of them: caravan unload MODEL");
        return ERR_LIMIT;
    }
    struct served *s = MEM_NEW(struct served);
    struct load_wish own;
    struct plan_wish plan = {0};
    serve_own_wish(n, &own);
    s->record.wish = *wish;
    wish_merge(&s->record.wish, &own);
    s->replica = replica;
    s->file = file;
    err_code code = plan_wish_parse(s->record.wish.placement, &plan, e);
    if (code == ERR_OK) code = serve_shape(n, s, e);
    if (code != ERR_OK) {
        free(s);
        return code;
    }
    serve_describe(n, s);
    s->source = plan_source_create(s->file->layout, &s->shape, s->record.name);
    learned_correct(n, s->file->layout->arch, s->source);
    plan.streams = s->shape.n_seq;
    plan.work = PLAN_LOOP_WORK;
    plan.link = links_between;
    plan.link_user = n;
    s->plan_wish = plan;
    s->instance = instance_create(plan_source_model(s->source), &plan, join_tag(n->join));
    n->served[n->n_served++] = s;
    *ret = s;
    return ERR_OK;
}

void serve_free_all(struct node *n) {
    while (n->farewells) {
        struct farewell *f = n->farewells;
        n->farewells = f->next;
        free(f);
    }
    while (n->n_served > 0) serve_free(n, n->served[n->n_served - 1]);
}

struct served *serve_find(const struct node *n, const char *instance) {
    for (size_t i = 0; i < n->n_served; i++)
        if (strcmp(n->served[i]->record.instance, instance) == 0) return n->served[i];
    return NULL;
}

/* ---- carrying actions out ---- */

static void serve_order(struct node *n, struct served *s, uint32_t stage, struct stage_order *o) {
    const struct plan *p = instance_plan(s->instance);
    const struct load_wish *w = &s->record.wish;
    stage_order_init(o);
    snprintf(o->instance, sizeof(o->instance), "%s", s->record.instance);
    snprintf(o->model, sizeof(o->model), "%s", model_gguf_id(s->file->gguf));
    snprintf(o->path, sizeof(o->path), "%s", s->file->path);
    o->epoch = instance_epoch(s->instance);
    o->first = p->stages[stage].first;
    o->end = p->stages[stage].end;
    o->stage = stage;
    o->n_stage = p->n_stage;
    o->need = p->stages[stage].bytes;
    serve_load_options(n, w, &o->load);
    o->dtype = learned_wire(n, s);
    o->spin_us = n->config->spin_us;
    o->latency_ms = w->latency_budget;
    o->prefix_cache = w->prefix_cache;
    o->n_draft = w->speculate;
    o->draft_always = w->speculate_always;
    o->source_node = n->id;
    uint64_t next = instance_node(s->instance, (stage + 1) % p->n_stage)->id;
    o->next_node = next;
    o->prev_node = instance_node(s->instance, (stage + p->n_stage - 1) % p->n_stage)->id;
    struct control_peer peer;
    if (control_find(n->control, next, &peer)) {
        snprintf(o->next_host, sizeof(o->next_host), "%s", peer.host);
        o->next_port = peer.port;
    }
    o->connect_timeout_ms = 600000; /* the slowest node decides: its weights may have to travel first */
}

static void serve_failed(struct served *s, const struct instance_action *a, const char *why) {
    struct err e;
    err_set(&e, ERR_NETWORK, "%s", why);
    instance_stage_failed(s->instance, clock_now(), a->node, a->epoch, a->stage, &e);
}

static void serve_load(struct node *n, struct served *s, const struct instance_action *a) {
    struct stage_order order;
    if (a->epoch != instance_epoch(s->instance) || a->stage >= instance_plan(s->instance)->n_stage) return; /* overtaken */
    serve_order(n, s, a->stage, &order);
    if (a->node == n->id) {
        if (a->stage == 0 && s == n->named) snprintf(order.draft, sizeof(order.draft), "%s", n->config->draft);
        hold_start(n, n->id, &order);
        return;
    }
    if (a->stage == 0 && s == n->named && n->config->draft[0])
        log_warn("node", "the draft model is not used: the first layers are on another node");
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_LOAD));
    stage_order_encode(&order, &b);
    if (!control_send(n->control, a->node, FRAME_LOAD, a->epoch, b.data, b.len)) serve_failed(s, a, "its node cannot be reached");
    buf_done(&b);
}

enum unload_how {
    UNLOAD_LOST,    /* the epoch is over: what it was asked may go on in another one */
    UNLOAD_IF_IDLE,
    UNLOAD_FAREWELL, /* somebody wants it gone: what it was asked ends, and that is answered; the slice stays until the next order */
    UNLOAD_FOR_GOOD  /* so, and the slice goes */
};

static void serve_unload(struct node *n, const char *instance, uint64_t node, uint64_t epoch, enum unload_how how) {
    static const char *const fields[] = {[UNLOAD_LOST] = "",
                                         [UNLOAD_IF_IDLE] = ",\"if_idle\":true",
                                         [UNLOAD_FAREWELL] = ",\"for_good\":true,\"farewell\":true",
                                         [UNLOAD_FOR_GOOD] = ",\"for_good\":true"};
    if (node == n->id) {
        if (how == UNLOAD_IF_IDLE) hold_let_go(n, n->id, instance, epoch);
        else if (how == UNLOAD_FOR_GOOD) hold_end(n, instance, epoch);
        else hold_drop(n, instance, epoch);
        return;
    }
    char text[128];
    int len = snprintf(text, sizeof(text), "{\"instance\":\"%s\"%s}", instance, fields[how]);
    control_send(n->control, node, FRAME_UNLOAD, epoch, text, (size_t)len);
}

static void farewell_end(struct node *n, struct farewell **at) {
    struct farewell *f = *at;
    *at = f->next;
    for (uint32_t i = 0; i < f->n_nodes; i++) serve_unload(n, f->instance, f->nodes[i], f->epoch, UNLOAD_FOR_GOOD);
    free(f);
}

void serve_farewells(struct node *n) {
    struct control_peer peer;
    for (struct farewell **at = &n->farewells; *at;)
        if (clock_now() >= (*at)->until || !control_find(n->control, (*at)->head, &peer)) farewell_end(n, at);
        else at = &(*at)->next;
}

static void farewell_report(struct node *n, uint64_t node, const struct stage_report *r) {
    for (struct farewell **at = &n->farewells; *at; at = &(*at)->next)
        if (r->failed && r->stage == 0 && node == (*at)->head && r->epoch == (*at)->epoch && strcmp(r->instance, (*at)->instance) == 0) {
            farewell_end(n, at);
            return;
        }
}

void serve_close(struct node *n, struct served *s) {
    const struct plan *p = instance_plan(s->instance);
    struct farewell *f = mem_zalloc(sizeof(*f) + p->n_stage * sizeof(f->nodes[0]));
    snprintf(f->instance, sizeof(f->instance), "%s", s->record.instance);
    f->epoch = instance_epoch(s->instance);
    for (uint32_t i = 0; i < p->n_stage; i++) f->nodes[f->n_nodes++] = instance_node(s->instance, i)->id;
    f->head = f->n_nodes ? f->nodes[0] : n->id;
    f->until = clock_now() + FAREWELL_US;
    f->next = n->farewells;
    n->farewells = f;
    if (f->n_nodes > 1 && f->head != n->id) serve_unload(n, f->instance, f->head, f->epoch, UNLOAD_FAREWELL);
    else farewell_end(n, &n->farewells); /* here the requests end before anything else happens */
    serve_free(n, s);
    node_changed(n);
}

void serve_evict(struct node *n, struct served *s, const char *why) {
    if (s->leaving || instance_get_state(s->instance) != INSTANCE_READY) return;
    s->leaves = why;
    s->leaving = clock_now();
    serve_unload(n, s->record.instance, instance_node(s->instance, 0)->id, instance_epoch(s->instance), UNLOAD_IF_IDLE);
}

static void serve_say(const struct served *s) {
    for (const char *at = instance_message(s->instance); *at;) {
        size_t len = strcspn(at, "\n");
        if (len > 0) log_info("plan", "%.*s", (int)len, at);
        at += len + (at[len] == '\n');
    }
}

/* Is it not worth waiting for it? */
static bool serve_is_failed(const struct served *s) {
    enum instance_state state = instance_get_state(s->instance);
    if (state == INSTANCE_READY) return false;
    if (s->given_up || instance_failures(s->instance) >= FAILURES) return true;
    if (state != INSTANCE_WAITING || (s->lost && clock_now() < s->lost + LOST_US)) return false;
    err_code trouble = instance_trouble(s->instance);
    return trouble == ERR_NO_ROOM || trouble == ERR_WHOLE_ONLY ? s->room == ROOM_NONE : trouble != ERR_OK;
}

void serve_publish(struct node *n, struct served *s) {
    learned_follow(n, s);
    const struct plan *p = instance_plan(s->instance);
    bool ready = instance_get_state(s->instance) == INSTANCE_READY, failed = serve_is_failed(s);
    uint64_t head = p->n_stage ? instance_node(s->instance, 0)->id : n->id;
    char message[sizeof(s->record.message)];
    snprintf(message, sizeof(message), "%.*s", (int)strcspn(instance_message(s->instance), "\n"), instance_message(s->instance));
    if (s->record.ready && !ready) s->lost = clock_now();
    if (ready) s->lost = 0;
    if (s->record.ready == ready && s->record.failed == failed && s->record.head == head && s->record.n_stage == p->n_stage &&
        strcmp(message, s->record.message) == 0)
        return;
    s->record.ready = ready;
    s->record.failed = failed;
    s->record.head = head;
    s->record.n_stage = p->n_stage;
    snprintf(s->record.message, sizeof(s->record.message), "%s", message);
    node_changed(n);
}

static void serve_actions(struct node *n, struct served *s) {
    struct instance_action a;
    while (instance_next_action(s->instance, &a)) {
        if (a.kind == INSTANCE_LOAD) serve_load(n, s, &a);
        if (a.kind == INSTANCE_UNLOAD) serve_unload(n, s->record.instance, a.node, a.epoch, UNLOAD_LOST);
        if (a.kind == INSTANCE_SAY) serve_say(s);
    }
    serve_publish(n, s);
}

/* ---- what the nodes offer ---- */

static bool record_has_stage(const struct record *r, const char *instance, uint64_t epoch, uint32_t stage) {
    for (uint32_t i = 0; i < r->n_stages; i++)
        if (r->stages[i].epoch == epoch && r->stages[i].stage == stage && strcmp(r->stages[i].instance, instance) == 0) return true;
    return false;
}

/* Bytes that this node has ordered to be filled over there, of which that node hasn't told yet. */
static uint64_t serve_ordered(const struct node *n, const struct served *but, const struct record *r, serve_counts_fn counts) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < n->n_served; i++) {
        const struct served *s = n->served[i];
        const struct plan *p = instance_plan(s->instance);
        if (s == but || (counts && !counts((struct node *)(uintptr_t)n, s->record.instance))) continue;
        for (uint32_t k = 0; k < p->n_stage; k++)
            if (instance_node(s->instance, k)->id == r->id && !record_has_stage(r, s->record.instance, instance_epoch(s->instance), k))
                bytes += p->stages[k].bytes;
    }
    return bytes;
}

static struct plan_node serve_offer(struct node *n, const struct served *s, const struct record *r, serve_counts_fn counts) {
    uint64_t used = serve_ordered(n, s, r, counts);
    for (uint32_t i = 0; i < r->n_stages; i++)
        if (strcmp(r->stages[i].instance, s->record.instance) != 0 && (!counts || counts(n, r->stages[i].instance)))
            used += r->stages[i].bytes;
    struct plan_node p = {.id = r->id, .memory = used < r->memory ? r->memory - used : 0};
    snprintf(p.name, sizeof(p.name), "%s", r->name);
    for (uint32_t i = 0; i < r->profile.n_devices && i < PLAN_MAX_DEVICES; i++) {
        const struct profile_device *d = &r->profile.devices[i];
        struct plan_device *out = &p.devices[p.n_devices++];
        *out =
            (struct plan_device){.gpu = d->gpu, .memory = d->gpu ? d->memory_free : p.memory, .bandwidth = d->bandwidth, .flops = d->flops};
        snprintf(out->name, sizeof(out->name), "%s", d->name);
    }
    learned_offer(n, s->file->layout->arch, &p);
    return p;
}

static bool serve_uses(const struct served *s, uint64_t node) {
    for (uint32_t k = 0; k < instance_plan(s->instance)->n_stage; k++)
        if (instance_node(s->instance, k)->id == node) return true;
    return false;
}

/* Does another replica of the same model use this node? Each has nodes of its own. */
static bool serve_is_taken(const struct node *n, const struct served *s, uint64_t node) {
    for (size_t i = 0; i < n->n_served; i++) {
        const struct served *other = n->served[i];
        if (other != s && other->file == s->file && serve_uses(other, node)) return true;
    }
    return false;
}

uint32_t serve_offers(struct node *n, const struct served *s, serve_counts_fn counts, struct plan_node *ret) {
    struct record own = {0};
    uint32_t count = 0;
    node_own_record(n, &own);
    for (size_t i = 0; i <= n->n_records; i++) {
        const struct record *r = i == 0 ? &own : n->records[i - 1];
        if (!serve_is_taken(n, s, r->id)) ret[count++] = serve_offer(n, s, r, counts);
    }
    record_done(&own);
    for (size_t i = 0; i < n->n_suspects; i++) /* a lost link is not yet a lost node: what runs there goes on, nothing new goes there */
        if (serve_uses(s, n->suspects[i]->id) && count <= NODE_MAX_NODES) ret[count++] = serve_offer(n, s, n->suspects[i], counts);
    return count;
}

void serve_update(struct node *n, struct served *s) {
    if (s->given_up) return;
    struct plan_node *nodes = mem_calloc(NODE_MAX_NODES + 1, sizeof(*nodes));
    uint32_t count = serve_offers(n, s, NULL, nodes);
    clock_us next;
    instance_set_nodes(s->instance, clock_now(), nodes, count);
    instance_tick(s->instance, clock_now(), &next);
    free(nodes);
    serve_actions(n, s);
}

void serve_reconcile(struct node *n, uint64_t id) {
    const struct record *r = node_record(n, id);
    for (uint32_t i = 0; r && i < r->n_stages; i++) {
        const struct served *s = serve_find(n, r->stages[i].instance);
        if (s && r->stages[i].epoch != instance_epoch(s->instance))
            serve_unload(n, s->record.instance, id, r->stages[i].epoch, UNLOAD_LOST);
    }
}

/* What a stage really took corrects the estimates that later plans of this model go by. */
static void serve_learn(struct node *n, struct served *s, uint64_t node, const struct stage_report *r) {
    const struct plan *p = instance_plan(s->instance);
    const struct engine_info *took = &r->state.info;
    if (r->epoch != instance_epoch(s->instance) || r->stage >= p->n_stage) return;
    struct model_estimate m = model_estimate_slice(s->file->layout, p->stages[r->stage].first, p->stages[r->stage].end, &s->shape);
    double kv = m.kv && took->bytes_kv ? (double)took->bytes_kv / (double)m.kv : 1;
    double compute = m.compute && took->bytes_compute ? (double)took->bytes_compute / (double)m.compute : 1;
    log_debug("plan", "stage %u took %.2f of the KV and %.2f of the compute buffers that were estimated", r->stage, kv, compute);
    learned_memory(n, node, s->file->layout->arch, kv, compute);
    learned_correct(n, s->file->layout->arch, s->source);
}

void serve_report(struct node *n, uint64_t node, const struct stage_report *r) {
    struct served *s = serve_find(n, r->instance);
    if (!s) farewell_report(n, node, r);
    if (!s) return;
    if (s->leaving && r->failed && r->epoch == instance_epoch(s->instance)) {
        s->leaving = 0;
        if (r->err.code == ERR_CANCELLED) { /* its head has let go */
            log_info("node", "\"%s\" is unloaded: %s", s->record.name, s->leaves);
            serve_close(n, s);
            return;
        }
        if (r->err.code == ERR_BUSY) return;
    }
    if (r->failed) {
        instance_stage_failed(s->instance, clock_now(), node, r->epoch, r->stage, &r->err);
    } else if (r->state.phase == STAGE_READY) {
        serve_learn(n, s, node, r);
        instance_stage_ready(s->instance, clock_now(), node, r->epoch, r->stage);
    }
    serve_actions(n, s);
}
