/* SPDX-License-Identifier: MIT
 * See hub.h: names as people write them, and the parts common to all hubs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/str.h"
#include "pull/hub_priv.h"

static const char forms[] = "write hf:OWNER/REPO[:QUANT], ollama:NAME[:TAG], or an address that begins with https://";

/* Letters, digits, '.', '_', '-' and the characters of `more`; not empty, without "..", not too long. */
static bool word(const char *text, size_t len, const char *more, char ret[HUB_MAX_NAME]) {
    if (len == 0 || len >= HUB_MAX_NAME) return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
        if (!plain && !(c != '\0' && strchr(more, c))) return false;
        if (c == '.' && i + 1 < len && text[i + 1] == '.') return false;
    }
    memcpy(ret, text, len);
    ret[len] = '\0';
    return true;
}

static err_code bad(const char *text, const char *why, struct err *e) {
    err_set(e, ERR_INVALID, "\"%.200s\" names no model: %s", text, why);
    err_hint(e, "%s", forms);
    return ERR_INVALID;
}

/* OWNER/REPO[@REVISION][:QUANT] */
static err_code parse_hf(const char *text, const char *at, struct hub_ref *ret, struct err *e) {
    size_t repo = strcspn(at, "@:"), slash = strcspn(at, "/");
    ret->kind = HUB_HF;
    snprintf(ret->revision, sizeof(ret->revision), "main");
    if (slash == 0 || slash + 1 >= repo || memchr(at + slash + 1, '/', repo - slash - 1) || !word(at, repo, "/", ret->repo))
        return bad(text, "a repository is OWNER/REPO", e);
    at += repo;
    if (*at == '@') {
        size_t len = strcspn(++at, ":");
        if (!word(at, len, "/", ret->revision)) return bad(text, "there is no such revision", e);
        at += len;
    }
    if (*at == ':' && !word(at + 1, strlen(at + 1), "", ret->tag))
        return bad(text, "behind the colon stands a quantisation, such as Q4_K_M", e);
    return ERR_OK;
}

static err_code parse_ollama(const char *text, const char *at, struct hub_ref *ret, struct err *e) {
    size_t name = strcspn(at, ":");
    const char *tag = at[name] == ':' ? at + name + 1 : "latest";
    char full[HUB_MAX_NAME];
    ret->kind = HUB_OLLAMA;
    snprintf(full, sizeof(full), "%s%.*s", memchr(at, '/', name) ? "" : "library/", (int)(name < 180 ? name : 180), at);
    if (name > 180 || !word(full, strlen(full), "/", ret->repo) || strchr(strchr(ret->repo, '/') + 1, '/') || ret->repo[0] == '/' ||
        ret->repo[strlen(ret->repo) - 1] == '/')
        return bad(text, "a name is NAME or NAMESPACE/NAME", e);
    return word(tag, strlen(tag), "", ret->tag) ? ERR_OK : bad(text, "behind the colon stands a tag, such as 8b", e);
}

/* The part of a Hugging Face address after the host; NULL: another host. */
static const char *hf_page(const char *url) {
    static const char *const hosts[] = {"huggingface.co/", "www.huggingface.co/", "hf.co/"};
    const char *at = strstr(url, "://");
    at = at ? at + 3 : url;
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++)
        if (strncasecmp(at, hosts[i], strlen(hosts[i])) == 0) return at + strlen(hosts[i]);
    return NULL;
}

static err_code parse_url(const char *text, struct hub_ref *ret, struct err *e) {
    const char *page = hf_page(text), *blob = page ? strstr(page, "/blob/") : NULL;
    if (page && !blob && !strstr(page, "/resolve/")) { /* the page of a repository */
        char repo[HUB_MAX_NAME];
        const char *tree = strstr(page, "/tree/");
        size_t len = tree ? (size_t)(tree - page) : strlen(page);
        while (len > 0 && page[len - 1] == '/') len--;
        snprintf(repo, sizeof(repo), "%.*s", (int)(len < sizeof(repo) ? len : sizeof(repo) - 1), page);
        return parse_hf(text, repo, ret, e);
    }
    ret->kind = HUB_URL;
    if (strlen(text) + 8 >= sizeof(ret->url)) return bad(text, "the address is too long", e);
    if (strpbrk(text, " \t\r\n\"<>\\")) return bad(text, "there is a character in it that no address has", e);
    if (blob) snprintf(ret->url, sizeof(ret->url), "%.*s/resolve/%s", (int)(blob - text), text, blob + 6); /* its page, not the file */
    else snprintf(ret->url, sizeof(ret->url), "%s", text);
    return ERR_OK;
}

