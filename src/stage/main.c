/* SPDX-License-Identifier: MIT
 * See main.h. The weights come from a file of this machine, if it is the coordinator's model. Otherwise they come from the cache, which is
 * filled from other nodes while libllama loads. */
#include "stage/main.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/os.h"
#include "os/pages.h"
#include "base/str.h"
#include "weights/weights.h"
#include "engine/need.h"
#include "engine/slice.h"
#include "model/adapter.h"
#include "model/projector.h"
#include "model/quirks.h"
#include "io/tls.h"
#include "stage/crash.h"
#include "stage/dial.h"
#include "stage/loop.h"

#define TELL_US 200000u

/* A model whose bytes can be read, here or from the cache. */
struct opened {
    struct model_gguf *local;     /* NULL: the model comes from a peer */
    struct weights_file *weights; /* NULL: local */
    struct model_layout *layout;
    uint32_t n_ctx;               /* positions of a sequence */
    struct model_slice *slice;
};

static void opened_done(struct opened *o) {
    model_slice_free(o->slice);
    model_layout_free(o->layout);
    model_gguf_free(o->local);
    weights_close(o->weights);
}

/* Opens the local file if it is the ordered model; order->model "": any model. */
static err_code open_local(struct opened *o, const struct stage_order *order, struct err *e) {
    struct model_gguf *g;
    err_code code = model_gguf_open(order->path, &g, e);
    if (code != ERR_OK) return code;
    if (order->model[0] && strcmp(model_gguf_id(g), order->model) != 0) {
        model_gguf_free(g);
        return err_set(e, ERR_NOT_FOUND, "\"%s\" is another model than the coordinator's", order->path);
    }
    o->local = g;
    return ERR_OK;
}

static struct weights_place place_of(const struct stage_order *order) {
    struct weights_place p = {
        .folder = order->cache, .limit = order->cache_limit, .self = order->self_node, .node = order->source_node, .connect = stage_dial};
    p.source.port = order->source_port;
    snprintf(p.source.host, sizeof(p.source.host), "%s", order->source_host);
    memcpy(p.key, order->key, sizeof(p.key));
    memcpy(p.instance, order->instance, sizeof(p.instance));
    p.pass = order->pass;
    p.epoch = order->epoch;
    return p;
}

static err_code open_remote(struct opened *o, const struct stage_order *order, struct err *e) {
    struct weights_place place = place_of(order);
    return weights_open(&place, order->model, &o->weights, e);
}

static err_code make_slice(struct opened *o, const struct stage_order *order, struct err *e) {
    const struct model_gguf *g = o->weights ? weights_gguf(o->weights) : o->local;
    err_code code = order->load.architecture[0] != '\0' ? model_quirks_teach(order->load.architecture, e) : ERR_OK;
    if (code == ERR_OK) code = model_layout_create(g, &o->layout, e);
    if (code == ERR_OK) code = model_layout_ctx(o->layout, order->load.n_ctx, &o->n_ctx, e);
    if (code != ERR_OK) return code;
    if (order->load.mtp) model_layout_keep_mtp(o->layout, order->load.n_rewind);
    uint32_t end = order->end == 0 ? o->layout->n_layer : order->end; /* a draft model is loaded whole */
    return order->forced ? model_slice_create_forced(g, o->layout, order->first, end, &o->slice, e)
                         : model_slice_create(g, o->layout, order->first, end, &o->slice, e);
}

/* ---- progress ---- */

struct progress {
    stage_progress_fn fn;
    void *user;
    struct weights_file *weights; /* NULL: local */
    uint32_t percent;             /* loaded */
    clock_us told;
};

static bool tell(struct progress *p) {
    struct weights_progress w = {0};
    if (p->weights) weights_progress(p->weights, &w);
    struct stage_fetch fetch = {.done = w.done, .all = w.all, .rate = (uint64_t)w.rate};
    p->told = clock_now();
    return p->fn(p->user, p->percent, &fetch);
}

static bool on_wait(void *user) { return tell(user); }

static bool on_load(void *user, float fraction) {
    struct progress *p = user;
    pages_huge(true); /* the vocabulary is loaded; the weights and then the KV cache follow */
    uint32_t percent = (uint32_t)(fraction * 100);
    if (percent == p->percent && clock_now() < p->told + TELL_US) return true;
    p->percent = percent;
    return tell(p);
}

/* ---- opening ---- */

/* Refuses a slice that would take more memory than its node has left for it. libllama is asked for that, which reads the vocabulary once
 * more, only where the plan's figure comes near the limit. */
