/* SPDX-License-Identifier: MIT
 * See history_log.h. */
#include "endpoint/history_log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "endpoint/asking.h"
#include "endpoint/routes.h"
#include "gateway/answer.h"
#include "gateway/gateway.h"
#include "gateway/history.h"
#include "requests/requests.h"
#include "store/history.h"

enum { ROW_MAX = 1024 };

struct history_log {
    struct gateway *gateway;
    struct io_timer *timer;
    struct history history;
};

/* ---- samples ---- */

static void read_rings(const struct gateway_metrics *m, struct history_now *now) {
    for (size_t i = 0; i < m->n_rings; i++)
        for (uint32_t k = 0; k < m->rings[i].n_stages; k++) {
            now->values[HISTORY_COMPUTE] += (double)m->rings[i].stages[k].compute_us / 1e6;
            now->values[HISTORY_HOPS] += (double)m->rings[i].stages[k].hop_us / 1e6;
            if (k == 0) now->frames += (double)m->rings[i].stages[k].frames;
        }
}

static void read_now(const struct gateway *g, struct history_now *now) {
    static const struct {
        enum history_series series;
        enum gateway_metric metric;
    } counters[] = {{HISTORY_PROMPT, METRIC_PROMPT_TOKENS},
                    {HISTORY_KEPT, METRIC_CACHED_TOKENS},
                    {HISTORY_REQUESTS, METRIC_REQUESTS},
                    {HISTORY_FAILED, METRIC_FAILED},
                    {HISTORY_HITS, METRIC_CACHE_HITS}};
    struct backend_counts counts = {0};
    for (size_t i = 0; i < ARRAY_LEN(counters); i++) now->values[counters[i].series] = (double)g->metrics.values[counters[i].metric].count;
    if (g->backend.count != NULL) g->backend.count(g->backend.self, &counts);
    now->values[HISTORY_TOKENS] = (double)counts.tokens;
    now->values[HISTORY_HELD] = (double)counts.held;
    now->values[HISTORY_OFFERED] = (double)counts.offered;
    now->values[HISTORY_RUNNING] = (double)requests_running(g);
    now->values[HISTORY_WAITING] = (double)requests_queued(g);
    read_rings(&g->metrics, now);
}

static void row_append(const struct history_row *row, struct buf *out) {
    buf_printf(out, "[%lld", (long long)row->time);
    for (size_t i = 0; i < HISTORY_SERIES; i++)
        if (isnan(row->values[i])) buf_append_str(out, ",null");
        else buf_printf(out, ",%.6g", row->values[i]);
    buf_append_byte(out, ']');
}

static void keep(struct store *s, int64_t step, const struct history_row *row) {
    struct buf text;
    buf_init(&text, ROW_MAX);
    row_append(row, &text);
    if (!text.failed) store_history_put(s, step, row->time, buf_cstr(&text));
    buf_done(&text);
}

static void sample(struct history_log *log, int64_t now) {
    struct store *s = log->gateway->store;
    struct history_now values = {0};
    struct history_row row, coarse;
    bool complete;
    read_now(log->gateway, &values);
    if (history_add(&log->history, now, &values, &row, &coarse, &complete)) keep(s, HISTORY_STEP, &row);
    if (!complete) return;
    keep(s, HISTORY_LONG_STEP, &coarse);
    store_history_sweep(s, HISTORY_STEP, now - HISTORY_KEPT_S);
    store_history_sweep(s, HISTORY_LONG_STEP, now - HISTORY_LONG_KEPT_S);
}

static void on_time(void *user) { sample(user, clock_wall_s()); }

struct history_log *history_log_open(struct gateway *g) {
    struct history_log *log = MEM_NEW(struct history_log);
    *log = (struct history_log){.gateway = g, .timer = io_timer_open(g->loop, on_time, log)};
    io_timer_start(log->timer, 0, HISTORY_STEP * 1000);
    return log;
}

void history_log_close(struct history_log *log) {
    struct history_row rest;
    if (log == NULL) return;
    if (history_rest(&log->history, &rest)) {
        rest.time = clock_wall_s(); /* the next start begins another row for the rest of the period */
        keep(log->gateway->store, HISTORY_LONG_STEP, &rest);
    }
    io_timer_close(log->timer);
    free(log);
}

/* ---- the route ---- */

static void append_series(struct buf *out) {
    for (size_t i = 0; i < HISTORY_SERIES; i++) {
        const struct history_words *w = history_words(i);
        buf_printf(out, "%s{\"name\":\"%s\",\"kind\":\"%s\",\"unit\":\"%s\",\"help\":\"%s\"}", i > 0 ? "," : "", w->name, w->kind, w->unit,
                   w->help);
    }
}

static void on_rows(void *user, err_code code, const char *text, size_t len, const struct err *e) {
    struct asking *a = user;
    struct history_row rest;
    struct buf out;
    if (asking_failed(a, code, e)) return;
    buf_init(&out, 16 << 20);
    buf_printf(&out, "{\"now\":%lld,\"step\":%lld,\"series\":[", (long long)clock_wall_s(), (long long)a->step);
    append_series(&out);
    buf_append_str(&out, "],\"rows\":");
    buf_append(&out, text, len - 1); /* without its ] */
    if (a->step == HISTORY_LONG_STEP && history_rest(&a->g->history->history, &rest)) {
        rest.time = clock_wall_s();
        if (len > 2) buf_append_byte(&out, ',');
        row_append(&rest, &out);
    }
    buf_append_str(&out, "]}");
    http_response_header(a->x, "Cache-Control", "no-store");
    gateway_respond(a->x, 200, "application/json", &out);
    asking_free(a);
}

static err_code read_number(const char *query, const char *name, int64_t *ret, struct err *e) {
    char text[24];
    if (!routes_query_value(query, name, text, sizeof(text)) || str_parse_i64(text, ret)) return ERR_OK;
    return err_set(e, ERR_INVALID, "\"%s\" is not a number", name);
}

void routes_history(struct gateway *g, struct http_exchange *x, const char *rest) {
    const char *query = http_request(x)->query;
    int64_t step = HISTORY_STEP, after = 0;
    struct err e = {0};
    (void)rest;
    err_code code = read_number(query, "step", &step, &e);
    if (code == ERR_OK) code = read_number(query, "after", &after, &e);
    if (code == ERR_OK && step != HISTORY_STEP && step != HISTORY_LONG_STEP)
        code = err_set(&e, ERR_INVALID, "\"step\" is %d or %d", HISTORY_STEP, HISTORY_LONG_STEP);
    if (code != ERR_OK) {
        gateway_respond_error(x, code, &e);
        return;
    }
    struct asking *a = asking_create(g, x, "", 0);
    a->step = step;
    a->ask = store_history_list(g->store, step, after, on_rows, a);
}
