/* SPDX-License-Identifier: MIT
 * `caravan perplexity`: how well the model, whole or in slices, predicts a text: exp of the mean negative log-likelihood of each token
 * given those before it in its window of --ctx tokens (windows do not overlap; only the second half of each counts, so that every counted
 * token has at least half a window of context). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "show/split.h"
#include "terminal/bar.h"

enum { BATCH = 256 };
#define MAX_TEXT (8u << 20)

struct scoring {
    const int32_t *window; /* its tokens */
    uint32_t n_window, first_counted;
    double sum;            /* of negative log-likelihoods */
    uint64_t n;
    struct bar bar;
    uint64_t n_seen, n_total; /* positions */
};

static double log_likelihood(const uint8_t *row, uint32_t n_vocab, int32_t token) {
    float max = -INFINITY, v;
    double sum = 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        memcpy(&v, row + 4 * (size_t)i, 4);
        if (v > max) max = v;
    }
    for (uint32_t i = 0; i < n_vocab; i++) {
        memcpy(&v, row + 4 * (size_t)i, 4);
        sum += exp((double)(v - max));
    }
    memcpy(&v, row + 4 * (size_t)token, 4);
    return (double)(v - max) - log(sum);
}

static void on_logits(void *user, const struct request_logits *l) {
    struct scoring *sc = user;
    for (uint32_t i = 0; i < l->n_rows; i++) {
        uint32_t next = l->pos + i + 1;
        if (next < sc->first_counted || next >= sc->n_window) continue;
        sc->sum -= log_likelihood(l->rows + (size_t)i * l->n_vocab * 4, l->n_vocab, sc->window[next]);
        sc->n++;
    }
    sc->n_seen += l->n_rows;
    bar_show(&sc->bar, sc->n_seen, sc->n_total);
}

static err_code score_window(struct private_ring *ring, struct scoring *sc, struct err *e) {
    struct request_eval ev;
    request_eval_init(&ev);
    ev.id = 1;
    ev.n_tokens = sc->n_window;
    ev.tokens = mem_calloc(sc->n_window, sizeof(*ev.tokens));
    memcpy(ev.tokens, sc->window, sc->n_window * sizeof(*ev.tokens));
    ev.batches = mem_calloc(sc->n_window / BATCH + 1, sizeof(*ev.batches));
    for (uint32_t at = 0; at < sc->n_window; at += BATCH) {
        uint32_t n = sc->n_window - at < BATCH ? sc->n_window - at : BATCH;
        ev.batches[ev.n_batches++] = (struct request_eval_batch){.n_tokens = n, .n_logits = n};
    }
    err_code code = private_ring_eval(ring, &ev, on_logits, sc, e);
    request_eval_done(&ev);
    return code;
}

static err_code score_text(const struct options *o, const struct split *s, const char *text, size_t len, struct scoring *sc,
                           struct err *e) {
    uint32_t n_ctx = (uint32_t)option_int(o, OPT_CTX);
    if (n_ctx == 0) n_ctx = s->layout->n_ctx_train && s->layout->n_ctx_train < 512 ? s->layout->n_ctx_train : 512;
    struct private_ring *ring;
    int32_t *tokens = NULL;
    size_t n = 0;
    err_code code = split_ring(o, s, s->n_stage == 1, n_ctx, &ring, e);
    if (code != ERR_OK) return code;
    code = private_ring_tokenize(ring, text, len, false, true, &tokens, &n, e);
    if (code == ERR_OK && n < n_ctx) code = err_set(e, ERR_INVALID, "the text has %zu tokens, a window of --ctx %u is wanted", n, n_ctx);
    sc->n_total = n - n % n_ctx;
    bar_init(&sc->bar, "perplexity", "positions");
    for (size_t at = 0; code == ERR_OK && at + n_ctx <= n; at += n_ctx) {
        sc->window = tokens + at;
        sc->n_window = n_ctx;
        sc->first_counted = n_ctx / 2;
        code = score_window(ring, sc, e);
    }
    bar_hide(&sc->bar);
    free(tokens);
    private_ring_stop(ring);
    return code;
}

err_code cli_perplexity(const struct options *o, int *exit_status, struct err *e) {
    (void)exit_status;
    struct split s = {0};
    struct scoring sc = {0};
    struct buf text;
    buf_init(&text, MAX_TEXT);
    err_code code = file_read(option_argument(o, 1), "text", &text, e);
    if (code == ERR_OK && text.len == 0) code = err_set(e, ERR_INVALID, "\"%s\" is empty", option_argument(o, 1));
    if (code == ERR_OK) code = split_open(o, option_argument(o, 0), &s, e);
    if (code == ERR_OK) code = score_text(o, &s, buf_cstr(&text), text.len, &sc, e);
    if (code == ERR_OK) {
        double perplexity = exp(sc.sum / (double)sc.n);
        if (option_flag(o, OPT_JSON))
            printf("{\"perplexity\":%.17g,\"tokens\":%llu,\"slices\":%u}\n", perplexity, (unsigned long long)sc.n, s.n_stage);
        else
            printf("perplexity %.4f over %llu tokens, in %u slice%s\n", perplexity, (unsigned long long)sc.n, s.n_stage,
                   s.n_stage == 1 ? "" : "s");
    }
    split_done(&s);
    buf_done(&text);
    return code;
}
