/* SPDX-License-Identifier: MIT
 * What several subcommands need from the options. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/folder.h"
#include "engine/backends.h"
#include "os/machine.h"
#include "os/runtime.h"
#include "terminal/cell.h"
#include "terminal/table.h"
#include "wire/frame.h"

const char *cli_program(void) {
    static char path[4096];
    if (!os_program_path(path, sizeof(path))) path[0] = '\0';
    return path;
}

static bool cli_is_on(const struct options *o, enum option_id id) { return strcmp(option_text(o, id), "on") == 0; }

/* Sets the fields that rows of tables/messages.def tie to an option; the other fields stay as they are. */
#define MESSAGE(set, owner, encoding, frame, what) static void set_##set(const struct options *o, struct owner *ret) {
#define END                                        }
#define OPTION_BOOL(id, need, name, ...)           ret->name = cli_is_on(o, OPT_##id);
#define OPTION_FLAG(id, need, name, ...)           ret->name = option_flag(o, OPT_##id);
#define OPTION_U32(id, need, name, ...)            ret->name = (uint32_t)option_int(o, OPT_##id);
#define OPTION_I32(id, need, name, ...)            ret->name = (int32_t)option_int(o, OPT_##id);
#define OPTION_LINE(id, need, name, ...)           snprintf(ret->name, sizeof(ret->name), "%s", option_text(o, OPT_##id));
#define OPTION_CHOICE(id, need, name, ...)         snprintf(ret->name, sizeof(ret->name), "%s", option_text(o, OPT_##id));
#define BOOL(...)
#define U32(...)
#define TEXT(...)
#define PATH(...)
#define MESSAGES_LOAD
#define MESSAGES_OPTIONS
#include "../../tables/messages.def"
#undef MESSAGES_LOAD
#undef MESSAGES_OPTIONS
#include "base/field_undef.h"

err_code cli_backends(const struct options *o, char *ret, size_t size, struct err *e) {
    const char *given = option_text(o, OPT_BACKENDS);
    struct err why = {0};
    ret[0] = '\0';
    if (*given != '\0') {
        snprintf(ret, size, "%s", given);
        return strlen(given) < size ? engine_backends_check(given, e) : err_set(e, ERR_LIMIT, "the path of --backends is too long");
    }
    char *own = cli_state_path(o, "backends");
    err_code code = access(own, F_OK) == 0 ? engine_backends_check(own, &why) : ERR_NOT_FOUND;
    if (code == ERR_OK && strlen(own) < size) snprintf(ret, size, "%s", own);
    else if (code != ERR_NOT_FOUND) log_warn("engine", "%s: not used", why.text); /* the node starts also after an update */
    free(own);
    return ERR_OK;
}

err_code cli_load(const struct options *o, struct engine_load *ret, struct err *e) {
    engine_load_init(ret);
    set_engine_load(o, ret);
    ret->n_seq = o->command == COMMAND_UP || o->command == COMMAND_RUN ? (uint32_t)option_int(o, OPT_PARALLEL) : 1;
    snprintf(ret->backends, sizeof(ret->backends), "%s", os_backends_dir);
    return cli_backends(o, ret->more_backends, sizeof(ret->more_backends), e);
}

void cli_stage_options(const struct options *o, struct stage_options *ret) {
    int64_t speculate = option_int(o, OPT_SPECULATE);
    field_init(stage_options_fields(), ret);
    set_stage_options(o, ret);
    ret->draft_always = speculate >= 0;
    ret->n_draft = ret->draft_always ? (uint32_t)speculate : STAGE_MAX_DRAFT;
}

uint8_t cli_dtype(const struct options *o, bool *ret_auto) {
    if (ret_auto) *ret_auto = strcmp(option_text(o, OPT_WIRE_TYPE), "auto") == 0;
    return frame_dtype_of(option_text(o, OPT_WIRE_TYPE));
}

char *cli_state_path(const struct options *o, const char *file) {
    const char *dir = option_text(o, OPT_STATE_DIR), *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (dir[0]) return mem_printf("%s/%s", dir, file);
    if (xdg && xdg[0]) return mem_printf("%s/caravan/%s", xdg, file);
    return mem_printf("%s/.local/state/caravan/%s", home && home[0] ? home : "", file);
}

char *cli_models_dir(const struct options *o) {
    const char *dir = option_text(o, OPT_MODELS_DIR), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (dir[0]) return mem_strdup(dir);
    if (xdg && xdg[0]) return mem_printf("%s/caravan/models", xdg);
    return mem_printf("%s/.local/share/caravan/models", home && home[0] ? home : "");
}

/* Hints at the models of the models folder, or at how to get one. */
static void hint_models(const char *dir, struct err *e) {
    struct buf names;
    buf_init(&names, 160);
    size_t n = folder_names(dir, &names);
    if (n > 0) err_hint(e, "the models folder has %s; the path of any GGUF file will do too", buf_cstr(&names));
    else err_hint(e, "`caravan pull hf:OWNER/REPO` fetches a model; the path of any GGUF file will do too");
    buf_done(&names);
}

