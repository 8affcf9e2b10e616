/* SPDX-License-Identifier: MIT
 * Embeddings and ranks: OpenAI's, Ollama's (both ways) and the rerank API that others have copied from Jina. One job per HTTP request; its
 * texts are requests to the backend, some at a time, and the answer is written when the last vector has come. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "api/parse.h"
#include "gateway/replay.h"
#include "gateway/server_priv.h"
#include "chat/text.h"

enum { EMBED_MAX_INPUTS = 2048, EMBED_AT_ONCE = 16 };

enum embed_form { EMBED_OPENAI, EMBED_OLLAMA, EMBED_OLLAMA_OLD, EMBED_RERANK };

struct embed_input {
    char *text; /* owned; NULL: tokens */
    size_t len;
    int32_t *tokens; /* owned */
    size_t n_tokens;
    float *vector; /* owned; NULL: it has not come */
};
struct embed_job;
struct embed_call {
    struct embed_job *job;
    struct embed_input *input;    /* NULL: idle */
    struct backend_call *running; /* NULL: idle, or lost */
    struct replay *replay;        /* its text has been lost before, or is; NULL: never */
};
struct embed_job {
    struct gateway *gateway;
    struct http_exchange *x;
    enum embed_form form;
    char *model;
    char *query; /* rerank; owned */
    size_t query_len;
    struct embed_input *inputs;
    size_t n_inputs, n_sent, n_done;
    struct embed_call calls[EMBED_AT_ONCE];
    struct backend_call *awaiting; /* the model is being loaded */
    uint32_t n_vector, dimensions, top_n;
    bool base64, with_documents;
    bool has_keep; /* as in api_request */
    int32_t keep_s;
    uint64_t prompt_tokens;
    clock_us started;
};

static void job_free(struct embed_job *j) {
    struct backend *b = &j->gateway->backend;
    if (j->has_keep) gateway_keep_model(j->gateway, j->model, j->keep_s);
    for (size_t i = 0; i < EMBED_AT_ONCE; i++) {
        if (j->calls[i].running != NULL) b->cancel(b->self, j->calls[i].running);
        replay_free(j->calls[i].replay);
    }
    if (j->awaiting != NULL) b->cancel(b->self, j->awaiting);
    for (size_t i = 0; i < j->n_inputs; i++) {
        free(j->inputs[i].text);
        free(j->inputs[i].tokens);
        free(j->inputs[i].vector);
    }
    free(j->inputs);
    free(j->query);
    free(j->model);
    free(j);
}

static void on_gone(void *user) {
    struct embed_job *j = user;
    metrics_count(&j->gateway->metrics, METRIC_GONE, 1);
    metrics_count(&j->gateway->metrics, METRIC_PROMPT_TOKENS, j->prompt_tokens);
    job_free(j);
}

static void job_fail(struct embed_job *j, err_code code, const struct err *e) {
    metrics_count(&j->gateway->metrics, METRIC_FAILED, 1);
    metrics_count(&j->gateway->metrics, METRIC_PROMPT_TOKENS, j->prompt_tokens);
    gateway_respond_error(j->x, code, e);
    job_free(j);
}

/* ---- the answers ---- */

static void put_base64(struct buf *out, const uint8_t *data, size_t len) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t v = (uint32_t)data[i] << 16 | (n > 1 ? (uint32_t)data[i + 1] << 8 : 0) | (n > 2 ? data[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=', n > 2 ? digits[v & 63] : '='};
        buf_append(out, four, 4);
    }
}

/* The first n numbers, of length 1 again when there were more. */
static void shorten(float *v, uint32_t n_all, uint32_t n) {
    double sum = 0;
    if (n >= n_all) return;
    for (uint32_t i = 0; i < n; i++) sum += (double)v[i] * v[i];
    for (uint32_t i = 0; i < n && sum > 0; i++) v[i] = (float)(v[i] / sqrt(sum));
}

