/* SPDX-License-Identifier: MIT
 * See pictures.h. */
#include "cloud/pictures.h"

#include <string.h>

#include "api/media.h"

static bool has_type(yyjson_mut_val *v, const char *type) { return yyjson_mut_equals_str(yyjson_mut_obj_get(v, "type"), type); }

static bool is_address(yyjson_mut_val *url) { return yyjson_mut_is_str(url) && !api_media_is_data(yyjson_mut_get_str(url)); }

/* Of the parts of OpenAI's and Anthropic's chats, those that the parsers here don't read: files, and pictures that stand elsewhere. */
static bool is_elsewhere(yyjson_mut_val *part) {
    yyjson_mut_val *image = yyjson_mut_obj_get(part, "image_url");
    if (has_type(part, "image_url")) return is_address(yyjson_mut_is_obj(image) ? yyjson_mut_obj_get(image, "url") : image);
    if (has_type(part, "image")) return !has_type(yyjson_mut_obj_get(part, "source"), "base64");
    return has_type(part, "file");
}

/* Replaces such parts of one message. Returns whether there were any. */
static bool take_from(yyjson_mut_doc *doc, yyjson_mut_val *content) {
    yyjson_mut_val *part;
    size_t i, n;
    bool any = false;
    if (!yyjson_mut_is_arr(content)) return false;
    yyjson_mut_arr_foreach(content, i, n, part) {
        if (!is_elsewhere(part)) continue;
        yyjson_mut_obj_clear(part);
        yyjson_mut_obj_add_str(doc, part, "type", "text");
        yyjson_mut_obj_add_str(doc, part, "text", "[picture]");
        any = true;
    }
    return any;
}

static bool has_content(yyjson_val *messages) {
    yyjson_val *m;
    size_t i, n;
    yyjson_arr_foreach(json_some(messages), i, n, m) {
        if (yyjson_is_arr(yyjson_obj_get(m, "content"))) return true;
    }
    return false;
}

yyjson_doc *cloud_pictures_take(yyjson_val *root) {
    yyjson_mut_val *m;
    size_t i, n;
    bool any = false;
    if (!has_content(yyjson_obj_get(root, "messages"))) return NULL; /* most chats are texts alone: they aren't copied */
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_doc_set_root(doc, yyjson_val_mut_copy(doc, root));
    yyjson_mut_val *messages = yyjson_mut_obj_get(yyjson_mut_doc_get_root(doc), "messages");
    yyjson_mut_arr_foreach(messages, i, n, m) any |= take_from(doc, yyjson_mut_obj_get(m, "content"));
    yyjson_doc *taken = any ? yyjson_mut_doc_imut_copy(doc, NULL) : NULL;
    yyjson_mut_doc_free(doc);
    return taken;
}
