/* SPDX-License-Identifier: MIT
 * Models' headers, read in threads (io/work.h), since a file may lie on a network file system that hangs, and kept until the node ends.
 * Several who ask for one file while it is being read get the same answer. Loop thread only; owned by the node. */
#ifndef CARAVAN_CATALOG_FILES_H
#define CARAVAN_CATALOG_FILES_H

#include "catalog/catalog.h"
#include "model/card.h"
#include "model/gguf.h"
#include "model/layout.h"
#include "model/projector.h"
#include "model/sample.h"
#include "weights/server.h"

/* A model's header, read when the model was first loaded, and kept until the node ends. */
struct serve_file {
    struct serve_file *next;
    struct model_gguf *gguf;
    struct model_layout *layout;
    struct model_card card;
    char sample[MODEL_SAMPLE_SIZE]; /* of its weights; "": they cannot be read */
    struct model_projector projector; /* beside it, as it was when the file was last opened */
    struct weights_model *weights; /* until the weights server has it; then NULL */
    char path[1024]; /* absolute */
};

/* What files uses of the node; all of it outlives it but the weights server, which may be freed after files_stop. */
struct files_parts {
    struct io_loop *loop;
    const char *cache;             /* folder where hashes of weights are kept */
    struct catalog *catalog;       /* has every file that was read */
    struct weights_server *weights; /* serves it */
};
struct files; /* opaque */
struct files *files_create(const struct files_parts *parts);
void files_stop(struct files *files); /* nothing is read any more; all who wait for a file get ERR_UNAVAILABLE. NULL is fine */
void files_free(struct files *files); /* NULL is fine */
/* done comes when the file's header has been read, from the loop, or at once when that can't begin. f NULL: e says why not. Else f stays
 * until the end, and the catalog and the weights server have the model. */
typedef void (*files_opened_fn)(void *user, struct serve_file *f, const struct err *e);
void files_open(struct files *files, const char *path, files_opened_fn done, void *user);
/* The same, but blocks: before the loop runs. */
err_code files_open_now(struct files *files, const char *path, struct serve_file **ret, struct err *e);
const struct serve_file *files_find_id(const struct files *files, const char *id); /* NULL: none is kept of this model */

#endif
