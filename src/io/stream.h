/* SPDX-License-Identifier: MIT
 * Stream sockets on the loop: a listener that hands out connected descriptors, a dialler, and a connection with a bounded write queue.
 * Works on TCP and Unix sockets alike. Loop thread only; one owner each; closing is safe at any time (io/loop.h). No TLS here: io/tls.h's
 * pump sits between a connection and its user. */
#ifndef CARAVAN_IO_STREAM_H
#define CARAVAN_IO_STREAM_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "base/err.h"
#include "io/loop.h"

/* ---- listener ---- */
struct io_listener;
/* A new connection: non-blocking, close-on-exec, TCP_NODELAY; the callee owns fd. */
typedef void (*io_accept_fn)(void *user, int fd, const struct sockaddr *peer);
/* host: a name or an address ("0.0.0.0", "::", "127.0.0.1"); port 0: the kernel chooses. At the limit of descriptors accepting pauses
 * for a second or until io_listener_resume is called: it never spins. */
err_code io_listener_open(struct io_loop *loop, const char *host, uint16_t port, io_accept_fn fn, void *user, struct io_listener **ret,
                          struct err *e);
uint16_t io_listener_port(const struct io_listener *l);
bool io_listener_has_v6(const struct io_listener *l);
void io_listener_pause(struct io_listener *l);
void io_listener_resume(struct io_listener *l);
void io_listener_close(struct io_listener *l); /* NULL is fine */

/* ---- dialling: lookup, then each address in turn ---- */
struct io_dial;
/* ERR_OK: fd is connected and belongs to the callee; else fd is -1 and *e says why. The dial is closed after this call. */
typedef void (*io_dial_fn)(void *user, err_code code, int fd, const struct err *e);
struct io_dial *io_dial_start(struct io_loop *loop, const char *host, uint16_t port, uint64_t timeout_ms, io_dial_fn fn, void *user);
void io_dial_cancel(struct io_dial *d); /* NULL is fine */

/* ---- connection ---- */
struct io_conn;
struct io_conn_callbacks {
    /* Bytes came; valid during the call. */
    void (*on_read)(void *user, const uint8_t *data, size_t len);
    /* The other end closed (ERR_CLOSED) or the socket failed (ERR_NETWORK). Called once; the owner then closes the connection. Bytes
     * that were read before have been delivered. */
    void (*on_end)(void *user, err_code code);
    /* The other end has closed its side, and may still read. true: the connection stays, for writing alone; whether the other end is gone
     * is asked with io_conn_is_gone. false: on_end comes. NULL: false. */
    bool (*on_half)(void *user);
    /* The write queue had passed the high-water mark and is empty again. May be NULL. */
    void (*on_drain)(void *user);
};
/* Takes fd. max_queued: bytes that may wait to be sent; high_water: io_conn_write returns false beyond this. Reading starts at once. */
struct io_conn *io_conn_open(struct io_loop *loop, int fd, size_t high_water, size_t max_queued, const struct io_conn_callbacks *callbacks,
                             void *user);
/* Sends what the socket takes at once and queues the rest. false: the queue is above the high-water mark (stop until on_drain). If the
 * queue would exceed max_queued, the rest is dropped, nothing more is sent, and on_end(ERR_LIMIT) comes from the loop. Never calls a
 * callback itself. */
bool io_conn_write(struct io_conn *c, const void *data, size_t len);
bool io_conn_writev(struct io_conn *c, const struct iovec *parts, size_t n);
/* on: nothing more is read until it is off again, so that the other end has to wait. */
void io_conn_hold(struct io_conn *c, bool on);
size_t io_conn_queued(const struct io_conn *c);
/* After on_half: has the other end refused sent bytes? An end that has closed both directions does so at the first bytes that it gets. */
bool io_conn_is_gone(const struct io_conn *c);
/* Loop time when the other end last took a byte of the queue (or when the queue began): tells how long the connection has been stuck. */
clock_us io_conn_write_progress(const struct io_conn *c);
/* Sends the queue, then half-closes; on_end comes when the other end has closed too. */
void io_conn_shutdown(struct io_conn *c);
/* Gives the descriptor back (the caller owns it) and closes the connection. Queued bytes are lost, so call it with an empty queue. */
int io_conn_release(struct io_conn *c);
void io_conn_reset(struct io_conn *c);  /* as close, and the other end sees a reset instead of an orderly end */
void io_conn_close(struct io_conn *c);  /* at once; what is queued is lost. NULL is fine */

#endif
