/* SPDX-License-Identifier: MIT
 * See serve.h. */
#include "loading/serve.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "coordinator/preview.h"
#include "coordinator/used.h"
#include "model/estimate.h"
#include "model/adapter.h"
#include "model/hash.h"
#include "model/projector.h"
#include "model/quirks.h"
#include "model/template.h"
#include "model/types.h"
#include "plan/model.h"

/* A model that this node has loaded; it stays as long as it has copies. */
struct serve_model {
    struct serve_model *next;
    struct coordinator_model core;
    struct serve_file *file;
    struct model_projector projector;
    char projector_id[MODEL_ADAPTER_ID]; /* "": there is none */
    struct model_adapter adapters[MODEL_MAX_ADAPTERS];
    uint32_t n_adapters;
    uint64_t *adapter_bytes; /* [n_layer]; NULL: there are none */
    struct model_load_shape shape;
    struct plan_source *source;
    struct engine_load load; /* as stages here would load it */
    char *key;               /* of its sizes */
};

struct serve {
    struct serve_parts parts;
    struct serve_model *models;
    struct record own;      /* this node's record, when the count of news was own_news */
    uint64_t own_news;
    const struct record *records[2 * RECORDS_MAX + 1];
    struct coordinator_sleeper sleepers[COORDINATOR_MAX_SLEEPERS];
    bool acts;              /* actions are being carried out */
};

/* ---- what the node sees ---- */

static struct coordinator_work serve_work(void *user, const char *instance) {
    const struct serve *s = user;
    return s->parts.callbacks.work(s->parts.user, instance);
}

static struct coordinator_queue serve_queue(void *user, const char *model) {
    const struct serve *s = user;
    return s->parts.callbacks.queue(s->parts.user, model);
}

static void serve_correct(void *user, const char *arch, struct plan_node *offer) {
    const struct serve *s = user;
    learned_offer(s->parts.learned, arch, offer);
}

struct coordinator_view serve_view(struct serve *s) {
    const struct records *r = s->parts.records;
    struct coordinator_view v = {.records = s->records, .wall = clock_wall_s(), .user = s};
    v.work = serve_work;
    v.queue = serve_queue;
    v.correct = serve_correct;
    if (s->own_news != s->parts.news->count || s->own.id == 0) {
        record_done(&s->own);
        memset(&s->own, 0, sizeof(s->own));
        s->parts.callbacks.own_record(s->parts.user, &s->own);
        s->own_news = s->parts.news->count;
    }
    s->records[v.n_records++] = &s->own;
    for (size_t i = 0; i < r->n_linked; i++) s->records[v.n_records++] = r->linked[i];
    v.n_linked = v.n_records;
    for (size_t i = 0; i < r->n_suspects; i++) s->records[v.n_records++] = r->suspects[i];
    v.sleepers = s->sleepers;
    if (s->parts.callbacks.sleepers) v.n_sleepers = s->parts.callbacks.sleepers(s->parts.user, s->sleepers, COORDINATOR_MAX_SLEEPERS);
    return v;
}

bool serve_claimed(struct serve *s, const char *name, struct coordinator_claim *ret) {
    struct coordinator_view v = serve_view(s);
    return coordinator_claimed(s->parts.core, clock_now(), &v, name, ret);
}

/* ---- models ---- */

