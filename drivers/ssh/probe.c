/* SPDX-License-Identifier: Apache-2.0 */
#include "probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "install.h"
#include "keeper.h"
#include "lease.h"

#define CLOCK_SKEW_SECONDS 30

static void
check(const struct billet_call *call, int outcome, const char *name, const char *message,
      const char *hint)
{
    ssh_host->check(call, outcome, name, message, outcome == BILLET_CHECK_PASS ? "" : hint);
}

/* "OpenSSH_9.2p1 Debian..." into major and minor. */
static bool
client_version(char *text, size_t size, int *major, int *minor)
{
    const char *argv[] = {"ssh", "-V", NULL};
    if (ssh_program_run(argv, NULL, -1, text, size) != 0)
        return false;
    text[strcspn(text, ",\r\n")] = '\0';
    return sscanf(text, "OpenSSH_%d.%d", major, minor) == 2;
}

/* false: there is no use in going on */
static bool
check_client(const struct billet_call *call, const struct ssh_settings *settings)
{
    char text[256];
    int major = 0, minor = 0;
    static const char remedy[] = "install the OpenSSH client 8.5 or later (Debian openssh-client, "
                                 "Fedora openssh-clients, Alpine openssh-client)";
    if (!client_version(text, sizeof(text), &major, &minor)) {
        check(call, BILLET_CHECK_FAIL, "client", "there is no OpenSSH client", remedy);
        return false;
    }
    bool old = major < 8 || (major == 8 && minor < 5);
    check(call,
          !old                                ? BILLET_CHECK_PASS
          : settings->check == SSH_KEY_PINNED ? BILLET_CHECK_FAIL
                                              : BILLET_CHECK_WARN,
          "client", text, remedy);
    return !old || settings->check != SSH_KEY_PINNED;
}

struct look {
    const struct billet_call *call;
};

static void
report_item(const char *item, void *context)
{
    const struct billet_call *call = ((struct look *)context)->call;
    char message[300];
    if (strncmp(item, "tar ", 4) == 0) {
        bool there = strcmp(item + 4, "yes") == 0;
        check(call, there ? BILLET_CHECK_PASS : BILLET_CHECK_WARN, "tar",
              there ? "tar streams can be brought there and back" : "the host has no program tar",
              "install tar on the host, if something is to be imported or exported there");
    } else if (strncmp(item, "flock ", 6) == 0) {
        bool there = strcmp(item + 6, "yes") == 0;
        check(call, there ? BILLET_CHECK_PASS : BILLET_CHECK_WARN, "lock",
              there ? "directories in place are locked by flock"
                    : "directories in place are locked by a directory that names its owner",
              "install util-linux on the host, so that the lock ends with the connection");
    } else if (strncmp(item, "disk ", 5) == 0) {
        bool there = strcmp(item + 5, "yes") == 0;
        snprintf(message, sizeof(message), "%s%.200s",
                 there ? "the remote directory can be written" : "cannot write: ",
                 there ? "" : item + 5 + (strncmp(item + 5, "no ", 3) == 0 ? 3 : 0));
        check(call, there ? BILLET_CHECK_PASS : BILLET_CHECK_FAIL, "disk", message,
              "free space on the host, correct the owner of the directory, or set "
              "remote_directory");
    } else if (strncmp(item, "proc ", 5) == 0) {
        bool there = strcmp(item + 5, "yes") == 0;
        check(call, there ? BILLET_CHECK_PASS : BILLET_CHECK_FAIL, "processes",
              there ? "processes are found by their environment"
                    : "the host has no /proc with environments, so processes cannot be found",
              "use a Linux host with /proc mounted, and with grep");
    } else if (strncmp(item, "clock ", 6) == 0) {
        long long skew = atoll(item + 6) - (long long)time(NULL);
        bool near = skew >= -CLOCK_SKEW_SECONDS && skew <= CLOCK_SKEW_SECONDS;
        snprintf(message, sizeof(message), "the host's clock differs by %lld s", skew);
        check(call, near ? BILLET_CHECK_PASS : BILLET_CHECK_WARN, "clock", message,
              "run a time service on both; ages of leases and times of files are wrong");
    } else if (strncmp(item, "system ", 7) == 0) {
        snprintf(message, sizeof(message), "%.200s", item + 7);
        check(call, BILLET_CHECK_PASS, "system", message, "");
    }
}

