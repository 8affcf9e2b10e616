/* SPDX-License-Identifier: MIT
 * Sequences beside the KV cells: parked, and stored in memory. They come back as they were, and stay within the room that is given. */
#include "engine/slice_priv.h"
#include "support/engine_fixture.h"

/* ---- parking ---- */

/* The last position that a sequence has in the cells of every slice; -1: none. */
static int32_t last_cell(const struct fixture_chain *c, uint32_t seq) {
    int32_t last = llama_memory_seq_pos_max(((struct slice *)c->part[0].self)->mem, (llama_seq_id)seq);
    for (uint32_t i = 1; i < c->n; i++)
        assert_int_equal(llama_memory_seq_pos_max(((struct slice *)c->part[i].self)->mem, (llama_seq_id)seq), last);
    return last;
}

static void expect_close(const float *a, float *b) {
    for (uint32_t i = 0; i < model.layout->n_vocab; i++) assert_float_equal(a[i], b[i], 0.05f);
    free(b);
}

/* Gives each slice memory for parked sequences. */
static void room(struct fixture_chain *c, uint64_t bytes) {
    for (uint32_t i = 0; i < c->n; i++) c->part[i].ops->park_room(c->part[i].self, bytes);
}

static void park(struct fixture_chain *c, uint32_t seq) {
    const struct engine_op op = {ENGINE_OP_PARK, seq, 0, 0, -1, 0};
    fixture_ok(fixture_apply(c, &op, 1, &fixture_err));
}

/* A parked sequence is out of the cells, but can be copied, continued, cut and ended. */
static void parked_sequences_are_still_there(void **state) {
    (void)state;
    const uint32_t bounds[] = {0, 4, model.layout->n_layer};
    struct engine_load load = fixture_load();
    struct fixture_chain c = fixture_chain(&model, bounds, 2, &load);
    const struct engine_op back = {ENGINE_OP_RM, 0, 0, 12, -1, 0}, copy = {ENGINE_OP_CP, 0, 3, 0, 12, 0},
                           part = {ENGINE_OP_CP, 0, 3, 0, 8, 0};
    const struct engine_op close = {ENGINE_OP_CLOSE, 0, 0, 0, -1, 0};
    int32_t tokens[32];
    room(&c, UINT64_MAX);
    fixture_tokens(tokens, 32, 3);
    free(fixture_logits_after(&c, tokens, 12, 0, 0));
    float *next = fixture_logits_after(&c, tokens + 12, 1, 0, 12);
    float *other = fixture_logits_after(&c, tokens + 20, 8, 2, 0);
    fixture_ok(fixture_apply(&c, &back, 1, &fixture_err));
    park(&c, 0);
    park(&c, 0); /* once more changes nothing */
    park(&c, 1); /* nothing is there */
    assert_int_equal(last_cell(&c, 0), -1);
    free(fixture_logits_after(&c, tokens + 4, 20, 1, 0)); /* another sequence has its cells now */
    fixture_ok(fixture_apply(&c, &copy, 1, &fixture_err));
    fixture_same(next, fixture_logits_after(&c, tokens + 12, 1, 3, 12), true);
    fixture_ok(fixture_apply(&c, &part, 1, &fixture_err));
    assert_int_equal(last_cell(&c, 3), 7);
    free(fixture_logits_after(&c, tokens + 8, 4, 3, 8));
    fixture_same(next, fixture_logits_after(&c, tokens + 12, 1, 3, 12), true);
    assert_int_equal(last_cell(&c, 0), -1);
    fixture_same(next, fixture_logits_after(&c, tokens + 12, 1, 0, 12), true); /* it goes on itself */
    assert_int_equal(last_cell(&c, 0), 12);
    park(&c, 0);
    fixture_ok(fixture_apply(&c, &back, 1, &fixture_err)); /* and is cut */
    assert_int_equal(last_cell(&c, 0), 11);
    park(&c, 0);
    fixture_ok(fixture_apply(&c, &close, 1, &fixture_err));
    expect_close(other, fixture_logits_after(&c, tokens + 20, 8, 0, 0)); /* begins again */
    assert_int_equal(last_cell(&c, 0), 7);
    park(&c, 2); /* left so when the slice is closed */
    free(next);
    free(other);
    fixture_chain_close(&c);
}

