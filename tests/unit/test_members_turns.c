/* SPDX-License-Identifier: MIT
 * A member floods a node over a real control link while another one says something now and then. In one turn of the loop the node handles
 * no more of the flood than any link may have, so what the calm member says waits for a few frames of the flood and not for all that have
 * come; and no frame is lost. Frames are counted, and no time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "io/sock.h"
#include "members/control.h"
#include "members/quota.h"

enum { NODE, FLOOD, CALM, ENDS, FRAMES = 20000, WORDS = 50 };

struct end {
    struct world *world;
    struct identity identity;
    struct io_listener *listener;
    struct control *control;
    uint32_t linked, downs;
};
struct world {
    struct io_loop *loop;
    struct io_tls_ctx *tls;
    struct end ends[ENDS];
    uint32_t flood, words;  /* frames that the node has heard of each */
    uint32_t before, waited; /* frames of the flood: before the last word was said; most that a word has waited for */
};

static err_code admit(void *user, const struct control_peer *peer, struct err *e) {
    (void)user, (void)peer, (void)e;
    return ERR_OK;
}

static void say(struct world *w) {
    w->before = w->flood;
    assert_true(control_send(w->ends[CALM].control, w->ends[NODE].identity.id, FRAME_BUSY, 0, "{}", 2));
}

/* Once both are linked, the whole flood is sent at once. */
static void on_up(void *user, const struct control_peer *peer) {
    struct end *x = user;
    struct world *w = x->world;
    uint8_t number[4];
    (void)peer;
    x->linked++;
    if (w->ends[NODE].linked < 2 || w->ends[FLOOD].linked + w->ends[CALM].linked < 2) return;
    for (uint32_t i = 0; i < FRAMES; i++) {
        bytes_put_u32(number, i);
        assert_true(control_send(w->ends[FLOOD].control, w->ends[NODE].identity.id, FRAME_BUSY, 0, number, sizeof(number)));
    }
    say(w);
}

static void on_down(void *user, const struct control_peer *peer, const struct err *why) {
    (void)peer, (void)why;
    ((struct end *)user)->downs++;
}

static err_code on_frame(void *user, const struct control_peer *peer, const struct frame_header *h, const uint8_t *payload, struct err *e) {
    struct world *w = ((struct end *)user)->world;
    (void)h, (void)e;
    if (user != &w->ends[NODE]) return ERR_OK;
    if (peer->id == w->ends[FLOOD].identity.id) {
        assert_int_equal(bytes_get_u32(payload), w->flood); /* in order, and each of them */
        w->flood++;
    } else {
        if (w->flood - w->before > w->waited) w->waited = w->flood - w->before;
        if (++w->words < WORDS) say(w);
    }
    if (w->flood == FRAMES && w->words == WORDS) io_loop_stop(w->loop);
    return ERR_OK;
}

static void came(void *user, int fd, const struct sockaddr *peer) { control_take(((struct end *)user)->control, fd, peer, false); }

static void end_open(struct world *w, struct end *x, const char *name) {
    static const struct control_callbacks callbacks = {.admit = admit, .on_up = on_up, .on_down = on_down, .on_frame = on_frame};
    x->world = w;
    identity_make(&x->identity);
    assert_int_equal(io_listener_open(w->loop, "127.0.0.1", 0, came, x, &x->listener, NULL), ERR_OK);
    struct control_self self = {.identity = &x->identity, .name = name, .port = io_listener_port(x->listener)};
    x->control = control_create(w->loop, w->tls, &self, &callbacks, x);
}

static void end_close(struct end *x) {
    control_free(x->control);
    io_listener_close(x->listener);
    identity_done(&x->identity);
}

static void timed_out(void *user) {
    const struct world *w = user;
    fail_msg("%u of %u frames, %u of %u words", w->flood, FRAMES, w->words, WORDS);
}

static void a_flood_waits_for_its_turn(void **state) {
    (void)state;
    static const uint8_t key[IO_TLS_KEY_SIZE] = {7};
    static const char *const names[ENDS] = {"node", "flood", "calm"};
    struct world *w = MEM_NEW(struct world);
    w->loop = io_loop_create();
    w->tls = io_tls_ctx_create(key, NULL);
    struct io_timer *guard = io_timer_open(w->loop, timed_out, w);
    io_timer_start(guard, 120000, 0);
    for (int i = 0; i < ENDS; i++) end_open(w, &w->ends[i], names[i]);
    for (int i = FLOOD; i < ENDS; i++) control_dial(w->ends[i].control, "127.0.0.1", io_listener_port(w->ends[NODE].listener));
    io_loop_run(w->loop);
    assert_int_equal(w->ends[NODE].downs, 0);
    assert_int_equal(control_turn_most(w->ends[NODE].control), QUOTA_TURN_FRAMES); /* there was more to be had */
    /* a word is read in the turn after the one in which it was sent, at the latest */
    if (w->waited > 2 * QUOTA_TURN_FRAMES) fail_msg("a word has waited for %u frames of the flood", w->waited);
    for (int i = 0; i < ENDS; i++) end_close(&w->ends[i]);
    io_timer_close(guard);
    io_loop_free(w->loop);
    io_tls_ctx_free(w->tls);
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_flood_waits_for_its_turn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
