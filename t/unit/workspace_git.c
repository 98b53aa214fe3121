/* SPDX-License-Identifier: Apache-2.0 */
/* A work tree travels with its history: the same state there, only what is missing, no credentials;
 * what was done there comes back as fast-forward, merge, or beside the branch. */
#include "workspace/git_config.h"
#include "workspace_git_support.h"

/* --- there ----------------------------------------------------------------------------------- */

START_TEST(every_state_of_a_file_is_the_same_there)
{
    struct travel travel;
    sh("cd work && git init -q && for f in clean staged both deleted removed renamed mode later"
       " 'with space' \"$(printf 'u\\303\\274')\"; do echo \"$f\" >\"$f\"; done &&"
       " ln -s clean link && ln -s clean relink && mkdir d && echo d >d/d &&"
       " git add . && git commit -qm first &&"
       " echo x >>staged && git add staged && echo x >>both && git add both && echo y >>both &&"
       " rm deleted && git rm -q removed && git mv renamed moved && chmod 755 mode &&"
       " echo z >>later && echo new >new && echo added >added && git add added &&"
       " ln -sf d/d relink && echo intent >intent && git add -N intent && echo f >typed &&"
       " git add typed && rm typed && ln -s clean typed && echo hidden >hidden.o &&"
       " echo '*.o' >.gitignore && git add .gitignore");
    bring_in(&travel);
    ck_assert_int_eq(travel.sent, 1);
    assert_same_status();
    char *here = strdup(sh("git -C work ls-files -s; git -C work log --format=%%H --all"));
    ck_assert_str_eq(here, sh("git -C far ls-files -s; git -C far log --format=%%H --all"));
    free(here);
    sh("git -C far fsck --full --strict");
    end_travel(&travel);
}
END_TEST

START_TEST(conflicts_in_the_index_are_the_same_there)
{
    struct travel travel;
    make_repository();
    sh("cd work && git checkout -qb other HEAD~1 && echo theirs >>a && git commit -qam theirs &&"
       " git checkout -q main && ! git merge -q other >/dev/null");
    bring_in(&travel);
    char *here = strdup(sh("git -C work ls-files -s"));
    ck_assert_str_eq(here, sh("git -C far ls-files -s"));
    ck_assert_ptr_nonnull(strstr(here, " 3\ta"));
    free(here);
    end_travel(&travel);
}
END_TEST

START_TEST(branches_tags_and_upstream_are_the_same_there)
{
    struct travel travel;
    make_repository();
    sh("git clone -q --bare work outside/hub && cd work && git remote add origin ../outside/hub &&"
       " git fetch -q && git branch -q -u origin/main && git commit -q --allow-empty -m third &&"
       " git tag -a -m note v2 && git pack-refs --all && git commit -q --allow-empty -m fourth");
    bring_in(&travel);
    assert_same_status();
    char *here = strdup(sh("git -C work for-each-ref | grep -v HEAD"));
    ck_assert_str_eq(here, sh("git -C far for-each-ref"));
    free(here);
    end_travel(&travel);
}
END_TEST

START_TEST(a_second_time_only_missing_commits_go)
{
    struct travel travel;
    make_repository();
    sh("cd work && for i in $(seq 40); do echo $i >f$i; git add .; git commit -qm $i; done");
    bring_in(&travel);
    ck_assert_uint_gt(travel.objects, 120);
    end_travel(&travel);
    sh("cd work && echo new >new && git add . && git commit -qm new");
    bring_in(&travel);
    /* A commit, its tree, its blob; and the list of parts, at most eight blobs in a tree. */
    ck_assert_uint_le(travel.objects, 12);
    assert_same_status();
    end_travel(&travel);
}
END_TEST

