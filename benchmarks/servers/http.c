/* The smallest keep-alive HTTP/1.1 server that `requests` is content with: the far end of the
 * requests_get case, on the other CPU, so that what is measured is the client; and the C column of
 * the servers.
 *
 *   http [CASE] PORT      0 lets the kernel choose; prints "PORT n"
 *
 * Every request without a body gets the same answer. A request is whatever ends in an empty line;
 * the few bytes of the last three states are kept per fd, so a request may come in pieces.
 */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256
#define MAX_FDS 65536

static const char ANSWER[] = "HTTP/1.1 200 OK\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 12\r\n"
                             "\r\n"
                             "green room!\n";
static const char END[] = "\r\n\r\n";
static char buffer[65536];
static unsigned char matched[MAX_FDS]; /* how many bytes of END the stream of this fd ends in */

static void serve(int fd)
{
    ssize_t n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n <= 0) {
        close(fd);
        return;
    }
    for (ssize_t i = 0; i < n; i++) {
        if (buffer[i] == END[matched[fd]])
            matched[fd]++;
        else
            matched[fd] = buffer[i] == '\r';
        if (matched[fd] == 4) {
            matched[fd] = 0;
            if (send(fd, ANSWER, strlen(ANSWER), MSG_NOSIGNAL) < 0) {
                close(fd);
                return;
            }
        }
    }
}

int main(int argc, char **argv)
{
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[argc - 1]) : 0));
    socklen_t length = sizeof address;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, length) < 0 || listen(listener, 8192) < 0) {
        perror("http: cannot listen");
        return 1;
    }
    getsockname(listener, (void *)&address, &length);
    printf("PORT %d\n", ntohs(address.sin_port));
    fflush(stdout);

    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                serve(events[i].data.fd);
                continue;
            }
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= MAX_FDS)
                close(fd);
            if (fd < 0 || fd >= MAX_FDS)
                continue;
            matched[fd] = 0;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            struct epoll_event new = {.events = EPOLLIN, .data.fd = fd};
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &new);
        }
    }
}
