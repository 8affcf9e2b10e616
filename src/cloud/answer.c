/* SPDX-License-Identifier: MIT
 * The stream's lines (server-sent events, WHATWG HTML section 9.2) and the whole document. See answer.h. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cloud/answer_priv.h"

/* ---- events ---- */

/* A whole document needs no finish reason where it has content. */
static err_code finish_whole(struct cloud_answer *a, struct err *e) {
    for (uint32_t i = 0; i < a->options.n_choices; i++) {
        if (!a->choices[i].begun) return answer_wrong(e, "a choice is missing, or has neither content nor a finish reason");
        answer_finish(a, i, API_FINISH_STOP);
    }
    return ERR_OK;
}

/* The stream says that it is over. Where a choice has no finish reason, it was cut, or there never was an answer. */
static err_code end_stream(struct cloud_answer *a, struct err *e) {
    bool begun = false;
    for (uint32_t i = 0; i < a->options.n_choices; i++) begun = begun || a->choices[i].begun;
    a->over = cloud_answer_is_complete(a);
    if (a->over) return ERR_OK;
    if (!begun) return answer_wrong(e, "the stream ended, and no answer was in it");
    return err_set(e, ERR_CLOSED, "the upstream's answer ended without a finish reason");
}

/* ---- what upstreams say of themselves ---- */

static yyjson_val *error_of(yyjson_val *root) {
    yyjson_val *error = yyjson_obj_get(root, "error");
    return yyjson_is_obj(error) || yyjson_is_str(error) ? error : NULL;
}

/* An error object in the place of an answer, or amid a stream: what its type means. */
static err_code take_error(yyjson_val *error, struct err *e) {
    static const struct {
        const char *type;
        err_code code;
    } types[] = {{"overloaded_error", ERR_UNAVAILABLE},  {"rate_limit_error", ERR_BUSY},         {"rate_limit_exceeded", ERR_BUSY},
                 {"timeout_error", ERR_TIMEOUT},         {"invalid_request_error", ERR_INVALID}, {"server_error", ERR_UNAVAILABLE},
                 {"insufficient_quota", ERR_UNAVAILABLE}};
    const char *type = yyjson_get_str(yyjson_obj_get(error, "type"));
    yyjson_val *message = yyjson_is_str(error) ? error : yyjson_obj_get(error, "message");
    char line[240] = "it gives no reason";
    err_code code = ERR_ENGINE;
    for (size_t i = 0; i < ARRAY_LEN(types) && type != NULL; i++)
        if (strcmp(type, types[i].type) == 0) code = types[i].code;
    if (yyjson_is_str(message)) str_line(yyjson_get_str(message), yyjson_get_len(message), line, sizeof(line));
    return err_set(e, code, "the upstream failed: %s", line);
}

/* Takes each place of the secret out of a text. */
static void leave_out(char *text, const char *secret) {
    size_t len = secret != NULL ? strlen(secret) : 0;
    if (len == 0) return;
    for (char *at; (at = strstr(text, secret)) != NULL;) memmove(at, at + len, strlen(at + len) + 1);
}

void cloud_answer_message(const char *body, size_t len, const char *secret, char *ret, size_t size) {
    yyjson_doc *doc = json_read(body, len);
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (yyjson_is_arr(root)) root = yyjson_arr_get_first(root); /* Google's */
    yyjson_val *error = error_of(root), *message = yyjson_is_str(error) ? error : yyjson_obj_get(error, "message");
    if (message == NULL) message = yyjson_obj_get(root, "message");
    if (message == NULL) message = yyjson_obj_get(root, "detail");
    ret[0] = '\0';
    if (yyjson_is_str(message)) {
        char *text = mem_strndup(yyjson_get_str(message), yyjson_get_len(message));
        leave_out(text, secret);
        str_line(text, strlen(text), ret, size);
        free(text);
    }
    yyjson_doc_free(doc);
}

/* ---- one document ---- */

static err_code take_document(struct cloud_answer *a, const struct buf *text, bool whole, struct err *e) {
    yyjson_doc *doc = NULL;
    struct err why = {0};
    if (json_parse_body((const char *)text->data, text->len, &doc, &why) != ERR_OK) return answer_wrong(e, why.text);
    yyjson_val *root = yyjson_doc_get_root(doc);
    err_code code;
    if (!yyjson_is_obj(root)) code = answer_wrong(e, "expected a JSON object");
    else if (error_of(root) != NULL) code = take_error(error_of(root), e);
    else if (a->options.form == CLOUD_EMBEDDINGS) code = answer_openai_vectors(a, root, e);
    else if (a->options.form == CLOUD_MESSAGES) code = whole ? answer_anthropic_whole(a, root, e) : answer_anthropic_event(a, root, e);
    else code = answer_openai_take(a, root, e);
    yyjson_doc_free(doc);
    return code;
}

/* ---- the stream ---- */

/* An empty line ends an event. */
static err_code end_event(struct cloud_answer *a, struct err *e) {
    err_code code = ERR_OK;
    if (a->data.len == 0) return ERR_OK;
    if (a->data.len == 6 && memcmp(a->data.data, "[DONE]", 6) == 0) code = end_stream(a, e);
    else if (!a->over) code = take_document(a, &a->data, false, e);
    buf_clear(&a->data);
    return code;
}

