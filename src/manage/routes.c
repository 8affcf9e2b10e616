/* SPDX-License-Identifier: MIT
 * `caravan routes`: shows the routes file of the node that runs here, checks a file, and changes aliases. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "routing/table.h"
#include "terminal/table.h"

#define ROUTES_PATH "/caravan/v1/routes"
enum { TRIES = 3 };

/* ---- list ---- */

/* "qwen3 (weight 3, ready)", "gpt-x at acme" */
static void put_target(yyjson_val *t, struct buf *out) {
    const char *upstream = answer_text(t, "upstream");
    uint64_t weight = yyjson_get_uint(yyjson_obj_get(t, "weight"));
    buf_append_str(out, answer_text(t, "model"));
    if (upstream[0]) buf_printf(out, " at %s", upstream);
    if (weight > 0)
        buf_printf(out, " (weight %llu%s%s)", (unsigned long long)weight, upstream[0] ? "" : ", ",
                   upstream[0] ? "" : answer_text(t, "state"));
    else if (!upstream[0]) buf_printf(out, " (%s)", answer_text(t, "state"));
}

/* "ready", "left alone for 12 s" */
static void put_state(yyjson_val *u, struct buf *out) {
    uint64_t rests = answer_number(u, "rests_s"), running = answer_number(u, "running");
    if (rests > 0) buf_printf(out, "left alone for %llu s", (unsigned long long)rests);
    else buf_append_str(out, answer_number(u, "requests") > 0 ? "ready" : "not asked yet");
    if (running > 0) buf_printf(out, ", %llu running", (unsigned long long)running);
}

/* "0.0312 of 5" */
static void put_money(yyjson_val *u, const char *spent, const char *cap, struct buf *out) {
    yyjson_val *most = yyjson_obj_get(u, cap);
    buf_printf(out, "%.4f", yyjson_get_num(yyjson_obj_get(u, spent)));
    if (most != NULL) buf_printf(out, " of %g", yyjson_get_num(most));
}

static void put_upstream(yyjson_val *u, int64_t wall, struct table *table) {
    struct buf texts[4]; /* state, failed, day, month */
    char ago[STR_SHORT];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) buf_init(&texts[i], 256);
    int64_t at = yyjson_get_sint(yyjson_obj_get(u, "failed_at"));
    put_state(u, &texts[0]);
    buf_printf(&texts[1], "%llu of %llu", (unsigned long long)answer_number(u, "failed"), (unsigned long long)answer_number(u, "requests"));
    put_money(u, "day", "day_cap", &texts[2]);
    put_money(u, "month", "month_cap", &texts[3]);
    char *error =
        at > 0 ? mem_printf("%s ago: %s", str_duration((uint64_t)(wall > at ? wall - at : 0) * 1000000, ago), answer_text(u, "error"))
               : NULL;
    const char *cells[] = {answer_text(u, "name"), buf_cstr(&texts[0]), buf_cstr(&texts[1]),
                           buf_cstr(&texts[2]),    buf_cstr(&texts[3]), error != NULL ? error : "-"};
    table_row(table, cells);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) buf_done(&texts[i]);
    free(error);
}

static void put_upstreams(yyjson_val *root, int64_t wall, uint32_t width, struct buf *out) {
    static const struct table_column columns[] = {{"UPSTREAM", 0, false, 0}, {"STATE", 0, false, 0}, {"FAILED", 0, true, 2},
                                                  {"TODAY", 0, true, 0},     {"MONTH", 0, true, 1},  {"LAST ERROR", 20, false, 3}};
    yyjson_val *list = yyjson_obj_get(root, "upstreams"), *u;
    size_t i, max;
    if (yyjson_arr_size(list) == 0) return;
    struct table *table = table_create(columns, ARRAY_LEN(columns));
    yyjson_arr_foreach(list, i, max, u) put_upstream(u, wall, table);
    buf_append_byte(out, '\n');
    table_print(table, width, out);
    table_free(table);
}

