/* SPDX-License-Identifier: MIT
 * The exchange of weights under thousands of seeded schedules: 1 to 5 fetching nodes, whole and partial sources that are slow, stall,
 * vanish without a word, die and come back, refuse, or lie. Every fetch ends when its sources together have all it needs, nothing corrupt
 * is accepted, nothing is accepted twice, and little is sent in vain.
 *   test_sim_exchange --seed N     one schedule again, as a failure names it */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "weights/exchange.h"

enum { MAX_NODES = 9, MAX_CHUNKS = 160, MAX_EVENTS = 4096, PIECES = 4, CHUNK = 1 << 20, TICK_US = 20000 };
#define LATENCY_US 300u
#define LIMIT_US   3600000000ull /* virtual; a schedule that is not done in an hour has failed */

static uint64_t only_seed;
static bool has_only_seed;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const uint64_t n_seeds = 60;
#else
static const uint64_t n_seeds = 600;
#endif

struct node {
    bool fetches, whole, lies, up, silent; /* silent: its death is not reported, nothing comes any more */
    double rate;                           /* bytes a microsecond, of its uplink */
    clock_us stalled_until;
    bool serving;                          /* a piece is on its way out */
    uint32_t turn;                         /* the fetcher of the last piece: links take turns, as TCP's do */
    struct {
        uint32_t chunks[EXCHANGE_MAX_WINDOW], n, pieces;
    } queue[MAX_NODES]; /* asked by each fetcher; pieces sent of the first */
    bool has[MAX_CHUNKS], needs[MAX_CHUNKS];
    uint32_t local[MAX_CHUNKS], global[MAX_CHUNKS], n_need; /* chunk of the model to chunk of its exchange, and back */
    struct exchange *x;
    int slot[MAX_NODES];                   /* of a source in x, -1: none */
    uint32_t link[MAX_NODES];              /* counts links to a source: events of an old link are dropped */
    bool linked[MAX_NODES];
    uint64_t sent, accepted;
};

enum event_kind { SERVE, PIECE, REFUSE, DIE, VANISH, REVIVE, STALL, CONNECTED };
struct event {
    clock_us at;
    enum event_kind kind;
    uint32_t fetcher, source, chunk, link;
    bool last, bad;
};

struct world {
    uint64_t seed, random;
    struct node nodes[MAX_NODES];
    uint32_t n_nodes, n_chunks;
    struct event events[MAX_EVENTS];
    uint32_t n_events;
    clock_us now;
    uint64_t lies;
};

static uint64_t draw(struct world *w) {
    uint64_t z = w->random += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}
static uint64_t below(struct world *w, uint64_t n) { return draw(w) % n; }
static bool chance(struct world *w, uint64_t percent) { return below(w, 100) < percent; }

static void failed(const struct world *w, const char *what) {
    fprintf(stderr, "seed %llu: %s at %.3f s\n", (unsigned long long)w->seed, what, (double)w->now / 1e6);
    for (uint32_t i = 0; i < w->n_nodes; i++) {
        const struct node *n = &w->nodes[i];
        struct exchange_totals t = {0};
        if (n->x) exchange_total(n->x, &t);
        fprintf(stderr, "  node %u: %s%s%s rate %.4f MB/s, sent %.0f, needs %u, has %.0f, spare %.0f MiB\n", i, n->up ? "up" : "down",
                n->whole ? " whole" : "", n->lies ? " lies" : "", n->rate, (double)n->sent / CHUNK, n->n_need, (double)t.bytes_here / CHUNK,
                (double)t.bytes_spare / CHUNK);
    }
    fail();
}

static void post(struct world *w, struct event e) {
    if (w->n_events == MAX_EVENTS) failed(w, "too much is outstanding");
    w->events[w->n_events++] = e;
}

static bool take(struct world *w, clock_us until, struct event *ret) {
    uint32_t best = w->n_events;
    for (uint32_t i = 0; i < w->n_events; i++)
        if (w->events[i].at <= until && (best == w->n_events || w->events[i].at < w->events[best].at)) best = i;
    if (best == w->n_events) return false;
    *ret = w->events[best];
    w->events[best] = w->events[--w->n_events];
    return true;
}

