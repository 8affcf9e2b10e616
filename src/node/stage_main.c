/* SPDX-License-Identifier: MIT
 * See stage_main.h. Where the weights come from: the coordinator's path, if the file there has the same header here; else the cache, filled
 * from the coordinator's node over a weights link. */
#include "node/stage_main.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cluster/weights.h"
#include "engine/slice.h"
#include "io/tls.h"
#include "pipeline/stage_loop.h"

/* A model whose bytes can be read, here or from the cache. */
struct opened {
    struct model_gguf *local;     /* NULL: from a peer */
    struct io_tls_ctx *tls;
    struct weights_file *weights; /* NULL: local */
    struct model_layout *layout;
    struct model_slice *slice;
};

static void opened_done(struct opened *o) {
    model_slice_free(o->slice);
    model_layout_free(o->layout);
    model_gguf_free(o->local);
    weights_close(o->weights);
    io_tls_ctx_free(o->tls);
}

/* The local file, if it is the same model; "": whatever model it is. */
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

static err_code open_remote(struct opened *o, const struct stage_order *order, struct err *e) {
    struct io_addr source = {.port = order->source_port};
    snprintf(source.host, sizeof(source.host), "%s", order->source_host);
    o->tls = io_tls_ctx_create(order->key, e);
    if (!o->tls) return ERR_INTERNAL;
    return weights_open(o->tls, order->cache, order->model, &source, &o->weights, e);
}

struct fetch_progress {
    stage_progress_fn fn;
    void *user;
};

static void on_fetch(void *user, uint64_t done, uint64_t all) {
    struct fetch_progress *p = user;
    p->fn(p->user, (uint32_t)(done * 90 / all)); /* the rest is loading */
}

struct load_progress {
    stage_progress_fn fn;
    void *user;
    uint32_t from; /* percent that fetching took */
};

static bool on_load(void *user, float fraction) {
    struct load_progress *p = user;
    return p->fn(p->user, p->from + (uint32_t)(fraction * (float)(100 - p->from)));
}

static err_code open_slice(struct opened *o, const struct stage_order *order, stage_progress_fn progress, void *user, struct engine *ret,
                           struct err *e) {
    const struct model_gguf *g = o->weights ? weights_gguf(o->weights) : o->local;
    err_code code = model_layout_create(g, &o->layout, e);
    uint32_t end = code == ERR_OK && order->end == 0 ? o->layout->n_layer : order->end; /* a draft model: whole */
    if (code == ERR_OK) code = order->forced ? model_slice_create_forced(g, o->layout, order->first, end, &o->slice, e)
                                             : model_slice_create(g, o->layout, order->first, end, &o->slice, e);
    if (code != ERR_OK) return code;
    struct load_progress loading = {.fn = progress, .user = user};
    if (o->weights) {
        struct fetch_progress fetching = {.fn = progress, .user = user};
        code = weights_fetch(o->weights, o->slice, on_fetch, &fetching, e);
        if (code != ERR_OK) return code;
        char size[STR_SHORT];
        log_info("weights", "fetched %s", str_size(weights_bytes_fetched(o->weights), size));
        loading.from = 90;
    }
    return engine_slice_open(o->slice, o->weights ? weights_read : NULL, o->weights, &order->load, on_load, &loading, ret, e);
}

static err_code stage_open(void *user, const struct stage_order *order, stage_progress_fn progress, void *progress_user, struct engine *ret,
                           struct err *e) {
    (void)user;
    char name[32];
    snprintf(name, sizeof(name), "stage %u", order->stage);
    log_set_name(name);
    struct opened o = {0};
    err_code code = open_local(&o, order, e);
    if (code != ERR_OK && order->source_host[0]) {
        log_info("weights", "%s: fetching from %s:%u", e ? e->text : "not here", order->source_host, order->source_port);
        code = open_remote(&o, order, e);
    }
    if (code == ERR_OK) code = open_slice(&o, order, progress, progress_user, ret, e);
    opened_done(&o);
    malloc_trim(0); /* the header's copies are gone: their memory goes back too */
    return code;
}

int stage_main(int fd) {
    io_tls_startup();
    setenv("GGML_NO_BACKTRACE", "1", 0); /* else an abort starts a debugger, and the node waits for it */
    return stage_loop_run(fd, stage_open, NULL);
}
