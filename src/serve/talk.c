/* SPDX-License-Identifier: MIT
 * See talk.h. */
#include "serve/talk.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "terminal/stop.h"

enum { MAX_GRAMMAR = 4 << 20, PROGRESS_EVERY = 3 };

struct message {
    const char *role;
    char *content;
};

struct talk {
    const struct options *given; /* from the command line */
    struct options set;          /* by /set; what it sets counts */
    const struct run_node *node;
    struct prompt *typing;
    struct http_client *http;
    struct message *messages;
    size_t n_messages;
    /* the answer that is written */
    struct buf text;
    clock_us asked, first, last;
    uint64_t prompt_tokens, completion_tokens;
    unsigned waits; /* calls of on_wait */
    bool cut;       /* it ended because there was no more room */
    bool json;      /* it is printed when it is whole */
    struct err failed;
    yyjson_doc *stats; /* the last chunk with "caravan" */
};

/* Where the value of an option stands. */
static const struct options *where(const struct talk *c, enum option_id id) { return option_is_set(&c->set, id) ? &c->set : c->given; }

/* ---- one request ---- */

static void put_sampling(const struct talk *c, yyjson_mut_doc *doc, yyjson_mut_val *root) {
#define PUT_F(field) yyjson_mut_obj_add_real(doc, root, #field, option_num(o, OPT_SAMPLING_##field));
#define PUT_I(field) yyjson_mut_obj_add_int(doc, root, #field, option_int(o, OPT_SAMPLING_##field));
#define SAMPLING(field, type, min, max, def, help) \
    { \
        const struct options *o = where(c, OPT_SAMPLING_##field); \
        if (option_is_set(o, OPT_SAMPLING_##field)) { \
            PUT_##type(field) \
        } \
    }
#include "../../tables/sampling.def"
#undef SAMPLING
    int64_t seed = option_int(where(c, OPT_SEED), OPT_SEED), max_tokens = option_int(where(c, OPT_MAX_TOKENS), OPT_MAX_TOKENS);
    if (seed >= 0) yyjson_mut_obj_add_int(doc, root, "seed", seed);
    if (max_tokens > 0) yyjson_mut_obj_add_int(doc, root, "max_tokens", max_tokens);
}

static err_code put_grammar(const struct talk *c, yyjson_mut_doc *doc, yyjson_mut_val *root, struct err *e) {
    const char *path = option_text(where(c, OPT_GRAMMAR), OPT_GRAMMAR);
    if (!path[0]) return ERR_OK;
    struct buf text;
    buf_init(&text, MAX_GRAMMAR);
    err_code code = file_read(path, "grammar", &text, e);
    if (code == ERR_OK) yyjson_mut_obj_add_strncpy(doc, root, "grammar", buf_cstr(&text), text.len);
    buf_done(&text);
    return code;
}

/* The request's body: the whole conversation, or the raw prompt. */
static err_code talk_body(const struct talk *c, bool raw, struct buf *out, struct err *e) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_mut_obj_add_str(doc, root, "model", c->node->model);
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
    put_sampling(c, doc, root);
    err_code code = put_grammar(c, doc, root, e);
    json_write(out, doc);
    yyjson_mut_doc_free(doc);
    return code;
}

/* false: nobody reads standard output any more. */
static bool on_text(struct talk *c, yyjson_val *choice) {
    yyjson_val *v = yyjson_obj_get(yyjson_obj_get(choice, "delta"), "content");
    struct buf text;
    if (!v) v = yyjson_obj_get(choice, "text");
    if (yyjson_get_len(v) == 0) return true;
    run_node_hide_progress();
    c->last = clock_now();
    if (!c->first) c->first = c->last;
    buf_append(&c->text, yyjson_get_str(v), yyjson_get_len(v));
    if (c->json) return true;
    buf_init(&text, SIZE_MAX);
    buf_append(&text, yyjson_get_str(v), yyjson_get_len(v));
    bool written = cli_print(&text, &c->failed) == ERR_OK;
    buf_done(&text);
    return written;
}

/* A line of the event stream. */
static bool on_line(void *user, const char *line, size_t len) {
    struct talk *c = user;
    size_t n;
    const char *data = http_sse_data(line, len, &n);
    yyjson_doc *doc = NULL;
    if (c->typing && !prompt_take(c->typing)) {
        err_set(&c->failed, ERR_CANCELLED, "the terminal is gone");
        return false;
    }
    if (!data || (n == 6 && memcmp(data, "[DONE]", 6) == 0) || json_parse(data, n, &doc, NULL) != ERR_OK) return true;
    yyjson_val *root = yyjson_doc_get_root(doc), *usage = yyjson_obj_get(root, "usage");
    if (yyjson_obj_get(root, "error")) cli_api_check(&c->node->api, 503, root, &c->failed);
    yyjson_val *choice = yyjson_arr_get_first(yyjson_obj_get(root, "choices"));
    bool more = on_text(c, choice);
    if (yyjson_equals_str(yyjson_obj_get(choice, "finish_reason"), "length")) c->cut = true;
    if (yyjson_is_obj(usage)) {
        c->prompt_tokens = yyjson_get_uint(yyjson_obj_get(usage, "prompt_tokens"));
        c->completion_tokens = yyjson_get_uint(yyjson_obj_get(usage, "completion_tokens"));
        yyjson_doc_free(c->stats);
        c->stats = doc;
        return more;
    }
    yyjson_doc_free(doc);
    return more;
}

/* Nothing comes: the model may be loading first. */
static bool on_wait(void *user) {
    struct talk *c = user;
    if (c->typing && !prompt_take(c->typing)) return false;
    if (!c->first && ++c->waits % PROGRESS_EVERY == 0) run_node_show_progress(c->node);
    return true;
}

static void talk_begin_answer(struct talk *c) {
    buf_clear(&c->text);
    c->failed = (struct err){0};
    c->first = c->last = c->completion_tokens = c->prompt_tokens = 0;
    c->waits = 0;
    c->cut = false;
    yyjson_doc_free(c->stats);
    c->stats = NULL;
    c->asked = clock_now();
}

static err_code talk_send(struct talk *c, bool raw, struct err *e) {
    struct buf body, answer;
    yyjson_doc *doc = NULL;
    int status = 0;
    buf_init(&body, 64 << 20);
    buf_init(&answer, 1 << 20);
    talk_begin_answer(c);
    err_code code = talk_body(c, raw, &body, e);
    struct http_client_request r = {.method = "POST",
                                    .path = raw ? "/v1/completions" : "/v1/chat/completions",
                                    .body = body.data,
                                    .body_len = body.len,
                                    .on_line = on_line,
                                    .on_wait = on_wait,
                                    .user = c};
    if (code == ERR_OK) {
        stop_cancels(c->http);
        code = http_client_send(c->http, &r, &status, &answer, e);
        stop_cancels(NULL);
        run_node_hide_progress();
    }
    if (code == ERR_OK && status != 200) {
        json_parse(buf_cstr(&answer), answer.len, &doc, NULL);
        cli_api_check(&c->node->api, status, yyjson_doc_get_root(doc), &c->failed);
        yyjson_doc_free(doc);
    }
    if (c->failed.code != ERR_OK) {
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
    fprintf(stderr, "  %-5s %6s %10s %10s %10s  (ms a step)\n", "stage", "steps", "compute", "waiting", "hop to it");
    yyjson_arr_foreach(stages, i, n, s) {
        double frames = yyjson_get_num(yyjson_obj_get(s, "frames"));
        if (frames < 1) frames = 1;
        fprintf(stderr, "  %-5llu %6.0f %10.3f %10.3f %10.3f\n", (unsigned long long)yyjson_get_uint(yyjson_obj_get(s, "stage")), frames,
                ms_of(s, "compute_ms") / frames, ms_of(s, "wait_ms") / frames, ms_of(s, "hop_ms") / frames);
    }
}

/* Tokens per second after the first token. The text may come in one piece, after all tokens were computed, and what the node measured may
 * be the last part of an answer that moved to another ring: the longer of both times is the one that all tokens took. 0: not measured. */
static double measured_rate(const struct talk *c, yyjson_val *stats) {
    double node_s = ms_of(stats, "decode_ms") / 1e3, here_s = (double)(c->last - c->first) / 1e6;
    double seconds = node_s > here_s ? node_s : here_s;
    return node_s > 0 && c->completion_tokens > 1 ? (double)(c->completion_tokens - 1) / seconds : 0;
}

static void print_figures(const struct talk *c) {
    char first[STR_SHORT], rate[STR_SHORT] = "";
    if (!c->first) return;
    yyjson_val *stats = yyjson_obj_get(yyjson_doc_get_root(c->stats), "caravan");
    double tps = measured_rate(c, stats);
    if (tps > 0) snprintf(rate, sizeof(rate), " %.1f tokens/s,", tps);
    fprintf(stderr, "[%llu token%s,%s first after %s, prompt %llu]\n", (unsigned long long)c->completion_tokens,
            c->completion_tokens == 1 ? "" : "s", rate, str_duration(c->first - c->asked, first), (unsigned long long)c->prompt_tokens);
    bool limit = c->cut && option_int(where(c, OPT_MAX_TOKENS), OPT_MAX_TOKENS) == (int64_t)c->completion_tokens;
    if (c->cut) fprintf(stderr, limit ? "[cut short by max-tokens]\n" : "[cut short: the context is full; /clear begins anew]\n");
    if (!option_flag(where(c, OPT_STATS), OPT_STATS) || !stats) return;
    fprintf(stderr, "  queued %.1f ms, prompt %.1f ms, decoding %.1f ms\n", ms_of(stats, "queued_ms"), ms_of(stats, "prefill_ms"),
            ms_of(stats, "decode_ms"));
    uint64_t guessed = yyjson_get_uint(yyjson_obj_get(stats, "draft_tokens"));
    if (guessed > 0)
        fprintf(stderr, "  speculation: %" PRIu64 " of %" PRIu64 " guesses were right\n",
                yyjson_get_uint(yyjson_obj_get(stats, "draft_accepted")), guessed);
    uint64_t own = yyjson_get_uint(yyjson_obj_get(stats, "mtp_tokens"));
    if (own > 0)
        fprintf(stderr, "  of these, by the model's own layers: %" PRIu64 " of %" PRIu64 "\n",
                yyjson_get_uint(yyjson_obj_get(stats, "mtp_accepted")), own);
    print_stages(yyjson_obj_get(stats, "stages"));
}

/* The answer, its counts, and what the node measured of it. */
static err_code print_answer(struct talk *c, struct err *e) {
    yyjson_mut_doc *doc = json_new();
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    yyjson_val *last = yyjson_doc_get_root(c->stats), *stats = yyjson_obj_get(last, "caravan");
    double rate = measured_rate(c, stats);
    struct buf out;
    yyjson_mut_obj_add_str(doc, root, "model", c->node->model);
    yyjson_mut_obj_add_strn(doc, root, "text", buf_cstr(&c->text), c->text.len);
    yyjson_mut_obj_add_str(doc, root, "finish_reason", c->cut ? "length" : "stop");
    if (c->first) yyjson_mut_obj_add_real(doc, root, "first_text_ms", (double)(c->first - c->asked) / 1e3);
    if (rate > 0) yyjson_mut_obj_add_real(doc, root, "tokens_per_second", rate);
    yyjson_mut_obj_add_val(doc, root, "usage", yyjson_val_mut_copy(doc, yyjson_obj_get(last, "usage")));
    yyjson_mut_obj_add_val(doc, root, "stats", yyjson_val_mut_copy(doc, stats));
    buf_init(&out, SIZE_MAX);
    json_write(&out, doc);
    buf_append_byte(&out, '\n');
    yyjson_mut_doc_free(doc);
    err_code code = cli_print(&out, e);
    buf_done(&out);
    return code;
}

/* ---- the conversation ---- */

static void talk_add(struct talk *c, const char *role, const char *content) {
    c->messages = mem_realloc(c->messages, c->n_messages + 1, sizeof(*c->messages));
    c->messages[c->n_messages++] = (struct message){.role = role, .content = mem_strdup(content)};
}

static void talk_forget(struct talk *c, size_t keep) {
    while (c->n_messages > keep) free(c->messages[--c->n_messages].content);
}

static void talk_begin(struct talk *c) {
    talk_forget(c, 0);
    const char *system = option_text(where(c, OPT_SYSTEM), OPT_SYSTEM);
    if (system[0] && !option_flag(c->given, OPT_RAW)) talk_add(c, "system", system);
}

err_code talk_create(const struct options *o, const struct run_node *node, struct prompt *typing, struct talk **ret, struct err *e) {
    struct http_client *http;
    err_code code = http_client_create(node->api.url, node->api.key[0] ? node->api.key : NULL, &http, e);
    if (code != ERR_OK) return code;
    struct talk *c = MEM_NEW(struct talk);
    c->given = o;
    c->node = node;
    c->typing = typing;
    c->http = http;
    c->json = option_flag(o, OPT_JSON);
    options_init(&c->set);
    buf_init(&c->text, 64 << 20);
    talk_begin(c);
    *ret = c;
    return ERR_OK;
}

void talk_free(struct talk *c) {
    if (!c) return;
    talk_forget(c, 0);
    free(c->messages);
    yyjson_doc_free(c->stats);
    http_client_free(c->http);
    buf_done(&c->text);
    options_done(&c->set);
    free(c);
}

err_code talk_ask(struct talk *c, const char *text, struct err *e) {
    bool raw = option_flag(c->given, OPT_RAW);
    if (raw) talk_forget(c, 0);
    size_t before = c->n_messages;
    talk_add(c, "user", text);
    err_code code = talk_send(c, raw, e);
    if (c->json) return code == ERR_OK ? print_answer(c, e) : code;
    if (c->text.len > 0) putchar('\n');
    fflush(stdout);
    if (c->text.len > 0 && (code == ERR_OK || code == ERR_CANCELLED)) talk_add(c, "assistant", buf_cstr(&c->text));
    else talk_forget(c, before); /* the turn can be tried again */
    if (code == ERR_OK) print_figures(c);
    return code;
}

/* ---- commands ---- */

struct command {
    const char *word, *arguments, *help;
    enum talk_command id;
};
static const struct command commands[] = {
    {"/help", "", "this list", TALK_HELP},
    {"/clear", "", "a new conversation", TALK_CLEAR},
    {"/set", "NAME VALUE", "sets an option; default takes it back", TALK_SET},
    {"/set", "", "shows all options", TALK_SET},
    {"/bye", "", "the end, as Ctrl-D", TALK_BYE},
    {"/exit", NULL, NULL, TALK_BYE},
    {"/quit", NULL, NULL, TALK_BYE},
    {"/reset", NULL, NULL, TALK_CLEAR},
    {"/?", NULL, NULL, TALK_HELP},
};

enum talk_command talk_parse(const char *line, const char **ret_rest) {
    size_t len = strcspn(line, " \t\n");
    *ret_rest = line + len + strspn(line + len, " \t");
    if (line[0] != '/') return TALK_MESSAGE;
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strlen(commands[i].word) == len && memcmp(commands[i].word, line, len) == 0) return commands[i].id;
    for (size_t i = 1; i < len; i++)
        if (!isalpha((unsigned char)line[i])) return TALK_MESSAGE;
    return len > 1 && !strchr(line, '\n') ? TALK_UNKNOWN : TALK_MESSAGE;
}

static void print_help(void) {
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (commands[i].help) fprintf(stderr, "  %-5s %-11s %s\n", commands[i].word, commands[i].arguments, commands[i].help);
    fprintf(stderr, "  Enter sends; Alt-Enter or Shift-Tab begins a new line.\n"
                    "  A paste of several lines is one message.\n"
                    "  Up and Down show earlier messages.\n"
                    "  Ctrl-C stops an answer, or drops what is typed.\n");
}

static const enum option_id settable[] = {
    OPT_SYSTEM, OPT_MAX_TOKENS, OPT_SEED, OPT_GRAMMAR, OPT_STATS,
#define SAMPLING(field, type, min, max, def, help) OPT_SAMPLING_##field,
#include "../../tables/sampling.def"
#undef SAMPLING
};

static void print_settings(const struct talk *c) {
    struct buf b;
    char name[OPTION_NAME_MAX];
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(settable); i++) {
        const struct options *o = where(c, settable[i]);
        buf_printf(&b, "  %-20s ", option_show_name(settable[i], name));
        option_put_value(o, settable[i], &b);
        buf_append_str(&b, option_is_set(o, settable[i]) ? "\n" : "  (default)\n");
    }
    fputs(buf_cstr(&b), stderr);
    buf_done(&b);
}

