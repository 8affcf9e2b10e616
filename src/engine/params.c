/* SPDX-License-Identifier: MIT
 * Values for loading and sampling: their defaults and JSON. See params.h. */
#include "engine/params.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engine/measure.h"
#include "engine/params_priv.h"
#include "model/estimate.h"

#define LOAD_MAX_CTX (16 * 1024 * 1024)
#define BIAS_MAX     100.0

/* ---- sampling ---- */

void engine_sampling_init(struct engine_sampling *p) {
    memset(p, 0, sizeof(*p));
#define SAMPLING(field, type, min, max, def, help) p->field = def;
#include "../../tables/sampling.def"
#undef SAMPLING
}

void engine_sampling_done(struct engine_sampling *p) {
    free(p->grammar);
    free(p->bias);
    engine_lazy_done(&p->lazy);
    p->grammar = NULL;
    p->bias = NULL;
    p->n_bias = 0;
}

static err_code get_F(yyjson_val *obj, const char *key, double min, double max, float *ret, struct err *e) {
    double v = *ret;
    err_code code = json_get_double(obj, key, min, max, &v, e);
    if (code == ERR_OK) *ret = (float)v;
    return code;
}

static err_code get_I(yyjson_val *obj, const char *key, int64_t min, int64_t max, int32_t *ret, struct err *e) {
    int64_t v = *ret;
    err_code code = json_get_i64(obj, key, min, max, &v, e);
    if (code == ERR_OK) *ret = (int32_t)v;
    return code;
}

/* Any 64-bit integer; a negative one (the OpenAI API allows them) keeps its bits. */
static err_code get_seed(yyjson_val *obj, uint64_t *ret, struct err *e) {
    yyjson_val *v = yyjson_obj_get(obj, "seed");
    if (v == NULL || yyjson_is_null(v)) return ERR_OK;
    if (!yyjson_is_int(v)) return err_set_field(e, ERR_INVALID, "seed", "expected an integer of 64 bits");
    *ret = yyjson_is_uint(v) ? yyjson_get_uint(v) : (uint64_t)yyjson_get_sint(v);
    return ERR_OK;
}

static err_code get_grammar(yyjson_val *obj, char **ret, struct err *e) {
    const char *text = NULL;
    err_code code = json_get_str(obj, "grammar", &text, e);
    if (code != ERR_OK || text == NULL) return code;
    if (strlen(text) != yyjson_get_len(yyjson_obj_get(obj, "grammar")))
        return err_set_field(e, ERR_INVALID, "grammar", "a NUL character in the grammar");
    free(*ret);
    *ret = *text != '\0' ? mem_strdup(text) : NULL;
    return ERR_OK;
}

static err_code bias_entry(const char *key, yyjson_val *v, struct engine_logit_bias *ret, struct err *e) {
    char *end = NULL;
    long long token = strtoll(key, &end, 10);
    if (*key == '\0' || *end != '\0' || token < 0 || token > INT32_MAX)
        return err_set_field(e, ERR_INVALID, "logit_bias", "expected a token number as key, got \"%.40s\"", key);
    double bias = yyjson_is_num(v) ? yyjson_get_num(v) : NAN;
    if (!(bias >= -BIAS_MAX && bias <= BIAS_MAX))
        return err_set_field(e, ERR_INVALID, "logit_bias", "expected a number from -100 to 100 for token %lld", token);
    ret->token = (int32_t)token;
    ret->bias = (float)bias;
    return ERR_OK;
}

