/* SPDX-License-Identifier: MIT
 * The events of exchange.h, and the life of a source. */
#include "weights/exchange.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "weights/exchange_priv.h"

#define PAUSE_MIN_US    500000u  /* pause before a lost source is tried again; doubled each time */
#define PAUSE_MAX_US    10000000u
#define POLL_US         100000u
#define PATIENCE_MAX_US 60000000u
#define PIECE_BYTES     262144    /* a source usually sends something after this many bytes */
#define RATE_US         100000u       /* the shortest time over which a rate is measured */

/* ---- the chunks ---- */

struct exchange *exchange_create(uint64_t self, uint32_t n, const uint32_t *bytes, const uint64_t *key) {
    struct exchange *x = MEM_NEW(struct exchange);
    x->self = self;
    x->n = n;
    x->chunks = mem_calloc((size_t)n + 1, sizeof(*x->chunks));
    for (uint32_t i = 0; i < n; i++) {
        x->chunks[i] = (struct exchange_chunk){.bytes = bytes[i], .key = key[i]};
        x->bytes_all += bytes[i];
    }
    return x;
}

void exchange_free(struct exchange *x) {
    if (!x) return;
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) free(x->sources[i].bits);
    free(x->chunks);
    free(x);
}

static void wake(struct exchange *x) {
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) x->sources[i].dry = false;
}

uint32_t exchange_cursor(const struct exchange *x) { return x->cursor; }
bool exchange_is_here(const struct exchange *x, uint32_t chunk) { return x->chunks[chunk].here; }
bool exchange_is_asked(const struct exchange *x, uint32_t chunk) { return x->chunks[chunk].asked > 0 && !x->chunks[chunk].here; }
bool exchange_is_known(const struct exchange *x, uint32_t chunk) { return x->chunks[chunk].known; }
bool exchange_done(const struct exchange *x) { return x->n_here == x->n; }

void exchange_known(struct exchange *x, uint32_t chunk) {
    assert(chunk < x->n);
    if (x->chunks[chunk].known) return;
    x->chunks[chunk].known = true;
    wake(x);
}

void exchange_here(struct exchange *x, uint32_t chunk) {
    assert(chunk < x->n);
    struct exchange_chunk *c = &x->chunks[chunk];
    if (c->here) return;
    c->here = true;
    x->n_here++;
    x->bytes_here += c->bytes;
    if (x->waits && chunk == x->cursor) x->waits = false;
}

void exchange_reading(struct exchange *x, clock_us now, uint32_t chunk, bool waits) {
    assert(chunk < x->n);
    if (waits && (!x->waits || x->cursor != chunk)) x->waits_since = now;
    x->waits = waits && !x->chunks[chunk].here;
    x->cursor = chunk;
}

/* ---- the sources ---- */

static const char *const STATE_NAMES[EXCHANGE_STATE_COUNT] = {"free", "out", "connecting", "up", "banned"};

static void source_set_state(struct exchange_source *s, enum exchange_source_state to) {
    static const bool legal[EXCHANGE_STATE_COUNT][EXCHANGE_STATE_COUNT] = {
        [EXCHANGE_FREE] = {[EXCHANGE_OUT] = true},
        [EXCHANGE_OUT] = {[EXCHANGE_CONNECTING] = true, [EXCHANGE_FREE] = true},
        [EXCHANGE_CONNECTING] = {[EXCHANGE_UP] = true, [EXCHANGE_OUT] = true, [EXCHANGE_FREE] = true},
        [EXCHANGE_UP] = {[EXCHANGE_OUT] = true, [EXCHANGE_BANNED] = true, [EXCHANGE_FREE] = true},
        [EXCHANGE_BANNED] = {[EXCHANGE_FREE] = true},
    };
    assert(legal[s->state][to] && STATE_NAMES[to]);
    s->state = to;
}

static void source_owe_nothing(struct exchange *x, struct exchange_source *s) {
    for (uint32_t i = 0; i < s->n_asked; i++)
        if (!s->asked[i].given_up) x->chunks[s->asked[i].chunk].asked--;
    s->n_asked = 0;
    s->stalled = false;
    wake(x);
}

int exchange_source(struct exchange *x, clock_us now, uint64_t node, bool whole) {
    int slot = -1;
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) {
        struct exchange_source *s = &x->sources[i];
        if (s->state != EXCHANGE_FREE && s->node == node) {
            s->whole = s->whole || whole;
            return (int)i;
        }
        if (s->state == EXCHANGE_FREE && slot < 0) slot = (int)i;
    }
    if (slot < 0) return -1;
    struct exchange_source *s = &x->sources[slot];
    *s = (struct exchange_source){.node = node, .whole = whole, .again = now};
    source_set_state(s, EXCHANGE_OUT);
    return slot;
}

