/* SPDX-License-Identifier: MIT
 * `caravan models`, `load`, `unload`, `rm`: clients of the running node's admin API. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/answer.h"
#include "cli/models.h"
#include "cli/stop.h"
#include "cli/table.h"
#include "model/card.h"

enum { POLL_MS = 250, MAX_LINES = 64 };

/* ---- models ---- */

/* "70B", "8.0B", "5.4M" */
static const char *put_params(uint64_t n, char out[STR_SHORT]) {
    if (n == 0) snprintf(out, STR_SHORT, "-");
    else if (n >= 1000000000) snprintf(out, STR_SHORT, n >= 10000000000 ? "%.0fB" : "%.1fB", (double)n / 1e9);
    else snprintf(out, STR_SHORT, n >= 10000000 ? "%.0fM" : "%.1fM", (double)n / 1e6);
    return out;
}

static void put_words(yyjson_val *list, struct buf *b) {
    yyjson_val *v;
    size_t i, max;
    yyjson_arr_foreach(json_some(list), i, max, v) buf_printf(b, "%s%s", i ? ", " : "", yyjson_get_str(v));
    if (b->len == 0) buf_append_str(b, "-");
}

/* "demo: cannot place ..." below the table. */
static void put_note(const char *subject, const char *text, uint32_t width, struct buf *out) {
    char *note = mem_printf("%s: %s", subject, text);
    table_wrap(note, width, 2, out);
    free(note);
}

static void put_reasons(yyjson_val *models, uint32_t width, struct buf *out) {
    yyjson_val *m;
    size_t i, max;
    yyjson_arr_foreach(json_some(models), i, max, m) if (answer_reason(m)[0])
        put_note(answer_text(m, "name"), answer_reason(m), width, out);
}

static void put_none(uint32_t width, struct buf *out) {
    table_wrap("No node of the cluster has a model. `caravan pull hf:OWNER/REPO` fetches one; `caravan load FILE` loads a GGUF file.",
               width, 0, out);
}

void models_put(yyjson_val *root, int64_t wall, uint32_t width, struct buf *out) {
    static const struct table_column columns[] = {{"NAME", 12, false, 0},    {"SIZE", 0, true, 0},   {"QUANT", 0, false, 3},
                                                  {"ARCH", 0, false, 2},     {"LAYERS", 0, true, 1}, {"PARAMS", 0, true, 4},
                                                  {"FILES ON", 8, false, 5}, {"STATE", 0, false, 0}};
    yyjson_val *m, *list = yyjson_obj_get(root, "models");
    size_t i, max;
    struct buf files, state;
    struct table *t = table_create(columns, ARRAY_LEN(columns));
    buf_init(&files, 65536);
    buf_init(&state, 65536);
    yyjson_arr_foreach(json_some(list), i, max, m) {
        char size[STR_SHORT] = "-", params[STR_SHORT], layers[STR_SHORT];
        buf_clear(&files);
        buf_clear(&state);
        put_words(yyjson_obj_get(m, "files"), &files);
        answer_put_state(m, wall, &state);
        if (answer_number(m, "bytes") > 0) str_size(answer_number(m, "bytes"), size);
        snprintf(layers, sizeof(layers), "%llu", (unsigned long long)answer_number(m, "layers"));
        const char *cells[] = {answer_text(m, "name"),
                               size,
                               answer_text(m, "quantisation"),
                               answer_text(m, "architecture"),
                               layers,
                               put_params(answer_number(m, "parameters"), params),
                               buf_cstr(&files),
                               buf_cstr(&state)};
        table_row(t, cells);
    }
    if (yyjson_arr_size(list) > 0) table_print(t, width, out);
    else put_none(width, out);
    put_reasons(list, width, out);
    yyjson_arr_foreach(json_some(yyjson_obj_get(root, "unusable")), i, max, m) put_note("unusable", answer_text(m, "message"), width, out);
    uint64_t left_out = answer_number(root, "left_out");
    if (left_out > 0) buf_printf(out, "%llu more files of the models folder are left out\n", (unsigned long long)left_out);
    table_free(t);
    buf_done(&files);
    buf_done(&state);
}