static err_code check_room(const struct opened *o, const struct stage_order *order, const struct engine_load *load, struct err *e) {
    enum { NEAR = 4 }; /* of the room this part is left by the plan */
    struct engine_need need = {0};
    if (order->room == 0 || order->n_on > 0 || engine_load_has_gpu(load) || order->need < order->room - order->room / NEAR) return ERR_OK;
    err_code code = engine_need_ask(o->slice, o->weights ? weights_read : NULL, o->weights, load, &need, e);
    uint64_t bytes = need.weights + need.kv + need.compute;
    if (code != ERR_OK || bytes <= order->room) return code;
    char takes[STR_SHORT], room[STR_SHORT];
    err_set(e, ERR_NO_ROOM, "layers %u-%u take %s, and this node has %s left for them", order->first, order->end - 1,
            str_size(bytes, takes), str_size(order->room, room));
    err_hint(e, "a smaller --ctx, fewer sequences (--parallel) or a smaller KV cache (--cache-type-k q8_0) take less");
    return ERR_NO_ROOM;
}

/* The fetch runs while libllama loads: reading a byte waits until it is here. */
static err_code load_slice(struct opened *o, const struct stage_order *order, struct progress *p, struct engine *ret, struct err *e) {
    err_code code = ERR_OK;
    p->weights = o->weights;
    if (o->weights) {
        weights_on_wait(o->weights, on_wait, p);
        code = weights_fetch(o->weights, o->slice, e);
    }
    if (code != ERR_OK) return code;
    struct engine_load load = order->load;
    load.n_ctx = o->n_ctx;
    code = check_room(o, order, &load, e);
    if (code == ERR_OK) code = engine_slice_open(o->slice, o->weights ? weights_read : NULL, o->weights, &load, on_load, p, ret, e);
    if (!o->weights) return code;
    if (code != ERR_OK && weights_error(o->weights, e) != ERR_OK) return e->code;
    struct weights_progress w;
    char size[STR_SHORT], spare[STR_SHORT];
    weights_progress(o->weights, &w);
    log_info("weights", "fetched %s (%s of it in vain)", str_size(weights_bytes_fetched(o->weights), size), str_size(w.spare, spare));
    return code;
}

/* The local file has the same header. Does it have the same weights? If they cannot be compared, they count as the same. */
static bool is_same(struct opened *o, const struct stage_order *order) {
    struct err e = {0};
    if (!order->source_host[0] || !order->model[0]) return true; /* no other node has the draft model */
    struct weights_place place = place_of(order);
    err_code code = weights_compare(&place, o->local, o->slice, &e);
    if (code == ERR_OK) return true;
    if (code != ERR_FORMAT) {
        log_warn("weights", "\"%s\" could not be compared with %s:%u: %s", order->path, order->source_host, order->source_port, e.text);
        return true;
    }
    log_warn("weights", "\"%s\" has the same header as the coordinator's model, but other weights (%s)", order->path, e.text);
    return false;
}

/* The coordinator's projector, from its node, whole. libmtmd wants a file, and has read it when it returns. */
static err_code fetch_projector(const struct opened *o, const struct stage_order *order, struct progress *p, struct engine *engine,
                                struct err *e) {
    struct weights_place place = place_of(order);
    struct weights_file *f = NULL;
    char path[MODEL_PROJECTOR_PATH];
    place.adapter = true;
    err_code code = weights_open(&place, order->mmproj_id, &f, e);
    if (code == ERR_OK) {
        p->weights = f;
        weights_on_wait(f, on_wait, p);
        code = weights_fetch_whole(f, e);
    }
    if (code == ERR_OK) code = weights_wait(f, e);
    if (code == ERR_OK) code = weights_path(f, path, sizeof(path), e);
    if (code == ERR_OK) code = engine_slice_add_projector(engine, &order->load, path, e);
    p->weights = o->weights;
    weights_close(f);
    return code;
}

/* Is the file the coordinator's projector? */
static bool is_projector(const char *path, const char *id) {
    char here[MODEL_ADAPTER_ID] = "";
    struct model_gguf *g = NULL;
    bool same = model_gguf_open(path, &g, NULL) == ERR_OK && model_adapter_id(g, here, NULL) == ERR_OK && strcmp(here, id) == 0;
    model_gguf_free(g);
    return same;
}

/* The projector that was named, the coordinator's, or the one beside the model. The latter may be another model's: then this one does
 * without. */
static err_code add_projector(const struct opened *o, const struct stage_order *order, struct progress *p, struct engine *engine,
                              struct err *e) {
    struct model_projector beside;
    struct err why = {0};
    if (order->mmproj[0]) return engine_slice_add_projector(engine, &order->load, order->mmproj, e);
    if (!order->find_mmproj || engine->info.pooling != ENGINE_POOL_NONE) return ERR_OK;
    bool found = o->local != NULL && model_projector_find(order->path, o->layout->n_embd, &beside);
    if (order->mmproj_id[0] && order->source_host[0] && !(found && is_projector(beside.path, order->mmproj_id))) {
        err_code code = fetch_projector(o, order, p, engine, &why);
        if (code == ERR_OK) log_info("stage", "pictures and sounds: with the coordinator's projector, from its node");
        else log_warn("stage", "the coordinator's projector is not used: %s", why.text);
        if (code == ERR_OK) return ERR_OK;
    }
    if (!found) return ERR_OK;
    if (engine_slice_add_projector(engine, &order->load, beside.path, &why) == ERR_OK)
        log_info("stage", "pictures and sounds: with the projector \"%s\"", beside.path);
    else {
        log_warn("stage", "the model takes no pictures: %s", why.text);
        snprintf(engine->no_media, sizeof(engine->no_media), "%s", why.text);
    }
    return ERR_OK;
}

