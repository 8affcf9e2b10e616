/* SPDX-License-Identifier: MIT
 * A simulated cluster for test_sim_coordinator: nodes with the real coordinator core, holders of slices, links, and the news that
 * nodes get of each other. The test's clients count requests. */
#ifndef CARAVAN_SIM_CLUSTER_H
#define CARAVAN_SIM_CLUSTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/coordinator.h"

enum {
    MAX_NODES = 6,
    N_MODELS = 4,
    MAX_STAGES = 32, /* of a node */
    MAX_REQUESTS = 64,
    N_LAYER = 8,
    STEP_US = 100000,
    SECOND = 10, /* steps */
    NOTICE = 10, /* steps until a cut link is noticed */
    GONE = 30    /* steps without a link until a node that no other hears counts as gone */
};
#define WALL 1000000 /* seconds since 1970, at the first step */

/* A node's record, shared by all nodes that have heard it. */
struct word {
    struct record record;
    uint32_t refs;
};
struct held {
    char instance[64];
    uint64_t epoch, bytes, source, ready_at; /* step */
    uint32_t stage, n_stage, model;
    bool ready, joined, fails;
    uint64_t ends; /* step; 0: it stays */
};
struct peer {
    bool up, cut;          /* up: both ends have the link */
    uint64_t since;        /* step of the last change */
    struct word *word;     /* NULL: gone, or never heard */
    uint64_t incarnation;  /* of the word's speaker */
};
struct sim_node {
    uint64_t id;
    bool alive, slow;
    uint64_t memory, incarnation;
    struct coordinator *core;
    struct coordinator_model models[N_MODELS];
    struct model_card cards[N_MODELS];
    uint32_t n_cards;
    struct record own;
    struct held held[MAX_STAGES];
    uint32_t n_held;
    struct peer peers[MAX_NODES];
    struct {
        char instance[64];
        struct coordinator_work work;
    } heard[64]; /* the heads' reports of their work */
    struct sim_asked {
        char instance[64];
        uint64_t epoch, since; /* since: step; 0: nothing is asked */
        bool moves;            /* it would fit better elsewhere, and may be loaded there */
    } asked[MAX_STAGES]; /* copies whose head was asked to drop them if they are idle, and has not answered */
    uint32_t n_heard;
    struct orphans saved;
    struct unloads unloads;
    uint64_t n_actions, n_loads, n_woken; /* n_woken: packets that were sent to it */
    bool wakes; /* its record has changed: the rules run again */
};
enum message_kind { SAYS, LOADS, UNLOADS, REPORTS, ASKS_LOAD, ASKS_UNLOAD, ASKS_ROOM, TELLS_WORK };
struct message {
    struct message *next;
    uint64_t due;
    enum message_kind kind;
    struct word *word;
    struct held stage;
    enum stage_unload_how how;
    err_code code;
    uint32_t model;
    struct load_wish wish;
    struct coordinator_work work;
    enum coordinator_room room;
};
struct client {
    bool on, runs;
    uint32_t model, node, head;
    uint64_t began, until, asked, length, came; /* steps */
    char instance[64];
};
struct cluster {
    uint64_t seed, random, step;
    uint32_t n;
    bool calm;
    struct sim_node nodes[MAX_NODES];
    struct message *wire[MAX_NODES][MAX_NODES]; /* in order */
    struct client clients[MAX_REQUESTS];
    struct plan_model plans[N_MODELS];
    uint64_t unit[N_MODELS];
    bool wanted[N_MODELS];        /* loaded by hand, and not unloaded since */
    uint64_t unloaded[N_MODELS];  /* step */
    uint32_t replicas[N_MODELS];
    bool sleeps; /* nodes that are not alive are asleep, and may be woken */
    const struct coordinator_tuning *tuning; /* of nodes that are started; NULL: the core's own */
    void *user;
};

struct sight {
    struct coordinator_view view;
    const struct record *records[MAX_NODES];
    struct coordinator_sleeper sleepers[MAX_NODES];
    struct cluster *s;
    struct sim_node *n;
};

#define CHECK(s, cond, ...) \
    do { \
        if (!(cond)) { \
            cluster_tell(s); \
            print_error(__VA_ARGS__); \
            print_error("\nagain with: --seed %llu\n", (unsigned long long)(s)->seed); \
            fail_msg("%s", #cond); \
        } \
    } while (0)

extern const char *const cluster_names[N_MODELS];

uint64_t cluster_random(struct cluster *s, uint64_t below);
bool cluster_chance(struct cluster *s, uint64_t percent);
clock_us cluster_now(const struct cluster *s);
/* What the node sees now. Valid until anything changes. */
void cluster_look(struct cluster *s, struct sim_node *n, struct sight *ret);
uint32_t cluster_index(const struct cluster *s, uint64_t id); /* MAX_NODES: no node has this id */
void cluster_send(struct cluster *s, struct sim_node *from, uint32_t to, struct message m); /* dropped without a link */
void cluster_act(struct cluster *s, struct sim_node *n); /* carries out what the node's coordinator wants */
void cluster_load_here(struct cluster *s, struct sim_node *n, uint32_t model, const struct load_wish *wish);
struct held *cluster_head(struct sim_node *n, const char *instance); /* that can be asked here */
struct coordinator_work *cluster_work(struct sim_node *n, const char *instance, bool make);
void cluster_tell_work(struct cluster *s, struct sim_node *n, const char *instance);
bool cluster_reaches(const struct cluster *s, uint32_t a, uint32_t b); /* do these two nodes have a link? */
/* What the node knows of the requests that wait for a model. */
struct coordinator_queue cluster_queue(const struct cluster *s, const struct sim_node *n, uint32_t model);
uint32_t cluster_running(const struct cluster *s, const char *instance); /* requests */
void cluster_start(struct cluster *s, struct sim_node *n, bool remembers);
void cluster_kill(struct cluster *s, uint32_t i);
void cluster_break(struct cluster *s, struct sim_node *n, struct held *h); /* a stage that fails; h is gone afterwards */
/* One step of the links, messages, stages and rules. */
void cluster_step(struct cluster *s);
void cluster_tell(const struct cluster *s); /* for a failure: prints the state of all nodes */
void cluster_free(struct cluster *s);

#endif
