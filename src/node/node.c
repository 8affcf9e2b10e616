/* SPDX-License-Identifier: MIT
 * See node.h and node_priv.h. The life of a node: its parts are made from the lowest to the highest, run, drained, and freed. */
#include "node/node.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "gateway/keys.h"
#include "node/node_priv.h"
#include "os/machine.h"
#include "os/os.h"
#include "plan/profile.h"
#include "stage/prefixes.h"

enum { TICK_MS = 500, DRAIN_MS = 10000, FIRST_LOOK_MS = 10000 };

/* ---- the beginning ---- */

static err_code node_open_join(struct node *n, struct err *e) {
    const struct node_config *c = n->config;
    const struct join_config config = {.loop = n->loop,
                                       .program = c->program,
                                       .name = n->name,
                                       .state_dir = c->state_dir,
                                       .key_file = c->key_file,
                                       .listen_host = c->listen.host,
                                       .api_host = c->api.host,
                                       .discovery = c->discovery,
                                       .interfaces = c->interfaces,
                                       .n_interfaces = c->n_interfaces};
    err_code code = join_open(&config, &n->join, e);
    n->id = join_identity(n->join)->id;
    return code;
}

/* The parts through which this node is reached, and knows the others. */
static err_code node_open_links(struct node *n, struct err *e) {
    const struct node_config *c = n->config;
    const char *host = c->listen.host[0] ? c->listen.host : "::";
    err_code code = port_open(n->loop, host, c->listen.port, &node_port_callbacks, n, &n->port, e);
    if (code != ERR_OK) {
        err_hint(e, "is another node running here? --listen ADDR:PORT takes another port");
        return code;
    }
    const struct control_self self = {.identity = join_identity(n->join), .name = n->name, .port = port_number(n->port)};
    n->control = control_create(n->loop, cluster_key_tls(join_key(n->join)), &self, &node_control_callbacks, n);
    n->core = coordinator_create(n->id, join_tag(n->join));
    coordinator_tune(n->core, &c->tuning);
    n->stages = stages_create(n->loop, c->program, &node_stages_callbacks, n);
    n->weights = weights_server_create(cluster_key_tls(join_key(n->join)), join_identity(n->join)->secret, c->cache);
    n->members = members_create(&(struct members_parts){.loop = n->loop,
                                                        .identity = join_identity(n->join),
                                                        .control = n->control,
                                                        .records = &n->records,
                                                        .news = &n->news,
                                                        .callbacks = node_members_callbacks,
                                                        .user = n});
    n->sleepers = sleepers_create(&(struct sleepers_parts){
        .self = n->id, .name = n->name, .known = join_known(n->join), .control = n->control, .records = &n->records});
    n->reach = reach_create(&(struct reach_parts){.loop = n->loop, .control = n->control, .news = &n->news});
    n->callback = callback_create(&(struct callback_parts){
        .loop = n->loop, .self = n->id, .control = n->control, .reach = n->reach, .records = &n->records, .adopt = node_adopt, .user = n});
    join_connect(n->join,
                 &(struct join_parts){
                     .control = n->control, .members = n->members, .weights = n->weights, .news = &n->news, .port = port_number(n->port)});
    return ERR_OK;
}