/* ---- adapters ---- */

/* The adapter's file on this machine, if it is the coordinator's. */
static err_code open_local_adapter(const struct opened *o, const struct stage_adapter *a, struct model_gguf **ret, struct err *e) {
    char id[MODEL_ADAPTER_ID];
    err_code code = model_adapter_open(a->path, o->layout, ret, e);
    if (code == ERR_OK) code = model_adapter_id(*ret, id, e);
    if (code == ERR_OK && strcmp(id, a->id) != 0)
        code = err_set(e, ERR_NOT_FOUND, "\"%s\" is another adapter than the coordinator's", a->path);
    return code;
}

/* Adds the part for the slice's layers; like weights, what is not here comes from the node that gave the order. */
static err_code add_adapter(const struct opened *o, const struct stage_order *order, const struct stage_adapter *a, struct progress *p,
                            struct engine *engine, struct err *e) {
    struct model_gguf *local = NULL;
    struct weights_file *remote = NULL;
    struct model_slice *slice = NULL;
    err_code code = open_local_adapter(o, a, &local, e);
    if (code != ERR_OK && order->source_host[0]) {
        struct weights_place place = place_of(order);
        place.adapter = true;
        code = weights_open(&place, a->id, &remote, e);
    }
    if (code == ERR_OK) code = model_adapter_slice(remote ? weights_gguf(remote) : local, o->layout, order->first, order->end, &slice, e);
    if (code == ERR_OK && remote) {
        p->weights = remote;
        weights_on_wait(remote, on_wait, p);
        code = weights_fetch(remote, slice, e);
    }
    if (code == ERR_OK) code = engine_slice_add_adapter(engine, slice, remote ? weights_read : NULL, remote, a->scale, e);
    p->weights = o->weights;
    weights_close(remote);
    model_slice_free(slice);
    model_gguf_free(local);
    return code;
}

static err_code add_adapters(const struct opened *o, const struct stage_order *order, struct progress *p, struct engine *engine,
                             struct err *e) {
    err_code code = ERR_OK;
    for (uint32_t i = 0; i < order->n_adapters && code == ERR_OK; i++) {
        const struct stage_adapter *a = &order->adapters[i];
        code = add_adapter(o, order, a, p, engine, e);
        if (code == ERR_OK) log_debug("stage", "adapter %u: \"%s\", scale %g", i, a->path, a->scale);
    }
    return code;
}

static err_code stage_open(void *user, const struct stage_order *order, stage_progress_fn progress, void *progress_user, struct engine *ret,
                           struct err *e) {
    (void)user;
    char name[32];
    snprintf(name, sizeof(name), "stage %u", order->stage);
    log_set_name(name);
    struct opened o = {0};
    struct progress p = {.fn = progress, .user = progress_user};
    err_code code = open_local(&o, order, e);
    if (code == ERR_OK) code = make_slice(&o, order, e);
    if (code == ERR_OK && !is_same(&o, order)) {
        code = err_set(e, ERR_NOT_FOUND, "\"%s\" has other weights", order->path);
        opened_done(&o);
        o = (struct opened){0};
    }
    if (!o.local && code != ERR_OK && order->source_host[0]) {
        log_info("weights", "%s: fetching from %s:%u", e ? e->text : "not here", order->source_host, order->source_port);
        code = open_remote(&o, order, e);
        if (code == ERR_OK) code = make_slice(&o, order, e);
    }
    if (code == ERR_OK) code = load_slice(&o, order, &p, ret, e);
    bool loaded = code == ERR_OK;
    if (code == ERR_OK) code = add_adapters(&o, order, &p, ret, e);
    if (code == ERR_OK) code = add_projector(&o, order, &p, ret, e);
    if (loaded && code != ERR_OK) ret->ops->close(ret->self);
    opened_done(&o);
    pages_huge(false); /* later allocations are small or only partly used, and would waste huge pages */
    pages_give_back();
    os_memory_trim(); /* gives back the memory of the header's freed copies */
    return code;
}

int stage_main(int fd) {
    io_tls_startup();
    pages_huge(false);
    os_memory_give_back(); /* parked sequences must leave no holes; and libllama's large tables, hardly used, come clean from the system */
    setenv("GGML_NO_BACKTRACE", "1", 0); /* otherwise an abort starts a debugger, and the node waits for the debugger */
    struct err e = {0};
    if (stage_crash_catch(&e) != ERR_OK) log_warn("stage", "crashes are not caught: %s", e.text);
    return stage_loop_run(fd, stage_open, NULL);
}