static void put_vector(const struct embed_job *j, struct embed_input *in, struct buf *out) {
    uint32_t n = j->dimensions > 0 && j->dimensions < j->n_vector ? j->dimensions : j->n_vector;
    shorten(in->vector, j->n_vector, n);
    if (j->base64) {
        uint8_t *bytes = mem_calloc(n, 4);
        for (uint32_t i = 0; i < n; i++) bytes_put_f32(bytes + (size_t)4 * i, in->vector[i]);
        buf_append_byte(out, '"');
        put_base64(out, bytes, (size_t)4 * n);
        buf_append_byte(out, '"');
        free(bytes);
        return;
    }
    for (uint32_t i = 0; i < n; i++) buf_printf(out, "%c%.9g", i == 0 ? '[' : ',', (double)in->vector[i]);
    buf_append_byte(out, ']');
}

static void put_model(const struct embed_job *j, struct buf *out) {
    buf_append_str(out, "\"model\":");
    text_append_json(out, j->model, strlen(j->model));
}

static void put_usage(const struct embed_job *j, struct buf *out) {
    unsigned long long n = j->prompt_tokens;
    buf_printf(out, "\"usage\":{\"prompt_tokens\":%llu,\"total_tokens\":%llu}", n, n);
}

static void answer_openai(struct embed_job *j, struct buf *out) {
    buf_append_str(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < j->n_inputs; i++) {
        buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i > 0 ? "," : "", i);
        put_vector(j, &j->inputs[i], out);
        buf_append_byte(out, '}');
    }
    buf_append_str(out, "],");
    put_model(j, out);
    buf_append_byte(out, ',');
    put_usage(j, out);
    buf_append_byte(out, '}');
}

static void answer_ollama(struct embed_job *j, struct buf *out) {
    buf_append_byte(out, '{');
    put_model(j, out);
    buf_append_str(out, ",\"embeddings\":[");
    for (size_t i = 0; i < j->n_inputs; i++) {
        if (i > 0) buf_append_byte(out, ',');
        put_vector(j, &j->inputs[i], out);
    }
    unsigned long long ns = (clock_now() - j->started) * 1000;
    buf_printf(out, "],\"total_duration\":%llu,\"load_duration\":0,\"prompt_eval_count\":%llu}", ns, (unsigned long long)j->prompt_tokens);
}

static void answer_ollama_old(struct embed_job *j, struct buf *out) {
    buf_append_str(out, "{\"embedding\":");
    put_vector(j, &j->inputs[0], out);
    buf_append_byte(out, '}');
}

