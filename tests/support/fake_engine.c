/* SPDX-License-Identifier: MIT
 * The fake engine: hashes in place of hidden states. */
#include "support/fake_engine.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct fake_seq {
    uint32_t len;
    bool open, parked;
    uint64_t seed;
    uint32_t n_top;
    int32_t scored;  /* the position that can be scored next */
    uint64_t before; /* the hash after the position before it */
};

/* A copy of a sequence's state: the hashes after its n positions, or, if a mark is all of the sequence, all hashes. */
struct fake_mark {
    uint64_t key;
    uint32_t n;
    uint64_t *chain; /* [n_own][n] */
};

struct fake {
    struct fake_params p;
    uint32_t n_own;        /* layers of this slice */
    uint64_t *chain;       /* [n_seq][n_own][n_ctx_seq] */
    struct fake_seq *seqs; /* [n_seq] */
    uint64_t *last;        /* [n_batch]: hash after each token of the last batch, in the last slice */
    int32_t *tokens;       /* [n_batch]: of the last batch */
    float *logits;         /* [n_vocab] */
    size_t n_last;
    struct fake_mark *marks; /* [n_marks] */
    struct fake_mark *stored; /* [n_stored]: sequences and marks in its store */
    size_t n_marks, n_stored, n_lost;
    uint64_t lost[4096];
};

static uint64_t mix(uint64_t a, uint64_t b) {
    uint64_t z = a * 0x9E3779B97F4A7C15u + b + 0x7F4A7C15u; /* splitmix64's finish */
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t *chain_at(struct fake *f, uint32_t seq, uint32_t layer) {
    return f->chain + ((size_t)seq * f->n_own + layer) * f->p.n_ctx_seq;
}

/* ---- a hash in a hidden row: 16 nibbles, twice ---- */

static void row_put(float *row, uint64_t h) {
    for (int i = 0; i < FAKE_N_EMBD; i++) row[i] = (float)(h >> (i % 16 * 4) & 15);
}

static bool row_get(const float *row, uint64_t *ret) {
    uint64_t h = 0;
    for (int i = 0; i < FAKE_N_EMBD; i++) {
        uint64_t nibble = (uint64_t)lrintf(row[i]) & 15;
        if (i < 16) h |= nibble << (i * 4);
        else if ((h >> (i % 16 * 4) & 15) != nibble) return false;
    }
    *ret = h;
    return true;
}

/* ---- the port ---- */

static err_code remove_range(struct fake *f, const struct engine_op *op, struct err *e) {
    struct fake_seq *s = &f->seqs[op->seq];
    s->parked = false;
    assert(op->p1 < 0 || (uint32_t)op->p1 >= s->len); /* only from the end: another removal would leave a hole */
    if (op->p0 > 0 && (uint32_t)op->p0 < s->len && f->p.keeps_state)
        return err_set(e, ERR_UNSUPPORTED, "fake: sequence %u cannot go back to %d", op->seq, op->p0);
    if (op->p0 <= 0) s->len = 0;
    else if ((uint32_t)op->p0 < s->len) s->len = (uint32_t)op->p0;
    return ERR_OK;
}

/* Copies the existing part of the range to dst; dst's own positions are removed first. */
static err_code copy_range(struct fake *f, const struct engine_op *op, struct err *e) {
    const struct fake_seq *from = &f->seqs[op->seq];
    struct fake_seq *to = &f->seqs[op->dst];
    assert(op->p0 == 0 && op->seq != op->dst);
    uint32_t n = op->p1 < 0 || (uint32_t)op->p1 > from->len ? from->len : (uint32_t)op->p1;
    if (n < from->len && f->p.keeps_state) return err_set(e, ERR_UNSUPPORTED, "fake: a part of sequence %u cannot be copied", op->seq);
    for (uint32_t layer = 0; layer < f->n_own; layer++)
        memcpy(chain_at(f, op->dst, layer), chain_at(f, op->seq, layer), n * sizeof(*f->chain));
    to->len = n;
    to->parked = false;
    return ERR_OK;
}

static struct fake_mark *find_mark(struct fake *f, uint64_t key) {
    for (size_t i = 0; i < f->n_marks; i++)
        if (f->marks[i].key == key) return &f->marks[i];
    return NULL;
}

static void make_mark(struct fake *f, const struct engine_op *op) {
    uint32_t n = (uint32_t)op->p0;
    bool there = f->seqs[op->seq].len == n;
    assert(f->p.marks && n > 0 && find_mark(f, op->key) == NULL);
    assert(there || (f->p.lacks != NULL && f->p.lacks(f->p.user)));
    if (!there || (f->p.lose != NULL && f->p.lose(f->p.user))) {
        f->lost[f->n_lost++] = op->key;
        return;
    }
    f->marks = mem_realloc(f->marks, f->n_marks + 1, sizeof(*f->marks));
    struct fake_mark *m = &f->marks[f->n_marks++];
    *m = (struct fake_mark){.key = op->key, .n = n, .chain = mem_calloc((size_t)n * f->n_own, sizeof(*m->chain))};
    for (uint32_t layer = 0; layer < f->n_own; layer++) memcpy(m->chain + layer * n, chain_at(f, op->seq, layer), n * sizeof(*m->chain));
}

static void drop_mark(struct fake *f, struct fake_mark *m) {
    if (m == NULL) return;
    free(m->chain);
    *m = f->marks[--f->n_marks];
}

static struct fake_mark *find_stored(struct fake *f, uint64_t key);

/* Unless the mark is all of the sequence, the sequence must have had the same positions up to there. */
static void go_back(struct fake *f, const struct engine_op *op) {
    struct fake_seq *s = &f->seqs[op->seq];
    struct fake_mark *m = find_mark(f, op->key);
    if (m != NULL && f->p.lose != NULL && f->p.lose(f->p.user)) {
        drop_mark(f, m);
        m = NULL;
    }
    if (m == NULL) m = find_stored(f, op->key);
    if (m == NULL || (!f->p.mark_whole && s->len < m->n)) { /* or what it is a mark of was lost just before */
        s->len = 0;
        f->lost[f->n_lost++] = op->key;
        return;
    }
    assert(m->n == (uint32_t)op->p0);
    for (uint32_t layer = 0; layer < f->n_own; layer++) {
        uint64_t *chain = chain_at(f, op->seq, layer);
        if (f->p.mark_whole) memcpy(chain, m->chain + layer * m->n, m->n * sizeof(*chain));
        assert(memcmp(chain, m->chain + layer * m->n, m->n * sizeof(*chain)) == 0);
    }
    s->len = m->n;
}

/* Cells of all sequences; a copy has its own. */
static uint32_t cells_used(const struct fake *f) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < f->p.n_seq; i++) n += f->seqs[i].len;
    return n;
}

