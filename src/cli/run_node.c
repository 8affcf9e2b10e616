/* SPDX-License-Identifier: MIT
 * The node that `caravan run` talks to: one that runs on this machine and has the model, or a private one in a child process. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "os/os.h"

enum { PROBE_MS = 1000, POLL_MS = 30 };

/* The name that a node gives to the model at this path. */
static void model_name(const char *path, char *ret, size_t size) {
    const char *base = strrchr(path, '/');
    snprintf(ret, size, "%.255s", base ? base + 1 : path);
    size_t n = strlen(ret);
    if (n > 5 && strcmp(ret + n - 5, ".gguf") == 0) ret[n - 5] = '\0';
}

/* GET a JSON document; NULL when there is none. The caller frees it. */
static yyjson_doc *get_json(struct http_client *c, const char *path, int *ret_status) {
    struct buf body;
    yyjson_doc *doc = NULL;
    buf_init(&body, 16 << 20);
    struct http_client_request r = {.method = "GET", .path = path, .timeout_ms = PROBE_MS};
    if (http_client_send(c, &r, ret_status, &body, NULL) == ERR_OK && *ret_status == 200) json_parse(buf_cstr(&body), body.len, &doc, NULL);
    buf_done(&body);
    return doc;
}

/* Does a node answer at --api, and has it the model? Its names go to `known` for the error message. */
static bool find_running(const struct options *o, struct run_node *n, char *known, size_t known_size) {
    struct http_client *c;
    int status = 0;
    bool found = false;
    if (cli_api_open(o, &n->api, &c, NULL) != ERR_OK) return false;
    yyjson_doc *doc = get_json(c, "/v1/models", &status);
    yyjson_val *data = yyjson_obj_get(yyjson_doc_get_root(doc), "data"), *m;
    size_t i, max;
    yyjson_arr_foreach(data, i, max, m) {
        const char *id = yyjson_get_str(yyjson_obj_get(m, "id"));
        if (!id) continue;
        if (strcmp(id, n->model) == 0) found = true;
        snprintf(known + strlen(known), known_size - strlen(known), "%s\"%s\"", known[0] ? ", " : "", id);
    }
    yyjson_doc_free(doc);
    http_client_free(c);
    return found;
}

/* ---- a private one ---- */

static void private_main(const struct options *o, int ready_fd, pid_t parent) {
    os_die_with_parent(SIGTERM);
    if (getppid() != parent) _exit(1);
    setpgid(0, 0); /* Ctrl-C is for the chat, not for the node */
    if (log_get_level() == LOG_INFO) log_set_level(LOG_WARN);
    struct err e = {0};
    err_code code = cli_serve(o, true, ready_fd, &e);
    if (code != ERR_OK) fprintf(stderr, "caravan: %s%s%s\n", e.text, e.hint[0] ? "\nhint: " : "", e.hint);
    if (code != ERR_OK) dprintf(ready_fd, "{\"error\":\"%s\"}\n", err_name(code)); /* the parent may end this process then */
    _exit(err_exit_code(code));
}

static err_code private_start(const struct options *o, struct run_node *n, struct err *e) {
    int fds[2];
    if (os_pipe(fds, true) != 0) return err_set_errno(e, ERR_IO, errno, "cannot make a pipe");
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(fds[0]);
        private_main(o, fds[1], parent);
    }
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        return err_set_errno(e, ERR_IO, errno, "cannot start a node");
    }
    n->pid = (int)pid;
    char line[256] = "";
    FILE *f = fdopen(fds[0], "r");
    yyjson_doc *doc = NULL;
    int64_t port = 0;
    bool ok = f && fgets(line, sizeof(line), f) && json_parse(line, strlen(line), &doc, NULL) == ERR_OK &&
              json_need_i64(yyjson_doc_get_root(doc), "api", 1, 65535, &port, NULL) == ERR_OK;
    yyjson_doc_free(doc);
    if (f) fclose(f);
    if (!ok) {
        run_node_close(n);
        return err_set(e, ERR_UNAVAILABLE, "the private node did not start");
    }
    n->api = (struct cli_api){0};
    snprintf(n->api.url, sizeof(n->api.url), "http://127.0.0.1:%u", (unsigned)port);
    return ERR_OK;
}

/* One look at the node's status: true when the model is ready. Prints loading progress on a terminal. */
static bool private_ready(struct http_client *c, const char *model, char *message, size_t message_size) {
    int status = 0;
    yyjson_doc *doc = get_json(c, "/caravan/v1/status", &status);
    yyjson_val *root = yyjson_doc_get_root(doc), *m, *s;
    size_t i, max, k, n;
    bool ready = false;
    uint64_t progress = 0;
    yyjson_arr_foreach(yyjson_obj_get(root, "models"), i, max, m) {
        if (!yyjson_equals_str(yyjson_obj_get(m, "name"), model)) continue;
        ready = yyjson_get_bool(yyjson_obj_get(m, "ready"));
        const char *text = yyjson_get_str(yyjson_obj_get(m, "message"));
        snprintf(message, message_size, "%s", text ? text : "");
    }
    yyjson_arr_foreach(yyjson_obj_get(root, "nodes"), i, max, m) yyjson_arr_foreach(yyjson_obj_get(m, "stages"), k, n, s) progress =
        yyjson_get_uint(yyjson_obj_get(s, "progress"));
    if (isatty(STDERR_FILENO)) fprintf(stderr, ready ? "\r\033[K" : "\rloading %s ... %u %%", model, (unsigned)progress);
    yyjson_doc_free(doc);
    return ready;
}

static err_code private_wait(struct run_node *n, struct err *e) {
    struct http_client *c;
    char said[512] = "", message[512] = "";
    err_code code = http_client_create(n->api.url, NULL, &c, e);
    if (code != ERR_OK) return code;
    while (!private_ready(c, n->model, message, sizeof(message))) {
        int status;
        if (waitpid(n->pid, &status, WNOHANG) == n->pid) {
            n->pid = 0;
            code = err_set(e, ERR_UNAVAILABLE, "the private node has ended: %s", message[0] ? message : "see above");
            break;
        }
        if (strstr(message, "cannot place") || strstr(message, "failed")) {
            code = err_set(e, strstr(message, "cannot place") ? ERR_NO_ROOM : ERR_ENGINE, "%s", message);
            err_hint(e, "lower --ctx or --parallel, or join more machines: caravan up MODEL here, caravan up --peer HOST there");
            break;
        }
        snprintf(said, sizeof(said), "%s", message);
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000}, NULL);
    }
    http_client_free(c);
    return code;
}

err_code run_node_open(const struct options *o, struct run_node *ret, struct err *e) {
    const char *model = option_argument(o, 0);
    char known[512] = "";
    *ret = (struct run_node){0};
    model_name(model, ret->model, sizeof(ret->model));
    if (find_running(o, ret, known, sizeof(known))) return ERR_OK;
    if (access(model, R_OK) != 0) {
        err_set(e, ERR_NOT_FOUND, "there is no model \"%s\": not a file, and not served at %s", model, ret->api.url);
        if (known[0]) err_hint(e, "the node there has %s", known);
        else err_hint(e, "give the path of a GGUF file, or start a node: caravan up model.gguf");
        return ERR_NOT_FOUND;
    }
    err_code code = private_start(o, ret, e);
    if (code == ERR_OK) code = private_wait(ret, e);
    if (code != ERR_OK) run_node_close(ret);
    return code;
}

void run_node_close(struct run_node *n) {
    if (n->pid <= 0) return;
    kill(n->pid, SIGTERM);
    waitpid(n->pid, NULL, 0);
    n->pid = 0;
}
