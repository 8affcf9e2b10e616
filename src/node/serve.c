/* SPDX-License-Identifier: MIT
 * The coordinator's side of a model: opens its header, gives cluster/instance what it needs to know, and carries its actions out. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "model/types.h"
#include "node/node_priv.h"

/* "models/caravan-demo.gguf" is called "caravan-demo", "big-00001-of-00003.gguf" "big". */
static void serve_name(const char *path, char *ret, size_t size) {
    const char *base = strrchr(path, '/');
    snprintf(ret, size, "%.127s", base ? base + 1 : path);
    size_t n = strlen(ret);
    if (n > 5 && strcmp(ret + n - 5, ".gguf") == 0) ret[n -= 5] = '\0';
    if (n > 15 && strncmp(ret + n - 15, "-00", 3) == 0 && strncmp(ret + n - 9, "-of-", 4) == 0) ret[n - 15] = '\0';
}

static void serve_describe(struct node *n, struct served *s) {
    struct record_model *m = &s->record;
    const char *text;
    size_t len;
    serve_name(s->path, m->name, sizeof(m->name));
    snprintf(m->instance, sizeof(m->instance), "%.12s-%08x", model_gguf_id(s->gguf), (unsigned)join_tag(n->join));
    if (model_kv_str(model_gguf_find(s->gguf, "tokenizer.chat_template"), &text, &len) && len <= RECORD_MAX_TEMPLATE)
        m->chat_template = mem_strndup(text, len);
    model_token_text_of(s->gguf, "tokenizer.ggml.bos_token_id", m->bos, sizeof(m->bos));
    model_token_text_of(s->gguf, "tokenizer.ggml.eos_token_id", m->eos, sizeof(m->eos));
    m->n_ctx = s->shape.n_ctx;
    m->n_vocab = s->layout->n_vocab;
    m->n_layer = s->layout->n_layer;
    m->created = clock_wall_s();
    m->head = n->id;
    model_facts_make(s->gguf, s->layout, &m->facts);
}

static err_code serve_shape(struct node *n, struct served *s, struct err *e) {
    const struct engine_load *load = &n->config->load;
    uint32_t trained = s->layout->n_ctx_train ? s->layout->n_ctx_train : 4096;
    s->shape = (struct model_load_shape){.n_ctx = load->n_ctx ? load->n_ctx : trained < 4096 ? trained : 4096, .n_seq = load->n_seq,
                                          .streams = load->exact};
    uint32_t batch = load->n_batch ? load->n_batch : 512;
    s->shape.n_ubatch = load->n_ubatch ? load->n_ubatch : batch;
    if (!model_type_parse(load->cache_type_k, &s->shape.type_k))
        return err_set(e, ERR_INVALID, "cache type \"%s\" is not one of ggml's", load->cache_type_k);
    if (!model_type_parse(load->cache_type_v, &s->shape.type_v))
        return err_set(e, ERR_INVALID, "cache type \"%s\" is not one of ggml's", load->cache_type_v);
    return ERR_OK;
}

err_code serve_create(struct node *n, struct err *e) {
    struct served *s = MEM_NEW(struct served);
    n->served = s;
    err_code code = model_gguf_open(n->config->model, &s->gguf, e);
    if (code == ERR_OK) code = model_layout_create(s->gguf, &s->layout, e);
    if (code == ERR_OK) code = serve_shape(n, s, e);
    if (code != ERR_OK) return code;
    if (!realpath(model_gguf_path(s->gguf, 0), s->path)) snprintf(s->path, sizeof(s->path), "%s", model_gguf_path(s->gguf, 0));
    serve_describe(n, s);
    s->source = plan_source_create(s->layout, &s->shape, s->record.name);
    learned_correct(n, s->layout->arch, s->source);
    struct plan_wish wish = n->config->wish;
    wish.streams = s->shape.n_seq;
    wish.work = PLAN_LOOP_WORK;
    wish.link = links_between;
    wish.link_user = n;
    s->instance = instance_create(plan_source_model(s->source), &wish, join_tag(n->join));
    weights_server_add(n->weights, s->gguf);
    return ERR_OK;
}

void serve_free(struct node *n) {
    struct served *s = n->served;
    if (!s) return;
    instance_free(s->instance);
    plan_source_free(s->source);
    free(s->record.chat_template);
    model_layout_free(s->layout);
    model_gguf_free(s->gguf);
    free(s);
    n->served = NULL;
}

