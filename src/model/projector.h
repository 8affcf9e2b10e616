/* SPDX-License-Identifier: MIT
 * Projectors: GGUF files ("mmproj") that make rows of pictures and sounds for one model. Which one belongs to a model, and what it needs,
 * is read from headers. Touches the file system: not on a loop. */
#ifndef CARAVAN_MODEL_PROJECTOR_H
#define CARAVAN_MODEL_PROJECTOR_H

#include "model/gguf.h"

enum { MODEL_PROJECTOR_PATH = 1024, MODEL_PROJECTOR_WORK = 128 << 20 };

struct model_projector {
    char path[MODEL_PROJECTOR_PATH]; /* "": there is none */
    uint64_t bytes;                  /* that it takes in memory: its file, and MODEL_PROJECTOR_WORK for a picture that is being read */
    uint32_t width;                  /* numbers of a row: the model's width; 0: the header doesn't tell */
    bool sees, hears;
    uint32_t together;               /* rows of a picture that have to be computed at once; 0: it may come in parts */
};

/* Is this the header of a projector, and not of a model? */
bool model_projector_is(const struct model_gguf *g);
/* Reads the header of a projector. ERR_UNSUPPORTED: it is something else. */
err_code model_projector_read(const char *path, struct model_projector *ret, struct err *e);
/* Could it be the projector of a model whose rows have n_embd numbers? ERR_INVALID: certainly not. */
err_code model_projector_check(const char *path, uint32_t n_embd, struct err *e);
/* Finds the projector of a model whose rows have n_embd numbers, in the folder of the model's file: of the files with "mmproj" in their
 * name and rows of this width the one whose name has most in common with the model's, and of those the largest, which is the most
 * precise. One whose name has more in common with that of another model there, which is as wide, belongs to that one. */
bool model_projector_find(const char *model_path, uint32_t n_embd, struct model_projector *ret);

#endif
