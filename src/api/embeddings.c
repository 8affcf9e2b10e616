/* SPDX-License-Identifier: MIT
 * Embeddings and ranks: POST /v1/embeddings (OpenAI's), /api/embed and /api/embeddings (Ollama's, new and old), /v1/rerank
 * (Jina's, as llama-server has it). The texts are the request's prompts, the answer's vectors are in their order. Pure. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/ollama_priv.h"
#include "api/openai_priv.h"
#include "base/base64.h"
#include "base/bytes.h"
#include "base/mem.h"

enum { EMBED_MAX_INPUTS = 2048 };

struct embed_extra {
    uint32_t dimensions;  /* numbers of each vector; 0: all */
    bool base64;
    uint32_t top_n;       /* rerank: so many results; 0: all */
    bool with_documents;
};

/* ---- request ---- */

static err_code take_text(yyjson_val *v, const char *key, struct api_request *r, struct err *e) {
    struct api_prompt *to = &r->prompts[r->n_prompts++];
    if (yyjson_is_arr(v) && yyjson_arr_size(v) == 0) return api_wrong(e, key, "texts, or arrays of token ids that are not empty");
    if (yyjson_is_arr(v)) return api_prompt_tokens(v, key, r, to, e);
    if (!yyjson_is_str(v)) return api_wrong(e, key, "a string, or an array of strings or of arrays of token ids");
    if (yyjson_get_len(v) == 0) return api_wrong(e, key, "text that is not empty");
    *to = api_prompt_text(r, v);
    return ERR_OK;
}