void serve_own_wish(const struct serve *s, struct load_wish *ret) {
    const struct serve_config *c = &s->parts.config;
    *ret = (struct load_wish){0};
    wish_set_text(ret, WISH_PLACEMENT, c->placement);
    wish_set_text(ret, WISH_REPLAN, c->replan);
    if (c->load->n_ctx) wish_set(ret, WISH_CTX, c->load->n_ctx);
    wish_set(ret, WISH_PARALLEL, c->load->n_seq);
    wish_set(ret, WISH_REPLICAS, 1);
    wish_set(ret, WISH_KEPT, false);
    wish_set(ret, WISH_PINNED, false);
    wish_set(ret, WISH_BATCH, c->load->n_batch);
    wish_set(ret, WISH_UBATCH, c->load->n_ubatch);
    wish_set_text(ret, WISH_CACHE_TYPE_K, c->load->cache_type_k);
    wish_set_text(ret, WISH_CACHE_TYPE_V, c->load->cache_type_v);
    wish_set_text(ret, WISH_FLASH_ATTN, c->load->flash_attn);
    wish_set_text(ret, WISH_POOLING, c->load->pooling);
    wish_set(ret, WISH_EXACT, c->load->exact);
    wish_set_text(ret, WISH_WIRE_TYPE, c->dtype_auto ? "auto" : frame_dtype_name(c->dtype));
    wish_set(ret, WISH_LATENCY_BUDGET, c->options->latency_ms);
    wish_set(ret, WISH_PREFIX_CACHE, c->options->prefix_cache);
    wish_set(ret, WISH_SPECULATE, c->options->n_draft);
    wish_set(ret, WISH_SPECULATE_ALWAYS, c->options->draft_always);
    wish_set(ret, WISH_MTP, c->load->mtp);
}

/* How stages load the model, except for the devices and threads, which each node chooses by itself (hold_own_hardware). */
static void serve_load_options(const struct serve *s, const struct load_wish *w, struct engine_load *ret) {
    *ret = *s->parts.config.load;
    ret->n_ctx = w->ctx;
    ret->n_seq = w->parallel;
    ret->n_batch = w->batch;
    ret->n_ubatch = w->ubatch;
    ret->exact = w->exact;
    ret->n_rewind = w->speculate_always ? w->speculate : 0; /* copies of a state take much memory: only where they are asked for */
    ret->mtp = w->mtp && w->speculate > 0;
    snprintf(ret->cache_type_k, sizeof(ret->cache_type_k), "%s", w->cache_type_k);
    snprintf(ret->cache_type_v, sizeof(ret->cache_type_v), "%s", w->cache_type_v);
    snprintf(ret->flash_attn, sizeof(ret->flash_attn), "%s", w->flash_attn);
    snprintf(ret->pooling, sizeof(ret->pooling), "%s", w->pooling);
}

static void choose_step(const struct serve *s, struct engine_load *load) {
    struct record own = {0};
    s->parts.callbacks.own_record(s->parts.user, &own);
    load->n_ubatch = profile_ubatch(&own.profile, load);
    record_done(&own);
}

static err_code model_shape(const struct serve *s, struct serve_model *m, struct err *e) {
    serve_load_options(s, &m->core.record.wish, &m->load);
    choose_step(s, &m->load);
    err_code code = model_layout_ctx(m->file->layout, m->load.n_ctx, &m->load.n_ctx, e);
    m->load.n_gpu_layers = m->load.n_cpu_moe = 0; /* what it takes in RAM is measured */
    struct engine_load load = m->load;
    if (code != ERR_OK) return code;
    if (load.exact) code = model_quirks_check_exact(m->file->layout, e);
    if (code != ERR_OK) return code;
    if (load.n_batch > 0 && load.n_batch < load.n_seq)
        log_info("node", "--batch %u is raised to %u: one token of each of the --parallel sequences", load.n_batch, load.n_seq);
    m->shape = (struct model_load_shape){
        .n_ctx = load.n_ctx, .n_seq = load.n_seq, .streams = load.exact, .mtp = load.mtp, .n_rewind = load.n_rewind};
    load.n_gpu_layers = ENGINE_GPU_ALL;
    m->shape.n_ubatch_gpu = engine_load_ubatch(&load);
    load.n_gpu_layers = 0;
    m->shape.n_ubatch = engine_load_ubatch(&load);
    if (!model_type_parse(load.cache_type_k, &m->shape.type_k))
        return err_set(e, ERR_INVALID, "cache type \"%s\" is not one of ggml's", load.cache_type_k);
    if (!model_type_parse(load.cache_type_v, &m->shape.type_v))
        return err_set(e, ERR_INVALID, "cache type \"%s\" is not one of ggml's", load.cache_type_v);
    return ERR_OK;
}

