/* SPDX-License-Identifier: MIT
 * The speed of a ring: starts real stage children with real TLS links on loopback (node/private_ring.h), or the whole model in one stage,
 * and prints a line of JSON for each measurement: tokens per second, and where each stage's time went.
 *
 *     ring_bench MODEL [--program CARAVAN] [--stages K | --split 12,10] [--threads T] [--decode N] [--streams 1,2] [--prefill P]
 *                      [--spin US] [--batch N] [--dtype f32|f16|bf16|q8_0] [--repeat R] [--wait]
 *                      [--delay-us N] [--mbit N] [--memory] [--draft N] [--repetitive] [--mtp] [--draft-model FILE] [--ask FILE]
 *
 * --decode N: N tokens of each of the streams at once, greedy, after a prompt of 16; counted from the moment when every stream has its
 * first token until the first of them has its last. --prefill P: a prompt of P tokens, until its first token is sampled.
 * --delay-us, --mbit: every link of the ring goes through an emulated network (relay/relay.h): so long one way, so fast in each direction.
 * --draft N: guesses up to N tokens ahead. --repetitive: prompts repeat one phrase, and answers consist of its tokens. --mtp: the model's
 * own layers guess, too; --draft-model: so does that small model.
 * --ask FILE: prompts of ordinary text, one a line (\n in it begins a new line), one after another in place of made-up ones; the answers
 * end where the model ends them, after --decode tokens at the latest.
 * --memory: a line with the memory of all stages together, and the bytes of the model's file and of the KV cache.
 * --wait: waits for a line on standard input before it measures, so that a profiler can be put on its stages first. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/tls.h"
#include "model/layout.h"
#include "node/private_ring.h"
#include "os/runtime.h"
#include "relay/relay.h"
#include "support/children_memory.h"
#include "wire/frame.h"

enum { MAX_STAGES = 16, MAX_STREAMS = 64, MAX_RUNS = 8, PROMPT = 16, PHRASE = 8, DEFAULT_STAGES = 1, ASK_CTX = 1024 };

struct setup {
    const char *model, *program;
    uint32_t bounds[MAX_STAGES + 1], n_stage;
    uint32_t threads, batch, spin_us, n_decode, n_prefill, repeat;
    uint32_t streams[MAX_RUNS], n_runs;
    uint8_t dtype;
    bool wait, memory;
    uint64_t delay_us, mbit;
    uint32_t n_draft;
    bool repetitive, mtp;
    const char *draft_model, *ask;
    struct relay *relay;
};

/* The results of one measurement, from its events. */
struct tally {
    uint32_t n_streams, n_started, n_tokens, n_first; /* tokens until every stream has begun */
    clock_us submitted, begun, ended;
    uint64_t prefill_us;
    uint64_t decode_us;
    struct request_hop hops[REQUEST_MAX_HOPS];
    uint32_t n_hop, n_guessed, n_accepted, n_own, n_own_accepted;
};

static void stop(const char *what, const struct err *e) {
    fprintf(stderr, "ring_bench: %s: %s\n", what, e->text);
    exit(1);
}

/* ---- measuring ---- */

static void on_event(void *user, const struct request_event *ev) {
    struct tally *t = user;
    clock_us now = clock_now();
    if (ev->kind == REQUEST_TOKEN) {
        t->n_tokens += t->ended == 0;
        if (ev->completion_tokens == 1 && ++t->n_started == t->n_streams) {
            t->begun = now;
            t->n_first = t->n_tokens;
        }
    } else if (ev->kind == REQUEST_DONE) {
        if (t->ended == 0) t->ended = now;
        if (ev->prefill_us > t->prefill_us) t->prefill_us = ev->prefill_us;
        t->n_hop = ev->n_hop;
        t->n_guessed += ev->draft_tokens;
        t->n_accepted += ev->draft_accepted;
        t->n_own += ev->mtp_tokens;
        t->n_own_accepted += ev->mtp_accepted;
        t->decode_us += ev->decode_us;
        for (uint32_t i = 0; i < ev->n_hop; i++) {
            t->hops[i].stage = ev->hops[i].stage;
            t->hops[i].frames += ev->hops[i].frames;
            t->hops[i].compute_us += ev->hops[i].compute_us;
            t->hops[i].wait_us += ev->hops[i].wait_us;
            t->hops[i].hop_us += ev->hops[i].hop_us;
        }
    }
}

