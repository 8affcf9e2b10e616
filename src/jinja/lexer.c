/* SPDX-License-Identifier: MIT
 * A template's text to tokens, with Jinja's rules for blanks: trim_blocks, lstrip_blocks, "-" and "+" at the edges of tags. */
#include <string.h>

#include "base/mem.h"
#include "jinja/object_priv.h"
#include "jinja/lexer_priv.h"
#include "jinja/text.h"
#include "jinja/number_priv.h"

bool jinja_lexer_start(struct jinja_run *r, struct jinja_lexer *l, const char *text, size_t len) {
    *l = (struct jinja_lexer){.line = 1};
    char *copy = jinja_heap_bytes(r->heap, len + 1);
    if (copy == NULL) return jinja_fail_memory(r);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n') continue;
        copy[l->len++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (l->len > 0 && copy[l->len - 1] == '\n') l->len--;
    copy[l->len] = '\0'; /* so that reading the next character is always allowed */
    l->text = copy;
    return true;
}

/* ---- moving ---- */

static char look(const struct jinja_lexer *l, size_t ahead) { return l->at + ahead < l->len ? l->text[l->at + ahead] : '\0'; }

static void advance(struct jinja_lexer *l, size_t n) {
    for (size_t i = 0; i < n; i++) l->line += l->text[l->at + i] == '\n';
    l->at += n;
}

static void skip_blanks(struct jinja_lexer *l) {
    size_t n;
    while (l->at < l->len && jinja_char_is_space(jinja_char_at(l->text + l->at, l->len - l->at, &n))) advance(l, n);
}

static bool starts(const struct jinja_lexer *l, size_t at, const char *with) {
    size_t n = strlen(with);
    return n <= l->len - at && memcmp(l->text + at, with, n) == 0;
}

/* Takes the end of a tag at the position: "%}", "-%}" and so on, with the blanks that belong to it. false: it is not here. */
static bool take_end(struct jinja_lexer *l, const char *end, bool plus, bool trim) {
    char c = look(l, 0);
    bool sign = c == '-' || (c == '+' && plus);
    if (!starts(l, l->at + (sign ? 1 : 0), end)) return false;
    advance(l, strlen(end) + (sign ? 1 : 0));
    if (sign && c == '-') skip_blanks(l);
    else if (!sign && trim && look(l, 0) == '\n') advance(l, 1);
    return true;
}

/* ---- outside of tags ---- */

/* The length of the data before a tag without the blanks that are cut. sign: the one at the tag's beginning. */
static size_t trimmed(const struct jinja_lexer *l, size_t start, size_t len, char sign, bool print) {
    const char *text = l->text + start;
    if (sign == '-') {
        jinja_text_strip(&text, &len, false, true);
        return len;
    }
    if (sign == '+' || print) return len;
    const char *line = mem_find_last(text, '\n', len);
    size_t from = line != NULL ? (size_t)(line - text) + 1 : 0;
    if (line == NULL && start > 0 && l->text[start - 1] != '\n') return len; /* the line begins before the data */
    const char *rest = text + from;
    size_t rest_len = len - from;
    jinja_text_strip(&rest, &rest_len, true, false);
    return rest_len == 0 ? from : len;
}

static bool give_data(struct jinja_run *r, struct jinja_lexer *l, size_t start, size_t len, uint32_t line, struct jinja_token *ret) {
    *ret = (struct jinja_token){.kind = JINJA_T_DATA, .line = line};
    return jinja_str_refer(r, l->text + start, len, &ret->value);
}

static char sign_at(const struct jinja_lexer *l, size_t ahead) {
    char c = look(l, ahead);
    return c == '-' || c == '+' ? c : '\0';
}

/* Are there "{%", blanks, the word, blanks at the position? *ret_len: their length. */
static bool is_tag(const struct jinja_lexer *l, const char *word, size_t *ret_len) {
    struct jinja_lexer probe = *l;
    probe.at += 2 + (sign_at(l, 2) != '\0');
    skip_blanks(&probe);
    if (!starts(&probe, probe.at, word)) return false;
    probe.at += strlen(word);
    skip_blanks(&probe);
    *ret_len = probe.at - l->at;
    return true;
}

static bool take_comment(struct jinja_run *r, struct jinja_lexer *l) {
    advance(l, 2 + (sign_at(l, 2) != '\0'));
    while (l->at < l->len) {
        if (take_end(l, "#}", true, true)) return true;
        advance(l, 1);
    }
    r->line = l->line;
    return jinja_fail(r, "a comment is not closed");
}

/* The text up to {% endraw %}; the position is after {% raw %}. */
static bool take_raw(struct jinja_run *r, struct jinja_lexer *l, struct jinja_token *ret) {
    size_t start = l->at, len;
    uint32_t line = l->line;
    for (; l->at < l->len; advance(l, 1)) {
        if (!starts(l, l->at, "{%") || !is_tag(l, "endraw", &len)) continue;
        struct jinja_lexer behind = *l;
        advance(&behind, len);
        if (!take_end(&behind, "%}", true, true)) continue;
        size_t kept = trimmed(l, start, l->at - start, sign_at(l, 2), false);
        *l = behind;
        return give_data(r, l, start, kept, line, ret);
    }
    r->line = line;
    return jinja_fail(r, "{%% raw %%} is not closed");
}

static bool take_raw_begin(struct jinja_lexer *l) {
    size_t len;
    if (!is_tag(l, "raw", &len)) return false;
    struct jinja_lexer behind = *l;
    advance(&behind, len);
    if (!take_end(&behind, "%}", false, false)) return false;
    *l = behind;
    return true;
}

/* Moves to the next tag or the end: everything up to there is data. */
static void find_tag(struct jinja_lexer *l) {
    while (l->at < l->len) {
        const char *brace = memchr(l->text + l->at, '{', l->len - l->at);
        advance(l, brace != NULL ? (size_t)(brace - l->text) - l->at : l->len - l->at);
        if (look(l, 0) == '{' && (look(l, 1) == '{' || look(l, 1) == '%' || look(l, 1) == '#')) return;
        if (l->at < l->len) advance(l, 1);
    }
}

/* Returns the data up to the next tag that gives a token. It skips comments and stores the tag's beginning in `waiting`. */
static bool next_outside(struct jinja_run *r, struct jinja_lexer *l, struct jinja_token *ret) {
    size_t start = l->at;
    uint32_t line = l->line;
    find_tag(l);
    bool end = l->at == l->len;
    char kind = look(l, 1);
    size_t kept = end ? l->at - start : trimmed(l, start, l->at - start, sign_at(l, 2), kind == '{');
    if (!give_data(r, l, start, kept, line, ret)) return false;
    if (end) return true;
    if (kind == '#') return take_comment(r, l);
    if (kind == '%' && take_raw_begin(l)) {
        if (kept == 0) return take_raw(r, l, ret);
        l->waiting = JINJA_T_DATA;
        return true;
    }
    l->waiting = kind == '{' ? JINJA_T_PRINT_BEGIN : JINJA_T_BLOCK_BEGIN;
    advance(l, 2 + (sign_at(l, 2) != '\0'));
    return true;
}

/* ---- inside of tags ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The length of digits, with single underscores between them. */
static size_t digits_len(const char *text) {
    size_t n = 0;
    while (is_digit(text[n]) || (n > 0 && text[n] == '_' && is_digit(text[n + 1]))) n++;
    return n;
}

/* The length of a float at text, 0: none. */
static size_t float_len(const char *text) {
    size_t n = digits_len(text), more = 0;
    if (n == 0) return 0;
    if (text[n] == '.' && (more = digits_len(text + n + 1)) > 0) n += 1 + more;
    if ((text[n] | 0x20) == 'e') {
        size_t sign = text[n + 1] == '+' || text[n + 1] == '-' ? 1 : 0, power = digits_len(text + n + 1 + sign);
        if (power > 0) return n + 1 + sign + power;
    }
    return more > 0 ? n : 0;
}

static bool is_hex(char c) { return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); }