/* Parked sequences take no more than the given room. When the room shrinks, some go back into the cells, and none is lost. */
static void what_is_parked_stays_within_its_room(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    struct fixture_chain c = fixture_whole(&model, &load);
    const struct slice *s = c.part[0].self;
    const struct engine_op back = {ENGINE_OP_RM, 0, 0, 12, -1, 0};
    int32_t tokens[16];
    fixture_tokens(tokens, 16, 3);
    free(fixture_logits_after(&c, tokens, 12, 0, 0));
    float *next = fixture_logits_after(&c, tokens + 12, 1, 0, 12);
    fixture_ok(fixture_apply(&c, &back, 1, &fixture_err));
    for (uint16_t seq = 1; seq < 3; seq++) free(fixture_logits_after(&c, tokens, 12, seq, 0));
    park(&c, 0); /* until room is given, there is none */
    assert_int_equal(last_cell(&c, 0), 11);
    room(&c, UINT64_MAX);
    park(&c, 0);
    uint64_t one = s->park_used; /* each of the three takes as much */
    assert_true(one > 0);
    for (uint32_t n = 0; n < 3; n++) {
        room(&c, n * one + one - 1);
        for (uint32_t seq = 0; seq < 3; seq++) park(&c, seq);
        assert_int_equal(s->park_used, n * one);
        assert_int_equal(s->n_parked, n);
    }
    room(&c, 3 * one);
    for (uint32_t seq = 0; seq < 3; seq++) park(&c, seq);
    assert_int_equal(s->park_used, 3 * one);
    room(&c, one);
    assert_int_equal(s->n_parked, 1);
    assert_int_equal(last_cell(&c, 0), 11); /* back in the cells */
    room(&c, 0);
    assert_int_equal(s->park_used, 0);
    for (uint32_t seq = 0; seq < 3; seq++) assert_int_equal(last_cell(&c, seq), 11);
    fixture_same(next, fixture_logits_after(&c, tokens + 12, 1, 0, 12), true);
    free(next);
    fixture_chain_close(&c);
}

/* ---- storing ---- */

static void store(struct fixture_chain *c, int kind, uint32_t seq, int32_t n, int32_t p1, uint64_t key) {
    const struct engine_op op = {(uint8_t)kind, seq, 0, n, p1, key};
    fixture_ok(fixture_apply(c, &op, 1, &fixture_err));
}

/* The keys that a slice lost since the last call; there is room for few. */
static size_t lost(struct fixture_chain *c, uint32_t part, uint64_t keys[ENGINE_MAX_STORED + 8]) {
    return c->part[part].ops->lost(c->part[part].self, keys);
}

/* Without a store that outlives the slice, sequences are stored in its memory: parked or not, given up or not, and they come back as they
 * were. */
static void stored_sequences_come_back(void **state) {
    const uint32_t bounds[] = {0, 4, model.layout->n_layer};
    struct engine_load load = fixture_load();
    load.exact = *(bool *)*state; /* then each sequence has cells of its own, and is not parked */
    struct fixture_chain c = fixture_chain(&model, bounds, 2, &load);
    int32_t tokens[32];
    uint64_t keys[ENGINE_MAX_STORED + 8];
    room(&c, UINT64_MAX);
    fixture_tokens(tokens, 32, 3);
    free(fixture_logits_after(&c, tokens, 12, 0, 0));
    store(&c, ENGINE_OP_SAVE, 0, 12, -1, 7);
    float *next = fixture_logits_after(&c, tokens + 12, 1, 0, 12); /* it goes on */
    store(&c, ENGINE_OP_RM, 0, 0, -1, 0);
    store(&c, ENGINE_OP_LOAD, 1, 12, -1, 7);
    assert_int_equal(last_cell(&c, 1), 11);
    fixture_same(next, fixture_logits_after(&c, tokens + 12, 1, 1, 12), true);
    store(&c, ENGINE_OP_LOAD, 1, 12, -1, 7); /* once more, in place of what is there */
    park(&c, 1);
    store(&c, ENGINE_OP_SAVE, 1, 12, 0, 8);
    store(&c, ENGINE_OP_RM, 1, 0, -1, 0);
    store(&c, ENGINE_OP_ERASE, 0, 0, -1, 7);
    free(fixture_logits_after(&c, tokens + 4, 20, 0, 0)); /* another sequence has its cells now */
    store(&c, ENGINE_OP_LOAD, 2, 12, -1, 8);
    fixture_same(next, fixture_logits_after(&c, tokens + 12, 1, 2, 12), true);
    for (uint32_t i = 0; i < c.n; i++) assert_int_equal(lost(&c, i, keys), 0);
    store(&c, ENGINE_OP_LOAD, 2, 12, -1, 7);
    store(&c, ENGINE_OP_LOAD, 2, 11, -1, 8); /* of another length than was stored */
    store(&c, ENGINE_OP_SAVE, 0, 19, 0, 9);  /* it has 20 */
    assert_int_equal(last_cell(&c, 2), -1);
    for (uint32_t i = 0; i < c.n; i++) {
        assert_int_equal(lost(&c, i, keys), 3);
        assert_true(keys[0] == 7 && keys[1] == 8 && keys[2] == 9);
    }
    free(next);
    fixture_chain_close(&c);
}

/* All in front of one batch, as when two requests come at once: a sequence is copied, its copy is stored, and what was stored before takes
 * the sequence's place. */
