/* SPDX-License-Identifier: MIT
 * `caravan run`: one answer, or a chat with line editing and history. A client of the HTTP API like any other. Text goes to standard
 * output, everything about it to standard error. */
#include <inttypes.h>
#include <isocline.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "http/client.h"

enum { MAX_PROMPT = 4 << 20, HISTORY_LINES = 1000 };

struct message {
    const char *role;
    char *content;
};

struct chat {
    const struct options *o;
    struct run_node node;
    struct http_client *http;
    struct message *messages;
    size_t n_messages;
    /* the answer that runs */
    struct buf text;
    clock_us asked, first, last;
    uint64_t prompt_tokens, completion_tokens;
    struct err failed;
    yyjson_doc *stats; /* the last chunk with "caravan", kept for --stats */
};

static struct http_client *interruptible; /* what Ctrl-C cancels; a signal handler has no argument */

static void on_interrupt(int signo) {
    (void)signo;
    if (interruptible) http_client_cancel(interruptible);
}

/* ---- one request ---- */

static void put_sampling(const struct options *o, yyjson_mut_doc *doc, yyjson_mut_val *root) {
#define PUT_F(field) yyjson_mut_obj_add_real(doc, root, #field, option_num(o, OPT_SAMPLING_##field));
#define PUT_I(field) yyjson_mut_obj_add_int(doc, root, #field, option_int(o, OPT_SAMPLING_##field));
#define SAMPLING(field, type, min, max, def, help) \
    if (option_is_set(o, OPT_SAMPLING_##field)) { \
        PUT_##type(field) \
    }
#include "../../tables/sampling.def"
#undef SAMPLING
    if (option_int(o, OPT_SEED) >= 0) yyjson_mut_obj_add_int(doc, root, "seed", option_int(o, OPT_SEED));
    if (option_int(o, OPT_MAX_TOKENS) > 0) yyjson_mut_obj_add_int(doc, root, "max_tokens", option_int(o, OPT_MAX_TOKENS));
}

static err_code put_grammar(const struct options *o, yyjson_mut_doc *doc, yyjson_mut_val *root, struct err *e) {
    const char *path = option_text(o, OPT_GRAMMAR);
    if (!path[0]) return ERR_OK;
    struct buf text;
    buf_init(&text, MAX_PROMPT);
    err_code code = file_read(path, "grammar", &text, e);
    if (code == ERR_OK) yyjson_mut_obj_add_strncpy(doc, root, "grammar", buf_cstr(&text), text.len);
    buf_done(&text);
    return code;
}

/* The request's body: the whole conversation, or the raw prompt. */
static err_code chat_body(const struct chat *c, bool raw, struct buf *out, struct err *e) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "model", c->node.model);
    if (raw) {
        yyjson_mut_obj_add_str(doc, root, "prompt", c->messages[0].content);
    } else {
        yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "messages");
        for (size_t i = 0; i < c->n_messages; i++) {
            yyjson_mut_val *m = yyjson_mut_arr_add_obj(doc, list);
            yyjson_mut_obj_add_str(doc, m, "role", c->messages[i].role);
            yyjson_mut_obj_add_str(doc, m, "content", c->messages[i].content);
        }
    }
    yyjson_mut_obj_add_bool(doc, root, "stream", true);
    yyjson_mut_obj_add_bool(doc, root, "caravan_stats", true);
    put_sampling(c->o, doc, root);
    err_code code = put_grammar(c->o, doc, root, e);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
    return code;
}

static void error_from_json(yyjson_val *root, int status, struct err *e) {
    const char *text = yyjson_get_str(yyjson_obj_get(yyjson_obj_get(root, "error"), "message"));
    err_code code = status == 404                   ? ERR_NOT_FOUND
                    : status == 401                 ? ERR_AUTH
                    : status >= 400 && status < 500 ? ERR_INVALID
                                                    : ERR_UNAVAILABLE;
    err_set(e, code, "%s", text ? text : "the node answered with an error");
}

static void on_text(struct chat *c, yyjson_val *choice) {
    yyjson_val *v = yyjson_obj_get(yyjson_obj_get(choice, "delta"), "content");
    if (!v) v = yyjson_obj_get(choice, "text");
    if (yyjson_get_len(v) == 0) return;
    c->last = clock_now();
    if (!c->first) c->first = c->last;
    fwrite(yyjson_get_str(v), 1, yyjson_get_len(v), stdout);
    fflush(stdout);
    buf_append(&c->text, yyjson_get_str(v), yyjson_get_len(v));
}

