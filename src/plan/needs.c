/* SPDX-License-Identifier: MIT
 * See needs.h. */
#include "plan/needs.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "engine/need.h"
#include "engine/runtime.h"
#include "model/quirks.h"
#include "model/slice.h"
#include "os/machine.h"
#include "os/os.h"

static const char *const names[NEEDS_CLASSES] = {"middle", "first", "last", "whole"};

char *needs_key(const char *model_id, const struct engine_load *load) {
    return mem_printf("%s %s %s,%d,%d,%s,%s ctx %u seq %u batch %u/%u/%u kv %s/%s fa %s pool %s exact %d rewind %u mtp %d", model_id,
                      engine_runtime_version(), load->backends, load->n_gpu_layers, load->n_cpu_moe, load->devices, load->split_mode,
                      load->n_ctx, load->n_seq, engine_load_batch(load), engine_load_ubatch(load), engine_load_outputs(load),
                      load->cache_type_k, load->cache_type_v, load->flash_attn, load->pooling, load->exact, load->n_rewind, load->mtp);
}

/* ---- measuring ---- */

/* The cut between low and the model's end that is nearest below `want`, or else the next one above; 0: there is none. */
static uint32_t cut_near(const struct model_layout *l, uint32_t low, uint32_t want) {
    uint32_t cuts[MODEL_MAX_LAYERS + 1], n = model_quirks_cuts(l, cuts, MODEL_MAX_LAYERS + 1), found = 0;
    for (uint32_t i = 0; i < n; i++)
        if (cuts[i] > low && cuts[i] < l->n_layer && (cuts[i] <= want || found == 0)) found = cuts[i];
    return found;
}

/* A legal slice of the class. False: there is none. */
static bool choose(const struct model_layout *l, enum needs_class class, struct needs_slice *ret) {
    uint32_t n = l->n_layer;
    *ret = (struct needs_slice){.first = 0, .end = n};
    if (class == NEEDS_LAST) ret->first = cut_near(l, 0, n / 2);
    if (class == NEEDS_FIRST) ret->end = cut_near(l, 0, n / 2);
    if (class == NEEDS_MIDDLE) {
        ret->first = cut_near(l, 0, n / 3);
        ret->end = ret->first > 0 ? cut_near(l, ret->first, n - n / 3) : 0;
    }
    uint32_t got = (ret->first == 0 ? NEEDS_FIRST : 0) + (ret->end == n ? NEEDS_LAST : 0);
    return ret->end > ret->first && got == class && model_quirks_check(l, ret->first, ret->end, NULL) == ERR_OK;
}

/* The model's headers, and zeros for its tensors, which nobody looks at: the files may be on another machine. */
static bool read_header(void *user, uint32_t part, uint64_t offset, void *buf, size_t len) {
    size_t n;
    const uint8_t *header = model_gguf_header(user, part, &n);
    memset(buf, 0, len);
    if (offset < n) memcpy(buf, header + offset, len < n - offset ? len : n - (size_t)offset);
    return true;
}

/* Where the slice is asked about: in RAM, on GPUs, there without its experts, or only its later layers there: a GPU computes prompts for
 * layers in RAM, too, with copies of what they have. */
enum where { IN_RAM, ON_GPUS, ON_GPUS_APART, ON_GPUS_PARTLY, WHERES };

static err_code ask(const struct model_gguf *g, const struct model_layout *l, const struct engine_load *how, enum where where,
                    struct needs_slice *s, struct err *e) {
    struct engine_load load = *how;
    struct model_slice *slice = NULL;
    struct engine_need need = {0};
    load.n_gpu_layers = where == IN_RAM ? 0 : ENGINE_GPU_ALL;
    if (where == ON_GPUS_PARTLY) load.n_gpu_layers = (int32_t)((s->end - s->first) / 2 + 1); /* the output head counts as a layer */
    load.n_cpu_moe = where == ON_GPUS_APART ? ENGINE_MOE_ALL : 0;
    err_code code = model_slice_create(g, l, s->first, s->end, &slice, e);
    if (code == ERR_OK) code = engine_need_ask(slice, read_header, (void *)(uintptr_t)g, &load, &need, e);
    model_slice_free(slice);
    if ((where == ON_GPUS || where == ON_GPUS_PARTLY) && need.gpu > s->gpu) s->gpu = need.gpu;
    if (where == ON_GPUS_APART) s->apart = need.gpu;
    if (where != IN_RAM) return code;
    s->weights = need.weights;
    s->kv = need.kv;
    s->compute = need.compute;
    s->process = need.process;
    return code;
}

