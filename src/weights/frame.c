/* SPDX-License-Identifier: MIT
 * See weights_priv.h. */
#include "weights/weights_priv.h"
#include "wire/handshake.h"

err_code weights_send(struct io_tls_stream *s, enum frame_type type, uint32_t number, const void *data, size_t len, struct err *e) {
    uint8_t head[FRAME_HEADER_SIZE];
    struct frame_header h = {.type = (uint8_t)type, .number = number};
    size_t n;
    err_code code = frame_header_make(&h, len, head, e);
    if (code == ERR_OK) code = io_tls_write(s, head, sizeof(head), true, &n, e);
    if (code == ERR_OK && len > 0) code = io_tls_write(s, data, len, true, &n, e);
    return code;
}

err_code weights_receive(struct io_tls_stream *s, struct wire_reader *r, bool wait, struct err *e) {
    if (wire_reader_whole(r)) wire_reader_next(r);
    while (!wire_reader_whole(r)) {
        uint8_t *where;
        size_t room, n = 0;
        err_code code = wire_reader_space(r, &where, &room, e);
        if (code == ERR_OK) code = io_tls_read(s, where, room, wait, &n, e);
        if (code == ERR_OK) code = wire_reader_advance(r, n, e);
        if (code != ERR_OK) return code;
    }
    return r->header.type == FRAME_REFUSE ? wire_refuse_decode(r->payload, r->header.payload_len, e) : ERR_OK;
}

err_code weights_ask(struct io_tls_stream *s, uint32_t part, uint64_t offset, uint64_t len, struct err *e) {
    uint8_t want[FIELD_SIZE(weights_want)];
    field_put(weights_want_fields(), &(struct weights_want){.offset = offset, .len = len}, want);
    return weights_send(s, FRAME_WANT, part, want, sizeof(want), e);
}

err_code weights_ask_hashes(struct io_tls_stream *s, uint32_t part, const struct weights_run *run, struct err *e) {
    uint8_t bytes[FIELD_SIZE(weights_run)];
    field_put(weights_run_fields(), run, bytes);
    return weights_send(s, FRAME_HASHES, part, bytes, sizeof(bytes), e);
}

err_code weights_hashes_check(const struct wire_reader *in, uint32_t part, const struct weights_run *run, const uint8_t **ret_hashes,
                              struct err *e) {
    struct weights_hashed h;
    bool good = in->header.type == FRAME_HASHES && in->header.number == part &&
                field_decode(weights_hashed_fields(), in->payload, in->header.payload_len, &h, e) == ERR_OK && h.first == run->first &&
                h.hashes_len == (size_t)run->n * WEIGHTS_HASH;
    if (!good) return err_set(e, ERR_PROTOCOL, "hashes of other chunks than those asked for");
    *ret_hashes = h.hashes;
    return ERR_OK;
}
