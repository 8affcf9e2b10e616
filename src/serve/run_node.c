/* SPDX-License-Identifier: MIT
 * See run_node.h. */
#include "serve/run_node.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/field.h"
#include "base/log.h"
#include "cli/answer.h"
#include "os/os.h"
#include "serve/up.h"
#include "terminal/cell.h"
#include "terminal/stop.h"

enum { PROBE_MS = 3000, POLL_MS = 100 };

/* ---- a node that runs ---- */

/* GET a JSON document. *ret_doc: NULL when the answer is none; the caller frees it. */
static err_code get_json(struct http_client *c, const char *path, int *ret_status, yyjson_doc **ret_doc, struct err *e) {
    struct buf body;
    struct http_client_request r = {.method = "GET", .path = path, .timeout_ms = PROBE_MS};
    *ret_doc = NULL;
    buf_init(&body, 16 << 20);
    err_code code = http_client_send(c, &r, ret_status, &body, e);
    if (code == ERR_OK) json_parse(buf_cstr(&body), body.len, ret_doc, NULL);
    buf_done(&body);
    return code;
}

/* "a", "b": the names of the node's models. */
static void known_models(struct http_client *c, struct buf *out) {
    yyjson_doc *doc;
    yyjson_val *m;
    size_t i, max;
    int status;
    if (get_json(c, "/v1/models", &status, &doc, NULL) != ERR_OK) return;
    yyjson_arr_foreach(json_some(yyjson_obj_get(yyjson_doc_get_root(doc), "data")), i, max, m)
        buf_printf(out, "%s\"%s\"", out->len ? ", " : "", answer_text(m, "id"));
    yyjson_doc_free(doc);
}

/* Asks the node of --api for the model: ERR_OK, its name there is in n->model. ERR_NOT_FOUND: it has none of that name; ERR_NETWORK: nobody
 * answers; ERR_AUTH, ERR_PROTOCOL (another program), ERR_INVALID (the name stands for several). */
static err_code ask_running(const struct options *o, struct run_node *n, struct err *e) {
    struct http_client *c = NULL;
    struct buf path, known;
    yyjson_doc *doc = NULL;
    int status = 0;
    buf_init(&path, 1 << 16);
    buf_init(&known, 1 << 16);
    buf_append_str(&path, "/v1/models/");
    cli_put_url(n->model, &path);
    err_code code = cli_api_open(o, &n->api, &c, e);
    if (code == ERR_OK) code = get_json(c, buf_cstr(&path), &status, &doc, e);
    if (code == ERR_OK) code = cli_api_check(&n->api, status, yyjson_doc_get_root(doc), e);
    if (code == ERR_OK) snprintf(n->model, sizeof(n->model), "%s", answer_text(yyjson_doc_get_root(doc), "id"));
    if (code == ERR_NOT_FOUND) {
        known_models(c, &known);
        err_set(e, ERR_NOT_FOUND, "there is no model \"%s\": no file of that name, and the node at %s has none", n->model, n->api.url);
        if (known.len > 0) err_hint(e, "the node has %.200s", buf_cstr(&known));
        else err_hint(e, "`caravan pull` fetches a model; `caravan load FILE` loads one");
    }
    yyjson_doc_free(doc);
    buf_done(&path);
    buf_done(&known);
    http_client_free(c);
    return code;
}

/* ---- progress ---- */

static bool shown;

void run_node_hide_progress(void) {
    if (shown) fputs("\r\033[K", stderr);
    shown = false;
}

/* "loading caravan-demo  43 % (1.2 GB of 3.0 GB, 112 MB/s, 16 s left)", or why it waits. */
static void show_model(yyjson_val *model) {
    struct buf b;
    char line[512];
    buf_init(&b, 4096);
    answer_put_loading(model, &b);
    snprintf(line, sizeof(line), "%s", buf_cstr(&b));
    uint32_t width = cell_terminal(STDERR_FILENO);
    if (width > 1) line[cell_fit(line, strlen(line), width - 1)] = '\0';
    fprintf(stderr, "\r%s\033[K", line);
    shown = true;
    buf_done(&b);
}

/* One look at the model in the node's list. ERR_OK: ready or *ret_ready false; else why it is not loaded. */
static err_code look(struct http_client *c, const char *name, bool *ret_ready, struct err *e) {
    yyjson_doc *doc;
    yyjson_val *model;
    int status = 0;
    err_code code = get_json(c, "/caravan/v1/models", &status, &doc, NULL);
    *ret_ready = false;
    model = code == ERR_OK && status == 200 ? answer_find_model(yyjson_doc_get_root(doc), name) : NULL;
    code = ERR_OK;
    if (model) {
        *ret_ready = strcmp(answer_text(model, "state"), "ready") == 0;
        code = answer_failure(model, e);
        if (*ret_ready || code != ERR_OK || !isatty(STDERR_FILENO)) run_node_hide_progress();
        else show_model(model);
    }
    yyjson_doc_free(doc);
    return code;
}

bool run_node_show_progress(const struct run_node *n) {
    struct http_client *c = NULL;
    bool ready;
    if (!isatty(STDERR_FILENO) || http_client_create(n->api.url, n->api.key[0] ? n->api.key : NULL, &c, NULL) != ERR_OK) return false;
    look(c, n->model, &ready, NULL);
    http_client_free(c);
    return shown;
}

/* ---- a private one ---- */

/* Writes a line of JSON: the reason why the node did not start. */
static void tell_error(int fd, const struct err *e) {
    struct buf b;
    buf_init(&b, 1 << 16);
    field_encode(err_fields(), e, &b);
    dprintf(fd, "%s\n", buf_cstr(&b));
    buf_done(&b);
}

