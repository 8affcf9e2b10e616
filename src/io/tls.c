/* SPDX-License-Identifier: MIT
 * The TLS context of streams and pumps: the pre-shared key, the suites, and OpenSSL's errors in words. */
#include "io/tls.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "io/tls_priv.h"
#include "os/os.h"

/* The PSK identity is this text and the key's id as 16 hexadecimal digits. */
static const char PSK_PREFIX[] = "caravan 1 ";
enum { PSK_SIZE = sizeof(PSK_PREFIX) - 1 + 16 };
static const unsigned char AES_128_GCM[2] = {0x13, 0x01};

static pthread_once_t startup_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *port_method;

/* ---- the BIO over a tls_port ---- */

static int port_read(BIO *b, char *data, size_t len, size_t *ret_n) {
    struct tls_port *p = BIO_get_data(b);
    ssize_t n = p->take(p, data, len);
    BIO_clear_retry_flags(b);
    if (n == 0) p->ended = true;
    if (n == TLS_PORT_AGAIN) BIO_set_retry_read(b);
    *ret_n = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static int port_write(BIO *b, const char *data, size_t len, size_t *ret_n) {
    struct tls_port *p = BIO_get_data(b);
    ssize_t n = p->give(p, data, len);
    BIO_clear_retry_flags(b);
    if (n == TLS_PORT_AGAIN) BIO_set_retry_write(b);
    *ret_n = n > 0 ? (size_t)n : 0;
    return n > 0;
}

static long port_ctrl(BIO *b, int command, long number, void *pointer) {
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_FLUSH) return 1;
    if (command == BIO_CTRL_EOF) return ((struct tls_port *)BIO_get_data(b))->ended;
    return 0;
}

static void startup(void) {
    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    port_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "caravan");
    if (port_method == NULL) abort();
    BIO_meth_set_read_ex(port_method, port_read);
    BIO_meth_set_write_ex(port_method, port_write);
    BIO_meth_set_ctrl(port_method, port_ctrl);
}

void io_tls_startup(void) { pthread_once(&startup_once, startup); }

/* ---- keys ---- */

static void must(bool ok, const char *what) {
    if (ok) return;
    fprintf(stderr, "caravan: OpenSSL cannot %s\n", what);
    abort();
}

void io_tls_derive(const uint8_t key[IO_TLS_KEY_SIZE], const char *label, uint8_t ret[IO_TLS_KEY_SIZE]) {
    io_tls_startup();
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *c = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key, IO_TLS_KEY_SIZE),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)label, strlen(label)),
        OSSL_PARAM_construct_end(),
    };
    must(c != NULL && EVP_KDF_derive(c, ret, IO_TLS_KEY_SIZE, params) == 1, "derive a key (HKDF)");
    EVP_KDF_CTX_free(c);
    EVP_KDF_free(kdf);
}

void io_tls_random(void *out, size_t len) {
    io_tls_startup();
    must(len <= INT32_MAX && RAND_bytes(out, (int)len) == 1, "get random bytes");
}

uint64_t io_tls_key_id(const uint8_t link_key[IO_TLS_KEY_SIZE]) {
    uint8_t hash[IO_TLS_KEY_SIZE];
    io_tls_derive(link_key, "caravan 1 key id", hash);
    uint64_t id = bytes_get_u64(hash);
    return id != 0 ? id : 1;
}

static void psk_identity(uint64_t id, char ret[PSK_SIZE + 1]) {
    snprintf(ret, PSK_SIZE + 1, "%s%016llx", PSK_PREFIX, (unsigned long long)id);
}

static bool ctx_key(SSL *ssl, bool old, struct tls_key *ret) {
    struct io_tls_ctx *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    pthread_mutex_lock(&ctx->lock);
    *ret = ctx->keys[old && ctx->keys[1].id != 0];
    pthread_mutex_unlock(&ctx->lock);
    return ret->id != 0;
}

/* The session object by which OpenSSL takes an external key. The suite in it only says which hash the key belongs to. */
static SSL_SESSION *session_of_key(SSL *ssl, struct tls_key *key) {
    SSL_SESSION *s = SSL_SESSION_new();
    const SSL_CIPHER *suite = SSL_CIPHER_find(ssl, AES_128_GCM);
    bool ok = s != NULL && suite != NULL && SSL_SESSION_set1_master_key(s, key->key, sizeof(key->key)) &&
              SSL_SESSION_set_cipher(s, suite) && SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION);
    ((struct tls_port *)SSL_get_app_data(ssl))->key_id = key->id;
    OPENSSL_cleanse(key, sizeof(*key));
    if (ok) return s;
    SSL_SESSION_free(s);
    return NULL;
}

