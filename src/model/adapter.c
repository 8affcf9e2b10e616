/* SPDX-License-Identifier: MIT
 * See adapter.h. The form of the files: llama.cpp, convert_lora_to_gguf.py and llama-adapter.cpp. */
#include "model/adapter.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/hash.h"
#include "model/sample.h"
#include "model/slice_priv.h"

static const char FIRST[] = ".lora_a", SECOND[] = ".lora_b", EMBEDDING[] = "token_embd.weight";

/* ---- the option ---- */

/* "FILE:0.5": a number behind the last colon is the scale. */
static err_code parse_one(const char *part, size_t len, struct model_adapter *ret, struct err *e) {
    char text[MODEL_ADAPTER_PATH + 32];
    if (len == 0) return err_set(e, ERR_INVALID, "an adapter without a name");
    if (len >= sizeof(text)) return err_set(e, ERR_LIMIT, "the path of an adapter has more than %d bytes", MODEL_ADAPTER_PATH - 1);
    snprintf(text, sizeof(text), "%.*s", (int)len, part);
    char *colon = strrchr(text, ':'), *end = NULL;
    double scale = colon != NULL && colon[1] != '\0' ? strtod(colon + 1, &end) : NAN;
    bool scaled = end != NULL && *end == '\0' && colon > text;
    if (scaled && !(fabs(scale) <= MODEL_MAX_SCALE))
        return err_set(e, ERR_INVALID, "the scale of adapter \"%s\" is no number from %d to %d", text, -MODEL_MAX_SCALE, MODEL_MAX_SCALE);
    if (scaled) *colon = '\0';
    if (strlen(text) >= sizeof(ret->path))
        return err_set(e, ERR_LIMIT, "the path of an adapter has more than %d bytes", MODEL_ADAPTER_PATH - 1);
    memcpy(ret->path, text, strlen(text) + 1);
    ret->scale = scaled ? scale : 1;
    return ERR_OK;
}

err_code model_adapters_parse(const char *text, struct model_adapter ret[MODEL_MAX_ADAPTERS], uint32_t *ret_n, struct err *e) {
    const char *part;
    size_t len;
    uint32_t n = 0;
    for (const char *at = text; *text != '\0' && str_next(&at, ',', &part, &len);) {
        if (n == MODEL_MAX_ADAPTERS) return err_set(e, ERR_LIMIT, "at most %d adapters", MODEL_MAX_ADAPTERS);
        err_code code = parse_one(part, len, &ret[n++], e);
        if (code != ERR_OK) return code;
    }
    *ret_n = n;
    return ERR_OK;
}

err_code model_adapters_write(const struct model_adapter *list, uint32_t n, char *ret, size_t size, struct err *e) {
    size_t at = 0;
    if (size > 0) ret[0] = '\0';
    for (uint32_t i = 0; i < n; i++) {
        if (strchr(list[i].path, ',') != NULL) return err_set(e, ERR_INVALID, "a comma in the path of adapter \"%s\"", list[i].path);
        int len = snprintf(ret + at, size - at, "%s%s:%.9g", i > 0 ? "," : "", list[i].path, list[i].scale);
        if (len < 0 || (size_t)len >= size - at) return err_set(e, ERR_LIMIT, "the paths of the adapters are too long");
        at += (size_t)len;
    }
    return ERR_OK;
}

static err_code make_absolute(struct model_adapter *a, struct err *e) {
    char *path = realpath(a->path, NULL);
    size_t len = path != NULL ? strlen(path) : 0;
    if (path == NULL) {
        err_set_errno(e, ERR_NOT_FOUND, errno, "cannot read adapter \"%s\"", a->path);
        err_hint(e, "give the path of a GGUF file that convert_lora_to_gguf.py has made");
        return ERR_NOT_FOUND;
    }
    if (len < sizeof(a->path)) memcpy(a->path, path, len + 1);
    free(path);
    return len < sizeof(a->path) ? ERR_OK : err_set(e, ERR_LIMIT, "the path of adapter \"%s\" is too long", a->path);
}

err_code model_adapters_absolute(const char *text, char *ret, size_t size, struct err *e) {
    struct model_adapter list[MODEL_MAX_ADAPTERS];
    uint32_t n = 0;
    err_code code = model_adapters_parse(text, list, &n, e);
    for (uint32_t i = 0; i < n && code == ERR_OK; i++) code = make_absolute(&list[i], e);
    return code == ERR_OK ? model_adapters_write(list, n, ret, size, e) : code;
}

