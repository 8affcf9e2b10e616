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
#include "model/card.h"
#include "node/private_ring.h"

#define COMMAND(id, name, arguments, function, hidden, help) err_code function(const struct options *o, int *exit_status, struct err *e);
#include "../../tables/commands.def"
#undef COMMAND

/* ---- common.c ---- */
const char *cli_program(void); /* the path of this binary, for starting children */
/* How stages load, from the options. */
err_code cli_load(const struct options *o, struct engine_load *ret, struct err *e);
/* The options that are passed on to stages unchanged. */
void cli_stage_options(const struct options *o, struct stage_options *ret);
/* enum frame_dtype from --wire-type; f32 for auto (*ret_auto, which may be NULL: that it was auto) */
uint8_t cli_dtype(const struct options *o, bool *ret_auto);
/* A file of the state folder: --state-dir, or ~/.local/state/caravan (XDG Base Directory Specification); caller frees. */
char *cli_state_path(const struct options *o, const char *file);
char *cli_models_dir(const struct options *o); /* --models-dir, or ~/.local/share/caravan/models (the same); caller frees */
/* A model that is named as in the models folder becomes its path there, in the arguments. What fits a name is the same as in the API:
 * "qwen3-8b-q4_k_m", with or without ":latest" or ".gguf", in any case of letters. */
void cli_find_model(struct options *o);
/* Hints at the models of the models folder, or at how to get one. */
void cli_hint_models(const struct options *o, struct err *e);
void cli_print_error(err_code code, const struct err *e); /* "caravan: TEXT" and "hint: HINT" on standard error */
/* Writes to standard output, at once. ERR_CLOSED: nobody reads it any more; ERR_IO: it cannot be written. */
err_code cli_print(struct buf *text, struct err *e);
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
/* Reads where the node that uses this state folder is. false: none runs. */
bool cli_node_find(const struct options *o, struct cli_node *ret);
/* The API that a command asks: --api, else the API of the node that runs here, else the default address. */
struct cli_api {
    char url[CLI_URL_MAX]; /* "http://127.0.0.1:8080" */
    char key[CLI_KEY_MAX]; /* to be sent: --api-key; else, if url is the node of this state folder, its owner's key; "": none */
};
err_code cli_api_find(const struct options *o, struct cli_api *ret, struct err *e);
/* The same, and a client of it; the caller frees the client. */
err_code cli_api_open(const struct options *o, struct cli_api *ret, struct http_client **ret_client, struct err *e);
/* What an answer of the API means: ERR_OK for status 200 with a JSON document; else the node's own error with what to do about it, or
 * ERR_PROTOCOL: another program answers there. root: of the answer's document, may be NULL. */
err_code cli_api_check(const struct cli_api *api, int status, yyjson_val *root, struct err *e);
err_code cli_api_silent(const struct cli_api *api, struct err *e); /* ERR_UNAVAILABLE: nobody answers there */
void cli_put_url(const char *text, struct buf *out); /* a part of a URL's path (RFC 3986, section 2) */
/* POSTs a JSON document to the node's admin API. ERR_UNAVAILABLE: none runs. The node's own error otherwise. *ret_doc may be NULL; else the
 * caller frees it. */
err_code cli_admin_post(const struct options *o, const char *path, const char *body, yyjson_doc **ret_doc, struct err *e);
/* The same by any method; body may be NULL. */
err_code cli_admin_ask(const struct options *o, const char *method, const char *path, const char *body, yyjson_doc **ret_doc,
                       struct err *e);

/* Prints what the node answers to GET path, as put lays it out or as JSON (--json); with --watch every second, until a signal comes.
 * wall: seconds since 1970, now. width: columns of a line, 0: any number. */
typedef void (*cli_put_fn)(yyjson_val *root, int64_t wall, uint32_t width, struct buf *out);
err_code cli_show(const struct options *o, const char *path, cli_put_fn put, struct err *e);

/* ---- join.c ---- */
/* `caravan nodes remove NAME`, `nodes allow NAME`, `nodes forget NAME`. */
err_code cli_nodes_change(const struct options *o, struct err *e);

/* ---- pull.c ---- */
/* Argument 0: a name or a path as it is, or a model of a hub (hf:, ollama:, https:), which is pulled. *ret: the caller frees it; NULL when
 * there is no argument. */
err_code cli_model_file(const struct options *o, char **ret, struct err *e);

/* ---- up.c ---- */
/* Runs a node in this process until it is told to end. model: the file to serve, NULL: none. private_node: for one `caravan run`, on free
 * ports of loopback, without API keys; its ports are written to ready_fd. */
err_code cli_serve(const struct options *o, const char *model, bool private_node, int ready_fd, struct err *e);

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

#endif
