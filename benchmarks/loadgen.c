/* Echo load client: keeps the server busy and never trusts it.
 *
 * One thread, one epoll, edge-triggered, pinned to one CPU. Of N connections M are active: each
 * sends one message, waits for the whole echo, compares it byte for byte, and sends the next. The
 * other N - M are open and silent.
 *
 * With nothing to do the program sleeps in epoll_wait, as clients do, and has to be woken. That is
 * charged to whoever sends, the server, and in a virtual machine it is an exit to the host: of
 * gevent's 13.8 us a message with 100 connections 1.5 are that, and with one connection two thirds
 * of any server's figure. --poll keeps asking instead and so takes it out. `cpu_fraction` is the
 * share of the time in which this program had work, vain polls left out: below 1.0 it was not the
 * bottleneck.
 *
 * Messages are slices of one block of pseudo-random bytes, at an offset that follows from the
 * connection and the message's number, so nothing is copied to build one and an echo that belongs
 * to another connection or another message does not compare equal.
 *
 * Every connection, silent ones too, echoes one message while connecting: the server has then
 * accepted it and waits in its handler, and the accept queue cannot overflow.
 *
 * With --handshake the program prints "ready" after the warm-up and waits for a line on stdin;
 * after the run it prints its JSON line and keeps its connections until stdin ends. The harness
 * reads the server's CPU clock in these two pauses, when nothing is in flight.
 *
 * --websocket opens a WebSocket on each connection; a message is then a masked binary frame, and its
 * echo an unmasked one. Compiled with -DWITH_TLS (as loadgen_tls), every connection speaks TLS.
 *
 *   loadgen --port P [--host 127.0.0.1] [--connections 100] [--active N] [--size 64]
 *           [--seconds 1 | --messages N] [--warmup 0.3] [--cpu K] [--handshake] [--poll]
 *           [--websocket]
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
#endif

#define EVENTS 1024
#define SCRATCH (256 * 1024)
#define OFFSETS 65521        /* a prime: neighbouring messages start at unrelated places */
#define CONNECT_BATCH 256    /* stays below any server's accept queue */
#define PER_SOURCE 10000     /* connections per source address: ephemeral ports are about 28,000 */
#define STALL_MS 20000       /* no echo for so long: the server is lost */

/* Latencies go to buckets of 1/64 relative width: exact enough, and constant in memory. */
#define SUB_BITS 6
#define BUCKETS (64 << SUB_BITS)

struct conn {
    int fd;
    uint32_t id;
    uint64_t seq;         /* messages begun */
    const char *message;  /* the one in flight: what is to come back; NULL: none */
    const char *out;      /* what goes out for it */
    char *frames;         /* --websocket: room for both */
    size_t sent, got;
    int wrong;            /* a byte of the message in flight differed */
    uint64_t began_ns;
#ifdef WITH_TLS
    SSL *tls;
#endif
};

static size_t size = 64;
static size_t out_size, in_size;  /* of a message with its framing, there and back */
static int websocket;
static char *block, *scratch;
static int epoll_fd;
#ifdef WITH_TLS
static SSL_CTX *tls_context;
#endif
static int polling;               /* ask again and again instead of sleeping in the kernel */
static uint64_t idle_ns;          /* spent in polls that found nothing */

static uint64_t messages, mismatches, in_flight;
static uint64_t begun, quota;     /* stop beginning messages at `quota` ... */
static uint64_t deadline_ns;      /* ... or at this moment, whichever is first */
static uint64_t histogram[BUCKETS];

static void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("loadgen: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static unsigned bucket_of(uint64_t ns)
{
    if (ns < (1u << SUB_BITS))
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - SUB_BITS;
    return ((shift + 1) << SUB_BITS) + (unsigned)((ns >> shift) - (1u << SUB_BITS));
}

static double bucket_us(unsigned bucket)
{
    if (bucket < (1u << SUB_BITS))
        return bucket / 1e3;
    unsigned shift = (bucket >> SUB_BITS) - 1;
    uint64_t low = (uint64_t)((bucket & ((1u << SUB_BITS) - 1)) + (1u << SUB_BITS)) << shift;
    return ((double)low + (double)(1ull << shift) / 2) / 1e3;
}

static double percentile_us(double fraction)
{
    uint64_t seen = 0, wanted = (uint64_t)((double)messages * fraction);
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (seen > wanted)
            return bucket_us(i);
    }
    return 0;
}

