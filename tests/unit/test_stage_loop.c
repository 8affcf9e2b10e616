/* SPDX-License-Identifier: MIT
 * The stage child's whole life in real processes: this test is the node, forks children that run stage_loop_run with a fake engine, carries
 * their ring sockets, and looks at what they say and how they end. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

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

static bool child_fails(void *user) {
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

static void child_reads(void *user, size_t len) {
    const struct child_setup *s = user;
    char byte;
    if (longest_text != NULL && len > *longest_text) *longest_text = (uint32_t)len;
    if (len <= TOKENIZER_SHORT) return;
    if (s->trouble == TEXT_ABORTS) abort();
    if (s->trouble == TEXT_WAITS && (write(hang_pipe[1], "", 1) != 1 || read(text_pipe[0], &byte, 1) != 1)) abort();
}

static err_code child_open(void *user, const struct stage_order *o, stage_progress_fn progress, void *progress_user, struct engine *ret,
                           struct err *e) {
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

static void node_send(struct node *n, uint32_t stage, uint8_t type, const void *payload, size_t len) {
    struct frame_header h = {.type = type};
    struct wire_part part = {.data = payload, .len = len};
    struct err e;
    if (wire_link_send(n->children[stage].local, &h, &part, 1, &e) != ERR_OK) fail_msg("%s", e.text);
}

static void spawn(struct node *n, uint32_t stage, enum trouble trouble) {
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

static void order(struct node *n, uint32_t stage, enum trouble trouble) {
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

static struct node *node_start(uint32_t n_stage, uint32_t troubled, enum trouble trouble) {
    struct node *n = MEM_NEW(struct node);
    n->n_stage = n_stage;
    for (uint32_t i = 0; i < n_stage; i++) spawn(n, i, i == troubled ? trouble : NONE);
    struct io_addr any = {.host = "127.0.0.1"};
    for (uint32_t i = 0; i < n_stage && n_stage > 1; i++)
        assert_int_equal(io_sock_listen(&any, 8, &n->children[i].listen_fd, NULL), ERR_OK);
    for (uint32_t i = 0; i < n_stage; i++) order(n, i, i == troubled ? trouble : NONE);
    return n;
}

static void on_event(struct node *n, const struct request_event *ev) {
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
            uint8_t id[8];
            bytes_put_u64(id, ev->id);
            node_send(n, 0, FRAME_CANCEL, id, sizeof(id));
        }
    }
    s->done = ev->kind == REQUEST_DONE;
    s->failed = ev->kind == REQUEST_FAILED;
}

static void on_logits(struct node *n, const uint8_t *payload, size_t len) {
    struct request_logits l;
    assert_int_equal(request_logits_decode(payload, len, &l, NULL), ERR_OK);
    assert_int_equal(l.batch, n->n_logits_frames++);
    for (uint32_t i = 0; i < l.n_rows; i++, n->n_rows++) {
        assert_int_equal(l.n_vocab, FAKE_N_VOCAB);
        for (uint32_t t = 0; t < l.n_vocab; t++) n->rows[n->n_rows][t] = bytes_get_f32(l.rows + ((size_t)i * l.n_vocab + t) * 4);
    }
}

static void on_frame(struct node *n, uint32_t stage, const struct frame_header *h, const uint8_t *payload) {
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
    default: fail_msg("a %s frame from stage %u", frame_type_name(h->type), stage);
    }
}

static void read_child(struct node *n, uint32_t stage) {
    struct node_child *c = &n->children[stage];
    struct frame_header h;
    const uint8_t *payload;
    err_code code;
    while ((code = wire_link_read(c->local, false, &h, &payload, NULL, NULL)) == ERR_OK) on_frame(n, stage, &h, payload);
    c->closed = code != ERR_BUSY;
}

static void carry_socket(struct node *n, uint32_t stage) {
    int fd = -1;
    if (io_sock_accept(n->children[stage].listen_fd, 0, &fd, NULL) == ERR_OK) {
        struct frame_header h = {.type = FRAME_SOCKET};
        wire_link_send_fd(n->children[stage].local, &h, fd, NULL);
        close(fd);
    }
}

/* Does the node's work until `done` says so; fails after WAIT_MS. */
static void node_run(struct node *n, bool (*done)(const struct node *n)) {
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

static bool all_ready(const struct node *n) {
    for (uint32_t i = 0; i < n->n_stage; i++) {
        if (!n->children[i].ready) {
            assert_false(n->children[i].closed);
            return false;
        }
    }
    return true;
}

static bool all_closed(const struct node *n) {
    for (uint32_t i = 0; i < n->n_stage; i++)
        if (!n->children[i].closed) return false;
    return true;
}

static bool one_closed(const struct node *n) { return n->children[0].closed || n->children[1].closed; }

static bool all_answered(const struct node *n) {
    for (size_t i = 0; i < n->n_seen; i++)
        if (!n->seen[i].done && !n->seen[i].failed) return false;
    return true;
}

static bool third_token(const struct node *n) { return n->seen[0].n >= 3; }

/* The exit status of a child that must end soon by itself; -signal when one ended it. */
static int child_status(struct node *n, uint32_t stage) {
    int status = 0, pidfd = (int)syscall(SYS_pidfd_open, n->children[stage].pid, 0);
    assert_true(pidfd >= 0);
    assert_int_equal(poll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, WAIT_MS), 1);
    close(pidfd);
    assert_int_equal(waitpid(n->children[stage].pid, &status, 0), n->children[stage].pid);
    n->children[stage].pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Only the head is told: the others learn it from the ring, however late their own DRAIN comes. */
static void drain(struct node *n) { node_send(n, 0, FRAME_DRAIN, NULL, 0); }

static void node_free(struct node *n) {
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

static void prompt_of(uint64_t id, int32_t *tokens, size_t n) {
    for (size_t i = 0; i < n; i++) tokens[i] = (int32_t)((id * 31 + i * 7) % FAKE_N_VOCAB);
}

static void send_request(struct node *n, struct request *r) {
    struct buf json;
    buf_init(&json, 1 << 20);
    request_encode(r, &json);
    n->seen[n->n_seen++] = (struct seen){.id = r->id};
    node_send(n, 0, FRAME_SUBMIT, json.data, json.len);
    buf_done(&json);
    request_done(r);
}

static void submit_as(struct node *n, uint64_t id, size_t n_prompt, int32_t max_tokens, const char *grammar, bool alone) {
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

static void submit(struct node *n, uint64_t id, size_t n_prompt, int32_t max_tokens, const char *grammar) {
    submit_as(n, id, n_prompt, max_tokens, grammar, false);
}

static void check_tokens(const struct seen *s, const int32_t *prompt, size_t n_prompt, size_t n_out) {
    struct fake_params p = {.n_layer = N_LAYER, .n_ctx_seq = N_CTX, .n_ctx = N_CTX, .n_batch = 1};
    int32_t expected[N_CTX];
    bool stop;
    assert_true(s->done);
    assert_int_equal(s->last.finish, REQUEST_FINISH_LENGTH);
    assert_int_equal(s->n, n_out);
    assert_int_equal(fake_reference(&p, prompt, n_prompt, s->id, true, n_out, expected, &stop), n_out);
    assert_memory_equal(s->tokens, expected, n_out * sizeof(*expected));
}

static void check_answer(const struct seen *s, size_t n_prompt, size_t n_out) {
    int32_t prompt[N_CTX];
    prompt_of(s->id, prompt, n_prompt);
    check_tokens(s, prompt, n_prompt, n_out);
}

static void answers_on(uint32_t n_stage) {
    struct node *n = node_start(n_stage, 0, NONE);
    node_run(n, all_ready);
    for (uint64_t id = 1; id <= 6; id++) submit(n, id, 5 * id, 30, NULL);
    node_run(n, all_answered);
    for (size_t i = 0; i < 6; i++) {
        check_answer(&n->seen[i], 5 * (i + 1), 30);
        assert_int_equal(n->seen[i].last.n_hop, n_stage);
        for (uint32_t h = 0; h < n_stage; h++) assert_true(n->seen[i].last.hops[h].frames >= 30);
    }
    drain(n);
    node_run(n, all_closed);
    assert_true(n->children[0].draining_seen);
    for (uint32_t i = 0; i < n_stage; i++) {
        assert_int_equal(child_status(n, i), 0);
        assert_int_equal(n->children[i].n_faults, 0);
    }
    node_free(n);
}

/* ---- the tests ---- */

static void test_one_stage(void **state) {
    (void)state;
    answers_on(1);
}

static void test_three_stages(void **state) {
    (void)state;
    answers_on(3);
}

/* The head tokenises: the fake's tokens are the bytes. */
static void test_text(void **state) {
    (void)state;
    struct node *n = node_start(1, 0, NONE);
    node_run(n, all_ready);
    for (int bos = 0; bos < 2; bos++) {
        struct request r;
        request_init(&r);
        r.id = r.sampling.seed = (uint64_t)bos + 1;
        r.text = mem_strdup("Hi\x01");
        r.text_len = 3;
        r.add_bos = bos == 1;
        r.max_tokens = 4;
        r.ignore_eos = true;
        send_request(n, &r);
    }
    node_run(n, all_answered);
    static const int32_t tokens[4] = {1, 'H', 'i' % FAKE_N_VOCAB, 1};
    check_tokens(&n->seen[0], tokens + 1, 3, 4);
    check_tokens(&n->seen[1], tokens, 4, 4);
    node_free(n);
}

/* ---- long texts ---- */

enum { LONG_CTX = 8192, LONG_TEXT = TOKENIZER_SHORT + 1000 };

static void submit_text(struct node *n, uint64_t id, size_t len, int32_t max_tokens) {
    struct request r;
    request_init(&r);
    r.id = r.sampling.seed = id;
    r.text = mem_alloc(len + 1);
    memset(r.text, 'a', len);
    r.text_len = len;
    r.add_bos = false;
    r.max_tokens = max_tokens;
    r.ignore_eos = true;
    send_request(n, &r);
}

static void text_begins(void) {
    char byte;
    assert_int_equal(read(hang_pipe[0], &byte, 1), 1);
}

static void text_goes_on(void) { assert_int_equal(write(text_pipe[1], "", 1), 1); }

static struct node *texts_start(enum trouble trouble) {
    n_ctx = LONG_CTX;
    assert_int_equal(pipe(hang_pipe), 0);
    assert_int_equal(pipe(text_pipe), 0);
    struct node *n = node_start(1, 0, trouble);
    node_run(n, all_ready);
    return n;
}

static void texts_end(struct node *n) {
    node_free(n);
    for (int i = 0; i < 2; i++) {
        close(hang_pipe[i]);
        close(text_pipe[i]);
        hang_pipe[i] = text_pipe[i] = -1;
    }
    n_ctx = N_CTX;
}

static bool second_answered(const struct node *n) { return n->seen[1].done; }

/* A request gets all its tokens while the text of another one is turned into tokens. */
static void test_long_text(void **state) {
    (void)state;
    struct fake_params p = {.n_layer = N_LAYER, .n_ctx_seq = LONG_CTX, .n_ctx = LONG_CTX, .n_batch = 1};
    struct node *n = texts_start(TEXT_WAITS);
    submit_text(n, 1, LONG_TEXT, 5);
    text_begins();
    submit(n, 2, 4, 30, NULL);
    node_run(n, second_answered);
    check_answer(&n->seen[1], 4, 30);
    assert_false(n->seen[0].started);
    text_goes_on();
    node_run(n, all_answered);
    int32_t *prompt = mem_calloc(LONG_TEXT, sizeof(*prompt)), expected[5];
    bool stop;
    for (size_t i = 0; i < LONG_TEXT; i++) prompt[i] = 'a' % FAKE_N_VOCAB;
    assert_int_equal(n->seen[0].n, 5);
    assert_int_equal(fake_reference(&p, prompt, LONG_TEXT, 1, true, 5, expected, &stop), 5);
    assert_memory_equal(n->seen[0].tokens, expected, sizeof(expected));
    free(prompt);
    drain(n);
    node_run(n, all_closed);
    assert_int_equal(child_status(n, 0), 0);
    texts_end(n);
}

/* A request ends at once when it is cancelled, also one whose text is not turned into tokens yet. */
static void test_long_text_cancelled(void **state) {
    (void)state;
    struct node *n = texts_start(TEXT_WAITS);
    for (uint64_t id = 1; id <= 2; id++) submit_text(n, id, LONG_TEXT, 5);
    text_begins();
    for (uint64_t id = 1; id <= 2; id++) {
        uint8_t bytes[8];
        bytes_put_u64(bytes, id);
        node_send(n, 0, FRAME_CANCEL, bytes, sizeof(bytes));
    }
    node_run(n, all_answered);
    for (int i = 0; i < 2; i++) assert_int_equal(n->seen[i].last.finish, REQUEST_FINISH_CANCELLED);
    drain(n);
    text_goes_on(); /* the second text is not looked at */
    node_run(n, all_closed);
    assert_int_equal(child_status(n, 0), 0);
    texts_end(n);
}

/* A text that can't fit is refused when its beginning has been looked at. */
static void test_text_too_long(void **state) {
    (void)state;
    enum { TOO_LONG = 40 * LONG_CTX };
    longest_text = mmap(NULL, sizeof(*longest_text), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(longest_text != MAP_FAILED);
    struct node *n = texts_start(NONE);
    submit_text(n, 1, TOO_LONG, 5);
    node_run(n, all_answered);
    assert_true(n->seen[0].failed);
    assert_int_equal(n->seen[0].last.err.code, ERR_LIMIT);
    assert_true(*longest_text < TOO_LONG / 2);
    munmap(longest_text, sizeof(*longest_text));
    longest_text = NULL;
    texts_end(n);
}

/* A crash in the thread names the request whose text it was. */
static void test_long_text_crashes(void **state) {
    (void)state;
    struct node *n = texts_start(TEXT_ABORTS);
    submit_text(n, 1, LONG_TEXT, 5);
    node_run(n, all_answered);
    assert_int_equal(n->seen[0].last.err.code, ERR_CRASH);
    node_run(n, all_closed);
    texts_end(n);
}

/* ---- ends and troubles ---- */

static void test_cancel(void **state) {
    (void)state;
    struct node *n = node_start(2, 1, EVAL_SLOW);
    node_run(n, all_ready);
    n->cancel_after = 1;
    submit(n, 1, 4, -1, NULL);
    node_run(n, all_answered);
    assert_true(n->seen[0].done);
    assert_int_equal(n->seen[0].last.finish, REQUEST_FINISH_CANCELLED);
    assert_true(n->seen[0].n < N_CTX - 4);
    submit(n, 2, 4, 10, NULL);
    node_run(n, all_answered);
    check_answer(&n->seen[1], 4, 10);
    node_free(n);
}

static void test_eval(void **state) {
    (void)state;
    struct node *n = node_start(3, 0, NONE);
    node_run(n, all_ready);
    submit(n, 1, 6, 20, NULL); /* the evaluation waits for it */
    struct request_eval_batch batches[3] = {{5, 2}, {1, 1}, {3, 0}};
    int32_t tokens[9];
    prompt_of(77, tokens, 9);
    struct request_eval ev = {.id = 77, .batches = batches, .n_batches = 3, .tokens = tokens, .n_tokens = 9};
    struct buf b;
    buf_init(&b, 1 << 20);
    request_eval_encode(&ev, &b);
    n->seen[n->n_seen++] = (struct seen){.id = 77};
    node_send(n, 0, FRAME_EVAL, b.data, b.len);
    buf_done(&b);
    submit(n, 2, 6, 20, NULL); /* and this one for the evaluation */
    node_run(n, all_answered);
    check_answer(&n->seen[0], 6, 20);
    check_answer(&n->seen[2], 6, 20);
    assert_true(n->seen[1].done);
    assert_int_equal(n->n_logits_frames, 3);
    assert_int_equal(n->n_rows, 3);
    struct fake_params p = {.end = N_LAYER, .n_layer = N_LAYER, .n_seq = 1, .n_ctx_seq = N_CTX, .n_ctx = N_CTX, .n_batch = N_CTX};
    struct engine whole;
    fake_engine_open(&p, &whole);
    struct engine_token batch[9];
    for (int i = 0; i < 9; i++) batch[i] = (struct engine_token){.token = tokens[i], .pos = i, .flags = ENGINE_TOKEN_LOGITS};
    assert_int_equal(whole.ops->eval(whole.self, batch, 9, NULL, NULL, NULL), ERR_OK);
    for (uint32_t i = 0; i < 3; i++)  /* positions 3, 4, 5 */
        assert_memory_equal(n->rows[i], whole.ops->logits(whole.self, 3 + i), sizeof(n->rows[i]));
    whole.ops->close(whole.self);
    node_free(n);
}

static void test_refused(void **state) {
    (void)state;
    struct node *n = node_start(1, 0, NONE);
    node_run(n, all_ready);
    submit(n, 1, N_CTX, 5, NULL);
    submit(n, 2, 0, 5, NULL);
    submit(n, 3, 4, 5, "root ::= \"a\""); /* which the fake engine doesn't know */
    n->seen[n->n_seen++] = (struct seen){.id = 4};
    static const char odd[] = "{\"id\": 4, \"tokens\": [1, \"two\"]}";
    node_send(n, 0, FRAME_SUBMIT, odd, sizeof(odd) - 1);
    submit(n, 5, 4, 5, NULL);
    node_run(n, all_answered);
    static const err_code want[4] = {ERR_LIMIT, ERR_INVALID, ERR_INVALID, ERR_INVALID};
    for (int i = 0; i < 4; i++) {
        assert_true(n->seen[i].failed);
        assert_int_equal(n->seen[i].last.err.code, want[i]);
    }
    assert_non_null(strstr(n->seen[0].last.err.text, "64"));
    check_answer(&n->seen[4], 4, 5);
    node_free(n);
}

static void test_engine_fault(void **state) {
    (void)state;
    for (uint32_t stage = 0; stage < 3; stage++) {
        struct node *n = node_start(3, stage, EVAL_FAILS_ONCE);
        node_run(n, all_ready);
        submit(n, 1, 5, 10, NULL);
        node_run(n, all_answered);
        assert_true(n->seen[0].failed);
        assert_int_equal(n->seen[0].last.err.code, ERR_ENGINE);
        submit(n, 2, 5, 10, NULL);
        node_run(n, all_answered);
        check_answer(&n->seen[1], 5, 10);
        assert_int_equal(n->children[stage].n_faults, 1); /* its own node knows too */
        assert_false(n->children[stage].fault.fatal);
        node_free(n);
    }
}

static void test_stage_killed(void **state) {
    (void)state;
    struct node *n = node_start(3, 2, EVAL_SLOW);
    node_run(n, all_ready);
    submit(n, 1, 5, -1, NULL);
    submit(n, 2, 5, -1, NULL);
    node_run(n, third_token);
    kill(n->children[1].pid, SIGKILL);
    node_run(n, all_closed);
    assert_true(n->seen[0].failed && n->seen[1].failed);
    assert_int_equal(n->seen[0].last.err.code, ERR_UNAVAILABLE); /* it may go on in another ring */
    assert_true(n->children[0].fault.fatal);
    assert_int_equal(child_status(n, 0), err_exit_code(ERR_CLOSED));
    assert_int_equal(child_status(n, 1), -SIGKILL);
    assert_int_equal(child_status(n, 2), err_exit_code(ERR_CLOSED));
    node_free(n);
}

static void test_load_fails(void **state) {
    (void)state;
    struct node *n = node_start(1, 0, OPEN_FAILS);
    node_run(n, all_closed);
    assert_true(n->children[0].fault.fatal);
    assert_int_equal(n->children[0].fault.err.code, ERR_NO_ROOM);
    assert_string_equal(n->children[0].fault.err.text, "cannot load layers 0-7: no room");
    assert_int_equal(child_status(n, 0), err_exit_code(ERR_NO_ROOM));
    node_free(n);
}

static void refused_ring(struct node *n) {
    clock_us start = clock_now();
    node_run(n, one_closed);
    assert_true(clock_now() - start < CONNECT_MS * 1000 / 2); /* nobody dials for ever in the hope that a wrong key becomes right */
    assert_false(n->children[0].ready || n->children[1].ready);
    uint32_t first = n->children[0].closed ? 0 : 1; /* the other one may still wait for it to connect */
    assert_true(n->children[first].fault.fatal);
    assert_int_equal(n->children[first].fault.err.code, ERR_AUTH);
    assert_int_equal(child_status(n, first), err_exit_code(ERR_AUTH));
    node_free(n);
}

static void test_wrong_key(void **state) {
    (void)state;
    refused_ring(node_start(2, 1, WRONG_KEY));
}

static void test_wrong_node(void **state) {
    (void)state;
    refused_ring(node_start(2, 1, WRONG_NODE));
}

/* In the middle of a computation that would take ten minutes. */
static void test_node_gone(void **state) {
    (void)state;
    assert_int_equal(pipe(hang_pipe), 0);
    struct node *n = node_start(1, 0, EVAL_HANGS);
    node_run(n, all_ready);
    submit(n, 1, 5, 5, NULL);
    char byte;
    assert_int_equal(read(hang_pipe[0], &byte, 1), 1);
    wire_link_close(n->children[0].local);
    n->children[0].local = NULL;
    assert_int_equal(child_status(n, 0), 0);
    close(hang_pipe[0]);
    close(hang_pipe[1]);
    node_free(n);
}

/* A computation that will never end: the stage sees that itself, says so, and ends. */
static void test_stuck(void **state) {
    (void)state;
    beat_ms = 5;
    struct node *n = node_start(1, 0, EVAL_HANGS_LATER);
    node_run(n, all_ready);
    submit(n, 1, 5, 20, NULL);
    node_run(n, all_closed);
    assert_true(n->children[0].fault.fatal);
    assert_int_equal(n->children[0].fault.err.code, ERR_CRASH);
    assert_non_null(strstr(n->children[0].fault.err.text, "no progress"));
    assert_int_equal(child_status(n, 0), err_exit_code(ERR_CRASH));
    node_free(n);
    beat_ms = STAGE_BEAT_MS;
}

/* A process that stands still: the stages beside it hear nothing any more, and end. */
static void test_silent(void **state) {
    (void)state;
    beat_ms = 100;
    struct node *n = node_start(3, 0, NONE);
    node_run(n, all_ready);
    kill(n->children[1].pid, SIGSTOP);
    n->children[1].closed = true; /* it isn't waited for */
    node_run(n, all_closed);
    for (uint32_t i = 0; i < 3; i += 2) { /* by itself, or because the other one says so */
        assert_true(n->children[i].fault.fatal);
        assert_int_equal(n->children[i].fault.err.code, ERR_TIMEOUT);
        assert_non_null(strstr(n->children[i].fault.err.text, "no sign of life"));
        assert_int_equal(child_status(n, i), err_exit_code(ERR_TIMEOUT));
    }
    node_free(n);
    beat_ms = STAGE_BEAT_MS;
}

/* A stage that crashes says so with its last words, and every other one ends with that reason, wherever it stands. */
static void test_crash(void **state) {
    (void)state;
    for (uint32_t stage = 0; stage < 3; stage++) {
        struct node *n = node_start(3, stage, EVAL_ABORTS_LATER);
        node_run(n, all_ready);
        submit(n, 1, 5, 20, NULL);
        node_run(n, all_closed);
        for (uint32_t i = 0; i < 3; i++) {
            assert_true(n->children[i].fault.fatal);
            assert_int_equal(n->children[i].fault.err.code, ERR_CRASH);
            assert_non_null(strstr(n->children[i].fault.err.text, "signal 6"));
            assert_int_equal(child_status(n, i), i == stage ? -SIGABRT : err_exit_code(ERR_CRASH));
        }
        assert_true(n->seen[0].failed);
        assert_int_equal(n->seen[0].last.err.code, ERR_CRASH); /* it was in flight */
        node_free(n);
    }
}

/* One that has been at a crash before is alone in flight: of two that take turns, the third frame is its second one. */
static void test_suspect(void **state) {
    (void)state;
    for (uint32_t stage = 0; stage < 3; stage++) {
        struct node *n = node_start(3, stage, EVAL_ABORTS_LATER);
        node_run(n, all_ready);
        kill(n->children[0].pid, SIGSTOP); /* so that it finds both at once */
        submit_as(n, 1, 5, 20, NULL, true);
        submit(n, 2, 5, 20, NULL);
        kill(n->children[0].pid, SIGCONT);
        node_run(n, all_closed);
        assert_true(n->seen[0].failed);
        assert_int_equal(n->seen[0].last.err.code, ERR_CRASH);
        assert_true(n->seen[1].failed == (stage != 0)); /* of a head that has crashed itself the node says it */
        if (stage != 0) assert_int_equal(n->seen[1].last.err.code, ERR_UNAVAILABLE);
        node_free(n);
    }
}

/* Requests that have come while a stage was busy share a frame, but not so many that the first waits long for the last. */
static void test_requests_together(void **state) {
    (void)state;
    enum { N_REQUESTS = 6 };
    n_evals = mmap(NULL, sizeof(*n_evals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(n_evals, MAP_FAILED);
    struct node *n = node_start(1, 0, NONE);
    node_run(n, all_ready);
    kill(n->children[0].pid, SIGSTOP);
    for (uint64_t id = 1; id <= N_REQUESTS; id++) submit(n, id, 2, 1, NULL);
    kill(n->children[0].pid, SIGCONT);
    node_run(n, all_answered);
    for (size_t i = 0; i < N_REQUESTS; i++) check_answer(&n->seen[i], 2, 1);
    assert_int_equal(*n_evals, 2); /* four, and the other two */
    drain(n);
    node_run(n, all_closed);
    node_free(n);
    munmap(n_evals, sizeof(*n_evals));
    n_evals = NULL;
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_stage),
        cmocka_unit_test(test_three_stages),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_requests_together),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_engine_fault),
        cmocka_unit_test(test_stage_killed),
        cmocka_unit_test(test_load_fails),
        cmocka_unit_test(test_wrong_key),
        cmocka_unit_test(test_wrong_node),
        cmocka_unit_test(test_node_gone),
        cmocka_unit_test(test_stuck),
        cmocka_unit_test(test_silent),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_suspect),
        cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_long_text_cancelled),
        cmocka_unit_test(test_text_too_long),
        cmocka_unit_test(test_long_text_crashes),
    };
    return cmocka_run_group_tests_name("pipeline_loop", tests, NULL, NULL);
}