/* Whether commands will run through billet-guest; without it they do through the host's shell. */
static void
check_guest(const struct billet_call *call, struct ssh_keeper *keeper)
{
    struct ssh_guest_place place;
    char message[400];
    ssh_guest_find(keeper, call->deadline_ns, &place);
    bool there = place.path[0] != '\0' || place.missing;
    if (there)
        snprintf(message, sizeof(message), "billet-guest for %s %s", ssh_keeper_machine(keeper),
                 place.missing ? "is brought there with the first lease" : "runs there");
    else
        snprintf(message, sizeof(message),
                 "there is none: %s; commands run through the host's shell, and no workspace can "
                 "be carried there",
                 place.why);
    check(call, there ? BILLET_CHECK_PASS : BILLET_CHECK_WARN, "guest", message,
          "install the billet-guest of the host's architecture beside billet's other programs, "
          "and see that ~/.cache there is not mounted noexec");
}

/* Which of host key, key and way it was that failed. */
static void
report_failure(const struct billet_call *call, const struct billet_error *error)
{
    const char *name = strstr(error->code, "host_key") != NULL             ? "host_key"
                       : strcmp(error->code, "ssh_refused") == 0           ? "authentication"
                       : strcmp(error->code, "ssh_identity_unusable") == 0 ? "authentication"
                       : strcmp(error->code, "ssh_remote_unusable") == 0   ? "shell"
                                                                           : "connection";
    check(call, BILLET_CHECK_FAIL, name, error->message,
          error->hint[0] != '\0' ? error->hint : "try the same by hand: ssh -v to that host");
}

int32_t
ssh_probe(const struct billet_call *call, struct billet_error *error)
{
    struct ssh_settings settings;
    struct ssh_keeper *keeper = NULL;
    struct ssh_answer answer;
    struct ssh_text request = {0};
    struct look look = {.call = call};
    char message[300];
    int status = ssh_settings_read(call, &settings, error);
    if (status < 0)
        return status;
    if (!check_client(call, &settings))
        return 0;
    struct billet_error why = BILLET_ERROR_INIT;
    if (ssh_keeper_open(call, &settings, &keeper, &why) < 0) {
        report_failure(call, &why);
        return 0;
    }
    check(call, settings.check == SSH_KEY_ACCEPT_NEW ? BILLET_CHECK_WARN : BILLET_CHECK_PASS,
          "host_key",
          settings.check == SSH_KEY_PINNED   ? "is a pinned one"
          : settings.check == SSH_KEY_STRICT ? "is the known one"
                                             : "the first key that is shown is taken",
          "set host_key, or host_key_check = strict once the key is known");
    snprintf(message, sizeof(message), "accepted, as user id %s", ssh_keeper_uid(keeper));
    check(call, BILLET_CHECK_PASS, "authentication", message, "");
    snprintf(message, sizeof(message), "/bin/sh answers; the login shell wrote %zu bytes first",
             ssh_keeper_noise(keeper));
    check(call, ssh_keeper_noise(keeper) > 4096 ? BILLET_CHECK_WARN : BILLET_CHECK_PASS, "shell",
          message, "silence the start files of the login shell: they are read for every command");
    ssh_text_add(&request, "look ");
    ssh_text_word(&request, settings.remote_directory);
    if (request.failed || ssh_keeper_ask(keeper, request.bytes, call->deadline_ns, &answer,
                                         report_item, &look, &why) != 0)
        report_failure(call, &why);
    ssh_text_free(&request);
    check_guest(call, keeper);
    ssh_keeper_close(keeper);
    return 0;
}

int32_t
ssh_dump(const struct billet_call *call, struct billet_error *error)
{
    (void)error;
    char text[256];
    int major, minor;
    bool there = client_version(text, sizeof(text), &major, &minor);
    ssh_host->fact(call, "client", there ? text : "none");
    ssh_host->fact(call, "kill", "environment label and session, by a shell on the host");
    return 0;
}
