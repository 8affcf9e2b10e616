/* SPDX-License-Identifier: MIT
 * Makes of a client's request what is sent to an upstream: the path, the body, and the form of the answer that will come. Where the
 * client's API is the upstream's own, its body is sent as it came, with pictures and with fields that nobody here knows; only the fields
 * that must be ours are changed (model, stream, usage). Else the body is made of the internal request. No I/O. The owner of the ask is the
 * request that it is made for. */
#ifndef CARAVAN_CLOUD_ASK_H
#define CARAVAN_CLOUD_ASK_H

#include "api/api.h"
#include "cloud/answer.h"
#include "routing/upstream.h"

enum { CLOUD_MAX_STOPS = 4 }; /* OpenAI takes no more; the others are looked for here */

struct cloud_ask {
    const char *path;           /* after the upstream's address: "/chat/completions" */
    enum cloud_form form;       /* of the answer */
    struct buf body;            /* JSON */
    uint32_t n_choices;         /* choices, or vectors */
    uint64_t most_prompt, most_completion; /* the tokens that it may cost at most; most_completion UINT64_MAX: the answer has no limit */
};

/* model: as the upstream names it. system: text that stands before the chat already, but not in the client's body; NULL: none.
 * ERR_UNSUPPORTED: the upstream's API can't be asked for this; the error names the field. *ret is undefined then. */
err_code cloud_ask_make(const struct api *api, const struct api_request *r, const struct upstream *u, const char *model, const char *system,
                        struct cloud_ask *ret, struct err *e);
void cloud_ask_done(struct cloud_ask *ask);

#endif