enum exchange_source_state exchange_source_state(const struct exchange *x, uint32_t source) {
    assert(source < EXCHANGE_MAX_SOURCES);
    return x->sources[source].state;
}

void exchange_up(struct exchange *x, clock_us now, uint32_t source, bool whole) {
    struct exchange_source *s = &x->sources[source];
    source_set_state(s, EXCHANGE_UP);
    s->whole = whole;
    s->heard = s->busy = s->mark = now;
    s->bytes = 0;
    s->polled = 0;
    wake(x);
}

void exchange_down(struct exchange *x, clock_us now, uint32_t source) {
    struct exchange_source *s = &x->sources[source];
    if (s->state != EXCHANGE_UP && s->state != EXCHANGE_CONNECTING) return;
    source_owe_nothing(x, s);
    source_set_state(s, EXCHANGE_OUT);
    uint64_t pause = (uint64_t)PAUSE_MIN_US << (s->failures < 5 ? s->failures : 5);
    s->failures++;
    s->again = now + (pause < PAUSE_MAX_US ? pause : PAUSE_MAX_US);
    free(s->bits);
    s->bits = NULL;
}

void exchange_has(struct exchange *x, uint32_t source, const uint8_t *bits) {
    struct exchange_source *s = &x->sources[source];
    if (s->state != EXCHANGE_UP || s->whole) return;
    if (!s->bits) s->bits = mem_alloc((size_t)x->n + 1);
    memcpy(s->bits, bits, x->n);
    wake(x);
}

/* ---- what comes ---- */

void exchange_heard(struct exchange *x, clock_us now, uint32_t source, uint32_t bytes) {
    struct exchange_source *s = &x->sources[source];
    s->heard = now;
    for (uint32_t i = 0; s->stalled && i < s->n_asked; i++) { /* it delivers its chunks after all */
        if (s->asked[i].given_up) x->chunks[s->asked[i].chunk].asked++;
        s->asked[i].given_up = false;
    }
    s->stalled = false;
    s->bytes += bytes;
    x->total_bytes += bytes;
    if (now < s->mark + RATE_US) return;
    double sample = (double)s->bytes * 1e6 / (double)(now - s->mark);
    s->rate = s->rate > 0 ? 0.6 * s->rate + 0.4 * sample : sample;
    s->mark = now;
    s->bytes = 0;
}

/* Removes the chunk from the chunks that the source owes; false: it doesn't owe this chunk. */
static bool source_settle(struct exchange *x, clock_us now, struct exchange_source *s, uint32_t chunk) {
    for (uint32_t i = 0; i < s->n_asked; i++) {
        if (s->asked[i].chunk != chunk) continue;
        if (!s->asked[i].given_up) x->chunks[chunk].asked--;
        if (s->asked[i].front) s->busy = now;
        memmove(&s->asked[i], &s->asked[i + 1], (s->n_asked - i - 1) * sizeof(s->asked[0]));
        s->n_asked--;
        wake(x);
        return true;
    }
    return false;
}

enum exchange_verdict exchange_received(struct exchange *x, clock_us now, uint32_t source, uint32_t chunk, bool good) {
    struct exchange_source *s = &x->sources[source];
    assert(chunk < x->n);
    if (s->state != EXCHANGE_UP || !source_settle(x, now, s, chunk)) return EXCHANGE_UNASKED;
    s->failures = 0;
    if (!good) {
        x->bytes_spare += x->chunks[chunk].bytes;
        source_owe_nothing(x, s);
        source_set_state(s, EXCHANGE_BANNED);
        return EXCHANGE_LIE;
    }
    if (x->chunks[chunk].here) {
        x->bytes_spare += x->chunks[chunk].bytes;
        return EXCHANGE_SPARE;
    }
    exchange_here(x, chunk);
    return EXCHANGE_ACCEPT;
}

void exchange_refused(struct exchange *x, clock_us now, uint32_t source, uint32_t chunk) {
    struct exchange_source *s = &x->sources[source];
    assert(chunk < x->n);
    if (s->state != EXCHANGE_UP || !source_settle(x, now, s, chunk)) return;
    s->heard = now;
    if (s->whole) { /* it doesn't have the whole file after all */
        s->whole = false;
        free(s->bits);
        s->bits = NULL;
    }
    if (s->bits) s->bits[chunk] = EXCHANGE_NOTHING;
}

/* ---- what to do ---- */

/* How long a source may be silent: at least the time of four pieces at its rate. */
static clock_us source_patience(const struct exchange_source *s) {
    double slow = s->rate > 0 ? 4e6 * PIECE_BYTES / s->rate : 0;
    if (slow > PATIENCE_MAX_US) slow = PATIENCE_MAX_US;
    return slow > EXCHANGE_STALL_US ? (clock_us)slow : EXCHANGE_STALL_US;
}

