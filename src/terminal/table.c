/* SPDX-License-Identifier: MIT
 * See table.h. */
#include "terminal/table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "terminal/cell.h"

enum { GAP = 2, LAST_LEAST = 16, LAST_GOOD = 21 }; /* the last column: has at least, and should have, before others are cut */

struct table {
    const struct table_column *columns;
    uint32_t n, n_rows;
    char **cells; /* [row * n + column] */
};

struct table *table_create(const struct table_column *columns, uint32_t n) {
    struct table *t = MEM_NEW(struct table);
    *t = (struct table){.columns = columns, .n = n};
    return t;
}

void table_free(struct table *t) {
    for (uint32_t i = 0; i < t->n * t->n_rows; i++) free(t->cells[i]);
    free(t->cells);
    free(t);
}

void table_row(struct table *t, const char *const *cells) {
    t->cells = mem_realloc(t->cells, (size_t)(t->n_rows + 1) * t->n, sizeof(*t->cells));
    for (uint32_t i = 0; i < t->n; i++) t->cells[t->n_rows * t->n + i] = mem_strdup(cells[i]);
    t->n_rows++;
}

enum { HIDDEN = UINT32_MAX }; /* the width of a column that is left out */

/* What all columns but the last take. */
static uint32_t widths_sum(const struct table *t, const uint32_t *widths) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i + 1 < t->n; i++) sum += widths[i] == HIDDEN ? 0 : widths[i] + GAP;
    return sum;
}

/* Leaves out the column whose turn it is. false: there is none. */
static bool widths_leave(const struct table *t, uint32_t *widths) {
    uint32_t next = t->n;
    for (uint32_t i = 0; i + 1 < t->n; i++)
        if (t->columns[i].leave && widths[i] != HIDDEN && (next == t->n || t->columns[i].leave < t->columns[next].leave)) next = i;
    if (next < t->n) widths[next] = HIDDEN;
    return next < t->n;
}

/* Takes a character from the column that has most to give. false: none has any. */
static bool widths_cut(const struct table *t, uint32_t *widths) {
    uint32_t most = t->n;
    for (uint32_t i = 0; i + 1 < t->n; i++)
        if (t->columns[i].least && widths[i] != HIDDEN && widths[i] > t->columns[i].least &&
            (most == t->n || widths[i] - t->columns[i].least > widths[most] - t->columns[most].least))
            most = i;
    if (most < t->n) widths[most]--;
    return most < t->n;
}

static void table_widths(const struct table *t, uint32_t width, uint32_t *ret) {
    for (uint32_t i = 0; i < t->n; i++) {
        ret[i] = cell_width(t->columns[i].title, strlen(t->columns[i].title));
        for (uint32_t r = 0; r < t->n_rows; r++) {
            const char *cell = t->cells[r * t->n + i];
            uint32_t w = cell_width(cell, strlen(cell));
            if (w > ret[i]) ret[i] = w;
        }
    }
    if (!width) return;
    uint32_t last = ret[t->n - 1] < LAST_GOOD ? ret[t->n - 1] : LAST_GOOD;
    while (widths_sum(t, ret) + last > width && widths_leave(t, ret)) {
    }
    while (widths_sum(t, ret) + last > width && widths_cut(t, ret)) {
    }
    uint32_t sum = widths_sum(t, ret);
    ret[t->n - 1] = width > sum + LAST_LEAST ? width - sum : LAST_LEAST;
}

static void table_cell(const char *text, uint32_t width, bool right, struct buf *out) {
    size_t len = strlen(text);
    uint32_t w = cell_width(text, len);
    if (w > width) {
        len = cell_fit(text, len, width - 1);
        buf_append(out, text, len);
        buf_printf(out, "~%*s", (int)(width - 1 - cell_width(text, len)), ""); /* cut */
    } else {
        buf_printf(out, "%*s%s%*s", right ? (int)(width - w) : 0, "", text, right ? 0 : (int)(width - w), "");
    }
    buf_printf(out, "%*s", GAP, "");
}

