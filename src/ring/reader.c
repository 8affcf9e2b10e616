/* SPDX-License-Identifier: MIT */
#include "ring/reader.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 4096, KEEP_CAP = 32 * 1024 * 1024 /* a buffer larger than this is given back after its frame */ };

void ring_reader_init(struct ring_reader *r, enum frame_link link) {
    *r = (struct ring_reader){ .link = link };
}

void ring_reader_done(struct ring_reader *r) {
    free(r->payload);
    r->payload = NULL;
    r->cap = r->got = 0;
}

bool ring_reader_whole(const struct ring_reader *r) {
    return r->got >= FRAME_HEADER_SIZE && r->got == FRAME_HEADER_SIZE + (size_t)r->header.payload_len;
}

bool ring_reader_empty(const struct ring_reader *r) {
    return r->got == 0;
}

void ring_reader_next(struct ring_reader *r) {
    assert(ring_reader_whole(r));
    r->got = 0;
    if (r->cap > KEEP_CAP) ring_reader_done(r);
}

static err_code make_room(struct ring_reader *r, size_t want, struct err *e) {
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

err_code ring_reader_space(struct ring_reader *r, uint8_t **ret_where, size_t *ret_room, struct err *e) {
    assert(!ring_reader_whole(r));
    if (r->got < FRAME_HEADER_SIZE) {
        *ret_where = r->head + r->got;
        *ret_room = FRAME_HEADER_SIZE - r->got;
        return ERR_OK;
    }
    size_t at = r->got - FRAME_HEADER_SIZE;
    err_code rc = at == 0 ? make_room(r, r->header.payload_len, e) : ERR_OK;
    if (rc != ERR_OK) return rc;
    *ret_where = r->payload + at;
    *ret_room = r->header.payload_len - at;
    return ERR_OK;
}

err_code ring_reader_advance(struct ring_reader *r, size_t n, struct err *e) {
    bool had_header = r->got >= FRAME_HEADER_SIZE;
    r->got += n;
    if (had_header || r->got < FRAME_HEADER_SIZE) return ERR_OK;
    return frame_header_get(r->head, r->link, &r->header, e);
}

err_code ring_reader_feed(struct ring_reader *r, const uint8_t **data, size_t *len, struct err *e) {
    if (ring_reader_whole(r)) ring_reader_next(r);
    while (*len > 0) {
        uint8_t *where;
        size_t room;
        err_code rc = ring_reader_space(r, &where, &room, e);
        if (rc != ERR_OK) return rc;
        size_t n = room < *len ? room : *len;
        memcpy(where, *data, n);
        *data += n;
        *len -= n;
        rc = ring_reader_advance(r, n, e);
        if (rc != ERR_OK) return rc;
        if (ring_reader_whole(r)) return ERR_OK;
    }
    return ERR_BUSY;
}
