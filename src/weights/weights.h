/* SPDX-License-Identifier: MIT
 * Weights that a node lacks come from nodes that have them: only the chunks (1 MiB) of its slice, into a sparse file at the original's
 * offsets (cache.h), from several nodes at once (exchange.h), also from nodes that are still fetching. Every chunk is checked against
 * its BLAKE3 hash. The hashes come from the node that ordered the load: its file is the one that the cluster has agreed to run. So from
 * all other nodes only bytes are taken, and they need not be trusted. Loading begins at once: reading a byte waits until its chunk is
 * there.
 *
 * The server (server.h) runs in the node; the client, which is here, runs in the stage process, with one thread for all links, and the
 * thread that reads. Links use TLS like every other link (server name "weights.caravan"), with the frames HELLO, WELCOME, REFUSE, WANT,
 * RANGE, HAVE, HASHES, SOURCES. */
#ifndef CARAVAN_WEIGHTS_WEIGHTS_H
#define CARAVAN_WEIGHTS_WEIGHTS_H

#include "base/err.h"
#include "weights/msg.h"
#include "io/sock.h"
#include "io/tls.h"
#include "model/gguf.h"
#include "model/slice.h"

/* The source and the destination of a model. */
/* Connects to the port of a node; as io_sock_connect. Called by several threads at once. */
typedef err_code (*weights_connect_fn)(uint64_t node, const struct io_addr *to, int timeout_ms, int *ret_fd, struct err *e);
struct weights_place {
    const char *folder; /* the cache */
    uint8_t key[IO_TLS_KEY_SIZE]; /* of links */
    struct wire_pass pass; /* proves this node, for: */
    char instance[WIRE_PASS_INSTANCE];
    uint64_t epoch;
    uint64_t limit; /* the most bytes of the cache; 0: the disk's size */
    uint64_t self; /* this node's id */
    uint64_t node; /* the node whose file counts; it has the whole file */
    struct io_addr source; /* and its address */
    bool adapter; /* an adapter is wanted: its id is not that of its header (model/adapter.h) */
    weights_connect_fn connect; /* NULL: io_sock_connect */
};
struct weights_file; /* a model whose bytes may be partly here; belongs to the thread that opened it */

/* Opens `id` in the cache folder; fetches the headers if they are missing. */
err_code weights_open(const struct weights_place *place, const char *id, struct weights_file **ret, struct err *e);
const struct model_gguf *weights_gguf(const struct weights_file *f);
/* Begins to fetch the slice's missing chunks. ERR_NO_ROOM: they don't fit onto the disk. slice must outlive the fetch. */
err_code weights_fetch(struct weights_file *f, const struct model_slice *slice, struct err *e);
/* The same for all bytes of its files: afterwards they are what the source has. */
err_code weights_fetch_whole(struct weights_file *f, struct err *e);
/* Where its first file is in the cache, for as long as it is open. ERR_LIMIT. */
err_code weights_path(const struct weights_file *f, char *ret, size_t size, struct err *e);
/* Waits until the whole slice is there. weights_read waits only for the bytes that it reads. */
err_code weights_wait(struct weights_file *f, struct err *e);

/* Called about ten times a second while the reader waits for bytes; false ends the wait. */
typedef bool (*weights_wait_fn)(void *user);
void weights_on_wait(struct weights_file *f, weights_wait_fn fn, void *user);
/* The reader for model_slice_open over the cached files (user: the weights_file). */
bool weights_read(void *user, uint32_t part, uint64_t offset, void *buf, size_t len);
/* Why a read failed; ERR_OK: no read failed. */
err_code weights_error(struct weights_file *f, struct err *e);

struct weights_progress {
    uint64_t done, all; /* bytes that were missing when the fetch began */
    double rate; /* bytes a second, recently */
    uint64_t spare; /* useless bytes: sent twice, or with a wrong hash */
};
void weights_progress(struct weights_file *f, struct weights_progress *ret);
/* Bytes that this process got over the network, including headers. */
uint64_t weights_bytes_fetched(struct weights_file *f);
/* Ends the fetch if it is running. NULL is fine. */
void weights_close(struct weights_file *f);

/* Does the local model have the same weights as the node's at `place`? Compares the hashes of some chunks of the slice: files of
 * different models with the same header are found almost surely, a single wrong bit is not. ERR_FORMAT: they differ. Other errors: it
 * could not be found out. */
err_code weights_compare(const struct weights_place *place, const struct model_gguf *g, const struct model_slice *slice, struct err *e);

#endif