/* The parts that measure, and those that know files. */
static void node_open_knowledge(struct node *n) {
    const struct node_config *c = n->config;
    n->measure = measure_create(&(struct measure_parts){.loop = n->loop,
                                                        .program = c->program,
                                                        .path = c->profile,
                                                        .models_dir = c->models_dir,
                                                        .threads = {c->load.n_threads, c->load.n_threads_batch},
                                                        .n_gpu_layers = c->load.n_gpu_layers,
                                                        .n_cpu_moe = c->load.n_cpu_moe,
                                                        .moe_cache = (uint64_t)c->load.moe_cache_mib << 20,
                                                        .devices = c->load.devices,
                                                        .gpu_memory = c->gpu_memory,
                                                        .more_backends = c->load.more_backends,
                                                        .memory_given = c->memory != 0,
                                                        .news = &n->news});
    n->links = links_create(&(struct links_parts){
        .self = n->id, .state_dir = c->state_dir, .control = n->control, .reach = n->reach, .records = &n->records, .news = &n->news});
    n->ways = ways_create(n->loop);
    n->learned = learned_create(&(struct learned_parts){
        .self = n->id, .state_dir = c->state_dir, .core = n->core, .links = n->links, .records = &n->records, .news = &n->news});
    n->architectures =
        architectures_create(&(struct architectures_parts){.loop = n->loop, .program = c->program, .state_dir = c->state_dir});
    n->sizes = sizes_create(&(struct sizes_parts){.loop = n->loop, .program = c->program, .state_dir = c->state_dir});
    struct catalog_events events = node_catalog_events;
    events.user = n;
    n->catalog = catalog_create(n->loop, c->models_dir, c->cache, &events);
    n->files = files_create(&(struct files_parts){.loop = n->loop, .cache = c->cache, .catalog = n->catalog, .weights = n->weights});
    struct pulls_events pulled = node_pulls_events;
    pulled.user = n;
    n->pulls = pulls_create(
        n->loop,
        &(struct pulls_config){
            .dir = c->models_dir, .hf_endpoint = c->hf_endpoint, .ollama_registry = c->ollama_registry, .connections = c->connections},
        &pulled);
    n->holdings = holdings_create(&(struct holdings_parts){.loop = n->loop,
                                                           .cache = c->cache,
                                                           .cache_limit = c->cache_limit,
                                                           .state_dir = c->state_dir,
                                                           .weights = n->weights,
                                                           .stages = n->stages,
                                                           .control = n->control,
                                                           .records = &n->records,
                                                           .news = &n->news});
    holdings_look(n->holdings);
}

/* The parts that decide where requests go, and which models are loaded. */
static void node_open_models(struct node *n) {
    const struct node_config *c = n->config;
    const struct serve_config config = {.placement = c->placement,
                                        .replan = c->replan,
                                        .load = &c->load,
                                        .options = &c->options,
                                        .dtype = c->dtype,
                                        .dtype_auto = c->dtype_auto,
                                        .draft = c->draft,
                                        .mmproj = c->mmproj};
    const struct instances instances = {.self = n->id, .core = n->core, .records = &n->records};
    n->serve = serve_create(&(struct serve_parts){.self = n->id,
                                                  .config = config,
                                                  .core = n->core,
                                                  .control = n->control,
                                                  .records = &n->records,
                                                  .learned = n->learned,
                                                  .links = n->links,
                                                  .architectures = n->architectures,
                                                  .sizes = n->sizes,
                                                  .news = &n->news,
                                                  .weights = n->weights,
                                                  .cache = c->cache,
                                                  .callbacks = node_serve_callbacks,
                                                  .user = n});
    n->names = names_create(&(struct names_parts){
        .self = n->id, .core = n->core, .records = &n->records, .catalog = n->catalog, .serve = n->serve, .news = &n->news});
    n->model_header = model_header_create(
        &(struct model_header_parts){.loop = n->loop, .names = n->names, .catalog = n->catalog, .records = &n->records});
    n->model_list = model_list_create(&(struct model_list_parts){.instances = instances,
                                                                 .catalog = n->catalog,
                                                                 .serve = n->serve,
                                                                 .queue = c->queue,
                                                                 .load_on_demand = c->load_on_demand,
                                                                 .news = &n->news});
    n->balance = balance_create(&(struct balance_parts){.instances = instances,
                                                        .queue = c->queue,
                                                        .control = n->control,
                                                        .stages = n->stages,
                                                        .serve = n->serve,
                                                        .here = node_calls_here,
                                                        .waiting = node_waiting,
                                                        .user = n});
    n->calls = calls_create(&(struct calls_parts){.instances = instances,
                                                  .node_name = n->name,
                                                  .loop = n->loop,
                                                  .control = n->control,
                                                  .stages = n->stages,
                                                  .serve = n->serve,
                                                  .balance = n->balance,
                                                  .models = n->model_list,
                                                  .callbacks = node_calls_callbacks,
                                                  .user = n});
    n->models = models_create(&(struct models_parts){.self = n->id,
                                                     .node_name = n->name,
                                                     .core = n->core,
                                                     .serve = n->serve,
                                                     .catalog = n->catalog,
                                                     .files = n->files,
                                                     .pulls = n->pulls,
                                                     .drain = n->drain,
                                                     .names = n->names,
                                                     .records = &n->records,
                                                     .control = n->control});
}

