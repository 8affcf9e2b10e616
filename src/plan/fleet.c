/* SPDX-License-Identifier: MIT
 * See fleet.h. A machine on paper offers its memory less a part for the operating system and other programs, like a real node. */
#include "plan/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"

#define GIB          ((uint64_t)1 << 30)
#define CARD_RESERVE (GIB * 3 / 4) /* of a graphics card: the driver, the screen */

enum kind { UNIFIED, RAM, CARD };
static const struct hardware {
    const char *family;
    uint32_t from, to;
    enum kind kind;
    double bandwidth, efficiency, tflops, layer_us;
    const char *what;
} hardware[] = {
#define HARDWARE(family, from, to, kind, bandwidth, efficiency, tflops, layer_us, what) \
    {family, from, to, kind, bandwidth, efficiency, tflops, layer_us, what},
#include "../../tables/hardware.def"
#undef HARDWARE
};
static const struct {
    const char *name;
    double rtt_us, mbit;
    const char *what;
} links[] = {
#define LINK(name, rtt_us, mbit, what) {name, rtt_us, mbit, what},
#include "../../tables/links.def"
#undef LINK
};

/* The smallest and largest memory of a family. */
static void family_range(const char *family, uint32_t *ret_from, uint32_t *ret_to) {
    *ret_from = UINT32_MAX;
    *ret_to = 0;
    for (size_t i = 0; i < ARRAY_LEN(hardware); i++) {
        if (strcmp(hardware[i].family, family) != 0) continue;
        if (hardware[i].from < *ret_from) *ret_from = hardware[i].from;
        if (hardware[i].to > *ret_to) *ret_to = hardware[i].to;
    }
}

static err_code unknown_hardware(const char *name, struct err *e) {
    const char *names[ARRAY_LEN(hardware)];
    char family[64];
    uint32_t from, to;
    const char *dash = strrchr(name, '-');
    if (!name[0]) {
        err_set(e, ERR_INVALID, "a machine's name is missing in the fleet");
        err_hint(e, "for example 8xmac-mini-m4-64 or 2xrtx3090-24+pc-ddr5-64; `caravan plan --list` names all");
        return ERR_INVALID;
    }
    for (size_t i = 0; i < ARRAY_LEN(hardware); i++) names[i] = hardware[i].family;
    snprintf(family, sizeof(family), "%.*s", dash ? (int)(dash - name) : 63, name);
    const char *near = str_nearest(family, names, ARRAY_LEN(hardware));
    if (!near) near = str_nearest(name, names, ARRAY_LEN(hardware)); /* without a size */
    if (!near) {
        err_set(e, ERR_INVALID, "no hardware is called \"%s\"", name);
        err_hint(e, "name it family-GB, such as mac-m4-pro-64, rtx3090-24, pc-ddr5-64; `caravan plan --list` names all");
        return ERR_INVALID;
    }
    family_range(near, &from, &to);
    err_set(e, ERR_INVALID, "no hardware is called \"%s\"", name);
    if (strcasecmp(near, family) != 0 && strcasecmp(near, name) != 0)
        err_hint(e, "did you mean %s-%u (there are such with %u to %u GB)? `caravan plan --list` names all", near, to, from, to);
    else if (from == to) err_hint(e, "it comes with %u GB: %s-%u", to, near, to);
    else err_hint(e, "it comes with %u to %u GB: %s-%u", from, to, near, to);
    return ERR_INVALID;
}