/* The model's identity, with adapters: answers of other weights are other answers. */
static void identify(const struct serve_model *m, char *ret, size_t size) {
    uint8_t hash[MODEL_HASH_SIZE];
    char digits[2 * MODEL_HASH_SIZE + 1];
    struct buf text;
    snprintf(ret, size, "%s", m->file->sample);
    if (m->n_adapters == 0 || ret[0] == '\0') return;
    buf_init(&text, SIZE_MAX - 1);
    buf_append_str(&text, m->file->sample);
    for (uint32_t i = 0; i < m->n_adapters; i++) buf_printf(&text, " %s:%.9g", m->adapters[i].id, m->adapters[i].scale);
    model_hash(text.data, text.len, hash);
    buf_done(&text);
    str_hex(hash, sizeof(hash), digits);
    snprintf(ret, size, "%.32s", digits);
}

static void model_describe(struct serve_model *m, const char *name) {
    struct record_model *r = &m->core.record;
    const struct model_gguf *g = m->file->gguf;
    snprintf(r->name, sizeof(r->name), "%s", name);
    snprintf(m->core.id, sizeof(m->core.id), "%s", model_gguf_id(g));
    r->chat_template = model_template_make(g, RECORD_MAX_TEMPLATE);
    model_token_text_of(g, "tokenizer.ggml.bos_token_id", r->bos, sizeof(r->bos));
    model_token_text_of(g, "tokenizer.ggml.eos_token_id", r->eos, sizeof(r->eos));
    r->n_ctx = m->shape.n_ctx;
    r->n_vocab = m->file->layout->n_vocab;
    r->n_layer = m->file->layout->n_layer;
    model_facts_make(g, m->file->layout, &r->facts);
    identify(m, r->facts.weights, sizeof(r->facts.weights));
    r->facts.sees = m->projector.sees;
    r->facts.hears = m->projector.hears;
    wish_set(&r->wish, WISH_CTX, m->shape.n_ctx);
}

static void model_free(struct serve_model *m) {
    plan_source_free(m->source);
    free(m->core.record.chat_template);
    free(m->key);
    free(m->adapter_bytes);
    free(m);
}

/* Pictures that have to be computed at once need batches in which they find room beside a token of every other sequence. */
static void make_room_for_pictures(const struct serve_model *m, struct engine_load *load) {
    const struct model_projector *p = &m->projector;
    if (p->together == 0) return;
    uint32_t most = p->together + load->n_seq;
    if (engine_load_batch(load) < most) load->n_batch = most;
    if (engine_load_ubatch(load) < p->together) load->n_ubatch = p->together;
}

/* The projector that was named for this model; "": none was. */
static const char *named_projector(const struct serve *s, const struct serve_model *m) {
    return m->core.record.wish.pinned ? s->parts.config.mmproj : ""; /* --mmproj belongs to the model of the command line */
}

/* A head on another node fetches it from this one. */
static err_code give_projector(const struct serve *s, struct serve_model *m, struct err *e) {
    struct model_gguf *g = NULL;
    if (m->projector.path[0] == '\0' || s->parts.weights == NULL) return ERR_OK;
    err_code code = model_gguf_open(m->projector.path, &g, e);
    if (code == ERR_OK) code = model_adapter_id(g, m->projector_id, e);
    if (code == ERR_OK) weights_server_add(s->parts.weights, weights_model_create_as(g, m->projector_id, s->parts.cache));
    model_gguf_free(g);
    return code;
}

/* The model's projector, and what it takes. */
static err_code choose_projector(const struct serve *s, struct serve_model *m, struct err *e) {
    const char *named = named_projector(s, m);
    m->projector = m->file->projector;
    err_code code = named[0] != '\0' ? model_projector_read(named, &m->projector, e) : ERR_OK;
    m->shape.projector = m->projector.bytes;
    if (m->shape.n_ubatch < m->projector.together) m->shape.n_ubatch = m->projector.together;
    return code == ERR_OK ? give_projector(s, m, e) : code;
}

struct adapter_taker {
    struct serve *s;
    struct serve_model *m;
};