START_TEST(a_second_time_makes_the_far_side_as_here)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    end_travel(&travel);
    sh("cd far && git checkout -qb elsewhere && git branch -D main && git rm -q a &&"
       " git commit -qm gone && git branch main2 && git branch main2x/y");
    sh("cd work && git branch main2x");
    bring_in(&travel);
    assert_same_status();
    ck_assert_str_eq(sh("git -C far for-each-ref --format='%%(refname)' refs/heads"),
                     "refs/heads/main\nrefs/heads/main2x\nrefs/heads/side\n");
    end_travel(&travel);
}
END_TEST

START_TEST(credentials_and_programs_stay_here)
{
    struct travel travel;
    make_repository();
    sh("cd work && git remote add origin https://ada:hunter2@example.org/x.git?token=hunter2 &&"
       " git remote add ssh ssh://git:hunter2@example.org/y.git &&"
       " git remote add ext 'ext::sh -c hunter2' &&"
       " git config credential.helper '!echo hunter2' &&"
       " git config http.extraheader 'Authorization: hunter2' &&"
       " git config http.https://example.org/.extraheader hunter2 &&"
       " git config include.path /hunter2 && git config core.sshCommand hunter2 &&"
       " git config filter.f.clean hunter2 && git config alias.st '!hunter2' &&"
       " git config core.hooksPath hunter2 && git config remote.origin.proxy hunter2 &&"
       " git config url.https://hunter2@example.org/.insteadOf x: &&"
       " git config branch.side.remote https://x:hunter2@example.org/ &&"
       " echo 'echo hunter2' >.git/hooks/post-checkout && chmod 755 .git/hooks/post-checkout");
    bring_in(&travel);
    ck_assert_str_eq(sh("grep -r hunter2 far || echo none"), "none\n");
    ck_assert_str_eq(sh("git -C far config remote.origin.url"), "https://example.org/x.git\n");
    ck_assert_str_eq(sh("git -C far config remote.ssh.url"), "ssh://git@example.org/y.git\n");
    ck_assert_str_eq(sh("git -C far config user.name"), "Ada\n");
    ck_assert_str_eq(sh("ls far/.git/hooks 2>/dev/null || echo none"), "none\n");
    end_travel(&travel);
}
END_TEST

