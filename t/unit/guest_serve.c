/* SPDX-License-Identifier: Apache-2.0 */
/* billet-guest serve as a program, and clients that break the rules: each ends it with one line
 * that says why, and with everything dead that it had started. */

#include <billet/driver.h>
#include <billet/guest.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NONCE "0123456789abcdef0123456789abcdef"
#define WAIT_MS 20000

/* How long what is started sleeps: by that it is found, and each test's own. */
static char seconds[16];

struct guest {
    pid_t pid;
    int to, from, said;
    struct billet_guest_decoder decoder;
};

static void
begin(struct guest *guest)
{
    const char *directory = getenv("top_builddir") != NULL ? getenv("top_builddir") : ".";
    int in[2], out[2], err[2];
    char path[4096];
    memset(guest, 0, sizeof(*guest));
    snprintf(seconds, sizeof(seconds), "4%08d", (int)getpid());
    /* T_GUEST: another one, such as that of another architecture. */
    const char *program = getenv("T_GUEST");
    if (program != NULL)
        snprintf(path, sizeof(path), "%s", program);
    else
        snprintf(path, sizeof(path), "%s/core/guest/billet-guest", directory);
    ck_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 &&
              pipe2(err, O_CLOEXEC) == 0);
    guest->pid = fork();
    ck_assert_int_ge(guest->pid, 0);
    if (guest->pid == 0) {
        dup2(in[0], 0), dup2(out[1], 1), dup2(err[1], 2);
        if (program != NULL) /* kept over exec; see core/guest/serve.c */
            prctl(PR_SET_CHILD_SUBREAPER, 1);
        execl(path, "billet-guest", "serve", NONCE, (char *)NULL);
        _exit(127);
    }
    close(in[0]), close(out[1]), close(err[1]);
    guest->to = in[1];
    guest->from = out[0];
    guest->said = err[0];
}

static void
put(struct guest *guest, const void *bytes, size_t size)
{
    const char *from = bytes;
    while (size > 0) {
        ssize_t done = write(guest->to, from, size);
        if (done < 0 && errno == EPIPE)
            return; /* it has had enough */
        ck_assert_int_gt(done, 0);
        from += done;
        size -= (size_t)done;
    }
}

static void
put_frame(struct guest *guest, unsigned type, unsigned stream, unsigned channel,
          const void *payload, size_t size)
{
    uint8_t header[BILLET_GUEST_HEADER];
    billet_guest_header(header, (uint16_t)type, (uint16_t)stream, channel, (uint32_t)size);
    put(guest, header, sizeof(header));
    put(guest, payload, size);
}

static void
put_number(struct guest *guest, unsigned type, unsigned stream, uint64_t number, unsigned bytes)
{
    uint8_t payload[8];
    billet_guest_put(payload, number, bytes);
    put_frame(guest, type, stream, 1, payload, bytes);
}

static void
put_hello(struct guest *guest, uint32_t version, uint32_t silence)
{
    uint8_t hello[8];
    billet_guest_put(hello, version, 4);
    billet_guest_put(hello + 4, silence, 4);
    put_frame(guest, BILLET_GUEST_HELLO, 0, 0, hello, sizeof(hello));
}

/* directory, label, arguments ..., NULL */
static void
put_exec(struct guest *guest, unsigned channel, struct billet_guest_exec exec, ...)
{
    uint8_t payload[4096];
    size_t length = BILLET_GUEST_EXEC_FIXED;
    va_list list;
    va_start(list, exec);
    for (const char *text; (text = va_arg(list, const char *)) != NULL; length += strlen(text) + 1)
        memcpy(payload + length, text, strlen(text) + 1);
    va_end(list);
    billet_guest_exec_write(payload, &exec);
    put_frame(guest, BILLET_GUEST_EXEC, 0, channel, payload, length);
}

/* A command that reads nothing and ends when it is killed. */
static void
put_sleep(struct guest *guest, unsigned channel)
{
    put_exec(guest, channel, (struct billet_guest_exec){.argc = 2}, "/", "", "sleep", seconds,
             NULL);
}