/* ---- carrying actions out ---------------------------------------------------------------------------------------------------- */

static void serve_order(struct node *n, uint32_t stage, struct stage_order *o) {
    struct served *s = n->served;
    const struct plan *p = instance_plan(s->instance);
    stage_order_init(o);
    snprintf(o->instance, sizeof(o->instance), "%s", s->record.instance);
    snprintf(o->model, sizeof(o->model), "%s", model_gguf_id(s->gguf));
    snprintf(o->path, sizeof(o->path), "%s", s->path);
    o->epoch = instance_epoch(s->instance);
    o->first = p->stages[stage].first;
    o->end = p->stages[stage].end;
    o->stage = stage;
    o->n_stage = p->n_stage;
    o->load = n->config->load;
    o->load.n_ctx = s->shape.n_ctx;
    o->dtype = learned_wire(n, s);
    o->spin_us = n->config->spin_us;
    o->latency_ms = n->config->latency_ms;
    o->prefix_cache = n->config->prefix_cache;
    o->n_draft = n->config->n_draft;
    o->draft_always = n->config->draft_always;
    o->load.n_rewind = n->config->draft_always ? n->config->n_draft : 0; /* copies of a state are dear: only where they are asked for */
    o->source_node = n->id;
    uint64_t next = instance_node(s->instance, (stage + 1) % p->n_stage)->id;
    o->next_node = next;
    struct control_peer peer;
    if (control_find(n->control, next, &peer)) {
        snprintf(o->next_host, sizeof(o->next_host), "%s", peer.host);
        o->next_port = peer.port;
    }
    o->connect_timeout_ms = 600000; /* the slowest node decides: its weights may have to travel first */
}

static void serve_failed(struct node *n, uint64_t node, uint64_t epoch, uint32_t stage, const char *why) {
    struct stage_report r = {.epoch = epoch, .stage = stage, .failed = true};
    snprintf(r.instance, sizeof(r.instance), "%s", n->served->record.instance);
    err_set(&r.err, ERR_NETWORK, "%s", why);
    instance_stage_failed(n->served->instance, clock_now(), node, epoch, stage, &r.err);
}

static void serve_load(struct node *n, const struct instance_action *a) {
    struct stage_order order;
    if (a->epoch != instance_epoch(n->served->instance) || a->stage >= instance_plan(n->served->instance)->n_stage) return; /* overtaken */
    serve_order(n, a->stage, &order);
    if (a->node == n->id) {
        if (a->stage == 0) snprintf(order.draft, sizeof(order.draft), "%s", n->config->draft);
        hold_start(n, n->id, &order);
        return;
    }
    if (a->stage == 0 && n->config->draft[0]) log_warn("node", "the draft model is not used: the first layers are on another node");
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_LOAD));
    stage_order_encode(&order, &b);
    if (!control_send(n->control, a->node, FRAME_LOAD, a->epoch, b.data, b.len))
        serve_failed(n, a->node, a->epoch, a->stage, "its node cannot be reached");
    buf_done(&b);
}

static void serve_unload(struct node *n, const struct instance_action *a) {
    if (a->node == n->id) {
        hold_drop(n, n->served->record.instance, a->epoch);
        return;
    }
    char text[128];
    int len = snprintf(text, sizeof(text), "{\"instance\":\"%s\"}", n->served->record.instance);
    control_send(n->control, a->node, FRAME_UNLOAD, a->epoch, text, (size_t)len);
}

static void serve_say(struct node *n) {
    for (const char *at = instance_message(n->served->instance); *at;) {
        size_t len = strcspn(at, "\n");
        if (len > 0) log_info("plan", "%.*s", (int)len, at);
        at += len + (at[len] == '\n');
    }
}

static void serve_publish(struct node *n) {
    struct served *s = n->served;
    learned_follow(n, s);
    const struct plan *p = instance_plan(s->instance);
    bool ready = instance_get_state(s->instance) == INSTANCE_READY;
    uint64_t head = p->n_stage ? instance_node(s->instance, 0)->id : n->id;
    char message[sizeof(s->record.message)];
    snprintf(message, sizeof(message), "%.*s", (int)strcspn(instance_message(s->instance), "\n"), instance_message(s->instance));
    if (s->record.ready == ready && s->record.head == head && s->record.n_stage == p->n_stage && strcmp(message, s->record.message) == 0)
        return;
    s->record.ready = ready;
    s->record.head = head;
    s->record.n_stage = p->n_stage;
    snprintf(s->record.message, sizeof(s->record.message), "%s", message);
    node_changed(n);
}

