/* SPDX-License-Identifier: MIT
 * The subcommands, one file each, and what several of them share. Each returns ERR_OK, or an error that main prints, whose exit code the
 * process ends with; *exit_status may be set to another one (verify's verdicts). Main thread. */
#ifndef CARAVAN_CLI_CLI_H
#define CARAVAN_CLI_CLI_H

#include "base/json.h"
#include "options/option.h"
#include "engine/params.h"
#include "http/client.h"
#include "model/layout.h"
#include "io/sock.h"
#include "node/private_ring.h"

#define COMMAND(id, name, arguments, function, hidden, help) err_code function(const struct options *o, int *exit_status, struct err *e);
#include "../../tables/commands.def"
#undef COMMAND

/* ---- common.c ---- */
const char *cli_program(void); /* the path of this binary, for starting children */
/* How stages load, from the options. */
err_code cli_load(const struct options *o, struct engine_load *ret, struct err *e);
/* The options that stages are given as they are. */
void cli_stage_options(const struct options *o, struct stage_options *ret);
/* enum frame_dtype from --wire-type; f32 for auto (*ret_auto, which may be NULL: that it was auto) */
uint8_t cli_dtype(const struct options *o, bool *ret_auto);
/* Folder for what must last: --state-dir, or ~/.local/state/caravan (XDG Base Directory Specification); caller frees. */
char *cli_state_path(const struct options *o, const char *file);
char *cli_models_dir(const struct options *o); /* --models-dir, or ~/.local/share/caravan/models (the same); caller frees */
/* A model that is named as in the models folder ("qwen3-8b-q4_k_m", with or without ".gguf") becomes its path there, in the arguments. */
void cli_find_model(struct options *o);
char *cli_key_path(const struct options *o); /* --key-file, or cluster.key in the state folder; caller frees */
/* Threads for each of n_stage stages that run on this machine at once: more threads than cores make every one of them slower. */
uint32_t cli_share_of_cores(uint32_t n_stage);
/* ADDR option to host and port. */
err_code cli_addr(const char *text, const char *default_host, uint16_t default_port, struct io_addr *ret, struct err *e);

/* ---- admin.c: talking to the node that runs on this machine ---- */
enum { CLI_URL_MAX = IO_ADDR_TEXT_MAX + 16, CLI_KEY_MAX = 512 };
struct cli_node {
    char host[64];   /* it listens there; "" unknown */
    uint16_t listen; /* 0: it is not known whether a node runs here */
    uint16_t api;
    char api_host[64];
};
/* As the running node has written it to the state folder; false: none runs here from that folder. */
bool cli_node_find(const struct options *o, struct cli_node *ret);
/* The API of the node to be asked: --api, else that of the one that runs here, else the default. */
struct cli_api {
    char url[CLI_URL_MAX];
    char key[CLI_KEY_MAX]; /* to be sent: --api-key, else the own key of the node that runs here, when that is the one; "": none */
};
err_code cli_api_find(const struct options *o, struct cli_api *ret, struct err *e);
/* The same, and a client of it; the caller frees the client. */
err_code cli_api_open(const struct options *o, struct cli_api *ret, struct http_client **ret_client, struct err *e);
/* POSTs a JSON document to the node's admin API. ERR_UNAVAILABLE: none runs. The node's own error otherwise. *ret_doc may be NULL; else the
 * caller frees it. */
err_code cli_admin_post(const struct options *o, const char *path, const char *body, yyjson_doc **ret_doc, struct err *e);
/* The same by any method; body may be NULL. */
err_code cli_admin_ask(const struct options *o, const char *method, const char *path, const char *body, yyjson_doc **ret_doc,
                       struct err *e);

/* ---- join.c ---- */
/* `caravan nodes remove NAME`, `nodes allow NAME`, `nodes forget NAME`. */
err_code cli_nodes_change(const struct options *o, struct err *e);

/* ---- up.c ---- */
/* Runs a node in this process until it is told to end. private_node: for one `caravan run`, on free ports of loopback, without API keys;
 * its ports are written to ready_fd. */
err_code cli_serve(const struct options *o, bool private_node, int ready_fd, struct err *e);

/* ---- run_node.c: the node that `run` talks to ---- */
struct run_node {
    struct cli_api api;
    char model[256]; /* its name there */
    int pid;         /* of a private node; 0: one that runs anyway */
};
/* Finds a running node that has the model, or starts a private one and waits until the model is loaded (progress goes to standard error).
 */
err_code run_node_open(const struct options *o, struct run_node *ret, struct err *e);
void run_node_close(struct run_node *n);

/* ---- split.c: a model cut in slices as --stages or --split say, for verify and perplexity ---- */
enum { CLI_MAX_STAGES = 64 };
struct cli_split {
    struct model_gguf *gguf;
    struct model_layout *layout;
    uint32_t bounds[CLI_MAX_STAGES + 1];
    uint32_t n_stage;
};
err_code cli_split_open(const struct options *o, const char *path, struct cli_split *ret, struct err *e);
void cli_split_done(struct cli_split *s);
/* Starts a ring of these slices (n_stage 0: the whole model in one stage). */
err_code cli_split_ring(const struct options *o, const struct cli_split *s, bool whole, uint32_t n_ctx, struct private_ring **ret,
                        struct err *e);

/* " 40 %", and while weights come from other nodes " 1.2 GB of 3.0 GB, 112 MB/s, 16 s left" */
void cli_stage_progress(yyjson_val *stage, struct buf *b);

#endif
