/* SPDX-License-Identifier: MIT
 * See pass.h. Signed data begins with 32 bytes that name its purpose, filled up with zeros, so that no signature can replace another. */
#include "wire/pass.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define MESSAGES_PASS
#include "base/field_tables.h"
#undef MESSAGES_PASS

enum {
    PURPOSE_SIZE = 32,
    WORD_SIZE = PURPOSE_SIZE + WIRE_PASS_INSTANCE + 8 + IO_SIGN_PUBLIC_SIZE,
    PROOF_SIZE = PURPOSE_SIZE + IO_TLS_EXPORT_SIZE,
};

/* 32 bytes purpose | 64 bytes instance, filled up with zeros | u64 epoch | 32 bytes the stage's public key */
static void word_text(const char *instance, uint64_t epoch, const uint8_t key[IO_SIGN_PUBLIC_SIZE], uint8_t ret[WORD_SIZE]) {
    memset(ret, 0, WORD_SIZE);
    snprintf((char *)ret, PURPOSE_SIZE, "caravan 1 stage");
    snprintf((char *)ret + PURPOSE_SIZE, WIRE_PASS_INSTANCE, "%s", instance);
    bytes_put_u64(ret + PURPOSE_SIZE + WIRE_PASS_INSTANCE, epoch);
    memcpy(ret + PURPOSE_SIZE + WIRE_PASS_INSTANCE + 8, key, IO_SIGN_PUBLIC_SIZE);
}

/* 32 bytes purpose, which names the signing end (so that a proof cannot be sent back) | 32 bytes of the connection */
static void proof_text(bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE], uint8_t ret[PROOF_SIZE]) {
    memset(ret, 0, PROOF_SIZE);
    snprintf((char *)ret, PURPOSE_SIZE, "caravan 1 link %s", dialled ? "client" : "server");
    memcpy(ret + PURPOSE_SIZE, binding, IO_TLS_EXPORT_SIZE);
}

void wire_pass_make(const uint8_t node_secret[IO_SIGN_SECRET_SIZE], const char *instance, uint64_t epoch, struct wire_pass *ret) {
    uint8_t key[IO_SIGN_PUBLIC_SIZE], text[WORD_SIZE];
    io_tls_random(ret->secret, sizeof(ret->secret));
    io_sign_public(ret->secret, key);
    io_sign_public(node_secret, ret->node);
    word_text(instance, epoch, key, text);
    io_sign_make(node_secret, text, sizeof(text), ret->word);
}

void wire_pass_prove(const struct wire_pass *p, bool dialled, const uint8_t binding[IO_TLS_EXPORT_SIZE], struct wire_proof *ret) {
    uint8_t text[PROOF_SIZE];
    memcpy(ret->node, p->node, sizeof(ret->node));
    memcpy(ret->word, p->word, sizeof(ret->word));
    io_sign_public(p->secret, ret->key);
    proof_text(dialled, binding, text);
    io_sign_make(p->secret, text, sizeof(text), ret->proof);
}

err_code wire_proof_check(const struct wire_proof *p, uint64_t node, const char *instance, uint64_t epoch, bool dialled,
                          const uint8_t binding[IO_TLS_EXPORT_SIZE], struct err *e) {
    uint8_t word[WORD_SIZE], proof[PROOF_SIZE];
    if (node != 0 && io_sign_id(p->node) != node)
        return err_set(e, ERR_AUTH, "the other side is node %016llx, this link is for node %016llx",
                       (unsigned long long)io_sign_id(p->node), (unsigned long long)node);
    word_text(instance, epoch, p->key, word);
    if (!io_sign_check(p->node, word, sizeof(word), p->word))
        return err_set(e, ERR_AUTH, "the other side's key is not its node's word for this instance and epoch");
    proof_text(dialled, binding, proof);
    return io_sign_check(p->key, proof, sizeof(proof), p->proof) ? ERR_OK
                                                                 : err_set(e, ERR_AUTH, "the other side could not prove its identity");
}
