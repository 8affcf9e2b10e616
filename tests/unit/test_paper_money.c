/* SPDX-License-Identifier: MIT
 * Plans on paper: prices of the tables and of the user's file, what tokens cost, and what to buy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "paper/buy.h"
#include "paper/money.h"
#include "paper/shapes.h"
#include "model/types.h"

#define NEAR(a, b) assert_true((a) > (b) * 0.999 && (a) < (b) * 1.001)

static struct fleet *fleet_of(const char *spec) {
    struct fleet *f = MEM_NEW(struct fleet);
    struct err e = {0};
    if (fleet_parse(spec, f, &e) != ERR_OK) fail_msg("%s: %s", spec, e.text);
    return f;
}

static struct prices *prices_of(const char *text) {
    struct prices *p = NULL;
    struct err e = {0};
    yyjson_doc *doc = NULL;
    if (json_parse(text, strlen(text), &doc, &e) != ERR_OK) fail_msg("%s", e.text);
    if (prices_from_json(yyjson_doc_get_root(doc), "mine.json", &p, &e) != ERR_OK) fail_msg("%s", e.text);
    yyjson_doc_free(doc);
    return p;
}

/* 1000 money over 2 years, a tenth of the day, 100 tokens/s: 36 000 tokens in each of 1753.2 hours. */
static void what_tokens_cost(void **state) {
    (void)state;
    struct fleet *f = fleet_of("mine:24GB@900GB/s,price=1000,watts=360,idle=36");
    struct prices *own = prices_of("{\"date\":\"2026-11-30\",\"api\":[{\"model\":\"m\",\"from\":\"them\",\"input\":1,\"output\":25}]}");
    struct plan plan = {.n_stage = 1};
    struct money_wish w = {.prices = own, .life_years = 2, .electricity = 0.5, .utilisation = 0.1};
    struct money m = money_of(f, &plan, 1, 100, "m", &w);
    NEAR(m.hardware, 1000 / (0.36 * 1753.2));
    NEAR(m.power_busy, 0.18 / 0.36);               /* 0.36 kWh an hour, 0.36 million tokens */
    NEAR(m.power, 0.5 + 0.018 * 0.9 / (0.36 * 0.1)); /* and nine idle tenths of 0.036 kWh */
    NEAR(m.joules, 3.6);
    NEAR(m.tokens_month, 0.36 * 0.1 * 24 * 30.4);
    assert_true(m.own && m.api_known && m.watts_known);
    assert_string_equal(m.api.from, "them");
    NEAR(m.break_even_days, 1000 / (0.36 * 0.1 * 24 * (25 - m.power)));
    NEAR(m.break_even, m.break_even_days * 0.36 * 0.1 * 24);
    w.price = 2000; /* said for all machines: twice as long */
    NEAR(money_of(f, &plan, 1, 100, "m", &w).break_even, 2 * m.break_even);
    w.electricity = 30; /* power alone is dearer than what others ask */
    assert_true(money_of(f, &plan, 1, 100, "m", &w).break_even <= 0);
    assert_false(money_of(f, &plan, 1, 100, "another", &w).api_known); /* the user's list replaces the table's */
    prices_free(own);
    free(f);
}

/* Machines that the plan leaves out cost nothing; one whose price nobody knows leaves the sum unknown. */
static void only_machines_of_the_plan(void **state) {
    (void)state;
    struct fleet *f = fleet_of("rtx4090-24+2xpc-ddr5-64/2xrtx3090-24+mine:24GB@900GB/s");
    struct plan plan = {.n_stage = 1};
    struct money_wish w = {.electricity = 0.2};
    struct prices_machine card = prices_machine_of(NULL, "rtx4090", 24);
    struct money m = money_of(f, &plan, 1, 100, "llama-70b", &w);
    NEAR(m.price, card.dollars);
    NEAR(m.busy_w, card.busy_w);
    assert_false(m.own);
    plan = (struct plan){.n_stage = 2, .stages = {{.node = 1}, {.node = 2}}};
    m = money_of(f, &plan, 1, 100, "llama-70b", &w);
    NEAR(m.price, 2 * (prices_machine_of(NULL, "pc-ddr5", 64).dollars + 2 * prices_machine_of(NULL, "rtx3090", 24).dollars));
    plan = (struct plan){.n_stage = 2, .stages = {{.node = 0}, {.node = 3}}};
    m = money_of(f, &plan, 1, 100, "llama-70b", &w);
    assert_true(m.price <= 0 && !m.watts_known);
    free(f);
}

