/* SPDX-License-Identifier: MIT
 * `caravan wake`: machines of the cluster that are asleep are woken by magic packets, which the running node sends. */
#include <stdio.h>

#include "base/json.h"
#include "cli/admin.h"
#include "cli/cli.h"

static void say_woken(int64_t n) {
    if (n == 0) printf("No machine is asleep.\n");
    else if (n == 1)
        printf("A magic packet was sent. A machine may take minutes to start; `caravan nodes` shows when its node is linked.\n");
    else printf("Magic packets were sent to %lld machines. `caravan nodes` shows when their nodes are linked.\n", (long long)n);
}

err_code cli_wake(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    struct buf body;
    yyjson_mut_doc *doc = json_new();
    yyjson_doc *answer = NULL;
    int64_t woken = 0;
    yyjson_mut_obj_add_str(doc, yyjson_mut_doc_get_root(doc), "name", option_argument(o, 0));
    buf_init(&body, 1 << 16);
    json_write(&body, doc);
    yyjson_mut_doc_free(doc);
    err_code code = cli_admin_post(o, "/caravan/v1/nodes/wake", buf_cstr(&body), &answer, e);
    buf_done(&body);
    if (code != ERR_OK) return code;
    json_get_i64(yyjson_doc_get_root(answer), "woken", 0, INT32_MAX, &woken, NULL);
    if (!cli_shows_json(o, yyjson_doc_get_root(answer))) say_woken(woken);
    yyjson_doc_free(answer);
    return ERR_OK;
}
