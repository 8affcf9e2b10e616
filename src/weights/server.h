/* SPDX-License-Identifier: MIT
 * The server of weights: it gives bytes of models to the stages that lack them (weights.h). It runs in the node, which owns it, with a
 * thread for each link. Every function may be called on any thread; those that read files say so. A node that has not proven its
 * identity, or that was removed, gets no byte of a model. */
#ifndef CARAVAN_WEIGHTS_SERVER_H
#define CARAVAN_WEIGHTS_SERVER_H

#include "base/err.h"
#include "io/sign.h"
#include "io/tls.h"
#include "model/gguf.h"
#include "weights/msg.h"

enum { WEIGHTS_MAX_MODELS = 1024 };

/* It serves models whose files are here, by their id, and the cached parts of other models (cache folder NULL: none). Any thread. */
struct weights_server;
/* node_secret: of this node's identity, which the server proves to fetching nodes. These prove theirs, and removed nodes are refused. */
struct weights_server *weights_server_create(struct io_tls_ctx *tls, const uint8_t node_secret[IO_SIGN_SECRET_SIZE], const char *cache);
/* Refuses a node, by its public key, and ends its links; or serves it again. */
void weights_server_set_out(struct weights_server *s, const uint8_t public_key[IO_SIGN_PUBLIC_SIZE], bool out);
/* The nodes, by their public keys, that may use the cluster's old key while it is valid: the members before the change. The list
 * replaces the earlier one; at most ROSTER_MAX_PEERS count. */
void weights_server_set_met(struct weights_server *s, const uint8_t (*public_keys)[IO_SIGN_PUBLIC_SIZE], size_t n);
/* Makes an entry for a model whose files are here, from its header (g is only read; cache as above). It reads files, so it may block. */
struct weights_model;
struct weights_model *weights_model_create(const struct model_gguf *g, const char *cache);
/* The same for an adapter, whose id is not that of its header (model/adapter.h). */
struct weights_model *weights_model_create_as(const struct model_gguf *g, const char *id, const char *cache);
void weights_model_free(struct weights_model *m); /* for a model that was not added; NULL is fine */
/* Adds a model, which then belongs to the server. If the model is there already, it stays, and m is freed. */
void weights_server_add(struct weights_server *s, struct weights_model *m);
/* Existing links that serve it go on. */
void weights_server_remove(struct weights_server *s, const char *id);
/* The path of the model's (first) file on this machine; false: it is not here. */
bool weights_server_path(struct weights_server *s, const char *id, char *ret, size_t size);
/* The ids of the models whose files are here. */
size_t weights_server_models(struct weights_server *s, char ret_ids[WEIGHTS_MAX_MODELS][65]);
/* The other nodes that have the model or parts of it: told to fetching nodes. */
void weights_server_sources(struct weights_server *s, const char *id, const struct weights_source *list, size_t n);
uint64_t weights_server_sent(struct weights_server *s); /* bytes of models, since it was created */
/* Takes a raw socket whose ClientHello named WEIGHTS_NAME; a thread serves it until it closes. met: nodes have been met at its address.
 * ERR_BUSY closes the socket: too many links, or too many from unknown addresses that have not proven their identity. */
err_code weights_server_take(struct weights_server *s, int fd, bool met, struct err *e);
/* Ends all links and waits for their threads. */
void weights_server_free(struct weights_server *s);

#endif
