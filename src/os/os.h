/* SPDX-License-Identifier: MIT
 * What POSIX leaves open: the calls that differ between systems, with one file for each system (linux.c). Everything outside this room is
 * compiled with POSIX's names alone. Descriptors that are made here are closed on exec. A function that fails returns -1, NULL or false,
 * and sets errno as the system does. Any thread. */
#ifndef CARAVAN_OS_OS_H
#define CARAVAN_OS_OS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* ---- descriptors ---- */
int os_socket(int family, int type);                                /* does not block */
int os_accept(int fd, struct sockaddr *ret_peer, socklen_t *len);   /* does not block; ret_peer and len: NULL, or as for accept() */
int os_socketpair(int ret_fds[2]);                                  /* local stream sockets; they do not block */
int os_pipe(int ret_fds[2], bool blocks);
ssize_t os_recvmsg(int fd, struct msghdr *m);                       /* does not block; descriptors that come with it are closed on exec */
/* The TCP options that POSIX does not name. What a system cannot do counts as done. */
int os_tcp_keepalive(int fd, int idle_s, int interval_s, int count);
int os_tcp_user_timeout(int fd, int ms);                            /* data unacknowledged for longer ends the connection */
/* Joins an IPv4 multicast group on one interface, sends to it there, and hears only this group. */
int os_multicast_join(int fd, struct in_addr group, struct in_addr own, unsigned index);
extern const short os_poll_hangup;                                  /* poll(): the other side has closed its end; 0: only reading tells */

/* ---- files ---- */
int64_t os_file_changed_ns(const struct stat *st); /* when the content changed last, since 1970 */
int os_file_uncache(int fd);                       /* later reads come from the disk, not from memory */
/* A stream for reading whose bytes come from `read` (as pread's, at the stream's position) and whose positions come from `seek` (the new
 * position, or -1). close is called once, by fclose(). NULL: no memory. */
struct os_stream {
    ssize_t (*read)(void *user, char *buf, size_t size);
    int64_t (*seek)(void *user, int64_t offset, int whence);
    int (*close)(void *user);
};
FILE *os_stream_open(void *user, const struct os_stream *functions);

/* ---- processes and threads ---- */
/* In a child between fork and exec: the child gets `signal` when its parent dies. Async-signal-safe. */
void os_die_with_parent(int signal);
/* In a child between fork and exec: marks all descriptors from `first` on as closed on exec. Async-signal-safe. */
void os_close_on_exec_from(int first);
/* Every signal as it is for a new program. Async-signal-safe. */
void os_signals_reset(void);
char **os_environment(void);
bool os_program_path(char *ret, size_t size); /* of the program that runs; false: it cannot be told */
void os_thread_name(const char *name); /* of the calling thread; at most 15 characters show */

/* ---- the machine ---- */
bool os_load(double *ret);        /* processes that ran or waited for a core, on average over the last minute */
void os_memory_trim(void);        /* gives memory that malloc keeps back to the system */
void os_random(void *ret, size_t len); /* for seeds and names, not for keys; len <= 256 */
bool os_boot_id(char *ret, size_t size); /* another text after each start of the machine; false: it cannot be told */
bool os_huge_pages(char *ret, size_t size); /* when memory lies in huge pages: "always", "madvise", "never"; false: not known */
extern const char os_power_supplies[]; /* the folder that stage_spin_on_battery() reads; "": none */
bool os_cpu_has_aes(void);        /* in hardware */

struct os_interface {             /* one address of one network interface */
    char name[16];
    unsigned index;
    struct sockaddr_storage addr, mask; /* AF_INET or AF_INET6 */
    bool up, running, loopback, multicast;
};
/* Returns how many addresses there are, at most max. */
size_t os_interfaces(struct os_interface *ret, size_t max);

#endif
