/* SPDX-License-Identifier: MIT
 * See upstreams.h. */
#include "gateway/upstreams.h"

#include "cloud/cloud.h"
#include "gateway/gateway.h"

static double value_of(const struct cloud_counts *c, bool rests, enum gateway_metric which) {
    switch (which) {
    case METRIC_CLOUD_REQUESTS: return (double)c->requests;
    case METRIC_CLOUD_FAILED: return (double)c->failed;
    case METRIC_CLOUD_PROMPT: return (double)c->prompt_tokens;
    case METRIC_CLOUD_COMPLETION: return (double)c->completion_tokens;
    case METRIC_CLOUD_RUNNING: return (double)c->running;
    case METRIC_CLOUD_RESTS: return rests ? 1 : 0;
    case METRIC_CLOUD_COST: return (double)c->cost / 1e9;
    case METRIC_CLOUD_DAY: return (double)c->day / 1e9;
    default: return (double)c->month / 1e9;
    }
}

void upstreams_metrics(const struct gateway *g, struct buf *out) {
    const struct routing_table *table = aliases_table(g->aliases);
    const struct upstream *u;
    if (g->cloud == NULL) return;
    for (int k = METRIC_CLOUD_REQUESTS; k <= METRIC_CLOUD_MONTH; k++) {
        enum gateway_metric which = (enum gateway_metric)k;
        metrics_append_head(which, out);
        for (size_t i = 0; (u = routing_table_upstream(table, i)) != NULL; i++) {
            const struct cloud_counts c = cloud_counts_of(g->cloud, u->name);
            bool rests = cloud_rest_s(g->cloud, u->name) > 0;
            metrics_append_labelled(which, "upstream", u->name, value_of(&c, rests, which), out);
        }
    }
}

static void add_private(const struct upstream *u, const struct cloud_counts *c, yyjson_mut_doc *doc, yyjson_mut_val *o) {
    yyjson_mut_obj_add_strcpy(doc, o, "url", u->url);
    yyjson_mut_obj_add_real(doc, o, "cost", (double)c->cost / 1e9);
    yyjson_mut_obj_add_real(doc, o, "day", (double)c->day / 1e9);
    yyjson_mut_obj_add_real(doc, o, "month", (double)c->month / 1e9);
    if (u->day != UPSTREAM_NO_CAP) yyjson_mut_obj_add_real(doc, o, "day_cap", (double)u->day / 1e9);
    if (c->error[0] != '\0') yyjson_mut_obj_add_strcpy(doc, o, "error", c->error);
    if (c->error[0] != '\0') yyjson_mut_obj_add_sint(doc, o, "failed_at", c->failed_at);
    if (u->month != UPSTREAM_NO_CAP) yyjson_mut_obj_add_real(doc, o, "month_cap", (double)u->month / 1e9);
}

void upstreams_status(const struct gateway *g, bool admin, yyjson_mut_doc *doc, yyjson_mut_val *status) {
    const struct routing_table *table = aliases_table(g->aliases);
    const struct upstream *u;
    if (g->cloud == NULL || !yyjson_mut_is_obj(status)) return;
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, status, "upstreams");
    for (size_t i = 0; (u = routing_table_upstream(table, i)) != NULL; i++) {
        const struct cloud_counts c = cloud_counts_of(g->cloud, u->name);
        yyjson_mut_val *o = yyjson_mut_arr_add_obj(doc, list);
        yyjson_mut_obj_add_strcpy(doc, o, "name", u->name);
        yyjson_mut_obj_add_uint(doc, o, "requests", c.requests);
        yyjson_mut_obj_add_uint(doc, o, "failed", c.failed);
        yyjson_mut_obj_add_uint(doc, o, "running", c.running);
        yyjson_mut_obj_add_uint(doc, o, "rests_s", cloud_rest_s(g->cloud, u->name));
        if (admin) add_private(u, &c, doc, o);
    }
}

void upstreams_open(struct gateway *g) {
    if (routing_table_upstream(aliases_table(g->aliases), 0) == NULL) return;
    if (g->cloud == NULL) g->cloud = cloud_create(g->loop, g->store);
    else cloud_forget_keys(g->cloud);
}