/* Plans of models, which are not loaded. */
static void node_open_plans(struct node *n) {
    n->plan_asks = plan_asks_create(&(struct plan_asks_parts){.control = n->control, .records = &n->records});
    n->plan_route = plan_route_create(&(struct plan_route_parts){.loop = n->loop,
                                                                 .names = n->names,
                                                                 .models = n->models,
                                                                 .asks = n->plan_asks,
                                                                 .catalog = n->catalog,
                                                                 .status = node_status,
                                                                 .user = n});
}

/* A smaller --prefix-disk counts for what is there already, too; without the option nothing of what was said stays on the disk. */
static void node_trim_prefixes(const struct node *n) {
    const struct node_config *c = n->config;
    if (join_state_dir(n->join) == NULL || c->prefixes == NULL) return; /* the folder is another process's */
    uint64_t gone = prefixes_trim(c->prefixes, c->prefixes_limit);
    if (gone > 0)
        log_info("node", "kept prefixes of %.1f MB are deleted from the disk: --prefix-disk is %s", (double)gone / 1e6,
                 c->prefixes_limit > 0 ? "smaller now" : "off");
}

static void node_open_hold(struct node *n) {
    const struct node_config *c = n->config;
    node_trim_prefixes(n);
    n->hold = hold_create(&(struct hold_parts){.self = n->id,
                                               .identity = join_identity(n->join),
                                               .link_key = cluster_key_link(join_key(n->join)),
                                               .port = port_number(n->port),
                                               .memory = n->memory,
                                               .load = &c->load,
                                               .cache = c->cache,
                                               .cache_limit = c->cache_limit,
                                               .prefixes = c->prefixes,
                                               .prefixes_limit = c->prefixes_limit,
                                               .control = n->control,
                                               .stages = n->stages,
                                               .weights = n->weights,
                                               .catalog = n->catalog,
                                               .news = &n->news,
                                               .callbacks = node_hold_callbacks,
                                               .user = n});
}

static err_code node_open_gateway(struct node *n, struct err *e) {
    const struct node_config *c = n->config;
    struct endpoint_options o;
    endpoint_options_init(&o);
    o.host = c->api.host;
    o.port = c->api.port;
    o.keys = c->api_keys;
    o.n_keys = c->n_api_keys;
    o.own_key = join_own_key(n->join);
    o.state_path = c->state;
    o.retention_s = c->retention_s;
    if (c->uploads != NULL) o.uploads = *c->uploads;
    if (c->answers != NULL) o.cache = *c->answers;
    o.replay_s = c->replay_s;
    o.capture = c->capture;
    o.log_path = c->log;
    o.cors_origin = c->cors_origin;
    o.fetch_images = c->fetch_images;
    o.routes_path = c->routes;
    o.routes_needed = c->routes_needed;
    o.traces = c->traces;
    o.traces.node = n->name;
    o.traces.version = CARAVAN_VERSION;
    struct backend backend = calls_backend(n->calls);
    err_code code = endpoint_create(n->loop, &o, &backend, &n->endpoint, e);
    if (code != ERR_OK) return code;
    n->models_routes = (struct models_routes){.models = n->models,
                                              .backend = backend,
                                              .catalog = n->catalog,
                                              .records = &n->records,
                                              .balance = n->balance,
                                              .own_record = node_own_record,
                                              .user = n};
    models_routes_add(&n->models_routes, n->endpoint);
    model_header_add_route(n->model_header, n->endpoint);
    plan_route_add(n->plan_route, n->endpoint);
    sleepers_route_add(n->sleepers, n->endpoint);
    return ERR_OK;
}