static int by_rank(const void *a, const void *b) {
    const struct embed_input *x = *(struct embed_input *const *)a, *y = *(struct embed_input *const *)b;
    if (x->vector[0] != y->vector[0]) return x->vector[0] > y->vector[0] ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void answer_rerank(struct embed_job *j, struct buf *out) {
    struct embed_input **sorted = mem_calloc(j->n_inputs, sizeof(struct embed_input *));
    for (size_t i = 0; i < j->n_inputs; i++) sorted[i] = &j->inputs[i];
    qsort(sorted, j->n_inputs, sizeof(*sorted), by_rank);
    buf_append_byte(out, '{');
    put_model(j, out);
    buf_append_str(out, ",\"object\":\"list\",");
    put_usage(j, out);
    buf_append_str(out, ",\"results\":[");
    for (size_t i = 0; i < j->n_inputs && (j->top_n == 0 || i < j->top_n); i++) {
        buf_printf(out, "%s{\"index\":%zu,\"relevance_score\":%.9g", i > 0 ? "," : "", (size_t)(sorted[i] - j->inputs),
                   (double)sorted[i]->vector[0]);
        if (j->with_documents) {
            buf_append_str(out, ",\"document\":{\"text\":");
            text_append_json(out, sorted[i]->text, sorted[i]->len);
            buf_append_byte(out, '}');
        }
        buf_append_byte(out, '}');
    }
    buf_append_str(out, "]}");
    free(sorted);
}

static void job_answer(struct embed_job *j) {
    static void (*const forms[])(struct embed_job *j, struct buf *out) = {[EMBED_OPENAI] = answer_openai,
                                                                          [EMBED_OLLAMA] = answer_ollama,
                                                                          [EMBED_OLLAMA_OLD] = answer_ollama_old,
                                                                          [EMBED_RERANK] = answer_rerank};
    struct buf body;
    buf_init(&body, SIZE_MAX - 1);
    forms[j->form](j, &body);
    metrics_count(&j->gateway->metrics, METRIC_FINISHED, 1);
    metrics_count(&j->gateway->metrics, METRIC_PROMPT_TOKENS, j->prompt_tokens);
    gateway_respond(j->x, 200, "application/json", &body);
    job_free(j);
}

/* ---- the texts, some at a time ---- */

static void on_event(void *user, const struct request_event *ev);

static err_code submit(struct embed_call *c, struct err *e) {
    struct embed_job *j = c->job;
    struct embed_input *in = c->input;
    struct backend *b = &j->gateway->backend;
    struct request r;
    request_init(&r);
    r.embed = true;
    r.alone = replay_is_suspect(c->replay);
    r.model = j->model;
    r.text = j->form == EMBED_RERANK ? j->query : in->text;
    r.text_len = j->form == EMBED_RERANK ? j->query_len : in->len;
    r.second = j->form == EMBED_RERANK ? in->text : NULL;
    r.second_len = in->len;
    r.tokens = in->tokens;
    r.n_tokens = in->n_tokens;
    err_code code = b->submit(b->self, &r, on_event, c, &c->running, e);
    r.model = r.text = r.second = NULL; /* all of it is the job's */
    r.tokens = NULL;
    request_done(&r);
    return code;
}

static err_code send_again(void *user, struct err *e) { return submit(user, e); }

static void give_up(void *user, err_code code, const struct err *e) { job_fail(((struct embed_call *)user)->job, code, e); }

static void text_lost(struct embed_call *c, const struct err *why) {
    const struct replay_owner owner = {.model = c->job->model, .what = "an embedding", .user = c, .send = send_again, .fail = give_up};
    replay_lost(&c->replay, c->job->gateway, &owner, why);
}

static void text_done(struct embed_call *c) {
    replay_free(c->replay);
    c->replay = NULL;
    c->input = NULL;
}

/* Sends what may be sent. A full queue is no error while texts of this job are running: the next one goes when they have ended. */
static err_code job_push(struct embed_job *j, struct err *e) {
    for (size_t i = 0; i < EMBED_AT_ONCE && j->n_sent < j->n_inputs; i++) {
        struct embed_call *c = &j->calls[i];
        if (c->input != NULL) continue;
        c->input = &j->inputs[j->n_sent];
        err_code code = submit(c, e);
        bool lost = code != ERR_OK && replay_may(j->gateway, code);
        if (code != ERR_OK && !lost) c->input = NULL;
        if (code == ERR_BUSY && j->n_sent > j->n_done) return ERR_OK;
        if (code != ERR_OK && !lost) return code;
        j->n_sent++;
        if (lost) text_lost(c, e); /* it was ready a moment ago */
    }
    return ERR_OK;
}

static void take_vector(struct embed_job *j, struct embed_input *in, const struct request_event *ev) {
    if (in->vector != NULL || (j->n_vector != 0 && j->n_vector != ev->n_vector))
        return; /* a stage that contradicts itself: seen at the end */
    j->n_vector = ev->n_vector;
    in->vector = mem_calloc(ev->n_vector, sizeof(*in->vector));
    for (uint32_t i = 0; i < ev->n_vector; i++) in->vector[i] = bytes_get_f32(ev->vector + (size_t)4 * i);
}

static void on_event(void *user, const struct request_event *ev) {
    struct embed_call *c = user;
    struct embed_job *j = c->job;
    struct err e = {0};
    if (ev->kind != REQUEST_FAILED) replay_runs(c->replay, ev->kind == REQUEST_VECTOR);
    if (ev->kind == REQUEST_VECTOR) take_vector(j, c->input, ev);
    if (ev->kind != REQUEST_DONE && ev->kind != REQUEST_FAILED) return;
    c->running = NULL;
    if (ev->kind == REQUEST_FAILED && replay_may(j->gateway, ev->err.code)) {
        text_lost(c, &ev->err);
        return;
    }
    err_code code = ev->kind == REQUEST_FAILED ? ev->err.code : ERR_OK;
    if (code != ERR_OK) e = ev->err;
    else if (c->input->vector == NULL) code = err_set(&e, ERR_ENGINE, "no vector came for text %zu", (size_t)(c->input - j->inputs));
    j->prompt_tokens += ev->prompt_tokens;
    j->n_done++;
    text_done(c);
    if (code == ERR_OK) code = job_push(j, &e);
    if (code != ERR_OK) job_fail(j, code, &e);
    else if (j->n_done == j->n_inputs) job_answer(j);
}

/* ---- the requests ---- */

static char *copy_text(yyjson_val *v, size_t *ret_len) {
    *ret_len = yyjson_get_len(v);
    char *text = mem_alloc(*ret_len + 1);
    memcpy(text, yyjson_get_str(v), *ret_len);
    text[*ret_len] = '\0';
    return text;
}

static err_code take_tokens(yyjson_val *list, struct embed_input *in, const char *key, struct err *e) {
    yyjson_val *v;
    size_t i, n = yyjson_arr_size(list);
    if (n == 0 || n > API_MAX_PROMPT_TOKENS) return api_wrong(e, key, "texts, or arrays of token ids that are not empty");
    in->tokens = mem_calloc(n, sizeof(*in->tokens));
    in->n_tokens = n;
    yyjson_arr_foreach(list, i, n, v) {
        if (!yyjson_is_uint(v) || yyjson_get_uint(v) > INT32_MAX) return api_wrong(e, key, "token ids, whole numbers from 0");
        in->tokens[i] = (int32_t)yyjson_get_uint(v);
    }
    return ERR_OK;
}

static err_code take_one(struct embed_job *j, yyjson_val *v, const char *key, struct err *e) {
    struct embed_input *in = &j->inputs[j->n_inputs];
    yyjson_val *text = yyjson_is_obj(v) && j->form == EMBED_RERANK ? yyjson_obj_get(v, "text") : v;
    if (yyjson_is_arr(text) && j->form != EMBED_RERANK) {
        j->n_inputs++;
        return take_tokens(text, in, key, e);
    }
    if (!yyjson_is_str(text)) return api_wrong(e, key, "a string, or an array of strings or of arrays of token ids");
    if (yyjson_get_len(text) == 0 && j->form != EMBED_RERANK) return api_wrong(e, key, "text that is not empty");
    in->text = copy_text(text, &in->len);
    j->n_inputs++;
    return ERR_OK;
}

static err_code take_inputs(struct embed_job *j, yyjson_val *v, const char *key, struct err *e) {
    yyjson_val *item;
    size_t i, n = yyjson_arr_size(v);
    bool one = yyjson_is_str(v) || (yyjson_is_arr(v) && yyjson_is_num(yyjson_arr_get_first(v)));
    if (!one && (!yyjson_is_arr(v) || n == 0)) return api_wrong(e, key, "a string, or an array of strings or tokens");
    if (!one && n > EMBED_MAX_INPUTS) return err_set(e, ERR_INVALID, "field \"%s\": at most %d texts at once", key, EMBED_MAX_INPUTS);
    j->inputs = mem_calloc(one ? 1 : n, sizeof(*j->inputs));
    if (one) return take_one(j, v, key, e);
    err_code code = ERR_OK;
    yyjson_arr_foreach(v, i, n, item) if (code == ERR_OK) code = take_one(j, item, key, e);
    return code;
}

static err_code take_options(struct embed_job *j, yyjson_val *root, struct err *e) {
    const char *format = NULL;
    int64_t dimensions = 0, top_n = 0;
    err_code code;
    if (j->form == EMBED_RERANK) {
        code = json_get_i64(root, "top_n", 1, EMBED_MAX_INPUTS, &top_n, e);
        j->top_n = (uint32_t)top_n;
        return code == ERR_OK ? json_get_bool(root, "return_documents", &j->with_documents, e) : code;
    }
    if ((code = json_get_i64(root, "dimensions", 1, INT32_MAX, &dimensions, e)) != ERR_OK) return code;
    j->dimensions = (uint32_t)dimensions;
    if (j->form != EMBED_OPENAI) return ERR_OK;
    if ((code = json_get_str(root, "encoding_format", &format, e)) != ERR_OK) return code;
    if (format && strcmp(format, "float") != 0 && strcmp(format, "base64") != 0)
        return api_wrong(e, "encoding_format", "\"float\" or \"base64\"");
    j->base64 = format && strcmp(format, "base64") == 0;
    return ERR_OK;
}

static err_code take_query(struct embed_job *j, yyjson_val *root, struct err *e) {
    yyjson_val *query = yyjson_obj_get(root, "query");
    if (!yyjson_is_str(query) || yyjson_get_len(query) == 0) return api_wrong(e, "query", "a string that is not empty");
    j->query = copy_text(query, &j->query_len);
    return ERR_OK;
}

static void on_model(void *user, err_code code, const struct backend_text *text, const struct err *cause) {
    struct embed_job *j = user;
    struct err e = *cause;
    (void)text;
    j->awaiting = NULL;
    if (code == ERR_OK) code = job_push(j, &e);
    if (code != ERR_OK) job_fail(j, code, &e);
}

static err_code take_body(struct embed_job *j, yyjson_val *root, struct err *e) {
    static const char *const keys[] = {"input", "input", "prompt", "documents"};
    const struct backend_model *model = NULL;
    struct api_request r;
    api_request_init(&r);
    err_code code = api_parse_model(root, &r, e);
    if (code == ERR_OK) code = take_inputs(j, yyjson_obj_get(root, keys[j->form]), keys[j->form], e);
    if (code == ERR_OK && j->form == EMBED_RERANK) code = take_query(j, root, e);
    if (code == ERR_OK) code = take_options(j, root, e);
    if (code == ERR_OK && (j->form == EMBED_OLLAMA || j->form == EMBED_OLLAMA_OLD)) code = api_parse_keep(root, &r, e);
    j->has_keep = r.has_keep;
    j->keep_s = r.keep_s;
    if (code == ERR_OK) code = gateway_find_model(j->gateway, r.model, &model, e);
    if (code == ERR_OK) j->model = mem_strdup(model->id);
    api_request_done(&r);
    if (code == ERR_OK && !model->ready && model->loadable && j->gateway->backend.await != NULL) {
        struct backend *b = &j->gateway->backend;
        code = b->await(b->self, j->model, on_model, j, &j->awaiting, e);
    }
    return code;
}

static void job_start(struct gateway *g, struct http_exchange *x, enum embed_form form) {
    const struct http_request *http = http_request(x);
    struct embed_job *j = MEM_NEW(struct embed_job);
    struct err e = {0};
    yyjson_doc *doc = NULL;
    *j = (struct embed_job){.gateway = g, .x = x, .form = form, .started = clock_now()};
    for (size_t i = 0; i < EMBED_AT_ONCE; i++) j->calls[i].job = j;
    metrics_count(&g->metrics, METRIC_REQUESTS, 1);
    err_code code = json_parse(http->body, http->body_len, &doc, &e);
    if (code != ERR_OK) code = e.code = ERR_FORMAT;
    if (code == ERR_OK) code = take_body(j, yyjson_doc_get_root(doc), &e);
    if (code == ERR_OK && j->awaiting == NULL) code = job_push(j, &e);
    yyjson_doc_free(doc);
    if (code != ERR_OK) job_fail(j, code, &e);
    else http_exchange_on_gone(x, on_gone, j);
}

void handle_embeddings(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    job_start(g, x, EMBED_OPENAI);
}

void handle_ollama_embed(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    job_start(g, x, EMBED_OLLAMA);
}

void handle_ollama_embeddings(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    job_start(g, x, EMBED_OLLAMA_OLD);
}

void handle_rerank(struct gateway *g, struct http_exchange *x, const char *rest) {
    (void)rest;
    job_start(g, x, EMBED_RERANK);
}
