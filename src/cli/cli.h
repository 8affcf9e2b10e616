/* SPDX-License-Identifier: MIT
 * The subcommands, a file each in the rooms above (show/, manage/, serve/, program/), and what most of them use. Each returns ERR_OK, or an
 * error that main prints, and with whose exit code the process ends; *exit_status may be set to another one (verify's verdicts). Main
 * thread. */
#ifndef CARAVAN_CLI_CLI_H
#define CARAVAN_CLI_CLI_H

#include "base/buf.h"
#include "engine/params.h"
#include "io/sock.h"
#include "options/option.h"
#include "wire/stage.h"

#define COMMAND(id, name, arguments, function, hidden, help) err_code function(const struct options *o, int *exit_status, struct err *e);
#include "../../tables/commands.def"
#undef COMMAND

/* ---- common.c ---- */
const char *cli_program(void); /* the path of this binary, for starting children */
/* The folder of further backends: --backends, or backends/ in the state folder; "": none. An unfit folder is an error if it was named, else
 * it is left out with a line in the log. */
err_code cli_backends(const struct options *o, char *ret, size_t size, struct err *e);
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
 * "qwen3-8b-q4_k_m", with or without ":latest" or ".gguf", in any case of letters. ERR_NOT_FOUND: the command needs a file, and there is
 * none. */
err_code cli_find_model(struct options *o, struct err *e);
/* Hints at the models of the models folder, or at how to get one. */
void cli_hint_models(const struct options *o, struct err *e);
void cli_print_error(err_code code, const struct err *e); /* "caravan: TEXT" and "hint: HINT" on standard error */
void cli_print_error_json(err_code code, const struct err *e); /* the same as {"error": {"code", ...}} on standard output */
/* With --json: prints {"key": "value"}, or what the node answered, and returns true. Else the caller prints for people. */
bool cli_says_json(const struct options *o, const char *key, const char *value);
bool cli_shows_json(const struct options *o, yyjson_val *answer);
/* Writes to standard output, at once. ERR_CLOSED: nobody reads it any more; ERR_IO: it cannot be written. */
err_code cli_print(struct buf *text, struct err *e);
/* Did a write to standard output fail because its reader has gone, as `head` does? That is no fault of the command. */
bool cli_nobody_reads(void);
char *cli_key_path(const struct options *o); /* --key-file, or cluster.key in the state folder; caller frees */
/* Threads for each of n_stage stages that run on this machine at once: more threads than cores make every one of them slower. */
uint32_t cli_share_of_cores(uint32_t n_stage);
/* ADDR option to host and port. */
err_code cli_addr(const char *text, const char *default_host, uint16_t default_port, struct io_addr *ret, struct err *e);

#endif