/* A line of the event stream. */
static bool on_line(void *user, const char *line, size_t len) {
    struct chat *c = user;
    size_t n;
    const char *data = http_sse_data(line, len, &n);
    yyjson_doc *doc = NULL;
    if (!data || (n == 6 && memcmp(data, "[DONE]", 6) == 0) || json_parse(data, n, &doc, NULL) != ERR_OK) return true;
    yyjson_val *root = yyjson_doc_get_root(doc), *usage = yyjson_obj_get(root, "usage");
    if (yyjson_obj_get(root, "error")) error_from_json(root, 503, &c->failed);
    on_text(c, yyjson_arr_get_first(yyjson_obj_get(root, "choices")));
    if (yyjson_is_obj(usage)) {
        c->prompt_tokens = yyjson_get_uint(yyjson_obj_get(usage, "prompt_tokens"));
        c->completion_tokens = yyjson_get_uint(yyjson_obj_get(usage, "completion_tokens"));
        yyjson_doc_free(c->stats);
        c->stats = doc;
        return true;
    }
    yyjson_doc_free(doc);
    return true;
}

static err_code chat_send(struct chat *c, bool raw, struct err *e) {
    struct buf body, answer;
    int status = 0;
    buf_init(&body, 64 << 20);
    buf_init(&answer, 1 << 20);
    buf_clear(&c->text);
    c->failed = (struct err){0};
    c->first = c->last = c->completion_tokens = c->prompt_tokens = 0;
    err_code code = chat_body(c, raw, &body, e);
    struct http_client_request r = {.method = "POST",
                                    .path = raw ? "/v1/completions" : "/v1/chat/completions",
                                    .body = body.data,
                                    .body_len = body.len,
                                    .timeout_ms = 0,
                                    .on_line = on_line,
                                    .user = c};
    c->asked = clock_now();
    interruptible = c->http;
    if (code == ERR_OK) code = http_client_send(c->http, &r, &status, &answer, e);
    interruptible = NULL;
    if (code == ERR_OK && status != 200) {
        yyjson_doc *doc = NULL;
        json_parse(buf_cstr(&answer), answer.len, &doc, NULL);
        error_from_json(yyjson_doc_get_root(doc), status, &c->failed);
        yyjson_doc_free(doc);
    }
    if (code == ERR_OK && c->failed.code != ERR_OK) {
        code = c->failed.code;
        if (e) *e = c->failed;
    }
    buf_done(&body);
    buf_done(&answer);
    return code;
}

/* ---- figures ---- */

static double ms_of(yyjson_val *obj, const char *key) { return yyjson_get_num(yyjson_obj_get(obj, key)); }

/* Where the time went: each stage's computing and waiting, and each hop's network, a frame. */
static void print_stages(yyjson_val *stages) {
    size_t i, n;
    yyjson_val *s;
    if (yyjson_arr_size(stages) == 0) return;
    fprintf(stderr, "  %-8s %8s %16s %16s %16s\n", "stage", "steps", "compute a step", "waiting a step", "hop to it");
    yyjson_arr_foreach(stages, i, n, s) {
        double frames = yyjson_get_num(yyjson_obj_get(s, "frames"));
        if (frames < 1) frames = 1;
        fprintf(stderr, "  %-8llu %8.0f %13.3f ms %13.3f ms %13.3f ms\n", (unsigned long long)yyjson_get_uint(yyjson_obj_get(s, "stage")),
                frames, ms_of(s, "compute_ms") / frames, ms_of(s, "wait_ms") / frames, ms_of(s, "hop_ms") / frames);
    }
}

static void print_figures(const struct chat *c) {
    char first[STR_SHORT];
    if (!c->first) return;
    double seconds = (double)(c->last - c->first) / 1e6;
    double rate = seconds > 0 && c->completion_tokens > 1 ? (double)(c->completion_tokens - 1) / seconds : 0;
    fprintf(stderr, "[%llu tokens, %.1f tokens/s, first after %s, prompt %llu tokens]\n", (unsigned long long)c->completion_tokens, rate,
            str_duration(c->first - c->asked, first), (unsigned long long)c->prompt_tokens);
    yyjson_val *stats = yyjson_obj_get(yyjson_doc_get_root(c->stats), "caravan");
    if (!option_flag(c->o, OPT_STATS) || !stats) return;
    fprintf(stderr, "  queued %.1f ms, prompt %.1f ms, decoding %.1f ms\n", ms_of(stats, "queued_ms"), ms_of(stats, "prefill_ms"),
            ms_of(stats, "decode_ms"));
    uint64_t guessed = yyjson_get_uint(yyjson_obj_get(stats, "draft_tokens"));
    if (guessed > 0)
        fprintf(stderr, "  speculation: %" PRIu64 " of %" PRIu64 " guesses were right\n",
                yyjson_get_uint(yyjson_obj_get(stats, "draft_accepted")), guessed);
    print_stages(yyjson_obj_get(stats, "stages"));
}

