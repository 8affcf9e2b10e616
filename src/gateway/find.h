/* SPDX-License-Identifier: MIT
 * Finds the model that a name means, among those that the backend has now. Loop thread. */
#ifndef CARAVAN_GATEWAY_FIND_H
#define CARAVAN_GATEWAY_FIND_H

#include "gateway/backend.h"

struct gateway;
struct http_request;
struct ledger_key;
struct routing_alias;

/* The model of this name; "": the only one. *ret belongs to the backend. ERR_NO_MODEL: there is none; the error names the known models.
 * ERR_INVALID: the name fits several models. */
err_code gateway_find_model(struct gateway *g, const char *name, const struct backend_model **ret, struct err *e);
/* The same for a request with this key (NULL: with one that may ask everything): "" means the only model that the key may ask, and errors
 * name no others. A name may still mean one that the key may not ask. */
err_code gateway_find_for(struct gateway *g, const struct ledger_key *key, const char *name, const struct backend_model **ret,
                          struct err *e);
/* The same for a request that is told about a model. ERR_FORBIDDEN: its key may not ask this one, whether there is one or not. */
err_code gateway_find_told(struct gateway *g, const struct http_request *r, const char *name, const struct backend_model **ret,
                           struct err *e);
/* May this key (NULL: any) ask a model of this name, or use an alias of this name? ERR_FORBIDDEN. */
err_code gateway_find_may(const struct ledger_key *key, const char *name, struct err *e);
/* The model of the cluster that an alias means, rather one that is ready; NULL: none of its targets is there. It belongs to the backend. */
const struct backend_model *gateway_find_aliased(struct gateway *g, const struct routing_alias *alias);
/* May an upstream answer for the alias? */
bool gateway_find_leaves(const struct routing_alias *alias);

#endif
