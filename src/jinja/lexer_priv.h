/* SPDX-License-Identifier: MIT
 * The lexer: a template's text as tokens, one at a time. A token's text points into the source, which must outlive the lexer. It fails
 * with the error set in the run. The parser alone uses it. */
#ifndef CARAVAN_JINJA_LEXER_PRIV_H
#define CARAVAN_JINJA_LEXER_PRIV_H

#include "jinja/run_priv.h"

enum jinja_token_kind {
    JINJA_T_END,
    JINJA_T_DATA,
    JINJA_T_PRINT_BEGIN,
    JINJA_T_PRINT_END,
    JINJA_T_BLOCK_BEGIN,
    JINJA_T_BLOCK_END,
    JINJA_T_NAME,
    JINJA_T_STRING,
    JINJA_T_NUMBER,
    JINJA_T_SIGN
};

/* Signs of two characters; a sign of one character is its own number. */
enum { JINJA_S_POW = 256, JINJA_S_FLOORDIV, JINJA_S_EQ, JINJA_S_NE, JINJA_S_LE, JINJA_S_GE };

struct jinja_token {
    uint8_t kind;
    bool whole;               /* a number without a point: x.0 is allowed */
    uint16_t sign;
    uint32_t line;
    const char *text;         /* in the lexer's source */
    size_t len;
    struct jinja_value value; /* DATA, STRING, NUMBER */
};

enum { JINJA_MAX_BRACKETS = 256 };

struct jinja_lexer {
    const char *text;         /* lines end with \n alone; the last line end is removed */
    size_t len, at;
    uint32_t line;
    uint8_t inside;           /* the kind of tag that the position is in: JINJA_T_PRINT_BEGIN or JINJA_T_BLOCK_BEGIN; else 0 */
    uint8_t waiting;          /* the kind of tag that begins after the returned data */
    char brackets[JINJA_MAX_BRACKETS];
    uint32_t n_brackets;
};

bool jinja_lexer_start(struct jinja_run *r, struct jinja_lexer *l, const char *text, size_t len);
bool jinja_lexer_next(struct jinja_run *r, struct jinja_lexer *l, struct jinja_token *ret);

#endif
