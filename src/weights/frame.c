/* SPDX-License-Identifier: MIT
 * See weights_priv.h. */
#include "weights/weights_priv.h"
#include "wire/handshake.h"

err_code weights_send(struct io_tls_stream *s, enum frame_type type, uint32_t number, const void *data, size_t len, struct err *e) {
    uint8_t head[FRAME_HEADER_SIZE];
    struct frame_header h = {.type = (uint8_t)type, .number = number, .payload_len = (uint32_t)len};
    frame_header_put(head, &h);
    size_t n;
    err_code code = io_tls_write(s, head, sizeof(head), true, &n, e);
    if (code == ERR_OK && len > 0) code = io_tls_write(s, data, len, true, &n, e);
    return code;
}

static err_code weights_read_all(struct io_tls_stream *s, uint8_t *data, size_t len, struct err *e) {
    while (len > 0) {
        size_t n = 0;
        err_code code = io_tls_read(s, data, len, true, &n, e);
        if (code != ERR_OK) return code;
        data += n;
        len -= n;
    }
    return ERR_OK;
}

err_code weights_receive(struct io_tls_stream *s, struct frame_header *ret, struct buf *payload, struct err *e) {
    uint8_t head[FRAME_HEADER_SIZE];
    err_code code = weights_read_all(s, head, sizeof(head), e);
    if (code == ERR_OK) code = frame_header_get(head, FRAME_LINK_WEIGHTS, ret, e);
    if (code != ERR_OK) return code;
    buf_clear(payload);
    if (!buf_reserve(payload, ret->payload_len)) return err_set(e, ERR_MEMORY, "no memory for a frame of %u bytes", ret->payload_len);
    code = weights_read_all(s, payload->data, ret->payload_len, e);
    if (code != ERR_OK) return code;
    payload->len = ret->payload_len;
    return ret->type == FRAME_REFUSE ? wire_refuse_decode(payload->data, payload->len, e) : ERR_OK;
}
