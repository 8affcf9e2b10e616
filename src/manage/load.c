/* SPDX-License-Identifier: MIT
 * `caravan load`, `unload` and `rm`: clients of the running node's admin API. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/admin.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "members/wish.h"
#include "model/adapter.h"
#include "model/card.h"
#include "terminal/stop.h"

enum { POLL_MS = 250, MAX_LINES = 64 };

/* ---- load ---- */

/* The lines that are on the terminal, to be overwritten. */
struct progress {
    unsigned lines;
    bool terminal;
};

/* "  beta      layers 12-23  loading 43 % (1.2 GB of 3.0 GB, 112 MB/s, 16 s left)" */
static void show_stage(struct progress *p, yyjson_val *stage) {
    struct buf b;
    buf_init(&b, 4096);
    buf_printf(&b, "\033[K  %-16s layers %llu-%llu  %s", answer_text(stage, "node"),
               (unsigned long long)answer_number(stage, "first_layer"), (unsigned long long)answer_number(stage, "last_layer"),
               answer_text(stage, "state"));
    if (strcmp(answer_text(stage, "state"), "loading") == 0) answer_put_progress(stage, &b);
    fprintf(stderr, "%s\n", buf_cstr(&b));
    buf_done(&b);
    p->lines++;
}

static void hide_progress(struct progress *p) {
    if (p->lines > 0) fprintf(stderr, "\033[%uA\033[J", p->lines);
    p->lines = 0;
}

static void show_progress(struct progress *p, yyjson_val *model) {
    yyjson_val *in, *stage;
    size_t i, max, k, n;
    if (!p->terminal) return;
    hide_progress(p);
    yyjson_arr_foreach(json_some(yyjson_obj_get(model, "instances")), i, max, in) {
        yyjson_arr_foreach(json_some(yyjson_obj_get(in, "stages")), k, n, stage) if (p->lines < MAX_LINES) show_stage(p, stage);
        if (n == 0 && answer_text(in, "message")[0]) {
            fprintf(stderr, "\033[K  %s\n", answer_text(in, "message"));
            p->lines++;
        }
    }
}

static void print_loaded(const struct options *o, yyjson_val *model) {
    struct buf b;
    if (cli_shows_json(o, model)) return;
    buf_init(&b, 65536);
    answer_put_state(model, (int64_t)time(NULL), &b);
    printf("%s: %s\n", answer_text(model, "name"), buf_cstr(&b));
    buf_done(&b);
}

static err_code load_wait(const struct options *o, const char *name, struct err *e) {
    struct progress p = {.terminal = isatty(STDERR_FILENO)};
    stop_open();
    for (;;) {
        yyjson_doc *doc = NULL;
        err_code code = cli_admin_ask(o, "GET", "/caravan/v1/models", NULL, &doc, e);
        if (code != ERR_OK) return code;
        yyjson_val *model = answer_find_model(yyjson_doc_get_root(doc), name);
        bool ready = model && strcmp(answer_text(model, "state"), "ready") == 0;
        if (model) show_progress(&p, model);
        if (model) code = answer_failure(model, e);
        if (code != ERR_OK) hide_progress(&p); /* the error says it */
        if (code != ERR_OK) err_hint(e, "`caravan plan %s` says what would fit; `caravan models` what takes the memory", name);
        if (ready) print_loaded(o, model);
        yyjson_doc_free(doc);
        if (ready || code != ERR_OK) return code;
        if (!stop_wait(POLL_MS)) {
            err_set(e, ERR_CANCELLED, "interrupted");
            err_hint(e, "the node goes on loading \"%s\"; `caravan unload %s` ends that", name, name);
            return ERR_CANCELLED;
        }
    }
}

/* Makes the argument what the API takes: the whole path of a file, or the name of a model (without ".gguf"). */
static err_code model_argument(const char *given, char ret[PATH_MAX], struct err *e) {
    char path[PATH_MAX];
    size_t len = strlen(given);
    if (strchr(given, '/')) snprintf(ret, PATH_MAX, "%s", realpath(given, path) ? path : given);
    else snprintf(ret, PATH_MAX, "%.*s", (int)(len > 5 && strcasecmp(given + len - 5, ".gguf") == 0 ? len - 5 : len), given);
    if (str_utf8_valid(ret, strlen(ret))) return ERR_OK;
    err_set(e, ERR_INVALID, "the name \"%s\" is not UTF-8", given);
    err_hint(e, "a file of the models folder goes by the name that `caravan models` shows; another one has to be renamed");
    return ERR_INVALID;
}

/* POSTs the fields of doc with "model" added. *ret_name: the node's name for the model. */
static err_code post_model(const struct options *o, const char *path, yyjson_mut_doc *doc, const char *model,
                           char ret_name[MODEL_NAME_SIZE], struct err *e) {
    struct buf body;
    yyjson_doc *answer = NULL;
    buf_init(&body, 1 << 16);
    yyjson_mut_obj_add_str(doc, yyjson_mut_doc_get_root(doc), "model", model);
    json_write(&body, doc);
    err_code code = cli_admin_post(o, path, buf_cstr(&body), &answer, e);
    const char *name = answer_text(yyjson_doc_get_root(answer), "model");
    snprintf(ret_name, MODEL_NAME_SIZE, "%s", name[0] ? name : model);
    yyjson_doc_free(answer);
    buf_done(&body);
    return code;
}