/* ---- a store, as long as the engine lives ---- */

static struct fake_mark *find_stored(struct fake *f, uint64_t key) {
    for (size_t i = 0; i < f->n_stored; i++)
        if (f->stored[i].key == key) return &f->stored[i];
    return NULL;
}

static void erase(struct fake *f, struct fake_mark *m) {
    if (m == NULL) return;
    free(m->chain);
    f->n_stored--;
    memmove(m, m + 1, (size_t)(&f->stored[f->n_stored] - m) * sizeof(*m));
}

/* Is there room for one more sequence beside the KV cells? Stored ones make room, the least recently used first. */
static bool has_room(struct fake *f) {
    uint32_t n_parked = 0;
    for (uint32_t i = 0; i < f->p.n_seq; i++) n_parked += f->seqs[i].parked;
    while (f->p.room > 0 && f->n_stored > 0 && n_parked + f->n_stored >= f->p.room) {
        f->lost[f->n_lost++] = f->stored[0].key;
        erase(f, &f->stored[0]);
    }
    return f->p.room == 0 || n_parked + f->n_stored < f->p.room;
}

static void park(struct fake *f, uint32_t seq) {
    struct fake_seq *s = &f->seqs[seq];
    if (!s->parked && s->len > 0 && !f->p.keeps_state) s->parked = has_room(f);
}

/* chain: [n_own][stride] */
static void put_stored(struct fake *f, uint64_t key, uint32_t n, const uint64_t *chain, size_t stride) {
    erase(f, find_stored(f, key));
    f->stored = mem_realloc(f->stored, f->n_stored + 1, sizeof(*f->stored));
    struct fake_mark *m = &f->stored[f->n_stored++];
    *m = (struct fake_mark){.key = key, .n = n, .chain = mem_calloc((size_t)n * f->n_own, sizeof(*m->chain))};
    for (uint32_t layer = 0; layer < f->n_own; layer++) memcpy(m->chain + layer * n, chain + layer * stride, n * sizeof(*m->chain));
}

