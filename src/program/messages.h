/* SPDX-License-Identifier: MIT
 * All messages of tables/messages.def: for the tables of docs/PROTOCOL.md, and for the test that carries each field of each of them. */
#ifndef CARAVAN_PROGRAM_MESSAGES_H
#define CARAVAN_PROGRAM_MESSAGES_H

#include "base/field.h"

typedef const struct field_set *(*messages_set_fn)(void);
/* In the order of the table. */
const messages_set_fn *messages_sets(size_t *ret_n);
/* As docs/PROTOCOL.md has them. */
void messages_markdown(struct buf *out);

#endif
