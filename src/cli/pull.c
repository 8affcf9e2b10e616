/* SPDX-License-Identifier: MIT
 * `caravan pull`: fetches a model from a hub into the models folder. pull/hub lists the files, http/download fetches them; this file does
 * one after the other, shows the progress, and explains failures. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/stop.h"
#include "pull/hub.h"
#include "http/download.h"
#include "model/gguf.h"

enum { PULL_MAX_LISTING = 32 << 20, PULL_MAX_PAGES = 100, PULL_RATE_US = 5000000, PULL_SAY_US = 10000000, PULL_BAR = 24 };

/* ---- what people see ---- */

struct view {
    const char *name; /* of the file that is being fetched */
    size_t part, n_parts;
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
        buf_append_byte(b, '[');
        for (int i = 0; i < PULL_BAR; i++) buf_append_byte(b, i < (int)(share * PULL_BAR) ? '#' : '.');
        buf_append_str(b, "] ");
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
    fprintf(stderr, "%s%s; trying again in %u s\n", v->tty ? "\r\033[K" : "", why, seconds);
}

/* ---- what to fetch ---- */

struct pull {
    const struct options *o;
    FILE *said; /* results are printed there */
    struct hub_ref ref;
    char base[HUB_MAX_ADDRESS];
    struct web_token token;
    struct hub_files files;
    struct view view;
    uint64_t fetched;
};

static void pull_base(struct pull *p) {
    const char *given = option_text(p->o, p->ref.kind == HUB_OLLAMA ? OPT_OLLAMA_REGISTRY : OPT_HF_ENDPOINT);
    const char *hf = getenv("HF_ENDPOINT");
    if (p->ref.kind != HUB_OLLAMA && !given[0]) given = hf && hf[0] ? hf : "https://huggingface.co";
    size_t len = strlen(given);
    while (len > 0 && given[len - 1] == '/') len--;
    snprintf(p->base, sizeof(p->base), "%.*s", (int)(len < 1024 ? len : 1024), given);
}

static void pull_token(struct pull *p) {
    const char *token = getenv("HF_TOKEN");
    if (!token || !token[0]) token = getenv("HUGGING_FACE_HUB_TOKEN");
    if (p->ref.kind != HUB_OLLAMA) p->token = (struct web_token){.text = token, .hub = p->base};
}

static err_code pull_list_hf(struct pull *p, const char *first, struct err *e) {
    char url[WEB_MAX_URL], next[WEB_MAX_URL];
    struct hub_listing *l = hub_listing_create();
    struct buf body;
    err_code code = ERR_OK;
    buf_init(&body, PULL_MAX_LISTING);
    snprintf(url, sizeof(url), "%s", first);
    for (int page = 0; code == ERR_OK && url[0] && page < PULL_MAX_PAGES; page++) {
        struct web_request r = {.url = url,
                                .token = p->token,
                                .accept = hub_list_accept(&p->ref),
                                .stop = stop_flag(),
                                .on_waiting = view_waiting,
                                .user = &p->view};
        code = web_get(&r, &body, next, e);
        if (code == ERR_OK) code = hub_listing_add(l, (const char *)body.data, body.len, e);
        memcpy(url, next, sizeof(url));
    }
    if (code == ERR_OK) code = hub_listing_pick(l, &p->ref, p->base, &p->files, e);
    buf_done(&body);
    hub_listing_free(l);
    return code;
}

static err_code pull_list_ollama(struct pull *p, const char *url, struct err *e) {
    struct buf body;
    buf_init(&body, PULL_MAX_LISTING);
    struct web_request r = {
        .url = url, .accept = hub_list_accept(&p->ref), .stop = stop_flag(), .on_waiting = view_waiting, .user = &p->view};
    err_code code = web_get(&r, &body, NULL, e);
    if (code == ERR_OK) code = hub_manifest_read(&p->ref, p->base, (const char *)body.data, body.len, &p->files, e);
    buf_done(&body);
    return code;
}

static err_code pull_list(struct pull *p, struct err *e) {
    char url[HUB_MAX_ADDRESS];
    if (p->ref.kind == HUB_URL) return hub_url_files(&p->ref, &p->files, e);
    hub_list_url(&p->ref, p->base, url);
    return p->ref.kind == HUB_HF ? pull_list_hf(p, url, e) : pull_list_ollama(p, url, e);
}

/* Adds a hint in the hub's own terms. */
static void pull_hint(const struct pull *p, struct err *e) {
    if (e->hint[0]) return;
    if (e->code == ERR_AUTH && p->ref.kind == HUB_HF)
        err_hint(e,
                 p->token.text && p->token.text[0]
                     ? "$HF_TOKEN doesn't open it: accept its conditions on %.100s/%.80s with that account"
                     : "it is private, gated, or not there: accept its conditions on %.100s/%.80s, then set HF_TOKEN to a token of yours",
                 p->base, p->ref.repo);
    else if (e->code == ERR_NOT_FOUND && p->ref.kind != HUB_URL)
        err_hint(e, "look at how the name and, if you gave one, %s are spelled there", p->ref.kind == HUB_HF ? "the revision" : "the tag");
    else if (e->code == ERR_CANCELLED || e->code == ERR_NETWORK || e->code == ERR_TIMEOUT || e->code == ERR_BUSY || e->code == ERR_PROTOCOL)
        err_hint(e, "the same command goes on where it was");
}