/* "rtx3090-24" becomes one more device of the node. */
static err_code add_device(struct plan_node *n, const char *name, struct err *e) {
    const char *dash = strrchr(name, '-');
    int64_t gb = 0;
    if (!dash || !str_parse_i64(dash + 1, &gb)) return unknown_hardware(name, e);
    for (size_t i = 0; i < ARRAY_LEN(hardware); i++) {
        const struct hardware *h = &hardware[i];
        if (strlen(h->family) != (size_t)(dash - name) || strncasecmp(h->family, name, strlen(h->family)) != 0) continue;
        if (gb < h->from || gb > h->to) continue;
        if (n->n_devices == PLAN_MAX_DEVICES) return err_set(e, ERR_LIMIT, "more than %d devices in one machine", PLAN_MAX_DEVICES);
        struct plan_device *d = &n->devices[n->n_devices++];
        uint64_t total = (uint64_t)gb * GIB;
        *d = (struct plan_device){.gpu = h->kind != RAM,
                                  .memory = h->kind == CARD ? total - CARD_RESERVE : total - total / 8,
                                  .bandwidth = h->bandwidth * h->efficiency * 1e9,
                                  .flops = h->tflops * 1e12,
                                  .layer_s = h->layer_us / 1e6};
        snprintf(d->name, sizeof(d->name), "%s", h->family);
        n->memory += d->memory;
        return ERR_OK;
    }
    return unknown_hardware(name, e);
}

/* "8xNAME": returns the number and moves *text to the name. */
static uint32_t leading_count(const char **text) {
    char *end;
    unsigned long n = **text >= '0' && **text <= '9' ? strtoul(*text, &end, 10) : 0;
    if (n == 0 || n > 1000 || *end != 'x') return 1;
    *text = end + 1;
    return (uint32_t)n;
}

/* "3xpc-ddr5-64/2xrtx3090-24" */
static err_code add_group(struct fleet *f, const char *text, struct err *e) {
    struct plan_node node = {0};
    uint32_t count = leading_count(&text);
    const char *part, *whole = text;
    size_t len;
    for (const char *at = whole; str_next(&at, '/', &part, &len);) {
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)(len < 63 ? len : 63), part);
        const char *device = name;
        uint32_t cards = part == whole ? 1 : leading_count(&device);
        for (uint32_t i = 0; i < cards; i++) {
            err_code code = add_device(&node, device, e);
            if (code != ERR_OK) return code;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (f->n == FLEET_MAX_NODES) return err_set(e, ERR_LIMIT, "a fleet of more than %d machines", FLEET_MAX_NODES);
        f->nodes[f->n] = node;
        f->nodes[f->n].id = f->n + 1;
        snprintf(f->nodes[f->n].name, sizeof(node.name), "%.48s-%u", node.devices[0].name, f->n + 1);
        f->n++;
    }
    return ERR_OK;
}

static err_code set_links(struct fleet *f, const char *name, struct err *e) {
    const char *names[ARRAY_LEN(links)];
    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        names[i] = links[i].name;
        if (strcasecmp(name, links[i].name) != 0) continue;
        for (uint32_t a = 0; a < f->n; a++)
            for (uint32_t b = 0; b < f->n; b++)
                f->links[a][b] = (struct plan_link){.rtt_s = links[i].rtt_us / 1e6, .throughput = links[i].mbit * 1e6 / 8};
        return ERR_OK;
    }
    const char *near = str_nearest(name, names, ARRAY_LEN(links));
    if (name[0]) err_set(e, ERR_INVALID, "no link is called \"%s\"", name);
    else err_set(e, ERR_INVALID, "the link's name is missing behind the comma");
    err_hint(e, "%s%s; `caravan plan --list` names all", near ? "did you mean " : "for example ",
             near ? near : "gbe, 10gbe, wifi6, wan-20ms");
    return ERR_INVALID;
}

err_code fleet_parse(const char *spec, struct fleet *ret, struct err *e) {
    const char *comma = strchr(spec, ','), *part;
    size_t len, all = comma ? (size_t)(comma - spec) : strlen(spec);
    char *machines = mem_strndup(spec, all);
    err_code code = ERR_OK;
    memset(ret, 0, sizeof(*ret));
    for (const char *at = machines; code == ERR_OK && str_next(&at, '+', &part, &len);) {
        char *group = mem_strndup(part, len);
        code = add_group(ret, group, e);
        free(group);
    }
    free(machines);
    return code == ERR_OK ? set_links(ret, comma ? comma + 1 : "gbe", e) : code;
}

struct plan_link fleet_link(void *fleet, uint64_t from, uint64_t to) {
    const struct fleet *f = fleet;
    if (from < 1 || from > f->n || to < 1 || to > f->n) return (struct plan_link){0};
    return f->links[from - 1][to - 1];
}

