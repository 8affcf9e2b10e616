/* SPDX-License-Identifier: MIT
 * See tokenize.h. */
#include "stage/tokenize.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

#define MESSAGES_TOKENIZE
#include "base/field_tables.h"
#undef MESSAGES_TOKENIZE

/* ---- the question ---- */

void tokenize_ask_encode(const struct tokenize_ask *a, struct buf *out) {
    struct tokenize_ask ask = *a;
    if (a->tokens != NULL) ask.text_len = 0;
    field_encode(tokenize_ask_fields(), &ask, out);
    if (a->tokens == NULL || !buf_reserve(out, 4 * a->n_tokens)) return;
    for (size_t i = 0; i < a->n_tokens; i++, out->len += 4) bytes_put_u32(out->data + out->len, (uint32_t)a->tokens[i]);
}

err_code tokenize_ask_decode(const uint8_t *data, size_t len, struct tokenize_ask *ret, struct err *e) {
    struct tokenize_ask ask;
    if (field_decode(tokenize_ask_fields(), data, len, &ask, e) != ERR_OK) return ERR_PROTOCOL;
    if (ask.back && ask.text_len % 4 != 0) return err_set(e, ERR_PROTOCOL, "TOKENIZE with %zu bytes of tokens", ask.text_len);
    ask.n_tokens = ask.back ? ask.text_len / 4 : 0;
    *ret = ask;
    return ERR_OK;
}

int32_t tokenize_ask_token(const struct tokenize_ask *a, size_t i) {
    assert(a->back && i < a->n_tokens);
    return (int32_t)bytes_get_u32((const uint8_t *)a->text + 4 * i);
}

/* ---- the answer ---- */

void tokenize_tokens_encode(uint64_t id, const int32_t *tokens, size_t n, struct buf *out) {
    struct tokenize_answer a = {.id = id, .n = (uint32_t)n, .numbers = (int32_t *)(uintptr_t)tokens};
    field_encode(tokenize_answer_fields(), &a, out);
}

void tokenize_pieces_encode(uint64_t id, const char *bytes, const uint32_t *ends, size_t n, struct buf *out) {
    struct tokenize_answer a = {
        .id = id, .n = (uint32_t)n, .numbers = (int32_t *)(uintptr_t)ends, .rest = bytes, .rest_len = n > 0 ? ends[n - 1] : 0};
    field_encode(tokenize_answer_fields(), &a, out);
}

void tokenize_failure_encode(uint64_t id, const struct err *why, struct buf *out) {
    struct tokenize_answer head = {.id = id, .failed = true};
    field_encode(tokenize_answer_fields(), &head, out);
    field_encode(err_fields(), why, out);
}

/* The error that the answer carries. */
static err_code told_error(const struct tokenize_answer *a, struct err *e) {
    struct err why;
    if (field_decode(err_fields(), (const uint8_t *)a->rest, a->rest_len, &why, NULL) != ERR_OK || why.code == ERR_OK)
        return err_set(e, ERR_PROTOCOL, "TOKENIZED with an error that cannot be read");
    if (why.code == ERR_PROTOCOL) why.code = ERR_INTERNAL; /* ERR_PROTOCOL here means that the answer is malformed */
    if (e != NULL) *e = why;
    return why.code;
}

/* Reads an answer whose `rest` is as long as its numbers say; else frees them. Returns the error if the answer carries one. */
static err_code read_answer(const uint8_t *data, size_t len, bool pieces, struct tokenize_answer *ret, struct err *e) {
    struct tokenize_answer a;
    if (field_decode(tokenize_answer_fields(), data, len, &a, e) != ERR_OK) return ERR_PROTOCOL;
    err_code code = a.failed ? told_error(&a, e) : ERR_OK;
    uint32_t end = 0;
    bool rising = true;
    for (size_t i = 0; i < a.n && pieces; i++) {
        rising = rising && (uint32_t)a.numbers[i] >= end;
        end = (uint32_t)a.numbers[i];
    }
    if (code == ERR_OK && (!rising || end != a.rest_len))
        code = err_set(e, ERR_PROTOCOL, "TOKENIZED of %zu bytes for %u tokens: the pieces overlap, or do not fill it", len, a.n);
    if (code == ERR_OK) *ret = a;
    else field_done(tokenize_answer_fields(), &a);
    return code;
}

err_code tokenize_tokens_decode(const uint8_t *data, size_t len, int32_t **ret_tokens, size_t *ret_n, struct err *e) {
    struct tokenize_answer a;
    err_code code = read_answer(data, len, false, &a, e);
    if (code != ERR_OK) return code;
    *ret_tokens = a.numbers;
    *ret_n = a.n;
    return ERR_OK;
}

err_code tokenize_pieces_decode(const uint8_t *data, size_t len, const char **ret_bytes, uint32_t **ret_ends, size_t *ret_n,
                                struct err *e) {
    struct tokenize_answer a;
    err_code code = read_answer(data, len, true, &a, e);
    if (code != ERR_OK) return code;
    *ret_bytes = a.rest;
    *ret_ends = (uint32_t *)a.numbers;
    *ret_n = a.n;
    return ERR_OK;
}

/* ---- passing an answer on ---- */

err_code tokenize_answer_peek(const uint8_t *data, size_t len, uint64_t *ret_id, struct err *e) {
    struct tokenize_answer head;
    err_code code = field_peek(tokenize_answer_fields(), data, len, &head, e);
    if (code == ERR_OK) *ret_id = head.id;
    return code;
}

void tokenize_answer_rename(uint8_t *data, size_t len, uint64_t id) {
    struct tokenize_answer head;
    err_code code = field_peek(tokenize_answer_fields(), data, len, &head, NULL);
    assert(code == ERR_OK);
    (void)code;
    head.id = id;
    field_put(tokenize_answer_fields(), &head, data);
}
