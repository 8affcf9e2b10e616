/* SPDX-License-Identifier: MIT
 * From the chat of a call to the prompt of its model, and how the answer will be read. Loop thread, but where a function says otherwise. */
#ifndef CARAVAN_REQUESTS_CALL_PROMPT_H
#define CARAVAN_REQUESTS_CALL_PROMPT_H

#include "requests/call_priv.h"

/* If the request has a suffix: makes one text of prompt and suffix, for the model to fill the middle in. Once, before the chat is rendered.
 * ERR_UNSUPPORTED: the model can't fill in. */
err_code call_prompt_prepare(struct call *call, const struct backend_model *model, struct err *e);
/* Makes a grammar of what the answer must look like: a schema, the tools that may or must be called. Any thread: it changes nothing but
 * the request and ret_form. */
err_code call_prompt_form(struct api_request *r, const struct output_options *o, struct call_form *ret_form, struct err *e);
/* Renders the chat by the model's template. *ret_done: it is the prompt now; else fn comes later, with call. */
err_code call_prompt_render(struct call *call, const struct backend_model *model, render_fn fn, bool *ret_done, struct err *e);
/* The rendered text is the prompt. */
void call_prompt_set(struct call *call, const struct render_answer *answer);
/* How many tokens a prompt may have beside its answer. */
uint32_t call_prompt_room(const struct call *call, const struct backend_model *model);
/* Takes the oldest turns out of the chat, about so many bytes of them. false: the last turn alone is left, and stays. */
bool call_prompt_shorten(struct call *call, size_t bytes);
/* Sets call->output: how the answer will be read. When the prompt is there. */
void call_prompt_output(struct call *call);
/* Adds the answer and what is wrong with it to the chat. */
void call_prompt_complain(struct call *call, const struct err *why);

#endif