/* ---- does it fit? ---- */

static bool ends_with(const char *name, const char *end, size_t *ret_stem) {
    size_t len = strlen(name), n = strlen(end);
    *ret_stem = len > n ? len - n : 0;
    return len > n && strcmp(name + len - n, end) == 0;
}

/* Does a text of the header have this value? */
bool model_adapter_is(const struct model_gguf *g) { return model_kv_is(model_gguf_find(g, "general.type"), "adapter"); }

/* Multi-token prediction, which no slice computes. */
static bool is_left_out(const struct model_layout *l, const char *name) {
    int32_t layer = model_layer_of_name(name, NULL);
    return layer >= 0 && (uint32_t)layer >= l->n_layer;
}

static err_code check_kind(const struct model_gguf *a, const struct model_layout *l, struct err *e) {
    const char *path = model_gguf_path(a, 0);
    if (!model_adapter_is(a)) {
        err_set(e, ERR_UNSUPPORTED, "\"%s\" is no adapter: its general.type is not \"adapter\"", path);
        err_hint(e, "convert_lora_to_gguf.py of llama.cpp makes one of the files of PEFT");
        return ERR_UNSUPPORTED;
    }
    if (!model_kv_is(model_gguf_find(a, "adapter.type"), "lora"))
        return err_set(e, ERR_UNSUPPORTED, "adapter \"%s\" is of another type than LoRA", path);
    if (model_gguf_find(a, "adapter.alora.invocation_tokens") != NULL)
        return err_set(e, ERR_UNSUPPORTED, "adapter \"%s\" is one that certain tokens activate (aLoRA)", path);
    if (strcmp(model_gguf_arch(a), l->arch) != 0)
        return err_set(e, ERR_INVALID, "adapter \"%s\" is for the architecture \"%s\", and the model's is \"%s\"", path, model_gguf_arch(a),
                       l->arch);
    return ERR_OK;
}

static err_code wrong_shape(const struct model_gguf *a, const struct model_tensor *t, const struct model_tensor *base, struct err *e) {
    err_set(e, ERR_INVALID, "adapter \"%s\", tensor \"%s\": %" PRIu64 " x %" PRIu64 " does not fit the model's %" PRIu64 " x %" PRIu64,
            model_gguf_path(a, 0), t->name, t->ne[0], t->ne[1], base->ne[0], base->ne[1]);
    err_hint(e, "it was made for another model");
    return ERR_INVALID;
}

/* An embedding's first matrix is looked up in, so it has a row for each token. */
static err_code check_pair(const struct model_gguf *a, const struct model_tensor *first, const struct model_tensor *second,
                           const struct model_tensor *base, struct err *e) {
    bool embedding = strcmp(base->name, EMBEDDING) == 0;
    uint64_t in = embedding ? first->ne[1] : first->ne[0], rank = embedding ? first->ne[0] : first->ne[1];
    if (in != (embedding ? base->ne[1] : base->ne[0]) || first->ne[2] != base->ne[2]) return wrong_shape(a, first, base, e);
    if (second->ne[1] != (embedding ? base->ne[0] : base->ne[1]) || second->ne[0] != rank || second->ne[2] != base->ne[2])
        return wrong_shape(a, second, base, e);
    return ERR_OK;
}

static err_code check_tensor(const struct model_gguf *a, const struct model_layout *l, const struct model_tensor *t, struct err *e) {
    char base[SLICE_MAX_NAME], other[SLICE_MAX_NAME + sizeof(FIRST)];
    const char *path = model_gguf_path(a, 0);
    size_t stem = 0;
    bool first = ends_with(t->name, FIRST, &stem);
    if (!first && !ends_with(t->name, SECOND, &stem))
        return err_set(e, ERR_UNSUPPORTED, "adapter \"%s\": tensor \"%s\" is neither a lora_a nor a lora_b", path, t->name);
    snprintf(base, sizeof(base), "%.*s", (int)stem, t->name);
    snprintf(other, sizeof(other), "%s%s", base, first ? SECOND : FIRST);
    const struct model_tensor *pair = model_gguf_find_tensor(a, other), *of = model_gguf_find_tensor(l->gguf, base);
    if (of == NULL) {
        err_set(e, ERR_INVALID, "adapter \"%s\": the model has no tensor \"%s\"", path, base);
        err_hint(e, "it was made for another model");
        return ERR_INVALID;
    }
    if (pair == NULL) return err_set(e, ERR_INVALID, "adapter \"%s\": tensor \"%s\" is missing", path, other);
    if (l->tied && strcmp(base, EMBEDDING) == 0)
        return err_set(e, ERR_UNSUPPORTED, "adapter \"%s\" changes the embedding, which is the model's output table, too", path);
    return first ? check_pair(a, t, pair, of, e) : ERR_OK;
}