/* Other nodes fetch it from this one. */
static void take_adapter(void *user, const struct model_adapter *a, const struct model_gguf *g) {
    const struct adapter_taker *t = user;
    model_adapter_bytes(g, t->m->file->layout, t->m->adapter_bytes);
    if (t->s->parts.weights) weights_server_add(t->s->parts.weights, weights_model_create_as(g, a->id, t->s->parts.cache));
}

static err_code choose_adapters(struct serve *s, struct serve_model *m, struct err *e) {
    struct adapter_taker taker = {s, m};
    const char *text = m->core.record.wish.lora;
    if (text[0] == '\0') return ERR_OK;
    m->adapter_bytes = mem_calloc(m->file->layout->n_layer, sizeof(*m->adapter_bytes));
    m->shape.adapters = m->adapter_bytes;
    return model_adapters_read(text, m->file->layout, m->adapters, &m->n_adapters, take_adapter, &taker, e);
}

/* The GPU that this node fills first, on which slices are measured, too; others of the cluster are taken to be like it. */
static void measured_gpu(struct serve *s, struct engine_load *load) {
    const struct profile_device *best = NULL;
    serve_view(s); /* so that the own record is up to date */
    for (uint32_t i = 0; i < s->own.profile.n_devices; i++) {
        const struct profile_device *d = &s->own.profile.devices[i];
        if (d->gpu && (best == NULL || d->bandwidth > best->bandwidth)) best = d;
    }
    load->n_gpu_layers = best != NULL ? ENGINE_GPU_AUTO : 0;
    snprintf(load->devices, sizeof(load->devices), "%s", best != NULL ? best->name : "");
}

/* Under which key its sizes are kept; those that are known count at once. */
static void model_key(struct serve *s, struct serve_model *m) {
    measured_gpu(s, &m->load);
    free(m->key);
    m->key = needs_key(m->core.id, &m->load);
    const struct needs *sizes = s->parts.sizes ? sizes_find(s->parts.sizes, m->key) : NULL;
    if (sizes) plan_source_measured(m->source, sizes);
}

static err_code model_make(struct serve *s, struct serve_file *file, const char *name, const struct load_wish *wish,
                           struct serve_model **ret, struct err *e) {
    struct serve_model *m = MEM_NEW(struct serve_model);
    struct load_wish own;
    struct plan_wish plan = {0};
    serve_own_wish(s, &own);
    m->file = file;
    m->core.record.wish = *wish;
    wish_merge(&m->core.record.wish, &own);
    err_code code = plan_wish_parse(m->core.record.wish.placement, &plan, e);
    if (code == ERR_OK) code = model_shape(s, m, e);
    if (code == ERR_OK) code = choose_projector(s, m, e);
    if (code == ERR_OK) code = choose_adapters(s, m, e);
    if (code != ERR_OK) {
        free(m->adapter_bytes);
        free(m);
        return code;
    }
    model_describe(m, name);
    m->source = plan_source_create(file->layout, &m->shape, m->core.record.name);
    learned_correct(s->parts.learned, file->layout->arch, m->source);
    snprintf(m->load.architecture, sizeof(m->load.architecture), "%s", model_quirks_taught(file->layout));
    model_key(s, m);
    plan.streams = m->shape.n_seq;
    plan.work = PLAN_LOOP_WORK;
    plan.link = links_between;
    plan.link_user = s->parts.links;
    m->core.plan = plan_source_model(m->source);
    m->core.wish = plan;
    m->core.arch = file->layout->arch;
    m->core.path = file->path;
    *ret = m;
    return ERR_OK;
}

/* ---- what models take ---- */

static void serve_measured(void *user, const char *key, const struct needs *n) {
    struct serve *s = user;
    bool any = false;
    for (struct serve_model *m = s->models; m && key; m = m->next) {
        if (strcmp(m->key, key) != 0 || !m->core.plan->pending) continue;
        plan_source_measured(m->source, n);
        any = true;
    }
    if (any) serve_update(s);
}

