/* SPDX-License-Identifier: MIT
 * A cached answer as bytes: the events of its choices (api/api.h) as they were given, and its usage. The answer's id, its model's name and
 * its times are not in it: the request that gets the answer writes its own. Tool calls have the ids that they were given, since the form of
 * an id belongs to the model. Pieces of text that follow one another become one.
 *
 * The bytes may come from a store that others write to. entry_open checks every length, number and order before anything is used; what
 * is not exactly as the writer makes it is refused. Little-endian:
 *
 *     "CRVA" | u8 version | u8 0 | u16 choices | i64 created | u64 prompt, completion, cached tokens | events
 *
 *     BEGIN      u8 0 | u32 prompt tokens | u32 cached tokens          opens the next choice
 *     TEXT       u8 1 | u16 n | u32 bytes | text | n tokens
 *     REASONING  u8 2 | u16 0 | u32 bytes | text
 *     CALL       u8 3 | u8 bytes | id | u16 bytes | name
 *     ARGUMENTS  u8 4 | u16 0 | u32 bytes | text
 *     CALL_END   u8 5 | u8 whole
 *     FINISH     u8 6 | u8 finish | u8 stop                            closes the choice; stop: 1 + the stop string's place, 0: none
 *     a token    u16 bytes | text | f32 logprob | u32 start | u32 end | u16 n | n x (u16 bytes | text | f32 logprob)
 *
 * One owner, any thread. */
#ifndef CARAVAN_CACHE_ENTRY_H
#define CARAVAN_CACHE_ENTRY_H

#include "api/api.h"

enum { ENTRY_MAX = 8 << 20 }; /* bytes of an answer that is worth keeping */

/* ---- writing ---- */

struct entry_choice;
struct entry_writer {
    struct entry_choice *choices; /* owned */
    uint32_t n_choices;
};
void entry_writer_init(struct entry_writer *w);
void entry_writer_done(struct entry_writer *w);
/* Takes an event of a choice. BEGIN begins the choice anew, whatever was there. stop, of a FINISH: the place of the stop string, or -1. */
void entry_add(struct entry_writer *w, const struct api_event *ev, int stop);
/* Appends the entry. ERR_LIMIT: it is longer than ENTRY_MAX. */
err_code entry_finish(const struct entry_writer *w, int64_t created, const struct api_usage *usage, struct buf *out);

/* ---- reading ---- */

struct entry {
    int64_t created; /* seconds since 1970 */
    struct api_usage usage;
    uint32_t n_choices;
    const uint8_t *events;
    size_t len;      /* of events */
};
/* Checks all of the bytes, which the entry then points into. ERR_FORMAT: they are no entry. */
err_code entry_open(const void *data, size_t len, struct entry *ret, struct err *e);
/* Gives the events in order; each is valid during the call. stop as in entry_add. A CALL has the id that it was recorded with. */
typedef void (*entry_fn)(void *user, const struct api_event *ev, int stop);
void entry_replay(const struct entry *entry, entry_fn fn, void *user);

#endif
