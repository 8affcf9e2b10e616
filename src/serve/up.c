/* SPDX-License-Identifier: MIT
 * `caravan up`: this machine's node. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "batch/uploads.h"
#include "cli/cli.h"
#include "gateway/keys.h"
#include "http/fetch.h"
#include "manage/pull.h"
#include "members/interfaces.h"
#include "members/wish.h"
#include "node/node.h"
#include "plan/plan.h"
#include "serve/cache.h"
#include "serve/traces.h"
#include "serve/up.h"
#include "wire/stage.h"

enum { MAX_KEYS = 256 };

struct api_keys {
    struct gateway_key keys[MAX_KEYS];
    size_t n;
};

static err_code keys_add(struct api_keys *k, const char *text, struct err *e) {
    struct gateway_key key;
    err_code code = gateway_key_parse(text, strlen(text), &key, e);
    if (code != ERR_OK || !key.secret) return code;
    if (k->n < MAX_KEYS) {
        k->keys[k->n++] = key;
        return ERR_OK;
    }
    gateway_key_done(&key);
    return err_set(e, ERR_LIMIT, "more than %d API keys", MAX_KEYS);
}

static err_code keys_read_file(const char *path, struct api_keys *k, struct err *e) {
    FILE *f = fopen(path, "re");
    if (!f) return err_set_errno(e, ERR_NOT_FOUND, errno, "cannot read API keys from \"%s\"", path);
    char line[1024];
    size_t before = k->n;
    err_code code = ERR_OK;
    for (unsigned number = 1; code == ERR_OK && fgets(line, sizeof(line), f); number++) {
        bool whole = strchr(line, '\n') || feof(f);
        code = whole ? keys_add(k, line, e) : err_set(e, ERR_LIMIT, "longer than %zu bytes", sizeof(line) - 2);
        if (code != ERR_OK) err_prefix(e, "\"%s\" line %u", path, number);
    }
    fclose(f);
    if (code == ERR_OK && k->n == before) code = err_set(e, ERR_INVALID, "there is no API key in \"%s\"", path);
    return code;
}

/* --api-key and the lines of --api-key-file. */
static err_code keys_read(const struct options *o, struct api_keys *k, struct err *e) {
    char *const *given;
    err_code code = ERR_OK;
    size_t n = option_texts(o, OPT_API_KEY, &given);
    for (size_t i = 0; i < n && code == ERR_OK; i++) code = keys_add(k, given[i], e);
    const char *path = option_text(o, OPT_API_KEY_FILE);
    return code == ERR_OK && path[0] ? keys_read_file(path, k, e) : code;
}

static clock_us seconds(const struct options *o, enum option_id id) { return (clock_us)option_int(o, id) * 1000000; }

static struct coordinator_tuning up_tuning(const struct options *o) {
    return (struct coordinator_tuning){.up_wait = seconds(o, OPT_SCALE_UP_WAIT),
                                       .up_for = seconds(o, OPT_SCALE_UP_AFTER),
                                       .down_for = seconds(o, OPT_SCALE_DOWN_AFTER),
                                       .swap_wait = seconds(o, OPT_SWAP_WAIT)};
}

