/* SPDX-License-Identifier: MIT
 * `caravan batch`: has a node ask all lines of a file, and writes the results beside it. It keeps nothing itself: the batch on the node
 * has the hash of its input among its metadata, so the same command finds it again, whatever ended in between. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "batch/line.h"
#include "cli/admin.h"
#include "cli/cli.h"
#include "manage/batch_text.h"
#include "terminal/bar.h"
#include "terminal/stop.h"

enum { POLL_MS = 1000, ANSWER_MS = 60000, AWAY_S = 300, BAR = 24, RATE_US = 2000000 };

struct run {
    const struct options *o;
    const char *in;
    char *out, *errors; /* paths; owned */
    struct batch_text text;
    const char *endpoint;
    char id[64];        /* of the batch */
    bool tty;
    clock_us sample_at;
    uint64_t sample_done;
    double rate;        /* lines a second, over the last seconds */
};

/* ---- asking the node ---- */

/* What a request to the node is, besides its path. */
struct question {
    const char *method, *path, *type;
    const struct buf *body;     /* NULL: none */
    http_line_fn on_line;       /* NULL: the answer is JSON */
    void *user;
};

/* The node may have been started anew since the last question: its port and its own key are looked up each time. */
static err_code ask(const struct run *r, const struct question *q, yyjson_doc **ret, struct err *e) {
    struct http_client *c = NULL;
    struct cli_api api;
    struct buf answer;
    int status = 0;
    yyjson_doc *doc = NULL;
    buf_init(&answer, 64 << 20);
    err_code code = cli_api_open(r->o, &api, &c, e);
    const struct http_client_request request = {.method = q->method,
                                                .path = q->path,
                                                .type = q->type,
                                                .body = q->body != NULL ? q->body->data : NULL,
                                                .body_len = q->body != NULL ? q->body->len : 0,
                                                .timeout_ms = ANSWER_MS,
                                                .on_line = q->on_line,
                                                .user = q->user};
    stop_cancels(c);
    if (code == ERR_OK) code = http_client_send(c, &request, &status, &answer, e);
    if (code == ERR_NETWORK) code = cli_api_silent(&api, e);
    if (code == ERR_OK && (q->on_line == NULL || status != 200)) {
        json_parse((const char *)answer.data, answer.len, &doc, NULL);
        code = cli_api_check(&api, status, yyjson_doc_get_root(doc), e);
    }
    stop_cancels(NULL);
    if (code == ERR_OK && ret != NULL) *ret = doc;
    else yyjson_doc_free(doc);
    buf_done(&answer);
    http_client_free(c);
    return code;
}

static err_code get(const struct run *r, yyjson_doc **ret, struct err *e, const char *form, const char *id) {
    char *path = mem_printf(form, id);
    err_code code = ask(r, &(struct question){.method = "GET", .path = path}, ret, e);
    free(path);
    return code;
}

static const char *text_of(yyjson_val *object, const char *field) {
    const char *text = yyjson_get_str(yyjson_obj_get(object, field));
    return text != NULL ? text : "";
}

/* ---- the batch is found, or made ---- */

/* A batch that has come to its end is used again only if its results are still there. */
static bool is_usable(const struct run *r, yyjson_val *batch) {
    static const char *const live[] = {"validating", "in_progress", "finalizing"};
    const char *status = text_of(batch, "status"), *file = text_of(batch, "output_file_id");
    for (size_t i = 0; i < ARRAY_LEN(live); i++)
        if (strcmp(status, live[i]) == 0) return true;
    if (file[0] == '\0') file = text_of(batch, "error_file_id");
    return strcmp(status, "completed") == 0 && file[0] != '\0' && get(r, NULL, NULL, "/v1/files/%s", file) == ERR_OK;
}

static bool is_mine(const struct run *r, yyjson_val *batch) {
    return strcmp(text_of(yyjson_obj_get(batch, "metadata"), "caravan_input"), r->text.hash) == 0 &&
           strcmp(text_of(batch, "endpoint"), r->endpoint) == 0 && is_usable(r, batch);
}

/* Sets r->id, if the node has the batch of this input. */
static err_code find(struct run *r, struct err *e) {
    char after[64] = "";
    for (bool more = true; more && r->id[0] == '\0';) {
        yyjson_doc *doc = NULL;
        err_code code = get(r, &doc, e, "/v1/batches?limit=100&after=%s", after);
        if (code != ERR_OK) return code;
        yyjson_val *root = yyjson_doc_get_root(doc), *batch;
        size_t i, n;
        yyjson_arr_foreach(json_some(yyjson_obj_get(root, "data")), i, n, batch) if (r->id[0] == '\0' && is_mine(r, batch))
            snprintf(r->id, sizeof(r->id), "%s", text_of(batch, "id"));
        snprintf(after, sizeof(after), "%s", text_of(root, "last_id"));
        more = yyjson_get_bool(yyjson_obj_get(root, "has_more"));
        yyjson_doc_free(doc);
    }
    return ERR_OK;
}

