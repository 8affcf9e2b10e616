/* SPDX-License-Identifier: MIT
 * Membership by hand: `caravan invite`, `join`, `leave`, and `nodes` with its actions `remove`, `allow` and `forget`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "members/interfaces.h"
#include "members/invite.h"
#include "members/key.h"
#include "members/roster.h"
#include "show/nodes.h"

enum { JOIN_MAX_LINKS = 8 }; /* networks of this machine on which a link-local address of a join code is tried */

/* The code that the node of --api makes. */
static err_code invite_by_node(const struct options *o, struct err *e) {
    yyjson_doc *doc = NULL;
    const char *text = NULL;
    err_code code = cli_admin_post(o, "/caravan/v1/invite", "{}", &doc, e);
    if (code == ERR_OK) code = json_need_str(yyjson_doc_get_root(doc), "code", &text, e);
    if (code == ERR_OK && !cli_says_json(o, "code", text)) printf("caravan join %s\n", text);
    yyjson_doc_free(doc);
    return code;
}

/* The code of this machine's cluster, from the files in its state folder: no node needs to run. */
static err_code invite_here(const struct options *o, struct err *e) {
    struct invite in = {0};
    struct cli_node n;
    struct io_addr listen;
    char text[INVITE_TEXT_SIZE], *path = cli_key_path(o);
    bool made = false;
    err_code code = cli_addr(option_text(o, OPT_LISTEN), "::", 7433, &listen, e);
    if (code == ERR_OK && access(path, F_OK) != 0) {
        code = err_set(e, ERR_NOT_FOUND, "this machine has no cluster yet");
        err_hint(e, "`caravan up` makes one; `caravan join CODE` joins another machine's");
    }
    if (code == ERR_OK) code = key_open(path, in.key, &made, e);
    if (code == ERR_OK && !option_is_set(o, OPT_LISTEN) && cli_node_find(o, &n)) {
        listen.port = n.listen;
        snprintf(listen.host, sizeof(listen.host), "%s", n.host);
    }
    if (code == ERR_OK) in.n_addrs = interfaces_reach(listen.host, listen.port, in.addrs, INVITE_MAX_ADDRS);
    if (code == ERR_OK) code = invite_encode(&in, text, e);
    if (code == ERR_OK && !cli_says_json(o, "code", text)) printf("caravan join %s\n", text);
    free(path);
    return code;
}

err_code cli_invite(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    return cli_api_named(o) ? invite_by_node(o, e) : invite_here(o, e);
}

/* ---- join ---- */

static err_code no_code(struct err *e) {
    if (isatty(STDIN_FILENO)) fputc('\n', stderr); /* the prompt's line */
    err_set(e, ERR_INVALID, "no join code came");
    err_hint(e, "`caravan invite` prints it on a machine of the cluster; then here: caravan join CODE");
    return ERR_INVALID;
}

/* Reads the code from the command line or from standard input. It may begin with "caravan join", as `caravan invite` prints it. */
static err_code read_code(const struct options *o, char ret[4 * INVITE_TEXT_SIZE], struct err *e) {
    const char *given = option_argument(o, 0);
    if (given) {
        snprintf(ret, 4 * INVITE_TEXT_SIZE, "%s", given);
    } else {
        if (isatty(STDIN_FILENO)) fprintf(stderr, "The join code (what `caravan invite` prints on a machine of the cluster): ");
        if (!fgets(ret, 4 * INVITE_TEXT_SIZE, stdin)) return no_code(e);
    }
    char *start = strstr(ret, "caravan join ");
    if (start) memmove(ret, start + 13, strlen(start + 13) + 1);
    return ERR_OK;
}

static err_code join_remember(const struct options *o, const struct invite *in, struct err *e) {
    char *path = cli_state_path(o, "peers.json");
    struct roster *r = MEM_NEW(struct roster);
    err_code code = roster_load(path, r, e);
    char hosts[JOIN_MAX_LINKS][IO_HOST_MAX];
    for (size_t i = 0; i < in->n_addrs && code == ERR_OK; i++) {
        size_t n = interfaces_here(in->addrs[i].host, hosts, JOIN_MAX_LINKS);
        for (size_t k = 0; k < n; k++) {
            struct roster_peer p = {.port = in->addrs[i].port};
            snprintf(p.host, sizeof(p.host), "%.63s", hosts[k]);
            roster_meet(r, &p);
        }
    }
    if (code == ERR_OK) code = roster_save(path, r, e);
    free(r);
    free(path);
    return code;
}

err_code cli_join(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    struct invite in;
    struct cli_node n;
    char code_text[4 * INVITE_TEXT_SIZE], key_text[KEY_TEXT_SIZE], where[IO_ADDR_TEXT_MAX], *path = cli_key_path(o);
    err_code code = read_code(o, code_text, e);
    if (code == ERR_OK) code = invite_decode(code_text, &in, e);
    if (code == ERR_OK) {
        key_to_text(in.key, key_text);
        code = key_save(path, key_text, false, e);
    }
    if (code == ERR_OK) code = join_remember(o, &in, e);
    if (code == ERR_OK && !cli_says_json(o, "key_file", path)) {
        printf("This machine is a member now. The cluster's key is in %s", path);
        for (size_t i = 0; i < in.n_addrs; i++) printf("%s%s", i == 0 ? "; its nodes: " : ", ", io_addr_format(&in.addrs[i], where));
        printf(".\n");
        if (cli_node_find(o, &n)) printf("Next: restart the node that runs here, so that it takes part.\n");
        else printf("Next: caravan up\n");
    }
    free(path);
    return code;
}

