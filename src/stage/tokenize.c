/* SPDX-License-Identifier: MIT
 * See tokenize.h. */
#include "stage/tokenize.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

#define MESSAGES_TOKENIZE
#include "base/field_tables.h"
#undef MESSAGES_TOKENIZE

static void put_numbers(const uint32_t *numbers, size_t n, struct buf *out) {
    if (!buf_reserve(out, 4 * n)) return;
    for (size_t i = 0; i < n; i++) bytes_put_u32(out->data + out->len + 4 * i, numbers[i]);
    out->len += 4 * n;
}

/* ---- the question ---- */

void tokenize_ask_encode(const struct tokenize_ask *a, struct buf *out) {
    field_encode(tokenize_ask_fields(), a, out);
    buf_append(out, a->name, a->name_len);
    if (a->tokens != NULL) put_numbers((const uint32_t *)a->tokens, a->n_tokens, out);
    else buf_append(out, a->text, a->len);
}

err_code tokenize_ask_decode(const uint8_t *data, size_t len, struct tokenize_ask *ret, struct err *e) {
    struct bytes_reader r;
    struct tokenize_ask ask;
    bytes_reader_init(&r, data, len);
    if (field_get(tokenize_ask_fields(), &r, &ask, e) != ERR_OK) return ERR_PROTOCOL;
    ask.name = (const char *)bytes_take(&r, ask.name_len);
    if (ask.name == NULL) return err_set(e, ERR_PROTOCOL, "TOKENIZE with a name that is cut short");
    ask.len = bytes_left(&r);
    ask.text = (const char *)bytes_take(&r, ask.len);
    if (ask.back && ask.len % 4 != 0) return err_set(e, ERR_PROTOCOL, "TOKENIZE with %zu bytes of tokens", ask.len);
    ask.tokens = NULL;
    ask.n_tokens = ask.back ? ask.len / 4 : 0;
    *ret = ask;
    return ERR_OK;
}

int32_t tokenize_ask_token(const struct tokenize_ask *a, size_t i) {
    assert(a->back && i < a->n_tokens);
    return (int32_t)bytes_get_u32((const uint8_t *)a->text + 4 * i);
}

/* ---- the answer ---- */

void tokenize_tokens_encode(uint64_t id, const int32_t *tokens, size_t n, struct buf *out) {
    struct tokenize_answer head = {.id = id, .n = (uint32_t)n};
    field_encode(tokenize_answer_fields(), &head, out);
    put_numbers((const uint32_t *)tokens, n, out);
}

void tokenize_pieces_encode(uint64_t id, const char *bytes, const uint32_t *ends, size_t n, struct buf *out) {
    struct tokenize_answer head = {.id = id, .n = (uint32_t)n};
    field_encode(tokenize_answer_fields(), &head, out);
    put_numbers(ends, n, out);
    if (n > 0) buf_append(out, bytes, ends[n - 1]);
}

void tokenize_failure_encode(uint64_t id, const struct err *why, struct buf *out) {
    struct tokenize_answer head = {.id = id, .failed = true};
    field_encode(tokenize_answer_fields(), &head, out);
    field_encode(err_fields(), why, out);
}

/* Reads the head, and then the n numbers that it announces into a new array. Returns the error if the answer carries one. */
static err_code get_numbers(struct bytes_reader *r, uint32_t **ret, size_t *ret_n, struct err *e) {
    struct tokenize_answer head;
    if (field_get(tokenize_answer_fields(), r, &head, e) != ERR_OK) return ERR_PROTOCOL;
    if (head.failed) {
        struct err why;
        size_t len = bytes_left(r);
        if (field_decode(err_fields(), bytes_take(r, len), len, &why, NULL) != ERR_OK || why.code == ERR_OK)
            return err_set(e, ERR_PROTOCOL, "TOKENIZED with an error that cannot be read");
        if (why.code == ERR_PROTOCOL) why.code = ERR_INTERNAL; /* ERR_PROTOCOL here means that the answer is malformed */
        if (e != NULL) *e = why;
        return why.code;
    }
    if (bytes_left(r) / 4 < head.n) return err_set(e, ERR_PROTOCOL, "TOKENIZED of %zu bytes for %u tokens", r->len, head.n);
    uint32_t *numbers = mem_calloc(head.n > 0 ? head.n : 1, sizeof(*numbers));
    for (uint32_t i = 0; i < head.n; i++) numbers[i] = bytes_read_u32(r);
    *ret = numbers;
    *ret_n = head.n;
    return ERR_OK;
}

err_code tokenize_tokens_decode(const uint8_t *data, size_t len, int32_t **ret_tokens, size_t *ret_n, struct err *e) {
    struct bytes_reader r;
    uint32_t *numbers;
    size_t n;
    bytes_reader_init(&r, data, len);
    err_code code = get_numbers(&r, &numbers, &n, e);
    if (code != ERR_OK) return code;
    if (bytes_left(&r) != 0) {
        free(numbers);
        return err_set(e, ERR_PROTOCOL, "TOKENIZED of %zu bytes for %zu tokens", len, n);
    }
    *ret_tokens = (int32_t *)numbers;
    *ret_n = n;
    return ERR_OK;
}

err_code tokenize_pieces_decode(const uint8_t *data, size_t len, const char **ret_bytes, uint32_t **ret_ends, size_t *ret_n,
                                struct err *e) {
    struct bytes_reader r;
    uint32_t *ends, at = 0;
    size_t n;
    bytes_reader_init(&r, data, len);
    err_code code = get_numbers(&r, &ends, &n, e);
    if (code != ERR_OK) return code;
    size_t left = bytes_left(&r);
    bool rising = true;
    for (size_t i = 0; i < n; i++) {
        rising = rising && ends[i] >= at;
        at = ends[i];
    }
    if (!rising || at != left) {
        free(ends);
        return err_set(e, ERR_PROTOCOL, "TOKENIZED with pieces that overlap, or do not fill it");
    }
    *ret_bytes = (const char *)bytes_take(&r, left);
    *ret_ends = ends;
    *ret_n = n;
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
