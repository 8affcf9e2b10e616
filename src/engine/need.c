/* SPDX-License-Identifier: MIT
 * See need.h. libllama's public API tells no sizes of what it has not allocated. Its log tells those of the KV cache and of the compute
 * buffers. Those of the weights follow from ggml's buffer types: a weight of a matrix product goes into the first of the processor's own
 * types (repacked layouts) that can compute with it, as libllama chooses too. */
#include "engine/need.h"

#include <ggml-backend.h>
#include <ggml.h>
#include <gguf.h>
#include <stdio.h>
#include <string.h>

#include "engine/runtime.h"
#include "engine/slice_priv.h"
#include "os/machine.h"

enum { COLUMNS = 512, TENSORS = 8 }; /* of the matrix that libllama tries a weight with; more than a trial makes */

/* ---- weights ---- */

static ggml_backend_buffer_type_t *extra_types(ggml_backend_dev_t cpu) {
    ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(cpu);
    void *found = reg != NULL ? ggml_backend_reg_get_proc_address(reg, "ggml_backend_dev_get_extra_bufts") : NULL;
    ggml_backend_dev_get_extra_bufts_t get = (ggml_backend_dev_get_extra_bufts_t)found;
    return get != NULL ? get(cpu) : NULL;
}

/* The operation that reads the weight: a product with one expert's matrix or with the matrix. */
static struct ggml_tensor *product(struct ggml_context *ctx, struct ggml_tensor *w) {
    if (strstr(ggml_get_name(w), "_exps") == NULL)
        return ggml_mul_mat(ctx, w, ggml_new_tensor_4d(ctx, GGML_TYPE_F32, w->ne[0], COLUMNS, w->ne[2], w->ne[3]));
    struct ggml_tensor *ids = ggml_new_tensor_2d(ctx, GGML_TYPE_I32, 1, COLUMNS);
    return ggml_mul_mat_id(ctx, w, ggml_new_tensor_3d(ctx, GGML_TYPE_F32, w->ne[0], 1, COLUMNS), ids);
}

static bool can_compute(ggml_backend_dev_t cpu, ggml_backend_buffer_type_t type, const struct ggml_tensor *weight) {
    struct ggml_init_params params = {.mem_size = TENSORS * ggml_tensor_overhead(), .no_alloc = true};
    struct ggml_context *ctx = ggml_init(params);
    ggml_backend_buffer_t nothing = ggml_backend_buft_alloc_buffer(type, 0);
    bool can = false;
    if (ctx != NULL && nothing != NULL) {
        struct ggml_tensor *w = ggml_dup_tensor(ctx, weight);
        ggml_set_name(w, ggml_get_name(weight));
        w->buffer = nothing;
        can = ggml_backend_dev_supports_op(cpu, product(ctx, w));
    }
    ggml_backend_buffer_free(nothing);
    ggml_free(ctx);
    return can;
}

/* The type of the processor's own in which libllama keeps this weight; NULL: it stays as the file has it. */
static ggml_backend_buffer_type_t own_type(ggml_backend_dev_t cpu, ggml_backend_buffer_type_t *types, const struct ggml_tensor *w) {
    for (; types != NULL && *types != NULL && ggml_n_dims(w) >= 2; types++)
        if (can_compute(cpu, *types, w)) return *types;
    return NULL;
}

static uint64_t bytes_in(ggml_backend_buffer_type_t type, const struct ggml_tensor *w) {
    size_t alignment = ggml_backend_buft_get_alignment(type), size = ggml_backend_buft_get_alloc_size(type, w);
    return (size + alignment - 1) / alignment * alignment;
}

/* The embedding table is looked up in, not multiplied with. Where it is the output table too, that is a second copy if it is repacked. */
static uint64_t bytes_of(ggml_backend_dev_t cpu, ggml_backend_buffer_type_t *types, const struct ggml_tensor *w, bool doubles) {
    ggml_backend_buffer_type_t plain = ggml_backend_dev_buffer_type(cpu), own = own_type(cpu, types, w);
    if (strcmp(ggml_get_name(w), "token_embd.weight") != 0) return bytes_in(own != NULL ? own : plain, w);
    return bytes_in(plain, w) + (doubles && own != NULL ? bytes_in(own, w) : 0);
}

static uint64_t weights(const struct model_slice *slice, FILE *f) {
    struct ggml_context *ctx = NULL;
    struct gguf_init_params params = {.no_alloc = true, .ctx = &ctx};
    struct gguf_context *header = gguf_init_from_file_ptr(f, params);
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    uint64_t sum = 0;
    if (header != NULL) {
        ggml_backend_buffer_type_t *types = extra_types(cpu);
        bool doubles = model_slice_info(slice)->tail && ggml_get_tensor(ctx, "output.weight") == NULL;
        for (struct ggml_tensor *w = ggml_get_first_tensor(ctx); w != NULL; w = ggml_get_next_tensor(ctx, w))
            sum += bytes_of(cpu, types, w, doubles);
        gguf_free(header);
    }
    ggml_free(ctx);
    return sum;
}

/* ---- the whole slice ---- */

/* The largest buffer of our own (struct slice): the tokens that a tail remembers. */
static uint64_t history(const struct slice *s) {
    bool tail = s->what.tail && s->pool.type == ENGINE_POOL_NONE;
    return tail ? (uint64_t)s->info.n_seq * s->info.n_ctx_seq * sizeof(*s->history) : 0;
}

/* What a process has besides while it serves: what it uses of programs and libraries; threads' stacks, links and the scheduler in a head;
 * samplers and their candidates in a tail. Measured (make bench SECTIONS=memory). */
static uint64_t serving(const struct slice *s) {
    enum { FILES = 13 << 20, EACH = 2 << 20 };
    return FILES + (uint64_t)EACH * ((s->what.head ? 1 : 0) + (s->what.tail ? 1 : 0));
}

err_code engine_need_ask(const struct model_slice *slice, model_read_fn read, void *read_user, const struct engine_load *load,
                         struct engine_need *ret, struct err *e) {
    struct slice *s;
    FILE *f;
    err_code code = slice_lay_out(slice, read, read_user, load, &s, e);
    if (code == ERR_OK) code = model_slice_open(slice, read, read_user, &f, e);
    if (code != ERR_OK) return code;
    ret->weights = weights(slice, f);
    ret->kv = s->info.bytes_kv;
    ret->compute = s->info.bytes_compute;
    ret->gpu = 0;
    for (uint32_t i = 0; i < s->info.n_on; i++) /* weights and KV are not allocated, so they have no bytes there */
        if (s->info.on[i].bytes > ret->gpu) ret->gpu = s->info.on[i].bytes;
    ret->process = machine_memory_own() + history(s) + serving(s);
    fclose(f);
    slice_free(s);
    return ERR_OK;
}