/* ---- leave ---- */

static err_code forget(const char *path, bool *ret_was, struct err *e) {
    if (unlink(path) == 0) *ret_was = true;
    else if (errno != ENOENT) return err_set_errno(e, ERR_IO, errno, "cannot remove \"%s\"", path);
    return ERR_OK;
}

err_code cli_leave(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    struct cli_node n;
    if (cli_node_find(o, &n)) {
        err_set(e, ERR_BUSY, "a node runs on this machine");
        err_hint(e, "end it first, then leave");
        return ERR_BUSY;
    }
    char *key = cli_key_path(o), *peers = cli_state_path(o, "peers.json");
    bool was = false, knew = false;
    err_code code = forget(key, &was, e);
    if (code == ERR_OK) code = forget(peers, &knew, e);
    if (code == ERR_OK && !cli_says_json(o, "left", was ? "yes" : "no"))
        printf("%s", was ? "This machine has left its cluster: key and nodes are forgotten. Its identity stays.\n"
                           "Next: caravan join CODE, or caravan up for a cluster of its own.\n"
                         : "This machine was in no cluster.\n");
    free(key);
    free(peers);
    return code;
}

/* ---- nodes remove, allow, forget, drain, undrain ---- */

static err_code change_node(const struct options *o, const char *action, const char *name, yyjson_doc **ret_doc, struct err *e) {
    struct buf body;
    char path[64];
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "name", name);
    yyjson_mut_obj_add_int(doc, root, "grace", option_int(o, OPT_GRACE));
    buf_init(&body, 1 << 16);
    json_write(&body, doc);
    snprintf(path, sizeof(path), "/caravan/v1/nodes/%s", action);
    err_code code = cli_admin_post(o, path, buf_cstr(&body), ret_doc, e);
    buf_done(&body);
    yyjson_mut_doc_free(doc);
    return code;
}

static void say_removed(const struct options *o, const char *name, yyjson_val *answer) {
    char grace[STR_SHORT];
    int64_t told = 0;
    json_get_i64(answer, "told", 0, INT32_MAX, &told, NULL);
    printf("\"%s\" is shut out: no node of the cluster links with it any more.\n"
           "It knew the cluster's key, so that was changed; %lld other node%s been sent the new one.\n",
           name, (long long)told, told == 1 ? " has" : "s have");
    if (option_int(o, OPT_GRACE) > 0)
        printf("Members that are away now get it when they come back within %s.\n",
               str_duration((uint64_t)option_int(o, OPT_GRACE) * 1000000, grace));
    printf("`caravan nodes allow %s` lets it in again.\n", name);
}

static void say_changed(const struct options *o, const char *action, const char *name, yyjson_val *answer) {
    if (strcmp(action, "remove") == 0) say_removed(o, name, answer);
    else if (strcmp(action, "allow") == 0) printf("\"%s\" may link again.\n", name);
    else if (strcmp(action, "drain") == 0)
        printf(
            "\"%s\" takes no more layers, and those that it has move to the other machines as these have room. `caravan nodes` shows when "
            "it is drained; then it can leave.\n`caravan nodes undrain %s` ends that.\n",
            name, name);
    else if (strcmp(action, "undrain") == 0) printf("\"%s\" takes layers again.\n", name);
    else printf("\"%s\" is forgotten, here and by all nodes that are linked now; if it comes back, it is met anew.\n", name);
}

static err_code change_nodes(const struct options *o, struct err *e) {
    static const char *const actions[] = {"remove", "allow", "forget", "drain", "undrain"};
    const char *given = option_argument(o, 0), *name = option_argument(o, 1), *action = NULL;
    for (size_t i = 0; i < ARRAY_LEN(actions); i++)
        if (strcmp(given, actions[i]) == 0) action = actions[i];
    if (!action || !name) {
        err_set(e, ERR_USAGE, action ? "which node? a name is missing" : "\"nodes %s\" is not known", given);
        err_hint(e, "write: caravan nodes remove NAME, or allow, forget, drain, undrain; `caravan nodes` lists them");
        return ERR_USAGE;
    }
    yyjson_doc *doc = NULL;
    err_code code = change_node(o, action, name, &doc, e);
    if (code != ERR_OK) return code;
    if (!cli_shows_json(o, yyjson_doc_get_root(doc))) say_changed(o, action, name, yyjson_doc_get_root(doc));
    yyjson_doc_free(doc);
    return ERR_OK;
}

err_code cli_nodes(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    return option_argument(o, 0) ? change_nodes(o, e) : cli_show(o, "/caravan/v1/status", nodes_put, e);
}