static err_code set_option(struct talk *c, const char *name, const char *value, struct err *e) {
    const char *names[ARRAY_LEN(settable)];
    char shown[ARRAY_LEN(settable)][OPTION_NAME_MAX];
    for (size_t i = 0; i < ARRAY_LEN(settable); i++) {
        names[i] = option_show_name(settable[i], shown[i]);
        if (!option_is_named(settable[i], name)) continue;
        option_unset(&c->set, settable[i]);
        if (strcmp(value, "default") == 0) return ERR_OK;
        return options_set(&c->set, settable[i], value, OPTION_FROM_COMMAND_LINE, e);
    }
    const char *nearest = str_nearest(name, names, ARRAY_LEN(settable));
    err_set(e, ERR_USAGE, "\"%s\" cannot be set here", name);
    if (nearest) err_hint(e, "did you mean \"%s\"?", nearest);
    else err_hint(e, "/set alone shows what can");
    return ERR_USAGE;
}

static void command_set(struct talk *c, const char *rest) {
    struct err e = {0};
    size_t len = strcspn(rest, " \t"), value = len + strspn(rest + len, " \t");
    char *name = mem_strndup(rest, len);
    if (len == 0) {
        print_settings(c);
    } else if (!rest[value]) {
        fprintf(stderr, "/set %s needs a value, or default\n", name);
    } else if (set_option(c, name, rest + value, &e) != ERR_OK) {
        cli_print_error(e.code, &e);
    } else if (option_is_named(OPT_SYSTEM, name)) {
        talk_begin(c);
        fprintf(stderr, "[a new conversation with this system message]\n");
    }
    free(name);
}

