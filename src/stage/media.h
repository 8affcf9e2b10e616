/* SPDX-License-Identifier: MIT
 * Prompts with pictures and sounds, in the head: their files become rows (engine/rows.h), which stand among the tokens of the text. What
 * was made of a file is kept by the file's hash, least recently used first out, so that the next turn of a conversation makes nothing
 * again, and may leave out the file's bytes. The ids of rows are a hash of what the model sees (engine_rows_name), so kept sequences are
 * found by comparing tokens alone, also by a later process. Two threads may call media_read; they take turns. */
#ifndef CARAVAN_STAGE_MEDIA_H
#define CARAVAN_STAGE_MEDIA_H

#include "engine/engine.h"
#include "wire/request.h"

struct media;

/* engine is borrowed; model: the path of the model's file, for messages; max_bytes: of kept rows. */
struct media *media_create(const struct engine *engine, const char *model, size_t max_bytes);
void media_free(struct media *m); /* NULL is fine */

/* Makes r->tokens and r->rows of r->text and r->media, which it frees. limit: tokens that a prompt may have. ERR_INVALID,
 * ERR_UNSUPPORTED: the client's fault, and the error names the file. ERR_STALE: bytes were left out of what
 * is not kept any more; the same request with its bytes is answered. */
err_code media_read(struct media *m, struct request *r, uint32_t limit, struct err *e);

#endif
