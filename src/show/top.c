/* SPDX-License-Identifier: MIT
 * `caravan top`: the running models, live; a client of the running node's admin API. See top.h. */
#include "show/top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "model/card.h"
#include "terminal/cell.h"
#include "terminal/stop.h"
#include "terminal/table.h"

enum { TOP_MS = 1000 };

/* ---- the picture ---- */

static yyjson_val *ring_of(yyjson_val *status, const char *instance) {
    yyjson_val *ring;
    size_t i, max;
    yyjson_arr_foreach(json_some(yyjson_obj_get(status, "rings")), i, max,
                       ring) if (strcmp(answer_text(ring, "instance"), instance) == 0) return ring;
    return NULL;
}

/* What is kept of one ring between the two looks. */
struct ring {
    yyjson_val *now, *before; /* NULL: the node has got no answer from it */
    double seconds;           /* between the looks; 0: there was only one look */
};

static double ring_rate(const struct ring *r) {
    uint64_t now = answer_number(r->now, "tokens"), before = answer_number(r->before, "tokens");
    return r->seconds > 0 && now > before ? (double)(now - before) / r->seconds : 0;
}

/* Milliseconds of this key for a step of the stage: the mean of the steps since the look before, or of all if there were none since. */
static const char *put_step(const struct ring *r, size_t stage, const char *key, char out[STR_SHORT]) {
    yyjson_val *now = yyjson_arr_get(yyjson_obj_get(r->now, "stages"), stage);
    yyjson_val *before = yyjson_arr_get(yyjson_obj_get(r->before, "stages"), stage);
    uint64_t frames = answer_number(now, "frames"), us = answer_number(now, key);
    if (frames > answer_number(before, "frames")) {
        frames -= answer_number(before, "frames");
        us -= answer_number(before, key);
    }
    if (frames == 0 || us == 0) snprintf(out, STR_SHORT, "-");
    else snprintf(out, STR_SHORT, "%.2f ms", (double)us / 1e3 / (double)frames);
    return out;
}

/* A figure of the stage, as its machine tells it. false: nothing is known of that. */
static bool figure_of(yyjson_val *status, const char *instance, uint64_t number, const char *key, uint64_t *ret) {
    yyjson_val *node, *stage, *figure;
    size_t i, max, k, n;
    yyjson_arr_foreach(json_some(yyjson_obj_get(status, "nodes")), i, max, node)
        yyjson_arr_foreach(json_some(yyjson_obj_get(node, "stages")), k, n, stage) {
        if (strcmp(answer_text(stage, "instance"), instance) != 0 || answer_number(stage, "stage") != number) continue;
        if ((figure = yyjson_obj_get(stage, key)) == NULL) return false;
        *ret = yyjson_get_uint(figure);
        return true;
    }
    return false;
}

/* "8", or "4/8": for single tokens and for longer steps. */
static const char *put_threads(const struct top_look *now, uint64_t stage, const char *instance, char out[STR_SHORT]) {
    uint64_t single, several;
    if (!figure_of(now->status, instance, stage, "threads", &single) || !figure_of(now->status, instance, stage, "threads_batch", &several))
        return "-";
    snprintf(out, STR_SHORT, single == several ? "%llu" : "%llu/%llu", (unsigned long long)single, (unsigned long long)several);
    return out;
}

/* "1.2 MB/s", of the time since the look before; "-": nothing is known. */
static const char *put_traffic(const struct top_look *now, const struct top_look *before, const struct ring *r, uint64_t stage,
                               const char *instance, char out[STR_SHORT]) {
    uint64_t sent = 0, sent_before = 0;
    bool known = figure_of(now->status, instance, stage, "sent_bytes", &sent) &&
                 figure_of(before->status, instance, stage, "sent_bytes", &sent_before);
    if (!known || r->seconds <= 0 || sent < sent_before) return "-";
    char size[STR_SHORT];
    snprintf(out, STR_SHORT, "%s/s", str_size((uint64_t)((double)(sent - sent_before) / r->seconds), size));
    return out;
}

/* "idle", "2 run", "2 run, 3 wait" */
static void put_requests(yyjson_val *instance, struct buf *out) {
    uint64_t all = answer_number(instance, "requests"), at_once = answer_number(instance, "parallel");
    uint64_t run = at_once > 0 && all > at_once ? at_once : all;
    if (all == 0) buf_append_str(out, "idle");
    else buf_printf(out, "%llu run", (unsigned long long)run);
    if (all > run) buf_printf(out, ", %llu wait", (unsigned long long)(all - run));
}