static err_code up_config(const struct options *o, const char *model, struct node_config *c, struct err *e) {
    char *const *peers;
    err_code code = cli_addr(option_text(o, OPT_LISTEN), "::", 7433, &c->listen, e);
    if (code == ERR_OK) code = cli_addr(option_text(o, OPT_API), "127.0.0.1", 8080, &c->api, e);
    size_t n = option_texts(o, OPT_PEER, &peers);
    if (code == ERR_OK && n > NODE_MAX_PEERS) code = err_set(e, ERR_LIMIT, "more than %d peers", NODE_MAX_PEERS);
    for (size_t i = 0; i < n && code == ERR_OK; i++) code = cli_addr(peers[i], NULL, 7433, &c->peers[c->n_peers++], e);
    struct plan_wish wish;
    if (code == ERR_OK) code = plan_wish_parse(option_text(o, OPT_PLACEMENT), &wish, e);
    if (code == ERR_OK && strlen(option_text(o, OPT_PLACEMENT)) >= WISH_MAX_TEXT) code = err_set(e, ERR_LIMIT, "--placement is too long");
    if (code == ERR_OK) code = cli_load(o, &c->load, e);
    c->program = cli_program();
    c->name = option_text(o, OPT_NAME);
    c->model = model;
    c->placement = option_text(o, OPT_PLACEMENT);
    bool up = o->command == COMMAND_UP; /* else a private node, for `run` */
    int64_t replicas = up ? option_int(o, OPT_REPLICAS) : 1;
    c->replicas = replicas > 0 ? (uint32_t)replicas : 0;
    if (up) c->tuning = up_tuning(o);
    c->wake = up && option_flag(o, OPT_WAKE);
    c->replan = up ? option_text(o, OPT_REPLAN) : "never";
    c->queue = up ? (uint32_t)option_int(o, OPT_QUEUE) : 256;
    c->memory = option_size(o, OPT_MEMORY);
    c->gpu_memory = option_size(o, OPT_GPU_MEMORY);
    c->dtype = cli_dtype(o, &c->dtype_auto);
    cli_stage_options(o, &c->options);
    c->draft = option_text(o, OPT_DRAFT);
    c->mmproj = option_text(o, OPT_MMPROJ);
    c->lora = option_text(o, OPT_LORA);
    if (code == ERR_OK && c->lora[0] && !c->model) {
        code = err_set(e, ERR_INVALID, "--lora without a model");
        err_hint(e, "name the model's file: caravan up MODEL --lora FILE");
    }
    c->ready_fd = (int)option_int(o, OPT_READY_FD);
    if (code == ERR_OK && c->draft[0] && access(c->draft, R_OK) != 0) {
        code = err_set_errno(e, ERR_NOT_FOUND, errno, "cannot read draft model \"%s\"", c->draft);
        err_hint(e, "give the path of a GGUF file");
    }
    if (code == ERR_OK && c->mmproj[0] && access(c->mmproj, R_OK) != 0) {
        code = err_set_errno(e, ERR_NOT_FOUND, errno, "cannot read projector \"%s\"", c->mmproj);
        err_hint(e, "give the path of a GGUF file, mostly called mmproj-NAME.gguf");
    }
    if (c->model && access(c->model, R_OK) != 0) {
        code = err_set_errno(e, ERR_NOT_FOUND, errno, "cannot read model \"%s\"", c->model);
        err_hint(e, "give the path of a GGUF file");
    }
    return code;
}

/* What the node and its processes write is kept, for `caravan logs`. */
static void up_log(const char *path) {
    struct err e = {0};
    err_code code = file_make_folders(path, &e);
    if (code == ERR_OK && !log_to_file(path)) code = err_set_errno(&e, ERR_IO, errno, "cannot write \"%s\"", path);
    if (code != ERR_OK) log_warn("node", "the log is not kept: %s", e.text);
}

static err_code up_interface(const char *name, struct err *e) {
    if (interfaces_has(name)) return ERR_OK;
    err_set(e, ERR_NOT_FOUND, "there is no network interface \"%s\"", name);
    err_hint(e, "`ip link` lists them");
    return ERR_NOT_FOUND;
}