/* Random weights never repeat themselves: their answer is kept to the phrase's tokens, in the order that the model chooses. */
static void keep_to_phrase(struct request *r) {
    r->sampling.n_bias = PHRASE;
    r->sampling.bias = mem_calloc(PHRASE, sizeof(*r->sampling.bias));
    for (uint32_t i = 0; i < PHRASE; i++) r->sampling.bias[i] = (struct engine_logit_bias){.token = r->tokens[i], .bias = 100};
}

/* A prompt of its own for every stream and run: nothing can be reused. */
static void make_request(const struct setup *s, uint32_t n_vocab, uint32_t n_prompt, uint32_t n_tokens, struct request *ret) {
    static uint64_t random = 88172645463325252u;
    request_init(ret);
    ret->model = mem_strdup(s->model);
    ret->tokens = mem_calloc(n_prompt, sizeof(*ret->tokens));
    ret->n_tokens = n_prompt;
    for (uint32_t i = 0; i < n_prompt; i++) {
        random ^= random << 13; /* xorshift64 (Marsaglia 2003) */
        random ^= random >> 7;
        random ^= random << 17;
        bool again = s->repetitive && i >= PHRASE;
        ret->tokens[i] = again ? ret->tokens[i - PHRASE] : (int32_t)(random % n_vocab);
    }
    ret->max_tokens = (int32_t)n_tokens;
    ret->ignore_eos = true;
    ret->sampling.temperature = 0;
    if (s->repetitive) keep_to_phrase(ret);
}

static void measure(const struct setup *s, struct private_ring *ring, uint32_t n_streams, uint32_t n_prompt, uint32_t n_tokens,
                    struct tally *t) {
    struct request requests[MAX_STREAMS];
    struct err e = {0};
    *t = (struct tally){.n_streams = n_streams};
    uint32_t n_vocab = private_ring_info(ring, 0)->n_vocab;
    for (uint32_t i = 0; i < n_streams; i++) make_request(s, n_vocab, n_prompt, n_tokens, &requests[i]);
    t->submitted = clock_now();
    if (private_ring_run(ring, requests, n_streams, on_event, t, &e) != ERR_OK) stop("run", &e);
    for (uint32_t i = 0; i < n_streams; i++) request_done(&requests[i]);
}

/* Puts the questions of a file, one after another; the sums of all are one measurement. */
static void measure_asked(const struct setup *s, struct private_ring *ring) {
    enum { LINE = 4096 };
    char line[LINE];
    struct tally all = {0};
    struct err e = {0};
    FILE *f = fopen(s->ask, "r");
    if (f == NULL) err_set(&e, ERR_IO, "cannot read it"), stop(s->ask, &e);
    while (fgets(line, sizeof(line), f) != NULL) {
        struct request r;
        struct tally t = {.n_streams = 1};
        size_t n = 0;
        request_init(&r);
        r.model = mem_strdup(s->model);
        r.parse_special = true;
        r.text = mem_strdup(line);
        for (const char *at = line; *at != '\0' && *at != '\n'; at++) {
            bool escaped = at[0] == '\\' && at[1] == 'n';
            r.text[n++] = escaped ? '\n' : *at;
            at += escaped;
        }
        r.text_len = n;
        r.max_tokens = (int32_t)s->n_decode;
        r.sampling.temperature = 0;
        if (private_ring_run(ring, &r, 1, on_event, &t, &e) != ERR_OK) stop("run", &e);
        request_done(&r);
        all.n_tokens += t.n_tokens - 1; /* the first one has waited for its prompt */
        all.decode_us += t.decode_us;
        all.n_guessed += t.n_guessed;
        all.n_accepted += t.n_accepted;
        all.n_own += t.n_own;
        all.n_own_accepted += t.n_own_accepted;
    }
    fclose(f);
    printf("{\"what\": \"decode\", \"n_stage\": %u, \"threads\": %u, \"streams\": 1, \"tokens\": %u, \"tok_s\": %.3f", s->n_stage,
           s->threads, all.n_tokens, all.n_tokens / ((double)all.decode_us / 1e6));
    printf(", \"guessed\": %u, \"accepted\": %u, \"mtp\": %u, \"mtp_accepted\": %u, \"stages\": []}\n", all.n_guessed, all.n_accepted,
           all.n_own, all.n_own_accepted);
    fflush(stdout);
}

