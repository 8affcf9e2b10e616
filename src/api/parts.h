/* SPDX-License-Identifier: MIT
 * Parts of a message that are not plain text: pictures, files, results of tools that ran on a server. A model of text gets their text. A
 * part without text is named in a placeholder, so that the conversation can go on. Pure. */
#ifndef CARAVAN_API_PARTS_H
#define CARAVAN_API_PARTS_H

#include "base/buf.h"
#include "base/json.h"

/* Appends the text of a part of any API, or its placeholder: "[image: image/png]". Plain text is appended as it is; everything else stands
 * on lines of its own. Parts nest at most as deep as json.h allows. */
void parts_append(yyjson_val *part, struct buf *out);

#endif
