/* SPDX-License-Identifier: MIT
 * The models that somebody had unloaded, and when. Nodes tell each other in their records, for a node that was away and comes back with the
 * model. A value with its JSON both ways. No I/O, any thread. */
#ifndef CARAVAN_MEMBERS_UNLOADS_H
#define CARAVAN_MEMBERS_UNLOADS_H

#include "base/field.h"
#include "base/json.h"
#include "model/card.h"

enum { UNLOADS_MAX = 32 };

struct unloaded {
    char name[MODEL_NAME_SIZE];
    uint32_t time; /* seconds since 1970 */
};
struct unloads {
    struct unloaded list[UNLOADS_MAX];
    uint32_t n;
};
void unloads_add(struct unloads *u, const char *name, uint32_t time); /* the oldest makes room */
uint32_t unloads_time(const struct unloads *u, const char *name);     /* 0: it was not unloaded */

/* As a part of another object. ERR_INVALID and ERR_LIMIT name the field. */
void unloads_encode(const struct unloads *u, yyjson_mut_doc *doc, yyjson_mut_val *root);
err_code unloads_decode(yyjson_val *root, struct unloads *ret, struct err *e);
/* The same for tables of fields (base/field.h). */
extern const struct field_custom unloads_custom;

#endif
