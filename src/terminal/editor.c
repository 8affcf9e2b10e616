/* SPDX-License-Identifier: MIT
 * See editor.h. */
#include "terminal/editor.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "terminal/cell.h"

enum { MAX_SEQUENCE = 32, PROMPT_WIDTH = 2, TAB_WIDTH = 4, LEAST_WIDTH = PROMPT_WIDTH + 2 };
enum { KEY_CTRL_C = 3, KEY_CTRL_D = 4, KEY_CTRL_L = 12, KEY_CTRL_Z = 26, KEY_ESCAPE = 27, KEY_DELETE = 127 };

struct editor {
    char *text; /* NUL-terminated */
    size_t len, cap, max, at; /* at: the cursor, between characters */
    char pending[MAX_SEQUENCE]; /* the beginning of a character or an escape sequence */
    size_t n_pending;
    bool pasting; /* between the marks of a bracketed paste */
    char *history[EDITOR_MAX_HISTORY];
    size_t n_history, shown; /* shown: the line of the history that is edited; n_history: none */
    char *draft;             /* what was typed before history was looked at */
    uint32_t drawn_row;      /* rows from the first one drawn to the cursor */
};

struct editor *editor_create(size_t max_text) {
    struct editor *ed = MEM_NEW(struct editor);
    ed->max = max_text;
    ed->text = mem_zalloc(1);
    ed->cap = 1;
    return ed;
}

void editor_free(struct editor *ed) {
    if (ed == NULL) return;
    for (size_t i = 0; i < ed->n_history; i++) free(ed->history[i]);
    free(ed->draft);
    free(ed->text);
    free(ed);
}

const char *editor_text(const struct editor *ed) { return ed->text; }

/* ---- the text ---- */

static void insert(struct editor *ed, const char *bytes, size_t n) {
    if (n > ed->max - ed->len) return;
    if (ed->len + n + 1 > ed->cap) {
        ed->cap = 2 * (ed->len + n + 1);
        ed->text = mem_realloc(ed->text, ed->cap, 1);
    }
    memmove(ed->text + ed->at + n, ed->text + ed->at, ed->len - ed->at + 1);
    memcpy(ed->text + ed->at, bytes, n);
    ed->len += n;
    ed->at += n;
}

static void erase(struct editor *ed, size_t from, size_t to) {
    memmove(ed->text + from, ed->text + to, ed->len - to + 1);
    ed->len -= to - from;
    ed->at = from;
}

void editor_set(struct editor *ed, const char *text) {
    erase(ed, 0, ed->len);
    insert(ed, text, strlen(text));
}

/* Where the character before, or after, this place ends. Combining marks go with the character that they stand on. */
static size_t before(const struct editor *ed, size_t at) {
    uint32_t w = 0;
    while (at > 0) {
        do at--;
        while (at > 0 && ((uint8_t)ed->text[at] & 0xc0) == 0x80);
        cell_next(ed->text + at, ed->len - at, &w);
        if (w > 0) break;
    }
    return at;
}

static size_t after(const struct editor *ed, size_t at) {
    uint32_t w = 0;
    if (at < ed->len) at += cell_next(ed->text + at, ed->len - at, &w);
    while (at < ed->len) {
        size_t n = cell_next(ed->text + at, ed->len - at, &w);
        if (w > 0) break;
        at += n;
    }
    return at;
}

static size_t line_start(const struct editor *ed) {
    size_t at = ed->at;
    while (at > 0 && ed->text[at - 1] != '\n') at--;
    return at;
}

static size_t line_end(const struct editor *ed) { return ed->at + strcspn(ed->text + ed->at, "\n"); }

static bool is_blank(char c) { return c == ' ' || c == '\n' || c == '\t'; }

static size_t word_before(const struct editor *ed) {
    size_t at = ed->at;
    while (at > 0 && is_blank(ed->text[at - 1])) at--;
    while (at > 0 && !is_blank(ed->text[at - 1])) at--;
    return at;
}

static size_t word_behind(const struct editor *ed) {
    size_t at = ed->at;
    while (at < ed->len && is_blank(ed->text[at])) at++;
    while (at < ed->len && !is_blank(ed->text[at])) at++;
    return at;
}

/* ---- history ---- */

