/* SPDX-License-Identifier: MIT
 * Models without their weights: a GGUF header made from a named shape (tables/shapes.def) and a quantisation, in which every tensor has
 * the type that llama.cpp's own mixes give it; or the header of a file whose rest may be missing. The result is an ordinary model_gguf,
 * so plans on paper use the same code as real ones. No weights are read; any thread. */
#ifndef CARAVAN_PAPER_SHAPES_H
#define CARAVAN_PAPER_SHAPES_H

#include "base/buf.h"
#include "model/gguf.h"

/* "llama-70b:q4_k_m"; without a quantisation: the format that the model is published in where that is a small one, else q4_k_m. Names
 * may be written as Ollama has them, with a colon before the size: "gpt-oss:20b". ERR_NOT_FOUND names the nearest shapes, ERR_INVALID the
 * quantisations. */
err_code shapes_open(const char *name, struct model_gguf **ret, struct err *e);
/* Is the part before the quantisation the name of a shape? */
bool shapes_known(const char *name);
/* The name without its quantisation, as it is listed: "gpt-oss-20b" for "gpt-oss:20b:q8_0". An unknown name is copied. */
void shapes_base(const char *name, char *ret, size_t size);
/* The quantisation that the name says, or else the one that it gets; "" for an unknown name. */
const char *shapes_quant(const char *name);
/* A GGUF of which only the header must be there (an interrupted download, the first megabytes). */
err_code shapes_open_header(const char *path, struct model_gguf **ret, struct err *e);
size_t shapes_count(void);
/* Further names: models whose numbers are those of another one, such as "llama-3.3-70b". */
size_t shapes_same_count(void);
const char *shapes_same_name(size_t i);
/* The name of a shape, constant. *ret_own: the format that it is published in ("mxfp4"), "" where people choose a quantisation. */
const char *shapes_name(size_t i, const char **ret_own);

#endif