/* ---- fetching ---- */

/* Is the file here already? ERR_INVALID: another file has its name. */
static err_code pull_is_there(const struct hub_file *f, const char *path, bool *ret_there, struct err *e) {
    struct stat st;
    *ret_there = stat(path, &st) == 0;
    if (!*ret_there || f->size == 0 || (uint64_t)st.st_size == f->size) return ERR_OK;
    err_set(e, ERR_INVALID, "\"%s\" is there, but of another size than what is published", path);
    err_hint(e, "move it away or remove it; or keep this one elsewhere: --models-dir DIR");
    return ERR_INVALID;
}

static err_code pull_file(struct pull *p, const struct hub_file *f, const char *path, struct err *e) {
    bool there;
    struct http_download_result got;
    err_code code = pull_is_there(f, path, &there, e);
    if (code != ERR_OK) return code;
    if (there) {
        fprintf(p->said, "%s is there already\n", path);
        return ERR_OK;
    }
    p->view = (struct view){.name = f->name, .tty = p->view.tty, .started = clock_now()};
    struct http_download d = {.url = f->url,
                              .token = p->token,
                              .path = path,
                              .size = f->size,
                              .sha256 = f->sha256,
                              .connections = (uint32_t)option_int(p->o, OPT_CONNECTIONS),
                              .stop = stop_flag(),
                              .on_progress = view_progress,
                              .on_waiting = view_waiting,
                              .user = &p->view};
    code = http_download(&d, &got, e);
    if (p->view.tty) fputs("\r\033[K", stderr);
    if (code != ERR_OK) return code;
    char size[STR_SHORT], took[STR_SHORT], rate[STR_SHORT];
    uint64_t us = clock_now() - p->view.started;
    fprintf(p->said, "%s: %s in %s", path, str_size(got.size, size), str_duration(us, took));
    if (got.fetched < got.size) fprintf(p->said, " (%s of it were here)", str_size(got.size - got.fetched, size));
    if (us > 0) fprintf(p->said, ", %s/s", str_size((uint64_t)((double)got.fetched / ((double)us / 1e6)), rate));
    fprintf(p->said, ", %s\n", got.sha256[0] ? "SHA-256 as published" : "no checksum is published for it");
    fflush(p->said);
    p->fetched++;
    return ERR_OK;
}

/* Reads the header: the published file may not be a model. */
static err_code pull_look(struct pull *p, const char *dir, const char *path, struct err *e) {
    struct model_gguf *g = NULL;
    err_code code = model_gguf_open(path, &g, e);
    for (size_t i = 0; i < p->files.n && code != ERR_OK && p->fetched > 0; i++) {
        char *file = mem_printf("%s/%s", dir, p->files.files[i].name);
        unlink(file);
        free(file);
    }
    if (code != ERR_OK && p->fetched > 0) err_hint(e, "what came from there is no model that can be used; it is removed again");
    model_gguf_free(g);
    return code;
}

/* Fetches what is published under this name. *ret_path: the model's first file; the caller frees it. */
static err_code pull_model(const struct options *o, const char *name, FILE *said, char **ret_path, struct err *e) {
    struct pull p = {.o = o, .said = said, .view.tty = isatty(STDERR_FILENO)};
    char *dir = cli_models_dir(o), *first = NULL;
    stop_open();
    err_code code = hub_ref_parse(name, &p.ref, e);
    if (code == ERR_OK) {
        pull_base(&p);
        pull_token(&p);
        code = pull_list(&p, e);
    }
    for (size_t i = 0; i < p.files.n && code == ERR_OK; i++) {
        char *path = mem_printf("%s/%s", dir, p.files.files[i].name);
        code = pull_file(&p, &p.files.files[i], path, e);
        if (i == 0) first = path;
        else free(path);
    }
    if (code == ERR_OK) code = pull_look(&p, dir, first, e);
    else pull_hint(&p, e);
    hub_files_done(&p.files);
    free(dir);
    if (code == ERR_OK) *ret_path = first;
    else free(first);
    return code;
}

err_code cli_pull(const struct options *o, int *exit_status, struct err *e) {
    char *path = NULL;
    (void)exit_status;
    err_code code = pull_model(o, option_argument(o, 0), stdout, &path, e);
    if (code == ERR_OK) printf("Next: caravan up %s\n", path);
    free(path);
    return code;
}

err_code cli_model_file(const struct options *o, char **ret, struct err *e) {
    static const char *const hubs[] = {"hf:", "ollama:", "https://", "http://"};
    const char *given = option_argument(o, 0);
    for (size_t i = 0; given && i < ARRAY_LEN(hubs); i++)
        if (strncmp(given, hubs[i], strlen(hubs[i])) == 0) return pull_model(o, given, stderr, ret, e);
    *ret = mem_strdup(given);
    return ERR_OK;
}
