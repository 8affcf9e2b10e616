/* SPDX-License-Identifier: MIT
 * A node for tests of stage children in real processes: it forks children that run stage_loop_run with a fake engine, carries their ring
 * sockets, and checks their messages and their ends. Include after cmocka.h. */
#ifndef CARAVAN_TESTS_STAGE_FIXTURE_H
#define CARAVAN_TESTS_STAGE_FIXTURE_H

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "io/sock.h"
#include "wire/request.h"
#include "wire/bounds.h"
#include "stage/crash.h"
#include "stage/loop.h"
#include "stage/tokenizer.h"
#include "wire/link.h"
#include "support/fake_engine.h"

enum { MAX_STAGE = 4, N_LAYER = 8, N_CTX = 64, N_SEQ = 4, N_BATCH = 16, MAX_SEEN = 8, MAX_ROWS = 16 };
enum { WAIT_MS = 60000, CONNECT_MS = 40000 }; /* long, for a busy machine */

/* ---- the children ---- */

enum trouble {
    NONE,
    OPEN_FAILS,
    EVAL_FAILS_ONCE,
    EVAL_HANGS,
    EVAL_HANGS_LATER,
    EVAL_ABORTS_LATER,
    EVAL_SLOW,
    TEXT_WAITS,  /* a long text isn't turned into tokens before the test says so */
    TEXT_ABORTS,
    WRONG_KEY,
    WRONG_NODE /* on another node than the plan says */
};
static int hang_pipe[2] = {-1, -1}; /* a child writes here when it begins to hang */
static int text_pipe[2] = {-1, -1}; /* TEXT_WAITS: a byte lets a text go on */
static uint32_t *n_evals;           /* of all children, in shared memory; NULL: not counted */
static uint32_t *longest_text;      /* bytes that a child has turned into tokens, in shared memory; NULL: not wanted */
static uint32_t n_ctx = N_CTX;      /* of all children */
static uint32_t beat_ms = STAGE_BEAT_MS; /* of all children */
struct child_setup {
    enum trouble trouble;
    uint32_t stage, evals;
    bool failed_once;
};

static inline bool child_fails(void *user) {
    struct child_setup *s = user;
    if (n_evals != NULL) ++*n_evals;
    if (s->trouble == EVAL_HANGS) {
        if (write(hang_pipe[1], "", 1) != 1) abort();
        for (;;) pause();
    }
    if (s->trouble == EVAL_HANGS_LATER && ++s->evals == 3)
        for (;;) pause();
    if (s->trouble == EVAL_ABORTS_LATER && ++s->evals == 3) abort();
    if (s->trouble == EVAL_SLOW) poll(NULL, 0, 2);
    bool fail = s->trouble == EVAL_FAILS_ONCE && !s->failed_once;
    s->failed_once = s->failed_once || fail;
    return fail;
}

static inline void child_reads(void *user, size_t len) {
    const struct child_setup *s = user;
    char byte;
    if (longest_text != NULL && len > *longest_text) *longest_text = (uint32_t)len;
    if (len <= TOKENIZER_SHORT) return;
    if (s->trouble == TEXT_ABORTS) abort();
    if (s->trouble == TEXT_WAITS && (write(hang_pipe[1], "", 1) != 1 || read(text_pipe[0], &byte, 1) != 1)) abort();
}

static inline err_code child_open(void *user, const struct stage_order *o, stage_progress_fn progress, void *progress_user,
                                  struct engine *ret, struct err *e) {
    struct child_setup *s = user;
    if (!progress(progress_user, 50, &(struct stage_fetch){0})) return err_set(e, ERR_CANCELLED, "told to stop");
    if (s->trouble == OPEN_FAILS) return err_set(e, ERR_NO_ROOM, "cannot load layers %u-%u: no room", o->first, o->end - 1);
    struct fake_params p = {.first = o->first,
                            .end = o->end,
                            .n_layer = N_LAYER,
                            .n_seq = o->load.n_seq,
                            .n_ctx_seq = o->load.n_ctx,
                            .n_ctx = o->load.n_ctx * o->load.n_seq,
                            .n_batch = o->load.n_batch,
                            .fail = child_fails,
                            .on_tokenize = child_reads,
                            .user = s};
    fake_engine_open(&p, ret);
    return ERR_OK;
}

/* ---- the node ---- */

struct seen {
    uint64_t id;
    int32_t tokens[N_CTX];
    size_t n;
    bool started, done, failed;
    struct request_event last;
};

struct node_child {
    pid_t pid;
    struct wire_link *local;
    int listen_fd;
    bool ready, closed, draining_seen;
    struct stage_fault fault;
    uint32_t n_faults;
    struct stage_traffic traffic;
    struct stage_team team;
};

