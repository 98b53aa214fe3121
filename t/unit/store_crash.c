/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that die at any moment, and many that write at once. */
#include "store_fixture.h"
#include "stride.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#define KILLS 120
#define WRITERS 16
#define CYCLES 10

static void
setup(void)
{
    fixture_setup();
}

static void
teardown(void)
{
    fixture_teardown();
}

/* A whole life; says on the pipe which lease has been acknowledged as released. */
static void
cycle(struct billet_store *store, int acknowledged)
{
    char id[BILLET_UUID_SIZE];
    assert_ok(fixture_insert(store, id));
    assert_ok(fixture_change(store, id, BILLET_LEASE_ACQUIRING, 1, BILLET_LEASE_ACTIVE,
                             "lease.acquired"));
    assert_ok(fixture_change(store, id, BILLET_LEASE_ACTIVE, 1, BILLET_LEASE_RELEASING,
                             "lease.releasing"));
    assert_ok(fixture_change(store, id, BILLET_LEASE_RELEASING, 1, BILLET_LEASE_RELEASED,
                             "lease.released"));
    if (acknowledged >= 0)
        ck_assert_int_eq(write(acknowledged, id, sizeof(id)), sizeof(id));
}

/* A process that lives one life of a lease after the other; from says which are over. */
static pid_t
start_writer(int *from)
{
    int acknowledged[2];
    ck_assert_int_eq(pipe(acknowledged), 0);
    pid_t child = fork();
    if (child == 0) {
        close(acknowledged[0]);
        struct billet_store *mine = fixture_open();
        for (;;)
            cycle(mine, acknowledged[1]);
    }
    ck_assert_int_gt(child, 0);
    close(acknowledged[1]);
    *from = acknowledged[0];
    return child;
}

static void
wait_for_acknowledgement(int from)
{
    struct pollfd poll_set = {.fd = from, .events = POLLIN};
    ck_assert_int_eq(poll(&poll_set, 1, 60 * 1000), 1);
}

/* Ends the writer; every lease that it has acknowledged is released. Returns how many. */
static int
end_writer(struct billet_store *store, pid_t child, int from)
{
    char id[BILLET_UUID_SIZE];
    int status, count = 0;
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    while (read(from, id, sizeof(id)) == sizeof(id)) {
        struct billet_lease lease;
        assert_ok(billet_store_of(store)->lease_get(store, NULL, id, &lease, &fixture_error));
        ck_assert_int_eq(lease.state, BILLET_LEASE_RELEASED);
        billet_lease_free(&lease);
        count++;
    }
    close(from);
    return count;
}

static void
sleep_up_to(int64_t longest_ns)
{
    int64_t microseconds = longest_ns / 1000 + 1;
    usleep((useconds_t)(random() % microseconds));
}

START_TEST(nothing_acknowledged_is_lost_whenever_a_writer_is_killed)
{
    char id[BILLET_UUID_SIZE];
    int from, count = 0;
    const int kills = KILLS / unit_stride();
    struct billet_store *store = fixture_open();
    srandom(20261120);
    /* How long it takes to begin, and how long a life is, on this machine and this engine. */
    int64_t begun = billet_clock_monotonic();
    pid_t child = start_writer(&from);
    wait_for_acknowledgement(from);
    int64_t opened = billet_clock_monotonic();
    ck_assert_int_eq(read(from, id, sizeof(id)), sizeof(id));
    wait_for_acknowledgement(from);
    int64_t life = billet_clock_monotonic() - opened;
    end_writer(store, child, from);
    for (int i = 0; i < kills; i++) {
        child = start_writer(&from);
        if (i % 2 == 0) {
            sleep_up_to(opened - begun);
        } else {
            wait_for_acknowledgement(from);
            sleep_up_to(2 * life);
        }
        count += end_writer(store, child, from);
    }
    ck_assert_int_ge(count, kills / 2);
    fixture_check_clean(store);
    /* A dead process holds no lock. */
    cycle(store, -1);
    billet_store_close(store);
}
END_TEST

START_TEST(one_of_two_processes_wins_each_change)
{
    enum { ROUNDS = 60 };
    char ids[ROUNDS][BILLET_UUID_SIZE];
    int won[2];
    struct billet_store *store = fixture_open();
    for (int i = 0; i < ROUNDS; i++)
        assert_ok(fixture_insert(store, ids[i]));
    ck_assert_int_eq(pipe(won), 0);
    pid_t children[2];
    for (int c = 0; c < 2; c++) {
        children[c] = fork();
        if (children[c] != 0)
            continue;
        struct billet_store *mine = fixture_open();
        for (int i = 0; i < ROUNDS; i++) {
            int result = fixture_change(mine, ids[i], BILLET_LEASE_ACQUIRING, 1,
                                        BILLET_LEASE_ACTIVE, "lease.acquired");
            ck_assert(result == 0 || strcmp(fixture_error.code, "lease_lost") == 0);
            if (result == 0)
                ck_assert_int_eq(write(won[1], "x", 1), 1);
        }
        billet_store_close(mine);
        _exit(0);
    }
    for (int c = 0; c < 2; c++) {
        int status;
        ck_assert_int_eq(waitpid(children[c], &status, 0), children[c]);
        ck_assert_int_eq(status, 0);
    }
    char bytes[2 * ROUNDS];
    ck_assert_int_eq(read(won[0], bytes, sizeof(bytes)), ROUNDS);
    fixture_check_clean(store);
    billet_store_close(store);
}
END_TEST

START_TEST(many_writers_at_once_all_get_their_turn)
{
    int worst[2];
    int64_t start = billet_clock_monotonic(), longest = 0;
    struct billet_store *store = fixture_open();
    pid_t children[WRITERS];
    ck_assert_int_eq(pipe(worst), 0);
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        if (children[i] != 0)
            continue;
        int64_t mine = 0;
        struct billet_store *own = fixture_open();
        for (int j = 0; j < CYCLES; j++) {
            int64_t begun = billet_clock_monotonic();
            cycle(own, -1);
            int64_t took = billet_clock_monotonic() - begun;
            mine = took > mine ? took : mine;
        }
        billet_store_close(own);
        ck_assert_int_eq(write(worst[1], &mine, sizeof(mine)), sizeof(mine));
        _exit(0);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        int64_t one;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
        ck_assert_int_eq(read(worst[0], &one, sizeof(one)), sizeof(one));
        longest = one > longest ? one : longest;
    }
    int64_t whole = billet_clock_monotonic() - start;
    printf("# %d writers, %d commits: %.2f s, longest cycle %.3f s\n", WRITERS,
           WRITERS * CYCLES * 4, (double)whole / 1e9, (double)longest / 1e9);
    ck_assert_int_lt(whole, 90 * SECOND);
    /* Everybody waits about as long: nobody waits for most of the whole. */
    ck_assert_int_lt(longest, whole / 2 + SECOND);
    struct billet_store_info info;
    assert_ok(billet_store_of(store)->info(store, &info, &fixture_error));
    ck_assert_int_eq(info.leases_total, WRITERS * CYCLES);
    fixture_check_clean(store);
    billet_store_close(store);
}
END_TEST

static void
add_tests(TCase *tests)
{
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, nothing_acknowledged_is_lost_whenever_a_writer_is_killed);
    tcase_add_test(tests, one_of_two_processes_wins_each_change);
    tcase_add_test(tests, many_writers_at_once_all_get_their_turn);
}

int
main(void)
{
    return fixture_run_engines("store crash", 120, add_tests);
}