/* What the model is to be loaded with, as the API takes it. */
static err_code put_wish(const struct options *o, yyjson_mut_doc *doc, struct err *e) {
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    char adapters[WISH_MAX_TEXT];
    if (option_is_set(o, OPT_PLACEMENT)) yyjson_mut_obj_add_str(doc, root, "placement", option_text(o, OPT_PLACEMENT));
    if (option_is_set(o, OPT_REPLAN)) yyjson_mut_obj_add_str(doc, root, "replan", option_text(o, OPT_REPLAN));
    if (option_is_set(o, OPT_CTX)) yyjson_mut_obj_add_int(doc, root, "ctx", option_int(o, OPT_CTX));
    if (option_is_set(o, OPT_PARALLEL)) yyjson_mut_obj_add_int(doc, root, "parallel", option_int(o, OPT_PARALLEL));
    if (option_is_set(o, OPT_REPLICAS)) {
        int64_t replicas = option_int(o, OPT_REPLICAS);
        yyjson_mut_obj_add_int(doc, root, "replicas", replicas > 0 ? replicas : 0);
    }
    if (!option_is_set(o, OPT_LORA)) return ERR_OK;
    err_code code = model_adapters_absolute(option_text(o, OPT_LORA), adapters, sizeof(adapters), e);
    if (code == ERR_OK) yyjson_mut_obj_add_strcpy(doc, root, "lora", adapters);
    else err_prefix(e, "--lora");
    return code;
}

err_code cli_load_model(const struct options *o, int *exit_status, struct err *e) {
    char model[PATH_MAX], name[MODEL_NAME_SIZE];
    (void)exit_status;
    err_code code = model_argument(option_argument(o, 0), model, e);
    if (code != ERR_OK) return code;
    yyjson_mut_doc *doc = json_new();
    code = put_wish(o, doc, e);
    if (code == ERR_OK) code = post_model(o, "/caravan/v1/models/load", doc, model, name, e);
    yyjson_mut_doc_free(doc);
    return code == ERR_OK ? load_wait(o, name, e) : code;
}

/* ---- unload, rm ---- */

err_code cli_unload(const struct options *o, int *exit_status, struct err *e) {
    char model[PATH_MAX], name[MODEL_NAME_SIZE];
    (void)exit_status;
    err_code code = model_argument(option_argument(o, 0), model, e);
    if (code != ERR_OK) return code;
    yyjson_mut_doc *doc = json_new();
    code = post_model(o, "/caravan/v1/models/unload", doc, model, name, e);
    yyjson_mut_doc_free(doc);
    if (code == ERR_OK && !cli_says_json(o, "unloaded", name)) printf("%s: unloaded\n", name);
    return code;
}

/* The question. A model that is loaded is not asked about: the node would refuse. */
static err_code rm_ask(yyjson_val *model, struct err *e) {
    const char *name = answer_text(model, "name");
    char line[16], size[STR_SHORT];
    if (answer_is_loaded(model)) {
        err_set(e, ERR_STALE, "model \"%s\" is loaded", name);
        err_hint(e, "unload it first: caravan unload %s", name);
        return ERR_STALE;
    }
    if (!isatty(STDIN_FILENO)) {
        err_set(e, ERR_USAGE, "deleting \"%s\" needs a yes", name);
        err_hint(e, "caravan rm %s --yes", name);
        return ERR_USAGE;
    }
    fprintf(stderr, "delete the file of \"%s\" (%s) from this machine? [y/N] ", name, str_size(answer_number(model, "bytes"), size));
    bool answered = fgets(line, sizeof(line), stdin) != NULL, yes = answered && (line[0] == 'y' || line[0] == 'Y');
    if (!answered) fputc('\n', stderr); /* the question's line */
    return yes ? ERR_OK : err_set(e, ERR_CANCELLED, "nothing was deleted");
}

/* Asks the user, if there is something to delete. */
static err_code rm_confirm(const struct options *o, const char *name, struct err *e) {
    yyjson_doc *doc = NULL;
    err_code code = cli_admin_ask(o, "GET", "/caravan/v1/models", NULL, &doc, e);
    yyjson_val *model = answer_find_model(yyjson_doc_get_root(doc), name);
    if (code == ERR_OK && yyjson_arr_size(yyjson_obj_get(model, "files")) == 0) {
        code = err_set(e, ERR_NOT_FOUND, "there is no file of a model \"%s\"", name);
        err_hint(e, "`caravan models` lists what there is");
    }
    if (code == ERR_OK) code = rm_ask(model, e);
    yyjson_doc_free(doc);
    return code;
}

err_code cli_rm(const struct options *o, int *exit_status, struct err *e) {
    char model[PATH_MAX];
    struct buf path;
    yyjson_doc *answer = NULL;
    (void)exit_status;
    err_code code = model_argument(option_argument(o, 0), model, e);
    if (code == ERR_OK && !option_flag(o, OPT_YES)) code = rm_confirm(o, model, e);
    if (code != ERR_OK) return code;
    buf_init(&path, 1 << 16);
    buf_append_str(&path, "/caravan/v1/models/");
    cli_put_url(model, &path);
    code = cli_admin_ask(o, "DELETE", buf_cstr(&path), NULL, &answer, e);
    const char *name = answer_text(yyjson_doc_get_root(answer), "model");
    if (code == ERR_OK && !cli_says_json(o, "deleted", name)) printf("%s: deleted\n", name);
    yyjson_doc_free(answer);
    buf_done(&path);
    return code;
}