static err_code upload(const struct run *r, char *ret_file, size_t size, struct err *e) {
    static const char boundary[] = "caravan-batch-5c1f0e4d7a";
    const char *name = strrchr(r->in, '/');
    struct buf form;
    yyjson_doc *doc = NULL;
    buf_init(&form, SIZE_MAX - 1);
    buf_printf(&form, "--%s\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--%s\r\n", boundary, boundary);
    buf_append_str(&form, "Content-Disposition: form-data; name=\"file\"; filename=\"");
    for (const char *at = name != NULL ? name + 1 : r->in; *at != '\0'; at++)
        buf_append_byte(&form, strchr("\"\\\r\n", *at) != NULL ? '_' : (uint8_t)*at);
    buf_append_str(&form, "\"\r\nContent-Type: application/jsonl\r\n\r\n");
    buf_append(&form, r->text.lines.data, r->text.lines.len);
    buf_printf(&form, "\r\n--%s--\r\n", boundary);
    char *type = mem_printf("multipart/form-data; boundary=%s", boundary);
    err_code code = form.failed ? err_set(e, ERR_MEMORY, "there is no memory to send \"%.120s\"", r->in)
                                : ask(r, &(struct question){.method = "POST", .path = "/v1/files", .type = type, .body = &form}, &doc, e);
    if (code == ERR_OK) snprintf(ret_file, size, "%s", text_of(yyjson_doc_get_root(doc), "id"));
    yyjson_doc_free(doc);
    free(type);
    buf_done(&form);
    return code;
}

static err_code make(struct run *r, struct err *e) {
    char file[64];
    yyjson_doc *answer = NULL;
    err_code code = upload(r, file, sizeof(file), e);
    if (code != ERR_OK) return code;
    struct buf body;
    buf_init(&body, 1 << 16);
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "input_file_id", file);
    yyjson_mut_obj_add_str(doc, root, "endpoint", r->endpoint);
    yyjson_mut_obj_add_str(doc, root, "completion_window", "24h");
    yyjson_mut_obj_add_str(doc, yyjson_mut_obj_add_obj(doc, root, "metadata"), "caravan_input", r->text.hash);
    json_write(&body, doc);
    code = ask(r, &(struct question){.method = "POST", .path = "/v1/batches", .body = &body}, &answer, e);
    if (code == ERR_OK) snprintf(r->id, sizeof(r->id), "%s", text_of(yyjson_doc_get_root(answer), "id"));
    yyjson_doc_free(answer);
    yyjson_mut_doc_free(doc);
    buf_done(&body);
    return code;
}

/* ---- how far it is ---- */

static uint64_t count_of(yyjson_val *batch, const char *field) {
    return yyjson_get_uint(yyjson_obj_get(yyjson_obj_get(batch, "request_counts"), field));
}

static void take_sample(struct run *r, uint64_t done) {
    clock_us now = clock_now();
    if (r->sample_at != 0 && done >= r->sample_done && now - r->sample_at < RATE_US) return;
    if (r->sample_at != 0 && done >= r->sample_done) {
        double fresh = (double)(done - r->sample_done) / ((double)(now - r->sample_at) / 1e6);
        r->rate = r->rate > 0 ? r->rate + (fresh - r->rate) / 4 : fresh;
    }
    r->sample_at = now;
    r->sample_done = done;
}

static void show(struct run *r, yyjson_val *batch) {
    uint64_t total = count_of(batch, "total"), failed = count_of(batch, "failed"), done = count_of(batch, "completed") + failed;
    struct winsize w = {0};
    struct buf b;
    char left[STR_SHORT];
    if (!r->tty) return;
    take_sample(r, done);
    buf_init(&b, 1024);
    double share = total > 0 ? (double)done / (double)total : 0;
    bar_put_share(share, BAR, &b);
    buf_printf(&b, " %3.0f %%  %llu of %llu", share * 100, (unsigned long long)done, (unsigned long long)total);
    if (failed > 0) buf_printf(&b, ", %llu failed", (unsigned long long)failed);
    if (r->rate > 0) buf_printf(&b, "  %.1f a second", r->rate);
    if (r->rate > 0 && done < total) buf_printf(&b, "  %s left", str_duration((uint64_t)((double)(total - done) / r->rate * 1e6), left));
    if (total == 0) buf_printf(&b, "  %s", text_of(batch, "status"));
    int width = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1 : 200;
    fprintf(stderr, "\r%.*s\033[K", width, buf_cstr(&b));
    buf_done(&b);
}