struct node {
    uint32_t n_stage;
    struct node_child children[MAX_STAGE];
    struct seen seen[MAX_SEEN];
    size_t n_seen;
    uint64_t cancel_after;   /* CANCEL this request with its third token; 0: none */
    float rows[MAX_ROWS][FAKE_N_VOCAB];
    uint32_t n_rows, n_logits_frames;
};

static inline void node_send(struct node *n, uint32_t stage, uint8_t type, const void *payload, size_t len) {
    struct frame_header h = {.type = type};
    struct wire_part part = {.data = payload, .len = len};
    struct err e;
    if (wire_link_send(n->children[stage].local, &h, &part, 1, &e) != ERR_OK) fail_msg("%s", e.text);
}

static inline void spawn(struct node *n, uint32_t stage, enum trouble trouble) {
    int fds[2];
    assert_int_equal(io_sock_pair(fds, NULL), ERR_OK);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        for (int fd = 3; fd < 64; fd++)
            if (fd != fds[1] && fd != hang_pipe[1] && fd != text_pipe[0]) close(fd);
        io_tls_startup();
        struct child_setup s = {.trouble = trouble, .stage = stage};
        stage_crash_catch(NULL);
        _exit(stage_loop_run(fds[1], child_open, &s));
    }
    close(fds[1]);
    n->children[stage] = (struct node_child){.pid = pid, .local = wire_link_local(fds[0]), .listen_fd = -1};
}

static inline void order(struct node *n, uint32_t stage, enum trouble trouble) {
    struct stage_order o;
    stage_order_init(&o);
    snprintf(o.instance, sizeof(o.instance), "test");
    snprintf(o.model, sizeof(o.model), "fake");
    o.epoch = 0x100000001;
    o.first = stage * N_LAYER / n->n_stage;
    o.end = (stage + 1) * N_LAYER / n->n_stage;
    o.stage = stage;
    o.n_stage = n->n_stage;
    o.load.n_ctx = n_ctx;
    o.load.n_seq = n_evals != NULL ? MAX_SEEN : N_SEQ;
    o.load.n_batch = N_BATCH;
    o.connect_timeout_ms = CONNECT_MS;
    o.beat_ms = beat_ms;
    o.dtype = FRAME_F16;
    memset(o.key, trouble == WRONG_KEY ? 9 : 5, sizeof(o.key));
    static const uint8_t secret[IO_SIGN_SECRET_SIZE] = {3}; /* of the one node that all stages are on */
    wire_pass_make(secret, o.instance, o.epoch, &o.pass);
    o.prev_node = o.next_node = io_sign_id(o.pass.node);
    static const uint8_t another[IO_SIGN_SECRET_SIZE] = {4};
    if (trouble == WRONG_NODE) wire_pass_make(another, o.instance, o.epoch, &o.pass);
    if (n->n_stage > 1) {
        snprintf(o.next_host, sizeof(o.next_host), "127.0.0.1");
        o.next_port = io_sock_port(n->children[(stage + 1) % n->n_stage].listen_fd);
    }
    struct buf json;
    buf_init(&json, 1 << 20);
    stage_order_encode(&o, &json);
    node_send(n, stage, FRAME_LOAD, json.data, json.len);
    buf_done(&json);
}

static inline struct node *node_start(uint32_t n_stage, uint32_t troubled, enum trouble trouble) {
    struct node *n = MEM_NEW(struct node);
    n->n_stage = n_stage;
    for (uint32_t i = 0; i < n_stage; i++) spawn(n, i, i == troubled ? trouble : NONE);
    struct io_addr any = {.host = "127.0.0.1"};
    for (uint32_t i = 0; i < n_stage && n_stage > 1; i++)
        assert_int_equal(io_sock_listen(&any, 8, &n->children[i].listen_fd, NULL), ERR_OK);
    for (uint32_t i = 0; i < n_stage; i++) order(n, i, i == troubled ? trouble : NONE);
    return n;
}

