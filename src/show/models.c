/* SPDX-License-Identifier: MIT
 * `caravan models`: the models of the cluster, as the running node knows them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/folder.h"
#include "show/models.h"
#include "terminal/table.h"

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

/* The names alone, for scripts: those that the node knows, else those of the models folder. */
static err_code print_names(const struct options *o, struct err *e) {
    struct buf out;
    yyjson_doc *doc = NULL;
    yyjson_val *m;
    size_t i, max;
    buf_init(&out, 1 << 20);
    if (cli_admin_ask(o, "GET", "/caravan/v1/models", NULL, &doc, NULL) == ERR_OK) {
        yyjson_arr_foreach(json_some(yyjson_obj_get(yyjson_doc_get_root(doc), "models")), i, max, m)
            buf_printf(&out, "%s\n", answer_text(m, "name"));
    } else {
        char *dir = cli_models_dir(o);
        folder_lines(dir, &out);
        free(dir);
    }
    err_code code = cli_print(&out, e);
    yyjson_doc_free(doc);
    buf_done(&out);
    return code;
}

err_code cli_models(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    if (option_flag(o, OPT_NAMES)) return print_names(o, e);
    return cli_show(o, "/caravan/v1/models", models_put, e);
}