/* Its copies are not placed before libllama has said what its slices take. */
static void serve_measure(struct serve *s, struct serve_model *m) {
    if (!s->parts.sizes || sizes_find(s->parts.sizes, m->key)) return;
    plan_source_measuring(m->source);
    sizes_ask(s->parts.sizes, m->key, m->file->path, &m->load, serve_measured, s);
}

/* It is known now how models of this layout can be cut. */
static void serve_probed(void *user, const struct model_layout *l, bool ends) {
    struct serve *s = user;
    for (struct serve_model *m = s->models; m && !ends; m = m->next) {
        if (m->file->layout != l || !m->core.plan->pending) continue;
        snprintf(m->load.architecture, sizeof(m->load.architecture), "%s", model_quirks_taught(l));
        plan_source_cut(m->source);
        plan_source_measured(m->source, s->parts.sizes ? sizes_find(s->parts.sizes, m->key) : NULL);
        serve_measure(s, m);
    }
    if (!ends) serve_update(s);
}

/* Its copies are not placed before it is known how it can be cut, and what its slices take. */
static void serve_look(struct serve *s, struct serve_model *m) {
    const struct model_layout *l = m->file->layout;
    if (!s->parts.architectures || model_quirks_known(l)) {
        serve_measure(s, m);
        return;
    }
    plan_source_measuring(m->source);
    architectures_ask(s->parts.architectures, l, m->file->path, serve_probed, s);
}

/* A model whose sizes were asked for when this machine was not known to have the GPU that it fills now. */
static struct serve_model *serve_outdated(struct serve *s) {
    struct engine_load load;
    struct serve_model *m = s->models;
    engine_load_init(&load);
    measured_gpu(s, &load);
    while (m && m->load.n_gpu_layers == load.n_gpu_layers && strcmp(m->load.devices, load.devices) == 0) m = m->next;
    return m;
}

/* One after another from the start, since an answer that comes at once may end models. */
static void serve_look_again(struct serve *s) {
    struct serve_model *m;
    while ((m = serve_outdated(s)) != NULL) {
        model_key(s, m);
        serve_look(s, m);
    }
}

/* Sizes that are asked for once it is known how the model can be cut. */
struct asking {
    struct serve *serve;
    struct engine_load load;
    char *key, *path;
    sizes_done_fn done;
    void *user;
};

static void asking_probed(void *user, const struct model_layout *l, bool ends) {
    struct asking *a = user;
    snprintf(a->load.architecture, sizeof(a->load.architecture), "%s", model_quirks_taught(l));
    if (!ends && a->serve->parts.sizes) sizes_ask(a->serve->parts.sizes, a->key, a->path, &a->load, a->done, a->user);
    else a->done(a->user, ends ? NULL : a->key, NULL);
    free(a->key);
    free(a->path);
    free(a);
}

err_code serve_ask_sizes(struct serve *s, struct serve_file *file, const char *name, const struct load_wish *wish, sizes_done_fn done,
                         void *user, struct err *e) {
    struct serve_model *m;
    err_code code = model_make(s, file, name, wish, &m, e);
    if (code != ERR_OK) return code;
    struct asking *a = MEM_NEW(struct asking);
    *a =
        (struct asking){.serve = s, .load = m->load, .key = mem_strdup(m->key), .path = mem_strdup(file->path), .done = done, .user = user};
    model_free(m);
    architectures_ask(s->parts.architectures, file->layout, a->path, asking_probed, a);
    return ERR_OK;
}

/* A model that is loaded already meets the wish, or it has to be unloaded first. */
static err_code serve_meets(const struct serve *s, const char *name, const struct load_wish *wish, struct err *e) {
    const struct record_model *m;
    for (size_t i = 0; (m = coordinator_get(s->parts.core, i)) != NULL; i++)
        if (strcmp(m->name, name) == 0 && !m->failed) return wish_met(wish, &m->wish, name, e);
    return ERR_OK;
}