static inline void on_event(struct node *n, const struct request_event *ev) {
    struct seen *s = NULL;
    for (size_t i = 0; i < n->n_seen; i++) s = n->seen[i].id == ev->id ? &n->seen[i] : s;
    if (s == NULL) {
        fail_msg("an event of an unknown request %llu", (unsigned long long)ev->id);
        return;
    }
    assert_false(s->done || s->failed);
    s->last = *ev;
    if (ev->kind == REQUEST_STARTED) {
        s->started = true;
    } else if (ev->kind == REQUEST_TOKEN) {
        char piece[16];
        int len = snprintf(piece, sizeof(piece), "<%d>", ev->token);
        assert_int_equal(ev->piece_len, len);
        assert_memory_equal(ev->piece, piece, (size_t)len);
        s->tokens[s->n++] = ev->token;
        if (n->cancel_after == ev->id && s->n == 3) {
            uint8_t id[FIELD_SIZE(request_cancel)];
            field_put(request_cancel_fields(), &(struct request_cancel){.id = ev->id}, id);
            node_send(n, 0, FRAME_CANCEL, id, sizeof(id));
        }
    }
    s->done = ev->kind == REQUEST_DONE;
    s->failed = ev->kind == REQUEST_FAILED;
}

static inline void on_logits(struct node *n, const uint8_t *payload, size_t len) {
    struct request_logits l;
    assert_int_equal(request_logits_decode(payload, len, &l, NULL), ERR_OK);
    assert_int_equal(l.batch, n->n_logits_frames++);
    for (uint32_t i = 0; i < l.n_rows; i++, n->n_rows++) {
        assert_int_equal(l.n_vocab, FAKE_N_VOCAB);
        for (uint32_t t = 0; t < l.n_vocab; t++) n->rows[n->n_rows][t] = bytes_get_f32(l.rows + ((size_t)i * l.n_vocab + t) * 4);
    }
}

/* It only grows. */
static inline void on_traffic(struct node_child *c, const uint8_t *payload, size_t len) {
    struct stage_traffic t;
    assert_int_equal(field_decode(stage_traffic_fields(), payload, len, &t, NULL), ERR_OK);
    assert_true(t.sent >= c->traffic.sent && t.frames >= c->traffic.frames && t.sent >= t.frames * FRAME_HEADER_SIZE);
    c->traffic = t;
}

static inline void on_frame(struct node *n, uint32_t stage, const struct frame_header *h, const uint8_t *payload) {
    struct node_child *c = &n->children[stage];
    static struct request_event ev;
    struct stage_state st;
    struct err e = {0};
    switch (h->type) {
    case FRAME_STATE:
        assert_int_equal(stage_state_decode(payload, h->payload_len, &st, &e), ERR_OK);
        c->ready = c->ready || st.phase == STAGE_READY;
        c->draining_seen = c->draining_seen || st.phase == STAGE_DRAINING;
        break;
    case FRAME_EVENT:
        assert_int_equal(request_event_decode(payload, h->payload_len, &ev, &e), ERR_OK);
        on_event(n, &ev);
        break;
    case FRAME_FAULT:
        assert_int_equal(stage_fault_decode(payload, h->payload_len, &c->fault, &e), ERR_OK);
        c->n_faults++;
        break;
    case FRAME_LOGITS: on_logits(n, payload, h->payload_len); break;
    case FRAME_TRAFFIC: on_traffic(c, payload, h->payload_len); break;
    case FRAME_THREADS:
        assert_int_equal(field_decode(stage_team_fields(), payload, h->payload_len, &c->team, &e), ERR_OK);
        assert_true(c->ready);
        break;
    case FRAME_DIAL: break; /* its socket is closed: the stage connects by itself */
    default: fail_msg("a %s frame from stage %u", frame_type_name(h->type), stage);
    }
}

static inline void read_child(struct node *n, uint32_t stage) {
    struct node_child *c = &n->children[stage];
    struct frame_header h;
    const uint8_t *payload;
    err_code code;
    while ((code = wire_link_read(c->local, false, &h, &payload, NULL, NULL)) == ERR_OK) on_frame(n, stage, &h, payload);
    c->closed = code != ERR_BUSY;
}

static inline void carry_socket(struct node *n, uint32_t stage) {
    int fd = -1;
    if (io_sock_accept(n->children[stage].listen_fd, 0, &fd, NULL) == ERR_OK) {
        struct frame_header h = {.type = FRAME_SOCKET};
        wire_link_send_fd(n->children[stage].local, &h, fd, NULL);
        close(fd);
    }
}

/* Does the node's work until `done` says so; fails after WAIT_MS. */
static inline void node_run(struct node *n, bool (*done)(const struct node *n)) {
    clock_us deadline = clock_now() + (clock_us)WAIT_MS * 1000;
    while (!done(n)) {
        struct pollfd fds[2 * MAX_STAGE];
        for (uint32_t i = 0; i < n->n_stage; i++) {
            struct node_child *c = &n->children[i];
            fds[2 * i] = (struct pollfd){.fd = c->closed ? -1 : wire_link_fd(c->local), .events = POLLIN};
            fds[2 * i + 1] = (struct pollfd){.fd = c->listen_fd, .events = POLLIN};
        }
        assert_true(io_ms_left(deadline) > 0);
        poll(fds, 2 * n->n_stage, io_ms_left(deadline));
        for (uint32_t i = 0; i < n->n_stage; i++) {
            if (fds[2 * i].revents != 0) read_child(n, i);
            if (fds[2 * i + 1].revents != 0) carry_socket(n, i);
        }
    }
}