static void put_list(yyjson_val *root, int64_t wall, uint32_t width, struct buf *out) {
    static const struct table_column columns[] = {{"ALIAS", 12, false, 0}, {"TARGETS", 0, false, 0}};
    yyjson_val *aliases = yyjson_obj_get(root, "aliases"), *a, *t;
    size_t i, max, k, n;
    struct table *table = table_create(columns, ARRAY_LEN(columns));
    yyjson_arr_foreach(aliases, i, max, a) {
        struct buf targets;
        buf_init(&targets, 1 << 16);
        yyjson_arr_foreach(json_some(yyjson_obj_get(a, "targets")), k, n, t) {
            if (k > 0) buf_append_str(&targets, ", then ");
            put_target(t, &targets);
        }
        const char *cells[] = {answer_text(a, "name"), buf_cstr(&targets)};
        table_row(table, cells);
        buf_done(&targets);
    }
    const char *file = answer_text(root, "file"), *fault = answer_text(root, "fault");
    if (yyjson_arr_size(aliases) > 0) table_print(table, width, out);
    else buf_printf(out, "no aliases: %s\n", file[0] ? file : "this node has no routes file");
    if (yyjson_arr_size(aliases) == 0) buf_append_str(out, "hint: `caravan routes set ALIAS TARGET...` makes one\n");
    put_upstreams(root, wall, width, out);
    if (fault[0]) buf_printf(out, "\nthe file was changed since, and can't be used: %s: %s\n", file, fault);
    table_free(table);
}

/* ---- check ---- */

static err_code check_file(const char *path, struct err *e) {
    struct routing_table *t = NULL;
    struct buf text;
    size_t n = 0;
    buf_init(&text, ROUTING_MAX_FILE);
    err_code code = file_read(path, "routes file", &text, e);
    if (code == ERR_OK) {
        code = routing_table_parse((const char *)text.data, text.len, &t, e);
        if (code != ERR_OK) err_prefix(e, "\"%s\"", path);
    }
    while (routing_table_alias(t, n) != NULL) n++;
    if (code == ERR_OK) printf("%s: fine, %zu alias%s\n", path, n, n == 1 ? "" : "es");
    routing_table_drop(t);
    buf_done(&text);
    return code;
}

/* ---- set, rm ---- */

/* "MODEL", "MODEL=WEIGHT", "@UPSTREAM/MODEL" */
static err_code add_target(yyjson_mut_doc *doc, yyjson_mut_val *targets, const char *text, struct err *e) {
    yyjson_mut_val *t = yyjson_mut_arr_add_obj(doc, targets);
    const char *slash = strchr(text, '/'), *weight = strrchr(text, '=');
    int64_t n = 0;
    if (text[0] == '@') {
        if (slash == NULL || slash == text + 1 || slash[1] == '\0') return err_set(e, ERR_USAGE, "\"%s\": expected @UPSTREAM/MODEL", text);
        yyjson_mut_obj_add_strncpy(doc, t, "upstream", text + 1, (size_t)(slash - text) - 1);
        text = slash + 1;
        weight = strrchr(text, '=');
    }
    if (weight != NULL && !str_parse_i64(weight + 1, &n)) return err_set(e, ERR_USAGE, "\"%s\": expected a number after '='", text);
    yyjson_mut_obj_add_strncpy(doc, t, "model", text, weight != NULL ? (size_t)(weight - text) : strlen(text));
    if (weight != NULL) yyjson_mut_obj_add_int(doc, t, "weight", n);
    return ERR_OK;
}

/* Puts the targets of the command line into the alias, and leaves its other fields as they are. */
static err_code set_alias(const struct options *o, yyjson_mut_doc *doc, yyjson_mut_val *models, struct err *e) {
    const char *name = option_argument(o, 1);
    yyjson_mut_val *alias = yyjson_mut_obj_get(models, name), *targets = yyjson_mut_arr(doc);
    err_code code =
        option_argument(o, 2) != NULL ? ERR_OK : err_set(e, ERR_USAGE, "a target is missing: caravan routes set ALIAS TARGET...");
    for (size_t i = 2; option_argument(o, i) != NULL && code == ERR_OK; i++) code = add_target(doc, targets, option_argument(o, i), e);
    if (alias == NULL) alias = yyjson_mut_obj_add_obj(doc, models, name);
    yyjson_mut_obj_put(alias, yyjson_mut_str(doc, "targets"), targets);
    return code;
}

