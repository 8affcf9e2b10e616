/* SPDX-License-Identifier: MIT
 * The frames of every link: a header of 48 bytes (struct frame_header), checked before anything is allocated, then the payload.
 * tables/frames.def lists the types, tables/messages.def the layouts; docs/PROTOCOL.md describes both. wire/compute.h handles the payload
 * of COMPUTE, wire/result.h the payload of TOKENS. Sans-I/O: these functions encode to and decode from bytes; they own no socket, clock or
 * thread. */
#ifndef CARAVAN_WIRE_FRAME_H
#define CARAVAN_WIRE_FRAME_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/field.h"

#define FRAME_MAGIC   0x4E565243u /* "CRVN" read as a little-endian u32 */
#define FRAME_VERSION 1           /* of the header alone; it never changes, so that any two builds can refuse each other */

/* The version of the protocol, on every kind of link: HELLO and WELCOME carry it, and both ends must have the same version. */
enum { WIRE_VERSION = 9 };

enum frame_type {
#define FRAME(name, number, links, max, what) FRAME_##name = number,
#include "../../tables/frames.def"
#undef FRAME
};

enum frame_link { FRAME_LINK_RING = 1, FRAME_LINK_CONTROL = 2, FRAME_LINK_LOCAL = 4, FRAME_LINK_WEIGHTS = 8 };
enum frame_dtype { FRAME_F32, FRAME_F16, FRAME_BF16, FRAME_Q8_0, FRAME_DTYPE_COUNT };

/* Limits of one frame; a header over a limit is refused before any memory is allocated. */
enum {
    FRAME_MAX_OPS = 4096,
    FRAME_MAX_TOKENS = 16384,
    FRAME_MAX_WIDTH = 262144,
    FRAME_MAX_TRACE = 256,
    FRAME_MAX_SEQ = 1024,
    FRAME_MAX_LOST = FRAME_MAX_OPS + 1024, /* what the operations of a frame may find lost, and what went before it (engine/engine.h) */
};

/* The structs frame_header, frame_pong and wire_trace. */
#define MESSAGES_FRAME
#include "base/field_structs.h"
#undef MESSAGES_FRAME
enum { FRAME_HEADER_SIZE = FIELD_SIZE(frame_header) };
static_assert(FRAME_HEADER_SIZE == 48, "the header keeps its size, so that any two builds can refuse each other");

/* Writes 48 bytes; magic and version are set. The header's counts must be within the limits (asserted: programmer's error). */
void frame_header_put(uint8_t out[FRAME_HEADER_SIZE], const struct frame_header *h);
/* Reads and checks 48 bytes that arrived on a link of this kind: magic, version, type legal on the link, counts within limits,
 * payload_len within the type's maximum and, for COMPUTE, exactly what the counts ask for. ERR_PROTOCOL with the reason. */
err_code frame_header_get(const uint8_t in[FRAME_HEADER_SIZE], enum frame_link link, struct frame_header *ret, struct err *e);

/* The same checks, except for magic and version, on a decoded header. */
err_code frame_header_check(const struct frame_header *h, enum frame_link link, struct err *e);
/* The header of a frame with len bytes of payload, for the sender: sets payload_len and writes it. ERR_LIMIT: over the type's maximum. */
err_code frame_header_make(struct frame_header *h, size_t len, uint8_t out[FRAME_HEADER_SIZE], struct err *e);

const char *frame_type_name(uint8_t type);             /* "COMPUTE", "?" if unknown */
uint32_t frame_max_payload(uint8_t type);              /* 0 if unknown */
unsigned frame_links(uint8_t type);                    /* enum frame_link bits of the links it may cross, 0 if unknown */
const char *frame_dtype_name(uint8_t dtype);           /* "f32", "f16", "bf16", "q8_0" */
uint8_t frame_dtype_of(const char *name);              /* FRAME_F32 for any other name ("auto") */
const char *frame_link_name(enum frame_link link);     /* "ring" */
size_t frame_row_bytes(uint8_t dtype, uint32_t width); /* bytes of one hidden row; q8_0 needs width % 32 == 0, else 0 */

#endif
