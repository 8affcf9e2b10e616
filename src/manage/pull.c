/* SPDX-License-Identifier: MIT
 * `caravan pull`: fetches a model from a hub into the models folder (pull/fetch), and shows the progress. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "manage/pull.h"
#include "manage/pull_view.h"
#include "model/card.h"
#include "pull/fetch.h"
#include "terminal/stop.h"

enum { PULL_NOTICE_MS = 200, PULL_NOTICE_TRIES = 50 };

struct pull {
    FILE *said; /* results are printed there */
    struct pull_view view;
};

static void on_begin(void *user, const struct hub_file *f) { pull_view_begin(&((struct pull *)user)->view, f->name); }

static void on_progress(void *user, const struct http_download_progress *progress) {
    pull_view_show(&((struct pull *)user)->view, progress->done, progress->size, progress->phase == HTTP_DOWNLOAD_CHECKING);
}

static void on_waiting(void *user, const char *why, unsigned seconds) {
    char *text = mem_printf("%s; trying again in %u s", why, seconds);
    pull_view_say(&((struct pull *)user)->view, text);
    free(text);
}

static void on_there(void *user, const char *path) { fprintf(((struct pull *)user)->said, "%s is there already\n", path); }

static void on_file(void *user, const char *path, const struct http_download_result *got) {
    struct pull *p = user;
    char size[STR_SHORT], took[STR_SHORT], rate[STR_SHORT];
    uint64_t us = clock_now() - p->view.started;
    pull_view_end(&p->view);
    fprintf(p->said, "%s: %s in %s", path, str_size(got->size, size), str_duration(us, took));
    if (got->fetched < got->size) fprintf(p->said, " (%s of it were here)", str_size(got->size - got->fetched, size));
    if (us > 0) fprintf(p->said, ", %s/s", str_size((uint64_t)((double)got->fetched / ((double)us / 1e6)), rate));
    fprintf(p->said, ", %s\n", got->sha256[0] ? "SHA-256 as published" : "no checksum is published for it");
    fflush(p->said);
}

/* Fetches what is published under this name. *ret_path: the model's first file; the caller frees it. */
static err_code pull_model(const struct options *o, const char *name, FILE *said, char **ret_path, struct err *e) {
    static const struct fetch_events events = {
        .begins = on_begin, .progress = on_progress, .waits = on_waiting, .is_there = on_there, .came = on_file};
    struct pull p = {.said = said};
    char *dir = cli_models_dir(o);
    stop_open();
    const struct fetch_job f = {.name = name,
                                .dir = dir,
                                .hf_endpoint = option_text(o, OPT_HF_ENDPOINT),
                                .ollama_registry = option_text(o, OPT_OLLAMA_REGISTRY),
                                .connections = (uint32_t)option_int(o, OPT_CONNECTIONS),
                                .stop = stop_flag(),
                                .events = &events,
                                .user = &p};
    err_code code = fetch_model(&f, ret_path, e);
    if (code != ERR_OK) pull_view_end(&p.view);
    free(dir);
    return code;
}

/* Does the node of this machine look for models in this folder? */
static bool node_uses(const struct options *o, const char *dir) {
    struct cli_node n;
    yyjson_doc *doc = NULL;
    if (!cli_node_find(o, &n) || cli_admin_ask(o, "GET", "/caravan/v1/status", NULL, &doc, NULL) != ERR_OK) return false;
    bool uses = strcmp(answer_text(yyjson_doc_get_root(doc), "models_dir"), dir) == 0;
    yyjson_doc_free(doc);
    return uses;
}

static bool node_has(const struct options *o, const char *name) {
    yyjson_doc *doc = NULL;
    bool has = cli_admin_ask(o, "GET", "/caravan/v1/models", NULL, &doc, NULL) == ERR_OK &&
               answer_find_model(yyjson_doc_get_root(doc), name) != NULL;
    yyjson_doc_free(doc);
    return has;
}

/* A node looks through its folder now and then. The command that follows shall find the model there. */
static void pull_until_noticed(const struct options *o, const char *path) {
    char *dir = cli_models_dir(o), name[MODEL_NAME_SIZE];
    model_card_name(path, name, sizeof(name));
    bool uses = node_uses(o, dir);
    for (int i = 0; uses && i < PULL_NOTICE_TRIES && !node_has(o, name); i++)
        if (!stop_wait(PULL_NOTICE_MS)) break;
    free(dir);
}

/* The other machine fetches with options of its own. */
static err_code pull_check_node(const struct options *o, struct err *e) {
    static const enum option_id own[] = {OPT_MODELS_DIR, OPT_HF_ENDPOINT, OPT_OLLAMA_REGISTRY, OPT_CONNECTIONS};
    char name[OPTION_NAME_MAX];
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (!option_is_typed(o, own[i])) continue;
        err_set(e, ERR_USAGE, "--%s says nothing to the node that --node names", option_show_name(own[i], name));
        err_hint(e, "\"%s\" fetches as it was started: give --%s to its `caravan up`, or leave it out here", option_text(o, OPT_NODE),
                 name);
        return ERR_USAGE;
    }
    return ERR_OK;
}

err_code cli_pull(const struct options *o, int *exit_status, struct err *e) {
    char *path = NULL;
    (void)exit_status;
    if (option_text(o, OPT_NODE)[0]) {
        err_code checked = pull_check_node(o, e);
        return checked == ERR_OK ? pull_by_node(o, option_argument(o, 0), option_text(o, OPT_NODE), e) : checked;
    }
    err_code code = pull_model(o, option_argument(o, 0), option_flag(o, OPT_JSON) ? stderr : stdout, &path, e);
    if (code == ERR_OK) pull_until_noticed(o, path);
    if (code == ERR_OK && !cli_says_json(o, "path", path)) printf("Next: caravan up %s\n", path);
    free(path);
    return code;
}

err_code pull_model_file(const struct options *o, char **ret, struct err *e) {
    static const char *const hubs[] = {"hf:", "ollama:", "https://", "http://"};
    const char *given = option_argument(o, 0);
    for (size_t i = 0; given && i < ARRAY_LEN(hubs); i++)
        if (strncmp(given, hubs[i], strlen(hubs[i])) == 0) return pull_model(o, given, stderr, ret, e);
    *ret = mem_strdup(given);
    return ERR_OK;
}
