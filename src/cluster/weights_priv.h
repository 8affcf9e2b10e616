/* SPDX-License-Identifier: MIT
 * Frames over a blocking TLS stream, for both sides of a weights link. One thread a link. */
#ifndef CARAVAN_CLUSTER_WEIGHTS_PRIV_H
#define CARAVAN_CLUSTER_WEIGHTS_PRIV_H

#include "io/tls.h"
#include "ring/frame.h"

/* Payload after an encoded header; number carries the part. */
err_code weights_send(struct io_tls_stream *s, enum frame_type type, uint32_t number, const void *data, size_t len, struct err *e);
/* Reads one frame; its payload replaces the contents of `payload`. A REFUSE is returned as the error that it carries. */
err_code weights_receive(struct io_tls_stream *s, struct frame_header *ret, struct buf *payload, struct err *e);

#endif
