/* SPDX-License-Identifier: Apache-2.0 */
/* What is at the other end of the connection is not to be believed: guests that lie, break off or
 * say nothing, in place of billet-guest on a real sshd. This program is also those guests: run as
 * ssh_guest CASE NONCE. */

#include <billet/guest.h>

#include "guest.h"
#include "ssh.h"
#include "ssh_fixture.h"

/* ---- the fake guest ------------------------------------------------------------------------ */

static void
put(const void *bytes, size_t size)
{
    const char *from = bytes;
    while (size > 0) {
        ssize_t done = write(STDOUT_FILENO, from, size);
        if (done <= 0)
            _exit(3);
        from += done;
        size -= (size_t)done;
    }
}

static void
put_frame(unsigned type, unsigned stream, unsigned channel, const void *payload, size_t size)
{
    uint8_t header[BILLET_GUEST_HEADER];
    billet_guest_header(header, (uint16_t)type, (uint16_t)stream, channel, (uint32_t)size);
    put(header, sizeof(header));
    put(payload, size);
}

static void
put_number(unsigned type, unsigned stream, uint64_t number, unsigned bytes)
{
    uint8_t payload[8];
    billet_guest_put(payload, number, bytes);
    put_frame(type, stream, 1, payload, bytes);
}

static void
put_exit(int outcome, int value)
{
    uint8_t bytes[BILLET_GUEST_EXIT_SIZE];
    struct billet_guest_exit end = {.outcome = outcome, .value = value};
    billet_guest_exit_write(bytes, &end);
    put_frame(BILLET_GUEST_EXIT, 0, 1, bytes, sizeof(bytes));
}

static void
greet(const char *nonce, uint32_t lowest, uint32_t highest, uint64_t can)
{
    uint8_t hello[16 + 9] = {0};
    char line[128];
    int length = snprintf(line, sizeof(line), "\n%s%s\n", BILLET_GUEST_MAGIC, nonce);
    put(line, (size_t)length);
    billet_guest_put(hello, lowest, 4);
    billet_guest_put(hello + 4, highest, 4);
    billet_guest_put(hello + 8, can, 8);
    memcpy(hello + 16, "1\0x86_64", 9);
    put_frame(BILLET_GUEST_HELLO, 0, 0, hello, sizeof(hello));
}

/* Everything that comes up to the first EXEC. */
static void
await_exec(void)
{
    static struct billet_guest_decoder decoder;
    struct billet_guest_frame frame;
    for (;;) {
        size_t room = 0;
        int result = billet_guest_decode(&decoder, &frame);
        if (result > 0 && frame.type == BILLET_GUEST_EXEC)
            return;
        if (result > 0)
            continue;
        uint8_t *to = billet_guest_decoder_room(&decoder, &room);
        ssize_t got = result == 0 ? read(STDIN_FILENO, to, room) : 0;
        if (got <= 0)
            _exit(4);
        decoder.end += (size_t)got;
    }
}

static void
linger(void)
{
    char bytes[4096];
    while (read(STDIN_FILENO, bytes, sizeof(bytes)) > 0)
        ;
}

static void
flood(uint64_t total, unsigned channel)
{
    static const uint8_t bytes[32768];
    for (uint64_t done = 0; done < total; done += sizeof(bytes))
        put_frame(BILLET_GUEST_DATA, 1, channel, bytes, sizeof(bytes));
}

static void
say_nothing(void)
{
}

static void
say_garbage(void)
{
    char bytes[512];
    memset(bytes, 0xa5, sizeof(bytes));
    put(bytes, sizeof(bytes));
}

static void
say_too_much(void)
{
    uint8_t header[BILLET_GUEST_HEADER];
    billet_guest_header(header, BILLET_GUEST_DATA, 1, 1, (64u << 10) + 1);
    put(header, sizeof(header));
}

static void
say_half_a_frame_and_end(void)
{
    uint8_t header[BILLET_GUEST_HEADER];
    billet_guest_header(header, BILLET_GUEST_DATA, 1, 1, 1000);
    put(header, sizeof(header));
    _exit(0);
}

