/* SPDX-License-Identifier: MIT
 * `caravan pull`: fetches a model from a hub into the models folder (pull/fetch), and shows the progress. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/admin.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "manage/pull.h"
#include "model/card.h"
#include "pull/fetch.h"
#include "terminal/bar.h"
#include "terminal/cell.h"
#include "terminal/stop.h"
#include "terminal/table.h"

enum { PULL_RATE_US = 5000000, PULL_SAY_US = 10000000, PULL_BAR = 24, PULL_NOTICE_MS = 200, PULL_NOTICE_TRIES = 50 };

/* ---- what people see ---- */

struct view {
    const char *name; /* of the file that is being fetched */
    bool tty;
    clock_us started, said, sample_at; /* said: when the last line was printed, if it is no terminal */
    uint64_t sample_done;
    double rate; /* bytes per second, over the last seconds */
};

static void view_rate(struct view *v, clock_us now, uint64_t done) {
    if (v->sample_at == 0 || done < v->sample_done) {
        v->sample_at = now;
        v->sample_done = done;
    } else if (now - v->sample_at >= PULL_RATE_US / 5) {
        double fresh = (double)(done - v->sample_done) / ((double)(now - v->sample_at) / 1e6);
        v->rate = v->rate > 0 ? v->rate + (fresh - v->rate) / 3 : fresh;
        v->sample_at = now;
        v->sample_done = done;
    }
}

static void view_line(const struct view *v, const struct http_download_progress *p, struct buf *b) {
    char done[STR_SHORT], size[STR_SHORT], rate[STR_SHORT], left[STR_SHORT];
    double share = p->size > 0 ? (double)p->done / (double)p->size : 1;
    buf_printf(b, "%s ", v->name);
    if (v->tty) {
        bar_put_share(share, PULL_BAR, b);
        buf_append_byte(b, ' ');
    }
    buf_printf(b, "%3.0f %%  %s of %s", share * 100, str_size(p->done, done), str_size(p->size, size));
    if (p->phase == HTTP_DOWNLOAD_CHECKING) buf_append_str(b, "  checking");
    else if (v->rate > 0) {
        buf_printf(b, "  %s/s", str_size((uint64_t)v->rate, rate));
        buf_printf(b, "  %s left", str_duration((uint64_t)((double)(p->size - p->done) / v->rate * 1e6), left));
    }
}

static void view_progress(void *user, const struct http_download_progress *p) {
    struct view *v = user;
    clock_us now = clock_now();
    struct winsize w = {0};
    if (p->phase == HTTP_DOWNLOAD_FETCHING) view_rate(v, now, p->done);
    if (!v->tty && now - v->said < PULL_SAY_US) return;
    v->said = now;
    struct buf b;
    buf_init(&b, 1024);
    view_line(v, p, &b);
    int width = v->tty && ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1 : 200;
    fprintf(stderr, v->tty ? "\r%.*s\033[K" : "%.*s\n", width, buf_cstr(&b));
    buf_done(&b);
}

static void view_waiting(void *user, const char *why, unsigned seconds) {
    const struct view *v = user;
    char *text = mem_printf("%s; trying again in %u s", why, seconds);
    struct buf b;
    buf_init(&b, 1 << 16);
    table_wrap(text, cell_terminal(STDERR_FILENO), 2, &b);
    fprintf(stderr, "%s%s", v->tty ? "\r\033[K" : "", buf_cstr(&b));
    buf_done(&b);
    free(text);
}

static void view_end(const struct view *v) {
    if (v->tty && v->started > 0) fputs("\r\033[K", stderr);
}

/* ---- the command ---- */

struct pull {
    FILE *said; /* results are printed there */
    struct view view;
};

static void on_begin(void *user, const struct hub_file *f) {
    struct pull *p = user;
    p->view = (struct view){.name = f->name, .tty = p->view.tty, .started = clock_now()};
}

static void on_progress(void *user, const struct http_download_progress *progress) {
    view_progress(&((struct pull *)user)->view, progress);
}

static void on_waiting(void *user, const char *why, unsigned seconds) { view_waiting(&((struct pull *)user)->view, why, seconds); }

static void on_there(void *user, const char *path) { fprintf(((struct pull *)user)->said, "%s is there already\n", path); }

static void on_file(void *user, const char *path, const struct http_download_result *got) {
    struct pull *p = user;
    char size[STR_SHORT], took[STR_SHORT], rate[STR_SHORT];
    uint64_t us = clock_now() - p->view.started;
    view_end(&p->view);
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
    struct pull p = {.said = said, .view.tty = isatty(STDERR_FILENO)};
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
    if (code != ERR_OK) view_end(&p.view);
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

err_code cli_pull(const struct options *o, int *exit_status, struct err *e) {
    char *path = NULL;
    (void)exit_status;
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
