/* SPDX-License-Identifier: MIT
 * A choice: one of the texts that the model writes for a call, and its journal (prompt, sampling parameters, seed, the tokens so far),
 * which is everything that is needed to continue it elsewhere. choice.c sends it to the backend and takes the events,
 * choice_output.c takes the text apart. Loop thread; choices belong to their call. */
#ifndef CARAVAN_REQUESTS_CHOICE_H
#define CARAVAN_REQUESTS_CHOICE_H

#include "requests/call_priv.h"
#include "requests/replay.h"

struct choice {
    struct call *call;
    uint32_t index;
    struct backend_call *running;  /* NULL: not submitted, or ended, or lost */
    struct replay *replay;         /* NULL: it has never lost its place */
    struct call_attempt attempt;
    bool begun, finished;
    bool says;                     /* an upstream may go on with it: its content is kept in `said` */
    bool only_text;                /* it has neither reasoning nor tool calls so far */
    struct buf said;
    bool cut;                      /* one of its tool calls is not whole: the answer says that it was cut */
    struct text_filter filter;     /* of the content: stop strings */
    struct output *output;         /* takes the text apart before that; NULL: all of it is content */
    struct buf clean;              /* for output: whole characters */
    uint8_t tail[4];               /* the bytes of a character that is not complete */
    size_t tail_len;
    struct api_token *pending;     /* with logprobs: tokens whose text has not all been given */
    size_t n_pending, cap_pending;
    struct api_token *scored;      /* with scores: the tokens of the prompt, until they are all here and given */
    size_t n_scored, cap_scored;
    bool prompt_given;
    /* journal */
    uint64_t seed;
    int32_t *tokens;
    size_t n_tokens, cap_tokens;
    uint32_t prompt_tokens, completion_tokens, cached_tokens;
};

/* A choice as a request to the backend: a view into the call, to be submitted and forgotten. Its `generated` are the tokens that the
 * choice has already. */
void choice_journal(const struct choice *c, struct request *ret);
/* Gives text that the filter has let through, with the tokens whose text has all been given. */
void choice_give(struct choice *c, const struct buf *text);
/* Keeps what logprobs need of a token whose text begins at text_start. */
void choice_keep(struct choice *c, const struct request_event *ev, size_t text_start);
/* After a stop string: drops the tokens that stand wholly after it. The token that it cuts through ends with the text. */
void choice_cut(struct choice *c);

/* ---- choice_output.c ---- */

void choice_output_open(struct choice *c);
void choice_output_close(struct choice *c);
/* A token's text; then the end of all text (cut: by a limit). True: a stop string has been found. */
bool choice_output_token(struct choice *c, const struct request_event *ev);
bool choice_output_finish(struct choice *c, bool cut);

#endif
