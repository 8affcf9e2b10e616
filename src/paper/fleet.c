/* SPDX-License-Identifier: MIT
 * See fleet.h: fleets in words. */
#include "paper/fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"

#define DEFAULT_LINK "gbe"

err_code fleet_add(struct fleet *f, const struct fleet_machine *m, struct err *e) {
    if (f->n == FLEET_MAX_NODES) return err_set(e, ERR_LIMIT, "a fleet of more than %d machines", FLEET_MAX_NODES);
    f->nodes[f->n] = m->node;
    memcpy(f->gb[f->n], m->gb, sizeof(m->gb));
    f->said[f->n] = m->said;
    f->nodes[f->n].id = f->n + 1;
    f->n++;
    return ERR_OK;
}

struct plan_link fleet_link(void *fleet, uint64_t from, uint64_t to) {
    const struct fleet *f = fleet;
    if (from < 1 || from > f->n || to < 1 || to > f->n) return (struct plan_link){0};
    return f->links[from - 1][to - 1];
}

void fleet_join_links(struct fleet *f, const struct plan_link *links) {
    for (uint32_t a = 0; a < f->n; a++)
        for (uint32_t b = 0; b < f->n; b++) {
            const struct plan_link *x = &links[a], *y = &links[b];
            f->links[a][b] = (struct plan_link){.rtt_s = (x->rtt_s + y->rtt_s) / 2,
                                                .throughput = x->throughput < y->throughput ? x->throughput : y->throughput};
        }
}

/* ---- one machine ---- */

err_code fleet_machine_add(struct fleet_machine *m, const struct hardware *h, struct err *e) {
    struct plan_node *n = &m->node;
    if (n->n_devices == PLAN_MAX_DEVICES) return err_set(e, ERR_LIMIT, "more than %d devices in one machine", PLAN_MAX_DEVICES);
    n->cpu_moe = PLAN_MOE_AUTO;
    m->gb[n->n_devices] = h->gb;
    m->said.dollars += h->price;
    m->said.idle_w += h->idle_w;
    m->said.busy_w += h->busy_w;
    n->devices[n->n_devices] = hardware_device(h);
    n->memory += n->devices[n->n_devices++].memory;
    return ERR_OK;
}

static err_code add_device(struct fleet_machine *m, const char *name, struct err *e) {
    struct hardware h;
    err_code code = strchr(name, ':') ? hardware_own(name, &h, e) : hardware_named(name, &h, e);
    return code == ERR_OK ? fleet_machine_add(m, &h, e) : code;
}

/* "8xNAME": returns the number and moves *text to the name. */
static uint32_t leading_count(const char **text) {
    char *end;
    unsigned long n = **text >= '0' && **text <= '9' ? strtoul(*text, &end, 10) : 0;
    if (n == 0 || n > 1000 || *end != 'x') return 1;
    *text = end + 1;
    return (uint32_t)n;
}

/* The slash that ends a device: not the one of "GB/s". */
static const char *device_end(const char *text) {
    const char *at = strchr(text, '/');
    while (at && strchr("sS", at[1]) && at[1] && strchr(",/@+ ", at[2])) at = strchr(at + 1, '/');
    return at;
}

err_code fleet_machine_parse(const char *text, struct fleet_machine *m, struct err *e) {
    for (const char *at = text, *end; at; at = end ? end + 1 : NULL) {
        end = device_end(at);
        const char *device;
        char *part = end ? mem_strndup(at, (size_t)(end - at)) : mem_strdup(at);
        err_code code = ERR_OK;
        device = part;
        for (uint32_t n = at == text ? 1 : leading_count(&device); n > 0 && code == ERR_OK; n--) code = add_device(m, device, e);
        free(part);
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

/* ---- all machines ---- */

/* A fleet that is being read: the machines' own links. */
struct reading {
    struct fleet *fleet;
    struct plan_link link, own[FLEET_MAX_NODES];
};

/* The last device of a machine. */
static const char *last_device(const char *text) {
    for (const char *end = device_end(text); end; end = device_end(text)) text = end + 1;
    return text;
}

/* Cuts "@LINK" off the end of a machine. The first @ of own hardware is its bandwidth. NULL: it has none. */
static char *own_link(char *text) {
    char *at = strrchr(text, '@');
    const char *device = last_device(text);
    if (!at || strchr(at, ',') || (strchr(device, ':') && strchr(device, '@') == at)) return NULL;
    *at = '\0';
    return at + 1;
}

/* "3xpc-ddr5-64/2xrtx3090-24@10gbe" */
static err_code add_group(struct reading *r, char *text, struct err *e) {
    struct fleet_machine m = {0};
    struct plan_link link = r->link;
    const char *name = text, *own = own_link(text);
    uint32_t count = leading_count(&name);
    err_code code = fleet_machine_parse(name, &m, e);
    if (code == ERR_OK && own) code = hardware_link(own, &link, e);
    for (uint32_t i = 0; i < count && code == ERR_OK; i++) {
        uint32_t at = r->fleet->n;
        snprintf(m.node.name, sizeof(m.node.name), "%.48s-%u", m.node.devices[0].name, at + 1);
        code = fleet_add(r->fleet, &m, e);
        if (code == ERR_OK) r->own[at] = link;
    }
    return code;
}

/* The link of all machines, behind the last comma: a word without '=', which would belong to a machine. Returns where the machines end. */
static size_t split_link(const char *spec, const char **ret_link) {
    const char *comma = strrchr(spec, ',');
    *ret_link = DEFAULT_LINK;
    if (!comma || strchr(comma, '=')) return strlen(spec);
    *ret_link = comma + 1;
    return (size_t)(comma - spec);
}

err_code fleet_parse(const char *spec, struct fleet *ret, struct err *e) {
    const char *link, *part;
    size_t len, all = split_link(spec, &link);
    struct reading *r = MEM_NEW(struct reading);
    char *machines = mem_strndup(spec, all);
    memset(ret, 0, sizeof(*ret));
    r->fleet = ret;
    err_code code = hardware_link(link, &r->link, e);
    for (const char *at = machines; code == ERR_OK && str_next(&at, '+', &part, &len);) {
        char *group = mem_strndup(part, len);
        code = add_group(r, group, e);
        free(group);
    }
    fleet_join_links(ret, r->own);
    free(machines);
    free(r);
    return code;
}
