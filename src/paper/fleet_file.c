/* SPDX-License-Identifier: MIT
 * See fleet.h: fleets in a file. A word that the file's format does not have is an error, so that a slip is not passed over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/json_file.h"
#include "base/mem.h"
#include "base/str.h"
#include "paper/fleet.h"
#include "paper/near.h"

enum { MAX_FILE = 1 << 20 };

/* A file that is being read. */
struct source {
    struct fleet *fleet;
    char names[FLEET_MAX_NODES][64]; /* as the file calls the machines: of "count": 3 all have one */
    struct plan_link own[FLEET_MAX_NODES];
};

/* Each key of the object must be one of these. */
static err_code check_keys(yyjson_val *obj, const char *const *keys, size_t n, struct err *e) {
    size_t i, max;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(obj)) return err_set(e, ERR_INVALID, "expected an object in braces");
    yyjson_obj_foreach(obj, i, max, key, value) {
        const char *name = yyjson_get_str(key), *near[NEAR_MOST];
        bool known = false;
        for (size_t k = 0; k < n; k++) known = known || strcmp(keys[k], name) == 0;
        if (known) continue;
        struct buf b;
        buf_init(&b, 1 << 10);
        size_t found = near_names(name, keys, n, near);
        if (found > 0) near_put(&b, near, found);
        else
            for (size_t k = 0; k < n; k++) buf_printf(&b, "%s%s", k ? ", " : "", keys[k]);
        err_set(e, ERR_INVALID, "\"%.60s\" is not known here", name);
        err_hint(e, found > 0 ? "did you mean %s?" : "there are: %s", buf_cstr(&b));
        buf_done(&b);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* A link's name, or {"rtt_us": 200, "mbit": 40000}. Missing: *ret stays. */
static err_code read_link(yyjson_val *v, struct plan_link *ret, struct err *e) {
    static const char *const keys[] = {"rtt_us", "mbit"};
    double rtt = 0, mbit = 0;
    if (!v || yyjson_is_null(v)) return ERR_OK;
    if (yyjson_is_str(v)) return hardware_link(yyjson_get_str(v), ret, e);
    err_code code = check_keys(v, keys, ARRAY_LEN(keys), e);
    if (code == ERR_OK) code = json_get_double(v, "rtt_us", 1, 1e8, &rtt, e);
    if (code == ERR_OK) code = json_get_double(v, "mbit", 0.01, 1e8, &mbit, e);
    if (code == ERR_OK && (rtt <= 0 || mbit <= 0)) return err_set(e, ERR_INVALID, "a link needs both \"rtt_us\" and \"mbit\"");
    if (code == ERR_OK) *ret = (struct plan_link){.rtt_s = rtt / 1e6, .throughput = mbit * 1e6 / 8};
    return code;
}

static err_code read_device(yyjson_val *v, struct fleet_machine *m, struct err *e) {
    static const char *const keys[] = {"name", "kind", "memory_gb", "bandwidth_gbs", "tflops", "layer_us", "efficiency"};
    struct hardware h = {0};
    const char *kind = "unified";
    double gbs = 0, tflops = 0, us = 0, efficiency = HARDWARE_OWN_EFFICIENCY;
    bool known;
    snprintf(h.name, sizeof(h.name), "own");
    err_code code = check_keys(v, keys, ARRAY_LEN(keys), e);
    if (code == ERR_OK) code = json_get_line(v, "name", h.name, sizeof(h.name), e);
    if (code == ERR_OK) code = json_get_str(v, "kind", &kind, e);
    if (code == ERR_OK) code = json_get_double(v, "memory_gb", 0.0625, 1e6, &h.gb, e);
    if (code == ERR_OK) code = json_get_double(v, "bandwidth_gbs", 0.1, 1e6, &gbs, e);
    if (code == ERR_OK) code = json_get_double(v, "tflops", 0.001, 1e6, &tflops, e);
    if (code == ERR_OK) code = json_get_double(v, "layer_us", 0, 1e6, &us, e);
    if (code == ERR_OK) code = json_get_double(v, "efficiency", 0.01, 1, &efficiency, e);
    if (code != ERR_OK) return code;
    h.kind = hardware_kind_of(kind, &known);
    if (!known) return err_set(e, ERR_INVALID, "\"kind\" is card, ram, mac or unified, not \"%.40s\"", kind);
    if (h.gb <= 0 || gbs <= 0) return err_set(e, ERR_INVALID, "a device needs \"memory_gb\" and \"bandwidth_gbs\"");
    h.bandwidth = gbs * efficiency * 1e9;
    h.flops = tflops * 1e12;
    h.layer_s = us / 1e6;
    hardware_guess(&h);
    return fleet_machine_add(m, &h, e);
}

static err_code read_devices(yyjson_val *machine, struct fleet_machine *m, struct err *e) {
    yyjson_val *list = yyjson_obj_get(machine, "devices"), *device;
    const char *hardware = NULL;
    size_t i, max;
    err_code code = json_get_str(machine, "hardware", &hardware, e);
    if (code == ERR_OK && list && !yyjson_is_arr(list)) code = err_set(e, ERR_INVALID, "\"devices\" is a list");
    if (code == ERR_OK && hardware) code = fleet_machine_parse(hardware, m, e);
    yyjson_arr_foreach(json_some(list), i, max, device) if (code == ERR_OK) code = read_device(device, m, e);
    if (code == ERR_OK && m->node.n_devices == 0) {
        code = err_set(e, ERR_INVALID, "it has neither \"hardware\" nor \"devices\"");
        err_hint(e, "\"hardware\": \"rtx3090-24\", or \"devices\": [{\"memory_gb\": 24, \"bandwidth_gbs\": 936}]");
    }
    return code;
}

/* What the machine costs, draws and reads, where the file says it. */
static err_code read_costs(yyjson_val *v, struct prices_machine *said, struct err *e) {
    double disk = said->disk / 1e9;
    err_code code = json_get_double(v, "price", 0, 1e9, &said->dollars, e);
    if (code == ERR_OK) code = json_get_double(v, "watts_idle", 0, 1e6, &said->idle_w, e);
    if (code == ERR_OK) code = json_get_double(v, "watts_busy", 0, 1e6, &said->busy_w, e);
    if (code == ERR_OK) code = json_get_double(v, "disk_gbs", 0, 1e3, &disk, e);
    said->disk = disk * 1e9;
    return code;
}

static err_code read_machine(struct source *s, yyjson_val *v, const struct plan_link *all, struct err *e) {
    static const char *const keys[] = {"name",      "hardware", "devices",    "count",      "link",
                                       "memory_gb", "price",    "watts_idle", "watts_busy", "disk_gbs"};
    struct fleet_machine m = {0};
    struct plan_link link = *all;
    char name[48] = "";
    int64_t count = 1;
    double offer = 0;
    err_code code = check_keys(v, keys, ARRAY_LEN(keys), e);
    if (code == ERR_OK) code = json_get_line(v, "name", name, sizeof(name), e);
    if (code == ERR_OK) code = json_get_i64(v, "count", 1, FLEET_MAX_NODES, &count, e);
    if (code == ERR_OK) code = json_get_double(v, "memory_gb", 0.01, 1e6, &offer, e);
    if (code == ERR_OK) code = read_devices(v, &m, e);
    if (code == ERR_OK) code = read_costs(v, &m.said, e);
    if (code == ERR_OK) code = read_link(yyjson_obj_get(v, "link"), &link, e);
    if (code == ERR_OK && offer > 0) m.node.memory = (uint64_t)(offer * (double)(1u << 30));
    for (int64_t i = 0; i < count && code == ERR_OK; i++) {
        uint32_t at = s->fleet->n;
        if (!name[0]) snprintf(m.node.name, sizeof(m.node.name), "%.40s-%u", m.node.devices[0].name, at + 1);
        else if (count > 1) snprintf(m.node.name, sizeof(m.node.name), "%s-%d", name, (int)i + 1);
        else snprintf(m.node.name, sizeof(m.node.name), "%s", name);
        code = fleet_add(s->fleet, &m, e);
        if (code != ERR_OK) break;
        snprintf(s->names[at], sizeof(s->names[at]), "%s", name[0] ? name : m.node.name);
        s->own[at] = link;
    }
    return code;
}

/* Is machine i meant by this name: its own, or the one that all of its "count" have? */
static bool is_meant(const struct source *s, uint32_t i, const char *name) {
    return strcmp(s->fleet->nodes[i].name, name) == 0 || strcmp(s->names[i], name) == 0;
}

static err_code need_machine(const struct source *s, const char *name, struct err *e) {
    const char *names[FLEET_MAX_NODES], *near[NEAR_MOST];
    struct buf b;
    for (uint32_t i = 0; i < s->fleet->n; i++) {
        if (name && is_meant(s, i, name)) return ERR_OK;
        names[i] = s->fleet->nodes[i].name;
    }
    if (!name) return err_set(e, ERR_INVALID, "\"between\" is a list of two names of machines");
    err_set(e, ERR_INVALID, "no machine is called \"%.60s\"", name);
    buf_init(&b, 1 << 10);
    size_t n = near_names(name, names, s->fleet->n, near);
    near_put(&b, n ? near : names, n ? n : s->fleet->n < NEAR_MOST ? s->fleet->n : NEAR_MOST);
    err_hint(e, "%s%s", n ? "did you mean " : "there are: ", buf_cstr(&b));
    buf_done(&b);
    return ERR_INVALID;
}

/* {"between": ["a", "b"], "link": "thunderbolt5"} */
static err_code read_pair(struct source *s, yyjson_val *v, struct err *e) {
    static const char *const keys[] = {"between", "link"};
    struct plan_link link = {0};
    yyjson_val *between = yyjson_obj_get(v, "between");
    const char *a = yyjson_get_str(yyjson_arr_get(between, 0)), *b = yyjson_get_str(yyjson_arr_get(between, 1));
    err_code code = check_keys(v, keys, ARRAY_LEN(keys), e);
    if (code == ERR_OK && yyjson_arr_size(between) != 2) a = NULL;
    if (code == ERR_OK) code = need_machine(s, a, e);
    if (code == ERR_OK) code = need_machine(s, b, e);
    if (code == ERR_OK) code = read_link(yyjson_obj_get(v, "link"), &link, e);
    if (code == ERR_OK && link.rtt_s <= 0) code = err_set(e, ERR_INVALID, "\"link\" is missing");
    if (code != ERR_OK) return code;
    for (uint32_t i = 0; i < s->fleet->n; i++)
        for (uint32_t k = 0; k < s->fleet->n; k++)
            if (i != k && is_meant(s, i, a) && is_meant(s, k, b)) s->fleet->links[i][k] = s->fleet->links[k][i] = link;
    return ERR_OK;
}

static err_code read_all(struct source *s, yyjson_val *root, struct err *e) {
    static const char *const keys[] = {"machines", "link", "links"};
    yyjson_val *machines = yyjson_obj_get(root, "machines"), *pairs = yyjson_obj_get(root, "links"), *v;
    struct plan_link all;
    size_t i, max;
    err_code code = check_keys(root, keys, ARRAY_LEN(keys), e);
    if (code == ERR_OK && yyjson_arr_size(machines) == 0) code = err_set(e, ERR_INVALID, "\"machines\" is a list of one or more");
    if (code == ERR_OK && pairs && !yyjson_is_arr(pairs)) code = err_set(e, ERR_INVALID, "\"links\" is a list");
    if (code == ERR_OK) code = hardware_link("gbe", &all, e);
    if (code == ERR_OK) code = read_link(yyjson_obj_get(root, "link"), &all, e);
    if (code != ERR_OK) return code;
    yyjson_arr_foreach(machines, i, max, v) {
        if (code == ERR_OK) code = read_machine(s, v, &all, e);
        if (code != ERR_OK) return err_prefix(e, "machine %zu", i + 1), code;
    }
    fleet_join_links(s->fleet, s->own);
    yyjson_arr_foreach(json_some(pairs), i, max, v) {
        if (code == ERR_OK) code = read_pair(s, v, e);
        if (code != ERR_OK) return err_prefix(e, "link %zu", i + 1), code;
    }
    return code;
}

err_code fleet_from_json(yyjson_val *root, const char *where, struct fleet *ret, struct err *e) {
    struct source *s = MEM_NEW(struct source);
    memset(ret, 0, sizeof(*ret));
    s->fleet = ret;
    err_code code = read_all(s, root, e);
    if (code != ERR_OK) err_prefix(e, "\"%.100s\"", where);
    free(s);
    return code;
}

/* ---- a file, or words ---- */

static bool is_file(const char *spec) {
    size_t len = strlen(spec);
    if (len > 5 && strcasecmp(spec + len - 5, ".json") == 0) return true;
    return strchr(spec, '/') && access(spec, F_OK) == 0;
}

err_code fleet_open(const char *spec, struct fleet *ret, struct err *e) {
    yyjson_doc *doc = NULL;
    if (!is_file(spec)) return fleet_parse(spec, ret, e);
    err_code code = json_file_load(spec, "fleet", MAX_FILE, &doc, e);
    if (code == ERR_OK) code = fleet_from_json(yyjson_doc_get_root(doc), spec, ret, e);
    else if (code == ERR_FORMAT)
        err_hint(e, "such a file is JSON: {\"machines\": [{\"hardware\": \"mac-mini-m4-32\"}], \"link\": \"10gbe\"}");
    yyjson_doc_free(doc);
    return code;
}