/* ---- the world's side of a link ---- */

static void ask(struct world *w, uint32_t f, uint32_t m, uint32_t g) {
    struct node *s = &w->nodes[m];
    if (!s->whole && !s->has[g]) {
        post(w,
             (struct event){.at = w->now + LATENCY_US, .kind = REFUSE, .fetcher = f, .source = m, .chunk = g, .link = w->nodes[f].link[m]});
        return;
    }
    if (s->queue[f].n == EXCHANGE_MAX_WINDOW) failed(w, "more than a window is outstanding");
    s->queue[f].chunks[s->queue[f].n++] = g;
    if (!s->serving) post(w, (struct event){.at = w->now + LATENCY_US, .kind = SERVE, .source = m, .fetcher = f});
    s->serving = true;
}

/* Sends the next piece, to the fetcher whose turn it is. */
static void serve(struct world *w, uint32_t m) {
    struct node *s = &w->nodes[m];
    s->serving = false;
    for (uint32_t k = 1; k <= w->n_nodes && s->up; k++) {
        uint32_t f = (s->turn + k) % w->n_nodes;
        if (s->queue[f].n == 0) continue;
        struct event e = {.kind = PIECE, .fetcher = f, .source = m, .chunk = s->queue[f].chunks[0], .link = w->nodes[f].link[m]};
        e.last = ++s->queue[f].pieces == PIECES;
        e.bad = e.last && s->lies && chance(w, 30);
        clock_us start = w->now > s->stalled_until ? w->now : s->stalled_until, end = start + (clock_us)(CHUNK / PIECES / s->rate);
        e.at = end + LATENCY_US;
        post(w, e);
        if (e.last) {
            memmove(&s->queue[f].chunks[0], &s->queue[f].chunks[1], --s->queue[f].n * sizeof(uint32_t));
            s->queue[f].pieces = 0;
            s->sent += CHUNK;
        }
        s->turn = f;
        s->serving = true;
        post(w, (struct event){.at = end, .kind = SERVE, .source = m, .fetcher = m});
        return;
    }
}

/* The link is gone: nothing that was asked for over it is sent. */
static void unlink_from(struct world *w, uint32_t f, uint32_t m) {
    w->nodes[f].link[m]++;
    w->nodes[f].linked[m] = false;
    w->nodes[m].queue[f].n = w->nodes[m].queue[f].pieces = 0;
}

static void has(struct world *w, struct node *n, uint32_t m) {
    static uint8_t bits[MAX_CHUNKS];
    const struct node *s = &w->nodes[m];
    for (uint32_t i = 0; i < n->n_need; i++) {
        uint32_t g = n->global[i];
        bool asked = s->x && s->needs[g] && exchange_is_asked(s->x, s->local[g]);
        bits[i] = s->has[g] ? EXCHANGE_HAS : !s->needs[g] ? EXCHANGE_NOTHING : asked ? EXCHANGE_COMES : EXCHANGE_WANTS;
    }
    exchange_has(n->x, (uint32_t)n->slot[m], bits);
}

static void act(struct world *w, uint32_t f) {
    struct node *n = &w->nodes[f];
    struct exchange_action a;
    while (n->up && exchange_next(n->x, w->now, &a)) {
        uint32_t m = 0;
        while (n->slot[m] != (int)a.source) m++;
        if (a.kind == EXCHANGE_CONNECT)
            post(w, (struct event){.at = w->now + 3 * LATENCY_US, .kind = CONNECTED, .fetcher = f, .source = m, .link = n->link[m]});
        if (a.kind == EXCHANGE_ASK) ask(w, f, m, n->global[a.chunk]);
        if (a.kind == EXCHANGE_POLL) has(w, n, m);
        if (a.kind == EXCHANGE_DROP) unlink_from(w, f, m);
    }
}

