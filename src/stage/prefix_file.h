/* SPDX-License-Identifier: MIT
 * One file of a store (stage/prefixes.h): the state of a sequence or a mark. Foreign bytes are checked. Blocking; any thread. */
#ifndef CARAVAN_STAGE_PREFIX_FILE_H
#define CARAVAN_STAGE_PREFIX_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/hash.h"

struct prefix_file {
    uint64_t key;
    uint32_t n, n_prompt; /* positions; n_prompt: of the request that made them */
    bool mark;
    int32_t *tokens;      /* [n_tokens], owned */
    uint32_t n_tokens;    /* n, or 0: not known */
    int32_t *positions;   /* [n_positions], owned: of the tokens, and of the next one */
    uint32_t n_positions; /* n + 1, or 0: a token's position is its number */
    uint8_t *data;        /* [size], owned */
    size_t size;
};

void prefix_file_done(struct prefix_file *f);
void prefix_file_copy(const struct prefix_file *f, struct prefix_file *ret);
uint64_t prefix_file_size(const struct prefix_file *f);
err_code prefix_file_write(const char *path, const uint8_t id[MODEL_HASH_SIZE], const struct prefix_file *f, struct err *e);
/* whole: with its state, and its hash is checked; else the tokens alone are read. ERR_NOT_FOUND, ERR_IO, ERR_INVALID (it is damaged, or
 * another slice's). */
err_code prefix_file_read(const char *path, const uint8_t id[MODEL_HASH_SIZE], bool whole, struct prefix_file *ret, struct err *e);

#endif
