/* SPDX-License-Identifier: MIT */
#include "model/template.h"

#include <string.h>

#include "base/mem.h"

/* The text of a key, without its last line break, which a template engine drops. */
static bool find_text(const struct model_gguf *g, const char *key, const char **ret, size_t *ret_len) {
    if (!model_kv_str(model_gguf_find(g, key), ret, ret_len) || *ret_len == 0) return false;
    if ((*ret)[*ret_len - 1] == '\n') --*ret_len;
    return true;
}

char *model_template_make(const struct model_gguf *g, size_t max) {
    /* The signs + keep the blanks on both sides of the tags. */
    static const char before[] = "{% if tools +%}", between[] = "{%+ else +%}", behind[] = "{%+ endif %}";
    const char *plain = NULL, *tools = NULL;
    size_t plain_len = 0, tools_len = 0, words = sizeof(before) + sizeof(between) + sizeof(behind);
    bool has_plain = find_text(g, "tokenizer.chat_template", &plain, &plain_len);
    bool has_tools = find_text(g, "tokenizer.chat_template.tool_use", &tools, &tools_len);
    bool both = has_plain && has_tools && tools_len <= max && plain_len <= max && tools_len + plain_len + words <= max;
    if (both) return mem_printf("%s%.*s%s%.*s%s", before, (int)tools_len, tools, between, (int)plain_len, plain, behind);
    if (!has_plain) {
        plain = tools;
        plain_len = tools_len;
    }
    return (has_plain || has_tools) && plain_len <= max ? mem_strndup(plain, plain_len) : NULL;
}
