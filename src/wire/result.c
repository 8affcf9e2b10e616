/* SPDX-License-Identifier: MIT
 * The TOKENS payload, by byte as result.h draws it. */
#include "wire/result.h"

#include <assert.h>
#include <string.h>

bool result_is_due(const struct result_last *last, uint16_t flags, int32_t pos, int32_t token) {
    return flags != 0 && ((flags & ENGINE_TOKEN_DRAFT) == 0 || (last->pos == pos - 1 && last->token == token));
}

void result_note(struct result_last *last, const struct result *r) {
    *last = (struct result_last){r->pos, (r->flags & RESULT_SAMPLED) != 0 ? r->sample.token : -1};
}

void result_put(const struct result *r, struct buf *out) {
    bool sampled = (r->flags & RESULT_SAMPLED) != 0;
    uint32_t n_top = sampled ? r->sample.n_top : 0;
    uint16_t text_len = (r->flags & RESULT_FAILED) != 0 ? r->text_len : 0;
    uint32_t n_logits = (r->flags & (RESULT_LOGITS | RESULT_VECTOR)) != 0 ? r->n_logits : 0;
    assert(n_top <= ENGINE_MAX_TOP_LOGPROBS && text_len <= RESULT_MAX_TEXT);
    uint8_t fixed[RESULT_FIXED_SIZE];
    bytes_put_u16(fixed, r->seq);
    bytes_put_u16(fixed + 2, r->index);
    bytes_put_u32(fixed + 4, (uint32_t)r->pos);
    bytes_put_u32(fixed + 8, sampled ? (uint32_t)r->sample.token : 0);
    bytes_put_f32(fixed + 12, sampled ? r->sample.logprob : 0);
    fixed[16] = r->flags;
    fixed[17] = (uint8_t)n_top;
    bytes_put_u16(fixed + 18, text_len);
    bytes_put_u32(fixed + 20, n_logits);
    buf_append(out, fixed, sizeof(fixed));
    for (uint32_t i = 0; i < n_top; i++) {
        uint8_t top[8];
        bytes_put_u32(top, (uint32_t)r->sample.top[i].token);
        bytes_put_f32(top + 4, r->sample.top[i].logprob);
        buf_append(out, top, sizeof(top));
    }
    buf_append(out, r->text, text_len);
    buf_append(out, r->logits, (size_t)n_logits * 4);
}

static err_code check_flags(const struct result *r, uint32_t n_top, struct err *e) {
    if ((r->flags & ~(RESULT_END | RESULT_SAMPLED | RESULT_LOGITS | RESULT_VECTOR | RESULT_FAILED)) != 0)
        return err_set(e, ERR_FORMAT, "result: unknown flags 0x%02x", r->flags);
    if (n_top > ENGINE_MAX_TOP_LOGPROBS || r->text_len > RESULT_MAX_TEXT)
        return err_set(e, ERR_FORMAT, "result: %u alternatives, %u bytes of text", n_top, r->text_len);
    bool sampled = (r->flags & RESULT_SAMPLED) != 0;
    if ((!sampled && (n_top != 0 || (r->flags & RESULT_END) != 0)) || ((r->flags & RESULT_FAILED) == 0 && r->text_len != 0) ||
        ((r->flags & (RESULT_LOGITS | RESULT_VECTOR)) == 0 && r->n_logits != 0) || (sampled && (r->flags & RESULT_FAILED) != 0)) {
        return err_set(e, ERR_FORMAT, "result: parts that its flags 0x%02x do not announce", r->flags);
    }
    return ERR_OK;
}

err_code result_get(struct bytes_reader *r, struct result *ret, struct err *e) {
    struct result res = {0};
    res.seq = bytes_read_u16(r);
    res.index = bytes_read_u16(r);
    res.pos = (int32_t)bytes_read_u32(r);
    res.sample.token = (int32_t)bytes_read_u32(r);
    res.sample.logprob = bytes_read_f32(r);
    res.flags = bytes_read_u8(r);
    res.sample.n_top = bytes_read_u8(r);
    res.text_len = bytes_read_u16(r);
    res.n_logits = bytes_read_u32(r);
    res.sample.end = (res.flags & RESULT_END) != 0;
    if (r->failed) return err_set(e, ERR_FORMAT, "result: cut short");
    err_code code = check_flags(&res, res.sample.n_top, e);
    if (code != ERR_OK) return code;
    for (uint32_t i = 0; i < res.sample.n_top; i++) {
        res.sample.top[i].token = (int32_t)bytes_read_u32(r);
        res.sample.top[i].logprob = bytes_read_f32(r);
    }
    res.text = (const char *)bytes_take(r, res.text_len);
    res.logits = bytes_left(r) / 4 >= res.n_logits ? bytes_take(r, (size_t)res.n_logits * 4) : NULL;
    if (r->failed || (res.n_logits > 0 && res.logits == NULL)) return err_set(e, ERR_FORMAT, "result: cut short");
    *ret = res;
    return ERR_OK;
}

err_code result_get_trace(struct bytes_reader *r, struct wire_trace *ret, struct err *e) {
    const uint8_t *in = bytes_take(r, FRAME_TRACE_SIZE);
    if (in == NULL || bytes_get_u16(in + 2) != 0) return err_set(e, ERR_FORMAT, "trace: cut short, or not zero where it must be");
    *ret = wire_trace_get(in);
    return ERR_OK;
}
