/* SPDX-License-Identifier: MIT
 * The real engine: a slice (or the whole) of a model in stock libllama, by its public C API alone.
 *
 * A later slice gets hidden states as llama_batch.embd; an earlier one hands out the tensor that its last layer made and ends
 * the graph there (docs/ARCHITECTURE.md, "Slices"). One thread opens, uses and closes it.
 * libllama may abort() in here: run it in a process of its own. It doesn't know rings, requests or schedules.
 *
 * KV cells. Usually one pool is shared by all sequences (libllama's "unified" cache): a batch of any mix of sequences is one
 * pass over the weights, and a copied prefix shares its cells. With `exact`, every sequence has a stream of cells of its own, where
 * position p stands in cell p whatever the neighbours do, and a batch is computed in parts of one class of shapes each: a run of one
 * sequence by itself, single tokens of different sequences in groups of at most 3 (only of sequences whose numbers follow one
 * another: so have the scheduler put neighbours side by side). There a prefix is copied, cell by cell. A few architectures work one
 * way only (tables/quirks.def). Either way there are n_ctx * n_seq cells: a sequence that keeps to n_ctx_seq positions finds room.
 *
 * Sliding windows and recurrent state keep only what the next token needs: info.can_remove is false then, and RM of a part, or CP
 * of a prefix, is refused (ERR_UNSUPPORTED) unless libllama still holds all of what that needs. With n_rewind it holds copies of a
 * recurrent state, for some architectures: the last info.n_rewind positions computed can be taken back. */
#ifndef CARAVAN_ENGINE_SLICE_H
#define CARAVAN_ENGINE_SLICE_H

#include <stdbool.h>

#include "base/err.h"
#include "engine/engine.h"
#include "engine/params.h"
#include "model/slice.h"

/* Loading has come to `fraction` (0 to 1); false stops it (ERR_CANCELLED). Called in the loading thread. */
typedef bool (*engine_progress_fn)(void *user, float fraction);

/* Loads the slice and makes its context. `slice` and `load` are borrowed during the call only; read/read_user as model_slice_open wants
 * them (NULL: the local files). progress may be NULL. On success close with ret->ops->close(ret->self).
 * ERR_INVALID names a bad parameter; ERR_NO_ROOM: libllama could not allocate; ERR_ENGINE: it refused, with its own words;
 * ERR_UNAVAILABLE: no backends. */
err_code engine_slice_open(const struct model_slice *slice, model_read_fn read, void *read_user, const struct engine_load *load,
                           engine_progress_fn progress, void *user, struct engine *ret, struct err *e);

#endif
