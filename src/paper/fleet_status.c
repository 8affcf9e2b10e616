/* SPDX-License-Identifier: MIT
 * See fleet.h: a running cluster. */
#include <stdio.h>
#include <string.h>

#include "paper/fleet.h"

static void status_devices(yyjson_val *node, struct plan_node *n) {
    yyjson_val *d;
    size_t i, max;
    yyjson_arr_foreach(json_some(yyjson_obj_get(node, "devices")), i, max, d) {
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
    yyjson_arr_foreach(json_some(yyjson_obj_get(node, "links")), i, max, l) {
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

/* Does this copy leave its memory free? */
static bool status_leaves(yyjson_val *models, const char *instance, const struct fleet_without *w) {
    yyjson_val *m;
    size_t i, n;
    if (!w || !instance) return false;
    if (strcmp(instance, w->instance) == 0) return true;
    yyjson_arr_foreach(models, i, n, m) if (w->model[0] && yyjson_equals_str(yyjson_obj_get(m, "name"), w->model) &&
                                            yyjson_equals_str(yyjson_obj_get(m, "instance"), instance)) return true;
    return false;
}

/* Bytes that the stages of a node take. */
static uint64_t status_used(yyjson_val *models, yyjson_val *node, const struct fleet_without *w) {
    yyjson_val *stage;
    size_t k, n;
    uint64_t used = 0;
    yyjson_arr_foreach(json_some(yyjson_obj_get(node, "stages")), k, n,
                       stage) if (!status_leaves(models, yyjson_get_str(yyjson_obj_get(stage, "instance")), w)) used +=
        yyjson_get_uint(yyjson_obj_get(stage, "bytes"));
    return used;
}

err_code fleet_from_status(yyjson_val *root, const struct fleet_without *without, struct fleet *ret, struct err *e) {
    yyjson_val *nodes = yyjson_obj_get(root, "nodes"), *node;
    size_t i, max;
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
        uint64_t used = status_used(json_some(yyjson_obj_get(root, "models")), node, without),
                 offered = yyjson_get_uint(yyjson_obj_get(node, "memory"));
        out->cpu_moe = (int32_t)yyjson_get_sint(yyjson_obj_get(node, "cpu_moe"));
        out->memory = offered > used ? offered - used : 0;
        ret->said[ret->n - 1].disk = yyjson_get_num(yyjson_obj_get(node, "disk"));
        status_devices(node, out);
        if (without && without->node != 0 && ids[ret->n - 1] == without->node) out->memory = 0; /* it holds nothing any more */
    }
    yyjson_arr_foreach(nodes, i, max, node) if (i < ret->n) status_links(ret, (uint32_t)i, node, nodes);
    plan_tell_apart(ret->nodes, ret->n, ids);
    return ERR_OK;
}
