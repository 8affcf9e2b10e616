/* SPDX-License-Identifier: MIT
 * `caravan profile FILE [FOLDER]`: measures this machine for the node that started it, its disk in FOLDER; the figures are kept in FILE. */
#include <stdio.h>

#include "cli/cli.h"
#include "engine/runtime.h"
#include "os/runtime.h"
#include "plan/profile.h"

err_code cli_profile(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    const char *path = option_argument(o, 0);
    struct profile p;
    const struct engine_threads threads = {.single = (uint32_t)option_int(o, OPT_THREADS),
                                           .several = (uint32_t)option_int(o, OPT_THREADS_BATCH)};
    struct buf b;
    err_code code = engine_runtime_start(os_backends_dir, e);
    if (code == ERR_OK && option_int(o, OPT_GPU_LAYERS) != 0) engine_runtime_gpus(os_backends_dir, option_text(o, OPT_BACKENDS), NULL);
    if (code == ERR_OK) code = profile_measure(path, option_argument(o, 1), threads, &p, e);
    if (code == ERR_OK) code = profile_save(path, &p, e);
    if (code != ERR_OK || !option_flag(o, OPT_JSON)) return code;
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    profile_put(&p, doc, root);
    buf_init(&b, 1 << 20);
    json_write(&b, doc);
    puts(buf_cstr(&b));
    buf_done(&b);
    yyjson_mut_doc_free(doc);
    return ERR_OK;
}
