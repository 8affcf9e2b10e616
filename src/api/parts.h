/* SPDX-License-Identifier: MIT
 * Parts of a message that are not text (pictures, files, results of tools that ran on a server). A model of text is told their text; what
 * has none is named in a placeholder, so that a conversation that holds such a part goes on. Pure. */
#ifndef CARAVAN_API_PARTS_H
#define CARAVAN_API_PARTS_H

#include "base/buf.h"
#include "base/json.h"

/* Appends the text of a part of any API, or its placeholder: "[image: image/png]". Plain text is appended as it is; everything else stands
 * on lines of its own. Parts nest at most as deep as json.h allows. */
void parts_append(yyjson_val *part, struct buf *out);

#endif