err_code cli_models(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    return cli_show(o, "/caravan/v1/models", models_put, e);
}

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

static void show_progress(struct progress *p, yyjson_val *model) {
    yyjson_val *in, *stage;
    size_t i, max, k, n;
    if (!p->terminal) return;
    if (p->lines > 0) fprintf(stderr, "\033[%uA\033[J", p->lines);
    p->lines = 0;
    yyjson_arr_foreach(json_some(yyjson_obj_get(model, "instances")), i, max, in) {
        yyjson_arr_foreach(json_some(yyjson_obj_get(in, "stages")), k, n, stage) if (p->lines < MAX_LINES) show_stage(p, stage);
        if (n == 0 && answer_text(in, "message")[0]) {
            fprintf(stderr, "\033[K  %s\n", answer_text(in, "message"));
            p->lines++;
        }
    }
}

static void print_loaded(yyjson_val *model) {
    struct buf b;
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
        if (code != ERR_OK) err_hint(e, "`caravan plan %s` says what would fit; `caravan models` what takes the memory", name);
        if (ready) print_loaded(model);
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

err_code cli_load_model(const struct options *o, int *exit_status, struct err *e) {
    char model[PATH_MAX], name[MODEL_NAME_SIZE];
    (void)exit_status;
    err_code code = model_argument(option_argument(o, 0), model, e);
    if (code != ERR_OK) return code;
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    if (option_is_set(o, OPT_PLACEMENT)) yyjson_mut_obj_add_str(doc, root, "placement", option_text(o, OPT_PLACEMENT));
    if (option_is_set(o, OPT_REPLAN)) yyjson_mut_obj_add_str(doc, root, "replan", option_text(o, OPT_REPLAN));
    if (option_is_set(o, OPT_CTX)) yyjson_mut_obj_add_int(doc, root, "ctx", option_int(o, OPT_CTX));
    if (option_is_set(o, OPT_PARALLEL)) yyjson_mut_obj_add_int(doc, root, "parallel", option_int(o, OPT_PARALLEL));
    int64_t replicas = option_int(o, OPT_REPLICAS);
    yyjson_mut_obj_add_int(doc, root, "replicas", replicas > 0 ? replicas : 0);
    code = post_model(o, "/caravan/v1/models/load", doc, model, name, e);
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
    if (code == ERR_OK) printf("%s: unloaded\n", name);
    return code;
}

static bool confirmed(const char *name) {
    char line[16];
    fprintf(stderr, "delete the file of \"%s\" from this machine? [y/N] ", name);
    return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

err_code cli_rm(const struct options *o, int *exit_status, struct err *e) {
    char model[PATH_MAX];
    (void)exit_status;
    err_code code = model_argument(option_argument(o, 0), model, e);
    if (code != ERR_OK) return code;
    if (!option_flag(o, OPT_YES)) {
        if (!isatty(STDIN_FILENO)) {
            err_set(e, ERR_USAGE, "deleting \"%s\" needs a yes", model);
            err_hint(e, "caravan rm %s --yes", model);
            return ERR_USAGE;
        }
        if (!confirmed(model)) return err_set(e, ERR_CANCELLED, "nothing was deleted");
    }
    struct buf path;
    yyjson_doc *answer = NULL;
    buf_init(&path, 1 << 16);
    buf_append_str(&path, "/caravan/v1/models/");
    cli_put_url(model, &path);
    code = cli_admin_ask(o, "DELETE", buf_cstr(&path), NULL, &answer, e);
    if (code == ERR_OK) printf("%s: deleted\n", answer_text(yyjson_doc_get_root(answer), "model"));
    yyjson_doc_free(answer);
    buf_done(&path);
    return code;
}
