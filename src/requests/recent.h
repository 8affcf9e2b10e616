/* SPDX-License-Identifier: MIT
 * The requests of now and those that ended last, for people who look at them: who asked what when, and what it took. Kept in memory, a
 * bounded number of them, without texts (capture.h keeps those, where they are wanted). Loop thread; the gateway's requests own it. */
#ifndef CARAVAN_REQUESTS_RECENT_H
#define CARAVAN_REQUESTS_RECENT_H

#include "base/json.h"

struct call;
struct gateway;
struct recent;

struct recent *recent_create(void);
void recent_free(struct recent *r); /* NULL is fine */
/* The call has ended. how: a word for it, a literal. */
void recent_add(struct recent *r, const struct call *call, const char *how);
/* What GET /caravan/v1/requests answers: a new object of the document. */
yyjson_mut_val *recent_value(const struct gateway *g, yyjson_mut_doc *doc);

#endif