err_code hub_ref_parse(const char *text, struct hub_ref *ret, struct err *e) {
    *ret = (struct hub_ref){0};
    if (strncasecmp(text, "hf:", 3) == 0) return parse_hf(text, text + 3, ret, e);
    if (strncasecmp(text, "ollama:", 7) == 0) return parse_ollama(text, text + 7, ret, e);
    if (strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0) return parse_url(text, ret, e);
    if (hf_page(text)) return parse_hf(text, hf_page(text), ret, e);
    return bad(text, strchr(text, '/') ? "it doesn't say where" : "it is no address", e);
}

/* ---- files ---- */

void hub_files_done(struct hub_files *f) {
    free(f->files);
    *f = (struct hub_files){0};
}

bool hub_file_name(const char *path, size_t len, char ret[HUB_MAX_NAME]) {
    for (size_t i = len; i > 0; i--) {
        if (path[i - 1] != '/') continue;
        path += i;
        len -= i;
        break;
    }
    return len > 5 && strncasecmp(path + len - 5, ".gguf", 5) == 0 && path[0] != '.' && word(path, len, "+ ()[],=@", ret);
}

bool hub_part_of(const char *name, uint32_t *ret_part, uint32_t *ret_n, size_t *ret_stem) {
    size_t len = strlen(name), tail = strlen("-00001-of-00003.gguf");
    if (len <= tail) return false;
    const char *at = name + len - tail;
    uint64_t part, n;
    if (at[0] != '-' || memcmp(at + 6, "-of-", 4) != 0) return false;
    const char *first = at + 1, *second = at + 10;
    if (!str_take_u64(&first, &part) || first != at + 6 || !str_take_u64(&second, &n) || second != at + 15) return false;
    if (part < 1 || part > n || n > HUB_MAX_PARTS) return false;
    *ret_part = (uint32_t)part;
    *ret_n = (uint32_t)n;
    *ret_stem = len - tail;
    return true;
}

bool hub_is_sha256(const char *text) { return text && strlen(text) == 64 && strspn(text, "0123456789abcdefABCDEF") == 64; }

err_code hub_url_files(const struct hub_ref *r, struct hub_files *ret, struct err *e) {
    size_t path = strcspn(r->url, "?#"), stem;
    const char *start = strstr(r->url, "://") + 3;
    char name[HUB_MAX_NAME];
    uint32_t part, n;
    if ((size_t)(start - r->url) > path || !hub_file_name(start, path - (size_t)(start - r->url), name)) {
        err_set(e, ERR_INVALID, "\"%.200s\" is not the address of a GGUF file", r->url);
        err_hint(e, "its path has to end in a plain file name with .gguf");
        return ERR_INVALID;
    }
    bool split = hub_part_of(name, &part, &n, &stem);
    ret->n = split ? n : 1;
    ret->files = mem_calloc(ret->n, sizeof(*ret->files));
    size_t before = path - strlen(name); /* the file's name is the end of the path */
    for (uint32_t i = 0; i < ret->n; i++) {
        struct hub_file *f = &ret->files[i];
        if (split) snprintf(f->name, sizeof(f->name), "%.*s-%05u-of-%05u.gguf", (int)stem, name, i + 1, n);
        else memcpy(f->name, name, sizeof(name));
        snprintf(f->url, sizeof(f->url), "%.*s%s%s", (int)before, r->url, f->name, r->url + path);
    }
    return ERR_OK;
}