#ifdef WITH_TLS
/* send() and recv() of TLS: -1 and errno as theirs, 0 at the end. */
static ssize_t tls_result(struct conn *c, int n)
{
    if (n > 0)
        return n;
    int error = SSL_get_error(c->tls, n);
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        errno = EAGAIN;
    else if (error == SSL_ERROR_SSL)
        die("TLS: %s", ERR_reason_error_string(ERR_get_error()));
    return -1;
}

static ssize_t put(struct conn *c, const void *data, size_t n)
{
    return tls_result(c, SSL_write(c->tls, data, (int)n));
}

static ssize_t take(struct conn *c, void *data, size_t n)
{
    return tls_result(c, SSL_read(c->tls, data, (int)n));
}
#else
static ssize_t put(struct conn *c, const void *data, size_t n)
{
    return send(c->fd, data, n, MSG_NOSIGNAL);
}

static ssize_t take(struct conn *c, void *data, size_t n)
{
    return recv(c->fd, data, n, 0);
}
#endif

/* RFC 6455, 5.2: a final binary frame; the client's is masked. Returns the length. */
static size_t frame(char *to, const char *data, const unsigned char *mask)
{
    size_t at = 0;
    unsigned char bit = mask ? 0x80 : 0;
    to[at++] = (char)0x82;
    if (size < 126) {
        to[at++] = (char)(bit | size);
    } else {
        to[at++] = (char)(bit | 126);
        to[at++] = (char)(size >> 8);
        to[at++] = (char)size;
    }
    if (mask) {
        memcpy(to + at, mask, 4);
        at += 4;
    }
    for (size_t i = 0; i < size; i++)
        to[at + i] = mask ? (char)(data[i] ^ mask[i & 3]) : data[i];
    return at + size;
}

static void open_websocket(struct conn *c)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    char head[4096] = "";
    size_t got = 0;
    if (put(c, request, sizeof request - 1) != (ssize_t)sizeof request - 1)
        die("cannot send the opening request on connection %u", c->id);
    while (got < 4 || memcmp(head + got - 4, "\r\n\r\n", 4) != 0) {
        if (got == sizeof head - 1 || take(c, head + got, 1) != 1)
            die("connection %u: no whole answer to the opening request", c->id);
        got++;
    }
    if (strncmp(head, "HTTP/1.1 101", 12) != 0 ||
        strstr(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") == NULL)
        die("connection %u: the server opened no WebSocket: %.40s", c->id, head);
    c->frames = malloc(2 * (size + 16));
    if (c->frames == NULL)
        die("no memory for the frames of connection %u", c->id);
}

static void flush_message(struct conn *c)
{
    while (c->sent < out_size) {
        ssize_t n = put(c, c->out + c->sent, out_size - c->sent);
        if (n > 0)
            c->sent += (size_t)n;
        else if (n < 0 && errno == EAGAIN)
            return; /* the next EPOLLOUT edge goes on */
        else if (errno != EINTR)
            die("cannot send on connection %u after %llu messages: %s", c->id,
                (unsigned long long)c->seq, strerror(errno));
    }
}

static void begin_message(struct conn *c, uint64_t now)
{
    if (begun >= quota || now >= deadline_ns)
        return;
    c->out = c->message = block + (c->id * 8191u + c->seq * 127u) % OFFSETS;
    if (websocket) {
        const char *data = c->message;
        out_size = frame(c->frames, data, (const unsigned char *)block + c->seq % OFFSETS);
        in_size = frame(c->frames + size + 16, data, NULL);
        c->out = c->frames;
        c->message = c->frames + size + 16;
    }
    c->seq++;
    c->sent = c->got = 0;
    c->wrong = 0;
    c->began_ns = now;
    begun++;
    in_flight++;
    flush_message(c);
}

static void end_message(struct conn *c, uint64_t now)
{
    messages++;
    mismatches += (uint64_t)c->wrong;
    histogram[bucket_of(now - c->began_ns)]++;
    in_flight--;
    c->message = NULL;
}

static void receive(struct conn *c)
{
    for (;;) {
        ssize_t n = take(c, scratch, SCRATCH);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN)
                return;
            die("cannot receive on connection %u after %llu messages: %s", c->id,
                (unsigned long long)c->seq, strerror(errno));
        }
        if (n == 0)
            die("the server closed connection %u after %llu messages", c->id,
                (unsigned long long)c->seq);
        if (c->message == NULL || c->got + (size_t)n > in_size)
            die("connection %u got more bytes back than it sent", c->id);
        c->wrong |= memcmp(scratch, c->message + c->got, (size_t)n) != 0;
        c->got += (size_t)n;
        if (c->got == in_size) {
            uint64_t now = now_ns();
            end_message(c, now);
            begin_message(c, now);
        }
#ifndef WITH_TLS
        if (n < SCRATCH)
            return; /* a short read has drained the socket: the next bytes raise a new edge */
#endif
    }
}

