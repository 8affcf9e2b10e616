/* SPDX-License-Identifier: MIT
 * Rules that the grammars of all forms of calls are made of. See toolcall_grammar_priv.h. */
#include <string.h>

#include "chat/toolcall_grammar_priv.h"
#include "grammar/gbnf.h"
#include "grammar/schema.h"

void toolcall_grammar_literal(struct buf *out, const char *text) {
    buf_append_byte(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            buf_append_str(out, "\\n");
            continue;
        }
        if (*text == '"' || *text == '\\') buf_append_byte(out, '\\');
        buf_append_byte(out, (uint8_t)*text);
    }
    buf_append_str(out, "\" ");
}

bool toolcall_grammar_is_required(yyjson_val *schema, yyjson_val *key) {
    yyjson_val *v;
    size_t i, n;
    yyjson_arr_foreach(json_some(yyjson_obj_get(schema, "required")), i, n, v) {
        if (yyjson_is_str(v) && yyjson_equals_strn(key, yyjson_get_str(v), yyjson_get_len(v))) return true;
    }
    return false;
}

/* ---- a schema's grammar, with its rules renamed ---- */

static bool is_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'; }

/* The length of a literal, a class or a comment; 0: none begins here. */
static size_t opaque_length(const char *p) {
    char end = *p == '"' ? '"' : *p == '[' ? ']' : *p == '#' ? '\n' : '\0';
    size_t n = 1;
    if (end == '\0') return 0;
    for (; p[n] != '\0' && p[n] != end; n++)
        if (p[n] == '\\' && p[n + 1] != '\0' && end != '\n') n++;
    return p[n] != '\0' ? n + 1 : n;
}

void toolcall_grammar_renamed(struct buf *out, const char *grammar, const char *prefix) {
    for (const char *p = grammar; *p != '\0';) {
        size_t n = opaque_length(p);
        if (n == 0 && *p == '{') n = strcspn(p, "}"); /* a repetition is no name */
        if (n == 0 && is_name(*p)) {
            buf_append_str(out, prefix);
            while (is_name(p[n])) n++;
        }
        if (n == 0) n = 1;
        buf_append(out, p, n);
        p += n;
    }
    buf_append_byte(out, '\n');
}

err_code toolcall_grammar_schema(struct buf *out, yyjson_val *schema, const char *prefix, uint64_t *budget, bool *partial, struct err *e) {
    bool in_part = false;
    const struct schema_options options = {.closed = true, .budget = budget, .ret_partial = partial != NULL ? &in_part : NULL};
    struct buf text;
    buf_init(&text, GBNF_MAX_TEXT);
    err_code code = ERR_OK;
    if (schema != NULL) code = schema_to_gbnf(schema, &options, &text, e);
    else schema_any_object(&text);
    if (code == ERR_OK) toolcall_grammar_renamed(out, buf_cstr(&text), prefix);
    if (in_part) *partial = true;
    buf_done(&text);
    return code;
}

/* ---- text up to a mark ---- */

enum { MAX_MARK = 64 };

static size_t code_points(const char *text, uint32_t out[MAX_MARK]) {
    size_t n = 0;
    for (const uint8_t *p = (const uint8_t *)text; *p != 0 && n < MAX_MARK; n++) {
        unsigned more = *p >= 0xF0 ? 3 : *p >= 0xE0 ? 2 : *p >= 0xC0 ? 1 : 0;
        uint32_t c = more > 0 ? *p & (0x3Fu >> more) : *p;
        for (p++; more > 0 && *p != 0; more--, p++) c = c << 6 | (*p & 0x3F);
        out[n] = c;
    }
    return n;
}

/* How many characters of the mark stand at the end of the text when `c` follows the mark's first `n` (Knuth, Morris, Pratt)? */
static size_t next_state(const uint32_t *mark, size_t n, uint32_t c) {
    for (size_t keep = n + 1; keep > 0; keep--)
        if (mark[keep - 1] == c && memcmp(mark, mark + (n + 1 - keep), (keep - 1) * sizeof(*mark)) == 0) return keep;
    return 0;
}

static void append_char(struct buf *out, uint32_t c) { buf_printf(out, "\\U%08x", c); }

void toolcall_grammar_until(struct buf *out, const char *name, const char *text) {
    uint32_t mark[MAX_MARK];
    size_t n = code_points(text, mark);
    buf_printf(out, "%s ::= %s-0\n", name, name);
    for (size_t state = 0; state < n; state++) {
        buf_printf(out, "%s-%zu ::=", name, state);
        for (size_t i = 0; i < n; i++) { /* each character of the mark once */
            size_t first = 0;
            while (mark[first] != mark[i]) first++;
            size_t next = next_state(mark, state, mark[i]);
            if (first != i || next == 0) continue;
            buf_append_str(out, " [");
            append_char(out, mark[i]);
            if (next == n) buf_append_str(out, "] |");
            else buf_printf(out, "] %s-%zu |", name, next);
        }
        buf_append_str(out, " [^");
        for (size_t i = 0; i < n; i++)
            if (next_state(mark, state, mark[i]) > 0) append_char(out, mark[i]);
        buf_printf(out, "] %s-0\n", name);
    }
}
