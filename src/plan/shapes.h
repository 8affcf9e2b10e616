/* SPDX-License-Identifier: MIT
 * Models without their weights: the header of a GGUF made from a named shape (tables/shapes.def) and a quantisation, with every tensor in
 * the type that llama.cpp's own mixes give it; or the header at the beginning of a file whose rest may be missing. What comes out is a
 * model_gguf like any other, so that plans on paper go the same way as real ones. No weights are read; any thread. */
#ifndef CARAVAN_PLAN_SHAPES_H
#define CARAVAN_PLAN_SHAPES_H

#include "base/buf.h"
#include "model/gguf.h"

/* "llama-70b:q4_k_m"; without a quantisation q4_k_m is meant. ERR_NOT_FOUND names the nearest shape, ERR_INVALID the quantisations. */
err_code shapes_open(const char *name, struct model_gguf **ret, struct err *e);
/* Is the part before ':' the name of a shape? */
bool shapes_known(const char *name);
/* A GGUF of which only the header has to be there (a download that broke off, the first megabytes). */
err_code shapes_open_header(const char *path, struct model_gguf **ret, struct err *e);
/* All names, for people, separated by ", ". */
void shapes_list(struct buf *out);

#endif