/* How much of the last column goes into a line: all, or up to the last comma or blank that fits. */
static size_t line_part(const char *text, uint32_t width) {
    size_t most = cell_fit(text, strlen(text), width), comma = 0, blank = 0;
    if (!text[most]) return most;
    for (size_t i = 1; i <= most; i++) {
        if (text[i] != ' ' || !str_may_break(text, i)) continue;
        blank = i + 1;
        if (text[i - 1] == ',') comma = i + 1;
    }
    return comma ? comma : blank ? blank : most > 0 ? most : 1;
}

static void table_line(const struct table *t, const char *const *cells, const uint32_t *widths, bool cut, struct buf *out) {
    uint32_t indent = 0;
    for (uint32_t i = 0; i + 1 < t->n; i++) {
        if (widths[i] == HIDDEN) continue;
        table_cell(cells[i], widths[i], t->columns[i].right, out);
        indent += widths[i] + GAP;
    }
    for (const char *at = cells[t->n - 1];;) {
        size_t len = cut ? line_part(at, widths[t->n - 1]) : strlen(at);
        buf_append(out, at, len);
        while (out->len > 0 && out->data[out->len - 1] == ' ') out->len--;
        buf_append_str(out, "\n");
        at += len;
        if (!*at) return;
        buf_printf(out, "%*s", (int)indent, "");
    }
}

void table_print(const struct table *t, uint32_t width, struct buf *out) {
    uint32_t widths[TABLE_MAX_COLUMNS];
    const char *titles[TABLE_MAX_COLUMNS];
    table_widths(t, width, widths);
    for (uint32_t i = 0; i < t->n; i++) titles[i] = t->columns[i].title;
    table_line(t, titles, widths, false, out);
    for (uint32_t r = 0; r < t->n_rows; r++) table_line(t, (const char *const *)&t->cells[r * t->n], widths, width > 0, out);
}

void table_wrap(const char *text, uint32_t width, uint32_t indent, struct buf *out) {
    uint32_t at = 0;
    if (width == 0) {
        buf_printf(out, "%s\n", text);
        return;
    }
    for (const char *word = text + strspn(text, " "); *word;) {
        size_t len = strcspn(word, " ");
        while (word[len] == ' ' && !str_may_break(word, len)) len += 1 + strcspn(word + len + 1, " ");
        uint32_t w = cell_width(word, len);
        if (at > 0 && at + 1 + w > width) {
            buf_printf(out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > 0) {
            buf_append_byte(out, ' ');
            at++;
        }
        buf_append(out, word, len);
        at += w;
        word += len;
        word += strspn(word, " ");
    }
    buf_append_byte(out, '\n');
}

/* How much of the line goes onto this one: up to the last blank at which it may be broken, or to the edge. */
static size_t fold_at(const char *line, size_t len, uint32_t width) {
    size_t fit = cell_fit(line, len, width), start = strspn(line, " ");
    if (fit >= len) return len;
    for (size_t i = fit; i > start; i--)
        if (line[i] == ' ' && line[i - 1] != ' ' && str_may_break(line, i)) return i;
    return fit > 0 ? fit : len;
}

void table_fold(const char *text, uint32_t width, struct buf *out) {
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, "\n"), indent = strspn(at, " ") + 2;
        uint32_t room = width;
        for (size_t part; len > 0; len -= part, at += part) {
            size_t skip = room == width ? 0 : strspn(at, " ");
            at += skip;
            len -= skip;
            part = width == 0 ? len : fold_at(at, len, room);
            buf_append(out, at, part);
            if (part == len || width <= indent + 8) continue;
            buf_printf(out, "\n%*s", (int)indent, "");
            room = width - (uint32_t)indent;
        }
        buf_append_byte(out, '\n');
        if (*at == '\n') at++;
    }
}

uint32_t table_width(void) { return cell_terminal(STDOUT_FILENO); }