static err_code get_bias(yyjson_val *obj, struct engine_sampling *p, struct err *e) {
    yyjson_val *map = yyjson_obj_get(obj, "logit_bias");
    if (map == NULL || yyjson_is_null(map)) return ERR_OK;
    if (!yyjson_is_obj(map)) return err_set_field(e, ERR_INVALID, "logit_bias", "expected an object of token to bias");
    size_t n = yyjson_obj_size(map);
    if (n > ENGINE_MAX_LOGIT_BIAS) return err_set_field(e, ERR_LIMIT, "logit_bias", "%zu entries, at most %d", n, ENGINE_MAX_LOGIT_BIAS);
    struct engine_logit_bias *list = n > 0 ? mem_calloc(n, sizeof(*list)) : NULL;
    size_t i, max;
    yyjson_val *key, *val;
    yyjson_obj_foreach(map, i, max, key, val) {
        err_code code = bias_entry(yyjson_get_str(key), val, &list[i], e);
        if (code != ERR_OK) {
            free(list);
            return code;
        }
    }
    free(p->bias);
    p->bias = list;
    p->n_bias = n;
    return ERR_OK;
}

static err_code lora_entry(yyjson_val *v, size_t i, struct engine_sampling *p, struct err *e) {
    struct engine_lora *l = &p->lora[p->n_lora++];
    double scale = NAN;
    err_code code = json_get_u32(v, "id", UINT32_MAX, &l->id, e);
    if (code == ERR_OK) code = json_get_double(v, "scale", -ENGINE_MAX_SCALE, ENGINE_MAX_SCALE, &scale, e);
    l->scale = (float)scale;
    if (code == ERR_OK && yyjson_obj_get(v, "id") != NULL && !isnan(scale)) return ERR_OK;
    return err_set_field(e, ERR_INVALID, "lora", "entry %zu: expected {\"id\": N, \"scale\": X}", i);
}