/* A text, tokens, or an array of such. */
static err_code take_texts(yyjson_val *root, const char *key, struct api_request *r, struct err *e) {
    yyjson_val *v = yyjson_obj_get(root, key), *item;
    size_t i, n = yyjson_arr_size(v);
    bool one = yyjson_is_str(v) || (yyjson_is_arr(v) && yyjson_is_num(yyjson_arr_get_first(v)));
    if (!one && (!yyjson_is_arr(v) || n == 0)) return api_wrong(e, key, "a string, or an array of strings or tokens");
    if (!one && n > EMBED_MAX_INPUTS) return err_set_field(e, ERR_INVALID, key, "at most %d texts at once", EMBED_MAX_INPUTS);
    r->prompts = arena_alloc(r->arena, (one ? 1 : n) * sizeof(*r->prompts));
    if (one) return take_text(v, key, r, e);
    yyjson_arr_foreach(v, i, n, item) {
        err_code code = take_text(item, key, r, e);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* Reads the model's name, and makes room for the options: every request begins so. */
static err_code parse_begin(yyjson_val *root, struct api_request *r, struct err *e) {
    r->extra = arena_alloc(r->arena, sizeof(struct embed_extra));
    return api_parse_model(root, r, e);
}

static err_code parse_dimensions(yyjson_val *root, struct api_request *r, struct err *e) {
    int64_t n = 0;
    err_code code = json_get_i64(root, "dimensions", 1, INT32_MAX, &n, e);
    ((struct embed_extra *)r->extra)->dimensions = (uint32_t)n;
    return code;
}

static err_code openai_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    const char *format = NULL;
    err_code code;
    if ((code = parse_begin(root, r, e)) != ERR_OK) return code;
    if ((code = take_texts(root, "input", r, e)) != ERR_OK) return code;
    if ((code = parse_dimensions(root, r, e)) != ERR_OK) return code;
    if ((code = json_get_str(root, "encoding_format", &format, e)) != ERR_OK) return code;
    if (format != NULL && strcmp(format, "float") != 0 && strcmp(format, "base64") != 0)
        return api_wrong(e, "encoding_format", "\"float\" or \"base64\"");
    ((struct embed_extra *)r->extra)->base64 = format != NULL && strcmp(format, "base64") == 0;
    return ERR_OK;
}

static err_code ollama_parse_key(yyjson_val *root, const char *key, struct api_request *r, struct err *e) {
    err_code code;
    if ((code = parse_begin(root, r, e)) != ERR_OK) return code;
    if ((code = take_texts(root, key, r, e)) != ERR_OK) return code;
    if ((code = parse_dimensions(root, r, e)) != ERR_OK) return code;
    return api_parse_keep(root, r, e);
}

static err_code ollama_parse(yyjson_val *root, struct api_request *r, struct err *e) { return ollama_parse_key(root, "input", r, e); }

static err_code ollama_old_parse(yyjson_val *root, struct api_request *r, struct err *e) { return ollama_parse_key(root, "prompt", r, e); }

/* Documents are strings or objects with a "text"; an empty one is ranked, too. */
static err_code take_documents(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *list = yyjson_obj_get(root, "documents"), *item;
    size_t i, n = yyjson_arr_size(list);
    if (n == 0) return api_wrong(e, "documents", "an array of strings");
    if (n > EMBED_MAX_INPUTS) return err_set_field(e, ERR_INVALID, "documents", "at most %d texts at once", EMBED_MAX_INPUTS);
    r->prompts = arena_alloc(r->arena, n * sizeof(*r->prompts));
    yyjson_arr_foreach(list, i, n, item) {
        yyjson_val *text = yyjson_is_obj(item) ? yyjson_obj_get(item, "text") : item;
        if (!yyjson_is_str(text)) return api_wrong(e, "documents", "an array of strings, or of objects with a \"text\"");
        r->prompts[r->n_prompts++] = api_prompt_text(r, text);
    }
    return ERR_OK;
}

static err_code rerank_parse(yyjson_val *root, struct api_request *r, struct err *e) {
    yyjson_val *query = yyjson_obj_get(root, "query");
    int64_t top_n = 0;
    err_code code;
    if ((code = parse_begin(root, r, e)) != ERR_OK) return code;
    if ((code = take_documents(root, r, e)) != ERR_OK) return code;
    if (!yyjson_is_str(query) || yyjson_get_len(query) == 0) return api_wrong(e, "query", "a string that is not empty");
    r->query = arena_alloc(r->arena, sizeof(*r->query));
    *r->query = api_prompt_text(r, query);
    struct embed_extra *x = r->extra;
    if ((code = json_get_i64(root, "top_n", 1, EMBED_MAX_INPUTS, &top_n, e)) != ERR_OK) return code;
    x->top_n = (uint32_t)top_n;
    return json_get_bool(root, "return_documents", &x->with_documents, e);
}

/* ---- answer ---- */

/* Cuts a vector to its first n numbers, and scales it to length 1 if that removed any. */
static void shorten(float *v, uint32_t n_all, uint32_t n) {
    double sum = 0;
    if (n >= n_all) return;
    for (uint32_t i = 0; i < n; i++) sum += (double)v[i] * v[i];
    for (uint32_t i = 0; i < n && sum > 0; i++) v[i] = (float)(v[i] / sqrt(sum));
}

static void append_vector(const struct api_answer *a, size_t i, struct buf *out) {
    const struct embed_extra *x = a->request->extra;
    uint32_t n = x->dimensions > 0 && x->dimensions < a->n_vector ? x->dimensions : a->n_vector;
    float *v = a->vectors[i];
    shorten(v, a->n_vector, n);
    if (x->base64) {
        uint8_t *bytes = mem_calloc(n, 4);
        for (uint32_t k = 0; k < n; k++) bytes_put_f32(bytes + (size_t)4 * k, v[k]);
        buf_append_byte(out, '"');
        base64_encode(bytes, (size_t)4 * n, out);
        buf_append_byte(out, '"');
        free(bytes);
        return;
    }
    for (uint32_t k = 0; k < n; k++) buf_printf(out, "%c%.9g", k == 0 ? '[' : ',', (double)v[k]);
    buf_append_byte(out, ']');
}

static void append_model(const struct api_answer *a, struct buf *out) {
    buf_append_str(out, "\"model\":");
    text_append_json(out, a->model, strlen(a->model));
}

static void append_usage(const struct api_answer *a, struct buf *out) {
    uint64_t n = a->usage.prompt_tokens;
    buf_printf(out, "\"usage\":{\"prompt_tokens\":%" PRIu64 ",\"total_tokens\":%" PRIu64 "}", n, n);
}

static void openai_whole(struct api_answer *a, struct buf *out) {
    buf_append_str(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < a->request->n_prompts; i++) {
        buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i > 0 ? "," : "", i);
        append_vector(a, i, out);
        buf_append_byte(out, '}');
    }
    buf_append_str(out, "],");
    append_model(a, out);
    buf_append_byte(out, ',');
    append_usage(a, out);
    buf_append_byte(out, '}');
}

