/* SPDX-License-Identifier: MIT
 * Sockets: addresses as people write them, connecting and listening with clear errors, the options that a link needs, and passing a
 * descriptor to another process. A thin layer, blocking with time limits; io/stream.h has sockets for the loop. Every descriptor made
 * here is close-on-exec. Any thread but the loop's: name resolution blocks in the C library and cannot be interrupted. */
#ifndef CARAVAN_IO_SOCK_H
#define CARAVAN_IO_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/err.h"

enum { IO_HOST_MAX = 256, IO_ADDR_TEXT_MAX = IO_HOST_MAX + 8 };

struct io_addr {
    char host[IO_HOST_MAX]; /* a name or a literal, without brackets; "" is any address (listen) */
    uint16_t port;
};

/* "host:port", with brackets around an IPv6 literal; "*" for any address. Returns out. */
char *io_addr_format(const struct io_addr *a, char out[IO_ADDR_TEXT_MAX]);

/* Connects over TCP, trying each address that the name has. ERR_NETWORK names the address and the cause, ERR_TIMEOUT after timeout_ms.
 * The descriptor is in non-blocking mode. */
err_code io_sock_connect(const struct io_addr *a, int timeout_ms, int *ret_fd, struct err *e);
/* Connects to one address and gives the plain cause of a failure: 0, or the errno (ETIMEDOUT: no answer). The descriptor is
 * non-blocking. */
int io_sock_try(const struct sockaddr *addr, socklen_t len, int timeout_ms, int *ret_fd);
/* Listens on TCP. host "" or "::" means all addresses of IPv6 and IPv4, or of IPv4 alone if the machine has no IPv6. Port 0: the system
 * chooses, and io_sock_port tells. Non-blocking. */
err_code io_sock_listen(const struct io_addr *a, int backlog, int *ret_fd, struct err *e);
/* The next connection of a listening descriptor (non-blocking); ERR_TIMEOUT if none comes. timeout_ms < 0 waits for ever. */
err_code io_sock_accept(int listen_fd, int timeout_ms, int *ret_fd, struct err *e);
uint16_t io_sock_port(int fd);                              /* local port, 0 if it has none */
char *io_sock_peer(int fd, char out[IO_ADDR_TEXT_MAX]);     /* "host:port" of the other end, "?" if unknown; returns out */
err_code io_sock_pair(int ret_fds[2], struct err *e);       /* a connected pair of Unix stream sockets, non-blocking */

/* Options of a link's socket. 0 keeps the system's value. */
struct io_sock_options {
    bool no_delay;                  /* TCP_NODELAY */
    int keepalive_s;                /* SO_KEEPALIVE: first probe after so many idle seconds, then every third of it, three times */
    int user_timeout_ms;            /* TCP_USER_TIMEOUT: unacknowledged bytes older than this end the connection */
    int send_buffer, receive_buffer;/* bytes; setting one ends the system's own tuning of it */
};
/* Sets the options that the socket has (a Unix socket has no TCP options). */
err_code io_sock_tune(int fd, const struct io_sock_options *o, struct err *e);

/* Waits for POLLIN/POLLOUT. ERR_OK, ERR_TIMEOUT, or ERR_IO. timeout_ms < 0 waits for ever; a signal does not shorten the wait. */
err_code io_sock_wait(int fd, short events, int timeout_ms, struct err *e);
/* Milliseconds from now to a deadline, at least 0, rounded up: the time-out for the next poll. */
int io_ms_left(clock_us deadline);

/* Looks at the first bytes without consuming them: at least 1, at most len. ERR_BUSY: none yet. ERR_CLOSED: the end. */
err_code io_sock_peek(int fd, void *buf, size_t len, size_t *ret_n, struct err *e);

/* For sockets that are polled and peeked at: from now on this TCP socket becomes readable only when `bytes` are there or at its end, so
 * fewer bytes don't wake every poll. 1 restores the default; do that before handing the socket on. */
err_code io_sock_want(int fd, size_t bytes, struct err *e);

/* Sends len > 0 bytes over a Unix stream socket with a descriptor attached to the first byte (the receiver gets a duplicate; the caller
 * still owns pass_fd). *ret_n may be less than len. ERR_BUSY: the socket is full. */
err_code io_sock_send_fd(int fd, const void *data, size_t len, int pass_fd, size_t *ret_n, struct err *e);
/* Receives 1..len bytes without waiting, and the descriptor that came with them (*ret_fd, or -1; the caller owns it). ERR_BUSY: no
 * bytes. ERR_CLOSED: the end. ERR_PROTOCOL: several descriptors came; all are closed. */
err_code io_sock_recv_fd(int fd, void *buf, size_t len, size_t *ret_n, int *ret_fd, struct err *e);

#endif
