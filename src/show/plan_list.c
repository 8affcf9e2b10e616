/* SPDX-License-Identifier: MIT */
#include "show/plan_list.h"

#include <stdio.h>

#include "base/json.h"
#include "base/mem.h"
#include "paper/hardware.h"
#include "paper/shapes.h"
#include "terminal/table.h"

enum { PAPER_WIDTH = 80 };

static void put_models(uint32_t width, struct buf *out) {
    struct buf names;
    const char *own;
    buf_init(&names, 1 << 16);
    buf_append_str(&names, "  ");
    for (size_t i = 0; i < shapes_count(); i++) buf_printf(&names, "%s%s", i ? ", " : "", shapes_name(i, &own));
    for (size_t i = 0; i < shapes_same_count(); i++) buf_printf(&names, ", %s", shapes_same_name(i));
    buf_append_str(out, "Models (NAME, or NAME:QUANTISATION):\n");
    table_wrap(buf_cstr(&names), width, 2, out);
    buf_done(&names);
}

static void put_hardware(uint32_t width, struct buf *out) {
    static const struct table_column columns[] = {
        {"MACHINE-GB", 0, false, 0}, {"MEMORY", 0, true, 0}, {"BANDWIDTH", 0, true, 0}, {"IS", 12, false, 0}};
    struct table *t = table_create(columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < hardware_count(); i++) {
        struct hardware_row h = hardware_at(i);
        char memory[32], rate[32];
        if (h.from == h.to) snprintf(memory, sizeof(memory), "%u GB", h.from);
        else snprintf(memory, sizeof(memory), "%u to %u GB", h.from, h.to);
        snprintf(rate, sizeof(rate), "%.0f GB/s", h.bandwidth);
        const char *cells[] = {h.family, memory, rate, h.what};
        table_row(t, cells);
    }
    table_print(t, width, out);
    table_free(t);
}

static void put_links(uint32_t width, struct buf *out) {
    static const struct table_column columns[] = {
        {"LINK", 0, false, 0}, {"ROUND TRIP", 0, true, 0}, {"THROUGHPUT", 0, true, 0}, {"IS", 12, false, 0}};
    struct table *t = table_create(columns, ARRAY_LEN(columns));
    for (size_t i = 0; i < hardware_link_count(); i++) {
        struct hardware_link_row l = hardware_link_at(i);
        char rtt[32], rate[32];
        snprintf(rtt, sizeof(rtt), l.rtt_us < 1000 ? "%.0f us" : "%.3g ms", l.rtt_us < 1000 ? l.rtt_us : l.rtt_us / 1000);
        snprintf(rate, sizeof(rate), l.mbit < 1000 ? "%.0f Mbit/s" : "%.3g Gbit/s", l.mbit < 1000 ? l.mbit : l.mbit / 1000);
        const char *cells[] = {l.name, rtt, rate, l.what};
        table_row(t, cells);
    }
    table_print(t, width, out);
    table_free(t);
}

void plan_list_text(uint32_t width, struct buf *out) {
    uint32_t wide = width ? width : PAPER_WIDTH;
    put_models(wide, out);
    buf_append_str(out, "\n");
    put_hardware(wide, out);
    buf_append_str(out, "\n");
    put_links(wide, out);
}

void plan_list_json(struct buf *out) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *models = yyjson_mut_obj_add_arr(doc, root, "models");
    yyjson_mut_val *machines = yyjson_mut_obj_add_arr(doc, root, "hardware"), *links = yyjson_mut_obj_add_arr(doc, root, "links"), *v;
    const char *own;
    for (size_t i = 0; i < shapes_count(); i++) yyjson_mut_arr_add_str(doc, models, shapes_name(i, &own));
    for (size_t i = 0; i < shapes_same_count(); i++) yyjson_mut_arr_add_str(doc, models, shapes_same_name(i));
    for (size_t i = 0; i < hardware_count(); i++) {
        struct hardware_row h = hardware_at(i);
        v = yyjson_mut_arr_add_obj(doc, machines);
        yyjson_mut_obj_add_str(doc, v, "name", h.family);
        yyjson_mut_obj_add_uint(doc, v, "from_gb", h.from);
        yyjson_mut_obj_add_uint(doc, v, "to_gb", h.to);
        yyjson_mut_obj_add_real(doc, v, "bandwidth_gbs", h.bandwidth);
        yyjson_mut_obj_add_str(doc, v, "description", h.what);
    }
    for (size_t i = 0; i < hardware_link_count(); i++) {
        struct hardware_link_row l = hardware_link_at(i);
        v = yyjson_mut_arr_add_obj(doc, links);
        yyjson_mut_obj_add_str(doc, v, "name", l.name);
        yyjson_mut_obj_add_real(doc, v, "rtt_us", l.rtt_us);
        yyjson_mut_obj_add_real(doc, v, "mbit", l.mbit);
        yyjson_mut_obj_add_str(doc, v, "description", l.what);
    }
    json_write(out, doc);
    buf_append_str(out, "\n");
    yyjson_mut_doc_free(doc);
}
