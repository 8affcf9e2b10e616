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
#include "model/card.h"

enum { POLL_MS = 250, WATCH_MS = 1000, MAX_LINES = 64 };

static const char *text_of(yyjson_val *o, const char *key) {
    const char *s = yyjson_get_str(yyjson_obj_get(o, key));
    return s ? s : "";
}

static uint64_t number_of(yyjson_val *o, const char *key) { return yyjson_get_uint(yyjson_obj_get(o, key)); }

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

/* "ready for 3 min on a, b", "loading 43 %, 2 copies", "not loaded" */
static void put_state(yyjson_val *model, struct buf *b) {
    yyjson_val *in, *stage, *instances = yyjson_obj_get(model, "instances");
    size_t i, max, k, n, ready = 0, count = 0;
    uint64_t least = 100, since = 0;
    const char *state = text_of(model, "state"), *message = "";
    struct buf nodes;
    buf_init(&nodes, 4096);
    yyjson_arr_foreach(json_some(instances), i, max, in) {
        count++;
        ready += strcmp(text_of(in, "state"), "ready") == 0;
        if (number_of(in, "progress") < least) least = number_of(in, "progress");
        if (since == 0 || number_of(in, "since") < since) since = number_of(in, "since");
        if (strcmp(text_of(in, "state"), "ready") != 0 && text_of(in, "message")[0]) message = text_of(in, "message");
        yyjson_arr_foreach(json_some(yyjson_obj_get(in, "stages")), k, n, stage)
            buf_printf(&nodes, "%s%s", nodes.len ? ", " : " on ", text_of(stage, "node"));
    }
    buf_append_str(b, state);
    if (strcmp(state, "loading") == 0) buf_printf(b, " %llu %%", (unsigned long long)least);
    if (strcmp(state, "ready") == 0) {
        char ago[STR_SHORT];
        int64_t seconds = (int64_t)time(NULL) - (int64_t)since;
        if (seconds > 0) buf_printf(b, " for %s", str_duration((uint64_t)seconds * 1000000, ago));
    }
    if (count > 1) buf_printf(b, ", %zu of %zu copies", ready, count);
    buf_append(b, nodes.data, nodes.len);
    if (strcmp(state, "ready") != 0 && message[0]) buf_printf(b, ": %s", message);
    buf_done(&nodes);
}

static void print_models(yyjson_val *root) {
    yyjson_val *m;
    size_t i, max;
    struct buf out, files, state;
    buf_init(&out, 4 << 20);
    buf_init(&files, 65536);
    buf_init(&state, 65536);
    buf_printf(&out, "%-32s %10s %-9s %-12s %6s %7s  %-20s %s\n", "NAME", "SIZE", "QUANT", "ARCH", "LAYERS", "PARAMS", "FILES ON", "STATE");
    yyjson_arr_foreach(json_some(yyjson_obj_get(root, "models")), i, max, m) {
        char size[STR_SHORT] = "-", params[STR_SHORT];
        buf_clear(&files);
        buf_clear(&state);
        put_words(yyjson_obj_get(m, "files"), &files);
        put_state(m, &state);
        if (number_of(m, "bytes") > 0) str_size(number_of(m, "bytes"), size);
        buf_printf(&out, "%-32s %10s %-9s %-12s %6llu %7s  %-20s %s\n", text_of(m, "name"), size, text_of(m, "quantisation"),
                   text_of(m, "architecture"), (unsigned long long)number_of(m, "layers"), put_params(number_of(m, "parameters"), params),
                   buf_cstr(&files), buf_cstr(&state));
    }
    yyjson_arr_foreach(json_some(yyjson_obj_get(root, "unusable")), i, max, m) buf_printf(&out, "unusable: %s\n", text_of(m, "message"));
    uint64_t left_out = number_of(root, "left_out");
    if (left_out > 0) buf_printf(&out, "%llu more files of the models folder are left out\n", (unsigned long long)left_out);
    fputs(buf_cstr(&out), stdout);
    fflush(stdout);
    buf_done(&out);
    buf_done(&files);
    buf_done(&state);
}

err_code cli_models(const struct options *o, int *exit_status, struct err *e) {
    err_code code;
    (void)exit_status;
    do {
        yyjson_doc *doc = NULL;
        code = cli_admin_ask(o, "GET", "/caravan/v1/models", NULL, &doc, e);
        if (code != ERR_OK) break;
        if (option_flag(o, OPT_JSON)) {
            char *text = yyjson_write(doc, 0, NULL);
            if (text) puts(text);
            free(text);
        } else {
            if (option_flag(o, OPT_WATCH)) fputs("\033[H\033[2J", stdout); /* clear the screen */
            print_models(yyjson_doc_get_root(doc));
        }
        yyjson_doc_free(doc);
        if (option_flag(o, OPT_WATCH)) nanosleep(&(struct timespec){.tv_sec = WATCH_MS / 1000}, NULL);
    } while (option_flag(o, OPT_WATCH));
    return code;
}

/* ---- load ---- */