static void private_main(const struct options *o, const char *model, int ready_fd, pid_t parent) {
    os_signals_reset();
    os_die_with_parent(SIGTERM);
    if (getppid() != parent) _exit(1);
    setpgid(0, 0); /* Ctrl-C is for the chat, not for the node */
    signal(SIGPIPE, SIG_IGN);
    if (log_get_level() == LOG_INFO) log_set_level(LOG_WARN);
    struct err e = {0};
    err_code code = up_serve(o, model, true, ready_fd, &e);
    e.code = code;
    if (code != ERR_OK) tell_error(ready_fd, &e); /* the parent may end this process then */
    _exit(err_exit_code(code));
}

/* The line that the node writes when its ports are open, or when it cannot start. */
static err_code private_hear(FILE *f, struct run_node *n, struct err *e) {
    char line[2048] = "";
    yyjson_doc *doc = NULL;
    int64_t port = 0;
    if (f && fgets(line, sizeof(line), f)) json_parse(line, strlen(line), &doc, NULL);
    yyjson_val *root = yyjson_doc_get_root(doc);
    err_code code = ERR_OK;
    if (json_need_i64(root, "api", 1, 65535, &port, NULL) != ERR_OK) {
        struct err why;
        field_init(err_fields(), &why);
        code = field_read(err_fields(), root, &why, NULL) == ERR_OK && why.code != ERR_OK
                   ? why.code
                   : err_set(&why, ERR_UNAVAILABLE, "the private node did not start");
        if (e) *e = why;
    }
    n->api = (struct cli_api){0};
    snprintf(n->api.url, sizeof(n->api.url), "http://127.0.0.1:%u", (unsigned)port);
    yyjson_doc_free(doc);
    return code;
}

static err_code private_start(const struct options *o, const char *model, struct run_node *n, struct err *e) {
    int fds[2];
    if (os_pipe(fds, true) != 0) return err_set_errno(e, ERR_IO, errno, "cannot make a pipe");
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(fds[0]);
        private_main(o, model, fds[1], parent);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return err_set_errno(e, ERR_IO, errno, "cannot start a node");
    }
    n->pid = (int)pid;
    FILE *f = fdopen(fds[0], "r");
    err_code code = private_hear(f, n, e);
    if (f) fclose(f);
    return code;
}

static err_code private_wait(struct run_node *n, struct prompt *typing, struct err *e) {
    struct http_client *c;
    bool ready = false;
    err_code code = http_client_create(n->api.url, NULL, &c, e);
    if (code != ERR_OK) return code;
    stop_cancels(c);
    while (code == ERR_OK && (code = look(c, n->model, &ready, e)) == ERR_OK && !ready) {
        if (waitpid(n->pid, NULL, WNOHANG) == n->pid) {
            n->pid = 0;
            code = err_set(e, ERR_UNAVAILABLE, "the private node has ended");
        } else if (!stop_wait(POLL_MS) || (typing && (!prompt_take(typing) || prompt_is_over(typing)))) {
            code = err_set(e, ERR_CANCELLED, "interrupted");
        }
    }
    if (code == ERR_NO_ROOM)
        err_hint(e, "lower --ctx or --parallel, or join more machines: caravan up MODEL here, caravan up --peer HOST there");
    run_node_hide_progress();
    stop_cancels(NULL);
    http_client_free(c);
    return code;
}

static err_code private_open(const struct options *o, const char *model, struct prompt *typing, struct run_node *n, struct err *e) {
    err_code code = private_start(o, model, n, e);
    if (code == ERR_OK) code = private_wait(n, typing, e);
    return code;
}

/* ---- which ---- */

/* Options that were typed for the private node which would have been started: the running one goes by its own. */
static void note_ignored(const struct options *o) {
    struct buf names;
    char name[OPTION_NAME_MAX];
    buf_init(&names, 1 << 12);
    for (int id = 0; id < OPT_COUNT; id++) {
        bool of_nodes = option_belongs(id, COMMAND_UP) && option_belongs(id, COMMAND_RUN) && !option_belongs(id, COMMAND_MODELS) &&
                        !option_belongs(id, COMMAND_PULL) && !option_belongs(id, COMMAND_NODES);
        if (of_nodes && option_is_typed(o, id)) buf_printf(&names, "%s--%s", names.len > 0 ? ", " : "", option_show_name(id, name));
    }
    if (names.len > 0)
        fprintf(stderr, "[the running node answers, with its own options: without %s; `caravan load` and `caravan up` take such]\n",
                buf_cstr(&names));
    buf_done(&names);
}

err_code run_node_open(const struct options *o, const char *model, struct prompt *typing, struct run_node *ret, struct err *e) {
    struct err why = {0};
    *ret = (struct run_node){0};
    bool file = access(model, F_OK) == 0, named = cli_api_named(o);
    if (file) model_card_name(model, ret->model, sizeof(ret->model));
    else snprintf(ret->model, sizeof(ret->model), "%.*s", (int)(sizeof(ret->model) - 1), model);
    err_code code = ask_running(o, ret, &why);
    if (code == ERR_OK) {
        note_ignored(o);
        return ERR_OK;
    }
    if (file && (!named || code == ERR_NOT_FOUND)) {
        code = private_open(o, model, typing, ret, e);
        if (code != ERR_OK) run_node_close(ret);
        return code;
    }
    if (code == ERR_NETWORK && named) code = cli_api_silent(&ret->api, &why);
    if (code == ERR_NETWORK) {
        code = err_set(&why, ERR_NOT_FOUND, "there is no model \"%s\": no file of that name, and no node runs here", model);
        cli_hint_models(o, &why);
    }
    if (e) *e = why;
    return code;
}

void run_node_close(struct run_node *n) {
    if (n->pid <= 0) return;
    kill(n->pid, SIGTERM);
    while (waitpid(n->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    n->pid = 0;
}