static size_t int_len(const char *text) {
    char kind = (char)(text[1] | 0x20);
    size_t n = 2;
    if (text[0] == '0' && (kind == 'x' || kind == 'o' || kind == 'b')) {
        while (text[n] == '_' || is_hex(text[n])) {
            if (text[n] != '_' && ((kind == 'o' && text[n] > '7') || (kind == 'b' && text[n] > '1'))) break;
            n++;
        }
        if (n > 2) return n;
    }
    if (text[0] != '0') return digits_len(text);
    for (n = 1; text[n] == '0' || (text[n] == '_' && text[n + 1] == '0');) n++;
    return n;
}

static bool take_number(struct jinja_run *r, struct jinja_lexer *l, struct jinja_token *ret) {
    const char *text = l->text + l->at;
    size_t len = l->at > 0 && text[-1] == '.' ? 0 : float_len(text);
    double f = 0;
    ret->kind = JINJA_T_NUMBER;
    ret->whole = len == 0;
    if (len == 0) {
        len = int_len(text);
        if (!jinja_number_parse_int(r, text, len, 0, &ret->value)) return jinja_fail(r, "a number is malformed");
    } else {
        if (!jinja_number_parse_float(text, len, &f)) return jinja_fail(r, "a number is malformed");
        ret->value = jinja_float(f);
    }
    advance(l, len);
    return true;
}