/* Wait for events: in the kernel, or by asking again and again and counting that time as idle. */
static int wait_events(struct epoll_event *events)
{
    int n = epoll_wait(epoll_fd, events, EVENTS, polling ? 0 : STALL_MS);
    if (n == 0 && polling) {
        uint64_t began = now_ns(), now = began;
        while (n == 0 && now - began < STALL_MS * 1000000ull) {
            n = epoll_wait(epoll_fd, events, EVENTS, 0);
            now = now_ns();
        }
        idle_ns += now - began;
    }
    return n;
}

static void drain(void)
{
    struct epoll_event events[EVENTS];
    while (in_flight > 0) {
        int n = wait_events(events);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            die("no echo for %d s with %llu messages in flight", STALL_MS / 1000,
                (unsigned long long)in_flight);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if ((events[i].events & EPOLLOUT) && c->message != NULL)
                flush_message(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive(c);
        }
    }
}

/* Connection i is active when i * active / total steps up: the active ones lie evenly among all. */
static int is_active(uint64_t i, uint64_t total, uint64_t active)
{
    return (i + 1) * active / total != i * active / total;
}

static void run(struct conn *conns, uint64_t total, uint64_t active, double seconds, uint64_t count)
{
    messages = begun = idle_ns = 0; /* mismatches count from the start: a wrong byte is wrong */
    memset(histogram, 0, sizeof histogram);
    uint64_t now = now_ns();
    quota = count;
    deadline_ns = seconds < 0 ? UINT64_MAX : now + (uint64_t)(seconds * 1e9);
    for (uint64_t i = 0; i < total; i++)
        if (is_active(i, total, active))
            begin_message(&conns[i], now_ns());
    drain();
}

static void connect_all(struct conn *conns, uint64_t total, const struct sockaddr_in *server)
{
    int one = 1;
    quota = deadline_ns = UINT64_MAX;
    for (uint64_t i = 0; i < total; i++) {
        struct conn *c = &conns[i];
        struct sockaddr_in source = {.sin_family = AF_INET};
        source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(i / PER_SOURCE));
        c->id = (uint32_t)i;
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0)
            die("cannot open socket %llu: %s; raise the limit with 'ulimit -n'",
                (unsigned long long)i, strerror(errno));
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (total > PER_SOURCE && bind(c->fd, (void *)&source, sizeof source) < 0)
            die("cannot bind connection %llu to a source address: %s", (unsigned long long)i,
                strerror(errno));
        if (connect(c->fd, (const void *)server, sizeof *server) < 0)
            die("cannot connect connection %llu: %s", (unsigned long long)i, strerror(errno));
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
            die("cannot watch connection %llu: %s", (unsigned long long)i, strerror(errno));
#ifdef WITH_TLS
        c->tls = SSL_new(tls_context);
        if (c->tls == NULL || SSL_set_fd(c->tls, c->fd) != 1 || SSL_connect(c->tls) != 1)
            die("no TLS handshake on connection %llu: %s", (unsigned long long)i,
                ERR_reason_error_string(ERR_get_error()));
#endif
        if (websocket)
            open_websocket(c);
        if (ioctl(c->fd, FIONBIO, &one) < 0)
            die("cannot make connection %llu non-blocking: %s", (unsigned long long)i,
                strerror(errno));
        quota = begun + 1; /* one message for this connection */
        begin_message(c, now_ns());
        if ((i + 1) % CONNECT_BATCH == 0)
            drain();
    }
    drain();
}

