/* SPDX-License-Identifier: MIT
 * See pull_view.h. */
#include "manage/pull_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"
#include "terminal/bar.h"
#include "terminal/cell.h"
#include "terminal/table.h"

enum { RATE_US = 1000000, SAY_US = 10000000, BAR = 24 };

static void view_rate(struct pull_view *v, clock_us now, uint64_t done) {
    if (v->sample_at == 0 || done < v->sample_done) {
        v->sample_at = now;
        v->sample_done = done;
    } else if (now - v->sample_at >= RATE_US) {
        double fresh = (double)(done - v->sample_done) / ((double)(now - v->sample_at) / 1e6);
        v->rate = v->rate > 0 ? v->rate + (fresh - v->rate) / 3 : fresh;
        v->sample_at = now;
        v->sample_done = done;
    }
}

static void view_line(const struct pull_view *v, uint64_t all_done, uint64_t all, bool checking, struct buf *b) {
    char done[STR_SHORT], size[STR_SHORT], rate[STR_SHORT], left[STR_SHORT];
    double share = all > 0 ? (double)all_done / (double)all : 1;
    buf_printf(b, "%s ", v->name);
    if (v->tty) {
        bar_put_share(share, BAR, b);
        buf_append_byte(b, ' ');
    }
    buf_printf(b, "%3.0f %%  %s of %s", share * 100, str_size(all_done, done), str_size(all, size));
    if (checking) buf_append_str(b, "  checking");
    else if (v->rate > 0) {
        buf_printf(b, "  %s/s", str_size((uint64_t)v->rate, rate));
        buf_printf(b, "  %s left", str_duration((uint64_t)((double)(all - all_done) / v->rate * 1e6), left));
    }
}

void pull_view_begin(struct pull_view *v, const char *name) {
    *v = (struct pull_view){.tty = isatty(STDERR_FILENO), .started = clock_now()};
    snprintf(v->name, sizeof(v->name), "%s", name);
}

void pull_view_show(struct pull_view *v, uint64_t done, uint64_t all, bool checking) {
    clock_us now = clock_now();
    struct winsize w = {0};
    if (!checking) view_rate(v, now, done);
    if (!v->tty && now - v->said < SAY_US) return;
    v->said = now;
    struct buf b;
    buf_init(&b, 1024);
    view_line(v, done, all, checking, &b);
    int width = v->tty && ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1 : 200;
    fprintf(stderr, v->tty ? "\r%.*s\033[K" : "%.*s\n", width, buf_cstr(&b));
    buf_done(&b);
}

void pull_view_say(const struct pull_view *v, const char *text) {
    struct buf b;
    buf_init(&b, 1 << 16);
    table_wrap(text, cell_terminal(STDERR_FILENO), 2, &b);
    fprintf(stderr, "%s%s", v->tty ? "\r\033[K" : "", buf_cstr(&b));
    buf_done(&b);
}

void pull_view_end(const struct pull_view *v) {
    if (v->tty && v->started > 0) fputs("\r\033[K", stderr);
}
