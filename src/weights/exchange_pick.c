/* SPDX-License-Identifier: MIT
 * The decisions of exchange.h: how much a source may owe, which node asks the whole sources for a chunk, and which chunk is next. */
#include "weights/exchange_priv.h"

enum {
    WINDOW_MIN = 2,
    WINDOW_US = 100000,     /* as much as comes in this time may be outstanding */
    TAKE_OVER_US = 300000,  /* after being idle for this long, a source takes over chunks of other owners, from the far end */
    TAKE_ALL_US = 1000000,  /* and after this long also chunks that a partial source has */
    STRANGER_US = 100000,   /* how long a new partial source may take to list its chunks before the whole sources are asked */
    WAITED_US = 500000,     /* the reader has waited this long: ask any source that has the chunk */
    SKIP_MOST = 64,
    MEAN_CHUNK = 1 << 20,
    MAX_ASKED = 2           /* sources that may owe one chunk */
};

uint32_t exchange_window(const struct exchange_source *s) {
    double more = s->rate * WINDOW_US / 1e6 / MEAN_CHUNK;
    if (more > EXCHANGE_MAX_WINDOW - WINDOW_MIN) more = EXCHANGE_MAX_WINDOW - WINDOW_MIN;
    return WINDOW_MIN + (uint32_t)more;
}

bool exchange_source_has(const struct exchange_source *s, uint32_t chunk) {
    return s->whole || (s->bits && s->bits[chunk] == EXCHANGE_HAS);
}

static bool healthy(const struct exchange_source *s) { return s->state == EXCHANGE_UP && !s->stalled; }

/* The last step of splitmix64: every bit of the pair counts. */
static uint64_t mix(uint64_t node, uint64_t key) {
    uint64_t z = node * 0x9E3779B97F4A7C15u ^ key;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Our rank among the nodes that want this chunk. 0: this node asks the whole sources for it; 1: it asks if the first doesn't; and so on.
 * A node that has asked already comes before all others. */
static uint32_t rank(const struct exchange *x, uint32_t chunk) {
    uint64_t own = mix(x->self, x->chunks[chunk].key);
    uint32_t n = 0;
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) {
        const struct exchange_source *s = &x->sources[i];
        if (!healthy(s) || s->whole || !s->bits || s->node == x->self) continue;
        if (s->bits[chunk] == EXCHANGE_COMES) n += EXCHANGE_MAX_SOURCES;
        if (s->bits[chunk] != EXCHANGE_WANTS) continue;
        uint64_t other = mix(s->node, x->chunks[chunk].key);
        n += other > own || (other == own && s->node > x->self);
    }
    return n;
}

/* Has an answering partial source this chunk? Then the whole sources need not send it. */
static bool spread(const struct exchange *x, uint32_t chunk) {
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) {
        const struct exchange_source *s = &x->sources[i];
        if (healthy(s) && !s->whole && exchange_source_has(s, chunk)) return true;
    }
    return false;
}

static bool open_for(const struct exchange *x, const struct exchange_source *s, uint32_t chunk) {
    const struct exchange_chunk *c = &x->chunks[chunk];
    return !c->here && c->known && c->asked == 0 && exchange_source_has(s, chunk);
}

/* Has another source, at least twice as fast, this chunk? */
static bool faster_has(const struct exchange *x, const struct exchange_source *s, uint32_t chunk) {
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) {
        const struct exchange_source *o = &x->sources[i];
        if (o != s && healthy(o) && o->rate >= 2 * s->rate && exchange_source_has(o, chunk)) return true;
    }
    return false;
}

/* How many chunks the best other source brings while this one brings one: that many common chunks are left to the other source. */
static uint32_t skip_of(const struct exchange *x, const struct exchange_source *s) {
    double best = 0;
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) {
        const struct exchange_source *o = &x->sources[i];
        if (o != s && healthy(o) && o->rate > best) best = o->rate;
    }
    if (s->rate <= 0 || best < 2 * s->rate) return 0;
    double n = best / s->rate * (s->n_asked + 1);
    return n < SKIP_MOST ? (uint32_t)n : SKIP_MOST;
}