static double number(const char *name, const char *text, double low)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || value < low)
        die("--%s takes a number of at least %g, not '%s'", name, low, text);
    return value;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"host", required_argument, 0, 'h'},
        {"port", required_argument, 0, 'p'},
        {"connections", required_argument, 0, 'n'},
        {"active", required_argument, 0, 'a'},
        {"size", required_argument, 0, 's'},
        {"seconds", required_argument, 0, 't'},
        {"messages", required_argument, 0, 'm'},
        {"warmup", required_argument, 0, 'w'},
        {"cpu", required_argument, 0, 'c'},
        {"handshake", no_argument, 0, 'k'},
        {"poll", no_argument, 0, 'b'},
        {"websocket", no_argument, 0, 'W'},
        {0, 0, 0, 0},
    };
    struct sockaddr_in server = {.sin_family = AF_INET};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    uint64_t total = 100, active = 0, count = UINT64_MAX;
    double seconds = 1, warmup = 0.3;
    int cpu = -1, handshake = 0, option, index = 0;

    while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
        const char *name = option == '?' ? "" : options[index].name;
        switch (option) {
        case 'h':
            if (inet_pton(AF_INET, optarg, &server.sin_addr) != 1)
                die("--host takes an IPv4 address, not '%s'", optarg);
            break;
        case 'p': server.sin_port = htons((uint16_t)number(name, optarg, 1)); break;
        case 'n': total = (uint64_t)number(name, optarg, 1); break;
        case 'a': active = (uint64_t)number(name, optarg, 1); break;
        case 's': size = (size_t)number(name, optarg, 1); break;
        case 't': seconds = number(name, optarg, 0); break;
        case 'm': count = (uint64_t)number(name, optarg, 1); seconds = -1; break;
        case 'w': warmup = number(name, optarg, 0); break;
        case 'c': cpu = (int)number(name, optarg, 0); break;
        case 'k': handshake = 1; break;
        case 'b': polling = 1; break;
        case 'W': websocket = 1; break;
        default: return 2;
        }
    }
    if (websocket && size > 65535)
        die("--websocket takes messages of at most 65535 bytes, not %zu", size);
    out_size = in_size = size;
#ifdef WITH_TLS
    tls_context = SSL_CTX_new(TLS_client_method()); /* verifies nothing: the certificate is ours */
    if (tls_context == NULL)
        die("cannot make a TLS context");
    SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE);
#endif
    if (server.sin_port == 0)
        die("--port is missing");
    if (active == 0)
        active = total;
    if (active > total)
        die("--active %llu is more than --connections %llu", (unsigned long long)active,
            (unsigned long long)total);

    if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        if (sched_setaffinity(0, sizeof set, &set) < 0)
            die("cannot run on CPU %d: %s", cpu, strerror(errno));
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < total + 16)
        die("%llu connections need more than the %llu open files allowed; raise 'ulimit -Hn'",
            (unsigned long long)total, (unsigned long long)files.rlim_cur);

    block = malloc(OFFSETS + size);
    scratch = malloc(SCRATCH);
    struct conn *conns = calloc(total, sizeof *conns);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!block || !scratch || !conns || epoll_fd < 0)
        die("cannot start: %s", strerror(errno));
    uint64_t random = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < OFFSETS + size; i++) { /* xorshift64 */
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        block[i] = (char)(random >> 32);
    }

    connect_all(conns, total, &server);
    run(conns, total, active, warmup, UINT64_MAX);
    if (handshake) {
        puts("ready");
        fflush(stdout);
        if (getchar() == EOF)
            return 0;
    }
    double cpu_before = cpu_seconds();
    uint64_t began = now_ns();
    run(conns, total, active, seconds, count);
    double elapsed = (double)(now_ns() - began) / 1e9, cpu_used = cpu_seconds() - cpu_before;
    double idle = (double)idle_ns / 1e9;
    printf("{\"messages\": %llu, \"seconds\": %.6f, \"msgs_per_s\": %.1f, \"p50_us\": %.2f, "
           "\"p99_us\": %.2f, \"mismatches\": %llu, \"cpu_s\": %.6f, \"idle_s\": %.6f, "
           "\"cpu_fraction\": %.4f}\n",
           (unsigned long long)messages, elapsed, (double)messages / elapsed, percentile_us(0.50),
           percentile_us(0.99), (unsigned long long)mismatches, cpu_used, idle,
           cpu_used > idle ? (cpu_used - idle) / elapsed : 0.0);
    fflush(stdout);
    if (handshake)
        while (getchar() != EOF)
            ;
    return mismatches > 0;
}
