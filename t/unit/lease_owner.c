/* SPDX-License-Identifier: Apache-2.0 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "lease/action.h"
#include "lease/owner.h"

static char self[BILLET_OWNER_SIZE];

static void
setup(void)
{
    struct billet_error error = BILLET_ERROR_INIT;
    ck_assert_msg(billet_owner_self(self, &error) == 0, "%s", error.message);
}

/* Our own text with one of its six words replaced. */
static const char *
with_word(int word, const char *text)
{
    static char changed[BILLET_OWNER_SIZE];
    char copy[BILLET_OWNER_SIZE], *rest = copy, *at;
    strcpy(copy, self);
    changed[0] = '\0';
    for (int i = 0; (at = strsep(&rest, " ")) != NULL; i++) {
        strcat(changed, i == 0 ? "" : " ");
        strcat(changed, i == word ? text : at);
    }
    return changed;
}

START_TEST(this_process_is_alive_and_says_the_same_twice)
{
    char again[BILLET_OWNER_SIZE];
    ck_assert_int_eq(billet_owner_self(again, NULL), 0);
    ck_assert_str_eq(again, self);
    ck_assert_int_eq(billet_owner_judge(self), BILLET_OWNER_ALIVE);
}
END_TEST

START_TEST(nobody_owns_a_held_lease)
{
    ck_assert_int_eq(billet_owner_judge(""), BILLET_OWNER_NONE);
    ck_assert_int_eq(billet_owner_judge(NULL), BILLET_OWNER_NONE);
}
END_TEST

START_TEST(each_word_decides_as_it_should)
{
    ck_assert_int_eq(billet_owner_judge(with_word(1, "other.0")), BILLET_OWNER_UNKNOWN);
    ck_assert_int_eq(billet_owner_judge(with_word(2, "another-boot")), BILLET_OWNER_DEAD);
    ck_assert_int_eq(billet_owner_judge(with_word(3, "1.1")), BILLET_OWNER_UNKNOWN);
    ck_assert_int_eq(billet_owner_judge(with_word(5, "12345")), BILLET_OWNER_DEAD);
    /* No pid is that large. */
    ck_assert_int_eq(billet_owner_judge(with_word(4, "2000000000")), BILLET_OWNER_DEAD);
}
END_TEST

START_TEST(a_text_that_is_not_ours_decides_nothing)
{
    static const char *const texts[] = {"x", "2 a b c 1 1", "1 a b c", "1 a b c -1 1",
                                        "1 a b c 1 1 extra"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        ck_assert_int_eq(billet_owner_judge(texts[i]), BILLET_OWNER_UNKNOWN);
    ck_assert_int_eq(billet_owner_judge(with_word(4, "-5")), BILLET_OWNER_UNKNOWN);
}
END_TEST

START_TEST(a_child_is_alive_then_dead_as_a_zombie_and_after)
{
    int ready[2];
    char owner[BILLET_OWNER_SIZE] = "";
    siginfo_t info;
    ck_assert_int_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        if (billet_owner_self(owner, NULL) != 0 || write(ready[1], owner, sizeof(owner)) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    ck_assert_int_eq(read(ready[0], owner, sizeof(owner)), sizeof(owner));
    ck_assert_str_ne(owner, self);
    ck_assert_int_eq(billet_owner_judge(owner), BILLET_OWNER_ALIVE);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    ck_assert_int_eq(billet_owner_judge(owner), BILLET_OWNER_DEAD);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_int_eq(billet_owner_judge(owner), BILLET_OWNER_DEAD);
}
END_TEST

START_TEST(every_action_has_a_text_and_a_name_of_its_own)
{
    size_t count = 0;
    for (const struct billet_action *a = billet_actions; a->name != NULL; a++, count++) {
        ck_assert_ptr_nonnull(strchr(a->name, '.'));
        ck_assert_uint_gt(strlen(a->text), 10);
        for (const struct billet_action *b = a + 1; b->name != NULL; b++)
            ck_assert_str_ne(a->name, b->name);
    }
    ck_assert_uint_gt(count, 30);
    ck_assert(!billet_action_is_known("lease.nonsense"));
    ck_assert(billet_action_is_known("lease.failed"));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("lease owner");
    TCase *tests = tcase_create("owner");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, this_process_is_alive_and_says_the_same_twice);
    tcase_add_test(tests, nobody_owns_a_held_lease);
    tcase_add_test(tests, each_word_decides_as_it_should);
    tcase_add_test(tests, a_text_that_is_not_ours_decides_nothing);
    tcase_add_test(tests, a_child_is_alive_then_dead_as_a_zombie_and_after);
    tcase_add_test(tests, every_action_has_a_text_and_a_name_of_its_own);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    return 0;
}
