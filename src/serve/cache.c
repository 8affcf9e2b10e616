/* SPDX-License-Identifier: MIT
 * Options of the response cache. See cache.h. */
#include "serve/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "io/tls_client.h"

/* The first line of a file that only its owner may read. */
static err_code read_password(const char *path, char **ret, struct err *e) {
    char text[VALKEY_MAX_WORD + 2];
    err_code code = file_read_secret(path, "password of the cache server", text, sizeof(text), e);
    size_t len = code == ERR_OK ? strcspn(text, "\r\n") : 0;
    if (code != ERR_OK) return code;
    if (len == 0) return err_set(e, ERR_INVALID, "there is no password in the first line of \"%s\"", path);
    if (len > VALKEY_MAX_WORD) return err_set(e, ERR_LIMIT, "the password in \"%s\" is longer than %d bytes", path, VALKEY_MAX_WORD);
    *ret = mem_strndup(text, len);
    return ERR_OK;
}

static err_code find_password(const struct options *o, char **ret, struct err *e) {
    const char *path = option_text(o, OPT_CACHE_PASSWORD_FILE), *environment = getenv("CARAVAN_CACHE_PASSWORD");
    if (path[0] != '\0') return read_password(path, ret, e);
    *ret = mem_strdup(environment);
    return ERR_OK;
}

err_code serve_cache_read(const struct options *o, struct serve_cache *ret, struct err *e) {
    const char *url = option_text(o, OPT_CACHE_URL);
    err_code code = ERR_OK;
    bool meant = url[0] != '\0' && !option_is_set(o, OPT_CACHE); /* who names a server wants the cache */
    *ret = (struct serve_cache){.options = {.on = meant || strcmp(option_text(o, OPT_CACHE), "on") == 0,
                                            .ttl_s = option_int(o, OPT_CACHE_TTL),
                                            .size = option_size(o, OPT_CACHE_SIZE)}};
    if (!ret->options.on || url[0] == '\0') return ERR_OK;
    code = cache_valkey_address(url, &ret->server, e);
    if (code == ERR_OK) code = find_password(o, &ret->password, e);
    if (code == ERR_OK && ret->server.tls) code = io_tls_trust_create(option_text(o, OPT_CACHE_CA_FILE), &ret->options.trust, e);
    if (code != ERR_OK && ret->server.tls) err_prefix(e, "--cache-ca-file");
    ret->options.server = &ret->server;
    ret->options.password = ret->password;
    return code;
}

void serve_cache_done(struct serve_cache *c) {
    io_tls_trust_free(c->options.trust);
    free(c->password);
}
