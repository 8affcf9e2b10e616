/* SPDX-License-Identifier: MIT
 * `caravan nodes`: the machines of the cluster as a table, as the node that runs here sees them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "show/nodes.h"
#include "terminal/table.h"

/* "CPU, NVIDIA GeForce RTX 3090 x2"; and their speeds in the same order: "21, 780 x2". Equal ones that follow each other are counted. */
static void put_devices(yyjson_val *node, struct buf *names, struct buf *speeds) {
    yyjson_val *list = yyjson_obj_get(node, "devices");
    for (size_t i = 0, next; i < yyjson_arr_size(list); i = next) {
        yyjson_val *d = yyjson_arr_get(list, i);
        bool gpu = yyjson_get_bool(yyjson_obj_get(d, "gpu"));
        const char *name = gpu && answer_text(d, "description")[0] ? answer_text(d, "description") : answer_text(d, "name");
        for (next = i + 1; next < yyjson_arr_size(list); next++)
            if (!gpu || strcmp(answer_text(yyjson_arr_get(list, next), "description"), answer_text(d, "description")) != 0) break;
        double speed = yyjson_get_num(yyjson_obj_get(d, "bandwidth")) / 1e9;
        char count[STR_SHORT] = "";
        if (next > i + 1) snprintf(count, sizeof(count), " x%zu", next - i);
        buf_printf(names, "%s%s%s", i ? ", " : "", name, count);
        if (speed > 0) buf_printf(speeds, speed < 10 ? "%s%.1f%s" : "%s%.0f%s", i ? ", " : "", speed, count);
        else buf_printf(speeds, "%s?%s", i ? ", " : "", count);
    }
    if (names->len == 0) buf_append_str(names, "not measured");
}

static const char *model_name(yyjson_val *models, const char *instance) {
    yyjson_val *m;
    size_t i, max;
    yyjson_arr_foreach(models, i, max, m) if (strcmp(answer_text(m, "instance"), instance) == 0) return answer_text(m, "name");
    return instance;
}

/* "caravan-demo 0-3, big 4-20 loading 40 %" */
static void put_stages(yyjson_val *node, yyjson_val *models, struct buf *b) {
    yyjson_val *s;
    size_t i, max;
    yyjson_arr_foreach(json_some(yyjson_obj_get(node, "stages")), i, max, s) {
        const char *state = answer_text(s, "state");
        buf_printf(b, "%s%s %llu-%llu", i ? ", " : "", model_name(models, answer_text(s, "instance")),
                   (unsigned long long)yyjson_get_uint(yyjson_obj_get(s, "first_layer")),
                   (unsigned long long)yyjson_get_uint(yyjson_obj_get(s, "last_layer")));
        if (strcmp(state, "ready") != 0) buf_printf(b, " %s", state);
        if (strcmp(state, "loading") == 0) answer_put_progress(s, b);
    }
    if (b->len == 0) buf_append_str(b, "-");
}

/* The link from the node that answers to another one, as it has measured it. */
static void put_link(yyjson_val *nodes, yyjson_val *node, char rtt[STR_SHORT], char mbit[STR_SHORT]) {
    yyjson_val *self = yyjson_arr_get_first(nodes), *l;
    size_t i, max;
    snprintf(rtt, STR_SHORT, "-");
    snprintf(mbit, STR_SHORT, "-");
    yyjson_arr_foreach(json_some(yyjson_obj_get(self, "links")), i, max, l) {
        uint64_t us = yyjson_get_uint(yyjson_obj_get(l, "rtt_us"));
        double rate = yyjson_get_num(yyjson_obj_get(l, "bytes_per_second"));
        if (strcmp(answer_text(l, "id"), answer_text(node, "id")) != 0) continue;
        if (us > 0) str_duration(us, rtt);
        if (rate > 0) snprintf(mbit, STR_SHORT, rate * 8 < 10e6 ? "%.1f" : "%.0f", rate * 8 / 1e6);
    }
}

/* "vm", or, where several are called so, with the beginning of its id: "vm (3fa2c1b0)". */
static const char *put_name(yyjson_val *nodes, yyjson_val *node, char out[128]) {
    const char *name = answer_text(node, "name");
    size_t i, max, same = 0;
    yyjson_val *other;
    yyjson_arr_foreach(nodes, i, max, other) same += strcmp(answer_text(other, "name"), name) == 0;
    snprintf(out, 128, same > 1 ? "%.80s (%.8s)" : "%.80s", name, answer_text(node, "id"));
    return out;
}