static void print_stages(const struct tally *t) {
    printf(", \"stages\": [");
    for (uint32_t i = 0; i < t->n_hop; i++) {
        const struct request_hop *h = &t->hops[i];
        double n = h->frames > 0 ? h->frames : 1;
        printf("%s{\"stage\": %u, \"compute_ms\": %.3f, \"wait_ms\": %.3f, \"hop_us\": %.1f}", i > 0 ? ", " : "", h->stage,
               (double)h->compute_us / n / 1000, (double)h->wait_us / n / 1000, (double)h->hop_us / n);
    }
    printf("]}\n");
    fflush(stdout);
}

static void measure_decode(const struct setup *s, struct private_ring *ring, uint32_t n_streams) {
    struct tally t;
    measure(s, ring, n_streams, PROMPT, s->n_decode, &t);
    double seconds = (double)(t.ended - t.begun) / 1e6;
    printf("{\"what\": \"decode\", \"n_stage\": %u, \"threads\": %u, \"streams\": %u, \"tokens\": %u, \"tok_s\": %.3f", s->n_stage,
           s->threads, n_streams, t.n_tokens - t.n_first, (t.n_tokens - t.n_first) / seconds);
    printf(", \"guessed\": %u, \"accepted\": %u", t.n_guessed, t.n_accepted);
    print_stages(&t);
}

static void measure_prefill(const struct setup *s, struct private_ring *ring) {
    struct tally t;
    measure(s, ring, 1, s->n_prefill, 1, &t);
    double seconds = (double)(t.begun - t.submitted) / 1e6;
    printf("{\"what\": \"prefill\", \"n_stage\": %u, \"threads\": %u, \"streams\": 1, \"tokens\": %u, \"tok_s\": %.3f", s->n_stage,
           s->threads, s->n_prefill, s->n_prefill / seconds);
    print_stages(&t);
}

/* ---- memory ---- */

static void print_memory(const struct setup *s, const struct private_ring *ring, const struct model_gguf *g) {
    uint64_t weights = 0, kv = 0, compute = 0, all = 0;
    struct process_memory each[MAX_STAGES];
    size_t n = children_memory(each, MAX_STAGES);
    for (size_t i = 0; i < n; i++) all += each[i].share;
    for (uint32_t i = 0; i < s->n_stage; i++) {
        const struct engine_info *info = private_ring_info(ring, i);
        weights += info->bytes_weights;
        kv += info->bytes_kv;
        compute += info->bytes_compute;
    }
    FILE *f = fopen(model_gguf_path(g, 0), "rb");
    uint64_t model = f != NULL && fseek(f, 0, SEEK_END) == 0 ? (uint64_t)ftell(f) : 0;
    if (f != NULL) fclose(f);
    printf("{\"what\": \"memory\", \"n_stage\": %u, \"model_mb\": %.1f, \"kv_mb\": %.1f, \"weights_mb\": %.1f, \"compute_mb\": %.1f, "
           "\"stages_mb\": %.1f, \"ratio\": %.4f}\n",
           s->n_stage, (double)model / 1e6, (double)kv / 1e6, (double)weights / 1e6, (double)compute / 1e6, (double)all / 1e6,
           (double)all / (double)(model + kv));
    fflush(stdout);
}

