/* SPDX-License-Identifier: MIT
 * Weights that a node lacks come from one that has them: only the byte ranges of its slice, into a sparse file at the same offsets as the
 * original, in chunks of 1 MiB that a bitmap beside the file remembers, so that an interrupted fetch goes on where it was.
 * Both sides block; the server runs in a thread of its own for each link, the client in the stage process before it loads.
 * The link is TLS like every other (server name "weights.caravan"), frames HELLO, WELCOME, REFUSE, WANT, RANGE. */
#ifndef CARAVAN_CLUSTER_WEIGHTS_H
#define CARAVAN_CLUSTER_WEIGHTS_H

#include "base/err.h"
#include "io/sock.h"
#include "io/tls.h"
#include "model/gguf.h"
#include "model/slice.h"

enum { WEIGHTS_CHUNK = 1 << 20 };
#define WEIGHTS_NAME "weights.caravan"

/* ---- server ------------------------------------------------------------------------------------------------------------------ */
/* What is served: models by their id. Lookups come from server threads: the table is locked inside. */
struct weights_server;
struct weights_server *weights_server_create(struct io_tls_ctx *tls);
/* Adds a model whose files are here (borrowed until removed; g is read-only). */
void weights_server_add(struct weights_server *s, const struct model_gguf *g);
/* Takes a raw socket whose ClientHello named WEIGHTS_NAME; a thread serves it until it closes. At most 32 at once: ERR_BUSY closes it. */
err_code weights_server_take(struct weights_server *s, int fd, struct err *e);
/* Ends all links, waits for their threads. */
void weights_server_free(struct weights_server *s);

/* ---- client ------------------------------------------------------------------------------------------------------------------ */
struct weights_file; /* a model whose bytes may be partly here */

/* Opens `id` in the cache folder, fetching the headers from the source if they are not here yet. */
err_code weights_open(struct io_tls_ctx *tls, const char *folder, const char *id, const struct io_addr *source, struct weights_file **ret,
                      struct err *e);
const struct model_gguf *weights_gguf(const struct weights_file *f);
/* Fetches what is missing of the slice's ranges. progress(user, done bytes, all bytes) comes at most about ten times a second. */
err_code weights_fetch(struct weights_file *f, const struct model_slice *slice, void (*progress)(void *user, uint64_t done, uint64_t all),
                       void *user, struct err *e);
/* The reader for model_slice_open over the cached files (user: the weights_file). */
bool weights_read(void *user, uint32_t part, uint64_t offset, void *buf, size_t len);
uint64_t weights_bytes_fetched(const struct weights_file *f); /* over the network, by this process */
void weights_close(struct weights_file *f); /* NULL is fine */

#endif
