/* SPDX-License-Identifier: MIT
 * See call_carry.h. */
#include "requests/call_carry.h"

#include <stdlib.h>
#include <string.h>

#include "api/parse.h"
#include "base/mem.h"

bool call_carry_may(const struct call *call) {
    const struct api_request *r = &call->request;
    bool free_form = r->format == API_FORMAT_TEXT && r->sampling.grammar == NULL && r->tool_choice <= API_TOOLS_NONE && !r->logprobs;
    bool continues_itself = r->continues && r->begun == NULL; /* the client has written the beginning */
    return call->given && call->answer.n_choices == 1 && free_form && yyjson_mut_arr_size(r->chat) > 0 && !continues_itself;
}

void call_carry(struct call *call, struct text_filter *filter, struct api_choice_text *text, struct buf *said, uint64_t tokens) {
    struct api_request *r = &call->request;
    struct call_carried *c = call->carried = MEM_NEW(struct call_carried);
    int32_t used = tokens < INT32_MAX ? (int32_t)tokens : INT32_MAX;
    *c = (struct call_carried){.filter = *filter, .text = *text, .said = *said};
    *filter = (struct text_filter){0};
    *text = (struct api_choice_text){0};
    *said = (struct buf){0};
    c->filter.tail_len = 0; /* a character that is not complete is written anew */
    if (r->max_tokens >= 0) r->max_tokens = r->max_tokens > used ? r->max_tokens - used : 1;
    if (r->begun != NULL) yyjson_mut_arr_remove_last(r->chat);
    r->begun = arena_strndup(r->arena, buf_cstr(&c->said), c->said.len);
    r->begun_len = c->said.len;
    r->continues = true;
    api_chat_add(r, "assistant", r->begun, r->begun_len);
}

bool call_carry_on(struct call *call, struct text_filter *filter, struct api_choice_text *text, struct buf *said) {
    struct call_carried *c = call->carried;
    if (c == NULL) return false;
    *filter = c->filter;
    *text = c->text;
    *said = c->said;
    free(c);
    call->carried = NULL;
    return true;
}

void call_carry_free(struct call *call) {
    if (call->carried == NULL) return;
    text_filter_done(&call->carried->filter);
    api_choice_done(&call->carried->text);
    buf_done(&call->carried->said);
    free(call->carried);
    call->carried = NULL;
}