/* ---- the ring ---- */

static uint16_t through_relay(void *user, uint16_t port) {
    struct setup *s = user;
    struct relay_config c = {.to = {.host = "127.0.0.1", .port = port}, .delay_us = s->delay_us, .bits_per_s = s->mbit * 1000000};
    struct err e = {0};
    uint16_t ret = port;
    if ((s->delay_us > 0 || s->mbit > 0) && relay_start(&c, &s->relay, &ret, &e) != ERR_OK) stop("the relay", &e);
    return ret;
}

static struct private_ring *start(struct setup *s, const struct model_gguf *g, struct err *e) {
    uint32_t most = 1;
    for (uint32_t i = 0; i < s->n_runs; i++) most = s->streams[i] > most ? s->streams[i] : most;
    uint32_t n_ctx = s->ask != NULL ? ASK_CTX : (s->n_prefill > PROMPT + s->n_decode ? s->n_prefill : PROMPT + s->n_decode) + 8;
    struct private_ring_config c = {.program = s->program,
                                    .path = model_gguf_path(g, 0),
                                    .model_id = model_gguf_id(g),
                                    .bounds = s->bounds,
                                    .n_stage = s->n_stage,
                                    .dtype = s->dtype,
                                    .options = {.spin_us = s->spin_us, .latency_ms = 200, .n_draft = s->n_draft},
                                    .via = through_relay,
                                    .via_user = s,
                                    .draft = s->draft_model};
    engine_load_init(&c.load);
    c.load.mtp = s->mtp;
    c.load.n_threads = s->threads;
    c.load.n_seq = most;
    c.load.n_ctx = n_ctx;
    c.load.n_batch = s->batch;
    snprintf(c.load.backends, sizeof(c.load.backends), "%s", os_backends_dir);
    struct private_ring *ring;
    if (private_ring_start(&c, &ring, e) != ERR_OK) stop("the ring", e);
    return ring;
}

/* Even slices, unless --split named them. */
static void cut(struct setup *s, uint32_t n_layer) {
    if (s->bounds[s->n_stage] == 0)
        for (uint32_t i = 0; i <= s->n_stage; i++) s->bounds[i] = (n_layer * i + s->n_stage - 1) / s->n_stage;
    struct err e = {.text = "the slices do not add up to the model's layers"};
    if (s->bounds[s->n_stage] != n_layer) stop("--split", &e);
}

static void run(struct setup *s) {
    struct model_gguf *g;
    struct model_layout *layout = NULL;
    struct err e = {0};
    if (model_gguf_open(s->model, &g, &e) != ERR_OK || model_layout_create(g, &layout, &e) != ERR_OK) stop("model", &e);
    cut(s, layout->n_layer);
    struct private_ring *ring = start(s, g, &e);
    if (s->wait) {
        fprintf(stderr, "ready\n");
        getchar();
    }
    for (uint32_t r = 0; r < s->repeat; r++) {
        if (s->ask != NULL) measure_asked(s, ring);
        for (uint32_t i = 0; i < s->n_runs && s->n_decode > 0 && s->ask == NULL; i++) measure_decode(s, ring, s->streams[i]);
        if (s->n_prefill > 0) measure_prefill(s, ring);
    }
    if (s->memory) print_memory(s, ring, g);
    private_ring_stop(ring);
    relay_stop(s->relay);
    model_layout_free(layout);
    model_gguf_free(g);
}

/* ---- the command line ---- */

/* "a,b,c" to numbers; how many. */
static uint32_t numbers(const char *text, uint32_t *ret, uint32_t most) {
    uint32_t n = 0;
    for (char *end; n < most && *text != '\0'; text = *end == ',' ? end + 1 : end) {
        ret[n] = (uint32_t)strtoul(text, &end, 10);
        if (end == text) break;
        n++;
    }
    return n;
}