static void copies_are_made_at_once(void **state) {
    const uint32_t bounds[] = {0, 4, model.layout->n_layer};
    struct engine_load load = fixture_load();
    load.exact = *(bool *)*state;
    struct fixture_chain c = fixture_chain(&model, bounds, 2, &load);
    int32_t tokens[2][13];
    float *next[2];
    room(&c, UINT64_MAX);
    for (uint16_t seq = 0; seq < 2; seq++) {
        fixture_tokens(tokens[seq], 13, seq + 3u);
        free(fixture_logits_after(&c, tokens[seq], 12, seq, 0));
        next[seq] = fixture_logits_after(&c, tokens[seq] + 12, 1, seq, 12);
        store(&c, ENGINE_OP_RM, seq, 12, -1, 0);
    }
    const struct engine_op copy = {ENGINE_OP_CP, 1, 0, 0, 12, 0};
    store(&c, ENGINE_OP_SAVE, 0, 12, 0, 7);
    store(&c, ENGINE_OP_RM, 0, 0, -1, 0);
    fixture_ok(fixture_apply(&c, &copy, 1, &fixture_err));
    store(&c, ENGINE_OP_SAVE, 0, 12, -1, 8);
    store(&c, ENGINE_OP_LOAD, 1, 12, -1, 7);
    store(&c, ENGINE_OP_LOAD, 2, 12, -1, 8);
    fixture_same(next[1], fixture_logits_after(&c, tokens[1] + 12, 1, 0, 12), true);
    fixture_same(next[0], fixture_logits_after(&c, tokens[0] + 12, 1, 1, 12), true);
    fixture_same(next[1], fixture_logits_after(&c, tokens[1] + 12, 1, 2, 12), true);
    for (int i = 0; i < 2; i++) free(next[i]);
    fixture_chain_close(&c);
}

/* Stored sequences share the room with parked ones, and make room for these: those first that were used least recently. */
static void what_is_stored_stays_within_its_room(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    struct fixture_chain c = fixture_whole(&model, &load);
    const struct slice *s = c.part[0].self;
    int32_t tokens[16];
    uint64_t keys[ENGINE_MAX_STORED + 8];
    fixture_tokens(tokens, 16, 3);
    for (uint16_t seq = 0; seq < 3; seq++) free(fixture_logits_after(&c, tokens, 12, seq, 0));
    store(&c, ENGINE_OP_SAVE, 0, 12, -1, 1); /* until room is given, there is none */
    assert_int_equal(lost(&c, 0, keys), 1);
    room(&c, UINT64_MAX);
    store(&c, ENGINE_OP_SAVE, 0, 12, -1, 1);
    uint64_t one = s->park_used; /* each takes as much, parked ones a little less */
    room(&c, 3 * one);
    for (uint64_t key = 2; key < 4; key++) store(&c, ENGINE_OP_SAVE, 0, 12, -1, key);
    store(&c, ENGINE_OP_LOAD, 2, 12, -1, 1); /* it is used, so key 2 goes first */
    assert_int_equal(lost(&c, 0, keys), 0);
    store(&c, ENGINE_OP_SAVE, 0, 12, -1, 4);
    assert_int_equal(lost(&c, 0, keys), 1);
    assert_int_equal(keys[0], 2);
    park(&c, 1);
    assert_int_equal(s->n_parked, 1);
    assert_true(s->n_stored == 2 && s->park_used <= 3 * one);
    assert_int_equal(lost(&c, 0, keys), 1);
    assert_int_equal(keys[0], 3);
    room(&c, one); /* stored ones go before a parked one is put back */
    assert_true(s->n_parked == 1 && s->n_stored == 0);
    assert_int_equal(lost(&c, 0, keys), 2);
    room(&c, UINT64_MAX);
    for (uint64_t key = 0; key < ENGINE_MAX_STORED + 1; key++) store(&c, ENGINE_OP_SAVE, 0, 12, -1, key + 10);
    assert_int_equal(s->n_stored, ENGINE_MAX_STORED);
    assert_int_equal(lost(&c, 0, keys), 1);
    assert_int_equal(keys[0], 10);
    fixture_chain_close(&c);
}

/* Sequences with cells of their own disturb no other. */
static void nothing_is_parked_when_exact(void **state) {
    (void)state;
    struct engine_load load = fixture_load();
    load.exact = true;
    struct fixture_chain c = fixture_whole(&model, &load);
    int32_t tokens[12];
    room(&c, UINT64_MAX);
    fixture_tokens(tokens, 12, 3);
    free(fixture_logits_after(&c, tokens, 12, 0, 0));
    park(&c, 0);
    assert_int_equal(last_cell(&c, 0), 11);
    fixture_chain_close(&c);
}

int main(void) {
    static bool plain = false, exact = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parked_sequences_are_still_there),
        cmocka_unit_test(nothing_is_parked_when_exact),
        cmocka_unit_test(what_is_parked_stays_within_its_room),
        cmocka_unit_test_prestate(stored_sequences_come_back, &plain),
        cmocka_unit_test_prestate(stored_sequences_come_back, &exact),
        cmocka_unit_test_prestate(copies_are_made_at_once, &plain),
        cmocka_unit_test_prestate(copies_are_made_at_once, &exact),
        cmocka_unit_test(what_is_stored_stays_within_its_room),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