static void save(struct fake *f, const struct engine_op *op) {
    bool there = f->seqs[op->seq].len == (uint32_t)op->p0;
    assert(there || (f->p.lacks != NULL && f->p.lacks(f->p.user)));
    if (op->p1 == 0) f->seqs[op->seq].parked = false; /* given up: moves into the store */
    if (!there || !has_room(f)) {
        f->lost[f->n_lost++] = op->key;
        return;
    }
    put_stored(f, op->key, (uint32_t)op->p0, chain_at(f, op->seq, 0), f->p.n_ctx_seq);
}

static void keep(struct fake *f, uint64_t key) {
    const struct fake_mark *m = find_mark(f, key);
    if (m != NULL) put_stored(f, key, m->n, m->chain, m->n);
}

static void load(struct fake *f, const struct engine_op *op) {
    struct fake_mark *m = find_stored(f, op->key);
    f->seqs[op->seq].len = 0;
    f->seqs[op->seq].parked = false;
    if (m != NULL && f->p.lose != NULL && f->p.lose(f->p.user)) {
        erase(f, m);
        m = NULL;
    }
    if (m == NULL || cells_used(f) + m->n > f->p.n_ctx) {
        f->lost[f->n_lost++] = op->key;
        return;
    }
    assert(m->n == (uint32_t)op->p0);
    for (uint32_t layer = 0; layer < f->n_own; layer++)
        memcpy(chain_at(f, op->seq, layer), m->chain + layer * m->n, m->n * sizeof(*m->chain));
    f->seqs[op->seq].len = m->n;
    struct fake_mark used = *m; /* goes to the end of the list */
    memmove(m, m + 1, (size_t)(&f->stored[f->n_stored] - (m + 1)) * sizeof(*m));
    f->stored[f->n_stored - 1] = used;
}

static size_t fake_lost(void *self, uint64_t *ret_keys) {
    struct fake *f = self;
    size_t n = f->n_lost;
    memcpy(ret_keys, f->lost, n * sizeof(*ret_keys));
    f->n_lost = 0;
    return n;
}

static err_code fake_apply(void *self, const struct engine_op *ops, size_t n, struct err *e) {
    struct fake *f = self;
    for (size_t i = 0; i < n; i++) {
        if (ops[i].seq >= f->p.n_seq || ops[i].dst >= f->p.n_seq) return err_set(e, ERR_ENGINE, "fake: no sequence %u", ops[i].seq);
        err_code code = ERR_OK;
        switch (ops[i].kind) {
        case ENGINE_OP_RM: code = remove_range(f, &ops[i], e); break;
        case ENGINE_OP_CP: code = copy_range(f, &ops[i], e); break;
        case ENGINE_OP_CLOSE: f->seqs[ops[i].seq] = (struct fake_seq){0}; break;
        case ENGINE_OP_PARK: park(f, ops[i].seq); break;
        case ENGINE_OP_MARK: make_mark(f, &ops[i]); break;
        case ENGINE_OP_BACK: go_back(f, &ops[i]); break;
        case ENGINE_OP_DROP: drop_mark(f, find_mark(f, ops[i].key)); break;
        case ENGINE_OP_SAVE: save(f, &ops[i]); break;
        case ENGINE_OP_KEEP: keep(f, ops[i].key); break;
        case ENGINE_OP_LOAD: load(f, &ops[i]); break;
        case ENGINE_OP_ERASE: erase(f, find_stored(f, ops[i].key)); break;
        default: code = err_set(e, ERR_UNSUPPORTED, "fake: operation %u", ops[i].kind);
        }
        if (code != ERR_OK) return code;
    }
    return ERR_OK;
}