/* false: the chat ends. */
static bool talk_line(struct talk *c, const char *line) {
    struct err e = {0};
    const char *rest;
    switch (talk_parse(line, &rest)) {
    case TALK_HELP: print_help(); return true;
    case TALK_BYE: return false;
    case TALK_SET: command_set(c, rest); return true;
    case TALK_UNKNOWN: fprintf(stderr, "there is no command \"%.*s\"; /help lists them\n", (int)strcspn(line, " \t"), line); return true;
    case TALK_CLEAR:
        talk_begin(c);
        fprintf(stderr, "[a new conversation]\n");
        return true;
    case TALK_MESSAGE: break;
    }
    err_code code = talk_ask(c, line, &e);
    if (code == ERR_CANCELLED) fprintf(stderr, "[stopped]\n");
    else if (code != ERR_OK) cli_print_error(code, &e);
    stop_forget_interrupt();
    return true;
}

err_code talk_loop(struct talk *c, struct err *e) {
    enum prompt_result result;
    bool more = true;
    (void)e;
    fprintf(stderr, "Chat with %s.\n/help lists the commands; /bye or Ctrl-D ends.\n", c->node->model);
    while (more && !stop_signal()) {
        char *line = NULL;
        result = prompt_read(c->typing, &line);
        stop_forget_interrupt();
        if (result == PROMPT_END) break;
        if (result == PROMPT_BREAK) fprintf(stderr, "(/bye or Ctrl-D ends the chat)\n");
        const char *text = line;
        size_t len = line ? strlen(line) : 0;
        str_trim(&text, &len);
        if (len > 0) {
            char *trimmed = mem_strndup(text, len);
            more = talk_line(c, trimmed);
            free(trimmed);
        }
        free(line);
    }
    return ERR_OK;
}