static void
say_of_a_channel_that_is_none(void)
{
    put_frame(BILLET_GUEST_DATA, 1, 77, "x", 1);
}

static void
say_as_a_client(void)
{
    put_frame(BILLET_GUEST_PING, 0, 0, NULL, 0);
}

static void
say_hello_again(void)
{
    static const uint8_t hello[26];
    put_frame(BILLET_GUEST_HELLO, 0, 0, hello, sizeof(hello));
}

static void
say_more_than_the_credit(void)
{
    put_number(BILLET_GUEST_STARTED, 0, 4711, 8);
    /* Nobody reads the output here. */
    flood(BILLET_GUEST_WINDOW * 256u, 1);
}

static void
say_of_the_input_stream(void)
{
    put_frame(BILLET_GUEST_DATA, 0, 1, "x", 1);
}

static void
say_more_after_the_end(void)
{
    put_frame(BILLET_GUEST_EOF, 1, 1, NULL, 0);
    put_frame(BILLET_GUEST_DATA, 1, 1, "x", 1);
}

static void
say_the_end_twice(void)
{
    put_frame(BILLET_GUEST_EOF, 2, 1, NULL, 0);
    put_frame(BILLET_GUEST_EOF, 2, 1, NULL, 0);
}

static void
give_credit_never_used(void)
{
    put_number(BILLET_GUEST_CREDIT, 0, 1, 4);
}

static void
give_credit_for_output(void)
{
    put_number(BILLET_GUEST_CREDIT, 1, 1, 4);
}

static void
start_twice(void)
{
    put_number(BILLET_GUEST_STARTED, 0, 4711, 8);
    put_number(BILLET_GUEST_STARTED, 0, 4711, 8);
}

static void
start_in_few_words(void)
{
    put_number(BILLET_GUEST_STARTED, 0, 4711, 4);
}

static void
end_in_few_words(void)
{
    put_frame(BILLET_GUEST_EXIT, 0, 1, "12345678", 8);
}

static void
end_with_300(void)
{
    put_exit(BILLET_OUTCOME_EXITED, 300);
}

static void
end_with_an_outcome_that_is_none(void)
{
    put_exit(99, 0);
}

static void
end_by_signal_0(void)
{
    put_exit(BILLET_OUTCOME_SIGNALLED, 0);
}

static void
die(void)
{
    raise(SIGKILL);
}

/* After a proper hello and the first command. wrong: words that the message must have. */
static const struct lie {
    const char *name;
    void (*tell)(void);
    const char *wrong;
} lies[] = {
    {"garbage", say_garbage, "sent what is not a frame"},
    {"too_much", say_too_much, "sent what is not a frame"},
    {"half", say_half_a_frame_and_end, "ended"},
    {"die", die, "ended"},
    {"channel", say_of_a_channel_that_is_none, "sent a frame"},
    {"client", say_as_a_client, "sent a frame"},
    {"hello", say_hello_again, "sent a frame"},
    {"credit", say_more_than_the_credit, "sent a frame"},
    {"input", say_of_the_input_stream, "sent a frame"},
    {"after", say_more_after_the_end, "sent a frame"},
    {"eof", say_the_end_twice, "sent a frame"},
    {"unused", give_credit_never_used, "sent a frame"},
    {"given", give_credit_for_output, "sent a frame"},
    {"twice", start_twice, "sent a frame"},
    {"started", start_in_few_words, "sent a frame"},
    {"exit", end_in_few_words, "sent a frame"},
    {"300", end_with_300, "sent a frame"},
    {"outcome", end_with_an_outcome_that_is_none, "sent a frame"},
    {"signal", end_by_signal_0, "sent a frame"},
    {"silent", say_nothing, "does not answer"},
};
#define LIES (sizeof(lies) / sizeof(lies[0]))

