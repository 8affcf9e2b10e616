/* SPDX-License-Identifier: MIT
 * `caravan up`: this machine's node. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "members/interfaces.h"
#include "plan/plan.h"
#include "members/wish.h"
#include "gateway/keys.h"
#include "node/node.h"
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
    c->replan = up ? option_text(o, OPT_REPLAN) : "never";
    c->queue = up ? (uint32_t)option_int(o, OPT_QUEUE) : 256;
    c->memory = option_size(o, OPT_MEMORY);
    c->dtype = cli_dtype(o, &c->dtype_auto);
    cli_stage_options(o, &c->options);
    c->draft = option_text(o, OPT_DRAFT);
    c->ready_fd = (int)option_int(o, OPT_READY_FD);
    if (code == ERR_OK && c->draft[0] && access(c->draft, R_OK) != 0) {
        code = err_set_errno(e, ERR_NOT_FOUND, errno, "cannot read draft model \"%s\"", c->draft);
        err_hint(e, "give the path of a GGUF file");
    }
    if (c->model && access(c->model, R_OK) != 0) {
        code = err_set_errno(e, ERR_NOT_FOUND, errno, "cannot read model \"%s\"", c->model);
        err_hint(e, "give the path of a GGUF file");
    }
    return code;
}

static err_code up_interface(const char *name, struct err *e) {
    if (interfaces_has(name)) return ERR_OK;
    err_set(e, ERR_NOT_FOUND, "there is no network interface \"%s\"", name);
    err_hint(e, "`ip link` lists them");
    return ERR_NOT_FOUND;
}

err_code cli_serve(const struct options *o, const char *model, bool private_node, int ready_fd, struct err *e) {
    struct node_config *c = MEM_NEW(struct node_config);
    struct api_keys keys = {0};
    char *key_file = cli_key_path(o), *cache = cli_state_path(o, "weights"), *profile = cli_state_path(o, "profile.json"),
         *state = cli_state_path(o, "state.db");
    char *state_dir = cli_state_path(o, ""), *models_dir = cli_models_dir(o), *const * interfaces;
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
    c->profile = private_node ? NULL : profile;
    c->cors_origin = option_text(o, OPT_CORS_ORIGIN);
    c->retention_s = option_int(o, OPT_RETENTION) * 86400;
    c->replay_s = (uint32_t)option_int(o, OPT_REPLAY_LIMIT);
    if (!private_node) c->state = state;
    if (code == ERR_OK) code = node_run(c, e);
    for (size_t i = 0; i < keys.n; i++) gateway_key_done(&keys.keys[i]);
    free(key_file);
    free(cache);
    free(profile);
    free(state);
    free(state_dir);
    free(models_dir);
    free(c);
    return code;
}

err_code cli_up(const struct options *o, int *exit_status, struct err *e) {
    char *model = NULL;
    (void)exit_status;
    err_code code = cli_model_file(o, &model, e);
    if (code == ERR_OK) code = cli_serve(o, model, false, -1, e);
    free(model);
    return code;
}