static void cut(struct world *w, uint32_t f, uint32_t m) {
    struct node *n = &w->nodes[f];
    if (!n->linked[m]) return;
    unlink_from(w, f, m);
    if (!w->nodes[m].silent) exchange_down(n->x, w->now, (uint32_t)n->slot[m]);
}

static void piece(struct world *w, const struct event *e) {
    struct node *n = &w->nodes[e->fetcher];
    uint32_t slot = (uint32_t)n->slot[e->source];
    exchange_heard(n->x, w->now, slot, CHUNK / PIECES);
    if (!e->last) return;
    w->lies += e->bad;
    switch (exchange_received(n->x, w->now, slot, n->local[e->chunk], !e->bad)) {
    case EXCHANGE_ACCEPT:
        if (e->bad) failed(w, "a corrupt chunk was accepted");
        if (n->has[e->chunk]) failed(w, "a chunk was accepted twice");
        n->has[e->chunk] = true;
        n->accepted += CHUNK;
        break;
    case EXCHANGE_LIE:
        if (!e->bad) failed(w, "a good chunk was called a lie");
        unlink_from(w, e->fetcher, e->source);
        break;
    case EXCHANGE_SPARE: break;
    case EXCHANGE_UNASKED: failed(w, "a chunk that was asked for counts as not asked for");
    }
}

static void happen(struct world *w, const struct event *e) {
    struct node *s = &w->nodes[e->source], *n = &w->nodes[e->fetcher];
    bool current = n->x && e->link == n->link[e->source];
    switch (e->kind) {
    case SERVE: serve(w, e->source); break;
    case PIECE:
        if (current && s->up && n->up) piece(w, e);
        break;
    case REFUSE:
        if (current && s->up && n->up) exchange_refused(n->x, w->now, (uint32_t)n->slot[e->source], n->local[e->chunk]);
        break;
    case CONNECTED:
        if (!current || !n->up) break;
        n->linked[e->source] = s->up;
        if (s->up) exchange_up(n->x, w->now, (uint32_t)n->slot[e->source], s->whole);
        else exchange_down(n->x, w->now, (uint32_t)n->slot[e->source]);
        break;
    case DIE:
    case VANISH:
        s->up = false;
        s->silent = e->kind == VANISH;
        for (uint32_t f = 0; f < w->n_nodes; f++)
            if (w->nodes[f].x && w->nodes[f].up && !s->silent) cut(w, f, e->source);
        break;
    case REVIVE: /* a new process: outstanding chunks are lost */
        for (uint32_t f = 0; f < w->n_nodes; f++)
            if (w->nodes[f].x && w->nodes[f].up && w->nodes[f].linked[e->source]) {
                s->silent = false;
                cut(w, f, e->source);
            }
        s->up = true;
        s->silent = false;
        s->stalled_until = w->now;
        break;
    case STALL: s->stalled_until = w->now + 1000000 + below(w, 20000000); break;
    }
}

/* ---- making worlds ---- */

static struct node *add(struct world *w, bool whole, double rate) {
    struct node *n = &w->nodes[w->n_nodes++];
    n->whole = whole;
    n->up = true;
    n->rate = rate;
    return n;
}

/* The node needs `count` chunks from `first` on, in a ring. */
static void fetching(struct world *w, struct node *n, uint32_t first, uint32_t count) {
    n->fetches = true;
    for (uint32_t k = 0; k < count; k++) n->needs[(first + k) % w->n_chunks] = true;
}

static void start(struct world *w) {
    static uint32_t bytes[MAX_CHUNKS];
    static uint64_t keys[MAX_CHUNKS];
    for (uint32_t f = 0; f < w->n_nodes; f++) {
        struct node *n = &w->nodes[f];
        if (!n->fetches) continue;
        for (uint32_t g = 0; g < w->n_chunks; g++) {
            if (!n->needs[g] || n->has[g]) continue;
            bytes[n->n_need] = CHUNK;
            keys[n->n_need] = g;
            n->local[g] = n->n_need;
            n->global[n->n_need++] = g;
        }
        n->x = exchange_create(1000 + f, n->n_need, bytes, keys);
        for (uint32_t i = 0; i < n->n_need; i++) exchange_known(n->x, i);
        for (uint32_t m = 0; m < w->n_nodes; m++) n->slot[m] = m == f ? -1 : exchange_source(n->x, w->now, 1000 + m, w->nodes[m].whole);
    }
}