/* A draft model that cannot be read would make every load of the model fail. */
static err_code node_check_draft(const char *path, struct err *e) {
    struct model_gguf *g = NULL;
    err_code code = model_gguf_open(path, &g, e);
    if (code != ERR_OK) err_prefix(e, "--draft");
    model_gguf_free(g);
    return code;
}

static err_code node_check_mmproj(const char *path, const struct model_layout *l, struct err *e) {
    err_code code = model_projector_check(path, l->n_embd, e);
    if (code != ERR_OK) err_prefix(e, "--mmproj");
    return code;
}

/* By absolute paths, since a node that takes the model over has another working directory. */
static err_code node_wish_adapters(const char *text, struct load_wish *wish, struct err *e) {
    char absolute[WISH_MAX_TEXT];
    err_code code = model_adapters_absolute(text, absolute, sizeof(absolute), e);
    if (code == ERR_OK && absolute[0] != '\0') wish_set_text(wish, WISH_LORA, absolute);
    if (code != ERR_OK) err_prefix(e, "--lora");
    return code;
}

/* The model of the command line. */
static err_code node_serve_named(struct node *n, struct err *e) {
    struct load_wish wish;
    struct serve_file *file;
    serve_own_wish(n->serve, &wish);
    wish_set(&wish, WISH_REPLICAS, n->config->replicas);
    wish_set(&wish, WISH_KEPT, true);
    wish_set(&wish, WISH_PINNED, true);
    err_code code = files_open_now(n->files, n->config->model, &file, e);
    if (code == ERR_OK) code = node_wish_adapters(n->config->lora, &wish, e);
    if (code == ERR_OK && n->config->draft[0]) code = node_check_draft(n->config->draft, e);
    if (code == ERR_OK && n->config->mmproj[0]) code = node_check_mmproj(n->config->mmproj, file->layout, e);
    if (code != ERR_OK) return code;
    char model[MODEL_NAME_SIZE];
    catalog_name(n->catalog, file->path, &file->card, model);
    return serve_open(n->serve, file, model, &wish, e);
}

/* ---- the end ---- */

static void node_drained(void *user) {
    struct node *n = user;
    struct stage_child *c;
    for (size_t i = 0; (c = stages_get(n->stages, i)); i++) stage_child_stop(c, true);
    node_tick(n);
}

static void node_stop_now(void *user) { io_loop_stop(((struct node *)user)->loop); }

static void node_on_signal(void *user, int signo) {
    struct node *n = user;
    if (signo == SIGHUP && n->config->routes_needed && !n->stopping) {
        endpoint_reload(n->endpoint);
        return;
    }
    if (n->stopping) {
        io_loop_stop(n->loop);
        return;
    }
    n->stopping = true;
    calls_stop(n->calls);
    models_stop(n->models);
    pulls_stop(n->pulls);
    log_info("node", "%s: finishing what runs (at most %d s; again to end at once)", strsignal(signo), DRAIN_MS / 1000);
    io_timer_start(n->stop_timer, DRAIN_MS, 0);
    io_timer_start(n->tick, 20, 20);
    endpoint_drain(n->endpoint, node_drained, n);
}

/* Some parts may not have been made. First go those that speak to others, then those that others use. */
static void node_free(struct node *n) {
    measure_free(n->measure);
    join_stop(n->join);
    endpoint_free(n->endpoint);
    files_stop(n->files);
    architectures_stop(n->architectures);
    sizes_stop(n->sizes);
    stages_free(n->stages);
    control_free(n->control);
    port_close(n->port);
    pulls_free(n->pulls);
    catalog_free(n->catalog);
    weights_server_free(n->weights);
    holdings_free(n->holdings);
    saved_close(n->saved);
    coordinator_free(n->core);
    serve_free(n->serve);
    files_free(n->files);
    architectures_free(n->architectures);
    sizes_free(n->sizes);
    models_free(n->models);
    hold_free(n->hold);
    calls_free(n->calls);
    balance_free(n->balance);
    model_list_free(n->model_list);
    model_header_free(n->model_header);
    plan_asks_free(n->plan_asks);
    plan_route_free(n->plan_route);
    names_free(n->names);
    learned_free(n->learned);
    links_free(n->links);
    ways_free(n->ways);
    members_free(n->members);
    callback_free(n->callback);
    reach_free(n->reach);
    sleepers_free(n->sleepers);
    records_done(&n->records);
    news_done(&n->news);
    drain_free(n->drain);
    join_free(n->join);
    io_timer_close(n->tick);
    io_timer_close(n->stop_timer);
    io_timer_close(n->first_look);
    for (size_t i = 0; i < ARRAY_LEN(n->signals); i++) io_signal_close(n->signals[i]);
    io_loop_free(n->loop);
    free(n);
}

