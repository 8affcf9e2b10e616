/* SPDX-License-Identifier: MIT
 * Finds the model that a name means, among those that the backend has now. Loop thread. */
#ifndef CARAVAN_GATEWAY_FIND_H
#define CARAVAN_GATEWAY_FIND_H

#include "gateway/backend.h"

struct gateway;
struct routing_alias;

/* The model of this name; "": the only one. *ret belongs to the backend. ERR_NO_MODEL: there is none; the error names the known models.
 * ERR_INVALID: the name fits several models. */
err_code gateway_find_model(struct gateway *g, const char *name, const struct backend_model **ret, struct err *e);
/* The model of the cluster that an alias means, rather one that is ready; NULL: none of its targets is there. It belongs to the backend. */
const struct backend_model *gateway_find_aliased(struct gateway *g, const struct routing_alias *alias);
/* May an upstream answer for the alias? */
bool gateway_find_leaves(const struct routing_alias *alias);

#endif
