/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lure.c - puts things on the host that a sandbox must not reach (a file, a TCP
 * listener on loopback, an abstract socket, shared memory, a key, a secret in the
 * environment), then runs a command in which every {NAME} of its arguments is
 * replaced by the lure's value. Takes everything away again at the end.
 *
 * usage: lure DIRECTORY COMMAND ARG...
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char values[8][512];
static const char *const names[] = {"{FILE}", "{DIRECTORY}", "{PORT}", "{SOCKET}",
                                    "{SHM}",  "{PID}",       "{A}",    "{B}"};

static char *
filled(const char *argument)
{
    for (size_t i = 0; i < 8; i++) {
        const char *at = strstr(argument, names[i]);
        char *text = NULL;
        if (at == NULL)
            continue;
        if (asprintf(&text, "%.*s%s%s", (int)(at - argument), argument, values[i],
                     at + strlen(names[i])) < 0)
            exit(125);
        return text;
    }
    return strdup(argument);
}

static void
die(const char *what)
{
    fprintf(stderr, "lure: %s: %s\n", what, strerror(errno));
    exit(125);
}

int
main(int argc, char **argv)
{
    if (argc < 3)
        return 125;
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(inet);

    snprintf(values[0], sizeof(values[0]), "%s/canary", argv[1]);
    snprintf(values[1], sizeof(values[1]), "%s", argv[1]);
    int file = open(values[0], O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    if (file < 0 || write(file, "canary\n", 7) != 7)
        die("file");
    close(file);

    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(tcp, (struct sockaddr *)&inet, sizeof(inet)) < 0 || listen(tcp, 8) < 0 ||
        getsockname(tcp, (struct sockaddr *)&inet, &size) < 0)
        die("listener");
    snprintf(values[2], sizeof(values[2]), "%u", ntohs(inet.sin_port));

    snprintf(values[3], sizeof(values[3]), "billet-lure-%d", (int)getpid());
    memcpy(local.sun_path + 1, values[3], strlen(values[3]));
    int abstract = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(abstract, (struct sockaddr *)&local,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(values[3]))) < 0 ||
        listen(abstract, 8) < 0)
        die("abstract socket");

    int shm = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0666);
    char *memory = shm >= 0 ? shmat(shm, NULL, 0) : (char *)-1;
    if (memory == (char *)-1)
        die("shared memory");
    memcpy(memory, "billet-lure", 12);
    snprintf(values[4], sizeof(values[4]), "%d", shm);
    snprintf(values[5], sizeof(values[5]), "%d", (int)getpid());
    snprintf(values[6], sizeof(values[6]), "canary%d", (int)getpid());
    snprintf(values[7], sizeof(values[7]), "secret%d", (int)getppid());

    syscall(SYS_keyctl, 1, "billet-lure-session");
    syscall(SYS_add_key, "user", "billet-lure", "x", 1ul, -3);
    char secret[1100];
    snprintf(secret, sizeof(secret), "%s%s", values[6], values[7]);
    setenv("BILLET_LURE_SECRET", secret, 1);
    prctl(PR_SET_NAME, "lure", 0, 0, 0);

    char **command = calloc((size_t)argc, sizeof(*command));
    for (int i = 2; command != NULL && i < argc; i++)
        command[i - 2] = filled(argv[i]);
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        execv(command[0], command);
        die(command[0]);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    shmctl(shm, IPC_RMID, NULL);
    unlink(values[0]);
    for (int i = 2; command != NULL && i < argc; i++)
        free(command[i - 2]);
    free(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