static bool is_away(err_code code) {
    return code == ERR_UNAVAILABLE || code == ERR_NETWORK || code == ERR_CLOSED || code == ERR_TIMEOUT || code == ERR_AUTH ||
           code == ERR_PROTOCOL;
}

static bool is_over(const char *status) {
    static const char *const over[] = {"completed", "failed", "expired", "cancelled"};
    for (size_t i = 0; i < ARRAY_LEN(over); i++)
        if (strcmp(status, over[i]) == 0) return true;
    return false;
}

/* Until it has come to its end; *ret: the batch then. A node that is away may come back, and its batch goes on. */
static err_code follow(struct run *r, yyjson_doc **ret, struct err *e) {
    clock_us away = 0;
    for (;;) {
        yyjson_doc *doc = NULL;
        err_code code = get(r, &doc, e, "/v1/batches/%s", r->id);
        if (code == ERR_OK) {
            away = 0;
            show(r, yyjson_doc_get_root(doc));
            if (is_over(text_of(yyjson_doc_get_root(doc), "status"))) {
                *ret = doc;
                return ERR_OK;
            }
        } else if (stop_signal() == 0 && !is_away(code)) {
            return code;
        } else {
            if (away == 0) away = clock_now();
            if (clock_now() - away > (clock_us)AWAY_S * 1000000) return code;
            if (r->tty) fprintf(stderr, "\rthe node does not answer; waiting for it\033[K");
        }
        yyjson_doc_free(doc);
        if (!stop_wait(POLL_MS)) break;
    }
    err_set(e, ERR_CANCELLED, "stopped; the batch %s goes on at the node", r->id);
    err_hint(e, "the same command follows it again and fetches the results; with --cancel it ends the batch");
    return ERR_CANCELLED;
}

/* ---- results ---- */

static bool write_line(void *user, const char *line, size_t len) {
    FILE *f = user;
    return fwrite(line, 1, len, f) == len && fputc('\n', f) != EOF;
}

static err_code open_part(const char *part, FILE **ret, struct err *e) {
    FILE *f = fopen(part, "we");
    if (f == NULL) return err_set_errno(e, ERR_IO, errno, "cannot write \"%.200s\"", part);
    *ret = f;
    return ERR_OK;
}

/* Fetches a file of the node, completely or not at all. */
static err_code fetch(const struct run *r, const char *id, const char *to, struct err *e) {
    char *part = mem_printf("%s.part", to), *path = mem_printf("/v1/files/%s/content", id);
    FILE *f = NULL;
    err_code code = open_part(part, &f, e);
    if (code == ERR_OK) code = ask(r, &(struct question){.method = "GET", .path = path, .on_line = write_line, .user = f}, NULL, e);
    bool failed = f != NULL && ferror(f) != 0;
    if (f != NULL && fclose(f) != 0) failed = true;
    if (code == ERR_OK && (failed || rename(part, to) != 0)) code = err_set_errno(e, ERR_IO, errno, "cannot write \"%.200s\"", to);
    if (code != ERR_OK && f != NULL) unlink(part);
    free(part);
    free(path);
    return code;
}

static void drop(const struct run *r, const char *file) {
    char *path = mem_printf("/v1/files/%s", file);
    if (file[0] != '\0') ask(r, &(struct question){.method = "DELETE", .path = path}, NULL, NULL);
    free(path);
}

/* The results last: where they are, all is done. Then the node needs to keep nothing of it. */
static err_code fetch_all(const struct run *r, yyjson_val *batch, struct err *e) {
    const char *output = text_of(batch, "output_file_id"), *errors = text_of(batch, "error_file_id");
    err_code code = ERR_OK;
    if (errors[0] != '\0') code = fetch(r, errors, r->errors, e);
    else unlink(r->errors); /* of an earlier run */
    if (code == ERR_OK && output[0] != '\0') code = fetch(r, output, r->out, e);
    if (code != ERR_OK) return code;
    drop(r, output);
    drop(r, errors);
    drop(r, text_of(batch, "input_file_id"));
    return ERR_OK;
}

static void say(const struct run *r, yyjson_val *batch) {
    uint64_t completed = count_of(batch, "completed"), failed = count_of(batch, "failed");
    int64_t from = yyjson_get_sint(yyjson_obj_get(batch, "in_progress_at")), to = yyjson_get_sint(yyjson_obj_get(batch, "finalizing_at"));
    char took[STR_SHORT];
    if (cli_shows_json(r->o, batch)) return;
    if (completed > 0) printf("%s: %llu answers", r->out, (unsigned long long)completed);
    else printf("no line was answered");
    if (to > from)
        printf(" in %s, %.1f a second", str_duration((uint64_t)(to - from) * 1000000, took),
               (double)(completed + failed) / (double)(to - from));
    printf("\n");
    if (failed > 0) printf("%s: %llu lines failed\n", r->errors, (unsigned long long)failed);
}