err_code serve_open(struct serve *s, struct serve_file *file, const char *name, const struct load_wish *wish, struct err *e) {
    struct coordinator_view v = serve_view(s);
    struct serve_model *m = NULL;
    err_code code = serve_meets(s, name, wish, e);
    bool open = code == ERR_OK && coordinator_load(s->parts.core, clock_now(), &v, name, wish);
    if (open) code = model_make(s, file, name, wish, &m, e);
    if (code == ERR_OK && open) code = coordinator_open(s->parts.core, clock_now(), &v, &m->core, e);
    if (code == ERR_OK && open) {
        m->next = s->models;
        s->models = m;
        serve_look(s, m);
    } else if (m) {
        model_free(m);
    }
    serve_act(s);
    return code;
}

err_code serve_preview(struct serve *s, struct serve_file *file, const char *name, const struct load_wish *wish, yyjson_mut_doc *doc,
                       yyjson_mut_val **ret, struct err *e) {
    struct coordinator_view v = serve_view(s);
    struct serve_model *m;
    err_code code = model_make(s, file, name, wish, &m, e);
    if (code != ERR_OK) return code;
    code = preview_make(s->parts.core, &v, &m->core, doc, ret, e);
    model_free(m);
    return code;
}

err_code serve_again(struct serve *s, const char *name, const struct load_wish *wish, struct err *e) {
    struct coordinator_view v = serve_view(s);
    const struct record_model *m;
    bool there = false;
    err_code code = serve_meets(s, name, wish, e);
    if (code != ERR_OK) return code;
    for (size_t i = 0; (m = coordinator_get(s->parts.core, i)) != NULL; i++) there |= strcmp(m->name, name) == 0;
    if (there) there = !coordinator_load(s->parts.core, clock_now(), &v, name, wish);
    serve_act(s);
    return there ? ERR_OK : ERR_NOT_FOUND;
}

const char *serve_name(const struct serve *s, const char *path) {
    for (const struct serve_model *m = s->models; m; m = m->next)
        if (strcmp(m->file->path, path) == 0) return m->core.record.name;
    return NULL;
}

void serve_rename(struct serve *s, const char *from, const char *to) {
    for (struct serve_model *m = s->models; m; m = m->next)
        if (strcmp(m->core.record.name, from) == 0) snprintf(m->core.record.name, sizeof(m->core.record.name), "%s", to);
    coordinator_rename(s->parts.core, from, to);
    serve_act(s);
}

static struct serve_model *model_of(const struct serve *s, const struct coordinator_model *core) {
    struct serve_model *m = s->models;
    while (m && &m->core != core) m = m->next;
    return m;
}

/* Frees the models whose last copy has gone. */
static void serve_forget(struct serve *s) {
    for (struct serve_model **at = &s->models; *at;) {
        struct serve_model *m = *at;
        if (coordinator_uses(s->parts.core, &m->core)) {
            at = &m->next;
            continue;
        }
        *at = m->next;
        model_free(m);
    }
}

/* ---- carrying actions out ---- */

/* Layers on GPUs as the plan has spread them; without GPUs: none. The node uses this if it leaves the choice to the plan. libllama takes
 * the devices in the order of their layers, and counts the output head as a layer of the last one. */
static void serve_spread(const struct plan_model *m, const struct plan_node *node, const struct plan_stage *s, struct stage_order *o) {
    struct plan_spread spread;
    size_t at = 0, cut = 0;
    o->n_on = used_planned(m, node, s, o->on);
    o->load.n_gpu_layers = o->load.n_cpu_moe = 0;
    if (o->n_on == 0 || !plan_spread_make(m, node, s->first, s->end, &spread)) return;
    o->load.n_gpu_layers = 1;
    o->load.n_cpu_moe = (int32_t)spread.n_apart;
    o->load.devices[0] = o->load.tensor_split[0] = '\0';
    for (uint32_t i = o->n_on; i-- > 0;) {
        const struct plan_device *d = &node->devices[spread.used[i]];
        uint32_t layers = spread.layers[spread.used[i]];
        o->load.n_gpu_layers += (int32_t)layers;
        if (at < sizeof(o->load.devices))
            at += (size_t)snprintf(o->load.devices + at, sizeof(o->load.devices) - at, "%s%s", at > 0 ? "," : "", d->name);
        if (cut < sizeof(o->load.tensor_split))
            cut += (size_t)snprintf(o->load.tensor_split + cut, sizeof(o->load.tensor_split) - cut, "%s%u", cut > 0 ? "," : "",
                                    layers + (i == 0));
    }
}