static void put_node(yyjson_val *nodes, yyjson_val *node, yyjson_val *models, struct table *t) {
    char address[300], name[128], rtt[STR_SHORT], mbit[STR_SHORT], memory[STR_SHORT];
    struct buf devices, speeds, stages;
    yyjson_val *s;
    size_t i, max;
    uint64_t used = 0, offered = yyjson_get_uint(yyjson_obj_get(node, "memory"));
    buf_init(&devices, 4096);
    buf_init(&speeds, 4096);
    buf_init(&stages, 65536);
    put_devices(node, &devices, &speeds);
    put_stages(node, models, &stages);
    put_link(nodes, node, rtt, mbit);
    yyjson_arr_foreach(json_some(yyjson_obj_get(node, "stages")), i, max, s) used += yyjson_get_uint(yyjson_obj_get(s, "bytes"));
    bool self = yyjson_get_bool(yyjson_obj_get(node, "self"));
    if (self) snprintf(address, sizeof(address), "%s", answer_text(node, "api"));
    else
        snprintf(address, sizeof(address), strchr(answer_text(node, "host"), ':') ? "[%.250s]:%llu" : "%.250s:%llu",
                 answer_text(node, "host"), (unsigned long long)yyjson_get_uint(yyjson_obj_get(node, "port")));
    const char *state = yyjson_get_bool(yyjson_obj_get(node, "drained")) ? used > 0 ? "draining" : "drained" : answer_text(node, "state");
    const char *cells[] = {put_name(nodes, node, name),
                           address,
                           state[0] ? state : "linked",
                           str_size(offered > used ? offered - used : 0, memory),
                           buf_cstr(&devices),
                           buf_cstr(&speeds),
                           rtt,
                           mbit,
                           buf_cstr(&stages)};
    table_row(t, cells);
    buf_done(&devices);
    buf_done(&speeds);
    buf_done(&stages);
}

/* Machines that are asleep: they were met, and can be woken. */
static void put_asleep(yyjson_val *root, struct table *t) {
    yyjson_val *o;
    size_t i, max;
    yyjson_arr_foreach(json_some(yyjson_obj_get(root, "asleep")), i, max, o) {
        char memory[STR_SHORT] = "-";
        uint64_t offered = yyjson_get_uint(yyjson_obj_get(o, "memory"));
        if (offered > 0) str_size(offered, memory);
        const char *cells[] = {answer_text(o, "name"), "-", answer_text(o, "state"), memory, "-", "-", "-", "-", "-"};
        table_row(t, cells);
    }
}

/* The ring's measured speed. The node that holds its head tells it. */
static double measured_tps(yyjson_val *nodes, const char *instance) {
    yyjson_val *node, *s;
    size_t i, max, k, n;
    yyjson_arr_foreach(nodes, i, max, node)
        yyjson_arr_foreach(json_some(yyjson_obj_get(node, "stages")), k, n,
                           s) if (strcmp(answer_text(s, "instance"), instance) == 0 &&
                                  yyjson_obj_get(s, "tokens_per_second")) return yyjson_get_num(yyjson_obj_get(s, "tokens_per_second"));
    return 0;
}

static void put_reason(yyjson_val *model, uint32_t width, struct buf *out) {
    if (yyjson_get_bool(yyjson_obj_get(model, "ready")) || !answer_text(model, "message")[0]) return;
    char *note = mem_printf("%s: %s", answer_text(model, "name"), answer_text(model, "message"));
    table_wrap(note, width, 2, out);
    free(note);
}

static void put_models(yyjson_val *root, uint32_t width, struct buf *out) {
    static const struct table_column columns[] = {
        {"MODEL", 12, false, 0}, {"STATE", 0, false, 0}, {"NODES", 0, true, 0}, {"PREDICTED", 0, true, 0}, {"MEASURED", 0, true, 0}};
    yyjson_val *m;
    size_t i, max;
    struct table *t = table_create(columns, ARRAY_LEN(columns));
    yyjson_arr_foreach(json_some(yyjson_obj_get(root, "models")), i, max, m) {
        char stages[STR_SHORT], predicted[STR_SHORT] = "-", measured[STR_SHORT] = "-";
        double p = yyjson_get_num(yyjson_obj_get(m, "predicted_tokens_per_second"));
        double have = measured_tps(yyjson_obj_get(root, "nodes"), answer_text(m, "instance"));
        bool ready = yyjson_get_bool(yyjson_obj_get(m, "ready"));
        snprintf(stages, sizeof(stages), "%llu", (unsigned long long)yyjson_get_uint(yyjson_obj_get(m, "stages")));
        if (p > 0) snprintf(predicted, sizeof(predicted), p < 100 ? "%.3g tok/s" : "%.0f tok/s", p);
        if (have > 0) snprintf(measured, sizeof(measured), have < 100 ? "%.3g tok/s" : "%.0f tok/s", have);
        const char *cells[] = {answer_text(m, "name"), ready ? "ready" : answer_text(m, "state"), stages, predicted, measured};
        table_row(t, cells);
    }
    if (yyjson_arr_size(yyjson_obj_get(root, "models")) > 0) {
        buf_append_str(out, "\n");
        table_print(t, width, out);
        yyjson_arr_foreach(json_some(yyjson_obj_get(root, "models")), i, max, m) put_reason(m, width, out);
    }
    table_free(t);
}

/* The name of another node that comes next in the alphabet after `after` (NULL: the first of all); NULL: there is none. */
static const char *next_name(yyjson_val *nodes, const char *after) {
    const char *best = NULL;
    yyjson_val *node;
    size_t i, max;
    yyjson_arr_foreach(nodes, i, max, node) {
        const char *name = answer_text(node, "name");
        if (yyjson_get_bool(yyjson_obj_get(node, "self")) || (after && strcmp(name, after) <= 0)) continue;
        if (!best || strcmp(name, best) < 0) best = name;
    }
    return best;
}