static void set_split(struct setup *s, const char *text) {
    uint32_t layers[MAX_STAGES];
    s->n_stage = numbers(text, layers, MAX_STAGES);
    for (uint32_t i = 0; i < s->n_stage; i++) s->bounds[i + 1] = s->bounds[i] + layers[i];
}

static bool set_dtype(struct setup *s, const char *name) {
    static const char *const names[FRAME_DTYPE_COUNT] = {"f32", "f16", "bf16", "q8_0"};
    for (uint8_t i = 0; i < FRAME_DTYPE_COUNT; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        s->dtype = i;
        return true;
    }
    return false;
}

/* The program beside this one. */
static const char *default_program(void) {
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof "caravan");
    char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    if (slash == NULL) return "caravan";
    memcpy(slash + 1, "caravan", sizeof "caravan");
    return path;
}

static bool read_options(struct setup *s, int argc, char **argv) {
    static const struct option options[] = {
        {"program", 1, NULL, 'P'},    {"stages", 1, NULL, 'k'},  {"split", 1, NULL, 'l'},   {"threads", 1, NULL, 't'},
        {"decode", 1, NULL, 'n'},     {"streams", 1, NULL, 's'}, {"prefill", 1, NULL, 'p'}, {"spin", 1, NULL, 'u'},
        {"batch", 1, NULL, 'b'},      {"dtype", 1, NULL, 'd'},   {"repeat", 1, NULL, 'r'},  {"wait", 0, NULL, 'w'},
        {"delay-us", 1, NULL, 'D'},   {"mbit", 1, NULL, 'M'},    {"memory", 0, NULL, 'm'},  {"draft", 1, NULL, 'g'},
        {"repetitive", 0, NULL, 'R'}, {"mtp", 0, NULL, 'o'},     {"ask", 1, NULL, 'a'},     {"draft-model", 1, NULL, 'G'},
        {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'P': s->program = optarg; break;
        case 'k': s->n_stage = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'l': set_split(s, optarg); break;
        case 't': s->threads = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'n': s->n_decode = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 's': s->n_runs = numbers(optarg, s->streams, MAX_RUNS); break;
        case 'p': s->n_prefill = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'u': s->spin_us = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'b': s->batch = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'd':
            if (!set_dtype(s, optarg)) return false;
            break;
        case 'r': s->repeat = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'w': s->wait = true; break;
        case 'D': s->delay_us = strtoull(optarg, NULL, 10); break;
        case 'M': s->mbit = strtoull(optarg, NULL, 10); break;
        case 'm': s->memory = true; break;
        case 'g': s->n_draft = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'R': s->repetitive = true; break;
        case 'o': s->mtp = true; break;
        case 'a': s->ask = optarg; break;
        case 'G': s->draft_model = optarg; break;
        default: return false;
        }
    }
    if (optind + 1 != argc || s->n_stage < 1 || s->n_stage > MAX_STAGES || s->n_decode == 1) return false;
    for (uint32_t i = 0; i < s->n_runs; i++)
        if (s->streams[i] < 1 || s->streams[i] > MAX_STREAMS) return false;
    s->model = argv[optind];
    return true;
}

int main(int argc, char **argv) {
    struct stage_order defaults;
    stage_order_init(&defaults);
    struct setup s = {.program = default_program(),
                      .n_stage = DEFAULT_STAGES,
                      .threads = 1,
                      .streams = {1},
                      .n_runs = 1,
                      .repeat = 1,
                      .spin_us = defaults.options.spin_us};
    if (!read_options(&s, argc, argv)) {
        fprintf(stderr, "usage: ring_bench MODEL [--stages K | --split A,B] [--threads T] [--decode N] [--streams 1,2] [--prefill P]\n"
                        "                        [--spin US] [--batch N] [--dtype TYPE] [--repeat R] [--program CARAVAN] [--wait]\n"
                        "                        [--delay-us N] [--mbit N] [--memory] [--draft N] [--repetitive]\n"
                        "                        [--mtp] [--draft-model FILE] [--ask FILE]\n");
        return 2;
    }
    io_tls_startup();
    run(&s);
    return 0;
}