static void serve_order(struct serve *s, const struct coordinator_action *a, const struct instance *in, const struct serve_model *m,
                        struct stage_order *o) {
    const struct plan *p = instance_plan(in);
    const struct load_wish *w = &m->core.record.wish;
    stage_order_init(o);
    snprintf(o->instance, sizeof(o->instance), "%s", a->instance);
    snprintf(o->model, sizeof(o->model), "%s", m->core.id);
    snprintf(o->path, sizeof(o->path), "%s", m->file->path);
    o->epoch = a->epoch;
    o->first = p->stages[a->stage].first;
    o->end = p->stages[a->stage].end;
    o->stage = a->stage;
    o->n_stage = p->n_stage;
    o->need = p->stages[a->stage].bytes;
    serve_load_options(s, w, &o->load);
    o->load.n_ubatch = m->load.n_ubatch;
    snprintf(o->load.architecture, sizeof(o->load.architecture), "%s", model_quirks_taught(m->file->layout));
    serve_spread(m->core.plan, instance_node(in, a->stage), &p->stages[a->stage], o);
    make_room_for_pictures(m, &o->load);
    o->dtype = learned_wire(s->parts.learned, a->instance);
    o->options = *s->parts.config.options;
    o->options.latency_ms = w->latency_budget;
    o->options.prefix_cache = w->prefix_cache;
    o->options.n_draft = w->speculate;
    o->options.draft_always = w->speculate_always;
    stage_order_adapters(o, m->adapters, m->n_adapters);
    o->source_node = s->parts.self;
    o->next_node = instance_node(in, (a->stage + 1) % p->n_stage)->id;
    o->prev_node = instance_node(in, (a->stage + p->n_stage - 1) % p->n_stage)->id;
    struct control_peer peer;
    if (control_find(s->parts.control, o->next_node, &peer)) {
        snprintf(o->next_host, sizeof(o->next_host), "%s", peer.host);
        o->next_port = peer.port;
    }
    o->connect_timeout_ms = 600000; /* as long as the slowest node may take: its weights may have to travel first */
}

static void serve_load(struct serve *s, const struct coordinator_action *a) {
    const struct coordinator_model *core = NULL;
    const struct instance *in = coordinator_find(s->parts.core, a->instance, &core);
    const struct serve_model *m = model_of(s, core);
    bool draft =
        a->stage == 0 && core->record.wish.pinned && s->parts.config.draft[0]; /* --draft belongs to the model of the command line */
    struct stage_order order;
    struct err e = {0};
    serve_order(s, a, in, m, &order);
    order.find_mmproj = a->stage == 0;
    if (a->stage == 0) memcpy(order.mmproj_id, m->projector_id, sizeof(order.mmproj_id));
    if (a->node == s->parts.self) {
        if (draft) snprintf(order.draft, sizeof(order.draft), "%s", s->parts.config.draft);
        if (a->stage == 0) snprintf(order.mmproj, sizeof(order.mmproj), "%s", named_projector(s, m));
        s->parts.callbacks.load(s->parts.user, &order);
        return;
    }
    if (draft) log_warn("node", "the draft model is not used: the first layers are on another node");
    struct buf b;
    buf_init(&b, frame_max_payload(FRAME_LOAD));
    stage_order_encode(&order, &b);
    if (!control_send(s->parts.control, a->node, FRAME_LOAD, a->epoch, b.data, b.len)) {
        err_set(&e, ERR_NETWORK, "its node cannot be reached");
        coordinator_stage_failed(s->parts.core, clock_now(), a->node, a->instance, a->epoch, a->stage, a->stage, &e);
    }
    buf_done(&b);
}

