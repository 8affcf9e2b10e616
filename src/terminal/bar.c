/* SPDX-License-Identifier: MIT
 * See bar.h. */
#include "terminal/bar.h"

#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "terminal/cell.h"

enum { BAR_WIDTH = 20, EVERY_US = 100000, WIDEST = 200 };

void bar_init(struct bar *b, const char *what, const char *unit) {
    *b = (struct bar){.what = what, .unit = unit, .terminal = isatty(STDERR_FILENO) != 0, .began = clock_now()};
}

void bar_put_share(double share, int width, struct buf *out) {
    buf_append_byte(out, '[');
    for (int i = 0; i < width; i++) buf_append_byte(out, i < (int)(share * width) ? '#' : '.');
    buf_append_byte(out, ']');
}

void bar_put(const struct bar *b, uint64_t done, uint64_t total, double rate, struct buf *out) {
    char left[STR_SHORT];
    double share = total > 0 ? (double)done / (double)total : 0;
    buf_printf(out, "%s ", b->what);
    bar_put_share(share, BAR_WIDTH, out);
    buf_printf(out, " %3.0f %%  %llu of %llu %s", share * 100, (unsigned long long)done, (unsigned long long)total, b->unit);
    if (rate <= 0 || done >= total) return;
    buf_printf(out, "  %.1f a second  %s left", rate, str_duration((uint64_t)((double)(total - done) / rate * 1e6), left));
}

void bar_show(struct bar *b, uint64_t done, uint64_t total) {
    clock_us now = clock_now();
    if (!b->terminal || (b->shown && now - b->drawn < EVERY_US)) return;
    struct buf line;
    buf_init(&line, 1024);
    bar_put(b, done, total, now > b->began ? (double)done / ((double)(now - b->began) / 1e6) : 0, &line);
    uint32_t columns = cell_terminal(STDERR_FILENO);
    size_t len = cell_fit(buf_cstr(&line), line.len, columns > 1 ? columns - 1 : WIDEST);
    fprintf(stderr, "\r%.*s\033[K", (int)len, buf_cstr(&line));
    buf_done(&line);
    b->shown = true;
    b->drawn = now;
}

void bar_hide(struct bar *b) {
    if (b->shown) fputs("\r\033[K", stderr);
    b->shown = false;
}