static int client_key(SSL *ssl, const EVP_MD *hash, const unsigned char **ret_id, size_t *ret_len, SSL_SESSION **ret) {
    *ret = NULL;
    if (hash != NULL && !EVP_MD_is_a(hash, "SHA256")) return 1;
    struct tls_port *port = SSL_get_app_data(ssl);
    struct tls_key key;
    /* OpenSSL asks twice if the server wants another hello: give the same key both times. */
    if (!port->asked && !ctx_key(ssl, port->use_old_key, &port->offered)) return 1;
    port->asked = true;
    key = port->offered;
    psk_identity(key.id, port->identity);
    *ret = session_of_key(ssl, &key);
    *ret_id = (const unsigned char *)port->identity;
    *ret_len = PSK_SIZE;
    return *ret != NULL;
}

/* The key, the present or the old one, that a client's identity names. */
static bool find_key(SSL *ssl, const unsigned char *id, size_t len, struct tls_key *ret) {
    for (int old = 0; old < 2; old++) {
        char identity[PSK_SIZE + 1];
        if (!ctx_key(ssl, old, ret)) continue;
        psk_identity(ret->id, identity);
        if (len == PSK_SIZE && memcmp(id, identity, len) == 0) return true;
    }
    OPENSSL_cleanse(ret, sizeof(*ret));
    return false;
}

static int server_key(SSL *ssl, const unsigned char *id, size_t len, SSL_SESSION **ret) {
    struct tls_key key;
    /* an unknown identity: no key; the handshake then fails, since there are no certificates */
    *ret = find_key(ssl, id, len, &key) ? session_of_key(ssl, &key) : NULL;
    return 1;
}

/* Refuses a node of another cluster by the alert that RFC 8446 section 6.2 has for that: it tells nodes from all other servers of TLS.
 * Without this, OpenSSL would go on without a key, and end with the alert of a server that has no certificate. */
static int server_hello(SSL *ssl, int *ret_alert, void *unused) {
    (void)unused;
    const unsigned char *psk;
    size_t len;
    struct tls_key key;
    /* A list of identities: its length, then the length and bytes of the first one (section 4.2.11); nodes send one. */
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &psk, &len) != 1 || len < 4 + PSK_SIZE || psk[2] != 0 || psk[3] != PSK_SIZE)
        return SSL_CLIENT_HELLO_SUCCESS;
    if (memcmp(psk + 4, PSK_PREFIX, sizeof(PSK_PREFIX) - 1) != 0 || find_key(ssl, psk + 4, PSK_SIZE, &key)) {
        OPENSSL_cleanse(&key, sizeof(key));
        return SSL_CLIENT_HELLO_SUCCESS;
    }
    *ret_alert = SSL_AD_UNKNOWN_PSK_IDENTITY;
    return SSL_CLIENT_HELLO_ERROR;
}

void tls_export(SSL *ssl, const char *label, uint8_t ret[IO_TLS_EXPORT_SIZE]) {
    must(SSL_export_keying_material(ssl, ret, IO_TLS_EXPORT_SIZE, label, strlen(label), NULL, 0, 0) == 1, "export keying material");
}

/* ---- the context ---- */

bool tls_ctx_force_suite(struct io_tls_ctx *ctx, const char *suite) { return SSL_CTX_set_ciphersuites(ctx->ssl, suite) == 1; }

static bool configure(struct io_tls_ctx *ctx) {
    SSL_CTX *c = ctx->ssl;
    bool aes = os_cpu_has_aes();
    /* Both suites have the key's hash. AES where both ends have it in hardware: a side without it prefers ChaCha20, and as the server it
     * insists. */
    uint64_t options = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | (aes ? 0 : SSL_OP_CIPHER_SERVER_PREFERENCE);
    bool ok = SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION) && SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) &&
              SSL_CTX_set_ciphersuites(c, aes ? "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
                                              : "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256") &&
              SSL_CTX_set1_groups_list(c, "X25519") && SSL_CTX_set_num_tickets(c, 0) && SSL_CTX_set_max_early_data(c, 0);
    SSL_CTX_set_options(c, options);
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(c, 1);
    SSL_CTX_set_default_read_buffer_len(c, TLS_READ_BUFFER);
    SSL_CTX_set_psk_use_session_callback(c, client_key);
    SSL_CTX_set_psk_find_session_callback(c, server_key);
    SSL_CTX_set_client_hello_cb(c, server_hello, NULL);
    SSL_CTX_set_app_data(c, ctx);
    return ok;
}

struct io_tls_ctx *io_tls_ctx_create(const uint8_t link_key[IO_TLS_KEY_SIZE], struct err *e) {
    io_tls_startup();
    struct io_tls_ctx *ctx = MEM_NEW(struct io_tls_ctx);
    pthread_mutex_init(&ctx->lock, NULL);
    io_tls_ctx_set_keys(ctx, link_key, NULL);
    ctx->records_per_key = UINT64_C(1) << 23; /* a third of the 24 million that AES-GCM is good for */
    ctx->ssl = SSL_CTX_new(TLS_method());
    if (ctx->ssl != NULL && configure(ctx)) return ctx;
    io_tls_ctx_free(ctx);
    err_set(e, ERR_INTERNAL, "cannot set up TLS: %s", ERR_reason_error_string(ERR_peek_last_error()));
    ERR_clear_error();
    return NULL;
}