static void serve_unload(struct serve *s, const struct coordinator_action *a) {
    if (a->node == s->parts.self) {
        s->parts.callbacks.unload(s->parts.user, a->instance, a->epoch, a->how);
        return;
    }
    struct stage_unload u = {.how = a->how};
    struct buf b;
    snprintf(u.instance, sizeof(u.instance), "%s", a->instance);
    buf_init(&b, frame_max_payload(FRAME_UNLOAD));
    stage_unload_encode(&u, &b);
    control_send(s->parts.control, a->node, FRAME_UNLOAD, a->epoch, b.data, b.len);
    buf_done(&b);
}

static void serve_carry_out(struct serve *s, const struct coordinator_action *a) {
    switch (a->kind) {
    case COORDINATOR_LOAD: serve_load(s, a); break;
    case COORDINATOR_UNLOAD: serve_unload(s, a); break;
    case COORDINATOR_TAKE: s->parts.callbacks.take(s->parts.user, &a->orphan); break;
    case COORDINATOR_TELL: s->parts.callbacks.tell_heir(s->parts.user, a->node, &a->orphan); break;
    case COORDINATOR_ASK_ROOM: s->parts.callbacks.ask_room(s->parts.user, a->node, a->model, a->room); break;
    case COORDINATOR_WAKE: s->parts.callbacks.wake(s->parts.user, a->node); break;
    case COORDINATOR_PUBLISH: news_own(s->parts.news); break;
    }
}

void serve_act(struct serve *s) {
    struct coordinator_action *a;
    if (s->acts) return; /* the loop below, which called this, goes on to further actions */
    s->acts = true;
    a = MEM_NEW(struct coordinator_action);
    while (coordinator_next_action(s->parts.core, a)) serve_carry_out(s, a);
    free(a);
    s->acts = false;
    serve_forget(s);
}

/* ---- events ---- */

void serve_update(struct serve *s) {
    serve_look_again(s);
    struct coordinator_view v = serve_view(s);
    coordinator_update(s->parts.core, clock_now(), &v);
    serve_act(s);
    learned_follow(s->parts.learned);
}

/* The memory that a stage really took corrects the estimates for later plans of this model. */
static void serve_learn(struct serve *s, uint64_t node, const struct stage_report *r) {
    const struct coordinator_model *core = NULL;
    const struct instance *in = coordinator_find(s->parts.core, r->instance, &core);
    const struct engine_info *took = &r->state.info;
    if (!in || r->epoch != instance_epoch(in) || r->stage >= instance_plan(in)->n_stage) return;
    const struct plan_stage *stage = &instance_plan(in)->stages[r->stage];
    struct serve_model *m = model_of(s, core);
    struct model_estimate est = model_estimate_slice(m->file->layout, stage->first, stage->end, &m->shape);
    double kv = est.kv && took->bytes_kv ? (double)took->bytes_kv / (double)est.kv : 1;
    double compute = est.compute && took->bytes_compute ? (double)took->bytes_compute / (double)est.compute : 1;
    log_debug("plan", "stage %u took %.2f of the KV and %.2f of the compute buffers that were estimated", r->stage, kv, compute);
    learned_memory(s->parts.learned, node, core->arch, kv, compute);
    learned_correct(s->parts.learned, core->arch, m->source);
}

void serve_report(struct serve *s, uint64_t node, const struct stage_report *r) {
    struct coordinator *c = s->parts.core;
    if (r->failed) {
        coordinator_stage_failed(c, clock_now(), node, r->instance, r->epoch, r->stage, r->origin, &r->err);
    } else if (r->state.phase == STAGE_READY) {
        serve_learn(s, node, r);
        coordinator_stage_ready(c, clock_now(), node, r->instance, r->epoch, r->stage);
    }
    serve_act(s);
}

/* ---- life ---- */

struct serve *serve_create(const struct serve_parts *parts) {
    struct serve *s = MEM_NEW(struct serve);
    s->parts = *parts;
    return s;
}

void serve_free(struct serve *s) {
    if (!s) return;
    while (s->models) {
        struct serve_model *m = s->models;
        s->models = m->next;
        model_free(m);
    }
    record_done(&s->own);
    free(s);
}
