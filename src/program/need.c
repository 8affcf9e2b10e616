/* SPDX-License-Identifier: MIT
 * `caravan need MODEL FILE LOAD`: asks libllama what slices of MODEL take when they are loaded as LOAD (JSON) says, for the node that
 * started it; the sizes are kept in FILE. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/cli.h"
#include "model/quirks.h"
#include "os/runtime.h"
#include "plan/needs.h"

enum { SIZES_MAX = 1 << 16 };

static err_code keep(const char *path, const struct needs *n, struct err *e) {
    yyjson_mut_doc *doc = json_new();
    struct buf b;
    buf_init(&b, SIZES_MAX);
    needs_put(n, doc, yyjson_mut_doc_get_root(doc));
    json_write(&b, doc);
    err_code code = file_write(path, b.data, b.len, e);
    buf_done(&b);
    yyjson_mut_doc_free(doc);
    return code;
}

static err_code read_load(const char *text, struct engine_load *ret, struct err *e) {
    engine_load_init(ret);
    err_code code = field_decode(engine_load_fields(), (const uint8_t *)text, strlen(text), ret, e);
    if (ret->backends[0] == '\0') snprintf(ret->backends, sizeof(ret->backends), "%s", os_backends_dir);
    return code;
}

err_code cli_need(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    struct engine_load load;
    struct model_gguf *g = NULL;
    struct model_layout *l = NULL;
    struct needs n;
    err_code code = read_load(option_argument(o, 2), &load, e);
    if (code == ERR_OK && load.architecture[0] != '\0') code = model_quirks_teach(load.architecture, e);
    if (code == ERR_OK) code = model_gguf_open(option_argument(o, 0), &g, e);
    if (code == ERR_OK) code = model_layout_create(g, &l, e);
    if (code == ERR_OK && load.mtp) model_layout_keep_mtp(l, load.n_rewind);
    if (code == ERR_OK) {
        needs_measure(g, l, &load, &n);
        code = keep(option_argument(o, 1), &n, e);
    }
    model_layout_free(l);
    model_gguf_free(g);
    return code;
}
