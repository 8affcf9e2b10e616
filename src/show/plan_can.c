/* SPDX-License-Identifier: MIT */
#include "show/plan_can.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "paper/shapes.h"
#include "cli/cli.h"
#include "paper/sheet.h"
#include "terminal/table.h"

/* "235B, 22B active", "8.0B". */
static void parameters_text(const struct can_row *r, char ret[STR_SHORT]) {
    double all = r->parameters / 1e9, active = r->active / 1e9;
    int n = snprintf(ret, STR_SHORT, all >= 10 ? "%.0fB" : "%.1fB", all);
    if (active < 0.9 * all) snprintf(ret + n, STR_SHORT - (size_t)n, active >= 10 ? ", %.0fB active" : ", %.1fB active", active);
}

static void place_text(const struct can_row *r, const struct fleet *f, struct buf *out) {
    buf_clear(out);
    if (r->plan.n_stage > 1) buf_printf(out, "a ring of %u", r->plan.n_stage);
    else buf_printf(out, "whole on %s", f->nodes[r->plan.stages[0].node].name);
    if (r->copies > 1) buf_printf(out, ", %u copies", r->copies);
}

static void tps_text(double tps, char ret[STR_SHORT]) { snprintf(ret, STR_SHORT, tps >= 100 ? "%.0f" : tps >= 10 ? "%.1f" : "%.2f", tps); }

static void print_rows(const struct can_row *rows, size_t n, bool quick, const struct fleet *f, const struct can_wish *w, struct buf *out) {
    static const struct table_column columns[] = {{"MODEL", 0, false, 0}, {"QUANT", 0, false, 0},   {"PARAMETERS", 0, false, 3},
                                                  {"NEEDS", 0, true, 2},  {"TOKENS/S", 0, true, 0}, {"TOGETHER", 0, true, 4},
                                                  {"FIRST", 0, true, 1},  {"WHERE", 0, false, 0}};
    struct table *t = table_create(columns, ARRAY_LEN(columns));
    struct buf place;
    size_t shown = 0;
    buf_init(&place, 1 << 12);
    for (size_t i = 0; i < n; i++) {
        char parameters[STR_SHORT], needs[STR_SHORT], one[STR_SHORT], all[STR_SHORT], first[STR_SHORT];
        if (rows[i].quick != quick) continue;
        parameters_text(&rows[i], parameters);
        place_text(&rows[i], f, &place);
        tps_text(rows[i].tps, one);
        tps_text(rows[i].tps_all, all);
        str_duration((uint64_t)(rows[i].first_s * 1e6), first);
        const char *cells[] = {rows[i].model, rows[i].format, parameters,      str_size(rows[i].bytes, needs), one,
                               all,           first,          buf_cstr(&place)};
        table_row(t, cells);
        shown++;
    }
    if (shown > 0 && !quick) buf_printf(out, "\nThese fit, but give less than %.3g tokens/s (--floor):\n\n", w->floor_tps);
    if (shown > 0) table_print(t, table_width(), out);
    buf_done(&place);
    table_free(t);
}

static void put_people(const struct can_row *rows, size_t n, const struct fleet *f, const struct can_wish *w, const char *where,
                       struct buf *out) {
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_printf(&b,
               "What %s can run, %u conversation%s at a time: the largest models first, each in the best quantisation that gives %.3g "
               "tokens/s.\n\n",
               where, w->plan.streams, w->plan.streams == 1 ? "" : "s", w->floor_tps);
    print_rows(rows, n, true, f, w, &b);
    print_rows(rows, n, false, f, w, &b);
    buf_printf(&b, "\nPredicted, not measured; first token for a prompt of %u. `caravan plan %s:%s` shows one of them in full.\n",
               w->plan.prompt ? w->plan.prompt : SHEET_PROMPT, rows[0].model, rows[0].format);
    table_fold(buf_cstr(&b), table_width(), out);
    buf_done(&b);
}

static void put_json(const struct can_row *rows, size_t n, const struct fleet *f, const char *where, struct buf *out) {
    yyjson_mut_doc *doc = json_new();
    can_json(rows, n, f, where, doc, yyjson_mut_doc_get_root(doc));
    json_write(out, doc);
    buf_append_str(out, "\n");
    yyjson_mut_doc_free(doc);
}

err_code plan_can_show(const struct fleet *f, const struct can_wish *w, const char *where, bool json, struct err *e) {
    struct can_row *rows = mem_calloc(shapes_count(), sizeof(*rows));
    char least[STR_SHORT];
    uint64_t smallest;
    err_code code = ERR_OK;
    size_t n = can_run(f->nodes, f->n, w, rows, shapes_count(), &smallest);
    if (n == 0) {
        code = err_set(e, ERR_NO_ROOM, "none of the known models fits on %s: the smallest needs %s", where, str_size(smallest, least));
        err_hint(e, "offer more memory, or try --ctx 2048 --parallel 1; `caravan plan FILE` plans any GGUF");
    } else {
        struct buf b;
        buf_init(&b, 1 << 22);
        if (json) put_json(rows, n, f, where, &b);
        else put_people(rows, n, f, w, where, &b);
        code = cli_print(&b, e);
        buf_done(&b);
    }
    free(rows);
    return code;
}
