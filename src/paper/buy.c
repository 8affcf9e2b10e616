/* SPDX-License-Identifier: MIT */
#include "paper/buy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MOST_TRIED = 8192, WORK = 20000 };
#define HOST "pc-ddr5-32" /* the machine that cards are put into */
#define LINK "10gbe"

static const uint32_t sizes[] = {8, 12, 16, 24, 32, 36, 48, 64, 96, 128, 192, 256, 512};
static const uint32_t counts[] = {1, 2, 3, 4, 6, 8};

/* A fleet that is tried. */
struct trial {
    const struct paper_model *m;
    const char *model;
    const struct buy_wish *w;
    struct fleet *fleet, *bought;
    struct buy_offer *offers;
    size_t n;
};

/* The machines that are there, and those that are bought; between them and among them, the bought ones' link. */
static void join(struct trial *t) {
    const struct fleet *have = t->w->have;
    uint32_t n = have ? have->n : 0;
    *t->fleet = have ? *have : (struct fleet){0};
    for (uint32_t i = 0; i < t->bought->n && n + i < FLEET_MAX_NODES; i++) {
        uint32_t at = n + i;
        t->fleet->nodes[at] = t->bought->nodes[i];
        t->fleet->nodes[at].id = at + 1;
        memcpy(t->fleet->gb[at], t->bought->gb[i], sizeof(t->bought->gb[i]));
        t->fleet->n = at + 1;
    }
    for (uint32_t a = 0; a < t->fleet->n; a++)
        for (uint32_t b = 0; b < t->fleet->n; b++)
            if (a >= n || b >= n) t->fleet->links[a][b] = t->fleet->links[b][a] = t->bought->links[0][0];
}

static double price_of(const struct trial *t) {
    double sum = 0;
    for (uint32_t i = 0; i < t->bought->n; i++) {
        struct prices_machine p = money_machine(t->bought, i, t->w->money.prices);
        if (p.dollars <= 0) return 0;
        sum += p.dollars;
    }
    return sum;
}

/* Plans the model for it, if it may be worth its price. */
static void try_fleet(struct trial *t, const char *spec) {
    const struct plan_model *m = plan_source_model(t->m->source);
    struct buy_offer *o = &t->offers[t->n];
    struct plan_wish wish = t->w->plan;
    struct plan_figures g;
    struct plan plan;
    char linked[128];
    uint64_t offered = 0;
    snprintf(linked, sizeof(linked), "%s," LINK, spec);
    if (t->n == MOST_TRIED || fleet_parse(linked, t->bought, NULL) != ERR_OK) return;
    *o = (struct buy_offer){.price = price_of(t)};
    if (o->price <= 0 || (t->w->budget > 0 && o->price > t->w->budget)) return;
    join(t);
    for (uint32_t i = 0; i < t->fleet->n; i++) offered += t->fleet->nodes[i].memory;
    if (offered < t->m->layout->bytes_total) return;
    wish.work = WORK;
    wish.link = fleet_link;
    wish.link_user = t->fleet;
    if (plan_try(m, t->fleet->nodes, t->fleet->n, &wish, &plan, &g, NULL) != ERR_OK) return;
    snprintf(o->spec, sizeof(o->spec), "%s", spec);
    o->tps = 1 / g.token_s;
    o->tps_all = g.streams_tps;
    o->first_s = g.first_s;
    o->machines = plan.n_stage;
    o->enough = o->tps >= t->w->tps;
    struct money money = money_of(t->fleet, &plan, 1, g.streams_tps, t->model, &t->w->money);
    o->busy_w = money.busy_w;
    o->per_million = money.hardware + money.power;
    t->n++;
}

static void try_counts(struct trial *t, const struct hardware_row *h, uint32_t gb) {
    char spec[96];
    bool card = h->kind == HARDWARE_CARD;
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        if (card && counts[i] >= PLAN_MAX_DEVICES) break;
        if (card) snprintf(spec, sizeof(spec), HOST "/%ux%s-%u", counts[i], h->family, gb);
        else if (counts[i] == 1) snprintf(spec, sizeof(spec), "%s-%u", h->family, gb);
        else snprintf(spec, sizeof(spec), "%ux%s-%u", counts[i], h->family, gb);
        try_fleet(t, spec);
    }
}

static int by_price(const void *a, const void *b) {
    const struct buy_offer *x = a, *y = b;
    if (x->price != y->price) return x->price < y->price ? -1 : 1;
    return x->tps > y->tps ? -1 : x->tps < y->tps;
}

size_t buy_offers(const struct paper_model *m, const char *model, const struct buy_wish *w, struct buy_offer ret[BUY_MOST]) {
    struct trial t = {.m = m, .model = model, .w = w, .fleet = MEM_NEW(struct fleet), .bought = MEM_NEW(struct fleet)};
    size_t n = 0;
    double best = 0;
    t.offers = mem_calloc(MOST_TRIED + 1, sizeof(*t.offers));
    for (size_t i = 0; i < hardware_count(); i++) {
        struct hardware_row h = hardware_at(i);
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++)
            if (sizes[k] >= h.from && sizes[k] <= h.to && prices_machine_of(w->money.prices, h.family, sizes[k]).sold)
                try_counts(&t, &h, sizes[k]);
    }
    qsort(t.offers, t.n, sizeof(*t.offers), by_price);
    for (size_t i = 0; i < t.n && n < BUY_MOST; i++) {
        if (t.offers[i].tps <= best * 1.02) continue; /* a hair faster is not worth a line */
        best = t.offers[i].tps;
        ret[n++] = t.offers[i];
    }
    free(t.offers);
    free(t.fleet);
    free(t.bought);
    return n;
}

void buy_json(const char *model, const struct buy_wish *w, const struct buy_offer *offers, size_t n, yyjson_mut_doc *doc,
              yyjson_mut_val *root) {
    yyjson_mut_val *list;
    yyjson_mut_obj_add_strcpy(doc, root, "model", model);
    yyjson_mut_obj_add_real(doc, root, "wish_tokens_per_second", w->tps);
    yyjson_mut_obj_add_str(doc, root, "prices_of", prices_date());
    list = yyjson_mut_obj_add_arr(doc, root, "offers");
    for (size_t i = 0; i < n; i++) {
        const struct buy_offer *o = &offers[i];
        yyjson_mut_val *v = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_strcpy(doc, v, "buy", o->spec);
        yyjson_mut_obj_add_real(doc, v, "price", money_round(o->price));
        yyjson_mut_obj_add_bool(doc, v, "enough", o->enough);
        yyjson_mut_obj_add_real(doc, v, "tokens_per_second", o->tps);
        yyjson_mut_obj_add_real(doc, v, "tokens_per_second_all", o->tps_all);
        yyjson_mut_obj_add_real(doc, v, "first_token_ms", o->first_s * 1e3);
        yyjson_mut_obj_add_uint(doc, v, "machines", o->machines);
        yyjson_mut_obj_add_real(doc, v, "watts_busy", o->busy_w);
        yyjson_mut_obj_add_real(doc, v, "per_million_tokens", money_round(o->per_million));
    }
}