static err_code step(struct fake *f, const struct engine_token *t, unsigned shape, const float *in, float *out, uint64_t *ret,
                     struct err *e) {
    struct fake_seq *s = &f->seqs[t->seq];
    if (t->seq >= f->p.n_seq || (uint32_t)t->pos != s->len || s->len == f->p.n_ctx_seq)
        return err_set(e, ERR_ENGINE, "fake: position %d of sequence %u, which has %u", t->pos, t->seq, s->len);
    uint64_t h = 0;
    if (in == NULL) h = mix((uint64_t)t->token, (uint64_t)t->pos);
    else if (!row_get(in, &h)) return err_set(e, ERR_ENGINE, "fake: a damaged hidden row");
    for (uint32_t layer = 0; layer < f->n_own; layer++) {
        uint64_t *chain = chain_at(f, t->seq, layer);
        uint64_t before = t->pos > 0 ? chain[t->pos - 1] : f->p.first + layer;
        chain[t->pos] = mix(before, h);
        h = mix(chain[t->pos], f->p.first + layer + 1000 * shape);
    }
    s->len++;
    s->parked = false;
    if (out != NULL) row_put(out, h);
    *ret = h;
    return ERR_OK;
}

/* The class of shapes of n adjacent tokens of one sequence. */
static unsigned shape_of(const struct fake *f, size_t n) { return !f->p.shapes ? 0 : n >= 64 ? 3 : n >= 8 ? 2 : n >= 4; }

static unsigned shape_at(const struct fake *f, const struct engine_token *tokens, size_t n, size_t i) {
    size_t first = i, end = i + 1;
    while (first > 0 && tokens[first - 1].seq == tokens[i].seq) first--;
    while (end < n && tokens[end].seq == tokens[i].seq) end++;
    return shape_of(f, end - first);
}

/* The class of a position of a prompt that goes in multiples of 64, of 8, of 4, then one by one. */
static unsigned shape_in_prompt(const struct fake *f, size_t n_prompt, size_t pos) {
    for (size_t step = 64; step > 3; step = step == 64 ? 8 : step / 2)
        if (f->p.n_batch >= step && pos < n_prompt / step * step) return shape_of(f, step);
    return 0;
}

static err_code fake_eval(void *self, const struct engine_token *tokens, size_t n, const float *in, float *out, struct err *e) {
    struct fake *f = self;
    bool first = f->p.first == 0, last = f->p.end == f->p.n_layer;
    assert(n >= 1 && n <= f->p.n_batch && (in == NULL) == first && (out == NULL) == last);
    if (f->p.on_eval != NULL) f->p.on_eval(f->p.user, n);
    if (f->p.fail != NULL && f->p.fail(f->p.user)) return err_set(e, ERR_ENGINE, "fake: told to fail");
    if (cells_used(f) + n > f->p.n_ctx)
        return err_set(e, ERR_NO_ROOM, "fake: no room for %zu tokens beside %u in %u cells", n, cells_used(f), f->p.n_ctx);
    for (size_t i = 0; i < n; i++) {
        err_code code = step(f, &tokens[i], shape_at(f, tokens, n, i), first ? NULL : in + i * FAKE_N_EMBD,
                             last ? NULL : out + i * FAKE_N_EMBD, &f->last[i], e);
        if (code != ERR_OK) return code;
        f->tokens[i] = tokens[i].token;
    }
    f->n_last = n;
    return ERR_OK;
}

static const float *fake_logits(void *self, size_t i) {
    struct fake *f = self;
    assert(i < f->n_last && f->p.end == f->p.n_layer);
    for (uint32_t t = 0; t < FAKE_N_VOCAB; t++) f->logits[t] = (float)(mix(f->last[i], t) % 1000);
    return f->logits;
}

static err_code fake_seq_open(void *self, uint32_t seq, const struct engine_sampling *params, struct err *e) {
    struct fake *f = self;
    if (params->grammar != NULL) return err_set(e, ERR_INVALID, "fake: knows no grammars");
    f->seqs[seq].open = true;
    f->seqs[seq].seed = params->seed;
    f->seqs[seq].n_top = params->n_top_logprobs;
    return ERR_OK;
}

static int32_t choose(const struct fake *f, uint64_t h, uint64_t seed, uint64_t pos) {
    bool again = f->p.loop > 0 && h % 16 != 0;
    int32_t token = (int32_t)((again ? mix(seed, pos % f->p.loop) : mix(mix(h, seed), pos)) % FAKE_N_VOCAB);
    return f->p.no_eog && token == FAKE_EOG ? FAKE_EOG + 1 : token;
}

