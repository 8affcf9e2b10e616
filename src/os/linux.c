/* SPDX-License-Identifier: MIT
 * See os.h. Linux with glibc. */
#include "os/net.h"
#include "os/os.h"
#include "os/runtime.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <malloc.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/tcp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- descriptors ---- */

const short os_poll_hangup = POLLRDHUP;

int os_socket(int family, int type) { return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

int os_accept(int fd, struct sockaddr *ret_peer, socklen_t *len) { return accept4(fd, ret_peer, len, SOCK_CLOEXEC | SOCK_NONBLOCK); }

int os_socketpair(int ret_fds[2]) { return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds); }

int os_pipe(int ret_fds[2], bool blocks) { return pipe2(ret_fds, O_CLOEXEC | (blocks ? 0 : O_NONBLOCK)); }

ssize_t os_recvmsg(int fd, struct msghdr *m) { return recvmsg(fd, m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); }

static int set_int(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof(value)); }

int os_tcp_keepalive(int fd, int idle_s, int interval_s, int count) {
    if (set_int(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle_s) != 0 || set_int(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval_s) != 0) return -1;
    return set_int(fd, IPPROTO_TCP, TCP_KEEPCNT, count);
}

int os_tcp_user_timeout(int fd, int ms) { return set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ms); }

int os_multicast_join(int fd, struct in_addr group, struct in_addr own, unsigned index) {
    struct ip_mreqn member = {.imr_multiaddr = group, .imr_address = own, .imr_ifindex = (int)index};
    if (set_int(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0) != 0) return -1;
    if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &member, sizeof(member)) != 0) return -1;
    return setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &member, sizeof(member));
}

int os_multicast_join6(int fd, const struct in6_addr *group, unsigned index) {
    struct ipv6_mreq member = {.ipv6mr_multiaddr = *group, .ipv6mr_interface = index};
    enum { MULTICAST_ALL = 29 }; /* IPV6_MULTICAST_ALL of <linux/in6.h> */
    set_int(fd, IPPROTO_IPV6, MULTICAST_ALL, 0); /* since Linux 4.20; without it the caller hears a little more */
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &member, sizeof(member)) != 0) return -1;
    return set_int(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, (int)index);
}

/* ---- files ---- */

int64_t os_file_changed_ns(const struct stat *st) { return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec; }

int os_file_sync(int fd) { return fdatasync(fd); }

int os_file_uncache(int fd) {
    int rc = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    if (rc != 0) errno = rc;
    return rc == 0 ? 0 : -1;
}

struct stream {
    void *user;
    const struct os_stream *functions;
};

static ssize_t stream_read(void *cookie, char *buf, size_t size) {
    struct stream *s = cookie;
    return s->functions->read(s->user, buf, size);
}

static int stream_seek(void *cookie, off64_t *offset, int whence) {
    struct stream *s = cookie;
    int64_t at = s->functions->seek(s->user, *offset, whence);
    if (at < 0) return -1;
    *offset = at;
    return 0;
}

static int stream_close(void *cookie) {
    struct stream *s = cookie;
    int rc = s->functions->close(s->user);
    free(s);
    return rc;
}

FILE *os_stream_open(void *user, const struct os_stream *functions) {
    struct stream *s = malloc(sizeof(*s));
    if (s == NULL) return NULL;
    *s = (struct stream){.user = user, .functions = functions};
    FILE *f = fopencookie(s, "rb", (cookie_io_functions_t){.read = stream_read, .seek = stream_seek, .close = stream_close});
    if (f == NULL) free(s);
    return f;
}

/* ---- processes and threads ---- */

void os_die_with_parent(int signal) { prctl(PR_SET_PDEATHSIG, signal); }

void os_close_on_exec_from(int first) {
    enum { CLOEXEC = 1 << 2, MOST = 1 << 16 }; /* CLOSE_RANGE_CLOEXEC of <linux/close_range.h> */
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0u, CLOEXEC) == 0) return;
#endif
    struct rlimit limit; /* a kernel before 5.11 */
    int end = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < MOST ? (int)limit.rlim_cur : MOST;
    for (int fd = first; fd < end; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC); /* one that is not open is an error without consequence */
}

