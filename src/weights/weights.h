/* SPDX-License-Identifier: MIT
 * Weights that a node lacks come from the nodes that have them: only the chunks (1 MiB) of its slice, into a sparse file at the same
 * offsets as the original (cache.h), from several nodes at once (exchange.h), also from such that are still fetching themselves.
 * Every chunk is checked against its BLAKE3 hash, which the node that ordered the load tells: its file is what the cluster has agreed to
 * run, so of all others only the bytes are taken, never their word. Loading begins at once: reading a byte waits until its chunk is here.
 *
 * The server runs in the node, a thread a link; the client in the stage process, one thread for all links, and the reading one. Links are
 * TLS like every other (server name "weights.caravan"); frames HELLO, WELCOME, REFUSE, WANT, RANGE, HAVE, HASHES, SOURCES. */
#ifndef CARAVAN_WEIGHTS_WEIGHTS_H
#define CARAVAN_WEIGHTS_WEIGHTS_H

#include "base/err.h"
#include "weights/msg.h"
#include "io/sock.h"
#include "io/tls.h"
#include "model/gguf.h"
#include "model/slice.h"

#define WEIGHTS_NAME "weights.caravan"
enum { WEIGHTS_MAX_MODELS = 1024 };

/* ---- server ---- */
/* What is served: models whose files are here, by their id, and what the cache folder (NULL: none) has of others. Any thread. */
struct weights_server;
/* node_secret: of this node's identity, which it proves to those who fetch; they prove theirs, and nodes that are shut out are refused. */
struct weights_server *weights_server_create(struct io_tls_ctx *tls, const uint8_t node_secret[IO_SIGN_SECRET_SIZE], const char *cache);
/* Shuts a node out, by its public key, or lets it in again. Its links end. */
void weights_server_set_out(struct weights_server *s, const uint8_t public_key[IO_SIGN_PUBLIC_SIZE], bool out);
/* The nodes, by their public keys, that may still use the cluster's old key while that is good: those that were members before. The list
 * replaces the one before; at most ROSTER_MAX_PEERS count. */
void weights_server_set_met(struct weights_server *s, const uint8_t (*public_keys)[IO_SIGN_PUBLIC_SIZE], size_t n);
/* A model whose files are here, made from its header (g is only looked at; cache as above). It reads the file system, so it may block. */
struct weights_model;
struct weights_model *weights_model_create(const struct model_gguf *g, const char *cache);
void weights_model_free(struct weights_model *m); /* one that was not added; NULL is fine */
/* Adds a model, which belongs to the server from now on. A model that is there already stays, and m is freed. */
void weights_server_add(struct weights_server *s, struct weights_model *m);
/* Links that serve it go on. */
void weights_server_remove(struct weights_server *s, const char *id);
/* The path of the model's (first) file on this machine; false: it is not here. */
bool weights_server_path(struct weights_server *s, const char *id, char *ret, size_t size);
/* The ids of the models whose files are here. */
size_t weights_server_models(struct weights_server *s, char ret_ids[WEIGHTS_MAX_MODELS][65]);
/* Who else has the model, or some of it: told to those who fetch it. */
void weights_server_sources(struct weights_server *s, const char *id, const struct weights_source *list, size_t n);
uint64_t weights_server_sent(struct weights_server *s); /* bytes of models, since it was created */
/* Takes a raw socket whose ClientHello named WEIGHTS_NAME; a thread serves it until it closes. met: nodes have been met at its address. Too
 * many at once, and of the others too many that have not proven who they are: ERR_BUSY closes it. */
err_code weights_server_take(struct weights_server *s, int fd, bool met, struct err *e);
/* Ends all links, waits for their threads. */
void weights_server_free(struct weights_server *s);

/* ---- client ---- */
/* Where a model comes from and goes to. */
struct weights_place {
    const char *folder; /* the cache */
    uint8_t key[IO_TLS_KEY_SIZE]; /* of links */
    struct wire_pass pass; /* what this node is proved with, for: */
    char instance[WIRE_PASS_INSTANCE];
    uint64_t epoch;
    uint64_t limit; /* bytes that the cache may take; 0: what the disk has */
    uint64_t self; /* this node's id */
    uint64_t node; /* the node whose file counts, which has all of it */
    struct io_addr source; /* and its address */
};
struct weights_file; /* a model whose bytes may be partly here; of the thread that opened it */

/* Opens `id` in the cache folder, fetching the headers if they are not here yet. */
err_code weights_open(const struct weights_place *place, const char *id, struct weights_file **ret, struct err *e);
const struct model_gguf *weights_gguf(const struct weights_file *f);
/* Begins to fetch what is missing of the slice. ERR_NO_ROOM: it does not fit onto the disk. slice must outlive the fetch. */
err_code weights_fetch(struct weights_file *f, const struct model_slice *slice, struct err *e);
/* Waits until all of it is here; weights_read does that bit by bit. */
err_code weights_wait(struct weights_file *f, struct err *e);

/* Called about ten times a second while the reader waits for bytes; false: it gives up. */
typedef bool (*weights_wait_fn)(void *user);
void weights_on_wait(struct weights_file *f, weights_wait_fn fn, void *user);
/* The reader for model_slice_open over the cached files (user: the weights_file). */
bool weights_read(void *user, uint32_t part, uint64_t offset, void *buf, size_t len);
/* Why a read failed; ERR_OK: it did not. */
err_code weights_error(struct weights_file *f, struct err *e);

struct weights_progress {
    uint64_t done, all; /* bytes of what was missing when the fetch began */
    double rate; /* bytes a second, lately */
    uint64_t spare; /* came in vain: sent twice, or did not match */
};
void weights_progress(struct weights_file *f, struct weights_progress *ret);
/* Over the network, by this process, the headers included. */
uint64_t weights_bytes_fetched(struct weights_file *f);
/* Ends the fetch if it still runs. NULL is fine. */
void weights_close(struct weights_file *f);

/* Has the local model the same weights as the node's at `place`? Some chunks of the slice are compared by their hashes; that files with the
 * same header differ is seen almost surely if they are different models, not if a single bit is wrong. ERR_FORMAT: they differ. Another
 * error: it could not be found out. */
err_code weights_compare(const struct weights_place *place, const struct model_gguf *g, const struct model_slice *slice, struct err *e);

#endif