/* "data: TEXT"; comments and other fields mean nothing here: the type of an event stands in its data, too. */
static err_code take_line(struct cloud_answer *a, struct err *e) {
    const char *line = buf_cstr(&a->line);
    size_t len = a->line.len;
    if (len == 0) return end_event(a, e);
    if (len < 5 || memcmp(line, "data:", 5) != 0) return ERR_OK;
    size_t skip = line[5] == ' ' ? 6 : 5;
    if (a->data.len > 0) buf_append_byte(&a->data, '\n');
    buf_append(&a->data, line + skip, len - skip);
    return a->data.failed ? err_set(e, ERR_LIMIT, "an event of the upstream's stream is over %d MiB", CLOUD_MAX_EVENT >> 20) : ERR_OK;
}

static size_t line_end(const char *data, size_t len) {
    size_t n = 0;
    while (n < len && data[n] != '\n' && data[n] != '\r') n++;
    return n;
}

static err_code push_stream(struct cloud_answer *a, const char *data, size_t len, struct err *e) {
    for (size_t at = 0; at < len;) {
        if (a->after_cr && data[at] == '\n') at++;
        a->after_cr = false;
        size_t n = line_end(data + at, len - at);
        buf_append(&a->line, data + at, n);
        if (a->line.failed) return err_set(e, ERR_LIMIT, "a line of the upstream's stream is over %d MiB", CLOUD_MAX_EVENT >> 20);
        at += n;
        if (at == len) return ERR_OK;
        a->after_cr = data[at++] == '\r';
        err_code code = take_line(a, e);
        buf_clear(&a->line);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* The first byte that is no blank says what comes: a document begins with a bracket, a stream with a word or a colon. Returns how many
 * bytes come before it. */
static size_t find_mode(struct cloud_answer *a, const char *data, size_t len) {
    size_t at = 0;
    while (at < len && data[at] != '\0' && strchr(" \t\r\n\xEF\xBB\xBF", data[at]) != NULL) at++; /* with a byte order mark */
    if (at == len) return at;
    bool whole = data[at] == '{' || data[at] == '[' || a->options.form == CLOUD_EMBEDDINGS;
    a->mode = whole ? ANSWER_WHOLE : ANSWER_STREAM;
    if (whole) a->line.max = CLOUD_MAX_ANSWER;
    return at;
}

err_code cloud_answer_push(struct cloud_answer *a, const void *data, size_t len, struct err *e) {
    a->n_bytes += len;
    if (a->n_bytes > CLOUD_MAX_ANSWER) return err_set(e, ERR_LIMIT, "the upstream's answer is over %d MiB", CLOUD_MAX_ANSWER >> 20);
    size_t blank = a->mode == ANSWER_UNKNOWN ? find_mode(a, data, len) : 0;
    const char *at = (const char *)data + blank;
    if (a->mode == ANSWER_STREAM) return push_stream(a, at, len - blank, e);
    if (a->mode == ANSWER_WHOLE) buf_append(&a->line, at, len - blank);
    return a->line.failed ? err_set(e, ERR_MEMORY, "no memory for the upstream's answer") : ERR_OK;
}

static err_code end_whole(struct cloud_answer *a, struct err *e) {
    err_code code = take_document(a, &a->line, true, e);
    if (code != ERR_OK) return code;
    if (a->options.form != CLOUD_EMBEDDINGS) code = finish_whole(a, e);
    if (code != ERR_OK) return code;
    a->over = true;
    return cloud_answer_is_complete(a) ? ERR_OK : answer_wrong(e, "vectors are missing");
}

err_code cloud_answer_end(struct cloud_answer *a, struct err *e) {
    if (a->mode == ANSWER_WHOLE) return end_whole(a, e);
    err_code code = a->mode == ANSWER_STREAM ? take_line(a, e) : ERR_OK;
    if (code == ERR_OK) code = end_event(a, e); /* the last empty line may be missing */
    if (code != ERR_OK || cloud_answer_is_complete(a)) return code;
    return err_set(e, ERR_CLOSED, "the upstream's answer %s", a->n_bytes == 0 ? "is empty" : "ended before it was complete");
}

bool cloud_answer_is_complete(const struct cloud_answer *a) {
    if (a->options.form == CLOUD_EMBEDDINGS) return a->n_have == a->options.n_choices;
    for (uint32_t i = 0; i < a->options.n_choices; i++)
        if (!a->choices[i].finished) return false;
    return true;
}

bool cloud_answer_is_over(const struct cloud_answer *a) { return a->over; }

uint64_t cloud_answer_bytes(const struct cloud_answer *a) { return a->n_given; }

/* An upstream that has written text and counts no tokens doesn't count at all. */
struct cloud_usage cloud_answer_usage(const struct cloud_answer *a) {
    struct cloud_usage u = a->usage;
    if (!u.known || u.prompt + u.completion == 0 || (u.completion == 0 && a->n_given > 0)) return (struct cloud_usage){0};
    if (u.cached > u.prompt) u.cached = u.prompt;
    return u;
}

/* ---- the answer ---- */

struct cloud_answer *cloud_answer_create(const struct cloud_answer_options *options) {
    struct cloud_answer *a = MEM_NEW(struct cloud_answer);
    a->options = *options;
    buf_init(&a->line, CLOUD_MAX_EVENT);
    buf_init(&a->data, CLOUD_MAX_EVENT);
    a->choices = mem_calloc((size_t)options->n_choices + 1, sizeof(*a->choices));
    a->have = mem_calloc((size_t)options->n_choices + 1, sizeof(*a->have));
    return a;
}

void cloud_answer_free(struct cloud_answer *a) {
    if (a == NULL) return;
    for (uint32_t i = 0; i < a->options.n_choices; i++) answer_calls_free(&a->choices[i]);
    free(a->choices);
    free(a->have);
    buf_done(&a->line);
    buf_done(&a->data);
    free(a);
}
