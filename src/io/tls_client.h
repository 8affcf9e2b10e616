/* SPDX-License-Identifier: MIT
 * TLS to servers of the world, whose certificate is checked (RFC 8446, RFC 6125), in memory and for the loop: bytes from the network go in,
 * decrypted bytes and bytes for the network come out, and the caller moves them. HTTP has libcurl for that (http/outbound.h), and nodes
 * among themselves io/tls.h. A client belongs to one thread and never waits. */
#ifndef CARAVAN_IO_TLS_CLIENT_H
#define CARAVAN_IO_TLS_CLIENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* Whose certificates are believed; any number of connections use it. */
struct io_tls_trust;
/* ca_file: certificates in PEM; NULL or "": those of the system. Reads the file. ERR_IO, ERR_FORMAT name it. */
err_code io_tls_trust_create(const char *ca_file, struct io_tls_trust **ret, struct err *e);
void io_tls_trust_free(struct io_tls_trust *t); /* NULL is fine; after its clients */

/* The file of the system's certificates; where there are none, of those that came with the program. false: there are none at all. */
bool io_tls_trust_system(char *ret, size_t size);

struct io_tls_client;
/* host: the name or the IP address that the certificate must have. */
struct io_tls_client *io_tls_client_create(struct io_tls_trust *t, const char *host);
void io_tls_client_free(struct io_tls_client *c); /* NULL is fine */
/* Bytes came from the network: decrypted bytes are appended to plain, and bytes that must be sent to net. ERR_AUTH: the certificate is not
 * believed; ERR_CLOSED: the server has ended the connection; ERR_PROTOCOL: what comes is no TLS. */
err_code io_tls_client_receive(struct io_tls_client *c, const void *data, size_t len, struct buf *plain, struct buf *net, struct err *e);
/* Encrypts bytes onto net. Before the handshake is done they are kept; the first call begins it. */
err_code io_tls_client_send(struct io_tls_client *c, const void *data, size_t len, struct buf *net, struct err *e);

#endif
