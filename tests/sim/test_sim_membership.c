/* SPDX-License-Identifier: MIT
 * Clusters of 2 to 1,000 nodes on a virtual clock: the real membership core in each, links that take time, lose frames, are cut alone or by
 * a partition; nodes that end, start again (with an older state folder too), stand still, and are shut out. When the faults are over every
 * live node must come to the same view in bounded time; no node may ever take an older record for a newer one; nodes that were shut out
 * stay out; and the messages of a node per second are bounded.
 *   test_sim_membership --seed N   one small cluster again, as a failure names it */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "members/membership.h"

enum {
    STEP_US = 100000,
    SECOND = 1000000 / STEP_US,
    NOTICE = 25, /* steps until a silent link is given up */
    MAX_DELAY = 5,
    MAX_OUT = 8,
    RECORD_SIZE = 16 + 8 * MAX_OUT,
    FRAME_MAX_BYTES = 65536,
    SETTLE_S = 60,
    N_SEEDS = 150
};

struct stamp {
    uint64_t incarnation, version;
};
struct node {
    uint64_t id, incarnation;
    struct membership *core; /* NULL: does not run */
    clock_us offset;         /* its clock is so far ahead of the simulation's */
    uint32_t side;           /* of the partition */
    uint64_t out[MAX_OUT];
    uint32_t n_out;
    uint32_t frozen;         /* steps that it stands still */
    uint64_t sent;           /* messages */
    struct stamp *last;      /* of each other's record, as believed since its start */
};
struct frame {
    uint32_t from, to;
    bool record;
    uint64_t about, incarnation, version;
    uint8_t *bytes;
    size_t len;
    struct frame *next;
};
struct sim {
    uint64_t seed, random;
    uint32_t n, loss_percent;
    struct node *nodes;
    uint8_t *link, *cut; /* [n * n]: link: 1 up, else steps until it is noticed to be down + 1; both directions alike */
    struct frame *wire[MAX_DELAY + 1];
    uint64_t step;
    struct buf scratch;
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MANY = 200 }; /* a thousand take minutes there, and show a sanitizer nothing else */
#else
enum { MANY = 1000 };
#endif

static uint64_t only_seed;