static void prices_of_ones_own(void **state) {
    (void)state;
    struct prices *own = prices_of("{\"hardware\":[{\"name\":\"rtx3090\",\"price\":650,\"watts_busy\":300}]}");
    struct prices_api api;
    assert_true(prices_machine_of(own, "rtx3090", 24).dollars == 650 && prices_machine_of(own, "rtx3090", 24).sold);
    assert_true(prices_machine_of(own, "rtx3090", 24).busy_w == 300);
    assert_true(prices_machine_of(own, "rtx3090", 24).idle_w == prices_machine_of(NULL, "rtx3090", 24).idle_w);
    assert_true(prices_api_of(own, "gpt-oss-120b", &api)); /* it says nothing of others' prices: the table's stand */
    prices_free(own);
    static const char *const wrong[][2] = {
        {"{}", "neither"},
        {"{\"hardware\":[{\"price\":3}]}", "hardware 1"},
        {"{\"hardware\":[{\"name\":\"a\"},{\"name\":\"b\",\"price\":-1}]}", "hardware 2"},
        {"{\"api\":[{\"model\":\"m\"}]}", "output"},
        {"{\"api\":[{\"model\":\"m\",\"output\":\"free\"}]}", "output"},
        {"[1]", "neither"},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct err e = {0};
        yyjson_doc *doc = NULL;
        assert_int_equal(json_parse(wrong[i][0], strlen(wrong[i][0]), &doc, &e), ERR_OK);
        if (prices_from_json(yyjson_doc_get_root(doc), "mine.json", &own, &e) == ERR_OK) fail_msg("%s is taken", wrong[i][0]);
        if (!strstr(e.text, wrong[i][1]) || !strstr(e.text, "mine.json")) fail_msg("%s: %s", wrong[i][0], e.text);
        yyjson_doc_free(doc);
    }
}

static size_t offers_of(const char *model, struct buy_wish *w, struct buy_offer *offers) {
    struct paper_model m = {0};
    struct err e = {0};
    struct model_gguf *g = NULL;
    const struct paper_load usual = {.n_ctx = 4096, .n_seq = 1, .n_ubatch = 512, .type_k = MODEL_TYPE_F16, .type_v = MODEL_TYPE_F16};
    assert_int_equal(shapes_open(model, &g, &e), ERR_OK);
    assert_int_equal(paper_model_open(g, model, &usual, &m, &e), ERR_OK);
    size_t n = buy_offers(&m, model, w, offers);
    paper_model_done(&m);
    return n;
}

static void what_to_buy(void **state) {
    (void)state;
    static struct buy_offer offers[BUY_MOST], more[BUY_MOST];
    struct buy_wish w = {.tps = 25, .plan = {.streams = 1, .prompt = 512}, .money = {.electricity = 0.2}};
    size_t n = offers_of("llama-70b", &w, offers);
    assert_true(n > 2);
    for (size_t i = 0; i < n; i++) {
        struct fleet *f = fleet_of(offers[i].spec); /* what it says can be planned for */
        double price = 0;
        for (uint32_t k = 0; k < f->n; k++) price += money_machine(f, k, NULL).dollars;
        NEAR(offers[i].price, price);
        if (i > 0) assert_true(offers[i].price >= offers[i - 1].price && offers[i].tps > offers[i - 1].tps);
        assert_int_equal(offers[i].enough, offers[i].tps >= 25);
        free(f);
    }
    assert_false(offers[0].enough);
    assert_true(offers[n - 1].enough);
    w.budget = 2500;
    size_t fewer = offers_of("llama-70b", &w, offers);
    assert_true(fewer > 0 && fewer < n && offers[fewer - 1].price <= 2500);
    w.have = fleet_of("pc-ddr5-64/2xrtx3090-24");
    size_t beside = offers_of("llama-70b", &w, more);
    assert_true(beside > 0 && more[0].tps > 10 && more[0].price < offers[0].price); /* it need not carry the model alone */
    free(w.have);
}

static void money_is_written_with_few_digits(void **state) {
    (void)state;
    static const double rows[][2] = {{1234.005000001, 1234.01}, {12.349999, 12.35},     {0.123456, 0.123},
                                     {1.23456, 1.23},           {0.00045678, 0.000457}, {0, 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) assert_true(money_round(rows[i][0]) == rows[i][1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_tokens_cost), cmocka_unit_test(only_machines_of_the_plan),
                                       cmocka_unit_test(prices_of_ones_own), cmocka_unit_test(what_to_buy),
                                       cmocka_unit_test(money_is_written_with_few_digits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
