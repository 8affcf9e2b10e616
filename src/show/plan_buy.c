/* SPDX-License-Identifier: MIT */
#include "show/plan_buy.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "paper/shapes.h"
#include "terminal/table.h"

enum { SHOWN_ENOUGH = 6, SHOWN_SLOWER = 4 };

static void number(double v, char ret[STR_SHORT]) { snprintf(ret, STR_SHORT, v >= 100 ? "%.0f" : v >= 10 ? "%.1f" : "%.2f", v); }

static void put_offers(const struct buy_offer *offers, size_t n, uint32_t width, struct buf *out) {
    static const struct table_column columns[] = {{"PRICE", 0, true, 0}, {"TOKENS/S", 0, true, 0}, {"TOGETHER", 0, true, 3},
                                                  {"FIRST", 0, true, 1}, {"WATTS", 0, true, 2},    {"A MILLION", 0, true, 4},
                                                  {"BUY", 0, false, 0}};
    struct table *t = table_create(columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < n; i++) {
        const struct buy_offer *o = &offers[i];
        char price[STR_SHORT], tps[STR_SHORT], all[STR_SHORT], first[STR_SHORT], watts[STR_SHORT], million[STR_SHORT];
        snprintf(price, sizeof(price), "%.0f", o->price);
        number(o->tps, tps);
        number(o->tps_all, all);
        str_duration((uint64_t)(o->first_s * 1e6), first);
        snprintf(watts, sizeof(watts), "%.0f", o->busy_w);
        number(o->per_million, million);
        const char *cells[] = {price, tps, all, first, watts, million, o->spec};
        table_row(t, cells);
    }
    table_print(t, width, out);
    table_free(t);
}

static void put_text(const struct sheet_question *q, const struct buy_wish *w, const struct buy_offer *offers, size_t n, uint32_t width,
                     struct buf *out) {
    size_t slower = 0;
    struct buf words;
    buf_init(&words, 1 << 12);
    while (slower < n && !offers[slower].enough) slower++;
    size_t enough = n - slower < SHOWN_ENOUGH ? n - slower : SHOWN_ENOUGH, from = slower > SHOWN_SLOWER ? slower - SHOWN_SLOWER : 0;
    if (enough > 0)
        buf_printf(&words, "What would run %s at %.3g tokens/s%s, the cheapest first; each further line is faster:\n", q->name, w->tps,
                   w->have ? " beside what is there" : "");
    else
        buf_printf(&words, "Nothing in the table runs %s at %.3g tokens/s%s.\n", q->name, w->tps,
                   w->budget > 0 ? " within the budget" : "");
    table_fold(buf_cstr(&words), width, out);
    if (enough > 0) {
        buf_append_str(out, "\n");
        put_offers(&offers[slower], enough, width, out);
    }
    buf_clear(&words);
    if (slower > 0) {
        buf_printf(out, "\n%s:\n\n", enough > 0 ? "Cheaper, but slower" : "The fastest that there are");
        put_offers(&offers[from], slower - from, width, out);
    }
    buf_printf(&words,
               "\nList prices in dollars (%s), without tax; several machines are joined by 10gbe. A million: tokens of all conversations "
               "together, "
               "with hardware over %.3g years and electricity. Predicted: `caravan plan %s --fleet BUY` shows one in full.\n",
               prices_date(), w->money.life_years, q->name);
    table_fold(buf_cstr(&words), width, out);
    buf_done(&words);
}

err_code plan_buy(const struct sheet_question *q, const struct sheet_source *source, const struct buy_wish *wish, bool json, uint32_t width,
                  struct buf *out, struct err *e) {
    struct buy_offer offers[BUY_MOST];
    struct paper_model m = {0};
    char base[128];
    err_code code = paper_model_open(source->gguf, q->name, &q->load, &m, e);
    shapes_base(q->name, base, sizeof(base));
    base[strcspn(base, ":")] = '\0';
    size_t n = code == ERR_OK ? buy_offers(&m, base, wish, offers) : 0;
    if (code == ERR_OK && n == 0) {
        code = err_set(e, ERR_NO_ROOM, "nothing in the table of hardware holds \"%s\"%s", q->name,
                       wish->budget > 0 ? " within the budget" : "");
        err_hint(e, "a smaller quantisation, --ctx or --parallel%s; --prices FILE knows prices of yours",
                 wish->budget > 0 ? ", or a larger --budget" : "");
    } else if (code == ERR_OK && json) {
        yyjson_mut_doc *doc = json_new();
        buy_json(q->name, wish, offers, n, doc, yyjson_mut_doc_get_root(doc));
        json_write(out, doc);
        buf_append_str(out, "\n");
        yyjson_mut_doc_free(doc);
    } else if (code == ERR_OK) {
        put_text(q, wish, offers, n, width, out);
    }
    paper_model_done(&m);
    return code;
}
