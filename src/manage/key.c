/* SPDX-License-Identifier: MIT
 * `caravan key`: shows this machine's cluster key (making one if there is none), or takes the key of another machine over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "members/key.h"

/* A new key for the whole cluster: the running node makes it and tells the others. */
static err_code key_rotate(const struct options *o, struct err *e) {
    char body[64], grace[STR_SHORT];
    yyjson_doc *doc = NULL;
    int64_t told = 0;
    snprintf(body, sizeof(body), "{\"grace\":%lld}", (long long)option_int(o, OPT_GRACE));
    err_code code = cli_admin_post(o, "/caravan/v1/key/rotate", body, &doc, e);
    if (code != ERR_OK) return code;
    json_get_i64(yyjson_doc_get_root(doc), "told", 0, INT32_MAX, &told, NULL);
    bool shown = cli_shows_json(o, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    if (shown) return ERR_OK;
    printf("the cluster has a new key; %lld other node%s been sent it\n", (long long)told, told == 1 ? " has" : "s have");
    if (option_int(o, OPT_GRACE) > 0)
        printf("A machine that is away now gets it when it comes back within %s; after that: "
               "there `caravan leave`, then `caravan join` with a new code (`caravan invite`).\n",
               str_duration((uint64_t)option_int(o, OPT_GRACE) * 1000000, grace));
    else printf("A machine that is away now: there `caravan leave`, then `caravan join` with a new code (`caravan invite`).\n");
    return ERR_OK;
}

err_code cli_key(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    if (option_argument(o, 0) && strcmp(option_argument(o, 0), "rotate") == 0) return key_rotate(o, e);
    char *path = cli_key_path(o), text[KEY_TEXT_SIZE];
    uint8_t key[IO_TLS_KEY_SIZE];
    const char *given = option_argument(o, 0);
    bool made;
    err_code code = given ? key_save(path, given, false, e) : key_open(path, key, &made, e);
    if (code == ERR_OK && given) {
        if (!cli_says_json(o, "key_file", path)) printf("saved to %s; now: caravan up --peer HOST\n", path);
    } else if (code == ERR_OK) {
        key_to_text(key, text);
        if (!cli_says_json(o, "key", text)) printf("%s\n", text);
        fprintf(stderr, "On each other machine: caravan key %.8s...  (the whole line above; whoever has it is a member)\n", text);
    }
    free(path);
    return code;
}
