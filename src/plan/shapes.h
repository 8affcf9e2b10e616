/* SPDX-License-Identifier: MIT
 * Models without their weights: a GGUF header made from a named shape (tables/shapes.def) and a quantisation, in which every tensor has
 * the type that llama.cpp's own mixes give it; or the header of a file whose rest may be missing. The result is an ordinary model_gguf,
 * so plans on paper use the same code as real ones. No weights are read; any thread. */
#ifndef CARAVAN_PLAN_SHAPES_H
#define CARAVAN_PLAN_SHAPES_H

#include "base/buf.h"
#include "model/gguf.h"

/* "llama-70b:q4_k_m"; the default quantisation is q4_k_m. ERR_NOT_FOUND names the nearest shape, ERR_INVALID the quantisations. */
err_code shapes_open(const char *name, struct model_gguf **ret, struct err *e);
/* Is the part before ':' the name of a shape? */
bool shapes_known(const char *name);
/* A GGUF of which only the header must be there (an interrupted download, the first megabytes). */
err_code shapes_open_header(const char *path, struct model_gguf **ret, struct err *e);
/* All names, for people, separated by ", ". */
void shapes_list(struct buf *out);

#endif
