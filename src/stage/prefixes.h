/* SPDX-License-Identifier: MIT
 * A stage's store of sequences and marks: files in a folder of the node, which all its stages use. They outlive the stage, so they serve
 * the next one that holds the same slice of the same weights. A thread writes them; the compute thread only copies. A file that is damaged,
 * or not one of these, is ignored, and said. When the files of all stages take more than the limit, those used least recently go. A disk
 * that is full costs what does not fit, and nothing else. Owner: the compute thread. */
#ifndef CARAVAN_STAGE_PREFIXES_H
#define CARAVAN_STAGE_PREFIXES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine.h"
#include "model/hash.h"

struct prefixes; /* opaque */

/* Removes files, those used least recently first, until the folder's take at most so many bytes (0: all), and what writers that were
 * killed have left. Returns the bytes of the files that are gone. Blocking; any process. */
uint64_t prefixes_trim(const char *folder, uint64_t limit);

/* folder: made if it is missing. id: of the slice, its weights, and the format of its states. ERR_IO. */
err_code prefixes_open(const char *folder, uint64_t limit, const uint8_t id[MODEL_HASH_SIZE], struct prefixes **ret, struct err *e);
/* Writes what is waiting. NULL is fine. */
void prefixes_close(struct prefixes *p);
const struct engine_store *prefixes_store(struct prefixes *p);
/* The head: the tokens of what is put as `key` next, and the length of the prompt that made it. They are copied. */
void prefixes_note(struct prefixes *p, uint64_t key, const int32_t *tokens, uint32_t n, uint32_t n_prompt);
/* Tells of every file of this slice that has its tokens, the least recently used first. They are borrowed during the call. */
typedef void (*prefixes_fn)(void *user, uint64_t key, const int32_t *tokens, uint32_t n, uint32_t n_prompt, bool mark);
void prefixes_list(struct prefixes *p, prefixes_fn fn, void *user);
/* Bytes of files, of all stages that use the folder; and what could not be used, so far. For tests. */
uint64_t prefixes_bytes(const struct prefixes *p);
uint32_t prefixes_ignored(const struct prefixes *p);

#endif
