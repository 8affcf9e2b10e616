/* SPDX-License-Identifier: MIT
 * The bytes under a link: a TLS stream, or a Unix socket for LOCAL. For this folder only. One thread may read while another writes. */
#ifndef CARAVAN_WIRE_TRANSPORT_H
#define CARAVAN_WIRE_TRANSPORT_H

#include "io/tls_stream.h"

struct wire_transport {
    struct io_tls_stream *tls; /* NULL: fd is a Unix socket; owned */
    int fd;                    /* owned where tls is NULL */
};

/* As io_tls_read; *ret_fd is a descriptor that came with the bytes (Unix only), or -1. */
err_code wire_transport_read(struct wire_transport *w, void *buf, size_t len, bool wait, size_t *ret_n, int *ret_fd, struct err *e);
/* Writes as much of the parts as the socket takes without waiting (*ret_n), with pass_fd (or -1) attached to the first byte. ERR_OK: the
 * kernel has all bytes; ERR_BUSY: the socket is full, and the rest, or encrypted bytes of it, are still in this process. */
err_code wire_transport_write(struct wire_transport *w, const struct iovec *parts, size_t n_parts, int pass_fd, size_t *ret_n,
                              struct err *e);
/* Writes all bytes, and waits as long as needed (wire_transport_shutdown ends the wait). */
err_code wire_transport_write_all(struct wire_transport *w, const uint8_t *data, size_t len, int pass_fd, struct err *e);
bool wire_transport_pending(const struct wire_transport *w);
void wire_transport_shutdown(struct wire_transport *w); /* from any thread */
void wire_transport_close(struct wire_transport *w);

#endif