/* Handles a source that owes chunks and is silent: first other sources may be asked for the chunks, later the link is closed. */
static bool source_silent(struct exchange *x, clock_us now, uint32_t i, struct exchange_action *ret) {
    struct exchange_source *s = &x->sources[i];
    if (s->n_asked == 0) return false;
    clock_us patience = source_patience(s);
    if (now >= s->heard + (patience * EXCHANGE_DEAD_STALLS << (s->failures < 4 ? s->failures : 4))) {
        exchange_down(x, now, i);
        *ret = (struct exchange_action){.kind = EXCHANGE_DROP, .source = i};
        return true;
    }
    if (!s->stalled && now >= s->heard + patience) {
        s->stalled = true;
        for (uint32_t k = 0; k < s->n_asked; k++) {
            if (s->asked[k].given_up) continue;
            s->asked[k].given_up = true;
            x->chunks[s->asked[k].chunk].asked--;
        }
        wake(x);
    }
    return false;
}

static bool source_ask(struct exchange *x, clock_us now, uint32_t i, struct exchange_action *ret) {
    struct exchange_source *s = &x->sources[i];
    uint32_t chunk;
    bool front;
    if (s->stalled || s->dry || s->n_asked >= exchange_window(s)) return false;
    if (!exchange_pick(x, now, i, &chunk, &front)) {
        s->dry = true;
        return false;
    }
    if (s->n_asked == 0) { /* it begins to work: measure rate and silence from now */
        s->mark = s->heard = now;
        s->bytes = 0;
    }
    s->asked[s->n_asked++] = (struct exchange_asked){.chunk = chunk, .front = front};
    x->chunks[chunk].asked++;
    if (front) s->busy = now;
    *ret = (struct exchange_action){.kind = EXCHANGE_ASK, .source = i, .chunk = chunk};
    return true;
}

static bool source_next(struct exchange *x, clock_us now, uint32_t i, struct exchange_action *ret) {
    struct exchange_source *s = &x->sources[i];
    if (s->state == EXCHANGE_OUT && now >= s->again) {
        source_set_state(s, EXCHANGE_CONNECTING);
        *ret = (struct exchange_action){.kind = EXCHANGE_CONNECT, .source = i};
        return true;
    }
    if (s->state != EXCHANGE_UP) return false;
    if (source_silent(x, now, i, ret)) return true;
    if (!s->whole && (s->polled == 0 || now >= s->polled + POLL_US)) {
        s->polled = now;
        *ret = (struct exchange_action){.kind = EXCHANGE_POLL, .source = i};
        return true;
    }
    return source_ask(x, now, i, ret);
}

static void update_hope(struct exchange *x, clock_us now) {
    if (x->hope == 0) x->hope = now;
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) {
        const struct exchange_source *s = &x->sources[i];
        if (s->state == EXCHANGE_UP && s->n_asked > 0 && !s->stalled) x->hope = now;
    }
    if (exchange_done(x)) x->hope = now;
}

static void update_rate(struct exchange *x, clock_us now) {
    if (x->total_mark == 0) x->total_mark = now;
    if (now < x->total_mark + 2 * RATE_US) return;
    double sample = (double)x->total_bytes * 1e6 / (double)(now - x->total_mark);
    x->total_rate = x->total_rate > 0 ? 0.8 * x->total_rate + 0.2 * sample : sample;
    x->total_mark = now;
    x->total_bytes = 0;
}

/* Partial sources come first, to spare the whole ones; of equal sources the fastest comes first. */
static uint32_t order_sources(const struct exchange *x, uint32_t order[EXCHANGE_MAX_SOURCES]) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < EXCHANGE_MAX_SOURCES; i++) {
        const struct exchange_source *s = &x->sources[i];
        if (s->state == EXCHANGE_FREE) continue;
        uint32_t at = n++;
        for (; at > 0; at--) {
            const struct exchange_source *o = &x->sources[order[at - 1]];
            if (o->whole < s->whole || (o->whole == s->whole && o->rate >= s->rate)) break;
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    return n;
}

bool exchange_next(struct exchange *x, clock_us now, struct exchange_action *ret) {
    if (now >= x->looked + EXCHANGE_LOOK_US) {
        x->looked = now;
        wake(x);
        update_hope(x, now);
        update_rate(x, now);
    }
    if (exchange_done(x)) return false;
    uint32_t order[EXCHANGE_MAX_SOURCES], n = order_sources(x, order);
    for (uint32_t k = 0; k < n; k++)
        if (source_next(x, now, order[k], ret)) return true;
    return false;
}

bool exchange_hopeless(const struct exchange *x, clock_us now) { return x->hope > 0 && now >= x->hope + EXCHANGE_HOPELESS_US; }

void exchange_total(const struct exchange *x, struct exchange_totals *ret) {
    *ret = (struct exchange_totals){
        .bytes_here = x->bytes_here, .bytes_all = x->bytes_all, .bytes_spare = x->bytes_spare, .rate = x->total_rate};
}