/* \x41, \u0041, \U00000041: the digits follow the letter. */
static bool escape_hex(struct jinja_run *r, struct jinja_out *o, const char *text, size_t len, size_t digits, size_t *ret_used) {
    uint32_t c = 0;
    for (size_t i = 0; i < digits; i++) {
        if (i >= len || !is_hex(text[i])) return jinja_fail(r, "an escape in a text lacks digits");
        c = c << 4 | (uint32_t)(is_digit(text[i]) ? text[i] - '0' : (text[i] | 0x20) - 'a' + 10);
    }
    *ret_used = 1 + digits;
    return jinja_out_char(r, o, c);
}

/* The character after a backslash; *ret_used: its bytes. */
static bool escape(struct jinja_run *r, struct jinja_out *o, const char *text, size_t len, size_t *ret_used) {
    static const char letters[] = "a\ab\bf\fn\nr\rt\tv\v\\\\''\"\"";
    *ret_used = 1;
    if (text[0] == '\n') return true;
    for (size_t i = 0; i + 1 < sizeof(letters); i += 2)
        if (letters[i] == text[0]) return jinja_out_byte(r, o, letters[i + 1]);
    if (text[0] == 'x') return escape_hex(r, o, text + 1, len - 1, 2, ret_used);
    if (text[0] == 'u') return escape_hex(r, o, text + 1, len - 1, 4, ret_used);
    if (text[0] == 'U') return escape_hex(r, o, text + 1, len - 1, 8, ret_used);
    if (text[0] == 'N') return jinja_fail(r, "the escape \\N is not supported");
    uint32_t octal = 0;
    size_t n = 0;
    for (; n < 3 && n < len && text[n] >= '0' && text[n] <= '7'; n++) octal = octal * 8 + (uint32_t)(text[n] - '0');
    if (n == 0) return jinja_out_byte(r, o, '\\') && (*ret_used = 0, true);
    *ret_used = n;
    return jinja_out_char(r, o, octal);
}

static bool take_string(struct jinja_run *r, struct jinja_lexer *l, struct jinja_token *ret) {
    char quote = look(l, 0);
    size_t end = l->at + 1;
    bool escapes = false;
    for (; end < l->len && l->text[end] != quote; end++) {
        if (l->text[end] != '\\') continue;
        escapes = true;
        end++;
    }
    if (end >= l->len) return jinja_fail(r, "a text is not closed");
    const char *text = l->text + l->at + 1;
    size_t len = end - l->at - 1;
    ret->kind = JINJA_T_STRING;
    advance(l, len + 2);
    if (!escapes) return jinja_str_refer(r, text, len, &ret->value);
    struct jinja_out o = {0};
    for (size_t i = 0, used = 0; i < len; i += used) {
        if (text[i] != '\\') {
            used = 1;
            if (!jinja_out_byte(r, &o, text[i])) return false;
        } else {
            if (!escape(r, &o, text + i + 1, len - i - 1, &used)) return false;
            used++;
        }
    }
    return jinja_out_take(r, &o, &ret->value);
}