static void ollama_whole(struct api_answer *a, struct buf *out) {
    buf_append_byte(out, '{');
    append_model(a, out);
    buf_append_str(out, ",\"embeddings\":[");
    for (size_t i = 0; i < a->request->n_prompts; i++) {
        if (i > 0) buf_append_byte(out, ',');
        append_vector(a, i, out);
    }
    buf_printf(out, "],\"total_duration\":%" PRIu64 ",\"load_duration\":0,\"prompt_eval_count\":%" PRIu64 "}", 1000 * a->usage.total_us,
               a->usage.prompt_tokens);
}

static void ollama_old_whole(struct api_answer *a, struct buf *out) {
    buf_append_str(out, "{\"embedding\":");
    append_vector(a, 0, out);
    buf_append_byte(out, '}');
}

static int by_rank(const void *a, const void *b) {
    float *const *x = *(float *const *const *)a, *const *y = *(float *const *const *)b;
    if (**x != **y) return **x > **y ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void rerank_whole(struct api_answer *a, struct buf *out) {
    const struct embed_extra *x = a->request->extra;
    size_t n = a->request->n_prompts;
    float ***sorted = mem_calloc(n, sizeof(*sorted));
    for (size_t i = 0; i < n; i++) sorted[i] = &a->vectors[i];
    qsort(sorted, n, sizeof(*sorted), by_rank);
    buf_append_byte(out, '{');
    append_model(a, out);
    buf_append_str(out, ",\"object\":\"list\",");
    append_usage(a, out);
    buf_append_str(out, ",\"results\":[");
    for (size_t i = 0; i < n && (x->top_n == 0 || i < x->top_n); i++) {
        size_t index = (size_t)(sorted[i] - a->vectors);
        const struct api_prompt *document = &a->request->prompts[index];
        buf_printf(out, "%s{\"index\":%zu,\"relevance_score\":%.9g", i > 0 ? "," : "", index, (double)a->vectors[index][0]);
        if (x->with_documents) {
            buf_append_str(out, ",\"document\":{\"text\":");
            text_append_json(out, document->text, document->len);
            buf_append_byte(out, '}');
        }
        buf_append_byte(out, '}');
    }
    buf_append_str(out, "]}");
    free(sorted);
}

#define EMBEDDING_API(title, reads, writes, refuses) \
    {.name = (title), \
     .id_prefix = "embd-", \
     .work = API_WORK_VECTORS, \
     .whole_type = "application/json", \
     .parse = (reads), \
     .whole = (writes), \
     .error = (refuses)}
const struct api api_openai_embeddings = EMBEDDING_API("openai embeddings", openai_parse, openai_whole, openai_error);
const struct api api_ollama_embed = EMBEDDING_API("ollama embed", ollama_parse, ollama_whole, ollama_error);
const struct api api_ollama_embeddings = EMBEDDING_API("ollama embeddings", ollama_old_parse, ollama_old_whole, ollama_error);
const struct api api_rerank = EMBEDDING_API("rerank", rerank_parse, rerank_whole, openai_error);
