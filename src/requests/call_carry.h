/* SPDX-License-Identifier: MIT
 * An answer that has begun at one place and goes on at another that serves the same model: from an upstream to the cluster, or the other
 * way. What the client has becomes the beginning of the answer, as the last message of the chat. Loop thread. */
#ifndef CARAVAN_REQUESTS_CALL_CARRY_H
#define CARAVAN_REQUESTS_CALL_CARRY_H

#include "requests/call_priv.h"

/* What the client has of the only choice of an answer that goes on elsewhere. */
struct call_carried {
    struct text_filter filter;
    struct api_choice_text text;
    struct buf said;           /* the content so far, what the filter holds back included */
};

/* Can exactly this go on elsewhere? Only one answer of plain text in a chat, of which the client has seen something; nothing may ask for a
 * form of the whole. Whoever writes it knows whether there is more than text in it. */
bool call_carry_may(const struct call *call);
/* Takes over the three parts, which are empty afterwards. tokens: of the answer's limit that are used up. */
void call_carry(struct call *call, struct text_filter *filter, struct api_choice_text *text, struct buf *said, uint64_t tokens);
/* Gives the three parts to the new place; false: the answer begins there. */
bool call_carry_on(struct call *call, struct text_filter *filter, struct api_choice_text *text, struct buf *said);
void call_carry_free(struct call *call);

#endif