/* Up to the next frame: 1, or 0 at the end. */
static int
next_frame(struct guest *guest, struct billet_guest_frame *frame)
{
    for (;;) {
        size_t room = 0;
        int result = billet_guest_decode(&guest->decoder, frame);
        ck_assert_int_ge(result, 0);
        if (result > 0)
            return 1;
        struct pollfd set = {.fd = guest->from, .events = POLLIN};
        ck_assert_msg(poll(&set, 1, WAIT_MS) > 0, "the guest says nothing");
        uint8_t *to = billet_guest_decoder_room(&guest->decoder, &room);
        ssize_t got = read(guest->from, to, room);
        if (got <= 0)
            return 0;
        guest->decoder.end += (size_t)got;
    }
}

static bool
await_frame(struct guest *guest, unsigned type, struct billet_guest_frame *frame)
{
    while (next_frame(guest, frame))
        if (frame->type == type)
            return true;
    return false;
}

/* The line with the nonce, and the hello. */
static void
await_hello(struct guest *guest)
{
    char line[128] = "";
    struct billet_guest_frame frame;
    size_t length = strlen("\n" BILLET_GUEST_MAGIC NONCE "\n");
    for (size_t at = 0; at < length; at++)
        ck_assert_int_eq(read(guest->from, line + at, 1), 1);
    ck_assert_str_eq(line, "\n" BILLET_GUEST_MAGIC NONCE "\n");
    ck_assert(next_frame(guest, &frame));
    ck_assert_int_eq(frame.type, BILLET_GUEST_HELLO);
    ck_assert_uint_eq(billet_guest_get(frame.payload, 4), BILLET_GUEST_VERSION_LOWEST);
    ck_assert_uint_eq(billet_guest_get(frame.payload + 4, 4), BILLET_GUEST_VERSION);
}

static void
greet(struct guest *guest)
{
    await_hello(guest);
    put_hello(guest, BILLET_GUEST_VERSION, 0);
}

static bool
sleeps(void)
{
    char command[64];
    snprintf(command, sizeof(command), "pgrep -fx 'sleep %s' >/dev/null", seconds);
    return system(command) == 0;
}

