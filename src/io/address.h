/* SPDX-License-Identifier: MIT
 * Addresses of machines: a name's addresses, looked up in a worker thread for a loop, and addresses as text. A lookup belongs to the
 * loop's thread and is closed after its callback; it may be cancelled before. The functions on text have no state: any thread. */
#ifndef CARAVAN_IO_ADDRESS_H
#define CARAVAN_IO_ADDRESS_H

#include <sys/socket.h>

#include "base/err.h"
#include "io/loop.h"

enum { IO_MAX_ADDRESSES = 8 };
struct io_address {
    struct sockaddr_storage addr;
    socklen_t len;
};
struct io_lookup;
/* ERR_OK: addrs[0..n), n >= 1; else ERR_NETWORK. The lookup is closed after this call. */
typedef void (*io_lookup_fn)(void *user, err_code code, const struct io_address *addrs, size_t n, const struct err *e);
struct io_lookup *io_lookup_start(struct io_loop *loop, const char *host, uint16_t port, io_lookup_fn fn, void *user);
void io_lookup_cancel(struct io_lookup *l); /* NULL is fine */

/* "127.0.0.1", "::1", "fe80::1%eth0": text that can be dialled. An IPv4 address that is mapped into IPv6 is written as IPv4. */
void io_address_host(const struct sockaddr *addr, char *ret, size_t size);
/* "127.0.0.1:7433", "[::1]:7433", by io_address_host. */
void io_address_format(const struct sockaddr *addr, char *ret, size_t size);
bool io_address_is_loopback(const struct sockaddr *addr);
/* Is it an address of the internet at large: none of a private network, of this machine, of a link, and none that is kept for something
 * special (IANA's special-purpose registries), also where it stands for an IPv4 address? */
bool io_address_is_public(const struct sockaddr *addr);

#endif
