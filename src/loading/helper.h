/* SPDX-License-Identifier: MIT
 * A child process that finds something out for the node (`caravan probe`) and writes the answer, a JSON object, into a
 * file. The node itself never starts ggml, which may abort. Loop thread only. */
#ifndef CARAVAN_LOADING_HELPER_H
#define CARAVAN_LOADING_HELPER_H

#include "base/err.h"
#include "base/json.h"
#include "io/loop.h"

struct helper; /* opaque */
/* The child has ended. answer: what it has written, valid during the call; NULL: why says what went wrong. The helper is freed
 * afterwards. */
typedef void (*helper_done_fn)(void *user, yyjson_val *answer, const struct err *why);
/* Starts argv, one of whose arguments is `file`, in which the answer is expected. The child is given up after most_ms. */
err_code helper_start(struct io_loop *loop, const char *const *argv, const char *file, uint32_t most_ms, helper_done_fn done, void *user,
                      struct helper **ret, struct err *e);
void helper_stop(struct helper *h); /* ends the child; done does not come. NULL is fine */

#endif