/* In a process that is about to end: writes the slice with its sizes. */
static void tell(int fd, const struct model_gguf *g, const struct model_layout *l, const struct engine_load *load, enum where where,
                 struct needs_slice *s) {
    struct err e = {0};
    os_memory_give_back(); /* as a stage does: what is free counts for nothing */
    if (ask(g, l, load, where, s, &e) != ERR_OK) log_debug("plan", "layers %u-%u: %s", s->first, s->end - 1, e.text);
    else if (write(fd, s, sizeof(*s)) != (ssize_t)sizeof(*s)) log_debug("plan", "the sizes could not be told");
}

static ssize_t read_all(int fd, void *to, size_t size) {
    ssize_t n;
    do n = read(fd, to, size); /* smaller than a pipe's buffer: it comes at once, or not at all */
    while (n < 0 && errno == EINTR);
    return n;
}

static bool measure(const struct model_gguf *g, const struct model_layout *l, const struct engine_load *load, enum where where,
                    struct needs_slice *s) {
    int fds[2];
    if (pipe(fds) != 0) return false;
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        tell(fds[1], g, l, load, where, s);
        _exit(0);
    }
    close(fds[1]);
    struct needs_slice got;
    bool told = pid > 0 && read_all(fds[0], &got, sizeof(got)) == (ssize_t)sizeof(got);
    close(fds[0]);
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
    if (told) *s = got;
    return told;
}

void needs_measure(const struct model_gguf *g, const struct model_layout *l, const struct engine_load *load, struct needs *ret) {
    bool on_gpus = load->n_gpu_layers == ENGINE_GPU_AUTO && load->devices[0] != '\0';
    *ret = (struct needs){0};
    if ((uint64_t)load->n_ctx * load->n_seq > NEEDS_MOST_CELLS) return;
    for (int i = 0; i < NEEDS_CLASSES; i++) {
        struct needs_slice *s = &ret->slices[i];
        bool known = choose(l, (enum needs_class)i, s) && measure(g, l, load, IN_RAM, s);
        if (!known) *s = (struct needs_slice){0};
        for (int where = ON_GPUS; known && on_gpus && where < WHERES; where++) measure(g, l, load, (enum where)where, s);
    }
}

/* ---- keeping ---- */

void needs_put(const struct needs *n, yyjson_mut_doc *doc, yyjson_mut_val *obj) {
    for (int i = 0; i < NEEDS_CLASSES; i++) {
        const struct needs_slice *s = &n->slices[i];
        if (s->end == 0) continue;
        yyjson_mut_val *o = yyjson_mut_obj_add_obj(doc, obj, names[i]);
        yyjson_mut_obj_add_uint(doc, o, "first", s->first);
        yyjson_mut_obj_add_uint(doc, o, "end", s->end);
        yyjson_mut_obj_add_uint(doc, o, "weights", s->weights);
        yyjson_mut_obj_add_uint(doc, o, "kv", s->kv);
        yyjson_mut_obj_add_uint(doc, o, "compute", s->compute);
        yyjson_mut_obj_add_uint(doc, o, "process", s->process);
        yyjson_mut_obj_add_uint(doc, o, "gpu", s->gpu);
        yyjson_mut_obj_add_uint(doc, o, "apart", s->apart);
    }
}

static err_code get_slice(yyjson_val *o, struct needs_slice *s, struct err *e) {
    err_code code = json_get_u32(o, "first", MODEL_MAX_LAYERS, &s->first, e);
    if (code == ERR_OK) code = json_get_u32(o, "end", MODEL_MAX_LAYERS, &s->end, e);
    if (code == ERR_OK) code = json_get_u64(o, "weights", &s->weights, e);
    if (code == ERR_OK) code = json_get_u64(o, "kv", &s->kv, e);
    if (code == ERR_OK) code = json_get_u64(o, "compute", &s->compute, e);
    if (code == ERR_OK) code = json_get_u64(o, "process", &s->process, e);
    if (code == ERR_OK) code = json_get_u64(o, "gpu", &s->gpu, e);
    if (code == ERR_OK) code = json_get_u64(o, "apart", &s->apart, e);
    if (code == ERR_OK && s->end <= s->first) code = err_set_field(e, ERR_INVALID, "end", "expected more than first");
    return code;
}

err_code needs_get(yyjson_val *obj, struct needs *ret, struct err *e) {
    struct needs n = {0};
    err_code code = yyjson_is_obj(obj) ? ERR_OK : err_set(e, ERR_INVALID, "sizes of slices: expected an object");
    for (int i = 0; i < NEEDS_CLASSES && code == ERR_OK; i++) {
        yyjson_val *o = yyjson_obj_get(obj, names[i]);
        if (o != NULL) code = get_slice(o, &n.slices[i], e);
    }
    if (code == ERR_OK) *ret = n;
    return code;
}
