/* SPDX-License-Identifier: MIT
 * See helper.h. */
#include "loading/helper.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/child.h"

enum { MAX_ANSWER = 1 << 20 };

struct helper {
    char *file;
    struct io_child *child;
    struct io_timer *killer;
    helper_done_fn done;
    void *user;
    bool late;
};

static void helper_free(struct helper *h) {
    unlink(h->file);
    io_timer_close(h->killer);
    io_child_close(h->child);
    free(h->file);
    free(h);
}

static err_code read_answer(const char *path, yyjson_doc **ret, struct err *e) {
    struct buf b;
    buf_init(&b, MAX_ANSWER);
    err_code code = file_read(path, "answer", &b, e);
    if (code == ERR_OK) code = json_parse(buf_cstr(&b), b.len, ret, e);
    buf_done(&b);
    return code;
}

static void helper_exited(void *user, int status, int signo) {
    struct helper *h = user;
    struct err e = {0};
    yyjson_doc *doc = NULL;
    if (h->late) err_set(&e, ERR_TIMEOUT, "it takes too long");
    else if (signo != 0) err_set(&e, ERR_ENGINE, "%s", strsignal(signo));
    else if (status != 0) err_set(&e, ERR_ENGINE, "see above");
    else read_answer(h->file, &doc, &e);
    h->done(h->user, doc != NULL ? yyjson_doc_get_root(doc) : NULL, &e);
    yyjson_doc_free(doc);
    helper_free(h);
}

static void helper_late(void *user) {
    struct helper *h = user;
    h->late = true;
    io_child_kill(h->child, SIGKILL);
}

err_code helper_start(struct io_loop *loop, const char *const *argv, const char *file, uint32_t most_ms, helper_done_fn done, void *user,
                      struct helper **ret, struct err *e) {
    struct helper *h = MEM_NEW(struct helper);
    struct io_child_options options = {.argv = argv, .fd = -1, .ignores_ends = true};
    h->file = mem_strdup(file);
    h->done = done;
    h->user = user;
    h->killer = io_timer_open(loop, helper_late, h);
    err_code code = io_child_start(loop, &options, helper_exited, h, &h->child, e);
    if (code != ERR_OK) {
        helper_free(h);
        return code;
    }
    io_timer_start(h->killer, most_ms, 0);
    *ret = h;
    return ERR_OK;
}

void helper_stop(struct helper *h) {
    if (h == NULL) return;
    io_child_kill(h->child, SIGKILL);
    helper_free(h);
}