void fleet_list(struct buf *out) {
    buf_append_str(out, "Hardware (family-GB):\n");
    for (size_t i = 0; i < ARRAY_LEN(hardware); i++)
        buf_printf(out, "  %-18s %3u to %4u GB  %5.0f GB/s  %s\n", hardware[i].family, hardware[i].from, hardware[i].to,
                   hardware[i].bandwidth, hardware[i].what);
    buf_append_str(out, "Links:\n");
    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        buf_printf(out, "  %-18s %6.0f us  %6.0f Mbit/s  %s\n", links[i].name, links[i].rtt_us, links[i].mbit, links[i].what);
}

/* ---- a running cluster ---- */

static void status_devices(yyjson_val *node, struct plan_node *n) {
    yyjson_val *d;
    size_t i, max;
    yyjson_arr_foreach(yyjson_obj_get(node, "devices"), i, max, d) {
        if (n->n_devices == PLAN_MAX_DEVICES) break;
        struct plan_device *out = &n->devices[n->n_devices++];
        const char *name = yyjson_get_str(yyjson_obj_get(d, "name"));
        snprintf(out->name, sizeof(out->name), "%s", name ? name : "");
        out->gpu = yyjson_get_bool(yyjson_obj_get(d, "gpu"));
        out->memory = yyjson_get_uint(yyjson_obj_get(d, "memory_free"));
        out->bandwidth = yyjson_get_num(yyjson_obj_get(d, "bandwidth"));
        out->flops = yyjson_get_num(yyjson_obj_get(d, "flops"));
    }
}

static void status_links(struct fleet *f, uint32_t at, yyjson_val *node, yyjson_val *nodes) {
    yyjson_val *l, *other;
    size_t i, max, k, n;
    yyjson_arr_foreach(yyjson_obj_get(node, "links"), i, max, l) {
        const char *id = yyjson_get_str(yyjson_obj_get(l, "id"));
        yyjson_arr_foreach(nodes, k, n, other) {
            if (k >= f->n || !id || !yyjson_equals_str(yyjson_obj_get(other, "id"), id)) continue;
            f->links[at][k] =
                (struct plan_link){.rtt_s = yyjson_get_num(yyjson_obj_get(l, "rtt_us")) / 1e6,
                                   .throughput = yyjson_get_num(yyjson_obj_get(l, "bytes_per_second")),
                                   .reach = yyjson_equals_str(yyjson_obj_get(l, "reach"), "no") ? PLAN_REACHES_NOT : PLAN_REACHES};
        }
    }
}

err_code fleet_from_status(yyjson_val *root, struct fleet *ret, struct err *e) {
    yyjson_val *nodes = yyjson_obj_get(root, "nodes"), *node, *stage;
    size_t i, max, k, n;
    uint64_t ids[FLEET_MAX_NODES] = {0};
    memset(ret, 0, sizeof(*ret));
    if (!yyjson_is_arr(nodes)) return err_set(e, ERR_INVALID, "the node's status has no nodes");
    yyjson_arr_foreach(nodes, i, max, node) {
        if (ret->n == FLEET_MAX_NODES) break;
        struct plan_node *out = &ret->nodes[ret->n++];
        const char *name = yyjson_get_str(yyjson_obj_get(node, "name"));
        out->id = ret->n;
        json_get_id(node, "id", &ids[ret->n - 1], NULL);
        snprintf(out->name, sizeof(out->name), "%s", name ? name : "");
        uint64_t used = 0, offered = yyjson_get_uint(yyjson_obj_get(node, "memory"));
        yyjson_arr_foreach(yyjson_obj_get(node, "stages"), k, n, stage) used += yyjson_get_uint(yyjson_obj_get(stage, "bytes"));
        out->memory = offered > used ? offered - used : 0;
        status_devices(node, out);
    }
    yyjson_arr_foreach(nodes, i, max, node) if (i < ret->n) status_links(ret, (uint32_t)i, node, nodes);
    plan_tell_apart(ret->nodes, ret->n, ids);
    return ERR_OK;
}
