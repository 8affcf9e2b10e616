/* SPDX-License-Identifier: MIT
 * One plan on paper: a model, machines and wishes become plans, and the answer to them, in words or as JSON. `caravan plan MODEL` and
 * POST /caravan/v1/plan are this. No I/O, no clock; any thread, one at a time. */
#ifndef CARAVAN_PAPER_SHEET_H
#define CARAVAN_PAPER_SHEET_H

#include "paper/fleet.h"
#include "paper/model.h"
#include "paper/money.h"

enum { SHEET_MAX_COPIES = 64, SHEET_PROMPT = 512 };

struct sheet_question {
    const char *name; /* of the model, as it was asked for */
    const char *where; /* the machines, in words */
    struct paper_load load;
    const char *placement; /* as plan_wish_parse() takes it */
    const char *wire_type; /* "auto", or a type of hidden states */
    uint32_t prompt;       /* tokens of the prompt in predictions; 0: SHEET_PROMPT */
    const struct needs *needs; /* what slices take, by libllama's own word; NULL: it is estimated */
    struct money_wish money;
    bool cost;             /* the text says what it costs, too */
    bool brief;            /* without advice, which takes most of the time */
};

/* The header of a model. */
struct sheet_source {
    struct model_gguf *gguf;
    bool is_shape;      /* made from a name (paper/shapes.h): other quantisations can be tried */
    uint64_t missing;   /* bytes of tensors that lie beyond the end of the file */
    uint32_t n_missing; /* how many tensors do */
};

struct sheet {
    const struct sheet_question *q;
    struct fleet *fleet;
    struct sheet_source source; /* its header is the model's */
    struct paper_model model;
    struct plan_wish wish;
    struct plan *plans; /* copies */
    uint32_t n_plans;
    uint8_t wire; /* enum frame_dtype of hidden states on the links */
    bool wire_auto;
};

/* Takes source->gguf. q, fleet and q's texts must outlive the sheet; sheet_done() in any case. ERR_NO_ROOM and ERR_WHOLE_ONLY are answers,
 * too: their hints say what would fit. ERR_INVALID, ERR_FORMAT. */
err_code sheet_make(const struct sheet_question *q, const struct sheet_source *source, struct fleet *fleet, struct sheet *ret,
                    struct err *e);
void sheet_done(struct sheet *s);
const struct plan_model *sheet_model(const struct sheet *s);

/* For people. A line may be of any length; what goes on in the next line is indented. */
void sheet_text(const struct sheet *s, struct buf *out);
void sheet_json(const struct sheet *s, yyjson_mut_doc *doc, yyjson_mut_val *o);

/* ---- parts of both (sheet_try.c) ---- */

/* The same model for fewer conversations, with a shorter context, a smaller KV cache or quantisation: a line for each change that makes a
 * token clearly faster, or fewer machines enough; nothing if there is none. */
void sheet_try_free(const struct sheet *s, struct buf *out);
/* The model doesn't fit: hints at what would. */
void sheet_try_smaller(const struct sheet *s, struct err *e);

#endif
