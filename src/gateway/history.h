/* SPDX-License-Identifier: MIT
 * Samples over time, and what is kept of them: each sample for hours, the means of longer periods for weeks. A core: the time and the
 * figures are arguments, the rows to keep are results. A sample that says no more than that nothing goes on is not kept, so an idle node
 * writes nothing; a row without any figure says that the node was started then. Plain values, any thread. */
#ifndef CARAVAN_GATEWAY_HISTORY_H
#define CARAVAN_GATEWAY_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum history_series {
#define SERIES(id, name, kind, unit, help) HISTORY_##id,
#include "../../tables/series.def"
#undef SERIES
    HISTORY_SERIES
};

/* The steps in seconds, the short one and the long one; for how long rows of each are kept. */
enum { HISTORY_STEP = 5, HISTORY_LONG_STEP = 300, HISTORY_KEPT_S = 6 * 3600, HISTORY_LONG_KEPT_S = 30 * 86400 };

struct history_row {
    int64_t time;                  /* seconds since 1970, of its end */
    double values[HISTORY_SERIES]; /* NAN: there is none */
};

/* What has happened so far, as counters, and what is so now. The series' units; of COMPUTE and HOPS the sum of all frames. */
struct history_now {
    double values[HISTORY_SERIES];
    double frames; /* of COMPUTE and HOPS */
};

struct history {
    struct history_now before;
    int64_t at;              /* of before; 0: there was none */
    struct history_row last; /* that was kept */
    bool idle;               /* nothing was kept since, as nothing went on */
    struct history_row sum;  /* of the long period that ends at sum.time */
    double n[HISTORY_SERIES]; /* samples in it */
};

/* Takes a sample. Returns how many rows of the short step to keep (0 or 1: *ret). *ret_long is a row of the long step that is complete, if
 * *ret_has_long. The first sample gives the row without figures. */
bool history_add(struct history *h, int64_t now, const struct history_now *values, struct history_row *ret, struct history_row *ret_long,
                 bool *ret_has_long);
/* The long period that is not complete yet. false: it has no sample. */
bool history_rest(const struct history *h, struct history_row *ret);

struct history_words {
    const char *name, *unit, *help, *kind;
};
const struct history_words *history_words(enum history_series which);

#endif
