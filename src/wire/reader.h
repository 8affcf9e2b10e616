/* SPDX-License-Identifier: MIT
 * Assembles frames from bytes that come in pieces of any size. Every link reads its frames with a reader. Sans-I/O: it returns the place
 * for the next bytes, so that they are received directly into the frame, and tells when a frame is whole. One reader a link; one owner, one
 * thread at a time.
 *
 *     for (;;) {
 *         uint8_t *where; size_t room;
 *         rc = wire_reader_space(&r, &where, &room, e);     // how many bytes are wanted, and where
 *         n = receive(where, room);                         // 1..room
 *         rc = wire_reader_advance(&r, n, e);               // checks the header as soon as it is whole
 *         if (wire_reader_whole(&r)) { use r.header, r.payload; wire_reader_next(&r); }
 *     }
 *
 * Its buffer grows to the largest frame seen, bounded by the type's maximum, and is used again for every frame. */
#ifndef CARAVAN_WIRE_READER_H
#define CARAVAN_WIRE_READER_H

#include <stdbool.h>

#include "wire/frame.h"

struct wire_reader {
    enum frame_link link;
    struct frame_header header;          /* valid once the header is in */
    uint8_t *payload;                    /* owned; header.payload_len bytes once whole */
    size_t got, cap;                     /* bytes of this frame so far, header included; bytes allocated at payload */
    uint8_t head[FRAME_HEADER_SIZE];
};

void wire_reader_init(struct wire_reader *r, enum frame_link link);
void wire_reader_done(struct wire_reader *r);
/* Returns the place for the next bytes of the frame: *ret_room >= 1 bytes are still missing. Not to be called while a frame is whole.
 * ERR_MEMORY when the frame does not fit in memory. */
err_code wire_reader_space(struct wire_reader *r, uint8_t **ret_where, size_t *ret_room, struct err *e);
/* n bytes have been written to that place. ERR_PROTOCOL: the header is bad; the link must be closed. */
err_code wire_reader_advance(struct wire_reader *r, size_t n, struct err *e);
bool wire_reader_whole(const struct wire_reader *r);
bool wire_reader_empty(const struct wire_reader *r);  /* between two frames: an end of the stream here is an orderly one */
void wire_reader_slim(struct wire_reader *r, size_t keep); /* between two frames: gives a buffer of more than `keep` bytes back */
void wire_reader_next(struct wire_reader *r);         /* forgets the whole frame, keeps the memory */

/* The same for bytes in another buffer: takes up to the end of the next frame out of *data, *len (both are moved on). ERR_OK: a frame is
 * whole; ERR_BUSY: more bytes are needed. The frame stays until the next call. */
err_code wire_reader_feed(struct wire_reader *r, const uint8_t **data, size_t *len, struct err *e);

#endif
