/* SPDX-License-Identifier: MIT
 * Adapters (LoRA): GGUF files with two small matrices for each matrix of a model that they change. A slice of the model needs those of its
 * layers, as a virtual file in which the layers have the slice's numbers. Pure but for the two functions that read files; any thread. */
#ifndef CARAVAN_MODEL_ADAPTER_H
#define CARAVAN_MODEL_ADAPTER_H

#include "base/buf.h"
#include "base/err.h"
#include "model/slice.h"

enum { MODEL_MAX_ADAPTERS = 8, MODEL_ADAPTER_PATH = 512, MODEL_ADAPTER_ID = 65, MODEL_MAX_SCALE = 1000 };

/* An adapter that a model is loaded with. */
struct model_adapter {
    char path[MODEL_ADAPTER_PATH];
    double scale;              /* of a request that says nothing of adapters */
    char id[MODEL_ADAPTER_ID]; /* by model_adapters_read */
};

/* "FILE[:SCALE],..."; "": none. ERR_INVALID, ERR_LIMIT. */
err_code model_adapters_parse(const char *text, struct model_adapter ret[MODEL_MAX_ADAPTERS], uint32_t *ret_n, struct err *e);
/* The same text, with absolute paths. Reads folders. ERR_NOT_FOUND: a file that isn't there; ERR_LIMIT: more than `size` bytes. */
err_code model_adapters_absolute(const char *text, char *ret, size_t size, struct err *e);

/* "FILE:SCALE,..." of them, which model_adapters_parse reads again. ERR_INVALID: a comma in a path; ERR_LIMIT: more than `size` bytes. */
err_code model_adapters_write(const struct model_adapter *list, uint32_t n, char *ret, size_t size, struct err *e);

/* Is this the header of an adapter, and not of a model? */
bool model_adapter_is(const struct model_gguf *g);
/* Is it an adapter for this model? ERR_UNSUPPORTED, ERR_INVALID: the error names the tensor or the key. */
err_code model_adapter_check(const struct model_gguf *adapter, const struct model_layout *l, struct err *e);
/* Opens the adapter's file and checks it. */
err_code model_adapter_open(const char *path, const struct model_layout *l, struct model_gguf **ret, struct err *e);
/* What identifies it, in the form of a model's id: a hash of its header and of samples of its bytes, since two adapters that were trained
 * alike have the same header. Reads the file. */
err_code model_adapter_id(const struct model_gguf *adapter, char ret[MODEL_ADAPTER_ID], struct err *e);
/* Adds the bytes that each layer of the model gets; those outside of the layers count for the first or the last. bytes: [n_layer]. */
void model_adapter_bytes(const struct model_gguf *adapter, const struct model_layout *l, uint64_t *bytes);
/* Reads the adapters that `text` names, as model_adapters_parse, and checks them against the model. fn (NULL: none) sees the header of
 * each. Reads files. */
typedef void (*model_adapter_fn)(void *user, const struct model_adapter *a, const struct model_gguf *g);
err_code model_adapters_read(const char *text, const struct model_layout *l, struct model_adapter ret[MODEL_MAX_ADAPTERS], uint32_t *ret_n,
                             model_adapter_fn fn, void *user, struct err *e);
/* The part of layers [first, end), as a slice for model_slice_open: a file that libllama takes for an adapter of that slice. It borrows
 * both. model_slice_info(s)->bytes_weights is 0 if the adapter changes nothing there. */
err_code model_adapter_slice(const struct model_gguf *adapter, const struct model_layout *l, uint32_t first, uint32_t end,
                             struct model_slice **ret, struct err *e);

#endif
