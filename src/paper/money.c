/* SPDX-License-Identifier: MIT */
#include "paper/money.h"

#include <math.h>
#include <string.h>

#define HOURS_YEAR 8766.0
#define DAYS_MONTH 30.4

double money_round(double amount) {
    double digits = amount >= 10 || amount <= 0 ? 100 : pow(10, 2 - floor(log10(amount)));
    return round(amount * digits) / digits;
}

struct prices_machine money_machine(const struct fleet *f, uint32_t node, const struct prices *p) {
    const struct plan_node *n = &f->nodes[node];
    struct prices_machine sum = f->said[node];
    struct prices_machine all = {.disk = sum.disk};
    bool priced = n->n_devices > 0, drawn = n->n_devices > 0;
    for (uint8_t i = 0; i < n->n_devices; i++) {
        struct prices_machine m = prices_machine_of(p, n->devices[i].name, f->gb[node][i]);
        all.dollars += m.dollars;
        all.idle_w += m.idle_w;
        all.busy_w += m.busy_w;
        if (all.disk <= 0) all.disk = m.disk;
        priced = priced && m.dollars > 0;
        drawn = drawn && m.busy_w > 0;
    }
    if (!priced) all.dollars = 0;
    if (!drawn) all.idle_w = all.busy_w = 0;
    if (sum.dollars > 0) all.dollars = sum.dollars;
    if (sum.busy_w > 0) all.busy_w = sum.busy_w;
    if (sum.idle_w > 0) all.idle_w = sum.idle_w;
    return all;
}

/* Adds a machine that the plans use. */
static void add_machine(struct money *m, const struct prices_machine *p, bool *priced) {
    m->price += p->dollars;
    m->idle_w += p->idle_w;
    m->busy_w += p->busy_w;
    *priced = *priced && p->dollars > 0;
    m->watts_known = m->watts_known && p->busy_w > 0;
}

static void compare(struct money *m) {
    double gain = m->api.output - m->power_busy; /* of a million tokens; idle hours are paid anyway */
    double idle_day = m->power > m->power_busy ? (m->power - m->power_busy) * m->tokens_month / DAYS_MONTH : 0,
           day = m->tokens_month / DAYS_MONTH;
    if (m->price <= 0 || day * gain <= idle_day) return;
    m->break_even_days = m->price / (day * gain - idle_day);
    m->break_even = m->break_even_days * day;
}

struct money money_of(const struct fleet *f, const struct plan *plans, uint32_t n_plans, double tps, const char *model,
                      const struct money_wish *w) {
    double life = w->life_years > 0 ? w->life_years : MONEY_LIFE, kwh = w->electricity;
    double use = w->utilisation > 0 ? w->utilisation : MONEY_USE;
    struct money m = {.watts_known = true};
    bool used[FLEET_MAX_NODES] = {false}, priced = true;
    for (uint32_t i = 0; i < n_plans; i++)
        for (uint32_t k = 0; k < plans[i].n_stage; k++) used[plans[i].stages[k].node] = true;
    for (uint32_t i = 0; i < f->n; i++) {
        struct prices_machine p = money_machine(f, i, w->prices);
        if (used[i]) add_machine(&m, &p, &priced);
        m.own = m.own || (used[i] && f->said[i].dollars > 0);
    }
    if (!priced) m.price = 0;
    m.own = m.own || w->price > 0;
    if (w->price > 0) m.price = w->price;
    double tokens_hour = tps * 3600 / 1e6; /* millions */
    m.tokens_month = tokens_hour * use * DAYS_MONTH * 24;
    m.hardware = m.price / (life * HOURS_YEAR) / (tokens_hour * use);
    m.power_busy = m.busy_w / 1000 * kwh / tokens_hour;
    m.power = m.power_busy + m.idle_w / 1000 * kwh * (1 - use) / (tokens_hour * use);
    m.joules = m.busy_w / tps;
    m.api_known = prices_api_of(w->prices, model, &m.api);
    if (m.api_known && m.watts_known) compare(&m);
    return m;
}