static err_code fake_sample(void *self, uint32_t seq, size_t i, int32_t pos, struct engine_sample *ret, struct err *e) {
    struct fake *f = self;
    const struct fake_seq *s = &f->seqs[seq];
    if (!s->open || i >= f->n_last || s->seed == FAKE_BAD_SEED) return err_set(e, ERR_ENGINE, "fake: cannot sample sequence %u", seq);
    ret->token = choose(f, f->last[i], s->seed, (uint64_t)pos);
    ret->logprob = -0.5f;
    ret->end = ret->token == FAKE_EOG;
    ret->n_top = s->n_top;
    for (uint32_t t = 0; t < s->n_top; t++) {
        ret->top[t].token = (int32_t)((uint32_t)ret->token + t) % FAKE_N_VOCAB;
        ret->top[t].logprob = -0.5f - (float)t;
    }
    return ERR_OK;
}

static uint32_t fake_guess(void *self, const struct engine_token *run, size_t at, size_t n, int32_t next, uint32_t most,
                           struct engine_guess *ret) {
    struct fake *f = self;
    uint64_t seed = f->seqs[run->seq].seed, pos = (uint64_t)run->pos + n - 1;
    assert(n > 0 && at + n <= f->n_last && most > 0 && most <= f->p.n_guess && f->p.end == f->p.n_layer);
    assert(next == choose(f, f->last[at + n - 1], seed, pos));
    for (size_t i = 0; i < n; i++) {
        assert(run[i].seq == run->seq && run[i].pos == run->pos + (int32_t)i && run[i].token == f->tokens[at + i] &&
               run[i].n_guess == most);
        assert(i == 0 || run[i].token == choose(f, f->last[at + i - 1], seed, (uint64_t)run[i].pos - 1)); /* it came true */
    }
    for (uint32_t i = 0; i < most; i++) {
        uint64_t place = pos + 1 + i;
        ret[i].token = (int32_t)(mix(seed, f->p.loop > 0 ? place % f->p.loop : place) % FAKE_N_VOCAB);
    }
    return most - (uint32_t)(seed % 2); /* one may make fewer than it was asked for */
}

static float fake_logprob(uint64_t before) { return -(float)(before % 1000) / 64; }

static err_code fake_score(void *self, uint32_t seq, size_t i, int32_t pos, struct engine_sample *ret, struct err *e) {
    struct fake *f = self;
    struct fake_seq *s = &f->seqs[seq];
    if (!s->open || i >= f->n_last || (pos > 0 && s->scored != pos)) return err_set(e, ERR_ENGINE, "fake: cannot score sequence %u", seq);
    s->scored = pos + 1;
    *ret = (struct engine_sample){.token = f->tokens[i], .logprob = pos > 0 ? fake_logprob(s->before) : 0, .n_top = pos > 0 ? s->n_top : 0};
    for (uint32_t t = 0; t < ret->n_top; t++) ret->top[t] = (struct engine_top){.token = (int32_t)t, .logprob = ret->logprob - (float)t};
    s->before = f->last[i];
    return ERR_OK;
}

/* One token a byte. */
static err_code fake_tokenize(void *self, const char *text, size_t len, bool bos, bool special, int32_t **ret_tokens, size_t *ret_n,
                              struct err *e) {
    struct fake *f = self;
    (void)special;
    (void)e;
    if (f->p.on_tokenize != NULL) f->p.on_tokenize(f->p.user, len);
    int32_t *tokens = mem_calloc(len + 1, sizeof(*tokens));
    size_t n = 0;
    if (bos) tokens[n++] = 1;
    for (size_t i = 0; i < len; i++) tokens[n++] = (uint8_t)text[i] % FAKE_N_VOCAB;
    *ret_tokens = tokens;
    *ret_n = n;
    return ERR_OK;
}

static bool fake_piece(void *self, int32_t token, struct buf *out) {
    (void)self;
    buf_printf(out, "<%d>", token);
    return false;
}

static void fake_close(void *self) {
    struct fake *f = self;
    while (f->n_marks > 0) drop_mark(f, f->marks);
    while (f->n_stored > 0) erase(f, f->stored);
    free(f->stored);
    free(f->marks);
    free(f->chain);
    free(f->seqs);
    free(f->last);
    free(f->tokens);
    free(f->logits);
    free(f);
}