void editor_remember(struct editor *ed, const char *text) {
    if (!text[0] || (ed->n_history > 0 && strcmp(ed->history[ed->n_history - 1], text) == 0)) return;
    if (ed->n_history == EDITOR_MAX_HISTORY) {
        free(ed->history[0]);
        memmove(ed->history, ed->history + 1, (--ed->n_history) * sizeof(*ed->history));
    }
    ed->history[ed->n_history++] = mem_strdup(text);
    ed->shown = ed->n_history;
}

size_t editor_history(const struct editor *ed, const char *const **ret_lines) {
    *ret_lines = (const char *const *)ed->history;
    return ed->n_history;
}

static void show_history(struct editor *ed, size_t line) {
    if (ed->shown == ed->n_history) {
        free(ed->draft);
        ed->draft = mem_strdup(ed->text);
    }
    ed->shown = line;
    editor_set(ed, line < ed->n_history ? ed->history[line] : ed->draft);
}

void editor_begin(struct editor *ed) {
    editor_set(ed, "");
    ed->shown = ed->n_history;
    ed->drawn_row = 0;
}

/* ---- keys ---- */

static void key_left(struct editor *ed) { ed->at = before(ed, ed->at); }
static void key_right(struct editor *ed) { ed->at = after(ed, ed->at); }
static void key_home(struct editor *ed) { ed->at = line_start(ed); }
static void key_end(struct editor *ed) { ed->at = line_end(ed); }
static void key_word_left(struct editor *ed) { ed->at = word_before(ed); }
static void key_word_right(struct editor *ed) { ed->at = word_behind(ed); }
static void key_backspace(struct editor *ed) { erase(ed, before(ed, ed->at), ed->at); }
static void key_delete(struct editor *ed) { erase(ed, ed->at, after(ed, ed->at)); }
static void key_cut_word(struct editor *ed) { erase(ed, word_before(ed), ed->at); }
static void key_cut_word_behind(struct editor *ed) { erase(ed, ed->at, word_behind(ed)); }
static void key_cut_start(struct editor *ed) { erase(ed, line_start(ed), ed->at); }
static void key_cut_end(struct editor *ed) { erase(ed, ed->at, line_end(ed)); }
static void key_newline(struct editor *ed) { insert(ed, "\n", 1); }

/* The same column one line up; from the first line into the history. */
static void key_up(struct editor *ed) {
    size_t start = line_start(ed);
    if (start == 0) {
        if (ed->shown > 0) show_history(ed, ed->shown - 1);
        return;
    }
    uint32_t column = cell_width(ed->text + start, ed->at - start);
    size_t end = start - 1;
    ed->at = end;
    start = line_start(ed);
    ed->at = start + cell_fit(ed->text + start, end - start, column);
}

static void key_down(struct editor *ed) {
    size_t start = line_start(ed), end = line_end(ed);
    if (end == ed->len) {
        if (ed->shown < ed->n_history) show_history(ed, ed->shown + 1);
        return;
    }
    uint32_t column = cell_width(ed->text + start, ed->at - start);
    ed->at = end + 1;
    ed->at += cell_fit(ed->text + ed->at, line_end(ed) - ed->at, column);
}

struct key {
    const char *bytes;
    void (*press)(struct editor *ed);
};
/* Each key as terminals send it, its escape sequence without a modifier. */
static const struct key keys[] = {
    {"\x01", key_home},
    {"\x02", key_left},
    {"\x05", key_end},
    {"\x06", key_right},
    {"\x08", key_backspace},
    {"\x0b", key_cut_end},
    {"\x0e", key_down},
    {"\x10", key_up},
    {"\x15", key_cut_start},
    {"\x17", key_cut_word},
    {"\x7f", key_backspace},
    {"\x1b[A", key_up},
    {"\x1b[B", key_down},
    {"\x1b[C", key_right},
    {"\x1b[D", key_left},
    {"\x1b[H", key_home},
    {"\x1b[F", key_end},
    {"\x1bOA", key_up},
    {"\x1bOB", key_down},
    {"\x1bOC", key_right},
    {"\x1bOD", key_left},
    {"\x1bOH", key_home},
    {"\x1bOF", key_end},
    {"\x1b[1~", key_home},
    {"\x1b[7~", key_home},
    {"\x1b[4~", key_end},
    {"\x1b[8~", key_end},
    {"\x1b[3~", key_delete},
    {"\x1b[Z", key_newline},
    {"\x1b\r", key_newline},
    {"\x1b\n", key_newline},
    {"\x1b[13;2u", key_newline},
    {"\x1b[27;2;13~", key_newline},
    {"\x1b"
     "b",
     key_word_left},
    {"\x1b"
     "f",
     key_word_right},
    {"\x1b"
     "d",
     key_cut_word_behind},
    {"\x1b\x7f", key_cut_word},
    {"\x1b[1;5C", key_word_right},
    {"\x1b[1;5D", key_word_left},
    {"\x1b[1;3C", key_word_right},
    {"\x1b[1;3D", key_word_left},
};

