/* SPDX-License-Identifier: MIT
 * Adapters of a slice: libllama has them in its graph with a scale for each, the same for all tokens of a batch. So tokens of sequences
 * with other scales are computed in another part of the batch. */
#include <llama.h>
#include <stdio.h>
#include <string.h>

#include "engine/runtime.h"
#include "engine/slice.h"
#include "engine/slice_priv.h"

static err_code load(struct slice *s, const struct model_slice *adapter, model_read_fn read, void *user, struct llama_adapter_lora **ret,
                     struct err *e) {
    FILE *f = NULL;
    if (model_slice_info(adapter)->bytes_weights == 0) return ERR_OK; /* it changes nothing in these layers */
    err_code code = model_slice_open(adapter, read, user, &f, e);
    if (code != ERR_OK) return code;
    engine_runtime_clear();
    *ret = llama_adapter_lora_init_from_file_ptr(s->model, f);
    fclose(f);
    const char *why = engine_runtime_complaint();
    return *ret != NULL ? ERR_OK : err_set(e, ERR_ENGINE, "libllama refuses the adapter: %s", *why != '\0' ? why : "it gives no reason");
}

err_code engine_slice_add_adapter(struct engine *engine, const struct model_slice *adapter, model_read_fn read, void *user, double scale,
                                  struct err *e) {
    struct slice *s = engine->self;
    struct slice_adapters *a = &s->adapters;
    struct llama_adapter_lora *made = NULL;
    if (a->n == MODEL_MAX_ADAPTERS) return err_set(e, ERR_LIMIT, "at most %d adapters", MODEL_MAX_ADAPTERS);
    err_code code = load(s, adapter, read, user, &made, e);
    if (code != ERR_OK) return code;
    a->loaded[a->n] = made;
    a->usual.of[a->n++] = (float)scale;
    for (uint32_t i = 0; i < s->info.n_seq; i++) a->seq[i] = a->usual;
    s->info.n_adapters = engine->info.n_adapters = a->n;
    s->info.bytes_weights = engine->info.bytes_weights += model_slice_info(adapter)->bytes_weights;
    return ERR_OK;
}

err_code slice_adapter_choose(struct slice *s, uint32_t seq, const struct engine_sampling *params, struct err *e) {
    struct slice_scales scales = params->has_lora ? (struct slice_scales){0} : s->adapters.usual;
    for (uint32_t i = 0; i < params->n_lora; i++) {
        if (params->lora[i].id >= s->adapters.n)
            return err_set_field(e, ERR_INVALID, "lora", "there is no adapter %u: the model has %u", params->lora[i].id, s->adapters.n);
        scales.of[params->lora[i].id] = params->lora[i].scale;
    }
    s->adapters.seq[seq] = scales;
    return ERR_OK;
}

void slice_adapter_reset(struct slice *s, uint32_t seq) { s->adapters.seq[seq] = s->adapters.usual; }

bool slice_adapter_same(const struct slice *s, uint32_t a, uint32_t b) {
    return a == b || memcmp(&s->adapters.seq[a], &s->adapters.seq[b], sizeof(s->adapters.seq[a])) == 0;
}

err_code slice_adapter_use(struct slice *s, uint32_t seq, struct err *e) {
    struct slice_adapters *a = &s->adapters;
    struct llama_adapter_lora *list[MODEL_MAX_ADAPTERS];
    float scales[MODEL_MAX_ADAPTERS];
    size_t n = 0;
    if (memcmp(&a->now, &a->seq[seq], sizeof(a->now)) == 0) return ERR_OK;
    for (uint32_t i = 0; i < a->n; i++) {
        if (a->loaded[i] == NULL || a->seq[seq].of[i] == 0) continue;
        list[n] = a->loaded[i];
        scales[n++] = a->seq[seq].of[i];
    }
    if (llama_set_adapters_lora(s->ctx, list, n, scales) != 0) return err_set(e, ERR_ENGINE, "libllama refuses %zu adapters", n);
    a->now = a->seq[seq];
    return ERR_OK;
}
