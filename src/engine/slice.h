/* SPDX-License-Identifier: MIT
 * The real engine: a slice (or the whole) of a model in stock libllama, by its public C API alone.
 *
 * A later slice gets hidden states as llama_batch.embd. An earlier slice hands out the output tensor of its last layer and ends the graph
 * there (docs/ARCHITECTURE.md, "Slices"). One thread opens, uses and closes a slice; only tokenize and tokenize_pair may run on a second
 * thread. libllama may abort() in these functions, so a slice needs a process of its own. A slice does not know rings, requests or
 * schedules.
 *
 * KV cells. Usually one pool is shared by all sequences (libllama's "unified" cache): a batch of any mix of sequences is one pass over the
 * weights, and a copied prefix shares its cells. With `exact`, every sequence has a stream of cells of its own, where position p is in cell
 * p whatever other sequences do. A batch is then computed in parts, each of one class of shapes: a run of one sequence alone, or single
 * tokens of up to 3 sequences. The sequences of such a group must have consecutive numbers, so the scheduler puts them side by side. A
 * prefix is then copied cell by cell. A few architectures work in only one of the two ways (tables/quirks.def). Either way the cells
 * are n_ctx times n_seq, so a sequence of at most n_ctx_seq positions always finds room.
 *
 * Sliding windows and recurrent state keep only the data that the next token needs: info.can_remove is false then, and RM of a part, or CP
 * of a prefix, is refused (ERR_UNSUPPORTED) unless libllama still holds all the states or cells that the operation needs. With n_rewind
 * libllama keeps copies of the recurrent state of some architectures, so the last info.n_rewind positions can be taken back. */
#ifndef CARAVAN_ENGINE_SLICE_H
#define CARAVAN_ENGINE_SLICE_H

#include <stdbool.h>

#include "base/err.h"
#include "engine/engine.h"
#include "engine/params.h"
#include "model/slice.h"

/* `fraction` (0 to 1) of the slice is loaded. Returning false stops loading (ERR_CANCELLED). Called in the loading thread. */
typedef bool (*engine_progress_fn)(void *user, float fraction);

/* Loads the slice and makes its context. `slice` and `load` are borrowed during the call only; read and read_user go to model_slice_open
 * (NULL: the local files). progress may be NULL. On success close with ret->ops->close(ret->self). ERR_INVALID names a bad parameter;
 * ERR_NO_ROOM: libllama could not allocate; ERR_ENGINE: libllama refused, with its own message; ERR_UNAVAILABLE: no backends. */
err_code engine_slice_open(const struct model_slice *slice, model_read_fn read, void *read_user, const struct engine_load *load,
                           engine_progress_fn progress, void *user, struct engine *ret, struct err *e);

/* What must be the same for the stored state of a sequence to fit: the libraries' versions, the processor's features, and how the slice
 * was loaded. Appended to out, as text. Call it after a slice has been opened. */
void engine_slice_format(const struct engine_load *load, struct buf *out);

/* Gives the first slice of a model the projector (a GGUF file, "mmproj") that makes rows of pictures and sounds; engine->info then says
 * which of them it takes. Once, in the thread that opened the slice. ERR_ENGINE: it does not fit the model. ERR_UNSUPPORTED: the slice is
 * not the first, or lacks layers that pictures reach into. */
err_code engine_slice_add_projector(struct engine *engine, const struct engine_load *load, const char *path, struct err *e);

/* Gives the slice its part of an adapter (model_adapter_slice of the same layers), which it numbers in this order, from 0. scale: for
 * sequences whose engine_sampling says nothing of adapters. In the thread that opened the slice, before its first batch. read and user as
 * in engine_slice_open. ERR_ENGINE: libllama refuses it. */
err_code engine_slice_add_adapter(struct engine *engine, const struct model_slice *adapter, model_read_fn read, void *user, double scale,
                                  struct err *e);

#endif