/* It ends by itself: its status, and what it said. */
static int
await_end(struct guest *guest, char said[256])
{
    size_t length = 0;
    int status = -1;
    char rest[65536];
    for (;;) {
        struct pollfd set[2] = {{.fd = guest->said, .events = POLLIN},
                                {.fd = guest->from, .events = POLLIN}};
        ck_assert_msg(poll(set, 2, WAIT_MS) > 0, "the guest does not end");
        if (set[1].revents != 0 && read(guest->from, rest, sizeof(rest)) <= 0) {
            close(guest->from);
            guest->from = -1;
        }
        if (set[0].revents == 0)
            continue;
        ssize_t got = read(guest->said, said + length, 255 - length);
        if (got <= 0)
            break;
        length += (size_t)got;
    }
    said[length] = '\0';
    ck_assert_int_eq(waitpid(guest->pid, &status, 0), guest->pid);
    billet_guest_decoder_free(&guest->decoder);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- clients that break the rules ------------------------------------------------------------ */

static void
garbage(struct guest *guest)
{
    uint8_t bytes[64];
    memset(bytes, 0xa5, sizeof(bytes));
    put(guest, bytes, sizeof(bytes));
}

static void
text(struct guest *guest)
{
    put(guest, "GET / HTTP/1.1\r\n\r\n", 18);
}

static void
header_of(struct guest *guest, unsigned type, unsigned stream, unsigned channel, uint32_t size)
{
    uint8_t header[BILLET_GUEST_HEADER];
    billet_guest_header(header, (uint16_t)type, (uint16_t)stream, channel, size);
    put(guest, header, sizeof(header));
}

static void
too_long(struct guest *guest)
{
    header_of(guest, BILLET_GUEST_DATA, 0, 1, (64u << 10) + 1);
}

static void
four_gigabytes(struct guest *guest)
{
    header_of(guest, BILLET_GUEST_EXEC, 0, 1, UINT32_MAX);
}

static void
unknown_type(struct guest *guest)
{
    header_of(guest, 999, 0, 1, 0);
}

static void
unknown_stream(struct guest *guest)
{
    header_of(guest, BILLET_GUEST_DATA, BILLET_GUEST_STREAMS, 1, 0);
}

static void
command_without_a_channel(struct guest *guest)
{
    header_of(guest, BILLET_GUEST_CANCEL, 0, 0, 0);
}

static void
ping_on_a_channel(struct guest *guest)
{
    header_of(guest, BILLET_GUEST_PING, 0, 1, 0);
}

static void
hello_twice(struct guest *guest)
{
    put_hello(guest, BILLET_GUEST_VERSION, 0);
}

static void
pong(struct guest *guest)
{
    put_frame(guest, BILLET_GUEST_PONG, 0, 0, NULL, 0);
}

static void
exit_of_a_client(struct guest *guest)
{
    static const uint8_t bytes[BILLET_GUEST_EXIT_SIZE];
    put_frame(guest, BILLET_GUEST_EXIT, 0, 1, bytes, sizeof(bytes));
}

static void
exec_too_short(struct guest *guest)
{
    static const uint8_t bytes[BILLET_GUEST_EXEC_FIXED + 1];
    put_frame(guest, BILLET_GUEST_EXEC, 0, 1, bytes, sizeof(bytes));
}

static void
exec_of_nothing(struct guest *guest)
{
    put_exec(guest, 1, (struct billet_guest_exec){.argc = 0}, "/", "", NULL);
}

static void
exec_of_fewer_arguments(struct guest *guest)
{
    put_exec(guest, 1, (struct billet_guest_exec){.argc = 3}, "/", "", "sleep", seconds, NULL);
}

static void
exec_of_more_arguments(struct guest *guest)
{
    put_exec(guest, 1, (struct billet_guest_exec){.argc = 1}, "/", "", "sleep", seconds, NULL);
}

static void
exec_of_4294967295_arguments(struct guest *guest)
{
    put_exec(guest, 1, (struct billet_guest_exec){.argc = UINT32_MAX, .envc = 3}, "/", "", "sleep",
             seconds, NULL);
}

static void
exec_without_a_last_nul(struct guest *guest)
{
    uint8_t payload[BILLET_GUEST_EXEC_FIXED + 8];
    struct billet_guest_exec exec = {.argc = 1};
    billet_guest_exec_write(payload, &exec);
    memcpy(payload + BILLET_GUEST_EXEC_FIXED, "/\0\0sleep", 8);
    put_frame(guest, BILLET_GUEST_EXEC, 0, 1, payload, sizeof(payload));
}

static void
exec_with_a_variable_without_name(struct guest *guest)
{
    put_exec(guest, 1, (struct billet_guest_exec){.argc = 1, .envc = 1}, "/", "", "true", "=x",
             NULL);
}

static void
exec_with_unknown_flags(struct guest *guest)
{
    put_exec(guest, 1, (struct billet_guest_exec){.argc = 1, .flags = 0x80}, "/", "", "true", NULL);
}

static void
exec_with_a_terminal_and_no_input(struct guest *guest)
{
    put_exec(
        guest, 1,
        (struct billet_guest_exec){.flags = BILLET_GUEST_PTY | BILLET_GUEST_NO_INPUT, .argc = 1},
        "/", "", "true", NULL);
}

static void
the_end_of_no_input(struct guest *guest)
{
    put_exec(guest, 1, (struct billet_guest_exec){.flags = BILLET_GUEST_NO_INPUT, .argc = 2}, "/",
             "", "sleep", seconds, NULL);
    put_frame(guest, BILLET_GUEST_EOF, 0, 1, NULL, 0);
}

static void
exec_with_less_than_no_time(struct guest *guest)
{
    put_exec(guest, 1, (struct billet_guest_exec){.argc = 1, .timeout_ns = -1}, "/", "", "true",
             NULL);
}

static void
a_channel_twice(struct guest *guest)
{
    put_sleep(guest, 1);
    put_sleep(guest, 1);
}

static void
a_channel_too_many(struct guest *guest)
{
    for (unsigned i = 1; i <= BILLET_GUEST_CHANNELS + 1; i++)
        put_sleep(guest, i);
}

static void
more_than_the_credit(struct guest *guest)
{
    static const uint8_t bytes[32768];
    put_sleep(guest, 1);
    /* The pipe of the command takes some of it, for which credit comes. */
    for (size_t done = 0; done <= 2 * BILLET_GUEST_WINDOW; done += sizeof(bytes))
        put_frame(guest, BILLET_GUEST_DATA, 0, 1, bytes, sizeof(bytes));
}

static void
data_for_the_output(struct guest *guest)
{
    put_sleep(guest, 1);
    put_frame(guest, BILLET_GUEST_DATA, 1, 1, "x", 1);
}

static void
the_end_twice(struct guest *guest)
{
    put_sleep(guest, 1);
    put_frame(guest, BILLET_GUEST_EOF, 0, 1, NULL, 0);
    put_frame(guest, BILLET_GUEST_EOF, 0, 1, NULL, 0);
}

static void
data_after_the_end(struct guest *guest)
{
    put_sleep(guest, 1);
    put_frame(guest, BILLET_GUEST_EOF, 0, 1, NULL, 0);
    put_frame(guest, BILLET_GUEST_DATA, 0, 1, "x", 1);
}

static void
credit_for_the_input(struct guest *guest)
{
    put_sleep(guest, 1);
    put_number(guest, BILLET_GUEST_CREDIT, 0, 1, 4);
}

static void
credit_that_was_not_used(struct guest *guest)
{
    put_sleep(guest, 1);
    put_number(guest, BILLET_GUEST_CREDIT, 1, 1, 4);
}

static void
credit_beyond_all_numbers(struct guest *guest)
{
    put_sleep(guest, 1);
    put_number(guest, BILLET_GUEST_CREDIT, 2, UINT32_MAX, 4);
}

static void
signal_0(struct guest *guest)
{
    put_sleep(guest, 1);
    put_number(guest, BILLET_GUEST_SIGNAL, 0, 0, 8);
}

static void
signal_65(struct guest *guest)
{
    put_sleep(guest, 1);
    put_number(guest, BILLET_GUEST_SIGNAL, 0, 65, 8);
}

static void
signal_in_few_words(struct guest *guest)
{
    put_sleep(guest, 1);
    put_number(guest, BILLET_GUEST_SIGNAL, 0, 15, 4);
}

static const struct {
    void (*tell)(struct guest *guest);
    const char *wrong;
} lies[] = {
    {garbage, "what comes is not a frame"},
    {text, "what comes is not a frame"},
    {too_long, "what comes is not a frame"},
    {four_gigabytes, "what comes is not a frame"},
    {unknown_type, "what comes is not a frame"},
    {unknown_stream, "what comes is not a frame"},
    {command_without_a_channel, "what comes is not a frame"},
    {ping_on_a_channel, "what comes is not a frame"},
    {hello_twice, "the hello of the client is not understood"},
    {pong, "a frame is not for the guest"},
    {exit_of_a_client, "a frame is not for the guest"},
    {exec_too_short, "a command is not described as it should be"},
    {exec_of_nothing, "a command is not described as it should be"},
    {exec_of_fewer_arguments, "a command is not described as it should be"},
    {exec_of_more_arguments, "a command is not described as it should be"},
    {exec_of_4294967295_arguments, "a command is not described as it should be"},
    {exec_without_a_last_nul, "a command is not described as it should be"},
    {exec_with_a_variable_without_name, "a command is not described as it should be"},
    {exec_with_unknown_flags, "a command is not described as it should be"},
    {exec_with_a_terminal_and_no_input, "a command is not described as it should be"},
    {exec_with_less_than_no_time, "a command is not described as it should be"},
    {a_channel_twice, "a channel is opened twice, or one too many"},
    {a_channel_too_many, "a channel is opened twice, or one too many"},
    {more_than_the_credit, "a frame of a command is not what it should be"},
    {data_for_the_output, "a frame of a command is not what it should be"},
    {the_end_twice, "a frame of a command is not what it should be"},
    {the_end_of_no_input, "a frame of a command is not what it should be"},
    {data_after_the_end, "a frame of a command is not what it should be"},
    {credit_for_the_input, "a frame of a command is not what it should be"},
    {credit_that_was_not_used, "a frame of a command is not what it should be"},
    {credit_beyond_all_numbers, "a frame of a command is not what it should be"},
    {signal_0, "a frame of a command is not what it should be"},
    {signal_65, "a frame of a command is not what it should be"},
    {signal_in_few_words, "a frame of a command is not what it should be"},
};

static void
assert_refused(struct guest *guest, const char *wrong, int number)
{
    char said[256], expected[256];
    int status = await_end(guest, said);
    snprintf(expected, sizeof(expected), "billet-guest: %s\n", wrong);
    ck_assert_msg(status == 1 && strcmp(said, expected) == 0, "case %d: %d %s", number, status,
                  said);
    ck_assert_msg(!sleeps(), "case %d left a process", number);
}

START_TEST(a_client_that_breaks_the_rules_is_one_clear_error)
{
    struct guest guest;
    begin(&guest);
    greet(&guest);
    lies[_i].tell(&guest);
    assert_refused(&guest, lies[_i].wrong, _i);
}
END_TEST

START_TEST(nothing_comes_before_a_hello_of_this_version)
{
    struct guest guest;
    begin(&guest);
    put_frame(&guest, BILLET_GUEST_PING, 0, 0, NULL, 0);
    assert_refused(&guest, "the client did not begin with a hello", 0);
    for (uint32_t version = 0; version < 4; version++) {
        if (version == BILLET_GUEST_VERSION)
            continue;
        begin(&guest);
        put_hello(&guest, version, 0);
        assert_refused(&guest, "the hello of the client is not understood", (int)version);
    }
    begin(&guest);
    put_frame(&guest, BILLET_GUEST_HELLO, 0, 0, "1234567", 7);
    assert_refused(&guest, "the hello of the client is not understood", 4);
}
END_TEST

/* ---- ends that are no fault --------------------------------------------------------------------
 */

START_TEST(the_end_of_the_input_is_the_end_of_everything)
{
    struct guest guest;
    struct billet_guest_frame frame;
    char said[256];
    begin(&guest);
    greet(&guest);
    put_exec(&guest, 1, (struct billet_guest_exec){.argc = 4}, "/", "", "sh", "-c",
             "trap '' TERM HUP; setsid sleep $0 & env -i sleep $0 & sleep $0", seconds, NULL);
    ck_assert(await_frame(&guest, BILLET_GUEST_STARTED, &frame));
    /* In the middle of a frame, too. */
    header_of(&guest, BILLET_GUEST_DATA, 0, 1, 1000);
    close(guest.to);
    ck_assert_int_eq(await_end(&guest, said), 0);
    ck_assert_str_eq(said, "");
    ck_assert(!sleeps());
}
END_TEST

/* ---- the process that is made ahead ---------------------------------------------------------- */

/* Not beside a sanitizer, nor in an emulator without that kind of process. */
static bool
makes_ahead(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return false;
#else
    return getenv("T_GUEST") == NULL;
#endif
}

/* The only child of a guest without commands; 0: it has none. */
static pid_t
child_of(pid_t parent)
{
    char path[64];
    int child = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *list = fopen(path, "re");
    ck_assert_ptr_nonnull(list);
    if (fscanf(list, "%d", &child) != 1)
        child = 0;
    fclose(list);
    return child;
}

static void
short_while(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

/* It waits: it has slept, and its descriptors are its own. */
static bool
waits(pid_t pid)
{
    char path[64], line[128] = "", state = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd/0", (int)pid);
    ssize_t length = readlink(path, line, sizeof(line) - 1);
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *stat = fopen(path, "re");
    bool told = stat != NULL && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1;
    if (stat != NULL)
        fclose(stat);
    return told && state == 'S' && length > 0 && strcmp(line, "/dev/null") == 0;
}

static pid_t
await_child(const struct guest *guest)
{
    for (int i = 0; i < WAIT_MS / 5; i++, short_while()) {
        pid_t child = child_of(guest->pid);
        if (child != 0 && waits(child))
            return child;
    }
    ck_abort_msg("no process is made ahead");
    return 0;
}

/* False: no process is made ahead here, and no guest was begun. */
static bool
begin_ahead(struct guest *guest)
{
    if (!makes_ahead())
        return false;
    begin(guest);
    greet(guest);
    return true;
}

/* What the one command that runs says, up to its end; its process id. */
static pid_t
read_command(struct guest *guest, char *said, size_t size, struct billet_guest_exit *end)
{
    struct billet_guest_frame frame;
    pid_t pid = 0;
    size_t length = 0;
    while (next_frame(guest, &frame) && frame.type != BILLET_GUEST_EXIT) {
        if (frame.type == BILLET_GUEST_STARTED)
            pid = (pid_t)billet_guest_get(frame.payload, 8);
        if (frame.type != BILLET_GUEST_DATA || frame.size >= size - length)
            continue;
        memcpy(said + length, frame.payload, frame.size);
        length += frame.size;
    }
    said[length] = '\0';
    ck_assert_int_eq(frame.type, BILLET_GUEST_EXIT);
    ck_assert_int_eq(billet_guest_exit_read(&frame, end), 0);
    return pid;
}

/* A command that does well; its process id. */
static pid_t
run_echo(struct guest *guest, unsigned channel)
{
    struct billet_guest_exit end;
    char said[512];
    put_exec(guest, channel, (struct billet_guest_exec){.argc = 2}, "/", "", "echo", "well", NULL);
    pid_t pid = read_command(guest, said, sizeof(said), &end);
    ck_assert_str_eq(said, "well\n");
    ck_assert(end.outcome == BILLET_OUTCOME_EXITED && end.value == 0);
    return pid;
}

START_TEST(a_process_is_made_ahead_and_becomes_the_next_command)
{
    static const char script[] =
        "echo $$ $1; pwd; cat; readlink /proc/self/fd/0 | cut -c 1-5; ls /proc/self/fd | wc -l; "
        "kill -0 $PPID; ps -o sid= -p $$ | tr -d ' '; exit 3";
    struct guest guest;
    struct billet_guest_exit end;
    char said[512], expected[512];
    if (!begin_ahead(&guest))
        return;
    pid_t before = 0;
    for (unsigned i = 0; i < 4; i++) {
        bool no_input = i % 2 == 1;
        pid_t child = await_child(&guest);
        ck_assert_int_ne(child, before);
        struct billet_guest_exec exec = {.flags = no_input ? BILLET_GUEST_NO_INPUT : 0, .argc = 5};
        put_exec(&guest, i + 1, exec, "/proc", "", "sh", "-c", script, "sh", seconds, NULL);
        if (!no_input) {
            put_frame(&guest, BILLET_GUEST_DATA, 0, i + 1, "input\n", 6);
            put_frame(&guest, BILLET_GUEST_EOF, 0, i + 1, NULL, 0);
        }
        ck_assert_int_eq(read_command(&guest, said, sizeof(said), &end), child);
        /* Descriptors: 0, 1, 2 and that of ls. */
        snprintf(expected, sizeof(expected), "%d %s\n/proc\n%s\n4\n%d\n", (int)child, seconds,
                 no_input ? "/dev/" : "input\npipe:", (int)child);
        ck_assert_str_eq(said, expected);
        ck_assert(end.outcome == BILLET_OUTCOME_EXITED && end.value == 3);
        before = child;
    }
    close(guest.to);
    ck_assert_int_eq(await_end(&guest, said), 0);
}
END_TEST

/* Then the next command has a process of its own. It dies with the guest, too, however that ends.
 */
START_TEST(a_process_that_was_made_ahead_may_die_or_be_stopped)
{
    static const int signals[] = {SIGKILL, SIGTERM, SIGSTOP};
    struct guest guest;
    if (!begin_ahead(&guest))
        return;
    for (unsigned i = 0; i < 3; i++) {
        pid_t child = await_child(&guest);
        kill(child, signals[i]);
        while (i == 0 && child_of(guest.pid) != 0)
            short_while();
        ck_assert_int_ne(run_echo(&guest, i + 1), child);
    }
    pid_t child = await_child(&guest);
    kill(guest.pid, SIGKILL);
    for (int i = 0; i < WAIT_MS / 5 && kill(child, 0) == 0 && waits(child); i++)
        short_while();
    ck_assert(kill(child, 0) != 0 || !waits(child));
    ck_assert_int_eq(waitpid(guest.pid, NULL, 0), guest.pid);
    billet_guest_decoder_free(&guest.decoder);
}
END_TEST

/* It is no orphan of a command on a terminal, which does not take it. */
START_TEST(the_end_of_another_command_leaves_the_process_that_was_made_ahead)
{
    struct guest guest;
    struct billet_guest_frame frame;
    char said[256];
    if (!begin_ahead(&guest))
        return;
    pid_t child = await_child(&guest);
    put_exec(&guest, 1, (struct billet_guest_exec){.flags = BILLET_GUEST_PTY, .argc = 2}, "/", "",
             "sleep", seconds, NULL);
    ck_assert(await_frame(&guest, BILLET_GUEST_STARTED, &frame));
    put_frame(&guest, BILLET_GUEST_CANCEL, 0, 1, NULL, 0);
    ck_assert(await_frame(&guest, BILLET_GUEST_EXIT, &frame));
    ck_assert_int_eq(run_echo(&guest, 2), child);
    close(guest.to);
    ck_assert_int_eq(await_end(&guest, said), 0);
}
END_TEST

static int
count_descriptors(pid_t pid)
{
    char path[64];
    int count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *list = opendir(path);
    ck_assert_ptr_nonnull(list);
    while (readdir(list) != NULL)
        count++;
    closedir(list);
    return count;
}

/* What it left in the background meets a closed pipe. */
START_TEST(what_a_command_had_is_closed_while_another_says_nothing)
{
    struct guest guest;
    struct billet_guest_frame frame;
    char said[256];
    begin(&guest);
    greet(&guest);
    /* The first command takes it for certain, so that its descriptors are not counted. */
    if (makes_ahead())
        await_child(&guest);
    put_sleep(&guest, 1);
    ck_assert(await_frame(&guest, BILLET_GUEST_STARTED, &frame));
    int before = count_descriptors(guest.pid), after = 0;
    put_exec(&guest, 2, (struct billet_guest_exec){.argc = 4}, "/", "", "sh", "-c", "sleep $0 &",
             seconds, NULL);
    ck_assert(await_frame(&guest, BILLET_GUEST_EXIT, &frame));
    for (int i = 0; i < 400 && (after = count_descriptors(guest.pid)) > before; i++)
        short_while();
    ck_assert_int_eq(after, before);
    close(guest.to);
    ck_assert_int_eq(await_end(&guest, said), 0);
    ck_assert(!sleeps());
}
END_TEST

/* Before any word that it began; what fails is the last step of its start. _i: by a process that
 * was made ahead. */
START_TEST(a_command_that_cannot_be_executed_is_told_as_such)
{
    static const struct {
        const char *directory, *command;
        int outcome, value;
    } commands[] = {{"/", "/nowhere/at-all", BILLET_OUTCOME_NOT_FOUND, ENOENT},
                    {"/", "billet-is-no-command", BILLET_OUTCOME_NOT_FOUND, ENOENT},
                    {"/", "/dev/null", BILLET_OUTCOME_NOT_INVOCABLE, EACCES},
                    {"/nowhere", "true", BILLET_GUEST_OUTCOME_DIRECTORY, ENOENT}};
    struct guest guest;
    struct billet_guest_frame frame;
    struct billet_guest_exit end;
    char said[256];
    begin(&guest);
    greet(&guest);
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (_i == 1 && makes_ahead())
            await_child(&guest);
        put_exec(&guest, i + 1, (struct billet_guest_exec){.argc = 1}, commands[i].directory, "",
                 commands[i].command, NULL);
        do {
            ck_assert(next_frame(&guest, &frame));
            ck_assert_uint_ne(frame.type, BILLET_GUEST_STARTED);
        } while (frame.type != BILLET_GUEST_EXIT);
        ck_assert_int_eq(billet_guest_exit_read(&frame, &end), 0);
        ck_assert_int_eq(end.outcome, commands[i].outcome);
        ck_assert_int_eq(end.value, commands[i].value);
    }
    close(guest.to);
    ck_assert_int_eq(await_end(&guest, said), 0);
}
END_TEST

START_TEST(a_silent_client_is_left)
{
    struct guest guest;
    char said[256];
    begin(&guest);
    await_hello(&guest);
    put_hello(&guest, BILLET_GUEST_VERSION, 1);
    put_sleep(&guest, 1);
    ck_assert_int_eq(await_end(&guest, said), 0);
    ck_assert(!sleeps());
}
END_TEST

START_TEST(what_is_said_to_a_command_that_has_ended_is_let_go)
{
    struct guest guest;
    struct billet_guest_frame frame;
    char said[256];
    begin(&guest);
    greet(&guest);
    put_exec(&guest, 1, (struct billet_guest_exec){.argc = 1}, "/", "", "true", NULL);
    ck_assert(await_frame(&guest, BILLET_GUEST_EXIT, &frame));
    put_frame(&guest, BILLET_GUEST_DATA, 0, 1, "x", 1);
    put_frame(&guest, BILLET_GUEST_EOF, 0, 1, NULL, 0);
    put_number(&guest, BILLET_GUEST_SIGNAL, 0, 15, 8);
    put_frame(&guest, BILLET_GUEST_CANCEL, 0, 1, NULL, 0);
    put_frame(&guest, BILLET_GUEST_PING, 0, 0, NULL, 0);
    ck_assert(await_frame(&guest, BILLET_GUEST_PONG, &frame));
    close(guest.to);
    ck_assert_int_eq(await_end(&guest, said), 0);
}
END_TEST

/* A client that asks and asks and reads no answer is not listened to any more: memory is bounded,
 * and nothing is lost once it reads. */
START_TEST(a_client_that_reads_nothing_does_not_fill_the_memory)
{
    enum { PINGS = 600000 };
    struct guest guest;
    struct billet_guest_frame frame;
    uint8_t ping[BILLET_GUEST_HEADER];
    char path[64], line[256], said[256];
    long kilobytes = -1;
    int sent = 0, answered = 0;
    begin(&guest);
    greet(&guest);
    billet_guest_header(ping, BILLET_GUEST_PING, 0, 0, 0);
    fcntl(guest.to, F_SETFL, O_NONBLOCK);
    for (; sent < PINGS; sent++) {
        struct pollfd set = {.fd = guest.to, .events = POLLOUT};
        if (write(guest.to, ping, sizeof(ping)) == (ssize_t)sizeof(ping))
            continue;
        if (poll(&set, 1, 500) == 0)
            break;
        sent--;
    }
    ck_assert_msg(sent < PINGS, "it took everything");
    snprintf(path, sizeof(path), "/proc/%d/status", (int)guest.pid);
    FILE *status = fopen(path, "re");
    while (status != NULL && fgets(line, sizeof(line), status) != NULL)
        if (sscanf(line, "VmRSS: %ld", &kilobytes) == 1)
            break;
    fclose(status);
    ck_assert_msg(kilobytes > 0 && kilobytes < 64 * 1024, "%ld KiB", kilobytes);
    for (; answered < sent; answered++)
        ck_assert(await_frame(&guest, BILLET_GUEST_PONG, &frame));
    close(guest.to);
    ck_assert_int_eq(await_end(&guest, said), 0);
}
END_TEST

/* Cancelled after the end, with output that nobody takes: EXIT comes nevertheless. */
START_TEST(cancel_after_the_end_lets_the_rest_go)
{
    struct guest guest;
    struct billet_guest_frame frame;
    struct billet_guest_exit end;
    char said[256];
    begin(&guest);
    greet(&guest);
    put_exec(&guest, 1, (struct billet_guest_exec){.argc = 4}, "/", "", "head", "-c", "300000",
             "/dev/zero", NULL);
    /* The input that is not wanted any more says that the command has ended. */
    bool ended = false;
    while (!ended && next_frame(&guest, &frame))
        ended = frame.type == BILLET_GUEST_EOF && frame.stream == 0;
    ck_assert(ended);
    put_frame(&guest, BILLET_GUEST_CANCEL, 0, 1, NULL, 0);
    ck_assert(await_frame(&guest, BILLET_GUEST_EXIT, &frame));
    ck_assert_int_eq(billet_guest_exit_read(&frame, &end), 0);
    ck_assert_int_eq(end.outcome, BILLET_OUTCOME_EXITED);
    close(guest.to);
    ck_assert_int_eq(await_end(&guest, said), 0);
}
END_TEST

int
main(void)
{
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("guest_serve");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 60);
    tcase_add_loop_test(all, a_client_that_breaks_the_rules_is_one_clear_error, 0,
                        (int)(sizeof(lies) / sizeof(lies[0])));
    tcase_add_test(all, nothing_comes_before_a_hello_of_this_version);
    tcase_add_test(all, the_end_of_the_input_is_the_end_of_everything);
    tcase_add_test(all, a_process_is_made_ahead_and_becomes_the_next_command);
    tcase_add_test(all, a_process_that_was_made_ahead_may_die_or_be_stopped);
    tcase_add_test(all, the_end_of_another_command_leaves_the_process_that_was_made_ahead);
    tcase_add_test(all, what_a_command_had_is_closed_while_another_says_nothing);
    tcase_add_loop_test(all, a_command_that_cannot_be_executed_is_told_as_such, 0, 2);
    tcase_add_test(all, a_silent_client_is_left);
    tcase_add_test(all, what_is_said_to_a_command_that_has_ended_is_let_go);
    tcase_add_test(all, a_client_that_reads_nothing_does_not_fill_the_memory);
    tcase_add_test(all, cancel_after_the_end_lets_the_rest_go);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}
