/* SPDX-License-Identifier: MIT
 * See node_priv.h. What a node does as time passes and as things change: each part has its turn. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "node/node_priv.h"

void node_update(struct node *n) {
    if (n->stopping) return;
    if (!measure_is_first(n->measure)) serve_update(n->serve); /* else a model would miss the GPUs */
    saved_update(n->saved);
    balance_update(n->balance);
    calls_update(n->calls);
}

void node_tell(void *user) {
    struct node *n = user;
    if (n->stopping) return;
    members_speak(n->members);
    node_update(n);
}

void node_tick(void *user) {
    struct node *n = user;
    if (n->stopping && stages_count(n->stages) == 0) io_loop_stop(n->loop);
    holdings_look(n->holdings);
    catalog_tick(n->catalog);
    pulls_tick(n->pulls);
    names_review(n->names);
    balance_tell(n->balance);
    node_update(n);
    join_tick(n->join);
    members_meet(n->members);
    reach_tick(n->reach);
    bool busy = calls_count(n->calls) > 0;
    links_tick(n->links, busy || measure_runs(n->measure));
    measure_tick(n->measure, busy || n->stopping);
}

/* ---- the first look at the models folder ---- */

/* For people and programs: where this node is. */
static void node_say_ready(struct node *n) {
    char size[STR_SHORT];
    log_info("node", "%s offers %s to models, and listens on port %u for other nodes", n->name, str_size(n->memory, size),
             port_number(n->port));
    log_info("node", strchr(n->config->api.host, ':') ? "API at http://[%s]:%u/v1" : "API at http://%s:%u/v1", n->config->api.host,
             endpoint_port(n->endpoint));
    if (n->config->models_dir && !n->config->model && n->config->n_peers == 0 && catalog_count(n->catalog) == 0)
        log_info("models",
                 "there are none in \"%s\" yet: `caravan pull hf:OWNER/REPO` fetches one, `caravan load FILE` loads any GGUF file",
                 n->config->models_dir);
    if (n->config->ready_fd < 0) return;
    dprintf(n->config->ready_fd, "{\"api\":%u,\"listen\":%u}\n", endpoint_port(n->endpoint), port_number(n->port));
    close(n->config->ready_fd);
}

/* The models folder has been looked through, or does not answer: now the others may know of this node. */
static void node_begin(struct node *n) {
    io_timer_close(n->first_look);
    n->first_look = NULL;
    if (n->stopping) return;
    for (size_t i = 0; i < n->config->n_peers; i++) control_dial(n->control, n->config->peers[i].host, n->config->peers[i].port);
    join_start(n->join, endpoint_port(n->endpoint));
    join_routes_add(n->join, n->endpoint);
    news_own(&n->news);
    node_say_ready(n);
}

void node_looked(struct node *n) {
    if (n->first_look) node_begin(n);
}

void node_look_late(void *user) {
    struct node *n = user;
    if (n->config->models_dir)
        log_warn("models", "the folder \"%s\" does not answer: its models appear when it does", n->config->models_dir);
    node_begin(n);
}