static void serve_actions(struct node *n) {
    struct instance_action a;
    while (instance_next_action(n->served->instance, &a)) {
        if (a.kind == INSTANCE_LOAD) serve_load(n, &a);
        if (a.kind == INSTANCE_UNLOAD) serve_unload(n, &a);
        if (a.kind == INSTANCE_SAY) serve_say(n);
    }
    serve_publish(n);
}

static struct plan_node serve_offer(const struct node *n, const struct record *r) {
    struct plan_node p = {.id = r->id, .memory = record_memory_for(r, n->served->record.instance)};
    snprintf(p.name, sizeof(p.name), "%s", r->name);
    for (uint32_t i = 0; i < r->profile.n_devices && i < PLAN_MAX_DEVICES; i++) {
        const struct profile_device *d = &r->profile.devices[i];
        struct plan_device *out = &p.devices[p.n_devices++];
        *out = (struct plan_device){.gpu = d->gpu, .memory = d->gpu ? d->memory_free : p.memory,
                                    .bandwidth = d->bandwidth, .flops = d->flops};
        snprintf(out->name, sizeof(out->name), "%s", d->name);
    }
    learned_offer(n, n->served->layout->arch, &p);
    return p;
}

void serve_update(struct node *n) {
    struct served *s = n->served;
    if (!s || n->stopping) return;
    struct plan_node nodes[NODE_MAX_NODES + 1];
    struct record own = {0};
    node_own_record(n, &own);
    nodes[0] = serve_offer(n, &own);
    record_done(&own);
    uint32_t count = 1;
    for (size_t i = 0; i < n->n_records; i++) {
        nodes[count++] = serve_offer(n, n->records[i]);
    }
    const struct plan *p = instance_plan(s->instance);
    for (size_t i = 0; i < n->n_suspects; i++) /* a lost link is not yet a lost node: what runs there goes on, nothing new goes there */
        for (uint32_t k = 0; k < p->n_stage; k++)
            if (instance_node(s->instance, k)->id == n->suspects[i]->id && count <= NODE_MAX_NODES) {
                nodes[count++] = serve_offer(n, n->suspects[i]);
                break;
            }
    clock_us next;
    instance_set_nodes(s->instance, clock_now(), nodes, count);
    instance_tick(s->instance, clock_now(), &next);
    serve_actions(n);
}

void serve_reconcile(struct node *n, uint64_t id) {
    const struct record *r = node_record(n, id);
    for (uint32_t i = 0; n->served && r && i < r->n_stages; i++) {
        const struct record_stage *st = &r->stages[i];
        if (strcmp(st->instance, n->served->record.instance) != 0 || st->epoch == instance_epoch(n->served->instance)) continue;
        serve_unload(n, &(struct instance_action){.kind = INSTANCE_UNLOAD, .node = id, .epoch = st->epoch});
    }
}

/* What a stage really took corrects the estimates that later plans of this model go by. */
static void serve_learn(struct node *n, uint64_t node, const struct stage_report *r) {
    struct served *s = n->served;
    const struct plan *p = instance_plan(s->instance);
    const struct engine_info *took = &r->state.info;
    if (r->epoch != instance_epoch(s->instance) || r->stage >= p->n_stage) return;
    struct model_estimate m = model_estimate_slice(s->layout, p->stages[r->stage].first, p->stages[r->stage].end, &s->shape);
    double kv = m.kv && took->bytes_kv ? (double)took->bytes_kv / (double)m.kv : 1;
    double compute = m.compute && took->bytes_compute ? (double)took->bytes_compute / (double)m.compute : 1;
    log_debug("plan", "stage %u took %.2f of the KV and %.2f of the compute buffers that were estimated", r->stage, kv, compute);
    learned_memory(n, node, s->layout->arch, kv, compute);
    learned_correct(n, s->layout->arch, s->source);
}

void serve_report(struct node *n, uint64_t node, const struct stage_report *r) {
    struct served *s = n->served;
    if (!s || strcmp(r->instance, s->record.instance) != 0) return;
    if (r->failed) {
        instance_stage_failed(s->instance, clock_now(), node, r->epoch, r->stage, &r->err);
    } else if (r->state.phase == STAGE_READY) {
        serve_learn(n, node, r);
        instance_stage_ready(s->instance, clock_now(), node, r->epoch, r->stage);
    }
    serve_actions(n);
}
