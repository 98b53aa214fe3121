/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that die at any moment, and many that write at once. */
#include "store_fixture.h"

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

START_TEST(nothing_acknowledged_is_lost_whenever_a_writer_is_killed)
{
    char id[BILLET_UUID_SIZE];
    int acknowledged[2], count = 0;
    struct billet_store *store = fixture_open();
    srandom(20261120);
    for (int i = 0; i < KILLS; i++) {
        ck_assert_int_eq(pipe(acknowledged), 0);
        pid_t child = fork();
        if (child == 0) {
            struct billet_store *mine = fixture_open();
            for (;;)
                cycle(mine, acknowledged[1]);
        }
        close(acknowledged[1]);
        usleep((useconds_t)(random() % 12000));
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        while (read(acknowledged[0], id, sizeof(id)) == sizeof(id)) {
            struct billet_lease lease;
            assert_ok(billet_store_of(store)->lease_get(store, NULL, id, &lease, &fixture_error));
            ck_assert_int_eq(lease.state, BILLET_LEASE_RELEASED);
            billet_lease_free(&lease);
            count++;
        }
        close(acknowledged[0]);
    }
    ck_assert_msg(count > 0, "no child ever finished a cycle");
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
    ck_assert_int_lt(whole, 20 * SECOND);
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
