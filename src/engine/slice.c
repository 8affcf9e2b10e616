/* SPDX-License-Identifier: MIT */
#include "engine/slice.h"

#include <llama.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/pulse.h"
#include "base/str.h"
#include "engine/backends.h"
#include "engine/experts.h"
#include "engine/runtime.h"
#include "engine/slice_priv.h"
#include "engine/vocab.h"
#include "model/types.h"
#include "os/machine.h"

enum { DEFAULT_CTX = 4096, MAX_DEVICES = 16, MAX_PROPORTIONS = 64, MAX_PATTERN = 8192 };

/* ---- parameters ---- */

static bool is_gpu(ggml_backend_dev_t dev) {
    enum ggml_backend_dev_type type = ggml_backend_dev_type(dev);
    return type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
}

/* "a,b" to ggml's devices, with NULL after the last. Without GPU layers the list is empty, so that nothing at all goes to a GPU. */
static err_code find_devices(const struct engine_load *load, ggml_backend_dev_t *ret, bool *ret_all, struct err *e) {
    char names[sizeof(load->devices)];
    size_t n = 0;
    memcpy(names, load->devices, sizeof(names));
    *ret_all = names[0] == '\0' && engine_load_has_gpu(load);
    ret[0] = NULL;
    if (*ret_all || !engine_load_has_gpu(load) || strcmp(names, "none") == 0) return ERR_OK;
    for (char *name = names, *next; name != NULL; name = next) {
        next = strchr(name, ',');
        if (next != NULL) *next++ = '\0';
        ggml_backend_dev_t dev = ggml_backend_dev_by_name(name);
        if (dev == NULL || ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU) {
            err_set(e, ERR_INVALID, "device \"%s\": there is no such device to offload to", name);
            err_hint(e, "`caravan doctor` lists them; \"none\" is the CPU");
            return ERR_INVALID;
        }
        if (n + 1 >= MAX_DEVICES) return err_set(e, ERR_LIMIT, "more than %d devices", MAX_DEVICES - 1);
        ret[n++] = dev;
        ret[n] = NULL;
    }
    return ERR_OK;
}

/* "12,8": the layers on each device, as proportions for libllama. */
static const float *split(const struct engine_load *load, float *room, size_t max) {
    const char *at = load->tensor_split, *part;
    size_t len, n = 0;
    if (*at == '\0') return NULL;
    for (size_t i = 0; i < max; i++) room[i] = 0;
    while (n < max && str_next(&at, ',', &part, &len)) room[n++] = strtof(part, NULL);
    return room;
}

/* How many of the slice's first layers keep their experts in RAM; ENGINE_MOE_ALL: all of them. */
static int32_t experts_in_ram(const struct slice *s, const struct engine_load *load) {
    int32_t n = load->n_cpu_moe, layers = (int32_t)(s->what.end - s->what.first);
    if (!engine_load_has_gpu(load) || n == ENGINE_MOE_AUTO) return 0;
    return n < layers ? n : ENGINE_MOE_ALL;
}

static bool has_experts(const struct llama_model *m) {
    char arch[MODEL_MAX_ARCH], key[MODEL_MAX_ARCH + sizeof ".expert_count"], number[16];
    if (llama_model_meta_val_str(m, "general.architecture", arch, sizeof(arch)) < 0) return false;
    snprintf(key, sizeof(key), "%s.expert_count", arch);
    return llama_model_meta_val_str(m, key, number, sizeof(number)) > 0 && strtol(number, NULL, 10) > 0;
}

/* May libllama keep copies of experts on GPUs? It refuses a context with such a cache where there are no experts, and with tensors that are
 * divided among GPUs. While it only lays out, the copies would count as buffers of the slice; nodes offer less of their GPUs instead. */
static bool caches_experts(const struct slice *s, const struct engine_load *load) {
    return !s->laid_out && experts_in_ram(s, load) != 0 && has_experts(s->model) && strcmp(load->split_mode, "tensor") != 0;
}

static enum llama_split_mode split_mode(const char *name) {
    if (strcmp(name, "none") == 0) return LLAMA_SPLIT_MODE_NONE;
    if (strcmp(name, "tensor") == 0) return LLAMA_SPLIT_MODE_TENSOR;
    return strcmp(name, "row") == 0 ? LLAMA_SPLIT_MODE_ROW : LLAMA_SPLIT_MODE_LAYER;
}