/* As llama-server has it: the adapters that the list doesn't name are not used. */
static err_code get_lora(yyjson_val *obj, struct engine_sampling *p, struct err *e) {
    yyjson_val *list = yyjson_obj_get(obj, "lora"), *v;
    size_t i, n;
    if (list == NULL || yyjson_is_null(list)) return ERR_OK;
    if (!yyjson_is_arr(list)) return err_set_field(e, ERR_INVALID, "lora", "expected an array of {\"id\": N, \"scale\": X}");
    if (yyjson_arr_size(list) > MODEL_MAX_ADAPTERS)
        return err_set_field(e, ERR_INVALID, "lora", "%zu entries, at most %d", yyjson_arr_size(list), MODEL_MAX_ADAPTERS);
    p->has_lora = true;
    p->n_lora = 0;
    yyjson_arr_foreach(list, i, n, v) {
        err_code code = lora_entry(v, i, p, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

err_code engine_sampling_from_json(struct engine_sampling *p, yyjson_val *obj, struct err *e) {
    if (!yyjson_is_obj(obj)) return err_set(e, ERR_INVALID, "sampling parameters: expected an object");
    err_code code;
#define SAMPLING(field, type, min, max, def, help) \
    if ((code = get_##type(obj, #field, min, max, &p->field, e)) != ERR_OK) return code;
#include "../../tables/sampling.def"
#undef SAMPLING
    if ((code = get_seed(obj, &p->seed, e)) != ERR_OK) return code;
    if ((code = json_get_u32(obj, "top_logprobs", ENGINE_MAX_TOP_LOGPROBS, &p->n_top_logprobs, e)) != ERR_OK) return code;
    if ((code = json_get_u32(obj, "generated_from", INT32_MAX, &p->generated_from, e)) != ERR_OK) return code;
    if ((code = get_grammar(obj, &p->grammar, e)) != ERR_OK) return code;
    if ((code = engine_lazy_from_json(&p->lazy, obj, e)) != ERR_OK) return code;
    if ((code = get_lora(obj, p, e)) != ERR_OK) return code;
    return get_bias(obj, p, e);
}

static void put_F(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, float v) { yyjson_mut_obj_add_real(doc, obj, key, (double)v); }

static void put_I(yyjson_mut_doc *doc, yyjson_mut_val *obj, const char *key, int32_t v) { yyjson_mut_obj_add_sint(doc, obj, key, v); }

static void put_bias(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct engine_sampling *p) {
    yyjson_mut_val *map = yyjson_mut_obj_add_obj(doc, obj, "logit_bias");
    for (size_t i = 0; i < p->n_bias; i++) {
        char *key = mem_printf("%d", p->bias[i].token);
        yyjson_mut_obj_add(map, yyjson_mut_strcpy(doc, key), yyjson_mut_real(doc, (double)p->bias[i].bias));
        free(key);
    }
}

static void put_lora(yyjson_mut_doc *doc, yyjson_mut_val *obj, const struct engine_sampling *p) {
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, obj, "lora");
    for (uint32_t i = 0; i < p->n_lora; i++) {
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_uint(doc, o, "id", p->lora[i].id);
        yyjson_mut_obj_add_real(doc, o, "scale", (double)p->lora[i].scale);
    }
}

yyjson_mut_val *engine_sampling_to_json(const struct engine_sampling *p, yyjson_mut_doc *doc) {
    yyjson_mut_val *obj = yyjson_mut_obj(doc);
#define SAMPLING(field, type, min, max, def, help) put_##type(doc, obj, #field, p->field);
#include "../../tables/sampling.def"
#undef SAMPLING
    yyjson_mut_obj_add_uint(doc, obj, "seed", p->seed);
    yyjson_mut_obj_add_uint(doc, obj, "top_logprobs", p->n_top_logprobs);
    yyjson_mut_obj_add_uint(doc, obj, "generated_from", p->generated_from);
    if (p->grammar != NULL) yyjson_mut_obj_add_strcpy(doc, obj, "grammar", p->grammar);
    if (p->lazy.n_triggers > 0) engine_lazy_to_json(&p->lazy, doc, obj);
    if (p->n_bias > 0) put_bias(doc, obj, p);
    if (p->has_lora) put_lora(doc, obj, p);
    return obj;
}

static void custom_init(void *value) { engine_sampling_init(value); }
static void custom_done(void *value) { engine_sampling_done(value); }
static yyjson_mut_val *custom_write(const void *value, yyjson_mut_doc *doc) { return engine_sampling_to_json(value, doc); }
static err_code custom_read(void *value, yyjson_val *v, struct err *e) { return engine_sampling_from_json(value, v, e); }

const struct field_custom engine_sampling_custom = {custom_init, custom_done, custom_write, custom_read};

/* ---- loading ---- */

enum { DEFAULT_BATCH = 512 };

static const char *const SPLIT_MODES[] = {"none", "layer", "row", "tensor"};
static const char *const FLASH_ATTN[] = {"auto", "on", "off"};
static const char *const CACHE_TYPES[] = {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl"};
static const char *const POOLING[] = {"auto", "none", "mean", "cls", "last"};
#define MESSAGES_LOAD
#include "base/field_tables.h"
#undef MESSAGES_LOAD

void engine_load_init(struct engine_load *p) { field_init(engine_load_fields(), p); }

bool engine_load_has_gpu(const struct engine_load *p) { return p->n_gpu_layers != 0 && p->n_gpu_layers != ENGINE_GPU_AUTO; }

uint32_t engine_load_batch(const struct engine_load *p) {
    uint32_t batch = p->n_batch > 0 ? p->n_batch : DEFAULT_BATCH;
    return batch > p->n_seq ? batch : p->n_seq;
}

uint32_t engine_load_ubatch(const struct engine_load *p) {
    uint32_t batch = engine_load_batch(p), step = p->n_ubatch > 0 ? p->n_ubatch : !engine_load_has_gpu(p) ? (uint32_t)ENGINE_STEP : batch;
    return step < batch ? step : batch;
}

uint32_t engine_load_outputs(const struct engine_load *p) {
    uint32_t all = engine_load_batch(p);
    uint32_t n = p->n_outputs > 0 ? p->n_outputs : p->exact ? all : model_estimate_outputs(engine_load_ubatch(p), p->n_seq);
    return n < p->n_seq ? p->n_seq : n < all ? n : all;
}