err_code up_serve(const struct options *o, const char *model, bool private_node, int ready_fd, struct err *e) {
    struct node_config *c = MEM_NEW(struct node_config);
    struct api_keys keys = {0};
    struct serve_cache answers = {0};
    char *key_file = cli_key_path(o), *cache = cli_state_path(o, "weights"), *profile = cli_state_path(o, "profile.json"),
         *prefixes = cli_state_path(o, "prefixes"), *state = cli_state_path(o, "state.db"), *routes = cli_state_path(o, "routes.json"),
         *files = cli_state_path(o, "files");
    char *state_dir = cli_state_path(o, ""), *log = cli_state_path(o, "node.log"), *models_dir = cli_models_dir(o), *const * interfaces;
    err_code code = up_config(o, model, c, e);
    if (code == ERR_OK && !private_node) code = keys_read(o, &keys, e);
    if (private_node) {
        c->listen = c->api = (struct io_addr){.host = "127.0.0.1"};
        c->ready_fd = ready_fd;
    }
    c->api_keys = keys.keys;
    c->n_api_keys = keys.n;
    c->key_file = key_file;
    c->state_dir = private_node ? NULL : state_dir;
    c->discovery = !private_node && !option_flag(o, OPT_NO_DISCOVERY);
    if (!private_node) c->n_interfaces = option_texts(o, OPT_INTERFACE, &interfaces);
    if (c->n_interfaces > 0) c->interfaces = (const char *const *)interfaces;
    for (size_t i = 0; i < c->n_interfaces && code == ERR_OK; i++) code = up_interface(interfaces[i], e);
    c->models_dir = private_node ? NULL : models_dir;
    c->load_on_demand = !private_node && option_flag(o, OPT_LOAD_ON_DEMAND);
    c->cache = cache;
    c->cache_limit = option_size(o, OPT_CACHE_LIMIT);
    c->hf_endpoint = option_text(o, OPT_HF_ENDPOINT);
    c->ollama_registry = option_text(o, OPT_OLLAMA_REGISTRY);
    c->connections = (uint32_t)option_int(o, OPT_CONNECTIONS);
    c->prefixes = prefixes;
    c->prefixes_limit = private_node ? 0 : option_size(o, OPT_PREFIX_DISK);
    c->profile = private_node ? NULL : profile;
    c->cors_origin = option_text(o, OPT_CORS_ORIGIN);
    c->fetch_images = private_node ? "" : option_text(o, OPT_FETCH_IMAGES);
    if (code == ERR_OK && (code = http_fetch_check(c->fetch_images, e)) != ERR_OK) err_prefix(e, "--fetch-images");
    c->routes_needed = !private_node && option_text(o, OPT_ROUTES)[0] != '\0';
    if (!private_node) c->routes = c->routes_needed ? option_text(o, OPT_ROUTES) : routes;
    c->retention_s = option_int(o, OPT_RETENTION) * 86400;
    if (code == ERR_OK && !private_node) code = serve_cache_read(o, &answers, e);
    c->answers = &answers.options;
    if (!private_node) serve_traces(o, &c->traces);
    c->replay_s = (uint32_t)option_int(o, OPT_REPLAY_LIMIT);
    c->capture = (size_t)option_size(o, OPT_CAPTURE);
    if (!private_node) c->state = state;
    const struct uploads_options kept = {
        .dir = files, .max_bytes = option_size(o, OPT_FILES_SIZE), .ttl_s = option_int(o, OPT_FILES_KEPT) * 86400};
    if (!private_node) c->uploads = &kept;
    if (!private_node) c->log = log;
    if (code == ERR_OK && !private_node) up_log(log);
    if (code == ERR_OK) code = node_run(c, e);
    for (size_t i = 0; i < keys.n; i++) gateway_key_done(&keys.keys[i]);
    serve_cache_done(&answers);
    free(key_file);
    free(cache);
    free(prefixes);
    free(profile);
    free(state);
    free(routes);
    free(files);
    free(state_dir);
    free(log);
    free(models_dir);
    free(c);
    return code;
}

err_code cli_up(const struct options *o, int *exit_status, struct err *e) {
    char *model = NULL;
    (void)exit_status;
    err_code code = pull_model_file(o, &model, e);
    if (code == ERR_OK) code = up_serve(o, model, false, -1, e);
    free(model);
    return code;
}