START_TEST(urls_lose_what_is_secret)
{
    static const struct {
        const char *from;
        const char *to; /* NULL: stays here */
    } cases[] = {
        {"https://example.org/a.git", "https://example.org/a.git"},
        {"https://u:p@example.org/a", "https://example.org/a"},
        {"https://tok@en@example.org:8443/a#x", "https://example.org:8443/a"},
        {"HTTPS://u@h/a?private_token=1", "HTTPS://h/a"},
        {"ssh://git@h:22/a@b", "ssh://git@h:22/a@b"},
        {"ssh://git:p@h/a", "ssh://git@h/a"},
        {"git@h:a/b.git", "git@h:a/b.git"},
        {"../other", "../other"},
        {"/srv/git/x", "/srv/git/x"},
        {"file:///srv/x", "file:///srv/x"},
        {"ext::sh -c x", NULL},
        {"s3://key:secret@bucket/x", NULL},
        {"u:p@h:a", NULL},
        {"-x", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char url[256];
        bool travels = billet_git_url_clean(cases[i].from, url, sizeof(url));
        ck_assert_msg(travels == (cases[i].to != NULL), "%s", cases[i].from);
        if (travels)
            ck_assert_str_eq(url, cases[i].to);
    }
}
END_TEST

START_TEST(what_is_tracked_and_left_out_does_not_look_deleted)
{
    struct travel travel;
    make_repository();
    ck_assert_int_eq(billet_patterns_add(&filter.exclude, "b", 1, &error), 0);
    bring_in(&travel);
    ck_assert_int_ne(access(at("far/b"), F_OK), 0);
    ck_assert_str_eq(sh("git -C far status --porcelain"), "");
    sh("cd far && echo x >>a && git add -A && git commit -qam x");
    ck_assert_int_eq(bring_back(&travel), 1);
    ck_assert_str_eq(sh("git -C work status --porcelain"), "");
    ck_assert_str_eq(sh("git -C work show --format= --name-only HEAD"), "a\n");
    assert_content(at("work/b"), "two\n");
    billet_filter_free(&filter);
    filter = (struct billet_filter)BILLET_FILTER_INIT;
    end_travel(&travel);
}
END_TEST

START_TEST(a_repository_without_commits_travels)
{
    struct travel travel;
    sh("cd work && git init -q && echo x >x && echo y >y && git add x");
    bring_in(&travel);
    assert_same_status();
    sh("cd far && git add y && git commit -qm first");
    ck_assert_int_eq(bring_back(&travel), 1);
    ck_assert_int_eq(billet_git_report(travel.git)->outcome, BILLET_GIT_FAST_FORWARD);
    assert_same_status();
    ck_assert_str_eq(sh("git -C work log --format=%%s"), "first\n");
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(a_shallow_clone_travels_shallow)
{
    struct travel travel;
    make_repository();
    sh("mv work full && git clone -q --depth 1 file://$PWD/full work");
    bring_in(&travel);
    assert_same_status();
    ck_assert_str_eq(sh("git -C far rev-parse --is-shallow-repository"), "true\n");
    sh("cd far && git fsck --strict && echo x >>a && git commit -qam more");
    ck_assert_int_eq(bring_back(&travel), 1);
    ck_assert_int_eq(billet_git_report(travel.git)->outcome, BILLET_GIT_FAST_FORWARD);
    assert_same_status();
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(a_linked_work_tree_travels_as_a_whole_one)
{
    struct travel travel;
    make_repository();
    sh("mv work main && cd main && git worktree add -q ../work side && cd ../work && echo s >s &&"
       " git add s");
    bring_in(&travel);
    assert_same_status();
    sh("cd far && git commit -qm there");
    ck_assert_int_eq(bring_back(&travel), 1);
    assert_same_status();
    ck_assert_str_eq(sh("git -C main log -1 --format=%%s side"), "there\n");
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(a_detached_head_travels_and_comes_back)
{
    struct travel travel;
    make_repository();
    sh("cd work && git checkout -q --detach v1");
    bring_in(&travel);
    assert_same_status();
    sh("cd far && echo x >x && git add x && git commit -qm x");
    ck_assert_int_eq(bring_back(&travel), 1);
    ck_assert_int_eq(billet_git_report(travel.git)->outcome, BILLET_GIT_FAST_FORWARD);
    assert_same_status();
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(a_split_index_and_sha256_travel)
{
    struct travel travel;
    sh("cd work && git init -q --object-format=sha256 && echo a >a && echo b >b && git add . &&"
       " git commit -qm first && git update-index --split-index && echo c >c && git add c");
    bring_in(&travel);
    assert_same_status();
    sh("cd far && git commit -qm c && echo d >d && git add d");
    ck_assert_int_eq(bring_back(&travel), 1);
    assert_same_status();
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(what_cannot_travel_says_why)
{
    static const struct {
        const char *make;
        const char *why;
    } cases[] = {
        {"true", ""},
        {"echo 'gitdir: ../outside/x' >work/.git", "names no repository"},
        {"git init -q outside/r && echo \"gitdir: $PWD/outside/r/.git\" >work/.git", "in turn"},
        {"ln -s ../outside work/.git", "neither"},
        {"mkdir work/.git", "no HEAD"},
        {"git init -q outside/r && git clone -q -s outside/r work 2>/dev/null", "alternates"},
        {"git init -q work && mv work/.git/objects outside/o && ln -s ../../outside/o"
         " work/.git/objects",
         "objects cannot"},
        {"git init -q work && git -C work config core.repositoryformatversion 1 &&"
         " git -C work config extensions.partialclone x",
         "extension partialclone"},
        {"git init -q work && ln -s /etc/passwd work/.git/objects/pack/pack-x.pack", "plain file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct travel travel;
        sh("rm -rf work outside && mkdir work outside && %s", cases[i].make);
        ck_assert_msg(begin_git(&travel, LEASE) == 0, "%s: %s", cases[i].make, error.message);
        ck_assert_msg(strstr(travel.why, cases[i].why) != NULL, "%s: %s", cases[i].make,
                      travel.why);
        billet_workspace_end(travel.workspace);
    }
}
END_TEST

START_TEST(an_environment_without_git_is_told)
{
    struct travel travel;
    make_repository();
    sh("mkdir bin && for p in cat test rm; do ln -s \"$(command -v $p)\" bin; done");
    far_path = at("bin");
    bring_in(&travel);
    far_path = NULL;
    ck_assert_int_eq(travel.sent, 0);
    end_travel(&travel);
}
END_TEST

/* --- back ------------------------------------------------------------------------------------ */

START_TEST(commits_and_changes_come_back_as_a_fast_forward)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    sh("cd far && echo x >>a && git commit -qam third && git mv b moved && git commit -qm fourth &&"
       " git rm -q d/c && echo new >new && git add new && echo y >>a && echo un >untracked");
    ck_assert_int_eq(bring_back(&travel), 1);
    const struct billet_git_report *told = billet_git_report(travel.git);
    ck_assert_int_eq(told->outcome, BILLET_GIT_FAST_FORWARD);
    ck_assert_str_eq(told->branch, "refs/heads/main");
    assert_same_status();
    ck_assert_str_eq(sh("git -C work log --format=%%s"), "fourth\nthird\nsecond\nfirst\n");
    ck_assert_str_eq(sh("git -C work for-each-ref refs/billet"), "");
    ck_assert_ptr_nonnull(strstr(sh("git -C work reflog"), "billet run " LEASE));
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(what_was_committed_there_is_clean_here)
{
    struct travel travel;
    make_repository();
    sh("cd work && echo mine >>b && echo staged >s && git add s && echo un >un");
    bring_in(&travel);
    sh("cd far && echo x >>a && git commit -qm third a && git add un && git commit -qm un un");
    ck_assert_int_eq(bring_back(&travel), 1);
    assert_same_status();
    ck_assert_str_eq(sh("git -C work status --porcelain"), " M b\nA  s\n");
    assert_content(at("work/b"), "two\nmine\n");
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(nothing_done_there_changes_nothing_here)
{
    struct travel travel;
    make_repository();
    sh("cd work && echo s >s && git add s && echo t >>a");
    char *before = strdup(sh("sha256sum work/.git/index work/.git/HEAD; find work/.git | sort"));
    bring_in(&travel);
    sh("git -C far status >/dev/null");
    ck_assert_int_eq(bring_back(&travel), 0);
    ck_assert_str_eq(before, sh("sha256sum work/.git/index work/.git/HEAD; find work/.git | sort"));
    free(before);
    end_travel(&travel);
}
END_TEST

START_TEST(both_moved_becomes_a_merge)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    sh("cd far && echo x >x && git add x && git commit -qm theirs && echo y >>b");
    sh("cd work && echo mine >mine && git add mine && git commit -qm ours && echo dirty >>d/c");
    ck_assert_int_eq(bring_back(&travel), 1);
    const struct billet_git_report *told = billet_git_report(travel.git);
    ck_assert_msg(told->outcome == BILLET_GIT_MERGED, "%s %s",
                  billet_git_outcome_name(told->outcome), told->note);
    ck_assert_str_eq(sh("git -C work log -1 --format='%%an <%%ae> %%s'"),
                     "Ada <ada@example.org> Merge what billet run " LEASE " made\n");
    ck_assert_str_eq(sh("git -C work log -2 --format=%%s HEAD^1 -- ."), "ours\nsecond\n");
    ck_assert_str_eq(sh("git -C work status --porcelain"), " M b\n M d/c\n");
    ck_assert_str_eq(sh("git -C work show HEAD:x HEAD:mine"), "x\nmine\n");
    ck_assert_str_eq(sh("git -C work for-each-ref refs/billet"), "");
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(both_changed_one_path_stays_diverged)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    sh("cd far && echo theirs >>a && git commit -qam theirs");
    sh("cd work && echo ours >>a && git commit -qam ours");
    char *head = strdup(sh("git -C work rev-parse HEAD"));
    ck_assert_int_eq(bring_back(&travel), 1);
    const struct billet_git_report *told = billet_git_report(travel.git);
    ck_assert_int_eq(told->outcome, BILLET_GIT_DIVERGED);
    ck_assert_str_eq(told->kept, "refs/billet/" LEASE "/main");
    ck_assert_str_eq(head, sh("git -C work rev-parse HEAD"));
    ck_assert_str_eq(sh("git -C work log -1 --format=%%s refs/billet/" LEASE "/main"), "theirs\n");
    assert_content(at("work/a"), "one\nmore\nours\n");
    ck_assert_uint_eq(report.totals[BILLET_REPORT_CONFLICT], 1);
    free(head);
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(rewritten_history_stays_beside)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    sh("cd far && git commit -q --amend -m amended");
    ck_assert_int_eq(bring_back(&travel), 1);
    ck_assert_int_eq(billet_git_report(travel.git)->outcome, BILLET_GIT_DIVERGED);
    ck_assert_str_eq(sh("git -C work log -1 --format=%%s"), "second\n");
    ck_assert_str_eq(sh("git -C work status --porcelain"), "");
    end_travel(&travel);
}
END_TEST

START_TEST(unrelated_histories_are_never_merged)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    sh("cd far && git checkout -q --orphan fresh && git commit -qm fresh && git branch -M main");
    ck_assert_int_eq(bring_back(&travel), 1);
    const struct billet_git_report *told = billet_git_report(travel.git);
    ck_assert_int_eq(told->outcome, BILLET_GIT_UNRELATED);
    ck_assert_str_eq(sh("git -C work log -1 --format=%%s"), "second\n");
    ck_assert_str_eq(sh("git -C work log --format=%%s %s", told->kept), "fresh\n");
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(other_branches_are_kept_under_their_own_refs)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    sh("cd far && git checkout -qb topic/one && echo x >x && git add x && git commit -qm topic");
    ck_assert_int_eq(bring_back(&travel), 1);
    const struct billet_git_report *told = billet_git_report(travel.git);
    ck_assert_int_eq(told->outcome, BILLET_GIT_UNCHANGED);
    ck_assert_uint_eq(told->others.count, 1);
    ck_assert_str_eq(told->others.items[0], "refs/billet/" LEASE "/topic/one");
    ck_assert_str_eq(sh("git -C work log -1 --format=%%s %s", told->others.items[0]), "topic\n");
    ck_assert_str_eq(sh("git -C work status --porcelain --branch"), "## main\n?? x\n");
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(what_is_staged_on_both_sides_stays_as_here)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    sh("cd far && echo theirs >>a && echo theirs >>b && git add a b");
    sh("cd work && echo ours >>a && git add a");
    ck_assert_int_eq(bring_back(&travel), 1);
    const struct billet_git_report *told = billet_git_report(travel.git);
    ck_assert_uint_eq(told->index_taken, 1);
    ck_assert_uint_eq(told->index_kept, 1);
    ck_assert_str_eq(sh("git -C work show :a"), "one\nmore\nours\n");
    ck_assert_str_eq(sh("git -C work show :b"), "two\ntheirs\n");
    assert_content(at("work/a"), "one\nmore\nours\n");
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(a_switch_of_branch_here_meanwhile_is_respected)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    sh("cd far && echo x >x && git add x && git commit -qm theirs");
    sh("cd work && git checkout -q side");
    ck_assert_int_eq(bring_back(&travel), 1);
    const struct billet_git_report *told = billet_git_report(travel.git);
    ck_assert_int_eq(told->outcome, BILLET_GIT_DIVERGED);
    ck_assert_str_eq(sh("git -C work rev-parse --abbrev-ref HEAD"), "side\n");
    ck_assert_str_eq(sh("git -C work log -1 --format=%%s main"), "second\n");
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(a_lock_of_git_is_waited_for_and_never_taken)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    sh("cd far && echo x >x && git add x && git commit -qm theirs");
    make_file(at("work/.git/index.lock"), "");
    ck_assert_int_eq(bring_back(&travel), 1);
    const struct billet_git_report *told = billet_git_report(travel.git);
    ck_assert_int_eq(told->outcome, BILLET_GIT_FAILED);
    ck_assert_str_eq(told->kept, "refs/billet/" LEASE "/main");
    ck_assert_int_eq(access(at("work/.git/index.lock"), F_OK), 0);
    assert_content(at("work/x"), "x\n");
    ck_assert_str_eq(sh("git -C work log -1 --format=%%s"), "second\n");
    end_travel(&travel);
}
END_TEST

START_TEST(what_root_brings_belongs_to_the_owner)
{
    struct travel travel;
    if (geteuid() != 0) {
        fprintf(stderr, "# skipped: needs root\n");
        return;
    }
    make_repository();
    sh("chown -R 65534:65534 work && printf '[core]\\n\\tfsmonitor = touch %s/pwned\\n"
       "[alias]\\n\\tx = y\\n' >>work/.git/config",
       top);
    bring_in(&travel);
    sh("cd far && echo x >>a && git commit -qam x");
    ck_assert_int_eq(bring_back(&travel), 1);
    ck_assert_int_eq(billet_git_report(travel.git)->outcome, BILLET_GIT_FAST_FORWARD);
    ck_assert_str_eq(sh("find work ! -uid 65534"), "");
    ck_assert_int_ne(access(at("pwned"), F_OK), 0);
    end_travel(&travel);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("workspace_git");
    TCase *there = tcase_create("there");
    TCase *back = tcase_create("back");
    tcase_set_timeout(there, 120);
    tcase_set_timeout(back, 120);
    tcase_add_checked_fixture(there, set_up_git, tear_down_git);
    tcase_add_checked_fixture(back, set_up_git, tear_down_git);
    tcase_add_test(there, every_state_of_a_file_is_the_same_there);
    tcase_add_test(there, conflicts_in_the_index_are_the_same_there);
    tcase_add_test(there, branches_tags_and_upstream_are_the_same_there);
    tcase_add_test(there, a_second_time_only_missing_commits_go);
    tcase_add_test(there, a_second_time_makes_the_far_side_as_here);
    tcase_add_test(there, credentials_and_programs_stay_here);
    tcase_add_test(there, urls_lose_what_is_secret);
    tcase_add_test(there, what_is_tracked_and_left_out_does_not_look_deleted);
    tcase_add_test(there, a_repository_without_commits_travels);
    tcase_add_test(there, a_shallow_clone_travels_shallow);
    tcase_add_test(there, a_linked_work_tree_travels_as_a_whole_one);
    tcase_add_test(there, a_detached_head_travels_and_comes_back);
    tcase_add_test(there, a_split_index_and_sha256_travel);
    tcase_add_test(there, what_cannot_travel_says_why);
    tcase_add_test(there, an_environment_without_git_is_told);
    tcase_add_test(back, commits_and_changes_come_back_as_a_fast_forward);
    tcase_add_test(back, what_was_committed_there_is_clean_here);
    tcase_add_test(back, nothing_done_there_changes_nothing_here);
    tcase_add_test(back, both_moved_becomes_a_merge);
    tcase_add_test(back, both_changed_one_path_stays_diverged);
    tcase_add_test(back, rewritten_history_stays_beside);
    tcase_add_test(back, unrelated_histories_are_never_merged);
    tcase_add_test(back, other_branches_are_kept_under_their_own_refs);
    tcase_add_test(back, what_is_staged_on_both_sides_stays_as_here);
    tcase_add_test(back, a_switch_of_branch_here_meanwhile_is_respected);
    tcase_add_test(back, a_lock_of_git_is_waited_for_and_never_taken);
    tcase_add_test(back, what_root_brings_belongs_to_the_owner);
    suite_add_tcase(suite, there);
    suite_add_tcase(suite, back);
    return run_git_suite(suite);
}