static size_t name_len(const struct jinja_lexer *l) {
    size_t at = l->at, n;
    while (at < l->len) {
        uint32_t c = jinja_char_at(l->text + at, l->len - at, &n);
        if (c != '_' && !jinja_char_is_alpha(c) && !(at > l->at && jinja_char_is_digit(c))) break;
        at += n;
    }
    return at - l->at;
}

static bool track_bracket(struct jinja_run *r, struct jinja_lexer *l, char c) {
    if (c == '(' || c == '[' || c == '{') {
        if (l->n_brackets == JINJA_MAX_BRACKETS) return jinja_fail(r, "brackets are nested too deeply");
        l->brackets[l->n_brackets++] = (char)(c == '(' ? ')' : c == '[' ? ']' : '}');
    } else if (c == ')' || c == ']' || c == '}') {
        if (l->n_brackets == 0 || l->brackets[--l->n_brackets] != c) return jinja_fail(r, "unexpected '%c'", c);
    }
    return true;
}

static bool take_sign(struct jinja_run *r, struct jinja_lexer *l, struct jinja_token *ret) {
    static const struct {
        char text[3];
        int sign;
    } twos[] = {{"**", JINJA_S_POW}, {"//", JINJA_S_FLOORDIV}, {"==", JINJA_S_EQ},
                {"!=", JINJA_S_NE},  {"<=", JINJA_S_LE},       {">=", JINJA_S_GE}};
    char c = look(l, 0);
    ret->kind = JINJA_T_SIGN;
    for (size_t i = 0; i < sizeof(twos) / sizeof(*twos); i++) {
        if (!starts(l, l->at, twos[i].text)) continue;
        ret->sign = (uint16_t)twos[i].sign;
        advance(l, 2);
        return true;
    }
    if (c == '\0' || strchr("+-/*%~[](){}><=.:|,;", c) == NULL) {
        size_t n;
        jinja_char_at(l->text + l->at, l->len - l->at, &n);
        return jinja_fail(r, "unexpected character '%.*s'", (int)n, l->text + l->at);
    }
    ret->sign = (uint16_t)c;
    advance(l, 1);
    return track_bracket(r, l, c);
}

static bool next_inside(struct jinja_run *r, struct jinja_lexer *l, struct jinja_token *ret) {
    bool print = l->inside == JINJA_T_PRINT_BEGIN;
    skip_blanks(l);
    *ret = (struct jinja_token){.line = l->line, .text = l->text + l->at};
    r->line = l->line;
    if (l->at == l->len) return jinja_fail(r, "a tag is not closed");
    if (l->n_brackets == 0 && take_end(l, print ? "}}" : "%}", !print, !print)) {
        ret->kind = print ? JINJA_T_PRINT_END : JINJA_T_BLOCK_END;
        l->inside = 0;
        return true;
    }
    bool ok;
    char c = look(l, 0);
    size_t name = name_len(l);
    if (is_digit(c)) {
        ok = take_number(r, l, ret);
    } else if (name > 0) {
        ret->kind = JINJA_T_NAME;
        advance(l, name);
        ok = true;
    } else {
        ok = c == '"' || c == '\'' ? take_string(r, l, ret) : take_sign(r, l, ret);
    }
    ret->len = (size_t)(l->text + l->at - ret->text);
    return ok;
}

bool jinja_lexer_next(struct jinja_run *r, struct jinja_lexer *l, struct jinja_token *ret) {
    for (;;) {
        uint8_t waiting = l->waiting;
        r->line = l->line;
        l->waiting = 0;
        if (waiting == JINJA_T_DATA) return take_raw(r, l, ret);
        if (waiting != 0) {
            l->inside = waiting;
            *ret = (struct jinja_token){.kind = waiting, .line = l->line};
            return true;
        }
        if (l->inside != 0) return next_inside(r, l, ret);
        if (l->at == l->len) {
            *ret = (struct jinja_token){.kind = JINJA_T_END, .line = l->line};
            return true;
        }
        if (!next_outside(r, l, ret)) return false;
        if (ret->value.s->len > 0) return true;
    }
}