static bool all_done(const struct world *w) {
    for (uint32_t f = 0; f < w->n_nodes; f++)
        if (w->nodes[f].x && w->nodes[f].up && !exchange_done(w->nodes[f].x)) return false;
    return true;
}

static void run(struct world *w) {
    start(w);
    while (!all_done(w)) {
        struct event e;
        clock_us tick = (w->now / TICK_US + 1) * TICK_US;
        bool any = take(w, tick, &e);
        w->now = any ? e.at > w->now ? e.at : w->now : tick;
        if (any) happen(w, &e);
        for (uint32_t f = 0; f < w->n_nodes; f++)
            if (w->nodes[f].x) act(w, f);
        if (w->now > LIMIT_US) failed(w, "it did not end");
    }
    for (uint32_t f = 0; f < w->n_nodes; f++) {
        struct node *n = &w->nodes[f];
        struct exchange_totals t;
        if (!n->x || !n->up) continue;
        exchange_total(n->x, &t);
        if (t.bytes_here != t.bytes_all || n->accepted != t.bytes_all) failed(w, "not all was accepted once");
    }
}

static void world_done(struct world *w) {
    for (uint32_t f = 0; f < w->n_nodes; f++) exchange_free(w->nodes[f].x);
}

static void world_init(struct world *w, uint64_t seed) {
    memset(w, 0, sizeof(*w));
    w->seed = seed;
    w->random = seed * 0xD1342543DE82EF95u + 1;
}

static double some_rate(struct world *w) { return 0.2 * (double)(1u << below(w, 10)); } /* 200 kB/s to 100 MB/s */

/* Sends its share of faults to a source; `returns`: it is there again in the end. */
static void trouble(struct world *w, uint32_t m, bool returns) {
    if (chance(w, 40)) post(w, (struct event){.at = below(w, 10000000), .kind = STALL, .source = m, .fetcher = m});
    if (!chance(w, 50)) return;
    clock_us at = below(w, 8000000);
    post(w, (struct event){.at = at, .kind = chance(w, 50) ? DIE : VANISH, .source = m, .fetcher = m});
    if (returns || chance(w, 50)) post(w, (struct event){.at = at + 1 + below(w, 40000000), .kind = REVIVE, .source = m, .fetcher = m});
}

/* ---- the tests ---- */

static void each(void (*one)(struct world *w)) {
    static struct world w;
    for (uint64_t seed = has_only_seed ? only_seed : 1; seed <= (has_only_seed ? only_seed : n_seeds); seed++) {
        world_init(&w, seed);
        one(&w);
        world_done(&w);
    }
}

/* Bytes that were sent in vain: lies, and for each link at most the chunks that a slow source owed at the end. */
static void check_spare(struct world *w, uint64_t allowed_chunks) {
    for (uint32_t f = 0; f < w->n_nodes; f++) {
        struct exchange_totals t;
        if (!w->nodes[f].x) continue;
        exchange_total(w->nodes[f].x, &t);
        if (t.bytes_spare > (allowed_chunks + w->lies) * CHUNK) failed(w, "too much came in vain");
    }
}