static err_code remove_alias(const struct options *o, yyjson_mut_val *models, struct err *e) {
    const char *name = option_argument(o, 1);
    if (yyjson_mut_obj_remove_key(models, name) != NULL) return ERR_OK;
    return err_set(e, ERR_NOT_FOUND, "there is no alias \"%s\"", name);
}

/* Says which targets of the alias nobody has now: a name may be a slip, or one of a model that comes later. */
static void say_absent(yyjson_val *root, const char *name) {
    yyjson_val *a, *t;
    size_t i, max, k, n;
    yyjson_arr_foreach(json_some(yyjson_obj_get(root, "aliases")), i, max, a) {
        if (strcmp(answer_text(a, "name"), name) != 0) continue;
        yyjson_arr_foreach(json_some(yyjson_obj_get(a, "targets")), k, n, t) if (strcmp(answer_text(t, "state"), "absent") == 0)
            printf("note: no node of the cluster has a model \"%s\" now; `caravan models` lists what there is\n", answer_text(t, "model"));
    }
}

/* ERR_BUSY: the file was changed meanwhile, and stays. ret: the routes afterwards. */
static err_code change_once(const struct options *o, bool set, yyjson_doc **ret, struct err *e) {
    yyjson_doc *now = NULL;
    char path[160];
    err_code code = cli_admin_ask(o, "GET", ROUTES_PATH, NULL, &now, e);
    if (code != ERR_OK) return code;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_val_mut_copy(doc, yyjson_obj_get(yyjson_doc_get_root(now), "routes"));
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_val *models = yyjson_mut_obj_get(root, "models");
    if (models == NULL) models = yyjson_mut_obj_add_obj(doc, root, "models");
    code = set ? set_alias(o, doc, models, e) : remove_alias(o, models, e);
    char *text = code == ERR_OK ? yyjson_mut_write(doc, YYJSON_WRITE_PRETTY_TWO_SPACES | YYJSON_WRITE_NEWLINE_AT_END, NULL) : NULL;
    snprintf(path, sizeof(path), ROUTES_PATH "?version=%s", answer_text(yyjson_doc_get_root(now), "version"));
    if (code == ERR_OK) code = cli_admin_ask(o, "PUT", path, text, ret, e);
    free(text);
    yyjson_mut_doc_free(doc);
    yyjson_doc_free(now);
    return code;
}

static err_code change(const struct options *o, bool set, struct err *e) {
    const char *name = option_argument(o, 1);
    if (name == NULL) return err_set(e, ERR_USAGE, "the alias is missing: caravan routes %s ALIAS", set ? "set" : "rm");
    err_code code = ERR_BUSY;
    yyjson_doc *now = NULL;
    for (int i = 0; i < TRIES && code == ERR_BUSY; i++) code = change_once(o, set, &now, e);
    if (code == ERR_OK) printf("%s: %s\n", name, set ? "set" : "removed");
    if (code == ERR_OK) say_absent(yyjson_doc_get_root(now), name);
    yyjson_doc_free(now);
    return code;
}

err_code cli_routes(const struct options *o, int *exit_status, struct err *e) {
    const char *action = option_argument(o, 0);
    (void)exit_status;
    if (action == NULL || strcmp(action, "list") == 0) return cli_show(o, ROUTES_PATH, put_list, e);
    if (strcmp(action, "set") == 0) return change(o, true, e);
    if (strcmp(action, "rm") == 0) return change(o, false, e);
    if (strcmp(action, "check") == 0 && option_argument(o, 1) != NULL) return check_file(option_argument(o, 1), e);
    if (strcmp(action, "check") == 0) return err_set(e, ERR_USAGE, "the file is missing: caravan routes check FILE");
    err_set(e, ERR_USAGE, "\"%s\": expected list, check FILE, set ALIAS TARGET... or rm ALIAS", action);
    return ERR_USAGE;
}
