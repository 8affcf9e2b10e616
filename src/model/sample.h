/* SPDX-License-Identifier: MIT
 * What identifies the weights of a model file: a hash over its id (that of its header) and samples of its tensors' bytes. Two models that
 * were trained further from one model often have the same header; their weights differ nearly everywhere. Reads the file, so it may block;
 * any thread. */
#ifndef CARAVAN_MODEL_SAMPLE_H
#define CARAVAN_MODEL_SAMPLE_H

#include "model/gguf.h"

/* TENSORS: at most so many are looked at, spread over all. BYTES: from the middle of each. */
enum { MODEL_SAMPLE_TENSORS = 256, MODEL_SAMPLE_BYTES = 1024, MODEL_SAMPLE_SIZE = 33 };

/* 32 hex digits. ERR_IO, ERR_NOT_FOUND: a part of the model cannot be read, or has been cut. */
err_code model_sample(const struct model_gguf *g, char ret[MODEL_SAMPLE_SIZE], struct err *e);

#endif