/* ---- the conversation ---- */

static void chat_add(struct chat *c, const char *role, const char *content) {
    c->messages = mem_realloc(c->messages, c->n_messages + 1, sizeof(*c->messages));
    c->messages[c->n_messages++] = (struct message){.role = role, .content = mem_strdup(content)};
}

static void chat_forget(struct chat *c, size_t keep) {
    while (c->n_messages > keep) free(c->messages[--c->n_messages].content);
}

static void chat_begin(struct chat *c) {
    chat_forget(c, 0);
    const char *system = option_text(c->o, OPT_SYSTEM);
    if (system[0] && !option_flag(c->o, OPT_RAW)) chat_add(c, "system", system);
}

static err_code chat_ask(struct chat *c, const char *prompt, struct err *e) {
    bool raw = option_flag(c->o, OPT_RAW);
    if (raw) chat_forget(c, 0);
    size_t before = c->n_messages;
    chat_add(c, "user", prompt);
    err_code code = chat_send(c, raw, e);
    if (c->text.len > 0) putchar('\n');
    fflush(stdout);
    if (code == ERR_OK || code == ERR_CANCELLED) chat_add(c, "assistant", buf_cstr(&c->text));
    else chat_forget(c, before); /* the turn can be tried again */
    if (code == ERR_OK) print_figures(c);
    return code;
}

static err_code chat_loop(struct chat *c) {
    char *history = cli_state_path(c->o, "history");
    file_make_folders(history, NULL);
    ic_set_history(history, HISTORY_LINES);
    ic_set_prompt_marker("> ", "  ");
    ic_enable_multiline(true);
    fprintf(stderr, "Chat with %s at %s. Ctrl-C stops an answer, /reset begins anew, /exit or Ctrl-D ends. Shift-Tab makes a new line.\n",
            c->node.model, c->node.api.url);
    char *line;
    while ((line = ic_readline(""))) {
        struct err e = {0};
        const char *text = line;
        size_t len = strlen(line);
        str_trim(&text, &len);
        bool end = strcmp(text, "/exit") == 0;
        if (strcmp(text, "/reset") == 0) {
            chat_begin(c);
            fprintf(stderr, "[a new conversation]\n");
        } else if (len > 0 && !end) {
            err_code code = chat_ask(c, text, &e);
            if (code == ERR_CANCELLED) fprintf(stderr, "[stopped]\n");
            else if (code != ERR_OK) fprintf(stderr, "caravan: %s%s%s\n", e.text, e.hint[0] ? "\nhint: " : "", e.hint);
        }
        free(line);
        if (end) break;
    }
    free(history);
    return ERR_OK;
}

static char *read_stdin(void) {
    char *text = mem_zalloc(MAX_PROMPT + 1);
    size_t n = fread(text, 1, MAX_PROMPT, stdin);
    while (n > 0 && text[n - 1] == '\n') text[--n] = '\0';
    return text;
}

static err_code chat_run(struct chat *c, struct err *e) {
    const char *prompt = option_argument(c->o, 1);
    chat_begin(c);
    if (prompt) return chat_ask(c, prompt, e);
    if (isatty(STDIN_FILENO)) return chat_loop(c);
    char *text = read_stdin();
    err_code code =
        text[0] ? chat_ask(c, text, e) : err_set(e, ERR_USAGE, "there is no prompt: give one as an argument or on standard input");
    free(text);
    return code;
}

err_code cli_run(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    struct chat c = {.o = o};
    buf_init(&c.text, 64 << 20);
    err_code code = run_node_open(o, &c.node, e);
    if (code == ERR_OK) code = http_client_create(c.node.api.url, c.node.api.key[0] ? c.node.api.key : NULL, &c.http, e);
    if (code == ERR_OK) {
        signal(SIGINT, on_interrupt);
        code = chat_run(&c, e);
    }
    chat_forget(&c, 0);
    free(c.messages);
    yyjson_doc_free(c.stats);
    http_client_free(c.http);
    run_node_close(&c.node);
    buf_done(&c.text);
    return code;
}