void os_signals_reset(void) {
    for (int signo = 1; signo < NSIG; signo++) signal(signo, SIG_DFL);
}

void os_cond_init(pthread_cond_t *cond) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool os_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t until) {
    struct timespec at = {.tv_sec = (time_t)(until / 1000000), .tv_nsec = (long)(until % 1000000) * 1000};
    return pthread_cond_timedwait(cond, lock, &at) != ETIMEDOUT;
}

char **os_environment(void) { return environ; }

/* The path of the file that the kernel runs: the program, or the loader that was told to load it. */
static bool executable(char *ret, size_t size) {
    ssize_t n = readlink("/proc/self/exe", ret, size);
    if (n <= 0 || (size_t)n >= size) return false;
    ret[n] = '\0';
    return true;
}

bool os_program_path(char *ret, size_t size) {
    if (!executable(ret, size)) return false;
    char *name = strrchr(ret, '/');
    if (name == NULL || strncmp(name, "/ld-linux", 9) != 0) return true;
    size_t used = (size_t)(name - ret);
    int n = snprintf(name, size - used, "/../../bin/caravan"); /* packaging/launcher.c */
    return n > 0 && (size_t)n < size - used;
}

bool os_runtime_path(const char *path, char *ret, size_t size) {
    size_t used = 0;
    if (path[0] != '/') {
        char *name = executable(ret, size) ? strrchr(ret, '/') : NULL;
        if (name == NULL) return false;
        used = (size_t)(name + 1 - ret);
    }
    int n = snprintf(ret + used, size - used, "%s", path);
    return n >= 0 && (size_t)n < size - used;
}

bool os_code_path(void (*function)(void), char *ret, size_t size) {
    Dl_info info;
    void *code;
    memcpy(&code, &function, sizeof(code)); /* ISO C has no conversion */
    return dladdr(code, &info) != 0 && info.dli_fname != NULL && snprintf(ret, size, "%s", info.dli_fname) < (int)size;
}

void os_thread_name(const char *name) { pthread_setname_np(pthread_self(), name); }

/* ---- the machine ---- */

bool os_load(double *ret) { return getloadavg(ret, 1) == 1; }

void *os_memory_map(size_t len) {
    void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return map == MAP_FAILED ? NULL : map;
}

void os_memory_trim(void) { malloc_trim(0); }

/* glibc raises its limit for blocks of their own after the first large one is freed: the next one stays in the heap. */
void os_memory_give_back(void) { mallopt(M_MMAP_THRESHOLD, 128 * 1024); }

void os_random(void *ret, size_t len) {
    if (getrandom(ret, len, 0) == (ssize_t)len) return;
    struct timespec now; /* an old kernel without the call: the caller only needs a different seed each time */
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t word = (uint64_t)now.tv_nsec ^ (uint64_t)getpid() << 32;
    for (size_t i = 0; i < len; i++) ((uint8_t *)ret)[i] = (uint8_t)((word = word * 0x9E3779B97F4A7C15u + 1) >> 56);
}

bool os_boot_id(char *ret, size_t size) {
    FILE *in = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (in == NULL) return false;
    bool good = fgets(ret, (int)size, in) != NULL;
    fclose(in);
    return good;
}

bool os_huge_pages(char *ret, size_t size) {
    char text[128] = "";
    FILE *in = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
    size_t n = in != NULL ? fread(text, 1, sizeof(text) - 1, in) : 0;
    if (in != NULL) fclose(in);
    text[n] = '\0';
    char *start = strchr(text, '['), *end = start != NULL ? strchr(start, ']') : NULL; /* the word in brackets is the current one */
    if (end == NULL) return false;
    snprintf(ret, size, "%.*s", (int)(end - start - 1), start + 1);
    return true;
}

const char os_power_supplies[] = "/sys/class/power_supply";

