/* SPDX-License-Identifier: MIT */
#include "wire/reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 4096, KEEP_CAP = 32 * 1024 * 1024 /* a buffer larger than this is given back after its frame */ };

void wire_reader_init(struct wire_reader *r, enum frame_link link) { *r = (struct wire_reader){.link = link}; }

void wire_reader_done(struct wire_reader *r) {
    free(r->payload);
    r->payload = NULL;
    r->cap = r->got = 0;
}

bool wire_reader_whole(const struct wire_reader *r) {
    return r->got >= FRAME_HEADER_SIZE && r->got == FRAME_HEADER_SIZE + (size_t)r->header.payload_len;
}

bool wire_reader_empty(const struct wire_reader *r) { return r->got == 0; }

void wire_reader_slim(struct wire_reader *r, size_t keep) {
    if (r->cap > keep && (wire_reader_empty(r) || wire_reader_whole(r))) wire_reader_done(r);
}

void wire_reader_next(struct wire_reader *r) {
    assert(wire_reader_whole(r));
    r->got = 0;
    if (r->cap > KEEP_CAP) wire_reader_done(r);
}

static err_code make_room(struct wire_reader *r, size_t want, struct err *e) {
    if (want <= r->cap) return ERR_OK;
    size_t cap = r->cap > FIRST_CAP ? r->cap : FIRST_CAP;
    while (cap < want) cap *= 2;
    if (cap > KEEP_CAP) cap = want;
    free(r->payload); /* nothing of this frame stands in it yet */
    r->cap = 0;
    r->payload = malloc(cap);
    if (r->payload == NULL) return err_set(e, ERR_MEMORY, "no memory for a %s frame of %zu bytes", frame_type_name(r->header.type), want);
    r->cap = cap;
    return ERR_OK;
}

err_code wire_reader_space(struct wire_reader *r, uint8_t **ret_where, size_t *ret_room, struct err *e) {
    assert(!wire_reader_whole(r));
    if (r->got < FRAME_HEADER_SIZE) {
        *ret_where = r->head + r->got;
        *ret_room = FRAME_HEADER_SIZE - r->got;
        return ERR_OK;
    }
    size_t at = r->got - FRAME_HEADER_SIZE;
    err_code code = at == 0 ? make_room(r, r->header.payload_len, e) : ERR_OK;
    if (code != ERR_OK) return code;
    *ret_where = r->payload + at;
    *ret_room = r->header.payload_len - at;
    return ERR_OK;
}

err_code wire_reader_advance(struct wire_reader *r, size_t n, struct err *e) {
    bool had_header = r->got >= FRAME_HEADER_SIZE;
    r->got += n;
    if (had_header || r->got < FRAME_HEADER_SIZE) return ERR_OK;
    return frame_header_get(r->head, r->link, &r->header, e);
}

err_code wire_reader_feed(struct wire_reader *r, const uint8_t **data, size_t *len, struct err *e) {
    if (wire_reader_whole(r)) wire_reader_next(r);
    while (*len > 0) {
        uint8_t *where;
        size_t room;
        err_code code = wire_reader_space(r, &where, &room, e);
        if (code != ERR_OK) return code;
        size_t n = room < *len ? room : *len;
        memcpy(where, *data, n);
        *data += n;
        *len -= n;
        code = wire_reader_advance(r, n, e);
        if (code != ERR_OK) return code;
        if (wire_reader_whole(r)) return ERR_OK;
    }
    return ERR_BUSY;
}