static bool is_quantized(const char *cache_type) {
    return strcmp(cache_type, "f32") != 0 && strcmp(cache_type, "f16") != 0 && strcmp(cache_type, "bf16") != 0;
}

/* On a CPU, ggml's flash attention divides the cells of a token that is computed alone among the threads, from 512 cells on. Then its bits
 * are others than beside another token, or with another number of threads. A quantised cache is not divided, and needs it. */
static enum llama_flash_attn_type flash_attn(const struct engine_load *load) {
    if (strcmp(load->flash_attn, "on") == 0) return LLAMA_FLASH_ATTN_TYPE_ENABLED;
    bool divides = load->exact && !engine_load_has_gpu(load) && !is_quantized(load->cache_type_v);
    return divides || strcmp(load->flash_attn, "off") == 0 ? LLAMA_FLASH_ATTN_TYPE_DISABLED : LLAMA_FLASH_ATTN_TYPE_AUTO;
}

static err_code cache_type(const char *field, const char *name, enum ggml_type *ret, struct err *e) {
    uint32_t type;
    if (!model_type_parse(name, &type)) return err_set_field(e, ERR_INVALID, field, "unknown type \"%s\"", name);
    *ret = (enum ggml_type)type;
    return ERR_OK;
}

static err_code check_load(const struct engine_load *load, struct err *e) {
    if (load->n_seq < 1 || load->n_seq > llama_max_parallel_sequences())
        return err_set_field(e, ERR_INVALID, "n_seq", "expected a number from 1 to %zu, got %u", llama_max_parallel_sequences(),
                             load->n_seq);
    const char *v = load->cache_type_v;
    if (is_quantized(v) && strcmp(load->flash_attn, "off") == 0) {
        err_set(e, ERR_INVALID, "a V cache of type \"%s\" needs flash attention", v);
        err_hint(e, "leave --flash-attn at auto, or use --cache-type-v f16");
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* ---- loading ---- */

struct loading {
    engine_progress_fn progress;
    void *user;
    bool stopped;
};

static bool on_progress(float fraction, void *user) {
    struct loading *l = user;
    if (l->progress != NULL && !l->progress(l->user, fraction)) l->stopped = true;
    return !l->stopped;
}

/* Turns libllama's last message into an error. Out of memory has a code of its own, because a new plan can mend it. */
static err_code refused(const struct slice *s, const char *what, struct err *e) {
    const char *why = engine_runtime_complaint();
    bool memory = strstr(why, "alloc") != NULL || strstr(why, "out of memory") != NULL;
    err_code code = err_set(e, memory ? ERR_NO_ROOM : ERR_ENGINE, "cannot %s layers %u-%u: %s", what, s->what.first, s->what.end - 1,
                            *why != '\0' ? why : "libllama gives no reason");
    if (strstr(why, "split buffers") != NULL) err_hint(e, "no rows are divided there: --split-mode layer, or tensor");
    return code;
}

/* What libllama's parameters point to while it loads. */
struct placing {
    ggml_backend_dev_t devices[MAX_DEVICES];
    float proportions[MAX_PROPORTIONS];
    struct buf pattern; /* of the experts' names */
    struct llama_model_tensor_buft_override experts[2];
};

/* Tells the tally of allocated memory which GPUs are joined. */
static void join(ggml_backend_dev_t const *named, bool all) {
    const char *names[MAX_DEVICES];
    uint32_t n = 0;
    for (size_t i = 0; all && i < ggml_backend_dev_count() && n < MAX_DEVICES; i++)
        if (is_gpu(ggml_backend_dev_get(i))) names[n++] = ggml_backend_dev_name(ggml_backend_dev_get(i));
    for (; !all && named[n] != NULL; n++) names[n] = ggml_backend_dev_name(named[n]);
    engine_runtime_join(names, n);
}

/* Which devices share the slice, and how. */
static err_code place(const struct slice *s, const struct engine_load *load, struct placing *to, struct llama_model_params *ret,
                      struct err *e) {
    int32_t in_ram = experts_in_ram(s, load);
    bool all;
    err_code code = find_devices(load, to->devices, &all, e);
    if (code != ERR_OK) return code;
    ret->devices = all ? NULL : to->devices;
    ret->n_gpu_layers = engine_load_has_gpu(load) ? load->n_gpu_layers : 0;
    ret->tensor_split = split(load, to->proportions, llama_max_devices() < MAX_PROPORTIONS ? llama_max_devices() : MAX_PROPORTIONS);
    ret->split_mode = split_mode(load->split_mode);
    if (ret->split_mode == LLAMA_SPLIT_MODE_TENSOR) join(to->devices, all);
    if (in_ram == 0) return ERR_OK;
    engine_experts_pattern(in_ram == ENGINE_MOE_ALL ? in_ram : in_ram + (int32_t)s->what.n_lead, &to->pattern);
    to->experts[0].pattern = buf_cstr(&to->pattern);
    to->experts[0].buft = ggml_backend_cpu_buffer_type();
    ret->tensor_buft_overrides = to->experts;
    return ERR_OK;
}

static err_code load_model(struct slice *s, const struct model_slice *slice, model_read_fn read, void *read_user,
                           const struct engine_load *load, struct loading *loading, struct err *e) {
    struct placing to = {0};
    struct llama_model_params params = llama_model_default_params();
    FILE *f = NULL;
    params.no_alloc = s->laid_out;
    params.load_mtp = s->what.tail && s->what.n_mtp > 0;
    params.load_mode = LLAMA_LOAD_MODE_NONE; /* the file is not on disk, so it can't be mapped */
    params.use_extra_bufts = true;           /* weights repacked for this CPU */
    params.progress_callback = on_progress;
    params.progress_callback_user_data = loading;
    buf_init(&to.pattern, MAX_PATTERN);
    err_code code = place(s, load, &to, &params, e);
    if (code == ERR_OK) code = model_slice_open(slice, read, read_user, &f, e);
    if (code == ERR_OK) {
        s->model = llama_model_load_from_file_ptr(f, params);
        fclose(f);
        if (s->model == NULL) code = loading->stopped ? err_set(e, ERR_CANCELLED, "loading was stopped") : refused(s, "load", e);
    }
    buf_done(&to.pattern);
    return code;
}

/* ggml calls this before each operation on a CPU. It tells the watch that computing makes progress. */
static bool on_operation(void *user) {
    (void)user;
    pulse_step_done();
    return false;
}

static uint32_t context_wish(const struct slice *s, const struct engine_load *load) {
    if (load->n_ctx > 0) return load->n_ctx;
    int32_t trained = llama_model_n_ctx_train(s->model);
    return trained > 0 && trained < DEFAULT_CTX ? (uint32_t)trained : DEFAULT_CTX;
}

static err_code make_context(struct slice *s, const struct engine_load *load, struct err *e) {
    uint32_t threads = load->n_threads > 0 ? load->n_threads : machine_threads();
    uint64_t cells = (uint64_t)context_wish(s, load) * load->n_seq;
    if (cells > INT32_MAX)
        return err_set_field(e, ERR_INVALID, "n_ctx", "%u sequences of %u positions are too many", load->n_seq, context_wish(s, load));
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)cells;
    params.n_seq_max = load->n_seq;
    params.n_batch = engine_load_batch(load);
    params.n_ubatch = engine_load_ubatch(load);
    params.n_threads = (int32_t)threads;
    params.n_threads_batch = (int32_t)(load->n_threads_batch > 0 ? load->n_threads_batch : threads);
    params.n_rs_seq = s->recurrent ? load->n_rewind : 0; /* libllama sets it to 0 where it cannot keep copies */
    params.flash_attn_type = flash_attn(load);
    params.kv_unified = !s->streams;
    params.swa_full = false;
    params.offload_kqv = engine_load_has_gpu(load);
    params.op_offload = engine_load_has_gpu(load);
    params.no_perf = true;
    params.abort_callback = on_operation;
    err_code code = cache_type("cache_type_k", load->cache_type_k, &params.type_k, e);
    if (code == ERR_OK) code = cache_type("cache_type_v", load->cache_type_v, &params.type_v, e);
    if (code != ERR_OK) return code;
    if (s->pool.caught || (!s->what.tail && !s->what.no_embeddings)) {
        /* All rows are computed, and no buffer for logits is made. (MEAN would abort on batches of unequal sequences.) */
        params.embeddings = true;
        params.pooling_type = LLAMA_POOLING_TYPE_LAST;
    }
    if (slice_graph_watches(s)) {
        params.cb_eval = slice_graph_watch;
        params.cb_eval_user_data = s;
    }
    if (caches_experts(s, load)) params.moe_cache_size = (size_t)load->moe_cache_mib << 20;
    if (s->n_outputs > 0) params.n_outputs_max = s->n_outputs;
    slice_pool_context(s, &params);
    s->ctx = llama_init_from_model(s->model, params);
    if (s->ctx == NULL) return refused(s, "make a context for", e);
    slice_mtp_open(s, &params);
    s->mem = llama_get_memory(s->ctx);
    if (s->mem == NULL && s->pool.type == ENGINE_POOL_NONE)
        return err_set(e, ERR_UNSUPPORTED, "this model keeps no memory of what it read: it cannot generate");
    return ERR_OK;
}

/* ---- describing the slice ----  */

static void name_device(struct slice *s, const struct engine_load *load) {
    char *to = s->info.device, variant[32];
    size_t room = sizeof(s->info.device);
    ggml_backend_dev_t chosen[MAX_DEVICES];
    bool all = false;
    engine_backends_variant(variant, sizeof(variant));
    if (variant[0] != '\0') snprintf(to, room, "CPU (%s)", variant);
    else snprintf(to, room, "CPU");
    if (!engine_load_has_gpu(load) || find_devices(load, chosen, &all, NULL) != ERR_OK) return;
    ggml_backend_dev_t dev = chosen[0];
    for (size_t i = 0; all && dev == NULL && i < ggml_backend_dev_count(); i++)
        if (is_gpu(ggml_backend_dev_get(i))) dev = ggml_backend_dev_get(i);
    if (dev != NULL) snprintf(to, room, "%s (%s)", ggml_backend_dev_name(dev), ggml_backend_dev_description(dev));
}

static void tell(struct slice *s, const struct engine_load *load) {
    struct engine_info *info = &s->info;
    struct engine_tally tally = engine_runtime_tally();
    info->n_embd = s->what.n_hidden_in > s->what.n_hidden_out ? s->what.n_hidden_in : s->what.n_hidden_out;
    if (info->n_embd == 0) info->n_embd = (uint32_t)llama_model_n_embd(s->model);
    info->n_vocab = s->what.ids || s->what.tail ? engine_vocab_size(s->vocab) : 0;
    info->n_seq = load->n_seq;
    info->n_ctx_seq = context_wish(s, load); /* libllama rounds its cells up */
    info->n_ctx = llama_n_ctx(s->ctx);
    info->n_batch = llama_n_batch(s->ctx);
    info->pooling = s->pool.type;
    info->at_once = s->pool.at_once;
    info->first = s->what.head;
    info->last = s->what.tail;
    info->can_remove = !s->recurrent && (s->window == 0 || s->window >= info->n_ctx_seq);
    bool moves = s->window > 0 || s->what.keeps_state; /* a restored state may lie in other cells, whose sums have other last bits */
    info->can_mark = !info->can_remove && s->pool.type == ENGINE_POOL_NONE && !(load->exact && moves);
    info->mark_whole = info->can_mark && (llama_model_is_recurrent(s->model) || s->what.keeps_state);
    info->n_rewind = !s->recurrent ? info->n_ctx_seq : s->window == 0 ? llama_n_rs_seq(s->ctx) : 0;
    info->n_guess = s->what.n_mtp > 0 && s->pool.type == ENGINE_POOL_NONE && info->n_rewind > 0 ? ENGINE_MAX_GUESS : 0;
    info->rewind_alone = !info->can_remove && !s->recurrent && !s->streams && load->n_seq > 1;
    info->cells_move = s->window > 0 && s->window < info->n_ctx_seq; /* they are a ring, and its order shows in sums */
    info->bytes_weights = tally.weights > 0 ? tally.weights : llama_model_size(s->model);
    info->bytes_kv = s->laid_out ? tally.kv_laid_out : tally.kv;
    info->bytes_compute = tally.compute;
    info->n_on = tally.n_on;
    memcpy(info->on, tally.on, sizeof(info->on));
    int32_t in_ram = experts_in_ram(s, load);
    info->n_cpu_moe = in_ram == ENGINE_MOE_ALL ? s->what.end - s->what.first : (uint32_t)in_ram;
    name_device(s, load);
}

static err_code check_model(struct slice *s, struct err *e) {
    if (llama_model_has_encoder(s->model) || !llama_model_has_decoder(s->model))
        return err_set(e, ERR_UNSUPPORTED, "the model is not a decoder-only language model");
    uint32_t width = (uint32_t)llama_model_n_embd_inp(s->model);
    if (!s->what.head && s->what.in_tensor[0] == '\0' && width != s->what.n_hidden_in)
        return err_set(e, ERR_UNSUPPORTED, "libllama wants rows of %u numbers, the slice before gives %u", width, s->what.n_hidden_in);
    return ERR_OK;
}

/* Allocates every buffer of eval, so that eval allocates nothing. */
static err_code make_room(struct slice *s, struct err *e) {
    uint32_t n = s->info.n_batch;
    enum llama_rope_type rope = llama_model_rope_type(s->model);
    s->n_pos = rope == LLAMA_ROPE_TYPE_MROPE || rope == LLAMA_ROPE_TYPE_IMROPE ? 4 : 1;
    s->seq_ids = mem_calloc(n, sizeof(*s->seq_ids));
    s->ids = s->what.head || s->what.in_tensor[0] != '\0' ? mem_calloc(n, sizeof(*s->ids)) : NULL;
    slice_pos_room(s);
    s->batch.pos = mem_calloc((size_t)n * s->n_pos, sizeof(*s->batch.pos));
    s->batch.n_seq_id = mem_calloc(n, sizeof(*s->batch.n_seq_id));
    s->batch.seq_id = mem_calloc(n, sizeof(llama_seq_id *));
    s->batch.logits = mem_calloc(n, 1);
    s->seen = mem_calloc(s->info.n_seq, sizeof(*s->seen));
    s->run = mem_calloc(s->info.n_seq, sizeof(*s->run));
    s->parked = mem_calloc(s->info.n_seq, sizeof(*s->parked));
    for (uint32_t i = 0; i < n; i++) {
        s->batch.n_seq_id[i] = 1;
        s->batch.seq_id[i] = &s->seq_ids[i];
    }
    err_code code = slice_graph_room(s, e);
    if (code != ERR_OK) return code;
    if (!s->what.head && s->what.input_scale != 1.0f) {
        s->rows_in = malloc((size_t)n * s->what.n_hidden_in * sizeof(*s->rows_in));
        if (s->rows_in == NULL) return err_set(e, ERR_MEMORY, "no memory for %u hidden rows", n);
    }
    if (!s->what.tail) return ERR_OK;
    if (s->pool.type != ENGINE_POOL_NONE) return slice_pool_room(s, e);
    size_t n_history = (size_t)s->info.n_seq * s->info.n_ctx_seq;
    s->rows = mem_calloc(n, sizeof(*s->rows));
    s->samplers = mem_calloc(s->info.n_seq, sizeof(struct engine_sampler *));
    s->scratch = engine_scratch_create(s->info.n_vocab);
    s->history = malloc(n_history * sizeof(*s->history));
    if (s->history == NULL) return err_set(e, ERR_MEMORY, "no memory for the history of %u sequences", s->info.n_seq);
    memset(s->history, 0xFF, n_history * sizeof(*s->history));
    if (!slice_mtp_room(s)) return err_set(e, ERR_MEMORY, "no memory for the rows that guesses are made from");
    return ERR_OK;
}

/* Tokens of a part that can have logits: the rows of libllama's buffer for them. An earlier slice that can't be asked for embeddings has
 * this buffer too, and needs a row in it for each token. 0: there is none. */
static uint32_t outputs(const struct slice *s, const struct engine_load *load) {
    if (s->pool.type != ENGINE_POOL_NONE) return 0;
    if (s->what.tail) return engine_load_outputs(load);
    return s->what.no_embeddings ? engine_load_ubatch(load) : 0;
}

static err_code open_slice(struct slice *s, const struct model_slice *slice, model_read_fn read, void *read_user,
                           const struct engine_load *load, struct loading *loading, struct err *e) {
    err_code code = load_model(s, slice, read, read_user, load, loading, e);
    if (code == ERR_OK) code = check_model(s, e);
    if (code != ERR_OK) return code;
    s->vocab = llama_model_get_vocab(s->model);
    slice_pool_choose(s, load);
    s->recurrent = llama_model_is_recurrent(s->model) || llama_model_is_hybrid(s->model);
    int32_t window = llama_model_n_swa(s->model);
    s->window = window > 0 ? (uint32_t)window : 0;
    s->exact = load->exact;
    s->n_outputs = outputs(s, load);
    s->streams = load->n_seq > 1 && !s->what.kv_pool && load->exact;
    s->divides = s->streams || (s->what.injects && llama_model_is_recurrent(s->model));
    if ((code = make_context(s, load, e)) != ERR_OK) return code;
    tell(s, load);
    return s->laid_out ? ERR_OK : make_room(s, e);
}

/* lay_out: nothing is allocated. */
static err_code start(const struct model_slice *slice, model_read_fn read, void *read_user, const struct engine_load *load, bool lay_out,
                      struct loading *loading, struct slice **ret, struct err *e) {
    err_code code = engine_runtime_start(load->backends, e);
    if (code == ERR_OK) code = check_load(load, e);
    if (code != ERR_OK) return code;
    if (engine_load_has_gpu(load)) engine_runtime_gpus(load->backends, load->more_backends, NULL);
    struct slice *s = MEM_NEW(struct slice);
    s->what = *model_slice_info(slice);
    s->laid_out = lay_out;
    engine_runtime_clear();
    code = open_slice(s, slice, read, read_user, load, loading, e);
    if (code == ERR_OK) *ret = s;
    else slice_free(s);
    return code;
}

err_code slice_lay_out(const struct model_slice *slice, model_read_fn read, void *read_user, const struct engine_load *load,
                       struct slice **ret, struct err *e) {
    struct loading loading = {0};
    return start(slice, read, read_user, load, true, &loading, ret, e);
}

err_code engine_slice_open(const struct model_slice *slice, model_read_fn read, void *read_user, const struct engine_load *load,
                           engine_progress_fn progress, void *user, struct engine *ret, struct err *e) {
    struct loading loading = {progress, user, false};
    struct slice *s;
    err_code code = start(slice, read, read_user, load, false, &loading, &s, e);
    if (code != ERR_OK) return code;
    log_debug("engine", "layers %u-%u on %s: weights %llu, KV %llu, compute %llu bytes", s->what.first, s->what.end - 1, s->info.device,
              (unsigned long long)s->info.bytes_weights, (unsigned long long)s->info.bytes_kv, (unsigned long long)s->info.bytes_compute);
    *ret = (struct engine){.ops = &slice_ops, .self = s, .info = s->info};
    return ERR_OK;
}

void slice_free(struct slice *s) {
    if (s == NULL) return;
    for (uint32_t i = 0; s->samplers != NULL && i < s->info.n_seq; i++) engine_sampler_free(s->samplers[i]);
    free(s->samplers);
    engine_scratch_free(s->scratch);
    slice_pool_done(s);
    slice_graph_done(s);
    slice_park_free(s);
    slice_room_free(s);
    slice_mark_free(s);
    slice_pos_done(s);
    slice_media_close(s);
    slice_mtp_done(s);
    free(s->history);
    free(s->kept);
    free(s->rows);
    free(s->rows_in);
    free(s->seen);
    free(s->run);
    free(s->ids);
    free(s->batch.pos);
    free(s->batch.n_seq_id);
    free(s->batch.seq_id);
    free(s->batch.logits);
    free(s->seq_ids);
    if (s->ctx != NULL) llama_free(s->ctx);
    if (s->model != NULL) llama_model_free(s->model);
    free(s);
}
