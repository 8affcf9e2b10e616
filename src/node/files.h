/* SPDX-License-Identifier: MIT
 * Models' headers, read in threads and kept until the node ends. Loop thread only. */
#ifndef CARAVAN_NODE_FILES_H
#define CARAVAN_NODE_FILES_H

#include "model/card.h"
#include "model/gguf.h"
#include "model/layout.h"
#include "weights/weights.h"

struct node;

/* A model's header, read when it was first loaded and kept until the node ends. */
struct serve_file {
    struct serve_file *next;
    struct model_gguf *gguf;
    struct model_layout *layout;
    struct model_card card;
    struct weights_model *weights; /* until the weights server has it; then NULL */
    char path[1024]; /* absolute */
};

void files_create(struct node *n);
void files_stop(struct node *n); /* nothing is read any more; who waits for a file is told so */
void files_free(struct node *n);
/* done comes when the file's header has been read, from the loop, or at once when that can't begin. f NULL: e says why not. Else f stays
 * until the end, and the catalog and the weights server have the model. */
typedef void (*files_opened_fn)(void *user, struct serve_file *f, const struct err *e);
void files_open(struct node *n, const char *path, files_opened_fn done, void *user);
/* The same, waiting for it: before the loop runs. */
err_code files_open_now(struct node *n, const char *path, struct serve_file **ret, struct err *e);
const struct serve_file *files_find_id(const struct node *n, const char *id); /* NULL: none is kept of this model */

#endif
