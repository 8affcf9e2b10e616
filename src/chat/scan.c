/* SPDX-License-Identifier: MIT */
#include "chat/scan.h"

#include <string.h>

enum state {
    VALUE,
    FIRST_ELEMENT,
    FIRST_KEY,
    KEY,
    COLON,
    COMMA,
    STRING,
    KEY_STRING,
    ESCAPE,
    KEY_ESCAPE,
    HEX,
    KEY_HEX = HEX + 4,
    WORD = KEY_HEX + 4,
    MINUS,
    ZERO,
    DIGITS,
    POINT,
    FRACTION,
    EXPONENT,
    EXPONENT_SIGN,
    EXPONENT_DIGITS
};

void scan_init(struct scan *s) { *s = (struct scan){.state = VALUE}; }

bool scan_in_string(const struct scan *s) { return s->state >= STRING && s->state < WORD; }

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

static enum scan_result go(struct scan *s, uint8_t state) {
    s->state = state;
    return SCAN_MORE;
}

/* A value is complete. At depth 0 it is the whole value. */
static enum scan_result value_done(struct scan *s) {
    s->state = COMMA;
    return s->depth == 0 ? SCAN_END : SCAN_MORE;
}

static enum scan_result open_level(struct scan *s, bool object) {
    if (s->depth == SCAN_MAX_DEPTH) return SCAN_BAD;
    uint64_t bit = (uint64_t)1 << s->depth++;
    s->objects = object ? s->objects | bit : s->objects & ~bit;
    return go(s, object ? FIRST_KEY : FIRST_ELEMENT);
}

static bool in_object(const struct scan *s) { return s->depth > 0 && (s->objects >> (s->depth - 1) & 1) != 0; }

static enum scan_result close_level(struct scan *s) {
    s->depth--;
    return value_done(s);
}

static enum scan_result begin_value(struct scan *s, char c) {
    if (is_blank(c)) return SCAN_MORE;
    if (c >= '1' && c <= '9') return go(s, DIGITS);
    switch (c) {
    case '{': return open_level(s, true);
    case '[': return open_level(s, false);
    case '"': return go(s, STRING);
    case '-': return go(s, MINUS);
    case '0': return go(s, ZERO);
    case 't': s->word = "rue"; return go(s, WORD);
    case 'f': s->word = "alse"; return go(s, WORD);
    case 'n': s->word = "ull"; return go(s, WORD);
    default: return SCAN_BAD;
    }
}

static enum scan_result after_value(struct scan *s, char c) {
    if (is_blank(c)) return SCAN_MORE;
    if (c == ',') return go(s, in_object(s) ? KEY : VALUE);
    if (c == (in_object(s) ? '}' : ']')) return close_level(s);
    return SCAN_BAD;
}

/* The byte after a number belongs to the level around the number. */
static enum scan_result after_number(struct scan *s, char c) {
    if (s->depth == 0) return SCAN_END_BEFORE;
    s->state = COMMA;
    return after_value(s, c);
}

static enum scan_result push_number(struct scan *s, char c) {
    switch (s->state) {
    case MINUS: return c == '0' ? go(s, ZERO) : is_digit(c) ? go(s, DIGITS) : SCAN_BAD;
    case POINT: return is_digit(c) ? go(s, FRACTION) : SCAN_BAD;
    case EXPONENT:
        if (c == '+' || c == '-') return go(s, EXPONENT_SIGN);
        return is_digit(c) ? go(s, EXPONENT_DIGITS) : SCAN_BAD;
    case EXPONENT_SIGN: return is_digit(c) ? go(s, EXPONENT_DIGITS) : SCAN_BAD;
    case EXPONENT_DIGITS: return is_digit(c) ? SCAN_MORE : after_number(s, c);
    default: break;
    }
    if (is_digit(c) && s->state != ZERO) return SCAN_MORE;
    if (c == '.' && s->state != FRACTION) return go(s, POINT);
    if (c == 'e' || c == 'E') return go(s, EXPONENT);
    return after_number(s, c);
}

static enum scan_result push_string(struct scan *s, char c) {
    bool key = s->state == KEY_STRING || s->state == KEY_ESCAPE || s->state >= KEY_HEX;
    uint8_t string = key ? KEY_STRING : STRING;
    if (s->state == string) {
        if (c == '\\') return go(s, key ? KEY_ESCAPE : ESCAPE);
        if (c != '"') return SCAN_MORE;
        return key ? go(s, COLON) : value_done(s);
    }
    if (s->state == ESCAPE || s->state == KEY_ESCAPE) {
        if (c == 'u') return go(s, key ? KEY_HEX : HEX);
        return c != '\0' && strchr("\"\\/bfnrt", c) != NULL ? go(s, string) : SCAN_BAD;
    }
    if (!is_hex(c)) return SCAN_BAD;
    uint8_t first = key ? KEY_HEX : HEX;
    return go(s, s->state - first == 3 ? string : s->state + 1);
}

static enum scan_result push_word(struct scan *s, char c) {
    if (c != *s->word) return SCAN_BAD;
    return *++s->word == '\0' ? value_done(s) : SCAN_MORE;
}

enum scan_result scan_push(struct scan *s, char c) {
    if (scan_in_string(s)) return push_string(s, c);
    if (s->state == WORD) return push_word(s, c);
    if (s->state > WORD) return push_number(s, c);
    switch (s->state) {
    case VALUE: return begin_value(s, c);
    case FIRST_ELEMENT: return c == ']' ? close_level(s) : begin_value(s, c);
    case COMMA: return s->depth > 0 ? after_value(s, c) : SCAN_BAD;
    case COLON: return is_blank(c) ? SCAN_MORE : c == ':' ? go(s, VALUE) : SCAN_BAD;
    case FIRST_KEY:
        if (c == '}') return close_level(s);
        break;
    default: break;
    }
    return is_blank(c) ? SCAN_MORE : c == '"' ? go(s, KEY_STRING) : SCAN_BAD;
}
