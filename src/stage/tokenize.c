/* SPDX-License-Identifier: MIT
 * See tokenize.h. */
#include "stage/tokenize.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"

enum { ASK_HEAD = 16, ANSWER_HEAD = 12 };

void tokenize_ask_encode(const struct tokenize_ask *a, struct buf *out) {
    uint8_t head[ASK_HEAD] = {0};
    bytes_put_u64(head, a->id);
    head[8] = a->bos;
    head[9] = a->special;
    bytes_put_u16(head + 10, (uint16_t)a->name_len);
    head[12] = a->back;
    buf_append(out, head, sizeof(head));
    buf_append(out, a->name, a->name_len);
    buf_append(out, a->text, a->len);
}

err_code tokenize_ask_decode(const uint8_t *data, size_t len, struct tokenize_ask *ret, struct err *e) {
    size_t name = len >= ASK_HEAD ? bytes_get_u16(data + 10) : 0;
    if (len < ASK_HEAD + name || data[8] > 1 || data[9] > 1 || data[12] > 1) return err_set(e, ERR_PROTOCOL, "malformed TOKENIZE");
    const char *behind = (const char *)data + ASK_HEAD;
    *ret = (struct tokenize_ask){.id = bytes_get_u64(data),
                                 .bos = data[8],
                                 .special = data[9],
                                 .back = data[12],
                                 .name = behind,
                                 .name_len = name,
                                 .text = behind + name,
                                 .len = len - ASK_HEAD - name};
    if (ret->back && ret->len % 4 != 0) return err_set(e, ERR_PROTOCOL, "TOKENIZE with %zu bytes of tokens", ret->len);
    return ERR_OK;
}

static void put_head(uint64_t id, uint32_t n, struct buf *out) {
    uint8_t head[ANSWER_HEAD];
    bytes_put_u64(head, id);
    bytes_put_u32(head + 8, n);
    buf_append(out, head, sizeof(head));
}

void tokenize_answer_encode(uint64_t id, const int32_t *tokens, size_t n, struct buf *out) {
    put_head(id, (uint32_t)n, out);
    if (!buf_reserve(out, 4 * n)) return;
    for (size_t i = 0; i < n; i++) bytes_put_u32(out->data + out->len + 4 * i, (uint32_t)tokens[i]);
    out->len += 4 * n;
}

void tokenize_pieces_encode(uint64_t id, const char *bytes, const uint32_t *ends, size_t n, struct buf *out) {
    put_head(id, (uint32_t)n, out);
    if (!buf_reserve(out, 4 * n)) return;
    for (size_t i = 0; i < n; i++) bytes_put_u32(out->data + out->len + 4 * i, ends[i]);
    out->len += 4 * n;
    if (n > 0) buf_append(out, bytes, ends[n - 1]);
}

err_code tokenize_pieces_decode(const uint8_t *data, size_t len, const char **ret_bytes, uint32_t **ret_ends, size_t *ret_n,
                                struct err *e) {
    if (len < ANSWER_HEAD) return err_set(e, ERR_PROTOCOL, "TOKENIZED of %zu bytes", len);
    uint32_t n = bytes_get_u32(data + 8);
    if (n == UINT32_MAX) return err_set(e, ERR_INVALID, "%.*s", (int)(len - ANSWER_HEAD), (const char *)data + ANSWER_HEAD);
    if ((len - ANSWER_HEAD) / 4 < n) return err_set(e, ERR_PROTOCOL, "TOKENIZED of %zu bytes for %u pieces", len, n);
    size_t left = len - ANSWER_HEAD - 4 * (size_t)n;
    uint32_t *ends = mem_calloc(n, sizeof(*ends)), at = 0;
    for (uint32_t i = 0; i < n; i++) {
        ends[i] = bytes_get_u32(data + ANSWER_HEAD + 4 * (size_t)i);
        if (ends[i] < at || ends[i] > left) at = UINT32_MAX; /* all that follow are smaller, too */
        else if (at != UINT32_MAX) at = ends[i];
    }
    if (at != left) {
        free(ends);
        return err_set(e, ERR_PROTOCOL, "TOKENIZED with pieces that overlap");
    }
    *ret_bytes = (const char *)data + len - left;
    *ret_ends = ends;
    *ret_n = n;
    return ERR_OK;
}

void tokenize_failure_encode(uint64_t id, const struct err *why, struct buf *out) {
    put_head(id, UINT32_MAX, out);
    buf_append_str(out, why->text);
}

err_code tokenize_answer_decode(const uint8_t *data, size_t len, uint64_t *ret_id, int32_t **ret_tokens, size_t *ret_n, struct err *e) {
    if (len < ANSWER_HEAD) return err_set(e, ERR_PROTOCOL, "TOKENIZED of %zu bytes", len);
    uint32_t n = bytes_get_u32(data + 8);
    if (n == UINT32_MAX) return err_set(e, ERR_INVALID, "%.*s", (int)(len - ANSWER_HEAD), (const char *)data + ANSWER_HEAD);
    if (len - ANSWER_HEAD != 4 * (uint64_t)n) return err_set(e, ERR_PROTOCOL, "TOKENIZED of %zu bytes for %u tokens", len, n);
    int32_t *tokens = mem_calloc(n ? n : 1, sizeof(*tokens));
    for (uint32_t i = 0; i < n; i++) tokens[i] = (int32_t)bytes_get_u32(data + ANSWER_HEAD + 4 * i);
    *ret_id = bytes_get_u64(data);
    *ret_tokens = tokens;
    *ret_n = n;
    return ERR_OK;
}
