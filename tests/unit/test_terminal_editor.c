/* SPDX-License-Identifier: MIT
 * The line editor: keys, pastes and history. A small screen interprets the sequences that the editor draws with. */
#include "terminal/editor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"

enum { MAX_TEXT = 4096 };

/* Feeds all bytes; returns the last result. Bytes after the end of a message are dropped. */
static enum editor_result type(struct editor *ed, const char *bytes) {
    size_t used;
    return editor_feed(ed, bytes, strlen(bytes), &used);
}

static void expect_typed(const char *bytes, enum editor_result result, const char *text) {
    struct editor *ed = editor_create(MAX_TEXT);
    assert_int_equal(type(ed, bytes), result);
    assert_string_equal(editor_text(ed), text);
    editor_free(ed);
}

static void test_keys(void **state) {
    (void)state;
    expect_typed("hello\r", EDITOR_LINE, "hello");
    expect_typed("hello\n", EDITOR_LINE, "hello");
    expect_typed("h\xc3\xa9llo\x7f\x7f\x7f\x7f", EDITOR_MORE, "h");                /* a character, not a byte */
    expect_typed("e\xcc\x81x\x1b[D\x7f", EDITOR_MORE, "x");                         /* a letter with its accent */
    expect_typed("abc\x1b[D\x1b[DX", EDITOR_MORE, "aXbc");
    expect_typed("abc\x01X\x05Y", EDITOR_MORE, "XabcY");
    expect_typed("one two three\x17", EDITOR_MORE, "one two ");
    expect_typed("one two\x1b\x62\x0b", EDITOR_MORE, "one ");
    expect_typed("one two\x15", EDITOR_MORE, "");
    expect_typed("ab\x1b[D\x04", EDITOR_MORE, "a");                                 /* Ctrl-D deletes */
    expect_typed("\x04", EDITOR_END, "");
    expect_typed("ab\x03", EDITOR_BREAK, "ab");
    expect_typed("ab\x1a", EDITOR_SUSPEND, "ab");
    expect_typed("a\x1b[Zb\x1b\rc", EDITOR_MORE, "a\nb\nc");                        /* Shift-Tab, Alt-Enter */
    expect_typed("ab\x1b[99~\x1b[1;2;3Xc\x01\xff", EDITOR_MORE, "abc");             /* unknown keys and wrong bytes do nothing */
}

static void test_pastes(void **state) {
    (void)state;
    expect_typed("\x1b[200~one\rtwo\nthree\r\nfour\t5\x1b[201~", EDITOR_MORE, "one\ntwo\nthree\nfour\t5");
    expect_typed("\x1b[200~one\r\x1b[201~\r", EDITOR_LINE, "one\n");
    expect_typed("\x1b[200~a\x03\x04\x1b[A\x1b[201~b", EDITOR_MORE, "ab");          /* keys in a paste are not pressed */
    expect_typed("one\rtwo\r", EDITOR_LINE, "one\ntwo");                            /* several lines at once */
    expect_typed("/set seed 1\rtwo\r", EDITOR_LINE, "/set seed 1");                 /* commands end at their Enter */
    expect_typed("one\r/bye\r", EDITOR_LINE, "one");
    expect_typed("one\r\x04", EDITOR_LINE, "one");
}

/* However the bytes are cut into reads, a bracketed paste is the same. */
static void test_cut_anywhere(void **state) {
    (void)state;
    const char *bytes = "a\x1b[200~\xe4\xb8\xad\rline\x1b[201~\x1b[D\xf0\x9f\xa6\x99";
    for (size_t cut = 0; cut <= strlen(bytes); cut++) {
        struct editor *ed = editor_create(MAX_TEXT);
        size_t used;
        assert_int_equal(editor_feed(ed, bytes, cut, &used), EDITOR_MORE);
        assert_int_equal(used, cut);
        assert_int_equal(editor_feed(ed, bytes + cut, strlen(bytes) - cut, &used), EDITOR_MORE);
        assert_string_equal(editor_text(ed), "a\xe4\xb8\xad\nlin\xf0\x9f\xa6\x99"
                                             "e");
        editor_free(ed);
    }
}

static void test_limit(void **state) {
    (void)state;
    struct editor *ed = editor_create(4);
    type(ed, "abcdef");
    assert_string_equal(editor_text(ed), "abcd");
    type(ed, "\x7f\xc3\xa9x");
    assert_string_equal(editor_text(ed), "abcx"); /* a paste that does not fit is left out as a whole */
    editor_free(ed);
}