static void press(struct editor *ed, const char *bytes, size_t n) {
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (strlen(keys[i].bytes) == n && memcmp(keys[i].bytes, bytes, n) == 0) keys[i].press(ed);
}

/* ---- bytes ---- */

/* The length of the escape sequence at the start of these bytes (the first is ESC); 0: it is not complete. */
static size_t sequence_length(const char *bytes, size_t len) {
    if (len < 2) return 0;
    if (bytes[1] == KEY_ESCAPE) return 1; /* the Escape key, before another key */
    if (bytes[1] == 'O') return len < 3 ? 0 : 3;
    if (bytes[1] != '[') return 2;
    for (size_t i = 2; i < len; i++)
        if (bytes[i] >= 0x40 && bytes[i] <= 0x7e) return i + 1;
    return len >= MAX_SEQUENCE - 1 ? len : 0; /* no key has so long a sequence */
}

/* The length of the key at the start: a character, a control character, an escape sequence; 0: it is not complete. */
static size_t key_length(const char *bytes, size_t len) {
    bool whole;
    if (bytes[0] == KEY_ESCAPE) return sequence_length(bytes, len);
    size_t n = str_utf8_next(bytes, len, &whole);
    return n;
}

static bool is_enter(const char *key, size_t n) { return n == 1 && (key[0] == '\r' || key[0] == '\n'); }

/* An Enter with `rest` after it in the same read. */
static bool enter_ends(const struct editor *ed, const char *rest, size_t n_rest) {
    return !ed->pasting && (n_rest == 0 || ed->text[0] == '/' || rest[0] == '/' || rest[0] == KEY_CTRL_D);
}

static enum editor_result take_control(struct editor *ed, const char *key, size_t n) {
    static const struct {
        char key;
        enum editor_result result;
    } ends[] = {{KEY_CTRL_C, EDITOR_BREAK}, {KEY_CTRL_Z, EDITOR_SUSPEND}, {KEY_CTRL_L, EDITOR_REDRAW}};
    for (size_t i = 0; n == 1 && i < ARRAY_LEN(ends); i++)
        if (key[0] == ends[i].key) return ends[i].result;
    if (n == 1 && key[0] == KEY_CTRL_D) {
        if (ed->len == 0) return EDITOR_END;
        key_delete(ed);
        return EDITOR_MORE;
    }
    press(ed, key, n);
    return EDITOR_MORE;
}

static enum editor_result take_key(struct editor *ed, const char *key, size_t n, const char *rest, size_t n_rest) {
    bool control = (uint8_t)key[0] < ' ' || key[0] == KEY_DELETE;
    if (n == 6 && memcmp(key, "\x1b[200~", 6) == 0) ed->pasting = true;
    else if (n == 6 && memcmp(key, "\x1b[201~", 6) == 0) ed->pasting = false;
    else if (is_enter(key, n) && enter_ends(ed, rest, n_rest)) return EDITOR_LINE;
    else if (is_enter(key, n)) insert(ed, "\n", 1);
    else if (key[0] == '\t' && (ed->pasting || n_rest > 0)) insert(ed, key, n);
    else if (!control) insert(ed, key, n);
    else if (!ed->pasting) return take_control(ed, key, n);
    return EDITOR_MORE;
}

/* One key; its bytes begin in `pending` and go on in the bytes. Returns how many of the latter it takes; *ret_n 0: it goes on in the next
 * read, or it was no character. */