static uint32_t place(const struct exchange *x, uint32_t k) { return x->cursor + k < x->n ? x->cursor + k : x->cursor + k - x->n; }

/* The first chunk, from the reader's place on, that this source has and should be asked for. */
static bool pick_front(const struct exchange *x, const struct exchange_source *s, uint32_t *ret) {
    uint32_t skip = skip_of(x, s);
    for (uint32_t k = 0; k < x->n; k++) {
        uint32_t i = place(x, k);
        if (!open_for(x, s, i) || (s->whole && (spread(x, i) || rank(x, i) > 0))) continue;
        if (skip == 0 || !faster_has(x, s, i)) {
            *ret = i;
            return true;
        }
        skip--;
    }
    return false;
}

/* The last chunk that belongs to another owner. The longer this source was idle, the more such chunks it may take. */
static bool pick_back(const struct exchange *x, const struct exchange_source *s, clock_us idle, uint32_t *ret) {
    uint32_t skip = skip_of(x, s);
    for (uint32_t k = x->n; k-- > 0;) {
        uint32_t i = place(x, k);
        if (!open_for(x, s, i) || (idle < TAKE_ALL_US && (spread(x, i) || rank(x, i) > idle / TAKE_OVER_US))) continue;
        if (skip == 0 || !faster_has(x, s, i)) {
            *ret = i;
            return true;
        }
        skip--;
    }
    return false;
}

/* Seconds until the source has delivered its queue up to and including this place. */
static double owed_s(const struct exchange *x, const struct exchange_source *s, uint32_t place) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i <= place; i++) bytes += x->chunks[s->asked[i].chunk].bytes;
    return s->rate > 0 ? (double)bytes / s->rate : EXCHANGE_STALL_US / 1e6;
}

/* At the end: an idle source takes over a chunk that a source at least three times as slow still owes, the last one first. */
static bool pick_end(const struct exchange *x, const struct exchange_source *s, uint32_t *ret) {
    double worst = 0;
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) {
        const struct exchange_source *o = &x->sources[i];
        if (o == s || o->state != EXCHANGE_UP) continue;
        for (uint32_t k = 0; k < o->n_asked; k++) {
            uint32_t chunk = o->asked[k].chunk;
            const struct exchange_chunk *c = &x->chunks[chunk];
            if (c->here || c->asked >= MAX_ASKED || !exchange_source_has(s, chunk)) continue;
            double theirs = owed_s(x, o, k), ours = s->rate > 0 ? c->bytes / s->rate : theirs;
            if (theirs < 3 * ours + WINDOW_US / 1e6 || theirs <= worst) continue;
            worst = theirs;
            *ret = chunk;
        }
    }
    return worst > 0;
}

static bool anything_open(const struct exchange *x) {
    for (uint32_t i = 0; i < x->n; i++)
        if (!x->chunks[i].here && x->chunks[i].asked == 0) return true;
    return false;
}

/* Is there a partial source that has not listed its chunks yet? It is worth waiting for a moment. */
static bool strangers(const struct exchange *x, clock_us now) {
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) {
        const struct exchange_source *s = &x->sources[i];
        bool coming = s->state == EXCHANGE_CONNECTING || s->state == EXCHANGE_UP;
        if (coming && !s->whole && !s->bits && now < s->again + STRANGER_US) return true;
    }
    return false;
}

bool exchange_pick(const struct exchange *x, clock_us now, uint32_t source, uint32_t *ret, bool *ret_front) {
    const struct exchange_source *s = &x->sources[source];
    if (s->whole && strangers(x, now)) return false;
    *ret_front = true;
    if (x->waits && now >= x->waits_since + WAITED_US && open_for(x, s, x->cursor)) {
        *ret = x->cursor;
        return true;
    }
    if (pick_front(x, s, ret)) return true;
    *ret_front = false;
    if (s->whole && now >= s->busy + TAKE_OVER_US && pick_back(x, s, now - s->busy, ret)) return true;
    return s->n_asked == 0 && !anything_open(x) && pick_end(x, s, ret);
}