/* What the end of a batch means; its results are here. */
static err_code judge(const struct run *r, yyjson_val *batch, int *exit_status, struct err *e) {
    const char *status = text_of(batch, "status");
    if (strcmp(status, "failed") == 0) {
        yyjson_val *fault = yyjson_arr_get_first(yyjson_obj_get(yyjson_obj_get(batch, "errors"), "data"));
        uint64_t line = yyjson_get_uint(yyjson_obj_get(fault, "line"));
        return err_set(e, ERR_INVALID, "\"%.120s\" line %llu: %.220s", r->in, (unsigned long long)line, text_of(fault, "message"));
    }
    say(r, batch);
    if (strcmp(status, "cancelled") == 0) return err_set(e, ERR_CANCELLED, "the batch was cancelled: its other lines were not asked");
    if (strcmp(status, "expired") == 0) return err_set(e, ERR_TIMEOUT, "the batch's day was over before all lines were asked");
    if (count_of(batch, "failed") > 0) *exit_status = 1;
    return ERR_OK;
}

/* ---- the command ---- */

/* "in.jsonl" gives "in.out.jsonl"; the errors of "out.jsonl" go to "out.errors.jsonl". */
static char *beside(const char *path, const char *what) {
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    if (dot == NULL || dot == path || (slash != NULL && dot < slash + 2)) return mem_printf("%s.%s.jsonl", path, what);
    return mem_printf("%.*s.%s%s", (int)(dot - path), path, what, dot);
}

static err_code cancel(struct run *r, struct err *e) {
    err_code code = find(r, e);
    if (code == ERR_OK && r->id[0] == '\0') return err_set(e, ERR_NOT_FOUND, "the node has no batch of \"%.200s\"", r->in);
    char *path = mem_printf("/v1/batches/%s/cancel", r->id);
    if (code == ERR_OK) code = ask(r, &(struct question){.method = "POST", .path = path}, NULL, e);
    if (code == ERR_OK && !cli_says_json(r->o, "cancelled", r->id)) printf("the batch %s asks no further lines\n", r->id);
    free(path);
    return code;
}

static err_code process(struct run *r, int *exit_status, struct err *e) {
    yyjson_doc *batch = NULL;
    err_code code = find(r, e);
    bool again = r->id[0] != '\0';
    if (code == ERR_OK && !again) code = make(r, e);
    if (code != ERR_OK) return code;
    fprintf(stderr, "%s: %u lines, batch %s%s\n", r->in, r->text.n, r->id, again ? " goes on" : "");
    code = follow(r, &batch, e);
    if (r->tty) fputs("\r\033[K", stderr);
    if (code == ERR_OK) code = fetch_all(r, yyjson_doc_get_root(batch), e);
    if (code == ERR_OK) code = judge(r, yyjson_doc_get_root(batch), exit_status, e);
    yyjson_doc_free(batch);
    return code;
}

/* A batch may take a night: that its results can't be written is said before. */
static err_code check_out(const struct run *r, struct err *e) {
    if (option_flag(r->o, OPT_CANCEL)) return ERR_OK;
    if (!option_flag(r->o, OPT_FORCE) && access(r->out, F_OK) == 0) {
        err_set(e, ERR_INVALID, "\"%.200s\" is there already", r->out);
        err_hint(e, "--output FILE writes elsewhere, --force replaces it");
        return ERR_INVALID;
    }
    FILE *f = NULL;
    char *part = mem_printf("%s.part", r->out);
    err_code code = open_part(part, &f, e);
    if (code == ERR_OK) fclose(f);
    if (code == ERR_OK) unlink(part);
    else err_hint(e, "--output FILE writes elsewhere");
    free(part);
    return code;
}

err_code cli_batch(const struct options *o, int *exit_status, struct err *e) {
    char *const *models;
    size_t n_models = option_texts(o, OPT_KEY_MODEL, &models);
    struct run r = {.o = o, .in = option_argument(o, 0), .tty = isatty(STDERR_FILENO) != 0};
    const struct batch_given given = {.model = n_models > 0 ? models[0] : NULL,
                                      .endpoint = r.endpoint = batch_endpoint(option_text(o, OPT_ENDPOINT))};
    const char *out = option_text(o, OPT_OUTPUT);
    r.out = out[0] != '\0' ? mem_strdup(out) : beside(r.in, "out");
    r.errors = beside(r.out, "errors");
    err_code code = check_out(&r, e);
    if (code == ERR_OK) code = batch_text_read(r.in, &given, &r.text, e);
    if (code == ERR_OK) {
        stop_open();
        code = option_flag(o, OPT_CANCEL) ? cancel(&r, e) : process(&r, exit_status, e);
    }
    batch_text_done(&r.text);
    free(r.out);
    free(r.errors);
    return code;
}