static void
noise_without_end(const char *nonce)
{
    (void)nonce;
    for (;;)
        say_garbage();
}

static void
hello_of_the_future(const char *nonce)
{
    greet(nonce, 9, 12, BILLET_GUEST_CAN_EXEC);
}

static void
hello_that_can_nothing(const char *nonce)
{
    greet(nonce, 1, 1, 0);
}

static void
hello_of_another(const char *nonce)
{
    char other[BILLET_GUEST_NONCE + 1];
    snprintf(other, sizeof(other), "%s", nonce);
    other[0] = other[0] == '0' ? '1' : '0';
    greet(other, 1, 1, BILLET_GUEST_CAN_EXEC);
}

static void
magic_and_garbage(const char *nonce)
{
    char line[128];
    put(line, (size_t)snprintf(line, sizeof(line), "%s%s\n", BILLET_GUEST_MAGIC, nonce));
    say_garbage();
}

static void
end_at_once(const char *nonce)
{
    (void)nonce;
    _exit(1);
}

static void
no_hello(const char *nonce)
{
    (void)nonce;
}

/* In place of the hello. */
static const struct beginning {
    const char *name;
    void (*begin)(const char *nonce);
} beginnings[] = {
    {"noise", noise_without_end},
    {"future", hello_of_the_future},
    {"nothing", hello_that_can_nothing},
    {"another", hello_of_another},
    {"magic", magic_and_garbage},
    {"end", end_at_once},
    {"mute", no_hello},
};
#define BEGINNINGS (sizeof(beginnings) / sizeof(beginnings[0]))

static int
fake_guest(const char *name, const char *nonce)
{
    alarm(60);
    for (size_t i = 0; i < BEGINNINGS; i++)
        if (strcmp(name, beginnings[i].name) == 0)
            beginnings[i].begin(nonce);
    for (size_t i = 0; i < LIES; i++) {
        if (strcmp(name, lies[i].name) == 0) {
            greet(nonce, 1, 1, BILLET_GUEST_CAN_EXEC);
            await_exec();
            lies[i].tell();
        }
    }
    linger();
    return 0;
}

/* A guest of that name for the lease; each start of it leaves a line in "starts". */
static void
use_guest(struct billet_lease_handle *lease, const char *name)
{
    char file[64], self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    ck_assert_int_gt(length, 0);
    self[length] = '\0';
    snprintf(file, sizeof(file), "guest-%s", name);
    run_program("test -e %s/fake || { cp %s %s/fake && chmod 755 %s/fake; }", scratch, self,
                scratch, scratch);
    write_file(file, 0755, "#!/bin/sh\necho x >>%s/place/starts\nexec %s/fake %s \"$2\"\n", scratch,
               scratch, name);
    snprintf(lease->guest, sizeof(lease->guest), "%s/%s", scratch, file);
    lease->guest_refused = false;
}

static int
count_starts(void)
{
    char path[128], text[4096];
    snprintf(path, sizeof(path), "%s/place/starts", scratch);
    FILE *file = fopen(path, "re");
    size_t got = file != NULL ? fread(text, 1, sizeof(text), file) : 0;
    if (file != NULL)
        fclose(file);
    return (int)(got / 2);
}

static int
try_true(struct billet_lease_handle *lease, struct billet_exec_result *result)
{
    const char *argv[] = {"true", NULL};
    struct billet_exec args = exec_arguments(argv);
    int unread[2];
    *result = (struct billet_exec_result){.struct_size = sizeof(*result)};
    /* Nobody takes the output: what goes beyond the credit has nowhere to go. */
    ck_assert_int_eq(pipe2(unread, O_CLOEXEC), 0);
    args.stdout_fd = unread[1];
    int status = driver->exec(&call_a, lease, &args, result, &error);
    close(unread[0]);
    close(unread[1]);
    return status;
}

