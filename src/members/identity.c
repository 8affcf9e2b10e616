/* SPDX-License-Identifier: MIT
 * See identity.h. The file: the secret key as 64 hexadecimal digits, and on the next line the number of starts. The lock is a file beside
 * it, since the file itself is replaced at each start. */
#include "members/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

static void identity_complete(struct identity *id) {
    io_sign_public(id->secret, id->public_key);
    id->id = io_sign_id(id->public_key);
}

void identity_make(struct identity *ret) {
    memset(ret, 0, sizeof(*ret));
    ret->lock_fd = -1;
    io_tls_random(ret->secret, sizeof(ret->secret));
    io_tls_random(&ret->session, sizeof(ret->session));
    identity_complete(ret);
}

void identity_done(struct identity *id) {
    if (id->lock_fd >= 0) close(id->lock_fd);
    memset(id, 0, sizeof(*id));
    id->lock_fd = -1;
}

/* ---- the file ---- */

static err_code identity_write(const char *path, const struct identity *id, struct err *e) {
    char text[2 * IO_SIGN_SECRET_SIZE + 32];
    str_hex(id->secret, sizeof(id->secret), text);
    snprintf(text + 2 * IO_SIGN_SECRET_SIZE, 32, "\n%llu\n", (unsigned long long)id->incarnation);
    err_code code = file_write(path, text, strlen(text), e);
    if (code != ERR_OK) err_prefix(e, "this node's identity");
    return code;
}

static err_code identity_parse(const char *path, char *text, struct identity *ret, struct err *e) {
    char *line = strchr(text, '\n');
    int64_t starts = 0;
    if (line) *line++ = '\0';
    if (line) line[strcspn(line, "\n")] = '\0';
    if (!line || !str_unhex(text, ret->secret, sizeof(ret->secret)) || !str_parse_i64(line, &starts) || starts < 0) {
        err_set(e, ERR_FORMAT, "\"%s\" is damaged: expected a secret key of 64 hexadecimal digits and a number", path);
        err_hint(e, "remove the file: the node then gets a new identity");
        return ERR_FORMAT;
    }
    ret->incarnation = (uint64_t)starts;
    identity_complete(ret);
    return ERR_OK;
}

/* ERR_NOT_FOUND when there is no file. */
static err_code identity_read(const char *path, struct identity *ret, struct err *e) {
    char text[256];
    err_code code = file_read_secret(path, "this node's identity", text, sizeof(text), e);
    return code == ERR_OK ? identity_parse(path, text, ret, e) : code;
}

static err_code identity_lock(const char *path, int *ret_fd, struct err *e) {
    char *lock = mem_printf("%s.lock", path);
    err_code code = file_make_folders(path, e);
    int fd = code == ERR_OK ? open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (code == ERR_OK && fd < 0) code = err_set_errno(e, ERR_IO, errno, "cannot make \"%s\"", lock);
    if (code != ERR_OK) err_hint(e, "this user must be able to write into the state folder; --state-dir DIR takes another one");
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        code = ERR_BUSY;
        close(fd);
    }
    free(lock);
    if (code == ERR_OK) *ret_fd = fd;
    return code;
}

err_code identity_open(const char *path, struct identity *ret, bool *ret_shared, struct err *e) {
    struct identity id;
    int fd = -1;
    *ret_shared = false;
    identity_make(&id);
    err_code code = identity_lock(path, &fd, e);
    if (code == ERR_BUSY) {
        *ret_shared = true;
        *ret = id;
        return ERR_OK;
    }
    if (code == ERR_OK) code = identity_read(path, &id, e);
    if (code == ERR_NOT_FOUND) code = ERR_OK;
    id.incarnation++;
    if (code == ERR_OK) code = identity_write(path, &id, e);
    if (code != ERR_OK) {
        if (fd >= 0) close(fd);
        return code;
    }
    id.lock_fd = fd;
    *ret = id;
    return ERR_OK;
}

err_code identity_peek(const char *path, struct identity *ret, struct err *e) {
    identity_make(ret);
    err_code code = identity_read(path, ret, e);
    return code == ERR_NOT_FOUND ? ERR_OK : code;
}

/* ---- the proof ---- */

enum { PROOF_SIZE = 32 + IO_TLS_EXPORT_SIZE };

/* The text that is signed: which end signs (so that a proof cannot be sent back), and the connection's own value. */
static void proof_text(bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE], uint8_t ret[PROOF_SIZE]) {
    memset(ret, 0, PROOF_SIZE);
    snprintf((char *)ret, 32, "caravan 1 identity %s", dialled ? "client" : "server");
    memcpy(ret + 32, binding, IO_TLS_EXPORT_SIZE);
}

void identity_sign(const struct identity *id, bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE], uint8_t ret[IO_SIGN_SIZE]) {
    uint8_t text[PROOF_SIZE];
    proof_text(dialled, binding, text);
    io_sign_make(id->secret, text, sizeof(text), ret);
}

bool identity_check(const uint8_t public_key[IO_SIGN_PUBLIC_SIZE], bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE],
                    const uint8_t proof[IO_SIGN_SIZE]) {
    uint8_t text[PROOF_SIZE];
    proof_text(dialled, binding, text);
    return io_sign_check(public_key, text, sizeof(text), proof);
}

void identity_greet(const struct identity *id, bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE], struct wire_node *ret) {
    field_init(wire_node_fields(), ret);
    ret->node = id->id;
    ret->incarnation = id->incarnation;
    ret->session = id->session;
    snprintf(ret->software, sizeof(ret->software), "%s", CARAVAN_VERSION);
    memcpy(ret->key, id->public_key, sizeof(ret->key));
    identity_sign(id, dialled, binding, ret->proof);
}

err_code identity_check_greeting(const struct wire_node *hello, bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE], struct err *e) {
    if (!identity_check(hello->key, dialled, binding, hello->proof)) return err_set(e, ERR_AUTH, "the node could not prove its identity");
    if (hello->node != io_sign_id(hello->key)) return err_set(e, ERR_PROTOCOL, "the node's id does not belong to its key");
    return ERR_OK;
}