/* What was shown of the stages, to be overwritten. */
struct progress {
    unsigned lines;
    bool terminal;
};

/* "  beta      layers 12-23  loading 43 % (1.2 GB of 3.0 GB, 112 MB/s, 16 s left)" */
static void show_stage(struct progress *p, yyjson_val *stage) {
    struct buf b;
    buf_init(&b, 4096);
    buf_printf(&b, "\033[K  %-16s layers %llu-%llu  %s", text_of(stage, "node"), (unsigned long long)number_of(stage, "first_layer"),
               (unsigned long long)number_of(stage, "last_layer"), text_of(stage, "state"));
    if (strcmp(text_of(stage, "state"), "loading") == 0) cli_stage_progress(stage, &b);
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
        if (n == 0 && text_of(in, "message")[0]) {
            fprintf(stderr, "\033[K  %s\n", text_of(in, "message"));
            p->lines++;
        }
    }
}

static yyjson_val *find_model(yyjson_doc *doc, const char *name) {
    yyjson_val *m;
    size_t i, max;
    yyjson_arr_foreach(json_some(yyjson_obj_get(yyjson_doc_get_root(doc), "models")), i, max,
                       m) if (strcmp(text_of(m, "name"), name) == 0) return m;
    return NULL;
}

/* Why none of the instances will become ready; NULL: one still may. */
static const char *why_failed(yyjson_val *model) {
    yyjson_val *in;
    size_t i, max;
    const char *why = NULL;
    if (strcmp(text_of(model, "state"), "failed") != 0) return NULL;
    yyjson_arr_foreach(json_some(yyjson_obj_get(model, "instances")), i, max, in) why = text_of(in, "message");
    return why ? why : "it could not be loaded";
}

static err_code load_wait(const struct options *o, const char *name, struct err *e) {
    struct progress p = {.terminal = isatty(STDERR_FILENO)};
    for (;;) {
        yyjson_doc *doc = NULL;
        err_code code = cli_admin_ask(o, "GET", "/caravan/v1/models", NULL, &doc, e);
        if (code != ERR_OK) return code;
        yyjson_val *model = find_model(doc, name);
        const char *why = model ? why_failed(model) : NULL;
        bool ready = model && strcmp(text_of(model, "state"), "ready") == 0;
        if (model) show_progress(&p, model);
        if (why) {
            code = err_set(e, ERR_UNAVAILABLE, "cannot load \"%s\": %s", name, why);
            err_hint(e, "`caravan plan %s` says what would fit; `caravan models` what takes the memory", name);
        }
        if (ready) {
            struct buf b;
            buf_init(&b, 65536);
            put_state(model, &b);
            printf("%s: %s\n", name, buf_cstr(&b));
            buf_done(&b);
        }
        yyjson_doc_free(doc);
        if (ready || code != ERR_OK) return code;
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000}, NULL);
    }
}

/* A file that is named goes by its whole path, a model by its name (with or without ".gguf"). */
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

/* POSTs {"model": ...} with the fields that are in doc already. *ret_name: what the node calls the model. */
static err_code post_model(const struct options *o, const char *path, yyjson_mut_doc *doc, const char *model,
                           char ret_name[MODEL_NAME_SIZE], struct err *e) {
    struct buf body;
    yyjson_doc *answer = NULL;
    buf_init(&body, 1 << 16);
    yyjson_mut_obj_add_str(doc, yyjson_mut_doc_get_root(doc), "model", model);
    json_write(&body, doc);
    err_code code = cli_admin_post(o, path, buf_cstr(&body), &answer, e);
    const char *name = text_of(yyjson_doc_get_root(answer), "model");
    snprintf(ret_name, MODEL_NAME_SIZE, "%s", name[0] ? name : model);
    yyjson_doc_free(answer);
    buf_done(&body);
    return code;
}

static yyjson_mut_doc *new_object(void) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, yyjson_mut_obj(doc));
    return doc;
}

err_code cli_load_model(const struct options *o, int *exit_status, struct err *e) {
    char model[PATH_MAX], name[MODEL_NAME_SIZE];
    (void)exit_status;
    err_code code = model_argument(option_argument(o, 0), model, e);
    if (code != ERR_OK) return code;
    yyjson_mut_doc *doc = new_object();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    if (option_is_set(o, OPT_PLACEMENT)) yyjson_mut_obj_add_str(doc, root, "placement", option_text(o, OPT_PLACEMENT));
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
    yyjson_mut_doc *doc = new_object();
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

/* The model as a part of a URL's path: RFC 3986 section 2. */
static void put_url(const char *text, struct buf *out) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:";
    for (const char *p = text; *p; p++)
        if (strchr(plain, *p)) buf_append(out, p, 1);
        else buf_printf(out, "%%%02X", (unsigned char)*p);
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
    put_url(model, &path);
    code = cli_admin_ask(o, "DELETE", buf_cstr(&path), NULL, &answer, e);
    if (code == ERR_OK) printf("%s: deleted\n", text_of(yyjson_doc_get_root(answer), "model"));
    yyjson_doc_free(answer);
    buf_done(&path);
    return code;
}