/* ---- the whole ---- */

static bool is_ignored(int signo) {
    struct sigaction action;
    return sigaction(signo, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void node_open_clockwork(struct node *n) {
    static const int signals[] = {SIGTERM, SIGINT,
                                  SIGHUP}; /* SIGHUP: read the routes file again, or, without one, its terminal is gone; nohup ignores it */
    n->tick = io_timer_open(n->loop, node_tick, n);
    io_timer_start(n->tick, TICK_MS, TICK_MS);
    n->stop_timer = io_timer_open(n->loop, node_stop_now, n);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        if (!is_ignored(signals[i])) n->signals[i] = io_signal_open(n->loop, signals[i], node_on_signal, n);
    n->first_look = io_timer_open(n->loop, node_look_late, n);
    io_timer_start(n->first_look, n->config->models_dir ? FIRST_LOOK_MS : 0, 0);
}

static err_code node_open(struct node *n, struct err *e) {
    const struct node_config *c = n->config;
    os_memory_give_back(); /* a node runs for months, and reads the headers of models now and then */
    news_init(&n->news, n->loop, node_tell, n);
    err_code code = node_open_join(n, e);
    if (code == ERR_OK) code = node_open_links(n, e);
    if (code != ERR_OK) return code;
    n->drain = drain_open(join_state_dir(n->join), &n->news);
    node_open_knowledge(n);
    node_open_models(n);
    node_open_plans(n);
    node_open_hold(n);
    n->saved = saved_open(&(struct saved_parts){
        .state_dir = join_state_dir(n->join), .node_name = n->name, .core = n->core, .files = n->files, .news = &n->news});
    measure_start(n->measure); /* so that the model's sizes are asked for on the GPUs that are known from before */
    if (c->model) code = node_serve_named(n, e);
    if (code == ERR_OK) code = node_open_gateway(n, e);
    if (code != ERR_OK) return code;
    node_open_clockwork(n);
    catalog_look(n->catalog);
    return ERR_OK;
}

/* What the user says bounds the offer, and adds no memory. (Where all layers go to GPUs, it bounds what these offer.) */
static uint64_t node_offer(const struct node_config *c) {
    uint64_t all = machine_memory();
    char given[STR_SHORT], has[STR_SHORT];
    if (c->memory == 0) return profile_memory_offer();
    if (c->memory < 1 << 20)
        log_warn("node", "--memory %llu offers %llu bytes; sizes are written as 24G or 512M", (unsigned long long)c->memory,
                 (unsigned long long)c->memory);
    if (c->memory <= all || engine_load_has_gpu(&c->load)) return c->memory;
    log_warn("node", "--memory %s is more than the %s that this machine or its container has: what is free is offered",
             str_size(c->memory, given), str_size(all, has));
    return profile_memory_offer();
}

err_code node_run(const struct node_config *config, struct err *e) {
    struct node *n = MEM_NEW(struct node);
    n->config = config;
    char host[sizeof(n->name)] = "";
    if (gethostname(host, sizeof(host) - 1) != 0 || !host[0]) snprintf(host, sizeof(host), "node-%d", (int)getpid());
    const char *name = config->name && config->name[0] ? config->name : host;
    str_line(name, strlen(name), n->name, sizeof(n->name));
    log_set_node(n->name);
    n->memory = node_offer(config);
    io_raise_fd_limit();
    n->loop = io_loop_create();
    err_code code = n->loop ? node_open(n, e) : err_set(e, ERR_IO, "no descriptors are left for the event loop");
    if (code == ERR_OK) io_loop_run(n->loop);
    node_free(n);
    return code;
}