static size_t next_key(struct editor *ed, const char *bytes, size_t len, char ret[MAX_SEQUENCE], size_t *ret_n) {
    size_t old = ed->n_pending, n = len < MAX_SEQUENCE - old ? len : MAX_SEQUENCE - old;
    bool whole = true;
    memcpy(ret, ed->pending, old);
    memcpy(ret + old, bytes, n);
    size_t key = key_length(ret, old + n);
    ed->n_pending = 0;
    *ret_n = key;
    if (key == 0) {
        memcpy(ed->pending, ret, old + n);
        ed->n_pending = old + n;
        return n;
    }
    if (ret[0] != KEY_ESCAPE) str_utf8_next(ret, key, &whole);
    if (!whole) *ret_n = 0;
    return key > old ? key - old : 0;
}

enum editor_result editor_feed(struct editor *ed, const char *bytes, size_t len, size_t *ret_used) {
    enum editor_result result = EDITOR_MORE;
    size_t used = 0, n;
    char key[MAX_SEQUENCE];
    while (used < len && result == EDITOR_MORE) {
        used += next_key(ed, bytes + used, len - used, key, &n);
        if (n == 1 && key[0] == '\r' && used < len && bytes[used] == '\n') used++; /* one Enter */
        if (n > 0) result = take_key(ed, key, n, bytes + used, len - used);
    }
    *ret_used = used;
    return result;
}

/* ---- drawing ---- */

/* Rows of the screen: where each begins in the text. */
struct rows {
    size_t *starts;
    uint32_t n, cursor, cursor_column;
};

static uint32_t shown_width(const char *at, size_t len, size_t *ret_n) {
    uint32_t w;
    *ret_n = cell_next(at, len, &w);
    return *at == '\t' ? TAB_WIDTH : w;
}

static void rows_add(struct rows *r, size_t start) {
    if ((r->n & (r->n - 1)) == 0) r->starts = mem_realloc(r->starts, r->n ? 2 * (size_t)r->n : 1, sizeof(*r->starts));
    r->starts[r->n++] = start;
}

static void rows_lay(const struct editor *ed, uint32_t width, struct rows *r) {
    uint32_t column = 0;
    size_t n = 0;
    *r = (struct rows){0};
    rows_add(r, 0);
    for (size_t at = 0;; at += n) {
        uint32_t w = at < ed->len ? shown_width(ed->text + at, ed->len - at, &n) : 1;
        bool line = at < ed->len && ed->text[at] == '\n';
        if (!line && column + w > width) {
            rows_add(r, at);
            column = 0;
        }
        if (at == ed->at) {
            r->cursor = r->n - 1;
            r->cursor_column = column;
        }
        if (at >= ed->len) return;
        column += w;
        if (line) {
            rows_add(r, at + 1);
            column = 0;
        }
    }
}

static void put_row(const struct editor *ed, const struct rows *r, uint32_t row, struct buf *out) {
    size_t end = row + 1 < r->n ? r->starts[row + 1] : ed->len;
    buf_append_str(out, row == 0 ? "> " : "  ");
    for (size_t at = r->starts[row]; at < end; at++)
        if (ed->text[at] == '\t') buf_printf(out, "%*s", TAB_WIDTH, "");
        else if (ed->text[at] != '\n') buf_append_byte(out, (uint8_t)ed->text[at]);
}

void editor_draw(struct editor *ed, uint32_t width, uint32_t height, struct buf *out) {
    struct rows r;
    if (width < LEAST_WIDTH) width = LEAST_WIDTH;
    if (height == 0) height = 1;
    rows_lay(ed, width - PROMPT_WIDTH, &r);
    uint32_t shown = r.n < height ? r.n : height, first = r.cursor + 1 > shown ? r.cursor + 1 - shown : 0;
    if (ed->drawn_row > 0) buf_printf(out, "\033[%uA", ed->drawn_row);
    buf_append_str(out, "\r\033[J");
    for (uint32_t i = 0; i < shown; i++) {
        if (i > 0) buf_append_str(out, "\r\n");
        put_row(ed, &r, first + i, out);
    }
    ed->drawn_row = r.cursor - first;
    if (shown - 1 > ed->drawn_row) buf_printf(out, "\033[%uA", shown - 1 - ed->drawn_row);
    buf_printf(out, "\r\033[%uC", r.cursor_column + PROMPT_WIDTH);
    free(r.starts);
}

void editor_leave(struct editor *ed, uint32_t width, uint32_t height, struct buf *out) {
    ed->at = ed->len;
    editor_draw(ed, width, height, out);
    buf_append_str(out, "\r\n");
    ed->drawn_row = 0;
}