static void test_history(void **state) {
    (void)state;
    struct editor *ed = editor_create(MAX_TEXT);
    const char *const *lines;
    editor_remember(ed, "one");
    editor_remember(ed, "two\nlines");
    editor_remember(ed, "two\nlines");
    editor_remember(ed, "");
    assert_int_equal(editor_history(ed, &lines), 2);
    editor_begin(ed);
    type(ed, "draft");
    type(ed, "\x1b[A");
    assert_string_equal(editor_text(ed), "two\nlines");
    type(ed, "\x1b[A"); /* within the message first */
    type(ed, "\x1b[A");
    assert_string_equal(editor_text(ed), "one");
    type(ed, "\x1b[A");
    assert_string_equal(editor_text(ed), "one");
    type(ed, "\x1b[B");
    assert_string_equal(editor_text(ed), "two\nlines");
    type(ed, "\x1b[B");
    assert_string_equal(editor_text(ed), "draft");
    for (int i = 0; i < EDITOR_MAX_HISTORY + 5; i++) {
        char *line = mem_printf("line %d", i);
        editor_remember(ed, line);
        free(line);
    }
    assert_int_equal(editor_history(ed, &lines), EDITOR_MAX_HISTORY);
    assert_string_equal(lines[0], "line 5");
    editor_free(ed);
}

/* ---- drawing ---- */

enum { ROWS = 6, COLUMNS = 12 };

struct screen {
    char cells[ROWS][COLUMNS + 1]; /* ASCII */
    int row, column;
};

static void screen_clear_below(struct screen *s) {
    memset(s->cells[s->row] + s->column, ' ', (size_t)(COLUMNS - s->column));
    for (int i = s->row + 1; i < ROWS; i++) memset(s->cells[i], ' ', COLUMNS);
}

static void screen_down(struct screen *s) {
    if (++s->row < ROWS) return;
    memmove(s->cells[0], s->cells[1], sizeof(s->cells[0]) * (ROWS - 1));
    memset(s->cells[ROWS - 1], ' ', COLUMNS);
    s->row = ROWS - 1;
}

/* Interprets an escape sequence at `at`; returns the place after it. */
static const char *screen_sequence(struct screen *s, const char *at) {
    char *end;
    long n = strtol(at + 2, &end, 10);
    if (*end == 'A') s->row -= (int)n;
    else if (*end == 'C') s->column += (int)n;
    else if (*end == 'J') screen_clear_below(s);
    else fail_msg("unknown sequence %c", *end);
    assert_int_in_range(s->row, 0, ROWS - 1);
    return end + 1;
}

static void screen_write(struct screen *s, const char *bytes) {
    for (const char *at = bytes; *at;) {
        if (*at == '\033') at = screen_sequence(s, at);
        else if (*at == '\r') s->column = 0, at++;
        else if (*at == '\n') screen_down(s), at++;
        else {
            assert_int_in_range(s->column, 0, COLUMNS - 1); /* no terminal's own wrapping is needed */
            s->cells[s->row][s->column++] = *at++;
        }
    }
}

/* Types, draws, and compares the screen's rows (without blanks at the end) and the place of the cursor. */
static void expect_screen(struct editor *ed, struct screen *s, const char *bytes, const char *rows, int row, int column) {
    struct buf out, seen;
    type(ed, bytes);
    buf_init(&out, 1 << 20);
    buf_init(&seen, 1 << 20);
    editor_draw(ed, COLUMNS, ROWS, &out);
    screen_write(s, buf_cstr(&out));
    int last = ROWS;
    while (last > 0 && strspn(s->cells[last - 1], " ") == COLUMNS) last--;
    for (int i = 0; i < last; i++) {
        size_t len = COLUMNS;
        while (len > 0 && s->cells[i][len - 1] == ' ') len--;
        buf_printf(&seen, "%s%.*s", i ? "|" : "", (int)len, s->cells[i]);
    }
    assert_string_equal(buf_cstr(&seen), rows);
    assert_int_equal(s->row, row);
    assert_int_equal(s->column, column);
    buf_done(&out);
    buf_done(&seen);
}

static void test_draw(void **state) {
    (void)state;
    struct editor *ed = editor_create(MAX_TEXT);
    struct screen s = {0};
    for (int i = 0; i < ROWS; i++) memset(s.cells[i], ' ', COLUMNS);
    expect_screen(ed, &s, "", ">", 0, 2);
    expect_screen(ed, &s, "hello", "> hello", 0, 7);
    expect_screen(ed, &s, " wrld", "> hello wrld", 1, 2); /* the row is full: the cursor is on the next one */
    expect_screen(ed, &s, "\x1b[D\x1b[D\x1b[Do", "> hello worl|  d", 0, 10);
    expect_screen(ed, &s, "\x05\x1b[Zx", "> hello worl|  d|  x", 2, 3);
    expect_screen(ed, &s, "\x1b[A\x1b[A", "> hello worl|  d|  x", 0, 3); /* lines of the text, not rows */
    expect_screen(ed, &s, "\x15\x0b", ">|  x", 0, 2);
    expect_screen(ed, &s, "\x1b[B\x05\x1b[Z1\x1b[Z2\x1b[Z3\x1b[Z4\x1b[Z5", "  x|  1|  2|  3|  4|  5", 5,
                  3); /* more rows than the screen has */
    expect_screen(ed, &s, "\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A", ">|  x|  1|  2|  3|  4", 0, 2);
    editor_free(ed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),  cmocka_unit_test(test_pastes),  cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_limit), cmocka_unit_test(test_history), cmocka_unit_test(test_draw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