static void faults_one(struct world *w) {
    w->n_chunks = 1 + (uint32_t)below(w, MAX_CHUNKS);
    add(w, true, 0.5 + some_rate(w)); /* honest, and there in the end */
    trouble(w, 0, true);
    uint32_t more = (uint32_t)below(w, 3), fetchers = 1 + (uint32_t)below(w, 5);
    for (uint32_t i = 0; i < more; i++) {
        struct node *n = add(w, true, some_rate(w));
        n->lies = chance(w, 30);
        trouble(w, w->n_nodes - 1, false);
    }
    for (uint32_t i = 0; i < fetchers; i++) {
        struct node *n = add(w, false, some_rate(w));
        n->lies = chance(w, 15);
        fetching(w, n, (uint32_t)below(w, w->n_chunks), 1 + (uint32_t)below(w, w->n_chunks));
        if (i > 0) trouble(w, w->n_nodes - 1, false);
    }
    run(w);
    check_spare(w, 16 + w->n_nodes * 4);
}

static void faults(void **state) {
    (void)state;
    each(faults_one);
}

/* No whole source: nodes that have parts, and together all; some chunks on one node only. */
static void parts_one(struct world *w) {
    w->n_chunks = 1 + (uint32_t)below(w, MAX_CHUNKS);
    uint32_t n = 1 + (uint32_t)below(w, 4);
    for (uint32_t i = 0; i < n; i++) add(w, false, some_rate(w));
    for (uint32_t g = 0; g < w->n_chunks; g++) {
        w->nodes[below(w, n)].has[g] = true;
        if (chance(w, 40)) w->nodes[below(w, n)].has[g] = true;
    }
    for (uint32_t i = 0; i < n; i++) trouble(w, i, true);
    uint32_t fetchers = 1 + (uint32_t)below(w, 3);
    for (uint32_t i = 0; i < fetchers; i++) {
        struct node *f = add(w, false, some_rate(w));
        fetching(w, f, 0, w->n_chunks);
    }
    run(w);
    check_spare(w, 16 + w->n_nodes * 4);
}

static void parts(void **state) {
    (void)state;
    each(parts_one);
}

/* Two to five nodes want the same chunks from one source. It sends each chunk once, except chunks that two nodes ask for at the same moment
 * at the end. */
static void swarm_one(struct world *w) {
    w->n_chunks = 60 + (uint32_t)below(w, MAX_CHUNKS - 60);
    double rate = 10 + (double)below(w, 100);
    struct node *holder = add(w, true, rate);
    uint32_t fetchers = 2 + (uint32_t)below(w, 4);
    for (uint32_t i = 0; i < fetchers; i++) {
        struct node *n = add(w, false, rate);
        fetching(w, n, 0, w->n_chunks);
    }
    run(w);
    uint64_t model = (uint64_t)w->n_chunks * CHUNK;
    if (holder->sent > model + model / 20 + 3 * fetchers * CHUNK) failed(w, "the holder sent chunks twice");
    double at_best = (double)model / rate;
    if ((double)w->now > 1.5 * at_best + 1.5e6) failed(w, "the swarm was slow");
}

static void swarm(void **state) {
    (void)state;
    each(swarm_one);
}

/* One fetcher, several whole sources of different rates: it takes about as long as their rates together allow, though a slow one is among
 * them, and hardly anything is sent twice. */
static void rates_one(struct world *w) {
    w->n_chunks = MAX_CHUNKS;
    uint32_t n = 2 + (uint32_t)below(w, 3);
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += add(w, true, i == 0 ? 50 + (double)below(w, 60) : some_rate(w))->rate;
    struct node *f = add(w, false, 1);
    fetching(w, f, 0, w->n_chunks);
    run(w);
    double at_best = (double)w->n_chunks * CHUNK / sum;
    if ((double)w->now > 1.25 * at_best + 0.3e6) failed(w, "slower than the sources allow");
    uint64_t sent = 0;
    for (uint32_t i = 0; i < n; i++) sent += w->nodes[i].sent;
    if (sent > (uint64_t)(w->n_chunks + 4 * n) * CHUNK) failed(w, "traffic was doubled");
}

static void rates(void **state) {
    (void)state;
    each(rates_one);
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
        only_seed = strtoull(argv[2], NULL, 10);
        has_only_seed = true;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(faults), cmocka_unit_test(parts), cmocka_unit_test(swarm), cmocka_unit_test(rates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