static void put_removed(yyjson_val *root, int64_t wall, uint32_t width, struct buf *out) {
    yyjson_val *list = yyjson_obj_get(root, "removed"), *w;
    size_t i, max;
    struct buf note;
    if (yyjson_arr_size(list) == 0) return;
    buf_init(&note, 1 << 16);
    yyjson_arr_foreach(json_some(list), i, max, w) {
        char ago[STR_SHORT];
        int64_t seconds = wall - yyjson_get_sint(yyjson_obj_get(w, "time"));
        buf_printf(&note, "%s%s (%.8s), %s ago", i ? "; " : "shut out: ", answer_text(w, "name"), answer_text(w, "id"),
                   str_duration((uint64_t)(seconds > 0 ? seconds : 0) * 1000000, ago));
    }
    buf_append_str(&note, ". `caravan nodes allow NAME` lets one in again.");
    buf_append_str(out, "\n");
    table_wrap(buf_cstr(&note), width, 2, out);
    buf_done(&note);
}

static yyjson_val *node_of(yyjson_val *nodes, const char *id) {
    yyjson_val *node;
    size_t i, max;
    yyjson_arr_foreach(nodes, i, max, node) if (strcmp(answer_text(node, "id"), id) == 0) return node;
    return NULL;
}

/* Can the node connect to the other one? */
static bool reaches(yyjson_val *node, yyjson_val *other) {
    yyjson_val *l;
    size_t i, max;
    yyjson_arr_foreach(json_some(yyjson_obj_get(node, "links")), i, max, l) if (strcmp(answer_text(l, "id"), answer_text(other, "id")) ==
                                                                                0) return strcmp(answer_text(l, "reach"), "yes") == 0;
    return false;
}

/* Faults between nodes: pairs of which one cannot connect to the other, and a node that runs twice. */
static void put_cut(yyjson_val *nodes, uint32_t width, struct buf *out) {
    yyjson_val *node, *l;
    size_t i, max, k, n, cut = 0;
    char from[128], to[128];
    yyjson_arr_foreach(nodes, i, max, node) yyjson_arr_foreach(json_some(yyjson_obj_get(node, "links")), k, n, l) {
        yyjson_val *other = node_of(nodes, answer_text(l, "id"));
        if (other && answer_text(l, "copy")[0]) {
            char *twice =
                mem_printf("%s runs twice: the machine at %s has a copy of its state folder; on the copy, stop the node, remove the "
                           "file identity from that folder, and start it.",
                           put_name(nodes, other, to), answer_text(l, "copy"));
            if (cut++ == 0) buf_append_byte(out, '\n');
            table_wrap(twice, width, 2, out);
            free(twice);
        }
        if (!other || strcmp(answer_text(l, "reach"), "no") != 0) continue;
        char *note = mem_printf(
            "%s cannot connect to %s%s; `caravan doctor` on %s says why.", put_name(nodes, node, from), put_name(nodes, other, to),
            reaches(other, node) ? ", which makes the connections between them instead" : ": no model is divided between them",
            answer_text(node, "name"));
        if (cut++ == 0) buf_append_byte(out, '\n');
        table_wrap(note, width, 2, out);
        free(note);
    }
}

void nodes_put(yyjson_val *root, int64_t wall, uint32_t width, struct buf *out) {
    static const struct table_column columns[] = {{"NAME", 13, false, 0}, {"ADDRESS", 12, false, 0}, {"STATE", 0, false, 0},
                                                  {"FREE", 0, true, 5},   {"DEVICES", 6, false, 4},  {"GB/s", 4, true, 2},
                                                  {"RTT", 0, true, 3},    {"MBIT/S", 0, true, 1},    {"LAYERS", 0, false, 0}};
    yyjson_val *nodes = yyjson_obj_get(root, "nodes"), *node;
    size_t i, max;
    struct table *t = table_create(columns, ARRAY_LEN(columns));
    const char *after = NULL; /* the node that answers, then the others by name */
    yyjson_arr_foreach(nodes, i, max, node) if (yyjson_get_bool(yyjson_obj_get(node, "self")))
        put_node(nodes, node, yyjson_obj_get(root, "models"), t);
    do {
        const char *next = next_name(nodes, after);
        yyjson_arr_foreach(nodes, i, max,
                           node) if (next && !yyjson_get_bool(yyjson_obj_get(node, "self")) && strcmp(answer_text(node, "name"), next) == 0)
            put_node(nodes, node, yyjson_obj_get(root, "models"), t);
        after = next;
    } while (after);
    put_asleep(root, t);
    table_print(t, width, out);
    if (yyjson_arr_size(yyjson_obj_get(root, "asleep")) > 0)
        buf_append_str(out, "\n`caravan wake NAME` starts a machine that is asleep.\n");
    put_cut(nodes, width, out);
    put_models(root, width, out);
    put_removed(root, wall, width, out);
    table_free(t);
}
