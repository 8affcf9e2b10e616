/* SPDX-License-Identifier: MIT
 * The machines of a plan: hardware on paper, in words (fleet.c) or in a file (fleet_file.c), or the cluster that a running node's status
 * describes (fleet_status.c). Values; only fleet_open() does I/O. Any thread. */
#ifndef CARAVAN_PAPER_FLEET_H
#define CARAVAN_PAPER_FLEET_H

#include "base/json.h"
#include "paper/hardware.h"
#include "paper/prices.h"

enum { FLEET_MAX_NODES = 64 };

struct fleet {
    uint32_t n;
    struct plan_node nodes[FLEET_MAX_NODES]; /* ids are 1 to n */
    double gb[FLEET_MAX_NODES][PLAN_MAX_DEVICES]; /* memory of each device as it is sold */
    struct prices_machine said[FLEET_MAX_NODES];  /* price, watts and disk as whoever described it says; 0: nothing was said */
    struct plan_link links[FLEET_MAX_NODES][FLEET_MAX_NODES];
};

/* "8xmac-mini-m4-64,gbe"; "2xrtx3090-24+1xpc-ddr5-64,10gbe"; several devices in one machine: "pc-ddr5-64/2xrtx3090-24"; own hardware
 * (hardware_own): "mine:24GB@900GB/s,tflops=40"; a machine with a link of its own: "pi5-8@wifi6". Between two machines half of each
 * link's round trip counts, and the slower throughput. Without a link: gbe. ERR_INVALID names the unknown word and the nearest known
 * ones; ERR_LIMIT: more machines than FLEET_MAX_NODES. */
err_code fleet_parse(const char *spec, struct fleet *ret, struct err *e);
/* What fleet_parse takes, or the path of a file that fleet_from_json takes: one that ends in ".json", or has a slash and is there.
 * ERR_NOT_FOUND, ERR_IO and the errors of those two. */
err_code fleet_open(const char *spec, struct fleet *ret, struct err *e);
/* {"machines": [{"hardware": "pc-ddr5-64/2xrtx3090-24", ...}, ...], "link": "10gbe", "links": [...]}: docs/PLANNER.md has all of it.
 * `where`: the file, for errors. */
err_code fleet_from_json(yyjson_val *root, const char *where, struct fleet *ret, struct err *e);
/* From /caravan/v1/status: each node's remaining offer and its profile, and the round trips. without: what is
 * taken away first; NULL: nothing. ERR_INVALID: the JSON is not a status. */
struct fleet_without {
    uint64_t node;        /* offers nothing; 0: none */
    const char *instance; /* this copy leaves its memory free; "": none */
    const char *model;    /* likewise all copies of this model, which is to be placed anew; "": none */
};
err_code fleet_from_status(yyjson_val *root, const struct fleet_without *without, struct fleet *ret, struct err *e);
/* For plan_wish.link, with the fleet as link_user. */
struct plan_link fleet_link(void *fleet, uint64_t from, uint64_t to);

/* ---- for the files above ---- */

struct fleet_machine {
    struct plan_node node;
    double gb[PLAN_MAX_DEVICES];
    struct prices_machine said;
};
err_code fleet_machine_add(struct fleet_machine *m, const struct hardware *h, struct err *e); /* one more device; ERR_LIMIT */
/* One machine as in the spec, without a count: "pc-ddr5-64/2xrtx3090-24". Its devices are added to the machine. */
err_code fleet_machine_parse(const char *text, struct fleet_machine *m, struct err *e);
err_code fleet_add(struct fleet *f, const struct fleet_machine *m, struct err *e); /* gives it its id; ERR_LIMIT */
/* Between machines that each have a link of their own: links[i] is of machine i. */
void fleet_join_links(struct fleet *f, const struct plan_link *links);

#endif