err_code cli_find_model(struct options *o, struct err *e) {
    static const enum command_id takes_file[] = {COMMAND_UP, COMMAND_RUN, COMMAND_VERIFY, COMMAND_PERPLEXITY};
    const char *name = option_argument(o, 0);
    err_code code = ERR_OK;
    bool takes = false;
    for (size_t i = 0; i < ARRAY_LEN(takes_file); i++) takes = takes || o->command == takes_file[i];
    if (!takes || !name || strchr(name, '/') || strncmp(name, "ollama:", 7) == 0 || access(name, F_OK) == 0) return ERR_OK;
    char *dir = cli_models_dir(o);
    size_t len = strlen(name);
    char *plain = mem_strndup(name, len > 5 && strcasecmp(name + len - 5, ".gguf") == 0 ? len - 5 : len);
    char *path = folder_find(dir, plain);
    if (path) {
        free(o->arguments[0]);
        o->arguments[0] = path;
    } else if (o->command != COMMAND_RUN) { /* which may ask a node that has it */
        code = err_set(e, ERR_NOT_FOUND, "there is no model \"%s\": no file of that name, and none in the models folder", name);
        hint_models(dir, e);
    }
    free(plain);
    free(dir);
    return code;
}

void cli_hint_models(const struct options *o, struct err *e) {
    char *dir = cli_models_dir(o);
    hint_models(dir, e);
    free(dir);
}

/* Prints one line; on a terminal it is broken between words. */
static void print_wrapped(const char *kind, const char *text) {
    char line[sizeof(((struct err *)0)->text) + 16];
    struct buf b;
    buf_init(&b, 4 * sizeof(line));
    snprintf(line, sizeof(line), "%s: %s", kind, text);
    table_wrap(line, cell_terminal(STDERR_FILENO), 2, &b);
    fputs(buf_cstr(&b), stderr);
    buf_done(&b);
}

void cli_print_error(err_code code, const struct err *e) {
    print_wrapped("caravan", e->text[0] ? e->text : err_text(code));
    if (e->hint[0]) print_wrapped("hint", e->hint);
}

/* Prints the document on standard output, and frees it. */
static void print_doc(yyjson_mut_doc *doc) {
    struct buf b;
    buf_init(&b, 1 << 20);
    json_write(&b, doc);
    buf_append_str(&b, "\n");
    cli_print(&b, NULL);
    buf_done(&b);
    yyjson_mut_doc_free(doc);
}

void cli_print_error_json(err_code code, const struct err *e) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *error = yyjson_mut_obj_add_obj(doc, yyjson_mut_doc_get_root(doc), "error");
    yyjson_mut_obj_add_str(doc, error, "code", err_name(code));
    yyjson_mut_obj_add_str(doc, error, "message", e->text[0] ? e->text : err_text(code));
    if (e->hint[0]) yyjson_mut_obj_add_str(doc, error, "hint", e->hint);
    yyjson_mut_obj_add_int(doc, error, "exit_status", err_exit_code(code));
    print_doc(doc);
}

bool cli_says_json(const struct options *o, const char *key, const char *value) {
    if (!option_flag(o, OPT_JSON)) return false;
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_obj_add(yyjson_mut_doc_get_root(doc), yyjson_mut_str(doc, key), yyjson_mut_str(doc, value));
    print_doc(doc);
    return true;
}

bool cli_shows_json(const struct options *o, yyjson_val *answer) {
    if (!option_flag(o, OPT_JSON)) return false;
    char *text = yyjson_val_write(answer, 0, NULL);
    printf("%s\n", text ? text : "null");
    free(text);
    return true;
}

/* An earlier write may have failed, and what it failed of is forgotten: a pipe is asked for its reader. */
static bool reader_is_gone(void) {
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
}

bool cli_nobody_reads(void) { return ferror(stdout) && reader_is_gone(); }

err_code cli_print(struct buf *text, struct err *e) {
    errno = 0;
    fwrite(buf_cstr(text), 1, text->len, stdout);
    if (fflush(stdout) == 0 && !ferror(stdout)) return ERR_OK;
    int why = errno;
    return err_set_errno(e, why == EPIPE || cli_nobody_reads() ? ERR_CLOSED : ERR_IO, why, "cannot write to standard output");
}

char *cli_key_path(const struct options *o) {
    const char *given = option_text(o, OPT_KEY_FILE);
    return given[0] ? mem_strdup(given) : cli_state_path(o, "cluster.key");
}

err_code cli_addr(const char *text, const char *default_host, uint16_t default_port, struct io_addr *ret, struct err *e) {
    if (str_parse_address(text, default_host, default_port, ret->host, &ret->port)) return ERR_OK;
    err_set(e, ERR_INVALID, "\"%s\" is not an address", text);
    err_hint(e, "write HOST:PORT, for example 192.168.1.20:7433 or [fe80::1]:7433");
    return ERR_INVALID;
}

uint32_t cli_share_of_cores(uint32_t n_stage) {
    uint32_t share = machine_threads() / n_stage;
    return share > 0 ? share : 1;
}
