/* SPDX-License-Identifier: MIT
 * The work of a call that may take long, at once or in a thread: reading its body, making grammars, writing many tokens. Loop thread, but
 * where a function says otherwise. */
#ifndef CARAVAN_REQUESTS_CALL_READ_H
#define CARAVAN_REQUESTS_CALL_READ_H

#include "requests/call_priv.h"

typedef void (*call_read_fn)(struct call *call, err_code code, const struct err *e);
/* Makes the request of the body; puts the stored conversation (JSON text) before it. A short text is read at once; a long one in a thread:
 * then call->reading is set, and fn comes later. ERR_BUSY: too many long texts are being read. */
err_code call_read_body(struct call *call, call_read_fn fn, struct err *e);
err_code call_read_chain(struct call *call, const char *text, size_t len, call_read_fn fn, struct err *e);
/* call_prompt_form, at once or, where there is much to make a grammar of, in a thread: as above. */
err_code call_read_form(struct call *call, call_read_fn fn, struct err *e);
/* Writes an answer of many tokens to call->written, as above; of few: does nothing. */
err_code call_read_tokens(struct call *call, call_read_fn fn, struct err *e);
/* The call ends: what a thread reads is not wanted any more. */
void call_read_cancel(struct call *call);

#endif