START_TEST(a_guest_that_does_not_begin_is_done_without_and_not_waited_for_again)
{
    struct billet_exec_result result;
    begin_as(users[0]);
    set_number("connect_timeout", 2 * BILLET_NS_PER_SECOND);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    for (size_t i = 0; i < BEGINNINGS; i++) {
        use_guest(lease, beginnings[i].name);
        int starts = count_starts();
        for (int round = 0; round < 2; round++) {
            int64_t start = now_ns();
            assert_ok(try_true(lease, &result));
            ck_assert_msg(result.outcome == BILLET_OUTCOME_EXITED && result.value == 0 &&
                              now_ns() - start < 12 * BILLET_NS_PER_SECOND,
                          "%s", beginnings[i].name);
        }
        ck_assert_msg(count_starts() == starts + 1, "%s: %d", beginnings[i].name,
                      count_starts() - starts);
    }
    end_lease(lease);
}
END_TEST

START_TEST(a_guest_that_breaks_the_rules_is_one_clear_error)
{
    struct billet_exec_result result;
    begin_as(users[0]);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    for (size_t i = 0; i < LIES; i++) {
        /* Only the one that says nothing is to be waited for, however slow this machine is. */
        bool silent = strcmp(lies[i].wrong, "does not answer") == 0;
        set_number("keepalive_interval", (silent ? 1 : 20) * BILLET_NS_PER_SECOND);
        use_guest(lease, lies[i].name);
        error = (struct billet_error)BILLET_ERROR_INIT;
        int64_t start = now_ns();
        int status = try_true(lease, &result);
        ck_assert_msg(status == -BILLET_CLASS_LOST && strcmp(error.code, "connection_lost") == 0 &&
                          strstr(error.message, lies[i].wrong) != NULL &&
                          strstr(error.message, "billet-guest on the host") != NULL,
                      "%s: %d %s [%s]", lies[i].name, status, error.message, error.code);
        ck_assert_msg(now_ns() - start < 20 * BILLET_NS_PER_SECOND, "%s took too long",
                      lies[i].name);
    }
    /* And a good one afterwards does its work. */
    snprintf(lease->guest, sizeof(lease->guest), "%s", guest_fact);
    assert_ok(try_true(lease, &result));
    end_lease(lease);
    ck_assert_int_eq(count_lease(lease_a), 0);
}
END_TEST

/* ---- a true guest that dies, or is not read ----------------------------------------------------
 */

static int
find_guest(void)
{
    char command[4200], line[64] = "";
    snprintf(command, sizeof(command), "pgrep -f '^%s serve ' | head -n 1", guest_fact);
    FILE *from = popen(command, "re");
    ck_assert(from != NULL);
    if (fgets(line, sizeof(line), from) == NULL)
        line[0] = '\0';
    pclose(from);
    return atoi(line);
}

static void *
kill_guest(void *argument)
{
    await_processes(lease_a, 1);
    kill(find_guest(), *(int *)argument);
    return NULL;
}

START_TEST(a_killed_guest_takes_its_command_along_and_the_next_begins_anew)
{
    int number = SIGKILL;
    pthread_t thread;
    struct billet_exec_result result;
    begin_as(users[0]);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    const char *argv[] = {"sleep", "4731", NULL};
    struct billet_exec args = exec_arguments(argv);
    pthread_create(&thread, NULL, kill_guest, &number);
    result = (struct billet_exec_result){.struct_size = sizeof(result)};
    assert_fails(driver->exec(&call_a, lease, &args, &result, &error), BILLET_CLASS_LOST,
                 "connection_lost");
    pthread_join(thread, NULL);
    await_processes(lease_a, 0);
    assert_ok(try_true(lease, &result));
    end_lease(lease);
}
END_TEST

static void *
read_all(void *argument)
{
    char bytes[65536];
    int fd = *(int *)argument;
    size_t total = 0;
    for (ssize_t got; (got = read(fd, bytes, sizeof(bytes))) > 0; total += (size_t)got)
        ;
    ck_assert_uint_eq(total, 8u << 20);
    return NULL;
}

struct stalled {
    struct billet_lease_handle *lease;
    struct billet_exec args;
    struct billet_exec_result result;
    int status;
};