#define CHECK(s, cond, ...) \
    do { \
        if (!(cond)) { \
            print_error(__VA_ARGS__); \
            print_error("\nagain with: test_sim_membership --seed %llu\n", (unsigned long long)(s)->seed); \
            fail_msg("%s", #cond); \
        } \
    } while (0)

static uint64_t sim_random(struct sim *s) { /* splitmix64 */
    uint64_t z = (s->random += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static uint32_t below(struct sim *s, uint32_t n) { return (uint32_t)(sim_random(s) % n); }

static uint32_t index_of(const struct sim *s, uint64_t id) {
    uint32_t low = 0, high = s->n; /* ids rise */
    while (low + 1 < high) {
        uint32_t mid = (low + high) / 2;
        if (s->nodes[mid].id <= id) low = mid;
        else high = mid;
    }
    return low;
}

static clock_us now_of(const struct sim *s, const struct node *x) { return x->offset + s->step * STEP_US; }
static uint8_t *link_of(const struct sim *s, uint32_t a, uint32_t b) { return &s->link[(size_t)(a < b ? a : b) * s->n + (a < b ? b : a)]; }
static uint8_t *cut_of(const struct sim *s, uint32_t a, uint32_t b) { return &s->cut[(size_t)(a < b ? a : b) * s->n + (a < b ? b : a)]; }

static bool reach(const struct sim *s, uint32_t a, uint32_t b) {
    const struct node *x = &s->nodes[a], *y = &s->nodes[b];
    return x->core && y->core && !x->frozen && !y->frozen && x->side == y->side && !*cut_of(s, a, b);
}

static bool has_out(const struct node *x, uint64_t id) {
    for (uint32_t i = 0; i < x->n_out; i++)
        if (x->out[i] == id) return true;
    return false;
}

/* ---- what nodes do ---- */

static void speak(struct sim *s, uint32_t a) {
    struct node *x = &s->nodes[a];
    uint8_t record[RECORD_SIZE] = {0};
    uint64_t incarnation, version;
    membership_stamp(x->core, &incarnation, &version);
    bytes_put_u64(record, incarnation);
    bytes_put_u64(record + 8, version);
    for (uint32_t i = 0; i < x->n_out; i++) bytes_put_u64(record + 16 + 8 * i, x->out[i]);
    membership_speak(x->core, now_of(s, x), record, sizeof(record));
}

static void link_drop(struct sim *s, uint32_t a, uint32_t b) {
    if (*link_of(s, a, b) == 0) return;
    *link_of(s, a, b) = 0;
    if (s->nodes[a].core) membership_link_down(s->nodes[a].core, now_of(s, &s->nodes[a]), s->nodes[b].id, true);
    if (s->nodes[b].core) membership_link_down(s->nodes[b].core, now_of(s, &s->nodes[b]), s->nodes[a].id, true);
}

static void shut_out(struct sim *s, uint32_t a, uint64_t id) {
    struct node *x = &s->nodes[a];
    if (id == 0 || id == x->id || has_out(x, id) || x->n_out == MAX_OUT) return;
    x->out[x->n_out++] = id;
    membership_set_out(x->core, id, true);
    link_drop(s, a, index_of(s, id));
    speak(s, a);
}

/* A record that the core says is new: never older than the last that was believed. */
static void read_news(struct sim *s, uint32_t a, uint64_t about) {
    struct node *x = &s->nodes[a];
    const struct member *k = membership_find(x->core, about);
    struct stamp *last = &x->last[index_of(s, about)];
    uint64_t incarnation = bytes_get_u64(k->record), version = bytes_get_u64(k->record + 8);
    CHECK(s, incarnation > last->incarnation || (incarnation == last->incarnation && version >= last->version),
          "node %u believes an older record of node %u", a, index_of(s, about));
    CHECK(s, incarnation == k->record_incarnation && version == k->version, "a record with another's stamp");
    *last = (struct stamp){incarnation, version};
    uint8_t words[RECORD_SIZE];
    memcpy(words, k->record, sizeof(words)); /* shutting out may drop it */
    for (uint32_t i = 0; i < MAX_OUT; i++) shut_out(s, a, bytes_get_u64(words + 16 + 8 * i));
}

static void send_frame(struct sim *s, uint32_t a, const struct membership_action *action) {
    struct node *x = &s->nodes[a];
    uint32_t b = index_of(s, action->to);
    x->sent++;
    if (*link_of(s, a, b) != 1 || below(s, 100) < s->loss_percent) return;
    struct frame *f = MEM_NEW(struct frame);
    f->from = a;
    f->to = b;
    f->record = action->kind == MEMBERSHIP_PASS_ON;
    buf_clear(&s->scratch);
    if (f->record) {
        const struct member *k = membership_find(x->core, action->about);
        static const struct member none;
        uint8_t own[RECORD_SIZE];
        uint64_t version;
        if (action->about == x->id) { /* the core gives only others' records out: this node's own has the stamp before its next */
            membership_stamp(x->core, &f->incarnation, &version);
            f->version = version - 1;
            memset(own, 0, sizeof(own));
            bytes_put_u64(own, f->incarnation);
            bytes_put_u64(own + 8, f->version);
            for (uint32_t i = 0; i < x->n_out; i++) bytes_put_u64(own + 16 + 8 * i, x->out[i]);
            buf_append(&s->scratch, own, sizeof(own));
        } else {
            k = k ? k : &none;
            f->incarnation = k->record_incarnation;
            f->version = k->version;
            buf_append(&s->scratch, k->record, k->record_len);
        }
        f->about = action->about;
    } else {
        membership_write(x->core, action, &s->scratch);
    }
    f->len = s->scratch.len;
    f->bytes = mem_alloc(f->len + 1);
    memcpy(f->bytes, s->scratch.data ? s->scratch.data : (const uint8_t *)"", f->len);
    struct frame **slot = &s->wire[(s->step + 1 + below(s, MAX_DELAY)) % (MAX_DELAY + 1)];
    f->next = *slot;
    *slot = f;
}

static void carry_out(struct sim *s, uint32_t a) {
    struct node *x = &s->nodes[a];
    struct membership_action action;
    while (membership_next_action(x->core, &action)) {
        if (action.kind == MEMBERSHIP_SEND || action.kind == MEMBERSHIP_PASS_ON) send_frame(s, a, &action);
        if (action.kind == MEMBERSHIP_NEWS && membership_find(x->core, action.about)) read_news(s, a, action.about);
        if (action.kind == MEMBERSHIP_SPEAK) speak(s, a);
        if (action.kind == MEMBERSHIP_TURN && has_out(x, action.about))
            CHECK(s, !membership_find(x->core, action.about), "node %u believes in node %u, which is out", a, index_of(s, action.about));
    }
}

static void deliver(struct sim *s, struct frame *f) {
    struct node *y = &s->nodes[f->to];
    if (y->core && !y->frozen && *link_of(s, f->from, f->to) == 1) {
        struct err e = {0};
        if (f->record) {
            if (f->len > 0) membership_record(y->core, now_of(s, y), f->about, f->incarnation, f->version, f->bytes, f->len);
        } else {
            CHECK(s, membership_hear(y->core, now_of(s, y), s->nodes[f->from].id, f->bytes, f->len, &e) == ERR_OK, "%s", e.text);
        }
        carry_out(s, f->to);
    }
    free(f->bytes);
    free(f);
}

static void dial(struct sim *s, uint32_t a) {
    struct node *x = &s->nodes[a];
    uint64_t wanted[MEMBERSHIP_MAX];
    size_t n = membership_wanted(x->core, wanted, MEMBERSHIP_MAX);
    wanted[n++] = s->nodes[a == 0 ? s->n - 1 : 0].id; /* a remembered peer each */
    wanted[n++] = s->nodes[(a + 1) % s->n].id;
    for (size_t i = 0; i < n; i++) {
        uint32_t b = index_of(s, wanted[i]);
        if (a == b || *link_of(s, a, b) || !reach(s, a, b) || has_out(x, s->nodes[b].id) || has_out(&s->nodes[b], x->id)) continue;
        *link_of(s, a, b) = 1;
        membership_link_up(x->core, now_of(s, x), s->nodes[b].id, s->nodes[b].incarnation);
        membership_link_up(s->nodes[b].core, now_of(s, &s->nodes[b]), x->id, x->incarnation);
        carry_out(s, b);
    }
}

/* A link whose ends no longer reach each other is noticed as silent after a while. */
static void age_links(struct sim *s) {
    for (uint32_t a = 0; a < s->n; a++)
        for (uint32_t b = a + 1; b < s->n; b++) {
            uint8_t *l = &s->link[(size_t)a * s->n + b];
            if (*l == 0) continue;
            if (reach(s, a, b)) { /* they beat */
                *l = 1;
                membership_heard(s->nodes[a].core, s->nodes[b].id, now_of(s, &s->nodes[a]));
                membership_heard(s->nodes[b].core, s->nodes[a].id, now_of(s, &s->nodes[b]));
            } else if (++*l > NOTICE) {
                *l = 0;
                if (s->nodes[a].core) membership_link_down(s->nodes[a].core, now_of(s, &s->nodes[a]), s->nodes[b].id, false);
                if (s->nodes[b].core) membership_link_down(s->nodes[b].core, now_of(s, &s->nodes[b]), s->nodes[a].id, false);
            }
        }
}

static void one_step(struct sim *s) {
    s->step++;
    struct frame *f = s->wire[s->step % (MAX_DELAY + 1)];
    s->wire[s->step % (MAX_DELAY + 1)] = NULL;
    for (struct frame *next; f; f = next) {
        next = f->next;
        deliver(s, f);
    }
    if (s->step % 5 == 0) age_links(s), age_links(s), age_links(s), age_links(s), age_links(s);
    for (uint32_t a = 0; a < s->n; a++) {
        struct node *x = &s->nodes[a];
        clock_us next;
        if (x->frozen) x->frozen--;
        if (!x->core || x->frozen) continue;
        if ((s->step + a) % 5 == 0) {
            membership_tick(x->core, now_of(s, x), &next);
            dial(s, a);
        }
        carry_out(s, a);
    }
}

static void run_seconds(struct sim *s, uint32_t seconds) {
    for (uint32_t i = 0; i < seconds * SECOND; i++) one_step(s);
}

static void node_start(struct sim *s, uint32_t a, uint64_t incarnation) {
    struct node *x = &s->nodes[a];
    x->incarnation = incarnation;
    x->offset = sim_random(s) >> 20;
    x->core = membership_create(x->id, incarnation, (uint32_t)sim_random(s));
    memset(x->last, 0, s->n * sizeof(*x->last));
    for (uint32_t i = 0; i < x->n_out; i++) membership_set_out(x->core, x->out[i], true); /* kept in the state folder */
    speak(s, a);
}

static void node_stop(struct sim *s, uint32_t a) {
    membership_free(s->nodes[a].core);
    s->nodes[a].core = NULL;
    for (uint32_t b = 0; b < s->n; b++)
        if (a != b) link_drop(s, a, b);
}

static void sim_open(struct sim *s, uint64_t seed, uint32_t n, uint32_t loss) {
    *s = (struct sim){.seed = seed, .random = seed, .n = n, .loss_percent = loss};
    s->nodes = mem_calloc(n, sizeof(*s->nodes));
    s->link = mem_zalloc((size_t)n * n);
    s->cut = mem_zalloc((size_t)n * n);
    buf_init(&s->scratch, FRAME_MAX_BYTES);
    for (uint32_t a = 0; a < n; a++) {
        s->nodes[a].id = (uint64_t)(a + 1) << 40 | (sim_random(s) >> 30);
        s->nodes[a].last = mem_calloc(n, sizeof(struct stamp));
    }
    for (uint32_t a = 0; a < n; a++) node_start(s, a, 1 + below(s, 5));
}

static void sim_close(struct sim *s) {
    for (uint32_t i = 0; i <= MAX_DELAY; i++)
        for (struct frame *f = s->wire[i], *next; f; f = next) {
            next = f->next;
            free(f->bytes);
            free(f);
        }
    for (uint32_t a = 0; a < s->n; a++) {
        membership_free(s->nodes[a].core);
        free(s->nodes[a].last);
    }
    free(s->nodes);
    free(s->link);
    free(s->cut);
    buf_done(&s->scratch);
}

/* ---- what must be true ---- */

/* Why node a's view of node b is not what it should be; NULL: it is. */
static const char *view_fault(const struct sim *s, uint32_t a, uint32_t b) {
    const struct node *x = &s->nodes[a], *y = &s->nodes[b];
    const struct member *k = membership_find(x->core, y->id);
    bool alive = y->core && x->side == y->side && !has_out(x, y->id) && !has_out(y, x->id);
    if (!alive) return k && k->state != MEMBER_GONE ? "a node that is not there is believed to be" : NULL;
    if (!k || k->state == MEMBER_GONE) return "a live node is not known";
    if (k->state == MEMBER_SUSPECT && !*cut_of(s, a, b)) return "a live node is suspect";
    uint64_t incarnation, version;
    membership_stamp(y->core, &incarnation, &version);
    if (!k->record || k->record_incarnation != incarnation || k->version != version - 1) return "an old record";
    return NULL;
}

static const char *first_fault(const struct sim *s, uint32_t *ret_a, uint32_t *ret_b) {
    for (uint32_t a = 0; a < s->n; a++)
        for (uint32_t b = 0; b < s->n && s->nodes[a].core; b++) {
            const char *why = a != b ? view_fault(s, a, b) : NULL;
            *ret_a = a;
            *ret_b = b;
            if (why) return why;
        }
    return NULL;
}

/* Runs until every view is right; returns the virtual seconds that took. */
static uint32_t settle(struct sim *s, const char *when) {
    uint32_t a = 0, b = 0;
    const char *why = NULL;
    for (uint32_t second = 0; second < SETTLE_S; second++) {
        run_seconds(s, 1);
        if (!(why = first_fault(s, &a, &b))) return second + 1;
    }
    CHECK(s, !why, "%s: after %d s node %u's view of node %u is wrong: %s", when, SETTLE_S, a, b, why);
    return SETTLE_S;
}

/* The most that one node sends in a quiet second, on average over some. */
static double messages_per_second(struct sim *s) {
    const uint32_t seconds = 5;
    uint64_t most = 0;
    for (uint32_t a = 0; a < s->n; a++) s->nodes[a].sent = 0;
    run_seconds(s, seconds);
    for (uint32_t a = 0; a < s->n; a++)
        if (s->nodes[a].sent > most) most = s->nodes[a].sent;
    return (double)most / seconds;
}

/* ---- scenarios ---- */

static void random_fault(struct sim *s) {
    uint32_t a = below(s, s->n), b = below(s, s->n);
    struct node *x = &s->nodes[a];
    switch (below(s, 8)) {
    case 0:
        if (x->core) node_stop(s, a);
        break;
    case 1: /* started again; now and then with an old state folder */
        if (x->core) node_stop(s, a);
        node_start(s, a, below(s, 4) ? x->incarnation + 1 : 1);
        break;
    case 2:
        for (uint32_t i = 0; i < s->n; i++) s->nodes[i].side = below(s, 2);
        break;
    case 3:
        for (uint32_t i = 0; i < s->n; i++) s->nodes[i].side = 0;
        break;
    case 4:
        if (a != b) *cut_of(s, a, b) ^= 1;
        break;
    case 5: x->frozen = below(s, 20 * SECOND); break;
    case 6:
        x->offset += below(s, 100) * 1000000ull; /* its clock stood while the machine slept */
        break;
    default:
        if (x->core) speak(s, a);
        if (x->core && below(s, 12) == 0) shut_out(s, a, s->nodes[b].id);
    }
}

static void small_cluster(uint64_t seed) {
    struct sim s;
    sim_open(&s, seed, 2 + (uint32_t)(seed % 13), (uint32_t)(seed % 3) * 10);
    for (uint32_t i = below(&s, 30) + 5; i > 0; i--) {
        random_fault(&s);
        run_seconds(&s, below(&s, 6));
    }
    for (uint32_t a = 0; a < s.n; a++) {
        s.nodes[a].side = s.nodes[a].frozen = 0;
        bool back = below(&s, 2) || a == 0; /* a node that all remember: else a node might know no node that runs */
        if (!s.nodes[a].core && back) node_start(&s, a, s.nodes[a].incarnation + 1);
    }
    memset(s.cut, 0, (size_t)s.n * s.n);
    s.loss_percent = 0;
    settle(&s, "healed");
    sim_close(&s);
}

static void small_clusters_agree(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= N_SEEDS; seed++)
        if (!only_seed || seed == only_seed) small_cluster(seed);
}

/* Node 3 of five is cut off from one other, or from all but one: it is suspect to those, never gone, and its new records still come. */
static void cut_off(uint32_t n_cut) {
    struct sim s;
    sim_open(&s, 7, 5, 0);
    settle(&s, "start");
    for (uint32_t a = 0; a < n_cut; a++) *cut_of(&s, a, 3) = 1;
    for (int i = 0; i < 60 * SECOND; i++) {
        one_step(&s);
        if (i == 30 * SECOND) speak(&s, 3);
        for (uint32_t a = 0; a < n_cut; a++) {
            const struct member *k = membership_find(s.nodes[a].core, s.nodes[3].id);
            CHECK(&s, k->state != MEMBER_GONE, "gone after %d steps", i);
            CHECK(&s, i < 5 * SECOND || k->state == MEMBER_SUSPECT, "%s after %d steps", membership_state_name(k->state), i);
            CHECK(&s, i < 40 * SECOND || k->version == 2, "version %d after %d steps", (int)k->version, i);
        }
    }
    memset(s.cut, 0, (size_t)s.n * s.n);
    settle(&s, "mended");
    sim_close(&s);
}

static void a_lost_link_is_not_a_lost_node(void **state) {
    (void)state;
    cut_off(1);
    cut_off(3);
}

/* A machine that vanishes is gone for all within four seconds, of which three pass until its links are found silent; a process that ends,
 * in one. */
static void the_lost_are_noticed(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct sim s;
        sim_open(&s, seed, 2 + (uint32_t)(seed % 5), 0);
        settle(&s, "start");
        for (uint32_t i = below(&s, SECOND); i > 0; i--) one_step(&s);
        s.nodes[0].side = 1;
        run_seconds(&s, 4);
        for (uint32_t a = 1; a < s.n; a++) CHECK(&s, !view_fault(&s, a, 0), "%u nodes: node %u: %s", s.n, a, view_fault(&s, a, 0));
        sim_close(&s);
    }
    struct sim s;
    sim_open(&s, 9, 4, 0);
    settle(&s, "start");
    node_stop(&s, 1);
    run_seconds(&s, 1);
    for (uint32_t a = 0; a < s.n; a++) CHECK(&s, a == 1 || !view_fault(&s, a, 1), "node %u: %s", a, view_fault(&s, a, 1));
    sim_close(&s);
}

static void big_cluster(uint32_t n, uint32_t loss) {
    struct sim s;
    uint32_t start_s, heal_s, churn_s;
    sim_open(&s, n, n, loss);
    start_s = settle(&s, "start");
    for (uint32_t a = 0; a < n; a++) s.nodes[a].side = n <= MEMBERSHIP_MESH ? a % 2 : a % 10 == 0;
    if (n <= MEMBERSHIP_MESH) settle(&s, "in two halves");
    else run_seconds(&s, 5);
    for (uint32_t a = 0; a < n; a++) s.nodes[a].side = 0;
    heal_s = settle(&s, "healed");
    for (uint32_t a = 0; a < n; a += 20) node_stop(&s, a + 1);
    for (uint32_t a = 5; a < n; a += 40) speak(&s, a);
    shut_out(&s, 2, s.nodes[n - 1].id);
    run_seconds(&s, 5);
    for (uint32_t a = 0; a < n; a += 40) node_start(&s, a + 1, s.nodes[a + 1].incarnation + 1);
    churn_s = settle(&s, "after churn");
    double rate = messages_per_second(&s);
    print_message("%u nodes, %u %% loss: all agree %u s after the start, %u s after two sides met again, %u s after churn; "
                  "at most %.1f messages per node and second when quiet\n",
                  n, loss, start_s, heal_s, churn_s, rate);
    CHECK(&s, rate <= 2 * MEMBERSHIP_FANOUT + 2, "%.1f messages per node and second", rate);
    sim_close(&s);
}

static void a_full_mesh_of_64(void **state) {
    (void)state;
    big_cluster(64, 5);
}

static void a_thousand_nodes(void **state) {
    (void)state;
    big_cluster(MANY, 2);
}

/* The memory of nodes that are gone is bounded, and expires. */
static void tombstones_are_bounded(void **state) {
    (void)state;
    struct membership *m = membership_create(1, 1, 0);
    clock_us next;
    for (uint64_t id = 2; id < 3 * MEMBERSHIP_MAX; id++) {
        membership_link_up(m, 1000, id, 1);
        membership_link_down(m, 1000, id, true);
        struct membership_action a;
        while (membership_next_action(m, &a)) {
        }
    }
    size_t n = 0;
    while (membership_get(m, n)) n++;
    assert_int_equal(n, MEMBERSHIP_MAX);
    membership_tick(m, 1000, &next);
    membership_tick(m, 1000 + MEMBERSHIP_TOMBSTONE_US / 2, &next); /* it stood still: that is nobody else's silence */
    assert_non_null(membership_get(m, 0));
    for (clock_us t = 0; t < 2 * MEMBERSHIP_TOMBSTONE_US; t += 1000000) membership_tick(m, 2000 + MEMBERSHIP_TOMBSTONE_US / 2 + t, &next);
    assert_null(membership_get(m, 0));
    membership_free(m);
}

/* Gives the core this message, of which the last `less` bytes are missing. */
static err_code say(struct membership *m, const struct membership_talk *t, size_t less) {
    struct buf b;
    struct err e;
    buf_init(&b, 65536);
    field_encode(membership_talk_fields(), t, &b);
    err_code code = membership_hear(m, 1, 5, b.data, b.len - less, &e);
    buf_done(&b);
    return code;
}

/* test_program_messages cuts MEMBERS at every byte; here stand the messages that have their form and make no sense. */
static void messages_without_sense_are_refused(void **state) {
    (void)state;
    struct membership *m = membership_create(1, 1, 0);
    struct membership_told told[2] = {{.id = 9}, {.id = 9}}; /* not rising */
    struct membership_talk t = {.message = MEMBERSHIP_TELL, .n_told = 2, .told = told};
    membership_link_up(m, 1, 5, 1);
    assert_int_equal(say(m, &t, 0), ERR_PROTOCOL);
    assert_null(membership_find(m, 9));
    told[1] = (struct membership_told){.id = 10, .incarnation = 3};
    t.n_ids = 1; /* a tell that asks */
    assert_int_equal(say(m, &t, 0), ERR_PROTOCOL);
    for (int i = MEMBERSHIP_ASK; i <= MEMBERSHIP_DENY; i++) {
        t.message = (enum membership_message)i; /* a question that tells */
        assert_int_equal(say(m, &t, 0), ERR_PROTOCOL);
        assert_int_equal(say(m, &(struct membership_talk){.message = t.message}, 0), ERR_PROTOCOL); /* a question about nobody */
    }
    t.message = MEMBERSHIP_TELL;
    t.n_ids = 0;
    assert_int_equal(say(m, &t, 1), ERR_PROTOCOL);
    assert_null(membership_find(m, 10));
    assert_int_equal(say(m, &t, 0), ERR_OK);
    assert_int_equal(membership_find(m, 10)->state, MEMBER_SUSPECT);
    membership_free(m);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_without_sense_are_refused),
        cmocka_unit_test(tombstones_are_bounded),
        cmocka_unit_test(a_lost_link_is_not_a_lost_node),
        cmocka_unit_test(the_lost_are_noticed),
        cmocka_unit_test(small_clusters_agree),
        cmocka_unit_test(a_full_mesh_of_64),
        cmocka_unit_test(a_thousand_nodes),
    };
    const struct CMUnitTest one[] = {cmocka_unit_test(small_clusters_agree)};
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) only_seed = strtoull(argv[2], NULL, 10);
    return only_seed ? cmocka_run_group_tests(one, NULL, NULL) : cmocka_run_group_tests(tests, NULL, NULL);
}
