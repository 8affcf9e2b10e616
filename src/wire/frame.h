/* SPDX-License-Identifier: MIT
 * The wire format of every link: a 48-byte little-endian header, checked before anything is allocated, then the payload.
 * Sans-I/O: these functions encode to and decode from bytes; they own no socket, clock or thread. docs/PROTOCOL.md draws each frame.
 *
 *  0 u32 magic "CRVN"      4 u8 version     5 u8 type      6 u8 dtype (hidden states)   7 u8 flags (0)
 *  8 u64 epoch             (counter << 32 | tag of the node that raised it; ordered as a number)
 * 16 u64 sent_us           sender's monotonic clock when it was sent
 * 24 u32 number            frame number, given by the head to each COMPUTE, echoed in its TOKENS; 0 elsewhere
 * 28 u32 n_ops            32 u32 n_tokens  36 u32 width (floats in a hidden row, 0: none)
 * 40 u32 payload_len      44 u16 n_trace   46 u16 reserved (0)
 *
 * COMPUTE payload: ops n_ops x 20 B | tokens n_tokens x 12 B | trace n_trace x 16 B | hidden n_tokens x row bytes(dtype, width).
 *   op:    u8 kind, u8[3] 0, u32 seq, u32 dst, i32 p0, i32 p1      (p1 < 0: to the end)
 *   token: i32 token, i32 pos, u16 seq, u16 flags
 *   trace: u16 stage, u16 0, u32 hop_us (from the previous stage), u32 wait_us (queued here), u32 compute_us
 * TOKENS payload: results n_tokens x variable | trace n_trace x 16 B (see wire/result.h).
 */
#ifndef CARAVAN_WIRE_FRAME_H
#define CARAVAN_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define FRAME_MAGIC       0x4E565243u /* "CRVN" read as a little-endian u32 */
#define FRAME_VERSION     1           /* of the header alone: the same for ever, so that any two builds can refuse each other */
#define FRAME_HEADER_SIZE 48

/* The version of the protocol, on every kind of link: it stands in HELLO and WELCOME, and both ends must have the same one. */
enum { WIRE_VERSION = 2 };

enum frame_type {
#define FRAME(name, number, links, max, what) FRAME_##name = number,
#include "../../tables/frames.def"
#undef FRAME
};

enum frame_link { FRAME_LINK_RING = 1, FRAME_LINK_CONTROL = 2, FRAME_LINK_LOCAL = 4, FRAME_LINK_WEIGHTS = 8 };
enum frame_dtype { FRAME_F32, FRAME_F16, FRAME_BF16, FRAME_Q8_0, FRAME_DTYPE_COUNT };

/* Limits of one frame; a header past any of them is refused before a byte is allocated. */
enum {
    FRAME_MAX_OPS = 4096,
    FRAME_MAX_TOKENS = 16384,
    FRAME_MAX_WIDTH = 262144,
    FRAME_MAX_TRACE = 256,
    FRAME_MAX_SEQ = 1024,
};
/* Bytes of one entry of a COMPUTE payload. */
enum { FRAME_OP_SIZE = 20, FRAME_TOKEN_SIZE = 12, FRAME_TRACE_SIZE = 16 };

struct frame_header {
    uint8_t type, dtype, flags;
    uint64_t epoch, sent_us;
    uint32_t number, n_ops, n_tokens, width, payload_len;
    uint16_t n_trace;
};

/* Writes 48 bytes. The header's counts must be within the limits (asserted: programmer's error). */
void frame_header_put(uint8_t out[FRAME_HEADER_SIZE], const struct frame_header *h);
/* Reads and checks 48 bytes that arrived on a link of this kind: magic, version, type legal on the link, counts within limits,
 * payload_len within the type's maximum and, for COMPUTE, exactly what the counts ask for. ERR_PROTOCOL with the reason. */
err_code frame_header_get(const uint8_t in[FRAME_HEADER_SIZE], enum frame_link link, struct frame_header *ret, struct err *e);

/* The same checks on a header that is already in numbers (whoever builds one from foreign input). */
err_code frame_header_check(const struct frame_header *h, enum frame_link link, struct err *e);

const char *frame_type_name(uint8_t type);             /* "COMPUTE", "?" if unknown */
uint32_t frame_max_payload(uint8_t type);              /* 0 if unknown */
unsigned frame_links(uint8_t type);                    /* enum frame_link bits of the links it may cross, 0 if unknown */
const char *frame_dtype_name(uint8_t dtype);           /* "f32", "f16", "bf16", "q8_0" */
uint8_t frame_dtype_of(const char *name);              /* FRAME_F32 for any other name ("auto") */
const char *frame_link_name(enum frame_link link);     /* "ring" */
size_t frame_row_bytes(uint8_t dtype, uint32_t width); /* bytes of one hidden row; q8_0 needs width % 32 == 0, else 0 */

#endif