void io_tls_ctx_free(struct io_tls_ctx *ctx) {
    if (ctx == NULL) return;
    SSL_CTX_free(ctx->ssl);
    OPENSSL_cleanse(ctx->keys, sizeof(ctx->keys));
    pthread_mutex_destroy(&ctx->lock);
    free(ctx);
}

void io_tls_ctx_set_keys(struct io_tls_ctx *ctx, const uint8_t link_key[IO_TLS_KEY_SIZE], const uint8_t *old_key) {
    struct tls_key keys[2] = {{.id = io_tls_key_id(link_key)}, {.id = old_key != NULL ? io_tls_key_id(old_key) : 0}};
    memcpy(keys[0].key, link_key, IO_TLS_KEY_SIZE);
    if (old_key != NULL) memcpy(keys[1].key, old_key, IO_TLS_KEY_SIZE);
    pthread_mutex_lock(&ctx->lock);
    memcpy(ctx->keys, keys, sizeof(keys));
    pthread_mutex_unlock(&ctx->lock);
    OPENSSL_cleanse(keys, sizeof(keys));
}

uint64_t io_tls_ctx_key_id(struct io_tls_ctx *ctx) {
    pthread_mutex_lock(&ctx->lock);
    uint64_t id = ctx->keys[0].id;
    pthread_mutex_unlock(&ctx->lock);
    return id;
}

SSL *tls_connection_create(struct io_tls_ctx *ctx, struct tls_port *port, const char *name) {
    SSL *ssl = SSL_new(ctx->ssl);
    BIO *bio = BIO_new(port_method);
    must(ssl != NULL && bio != NULL, "make a connection object");
    BIO_set_data(bio, port);
    SSL_set_app_data(ssl, port);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    if (name != NULL) {
        must(SSL_set_tlsext_host_name(ssl, name) == 1, "set a server name");
        SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL); /* a server that shows a certificate instead of the key is refused */
        SSL_set_connect_state(ssl);
    } else {
        SSL_set_accept_state(ssl);
    }
    return ssl;
}

/* ---- errors ---- */

enum tls_step tls_step_of(SSL *ssl, int result) {
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_NONE: return TLS_DONE;
    case SSL_ERROR_WANT_READ: return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE: return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
    case SSL_ERROR_SYSCALL: return TLS_ENDED;
    default: break;
    }
    return ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? TLS_ENDED : TLS_FAILED;
}

static err_code key_mismatch(struct err *e) {
    err_code code = err_set(e, ERR_AUTH, "the other side has a different cluster key");
    err_hint(e, "`caravan invite` on a machine of the cluster; then here: caravan leave, and caravan join CODE");
    return code;
}

static err_code not_a_node(struct err *e) {
    err_code code = err_set(e, ERR_PROTOCOL, "the other side is not a Caravan node: it speaks TLS, but without a cluster's key");
    err_hint(e, "another program has that address and port");
    return code;
}

/* The error of a handshake in which the two did not agree, by OpenSSL's reason. */
static err_code disagreement(unsigned long code, struct err *e) {
    const char *reason = ERR_reason_error_string(code);
    switch (ERR_GET_REASON(code)) {
    /* The server's: it doesn't know the key (server_hello), or the client has another one of that name. The client's for these. */
    case SSL_R_CALLBACK_FAILED:
    case SSL_R_BINDER_DOES_NOT_VERIFY:
    case SSL_R_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR: return key_mismatch(e);
    /* A client that offers no key; a server that shows a certificate; one that wants what nodes do not have. */
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE: return not_a_node(e);
    default: break;
    }
    err_code rc = err_set(e, ERR_PROTOCOL, "the TLS handshake failed: %s", reason != NULL ? reason : "unknown cause");
    err_hint(e, "is the other side a Caravan node?");
    return rc;
}

err_code tls_handshake_error(SSL *ssl, enum tls_step step, struct err *e) {
    (void)ssl;
    err_code rc = step == TLS_ENDED ? err_set(e, ERR_CLOSED, "the other side closed the connection during the TLS handshake")
                                    : disagreement(ERR_peek_last_error(), e);
    ERR_clear_error();
    return rc;
}

err_code tls_check_keyed(SSL *ssl, struct err *e) { return SSL_session_reused(ssl) ? ERR_OK : not_a_node(e); }

err_code tls_stream_error(enum tls_step step, struct err *e) {
    err_code code;
    if (step == TLS_ENDED) {
        code = err_set(e, ERR_CLOSED, "the other side closed the connection");
    } else {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        code = err_set(e, ERR_PROTOCOL, "the TLS connection is damaged: %s", reason != NULL ? reason : "unknown cause");
    }
    ERR_clear_error();
    return code;
}
