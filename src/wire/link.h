/* SPDX-License-Identifier: MIT
 * One link of the ring, as a stage process holds it: frames over a TLS stream (or, for LOCAL, over a Unix socket), the handshake that opens
 * it, and a writer thread that sends the bytes for which the kernel's socket buffer has no room. The compute thread itself reads: it polls
 * the descriptor (wire_link_fd), or spins on wire_link_read with wait = false. ERR codes say why a link ended. Owner: the stage's compute
 * thread. Other threads call only the functions marked "From any thread". */
#ifndef CARAVAN_WIRE_LINK_H
#define CARAVAN_WIRE_LINK_H

#include "base/clock.h"
#include "io/tls.h"
#include "wire/frame.h"
#include "wire/handshake.h"

struct wire_link;

/* The TLS server name of the ring link into a stage: "ring-<instance>-<epoch, 16 hex digits>-<stage>.caravan". ERR_INVALID: the instance's
 * name has a character that names may not have. */
err_code wire_link_name(const char *instance, uint64_t epoch, uint32_t stage, char ret[IO_TLS_NAME_MAX], struct err *e);
/* Client side: shakes hands with the stage `id->to`, and measures how far its clock is ahead (wire/peer_clock.h): a few times now, later at
 * each beat. Takes fd, which is closed on failure, too. */
err_code wire_link_connect(struct io_tls_ctx *tls, int fd, const struct wire_identity *id, int timeout_ms, struct wire_link **ret,
                           struct err *e);
/* Server side: reads HELLO and checks it against `id`. If they differ it sends REFUSE with the reason, and fails. */
err_code wire_link_accept(struct io_tls_ctx *tls, int fd, const struct wire_identity *id, int timeout_ms, struct wire_link **ret,
                          struct err *e);
/* The LOCAL link: a connected Unix stream socket, no TLS, no handshake. */
struct wire_link *wire_link_local(int fd);

/* Reads the next frame; the link itself handles PING, PONG, BEAT and REFUSE (a REFUSE becomes the error that it carries). The payload stays
 * in the link's buffer until the next read. wait = false: ERR_BUSY when no whole frame is there yet (partial bytes are kept). *ret_fd (may
 * be NULL, LOCAL only) gets a descriptor that came with the frame, or -1. */
err_code wire_link_read(struct wire_link *l, bool wait, struct frame_header *ret_header, const uint8_t **ret_payload, int *ret_fd,
                        struct err *e);
/* Are there buffered bytes, so that poll would sleep although there is something to read? False after ERR_BUSY. */
bool wire_link_pending(const struct wire_link *l);
int wire_link_fd(const struct wire_link *l);
size_t wire_link_waiting(struct wire_link *l);          /* bytes sent that the other end has not taken yet */
uint64_t wire_link_received(const struct wire_link *l); /* bytes received so far; they show that the other end lives */

/* What a ring link has carried so far: bytes as they are on the network (encrypted, handshake included), and whole frames of all kinds. Of
 * LOCAL: zeros. */
struct wire_traffic {
    uint64_t sent, received; /* bytes */
    uint64_t frames;         /* sent */
};
struct wire_traffic wire_link_traffic(struct wire_link *l);

/* Sends a frame: header and up to n_parts payload parts (gathered; no copy if the socket takes them at once. The rest is copied for the
 * writer thread, up to 256 MiB; beyond that the call blocks). Sets sent_us and payload_len itself, and on a ring link epoch. At most 16
 * parts. ERR_LIMIT: the payload is over the type's maximum, nothing was sent. After any other error the link is of no use. */
struct wire_part {
    const void *data;
    size_t len;
};
err_code wire_link_send(struct wire_link *l, struct frame_header *h, const struct wire_part *parts, size_t n_parts, struct err *e);
/* For many small frames at once: copies the frame, which waits for wire_link_flush_joined or for the next frame sent; all waiting frames
 * then go before it, in one write. They are sent at once when they exceed 64 KiB. Errors are those of wire_link_send. */
err_code wire_link_join(struct wire_link *l, struct frame_header *h, const void *payload, size_t len, struct err *e);
err_code wire_link_flush_joined(struct wire_link *l, struct err *e);

/* From any thread: tells the other end that this end lives, unless bytes wait to be sent, which tell the same. */
void wire_link_beat(struct wire_link *l);
/* From any thread: sends a frame at once, before the frames that wait to be joined. */
err_code wire_link_send_apart(struct wire_link *l, struct frame_header *h, const void *payload, size_t len, struct err *e);

/* LOCAL only, from any thread: the same with a descriptor (the receiver gets a duplicate; fd stays the caller's). */
err_code wire_link_send_fd_apart(struct wire_link *l, struct frame_header *h, const void *payload, size_t len, int fd, struct err *e);
/* LOCAL only: sends a frame without payload, and a descriptor with it (the receiver gets a duplicate; fd stays the caller's). */
err_code wire_link_send_fd(struct wire_link *l, struct frame_header *h, int fd, struct err *e);

/* Microseconds from the sender's sent_us to `now` here, with the measured clock offset; never negative. */
uint32_t wire_link_hop_us(const struct wire_link *l, uint64_t sent_us, clock_us now);
clock_us wire_link_rtt_us(const struct wire_link *l);
/* Waits until all queued bytes are sent, at most timeout_ms. */
void wire_link_flush(struct wire_link *l, int timeout_ms);
void wire_link_close(struct wire_link *l); /* NULL is fine; drops the bytes still queued */

#endif