static void *
run_stalled(void *argument)
{
    struct stalled *stalled = argument;
    struct billet_error said = BILLET_ERROR_INIT;
    stalled->status =
        driver->exec(&call_a, stalled->lease, &stalled->args, &stalled->result, &said);
    return NULL;
}

START_TEST(a_command_whose_output_nobody_takes_holds_up_no_other)
{
    static const char *const argv[] = {"head", "-c", "8388608", "/dev/zero", NULL};
    int out[2];
    pthread_t thread, reader;
    struct billet_exec_result result;
    begin_as(users[0]);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    struct stalled stalled = {
        lease, exec_arguments(argv), {.struct_size = sizeof(stalled.result)}, -1};
    ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
    stalled.args.stdout_fd = out[1];
    pthread_create(&thread, NULL, run_stalled, &stalled);
    await_processes(lease_a, 1);
    for (int i = 0; i < 8; i++)
        assert_ok(try_true(lease, &result));
    pthread_create(&reader, NULL, read_all, &out[0]);
    pthread_join(thread, NULL);
    close(out[1]);
    pthread_join(reader, NULL);
    ck_assert_int_eq(stalled.status, 0);
    end_lease(lease);
}
END_TEST

/* More than pipe and window hold, and no more than a second pipe besides: the command ends while
 * the rest of its output waits for a reader. Who cancels then gets an answer. */
START_TEST(cancel_after_the_end_does_not_wait_for_a_reader)
{
    static const char *const argv[] = {"sh", "-c", "head -c 340000 /dev/zero; echo $$ >done", NULL};
    char done[300];
    int pid = 0;
    int out[2], cancel[2];
    pthread_t thread;
    begin_as(users[0]);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    struct stalled stalled = {
        lease, exec_arguments(argv), {.struct_size = sizeof(stalled.result)}, -1};
    ck_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(cancel, O_CLOEXEC) == 0);
    stalled.args.stdout_fd = out[1];
    call_a.cancel_fd = cancel[0];
    pthread_create(&thread, NULL, run_stalled, &stalled);
    snprintf(done, sizeof(done), "%s/%s/work/done", remote, lease_a);
    /* It has ended when the guest has reaped it: who only has no environment any more is still
     * cancelled. */
    for (int i = 0; i < 2000 && (pid == 0 || kill(pid, 0) == 0); i++) {
        FILE *file = pid == 0 ? fopen(done, "re") : NULL;
        if (file != NULL && fscanf(file, "%d", &pid) != 1)
            pid = 0;
        if (file != NULL)
            fclose(file);
        usleep(10000);
    }
    ck_assert(pid > 0 && kill(pid, 0) < 0 && errno == ESRCH);
    int64_t start = now_ns();
    ck_assert_int_eq(write(cancel[1], "x", 1), 1);
    pthread_join(thread, NULL);
    ck_assert_int_eq(stalled.status, 0);
    ck_assert_int_lt((int)((now_ns() - start) / 1000000), 30000);
    ck_assert_int_eq(stalled.result.outcome, BILLET_OUTCOME_EXITED);
    call_a.cancel_fd = -1;
    end_lease(lease);
}
END_TEST

int
main(int argc, char **argv)
{
    if (argc == 3)
        return fake_guest(argv[1], argv[2]);
    if (!fixture_begin())
        return 0;
    Suite *suite = suite_create("ssh_guest");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    tcase_add_test(all, a_guest_that_does_not_begin_is_done_without_and_not_waited_for_again);
    tcase_add_test(all, a_guest_that_breaks_the_rules_is_one_clear_error);
    tcase_add_test(all, a_killed_guest_takes_its_command_along_and_the_next_begins_anew);
    tcase_add_test(all, a_command_whose_output_nobody_takes_holds_up_no_other);
    tcase_add_test(all, cancel_after_the_end_does_not_wait_for_a_reader);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    fixture_end();
    return 0;
}
