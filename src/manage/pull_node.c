/* SPDX-License-Identifier: MIT
 * `caravan pull --node`: another machine of the cluster fetches the model; what its record says of that is shown here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "manage/pull.h"
#include "manage/pull_view.h"
#include "terminal/stop.h"

enum { POLL_MS = 300 };

struct watch {
    const char *source, *node;
    struct pull_view view;
    char said[256]; /* the last line of why it waits */
    bool seen;      /* the node's record has shown it */
};

static bool ended(yyjson_val *pull) {
    const char *state = answer_text(pull, "state");
    return strcmp(state, "done") == 0 || strcmp(state, "failed") == 0;
}

/* What the node's record says of this model's fetching; NULL: nothing. ERR_UNAVAILABLE: the cluster has no such node now. */
static err_code find(yyjson_val *status, const struct watch *w, yyjson_val **ret, struct err *e) {
    yyjson_val *node, *pull;
    size_t i, n, k, max;
    bool there = false;
    *ret = NULL;
    yyjson_arr_foreach(json_some(yyjson_obj_get(status, "nodes")), i, n, node) {
        if (strcmp(answer_text(node, "name"), w->node) != 0 && strcmp(answer_text(node, "id"), w->node) != 0) continue;
        there = true;
        yyjson_arr_foreach(json_some(yyjson_obj_get(node, "pulls")), k, max,
                           pull) if (strcmp(answer_text(pull, "source"), w->source) == 0) *ret = pull;
    }
    if (there) return ERR_OK;
    err_set(e, ERR_UNAVAILABLE, "no node \"%s\" is in the cluster now", w->node);
    err_hint(e, "`caravan nodes` shows the others; once it is back, the same command goes on with what has come");
    return ERR_UNAVAILABLE;
}

static err_code post(const struct options *o, const char *path, const struct watch *w, struct err *e) {
    struct buf body;
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "model", w->source);
    yyjson_mut_obj_add_str(doc, root, "node", w->node);
    buf_init(&body, 1 << 16);
    json_write(&body, doc);
    err_code code = cli_admin_post(o, path, buf_cstr(&body), NULL, e);
    buf_done(&body);
    yyjson_mut_doc_free(doc);
    return code;
}

static void show(struct watch *w, yyjson_val *pull) {
    const char *message = answer_text(pull, "message"), *model = answer_text(pull, "model");
    if (w->view.started == 0 || (model[0] && strcmp(w->view.name, model) != 0)) pull_view_begin(&w->view, model[0] ? model : w->source);
    if (message[0] && strcmp(message, w->said) != 0) pull_view_say(&w->view, message);
    snprintf(w->said, sizeof(w->said), "%s", message);
    if (answer_number(pull, "all") > 0)
        pull_view_show(&w->view, answer_number(pull, "done"), answer_number(pull, "all"),
                       strcmp(answer_text(pull, "state"), "checking") == 0);
}

static err_code outcome(const struct options *o, const struct watch *w, yyjson_val *pull, struct err *e) {
    char size[STR_SHORT];
    pull_view_end(&w->view);
    if (strcmp(answer_text(pull, "state"), "failed") == 0) {
        err_set(e, ERR_UNAVAILABLE, "\"%s\" cannot fetch it: %s", w->node, answer_text(pull, "message"));
        if (answer_text(pull, "hint")[0]) err_hint(e, "%s", answer_text(pull, "hint"));
        return ERR_UNAVAILABLE;
    }
    if (cli_shows_json(o, pull)) return ERR_OK;
    const char *model = answer_text(pull, "model");
    printf("%s is in the models folder of %s", model, w->node);
    if (answer_number(pull, "all") > 0) printf(": %s", str_size(answer_number(pull, "all"), size)); /* else it was there already */
    printf("\n");
    printf("Next: caravan load %s\n", model);
    return ERR_OK;
}

/* The node's record, once. *ret_doc: the status that *ret_pull belongs to; the caller frees it. */
static err_code look(const struct options *o, const struct watch *w, yyjson_doc **ret_doc, yyjson_val **ret_pull, struct err *e) {
    err_code code = cli_admin_ask(o, "GET", "/caravan/v1/status", NULL, ret_doc, e);
    return code == ERR_OK ? find(yyjson_doc_get_root(*ret_doc), w, ret_pull, e) : code;
}

static err_code interrupted(const struct watch *w, struct err *e) {
    pull_view_end(&w->view);
    err_set(e, ERR_CANCELLED, "interrupted");
    err_hint(e, "\"%s\" goes on fetching; the same command watches it again, the page's Models stops it", w->node);
    return ERR_CANCELLED;
}

static err_code watch_it(const struct options *o, struct watch *w, struct err *e) {
    for (;;) {
        yyjson_doc *doc = NULL;
        yyjson_val *pull = NULL;
        err_code code = look(o, w, &doc, &pull, e);
        bool is_over = code != ERR_OK || (pull && ended(pull));
        if (code == ERR_OK && pull && is_over) {
            code = outcome(o, w, pull, e);
        } else if (code == ERR_OK && pull) {
            show(w, pull);
            w->seen = true;
        } else if (code == ERR_OK && w->seen) {
            pull_view_end(&w->view);
            code = err_set(e, ERR_CANCELLED, "somebody stopped the fetching; what has come is kept");
            is_over = true;
        }
        yyjson_doc_free(doc);
        if (stop_signal()) return interrupted(w, e);
        if (is_over) return code;
        if (!stop_wait(POLL_MS)) return interrupted(w, e);
    }
}

/* How an earlier try ended is forgotten first, so that it isn't taken for this one's end. */
static err_code forget_earlier(const struct options *o, const struct watch *w, struct err *e) {
    for (bool asked = false;; asked = true) {
        yyjson_doc *doc = NULL;
        yyjson_val *pull = NULL;
        bool there = look(o, w, &doc, &pull, NULL) == ERR_OK && pull && ended(pull);
        yyjson_doc_free(doc);
        if (!there) return ERR_OK; /* what is wrong with the node's name, the node says best */
        err_code code = asked ? ERR_OK : post(o, "/caravan/v1/models/unpull", w, e);
        if (code != ERR_OK && code != ERR_NOT_FOUND) return code;
        if (!stop_wait(POLL_MS)) return err_set(e, ERR_CANCELLED, "interrupted");
    }
}

static bool runs(const struct options *o, const struct watch *w) {
    yyjson_doc *doc = NULL;
    yyjson_val *pull = NULL;
    bool does = look(o, w, &doc, &pull, NULL) == ERR_OK && pull && !ended(pull);
    yyjson_doc_free(doc);
    return does;
}

err_code pull_by_node(const struct options *o, const char *source, const char *node, struct err *e) {
    struct watch w = {.source = source, .node = node};
    stop_open();
    err_code code = forget_earlier(o, &w, e);
    if (code == ERR_OK) code = post(o, "/caravan/v1/models/pull", &w, e);
    if (code != ERR_OK && runs(o, &w)) code = ERR_OK; /* it was fetching already */
    return code == ERR_OK ? watch_it(o, &w, e) : code;
}