/* A long name leaves no room for the figures. */
static const char *short_name(const char *name, uint32_t width, char out[MODEL_NAME_SIZE]) {
    uint32_t most = width == 0 ? UINT32_MAX : width < 72 ? 14 : 24;
    size_t len = strlen(name);
    if (cell_width(name, len) <= most) return name;
    snprintf(out, MODEL_NAME_SIZE, "%.*s~", (int)cell_fit(name, len, most - 1), name);
    return out;
}

/* "71 % of 830": of the guesses so far, those that came true; "" if there were none. */
static void put_guesses(const struct ring *r, char out[STR_SHORT]) {
    yyjson_val *key, *kind;
    size_t i, max;
    uint64_t made = 0, right = 0;
    yyjson_obj_foreach(json_some(yyjson_obj_get(r->now, "guesses")), i, max, key, kind) {
        made += answer_number(kind, "made");
        right += answer_number(kind, "right");
    }
    out[0] = '\0';
    if (made > 0) snprintf(out, STR_SHORT, "%.0f %% of %llu", 100 * (double)right / (double)made, (unsigned long long)made);
}

static void put_stage(struct table *t, const struct ring *r, const char *name, yyjson_val *instance, yyjson_val *stage, size_t i,
                      const char *traffic, const char *threads) {
    char layers[48], compute[STR_SHORT], hop[STR_SHORT], rate[STR_SHORT] = "", guesses[STR_SHORT] = "";
    struct buf state;
    buf_init(&state, 4096);
    snprintf(layers, sizeof(layers), "%llu-%llu", (unsigned long long)answer_number(stage, "first_layer"),
             (unsigned long long)answer_number(stage, "last_layer"));
    if (i == 0) {
        snprintf(rate, sizeof(rate), "%.1f", ring_rate(r));
        put_guesses(r, guesses);
    }
    if (strcmp(answer_text(stage, "state"), "ready") != 0) {
        buf_append_str(&state, answer_text(stage, "state"));
        if (strcmp(answer_text(stage, "state"), "loading") == 0) answer_put_progress(stage, &state);
    } else if (i == 0) {
        put_requests(instance, &state);
    }
    const char *cells[] = {i == 0 ? name : "",
                           answer_text(stage, "node"),
                           layers,
                           put_step(r, i, "compute_us", compute),
                           put_step(r, i, "hop_us", hop),
                           traffic,
                           threads,
                           rate,
                           guesses,
                           buf_cstr(&state)};
    table_row(t, cells);
    buf_done(&state);
}

/* They are listed node by node. */
static yyjson_val *stage_of(yyjson_val *stages, uint64_t number) {
    yyjson_val *stage;
    size_t i, max;
    yyjson_arr_foreach(stages, i, max, stage) if (answer_number(stage, "stage") == number) return stage;
    return NULL;
}

static void put_instance(struct table *t, const struct top_look *now, const struct top_look *before, const char *name,
                         yyjson_val *instance) {
    const char *id = answer_text(instance, "instance");
    struct ring r = {
        .now = ring_of(now->status, id), .before = ring_of(before->status, id), .seconds = before->status ? now->at_s - before->at_s : 0};
    yyjson_val *stages = yyjson_obj_get(instance, "stages"), *stage;
    for (size_t i = 0; i < yyjson_arr_size(stages); i++)
        if ((stage = stage_of(stages, i)) != NULL) {
            char traffic[STR_SHORT], threads[STR_SHORT];
            put_stage(t, &r, name, instance, stage, i, put_traffic(now, before, &r, i, id, traffic), put_threads(now, i, id, threads));
        }
    if (yyjson_arr_size(stages) > 0) return;
    const char *cells[] = {name, "-", "-", "-", "-", "-", "-", "", "", answer_text(instance, "state")};
    table_row(t, cells);
}

