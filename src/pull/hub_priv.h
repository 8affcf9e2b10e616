/* SPDX-License-Identifier: MIT
 * Names of GGUF files, for hub.c (names that people write) and hub_list.c (answers of hubs). */
#ifndef CARAVAN_PULL_HUB_PRIV_H
#define CARAVAN_PULL_HUB_PRIV_H

#include <stdint.h>

#include "pull/hub.h"

/* The last part of a path, if it is the name of a GGUF file that can be used for storing. */
bool hub_file_name(const char *path, size_t len, char ret[HUB_MAX_NAME]);
/* "model-00002-of-00003.gguf" is part 2 of 3; *ret_stem: how long "model" is. */
bool hub_part_of(const char *name, uint32_t *ret_part, uint32_t *ret_n, size_t *ret_stem);
bool hub_is_sha256(const char *text);

#endif