bool os_cpu_has_aes(void) {
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
    return (getauxval(AT_HWCAP) & (1ul << 3)) != 0; /* HWCAP_AES */
#elif defined(__arm__)
    return (getauxval(AT_HWCAP2) & 1ul) != 0;       /* HWCAP2_AES */
#else
    return false;
#endif
}

static bool interface_read(const struct ifaddrs *a, struct os_interface *ret) {
    if (a->ifa_addr == NULL || (a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6)) return false;
    size_t len = a->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    *ret = (struct os_interface){.index = if_nametoindex(a->ifa_name),
                                 .up = (a->ifa_flags & IFF_UP) != 0,
                                 .running = (a->ifa_flags & IFF_RUNNING) != 0,
                                 .loopback = (a->ifa_flags & IFF_LOOPBACK) != 0,
                                 .multicast = (a->ifa_flags & IFF_MULTICAST) != 0};
    snprintf(ret->name, sizeof(ret->name), "%.15s", a->ifa_name);
    memcpy(&ret->addr, a->ifa_addr, len);
    if (a->ifa_netmask != NULL) memcpy(&ret->mask, a->ifa_netmask, len);
    return true;
}

/* https://docs.kernel.org/admin-guide/abi-testing.html: /sys/class/net */
static bool has_attribute(const char *interface, const char *attribute) {
    char path[96];
    snprintf(path, sizeof(path), "/sys/class/net/%.15s/%s", interface, attribute);
    return access(path, F_OK) == 0;
}

static long hardware_type(const char *interface) {
    char path[96], text[16] = "";
    snprintf(path, sizeof(path), "/sys/class/net/%.15s/type", interface);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
    if (fd >= 0) close(fd);
    return n > 0 ? strtol(text, NULL, 10) : -1;
}

enum os_network os_interface_network(const char *name) {
    enum { ETHER = 1, INFINIBAND = 32, LOOPBACK = 772, NONE = 65534 }; /* linux/if_arp.h */
    long type = strchr(name, '/') ? -1 : hardware_type(name);
    if (type == LOOPBACK) return OS_NETWORK_INSIDE;
    if (type == NONE || has_attribute(name, "tun_flags")) return OS_NETWORK_VPN;
    if (has_attribute(name, "wireless") || has_attribute(name, "phy80211")) return OS_NETWORK_WIFI;
    return type == ETHER || type == INFINIBAND ? OS_NETWORK_WIRED : OS_NETWORK_UNKNOWN;
}

size_t os_interfaces(struct os_interface *ret, size_t max) {
    struct ifaddrs *all = NULL;
    size_t n = 0;
    if (getifaddrs(&all) != 0) return 0;
    for (const struct ifaddrs *a = all; a != NULL && n < max; a = a->ifa_next) n += interface_read(a, &ret[n]);
    freeifaddrs(all);
    return n;
}

static bool hardware_read(const struct ifaddrs *a, struct os_hardware *ret) {
    static const uint8_t none[sizeof(ret->address)];
    if (a->ifa_addr == NULL || a->ifa_addr->sa_family != AF_PACKET || (a->ifa_flags & IFF_UP) == 0) return false;
    const struct sockaddr_ll *at = (const struct sockaddr_ll *)a->ifa_addr;
    if (at->sll_hatype != ARPHRD_ETHER || at->sll_halen != sizeof(none) || memcmp(at->sll_addr, none, sizeof(none)) == 0) return false;
    *ret = (struct os_hardware){0};
    snprintf(ret->name, sizeof(ret->name), "%.15s", a->ifa_name);
    memcpy(ret->address, at->sll_addr, sizeof(ret->address));
    return true;
}

size_t os_hardware(struct os_hardware *ret, size_t max) {
    struct ifaddrs *all = NULL;
    size_t n = 0;
    if (getifaddrs(&all) != 0) return 0;
    for (const struct ifaddrs *a = all; a != NULL && n < max; a = a->ifa_next) n += hardware_read(a, &ret[n]);
    freeifaddrs(all);
    return n;
}