err_code model_adapter_check(const struct model_gguf *adapter, const struct model_layout *l, struct err *e) {
    err_code code = check_kind(adapter, l, e);
    for (size_t i = 0; i < model_gguf_n_tensors(adapter) && code == ERR_OK; i++)
        code = check_tensor(adapter, l, model_gguf_tensor(adapter, i), e);
    return code;
}

err_code model_adapter_open(const char *path, const struct model_layout *l, struct model_gguf **ret, struct err *e) {
    struct model_gguf *g = NULL;
    err_code code = model_gguf_open(path, &g, e);
    if (code != ERR_OK) {
        err_prefix(e, "adapter");
        return code;
    }
    code = model_adapter_check(g, l, e);
    if (code == ERR_OK) *ret = g;
    else model_gguf_free(g);
    return code;
}

err_code model_adapter_id(const struct model_gguf *adapter, char ret[MODEL_ADAPTER_ID], struct err *e) {
    char sample[MODEL_SAMPLE_SIZE];
    uint8_t hash[MODEL_HASH_SIZE];
    err_code code = model_sample(adapter, sample, e); /* a hash over the header's, too */
    if (code != ERR_OK) return code;
    model_hash(sample, strlen(sample), hash);
    str_hex(hash, sizeof(hash), ret);
    return ERR_OK;
}

static err_code read_one(struct model_adapter *a, const struct model_layout *l, model_adapter_fn fn, void *user, struct err *e) {
    struct model_gguf *g = NULL;
    err_code code = model_adapter_open(a->path, l, &g, e);
    if (code == ERR_OK) code = model_adapter_id(g, a->id, e);
    if (code == ERR_OK && fn != NULL) fn(user, a, g);
    model_gguf_free(g);
    return code;
}

err_code model_adapters_read(const char *text, const struct model_layout *l, struct model_adapter ret[MODEL_MAX_ADAPTERS], uint32_t *ret_n,
                             model_adapter_fn fn, void *user, struct err *e) {
    uint32_t n = 0;
    err_code code = model_adapters_parse(text, ret, &n, e);
    for (uint32_t i = 0; i < n && code == ERR_OK; i++) code = read_one(&ret[i], l, fn, user, e);
    if (code == ERR_OK) *ret_n = n;
    return code;
}

/* ---- its parts ---- */

/* Tensors outside of the layers belong to the slices that compute with them. */
static uint32_t layer_of(const struct model_layout *l, const char *name) {
    int32_t layer = model_layer_of_name(name, NULL);
    return layer >= 0 ? (uint32_t)layer : strncmp(name, "output", 6) == 0 ? l->n_layer - 1 : 0;
}

void model_adapter_bytes(const struct model_gguf *adapter, const struct model_layout *l, uint64_t *bytes) {
    for (size_t i = 0; i < model_gguf_n_tensors(adapter); i++) {
        const struct model_tensor *t = model_gguf_tensor(adapter, i);
        if (!is_left_out(l, t->name)) bytes[layer_of(l, t->name)] += t->bytes;
    }
}

static bool take_tensor(const struct model_slice *s, const struct model_tensor *source, struct slice_tensor *t) {
    const char *rest = source->name;
    int32_t layer = model_layer_of_name(source->name, &rest);
    uint32_t at = layer_of(s->l, source->name);
    if (is_left_out(s->l, source->name) || at < s->info.first || at >= s->info.end) return false;
    *t = (struct slice_tensor){.source = source, .type = source->type, .n_dims = source->n_dims, .bytes = source->bytes};
    memcpy(t->ne, source->ne, sizeof(t->ne));
    if (layer < 0) snprintf(t->name, sizeof(t->name), "%s", source->name);
    else snprintf(t->name, sizeof(t->name), "blk.%" PRIu32 ".%s", at - s->info.first + s->info.n_lead, rest);
    return true;
}

err_code model_adapter_slice(const struct model_gguf *adapter, const struct model_layout *l, uint32_t first, uint32_t end,
                             struct model_slice **ret, struct err *e) {
    err_code code = model_adapter_check(adapter, l, e);
    return code == ERR_OK ? slice_create_adapter(adapter, l, first, end, take_tensor, ret, e) : code;
}