/* "3 nodes, 2 requests, 41.2 tokens/s" */
static void put_sums(const struct top_look *now, const struct top_look *before, uint32_t width, struct buf *out) {
    yyjson_val *ring;
    size_t i, max, nodes = yyjson_arr_size(yyjson_obj_get(now->status, "nodes"));
    double rate = 0;
    yyjson_arr_foreach(json_some(yyjson_obj_get(now->status, "rings")), i, max, ring) {
        struct ring r = {.now = ring,
                         .before = ring_of(before->status, answer_text(ring, "instance")),
                         .seconds = before->status ? now->at_s - before->at_s : 0};
        rate += ring_rate(&r);
    }
    uint64_t requests = answer_number(now->status, "requests"), queued = answer_number(now->status, "queued");
    char wait[40] = "", *text;
    if (queued > 0) snprintf(wait, sizeof(wait), "%llu wait, ", (unsigned long long)queued);
    text = mem_printf("%zu node%s; through this one: %llu request%s, %s%.1f tokens/s", nodes, nodes == 1 ? "" : "s",
                      (unsigned long long)requests, requests == 1 ? "" : "s", wait, rate);
    table_wrap(text, width, 0, out);
    buf_append_byte(out, '\n');
    free(text);
}

void top_put(const struct top_look *now, const struct top_look *before, uint32_t width, struct buf *out) {
    static const struct table_column columns[] = {
        {"MODEL", 12, false, 0}, {"NODE", 8, false, 0},   {"LAYERS", 0, false, 2},  {"COMPUTE", 0, true, 3}, {"HOP", 0, true, 4},
        {"SENDS", 0, true, 1},   {"THREADS", 0, true, 1}, {"TOKENS/S", 0, true, 0}, {"GUESSES", 0, true, 1}, {"STATE", 0, false, 0}};
    yyjson_val *model, *instance;
    size_t i, max, k, n, rows = 0;
    struct table *t = table_create(columns, ARRAY_LEN(columns));
    put_sums(now, before, width, out);
    yyjson_arr_foreach(json_some(yyjson_obj_get(now->models, "models")), i, max, model)
        yyjson_arr_foreach(json_some(yyjson_obj_get(model, "instances")), k, n, instance) {
        char name[MODEL_NAME_SIZE];
        put_instance(t, now, before, short_name(answer_text(model, "name"), width, name), instance);
        rows++;
    }
    if (rows > 0) table_print(t, width, out);
    else table_wrap("No model is loaded. `caravan models` lists what there is; `caravan load MODEL` loads one.", width, 0, out);
    table_free(t);
}

/* ---- the command ---- */

struct look {
    yyjson_doc *status, *models;
    struct top_look view;
};

static void look_done(struct look *l) {
    yyjson_doc_free(l->status);
    yyjson_doc_free(l->models);
    *l = (struct look){0};
}

static err_code look(const struct options *o, struct look *ret, struct err *e) {
    err_code code = cli_admin_ask(o, "GET", "/caravan/v1/status", NULL, &ret->status, e);
    if (code == ERR_OK) code = cli_admin_ask(o, "GET", "/caravan/v1/models", NULL, &ret->models, e);
    ret->view = (struct top_look){
        .status = yyjson_doc_get_root(ret->status), .models = yyjson_doc_get_root(ret->models), .at_s = (double)clock_now() / 1e6};
    return code;
}

static err_code show(const struct options *o, const struct look *now, const struct look *before, bool live, struct err *e) {
    struct buf out;
    buf_init(&out, 16 << 20);
    if (option_flag(o, OPT_JSON)) {
        char *rings = yyjson_val_write(yyjson_obj_get(now->view.status, "rings"), 0, NULL);
        char *models = yyjson_val_write(yyjson_obj_get(now->view.models, "models"), 0, NULL);
        buf_printf(&out, "{\"rings\":%s,\"models\":%s}\n", rings ? rings : "[]", models ? models : "[]");
        free(rings);
        free(models);
    } else {
        if (live) buf_append_str(&out, "\033[H\033[2J");
        top_put(&now->view, &before->view, table_width(), &out);
    }
    err_code code = cli_print(&out, e);
    buf_done(&out);
    return code;
}

/* On a terminal again and again; else one picture of a second. */
err_code cli_top(const struct options *o, int *exit_status, struct err *e) {
    bool live = table_width() > 0 && !option_flag(o, OPT_JSON);
    struct look before = {0}, now = {0};
    (void)exit_status;
    stop_open();
    err_code code = look(o, &before, e);
    if (code == ERR_OK && live) code = show(o, &before, &now, true, e);
    while (code == ERR_OK && stop_wait(TOP_MS)) {
        code = look(o, &now, e);
        if (code == ERR_OK) code = show(o, &now, &before, live, e);
        look_done(&before);
        before = now;
        now = (struct look){0};
        if (!live) break;
    }
    look_done(&before);
    look_done(&now);
    return code;
}