static const struct engine_ops FAKE_OPS = {
    .apply = fake_apply,
    .lost = fake_lost,
    .eval = fake_eval,
    .logits = fake_logits,
    .seq_open = fake_seq_open,
    .sample = fake_sample,
    .guess = fake_guess,
    .score = fake_score,
    .tokenize = fake_tokenize,
    .piece = fake_piece,
    .close = fake_close,
};

void fake_engine_open(const struct fake_params *p, struct engine *ret) {
    struct fake *f = MEM_NEW(struct fake);
    f->p = *p;
    f->n_own = p->end - p->first;
    f->chain = mem_calloc((size_t)p->n_seq * f->n_own * p->n_ctx_seq, sizeof(*f->chain));
    f->seqs = mem_calloc(p->n_seq, sizeof(*f->seqs));
    f->last = mem_calloc(p->n_batch, sizeof(*f->last));
    f->tokens = mem_calloc(p->n_batch, sizeof(*f->tokens));
    f->logits = mem_calloc(FAKE_N_VOCAB, sizeof(*f->logits));
    *ret = (struct engine){.ops = &FAKE_OPS, .self = f};
    ret->info = (struct engine_info){.n_embd = FAKE_N_EMBD,
                                     .n_ctx_seq = p->n_ctx_seq,
                                     .n_ctx = p->n_ctx,
                                     .n_seq = p->n_seq,
                                     .n_batch = p->n_batch,
                                     .first = p->first == 0,
                                     .last = p->end == p->n_layer,
                                     .can_remove = !p->keeps_state,
                                     .can_mark = p->marks,
                                     .n_guess = p->n_guess,
                                     .mark_whole = p->mark_whole,
                                     .device = "fake"};
    ret->info.n_vocab = ret->info.first || ret->info.last ? FAKE_N_VOCAB : 0;
}

uint32_t fake_engine_len(const struct engine *e, uint32_t seq) { return ((const struct fake *)e->self)->seqs[seq].len; }

size_t fake_engine_marks(const struct engine *e) { return ((const struct fake *)e->self)->n_marks; }

bool fake_engine_has_sampler(const struct engine *e, uint32_t seq) { return ((const struct fake *)e->self)->seqs[seq].open; }

void fake_reference_scores(const struct fake_params *p, const int32_t *prompt, size_t n, float *ret) {
    struct fake_params whole = *p;
    whole.first = 0;
    whole.end = whole.n_layer;
    whole.n_seq = 1;
    struct engine e;
    fake_engine_open(&whole, &e);
    uint64_t h = 0;
    for (size_t pos = 0; pos < n; pos++) {
        ret[pos] = pos > 0 ? fake_logprob(h) : 0;
        step(e.self, &(struct engine_token){.token = prompt[pos], .pos = (int32_t)pos}, shape_in_prompt(e.self, n, pos), NULL, NULL, &h,
             NULL);
    }
    fake_close(e.self);
}

size_t fake_reference(const struct fake_params *p, const int32_t *prompt, size_t n_prompt, uint64_t seed, bool ignore_eos, size_t max,
                      int32_t *ret, bool *ret_stop) {
    struct fake_params whole = *p;
    whole.first = 0;
    whole.end = whole.n_layer;
    whole.n_seq = 1;
    struct engine e;
    fake_engine_open(&whole, &e);
    struct fake *f = e.self;
    uint64_t h = 0;
    uint32_t pos = 0;
    size_t n = 0;
    *ret_stop = false;
    for (; pos < n_prompt; pos++)
        step(f, &(struct engine_token){.token = prompt[pos], .pos = (int32_t)pos}, shape_in_prompt(f, n_prompt, pos), NULL, NULL, &h, NULL);
    while (n < max) {
        int32_t token = choose(f, h, seed, pos - 1);
        if (token == FAKE_EOG && !ignore_eos) {
            *ret_stop = true;
            break;
        }
        ret[n++] = token;
        step(f, &(struct engine_token){.token = token, .pos = (int32_t)pos}, 0, NULL, NULL, &h, NULL);
        pos++;
    }
    fake_close(f);
    return n;
}
