/* SPDX-License-Identifier: MIT
 * Files in a client's chat, and pictures that are named by their address. Models of the cluster do not get them, and the parsers of the
 * APIs say so; an upstream may take them. So they are taken out of a body before it is parsed, and travel in the body as it came (ask.h).
 * Pure. */
#ifndef CARAVAN_CLOUD_PICTURES_H
#define CARAVAN_CLOUD_PICTURES_H

#include "base/json.h"

/* The body with a mark of text in the place of each of them (yyjson_doc_free); NULL: it has none. */
yyjson_doc *cloud_pictures_take(yyjson_val *root);

#endif
