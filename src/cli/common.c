/* SPDX-License-Identifier: MIT
 * What several subcommands need from the options. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cell.h"
#include "cli/cli.h"
#include "cli/folder.h"
#include "cli/table.h"
#include "os/machine.h"
#include "os/os.h"
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

err_code cli_load(const struct options *o, struct engine_load *ret, struct err *e) {
    (void)e;
    engine_load_init(ret);
    set_engine_load(o, ret);
    ret->n_seq = o->command == COMMAND_UP || o->command == COMMAND_RUN ? (uint32_t)option_int(o, OPT_PARALLEL) : 1;
    snprintf(ret->backends, sizeof(ret->backends), "%s", CARAVAN_BACKENDS_DIR);
    return ERR_OK;
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

void cli_find_model(struct options *o) {
    static const enum command_id takes_file[] = {COMMAND_UP, COMMAND_RUN, COMMAND_PLAN, COMMAND_VERIFY, COMMAND_PERPLEXITY};
    const char *name = option_argument(o, 0);
    bool takes = false;
    for (size_t i = 0; i < ARRAY_LEN(takes_file); i++) takes = takes || o->command == takes_file[i];
    if (!takes || !name || strchr(name, '/') || access(name, F_OK) == 0) return;
    char *dir = cli_models_dir(o);
    size_t len = strlen(name);
    char *plain = mem_strndup(name, len > 5 && strcasecmp(name + len - 5, ".gguf") == 0 ? len - 5 : len);
    char *path = folder_find(dir, plain);
    if (path) {
        free(o->arguments[0]);
        o->arguments[0] = path;
    }
    free(plain);
    free(dir);
}

void cli_hint_models(const struct options *o, struct err *e) {
    char *dir = cli_models_dir(o);
    struct buf names;
    buf_init(&names, 160);
    size_t n = folder_names(dir, &names);
    if (n > 0) err_hint(e, "the models folder has %s; the path of any GGUF file will do too", buf_cstr(&names));
    else err_hint(e, "`caravan pull hf:OWNER/REPO` fetches a model; the path of any GGUF file will do too");
    buf_done(&names);
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

err_code cli_print(struct buf *text, struct err *e) {
    errno = 0;
    fwrite(buf_cstr(text), 1, text->len, stdout);
    if (fflush(stdout) == 0 && !ferror(stdout)) return ERR_OK;
    return err_set_errno(e, errno == EPIPE ? ERR_CLOSED : ERR_IO, errno, "cannot write to standard output");
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
    uint32_t share = machine_cores() / n_stage;
    return share > 0 ? share : 1;
}