static inline bool all_ready(const struct node *n) {
    for (uint32_t i = 0; i < n->n_stage; i++) {
        if (!n->children[i].ready) {
            assert_false(n->children[i].closed);
            return false;
        }
    }
    return true;
}

static inline bool all_closed(const struct node *n) {
    for (uint32_t i = 0; i < n->n_stage; i++)
        if (!n->children[i].closed) return false;
    return true;
}

static inline bool one_closed(const struct node *n) { return n->children[0].closed || n->children[1].closed; }

static inline bool all_answered(const struct node *n) {
    for (size_t i = 0; i < n->n_seen; i++)
        if (!n->seen[i].done && !n->seen[i].failed) return false;
    return true;
}

static inline bool third_token(const struct node *n) { return n->seen[0].n >= 3; }

/* The exit status of a child that must end soon by itself; -signal when one ended it. */
static inline int child_status(struct node *n, uint32_t stage) {
    int status = 0, pidfd = (int)syscall(SYS_pidfd_open, n->children[stage].pid, 0);
    assert_true(pidfd >= 0);
    assert_int_equal(poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, WAIT_MS), 1);
    close(pidfd);
    assert_int_equal(waitpid(n->children[stage].pid, &status, 0), n->children[stage].pid);
    n->children[stage].pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Only the head is told: the others learn it from the ring, however late their own DRAIN comes. */
static inline void drain(struct node *n) { node_send(n, 0, FRAME_DRAIN, NULL, 0); }

static inline void node_free(struct node *n) {
    for (uint32_t i = 0; i < n->n_stage; i++) {
        wire_link_close(n->children[i].local);
        if (n->children[i].listen_fd >= 0) close(n->children[i].listen_fd);
        if (n->children[i].pid != 0) {
            kill(n->children[i].pid, SIGKILL);
            waitpid(n->children[i].pid, NULL, 0);
        }
    }
    free(n);
}

/* ---- requests ---- */

static inline void prompt_of(uint64_t id, int32_t *tokens, size_t n) {
    for (size_t i = 0; i < n; i++) tokens[i] = (int32_t)((id * 31 + i * 7) % FAKE_N_VOCAB);
}

static inline void send_request(struct node *n, struct request *r) {
    struct buf json;
    buf_init(&json, 1 << 20);
    request_encode(r, &json);
    n->seen[n->n_seen++] = (struct seen){.id = r->id};
    node_send(n, 0, FRAME_SUBMIT, json.data, json.len);
    buf_done(&json);
    request_done(r);
}

static inline void submit_as(struct node *n, uint64_t id, size_t n_prompt, int32_t max_tokens, const char *grammar, bool alone) {
    struct request r;
    request_init(&r);
    r.id = id;
    r.n_tokens = n_prompt;
    r.tokens = mem_calloc(n_prompt + 1, sizeof(*r.tokens));
    prompt_of(id, r.tokens, n_prompt);
    r.max_tokens = max_tokens;
    r.ignore_eos = true;
    r.alone = alone;
    r.sampling.seed = id;
    r.sampling.grammar = mem_strdup(grammar);
    send_request(n, &r);
}

static inline void submit(struct node *n, uint64_t id, size_t n_prompt, int32_t max_tokens, const char *grammar) {
    submit_as(n, id, n_prompt, max_tokens, grammar, false);
}

static inline void check_tokens(const struct seen *s, const int32_t *prompt, size_t n_prompt, size_t n_out) {
    struct fake_params p = {.n_layer = N_LAYER, .n_ctx_seq = N_CTX, .n_ctx = N_CTX, .n_batch = 1};
    int32_t expected[N_CTX];
    bool stop;
    assert_true(s->done);
    assert_int_equal(s->last.finish, REQUEST_FINISH_LENGTH);
    assert_int_equal(s->n, n_out);
    assert_int_equal(fake_reference(&p, prompt, n_prompt, s->id, true, n_out, expected, &stop), n_out);
    assert_memory_equal(s->tokens, expected, n_out * sizeof(*expected));
}

static inline void check_answer(const struct seen *s, size_t n_prompt, size_t n_out) {
    int32_t prompt[N_CTX];
    prompt_of(s->id, prompt, n_prompt);
    check_tokens(s, prompt, n_prompt, n_out);
}

#endif
