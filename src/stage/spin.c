/* SPDX-License-Identifier: MIT
 * See spin.h. */
#include "stage/spin.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

enum {
    GAP_WEIGHT = 8,    /* the mean goes an eighth of the way to each new gap */
    GAP_MOST = 2,      /* a gap counts at most as this many spin limits, so that the mean soon forgets a pause between requests */
    SLACK_US = 100,    /* added to twice the mean gap */
    LOOK_US = 50,      /* a look takes a few microseconds; if one takes longer than this, another thread had the core */
    SHARED_US = 300,   /* the core is shared if others take more than this in one spin */
    OFF_US = 250000,   /* time without spinning after a shared core */
};

void stage_spin_init(struct stage_spin *s, uint32_t limit_us, uint32_t threads, uint32_t cores) {
    *s = (struct stage_spin){.limit_us = threads > cores ? 0 : limit_us, .gap_us = limit_us / 4};
}

void stage_spin_begin(struct stage_spin *s, clock_us now) {
    s->start = s->last = now;
    s->lost = 0;
    bool off = s->limit_us == 0 || now < s->off_until || s->gap_us > s->limit_us;
    uint32_t want = 2 * s->gap_us + SLACK_US;
    s->budget_us = off ? 0 : want < s->limit_us ? want : s->limit_us;
}

bool stage_spin_more(struct stage_spin *s, clock_us now) {
    if (now - s->last > LOOK_US) s->lost += now - s->last;
    s->last = now;
    if (s->lost > SHARED_US) {
        s->off_until = now + OFF_US;
        return false;
    }
    return now - s->start < s->budget_us;
}

void stage_spin_end(struct stage_spin *s, clock_us now, bool frame) {
    clock_us gap = now - s->start, most = (clock_us)GAP_MOST * s->limit_us;
    if (frame) {
        gap = gap < most ? gap : most;
        s->gap_us = (uint32_t)((int64_t)s->gap_us + ((int64_t)gap - (int64_t)s->gap_us) / GAP_WEIGHT);
    }
}

/* ---- power ---- */

/* Is `word` the first word of the file folder/supply/name? */
static bool says(const char *folder, const char *supply, const char *name, const char *word) {
    char path[512], text[32] = "";
    snprintf(path, sizeof(path), "%s/%s/%s", folder, supply, name);
    FILE *f = fopen(path, "re");
    if (f == NULL) return false;
    bool read = fgets(text, sizeof(text), f) != NULL;
    fclose(f);
    text[strcspn(text, "\n")] = '\0';
    return read && strcmp(text, word) == 0;
}

bool stage_spin_on_battery(const char *folder) {
    DIR *d = opendir(folder);
    bool discharging = false;
    for (const struct dirent *entry; d != NULL && !discharging && (entry = readdir(d)) != NULL;) {
        /* scope Device: the battery of a mouse or a headset */
        discharging = says(folder, entry->d_name, "type", "Battery") && says(folder, entry->d_name, "status", "Discharging") &&
                      !says(folder, entry->d_name, "scope", "Device");
    }
    if (d != NULL) closedir(d);
    return discharging;
}
