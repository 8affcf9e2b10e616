/* SPDX-License-Identifier: MIT
 * Reads the server name of a ClientHello without consuming it: OpenSSL parses a copy of the bytes and is stopped in its ClientHello
 * callback, so no answer is sent and no key is needed. Declared in io/tls.h. */
#include <openssl/err.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "io/tls_priv.h"

enum { HELLO_MAX = 16384 + 5 }; /* our ClientHellos are shorter than one record */

struct peeked {
    bool seen, modern, named;
    char name[IO_TLS_NAME_MAX];
};

static pthread_once_t peek_once = PTHREAD_ONCE_INIT;
static SSL_CTX *peek_ctx;

static bool name_char_ok(uint8_t c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-'; }

/* RFC 6066 section 3: u16 list length, u8 type 0 (host_name), u16 length, the name. */
static bool parse_name(const uint8_t *data, size_t len, char ret_name[IO_TLS_NAME_MAX]) {
    if (len < 5 || data[2] != 0) return false;
    size_t list = (size_t)data[0] << 8 | data[1], n = (size_t)data[3] << 8 | data[4];
    if (list != len - 2 || n != len - 5 || n == 0 || n >= IO_TLS_NAME_MAX) return false;
    for (size_t i = 0; i < n; i++)
        if (!name_char_ok(data[5 + i])) return false;
    memcpy(ret_name, data + 5, n);
    ret_name[n] = '\0';
    return true;
}

/* RFC 8446 section 4.2.1: u8 length, then u16 versions; TLS 1.3 must be among them. */
static bool offers_tls13(const uint8_t *data, size_t len) {
    if (len < 3 || data[0] != len - 1) return false;
    for (size_t i = 1; i + 1 < len; i += 2)
        if (data[i] == 3 && data[i + 1] == 4) return true;
    return false;
}

static int look_at_hello(SSL *ssl, int *alert, void *arg) {
    (void)arg;
    struct peeked *p = SSL_get_app_data(ssl);
    const unsigned char *data;
    size_t len;
    p->seen = true;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &data, &len)) p->modern = offers_tls13(data, len);
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &len)) p->named = parse_name(data, len, p->name);
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}

static void peek_startup(void) {
    io_tls_startup();
    peek_ctx = SSL_CTX_new(TLS_server_method());
    if (peek_ctx == NULL) abort();
    SSL_CTX_set_min_proto_version(peek_ctx, TLS1_3_VERSION);
    SSL_CTX_set_client_hello_cb(peek_ctx, look_at_hello, NULL);
}

err_code io_tls_peek_name(const uint8_t *hello, size_t len, char ret_name[IO_TLS_NAME_MAX], struct err *e) {
    pthread_once(&peek_once, peek_startup);
    if (len == 0) return ERR_BUSY;
    if (hello[0] != 22) return err_set(e, ERR_PROTOCOL, "not a TLS connection");
    size_t given = len < HELLO_MAX ? len : HELLO_MAX;
    struct peeked p = {.seen = false};
    SSL *ssl = SSL_new(peek_ctx);
    BIO *in = BIO_new_mem_buf(hello, (int)given), *out = BIO_new(BIO_s_null());
    if (ssl == NULL || in == NULL || out == NULL) abort();
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    SSL_set_app_data(ssl, &p);
    SSL_set_accept_state(ssl);
    ERR_clear_error();
    bool more = tls_step_of(ssl, SSL_do_handshake(ssl)) == TLS_WANT_READ;
    SSL_free(ssl);
    ERR_clear_error();
    if (!p.seen && more && len < HELLO_MAX) return ERR_BUSY;
    if (!p.seen) return err_set(e, ERR_PROTOCOL, "not a TLS ClientHello");
    if (!p.modern) return err_set(e, ERR_PROTOCOL, "a TLS client that does not speak TLS 1.3");
    if (!p.named) return err_set(e, ERR_PROTOCOL, "a TLS client that names no Caravan server");
    memcpy(ret_name, p.name, sizeof(p.name));
    return ERR_OK;
}
