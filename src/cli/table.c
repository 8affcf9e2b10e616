/* SPDX-License-Identifier: MIT
 * See table.h. */
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/cell.h"

enum { GAP = 2, LAST_LEAST = 16 };

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

static void table_widths(const struct table *t, uint32_t width, uint32_t *ret) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        ret[i] = cell_width(t->columns[i].title, strlen(t->columns[i].title));
        for (uint32_t r = 0; r < t->n_rows; r++) {
            const char *cell = t->cells[r * t->n + i];
            uint32_t w = cell_width(cell, strlen(cell));
            if (w > ret[i]) ret[i] = w;
        }
        if (i + 1 < t->n) sum += ret[i] + GAP;
    }
    uint32_t last = ret[t->n - 1] < LAST_LEAST ? ret[t->n - 1] : LAST_LEAST;
    while (width && sum + last > width) { /* a character at a time from whichever has most to give */
        uint32_t most = t->n;
        for (uint32_t i = 0; i + 1 < t->n; i++)
            if (t->columns[i].least && ret[i] > t->columns[i].least &&
                (most == t->n || ret[i] - t->columns[i].least > ret[most] - t->columns[most].least))
                most = i;
        if (most == t->n) break;
        ret[most]--;
        sum--;
    }
    if (width) ret[t->n - 1] = width > sum + LAST_LEAST ? width - sum : LAST_LEAST;
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
    for (size_t i = 0; i + 1 < most; i++) {
        if (text[i] == ',' && text[i + 1] == ' ') comma = i + 2;
        if (text[i] == ' ') blank = i + 1;
    }
    return comma ? comma : blank ? blank : most > 0 ? most : 1;
}

static void table_line(const struct table *t, const char *const *cells, const uint32_t *widths, bool cut, struct buf *out) {
    uint32_t indent = 0;
    for (uint32_t i = 0; i + 1 < t->n; i++) {
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

uint32_t table_width(void) { return cell_terminal(STDOUT_FILENO); }
