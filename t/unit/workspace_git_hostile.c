/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever the environment says about its repository, ours stays sound; a run that is killed at any
 * point is completed or was never there. */
#include <sys/syscall.h>

#include "workspace_git_support.h"

/* --- the Nth change of a file system ends the process ---------------------------------------- */

static bool counting;
static long calls;
static long last_call; /* 0: never */

static void
count_call(void)
{
    if (counting && ++calls == last_call)
        kill(getpid(), SIGKILL);
}

/* These stand before those of libc for everything that is linked into this program. */
int
renameat2(int from, const char *old, int to, const char *new, unsigned flags)
{
    count_call();
    return (int)syscall(SYS_renameat2, from, old, to, new, flags);
}

int
renameat(int from, const char *old, int to, const char *new)
{
    count_call();
    return (int)syscall(SYS_renameat2, from, old, to, new, 0);
}

int
linkat(int from, const char *old, int to, const char *new, int flags)
{
    count_call();
    return (int)syscall(SYS_linkat, from, old, to, new, flags);
}

int
mkdirat(int directory, const char *path, mode_t mode)
{
    count_call();
    return (int)syscall(SYS_mkdirat, directory, path, mode);
}

int
unlinkat(int directory, const char *path, int flags)
{
    count_call();
    return (int)syscall(SYS_unlinkat, directory, path, flags);
}

/* --- what comes back is refused -------------------------------------------------------------- */

/* All of our repository, but what a status would refresh. */
static char *
picture_of_repository(void)
{
    return strdup(sh("cd work && find .git ! -name 'index' | sort && git for-each-ref &&"
                     " cat .git/HEAD && git ls-files -s"));
}

/* The far side does something, each time from where it began; nothing of it is taken. */
static void
assert_refused(const char *const scripts[], size_t count)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    char *before = picture_of_repository();
    for (size_t i = 0; i < count; i++) {
        sh("rm -rf far && git clone -q work far && cd far && %s", scripts[i]);
        int received = billet_git_receive(travel.git, &travel.far, &error);
        ck_assert_msg(received < 0, "%s: taken (%d)", scripts[i], received);
        ck_assert_msg(strcmp(error.code, "git_refused") == 0 ||
                          strcmp(error.code, "git_failed") == 0 ||
                          strcmp(error.code, "path_refused") == 0,
                      "%s: %s %s", scripts[i], error.code, error.message);
        ck_assert_int_eq(billet_git_report(travel.git)->outcome, BILLET_GIT_FAILED);
        ck_assert_int_gt((int)strlen(billet_git_report(travel.git)->note), 0);
    }
    sh("rm -rf far/.git");
    bring_back(&travel);
    char *after = picture_of_repository();
    ck_assert_msg(strcmp(before, after) == 0, "before\n%s\nafter\n%s", before, after);
    assert_sound();
    free(before);
    free(after);
    end_travel(&travel);
}

#define COMMIT_TREE                                                                       \
    "c=$(git -c core.protectNTFS=false commit-tree -p HEAD -m evil $t) && git update-ref" \
    " refs/heads/main $c"
/* A tree with one entry of any mode, name and object. */
#define ODD_TREE(mode, type, name, object) \
    "t=$(printf '" mode " " type " %s\\t" name "\\n' $(" object ") | git mktree) && " COMMIT_TREE
#define HOOK "echo 'echo evil' | git hash-object -w --stdin"

START_TEST(trees_that_reach_into_git_are_refused)
{
    static const char *const cases[] = {
        ODD_TREE("40000", "tree", ".git", "git rev-parse HEAD:d"),
        ODD_TREE("100755", "blob", ".git", HOOK),
        ODD_TREE("40000", "tree", ".GIT", "git rev-parse HEAD:d"),
        ODD_TREE("40000", "tree", "git~1", "git rev-parse HEAD:d"),
        ODD_TREE("40000", "tree", ".git\\342\\200\\215", "git rev-parse HEAD:d"),
        ODD_TREE("120000", "blob", ".gitmodules",
                 "printf /etc/passwd | git hash-object -w --stdin"),
        ODD_TREE("40000", "tree", "..", "git rev-parse HEAD:d"),
        ("printf '[submodule \"../../x\"]\\n\\tpath = x\\n\\turl = -u./evil\\n' >.gitmodules &&"
         " git add .gitmodules && git commit -qm evil"),
    };
    assert_refused(cases, sizeof(cases) / sizeof(cases[0]));
}
END_TEST

START_TEST(objects_that_are_damaged_or_missing_are_refused)
{
    static const char *const cases[] = {
        /* A commit whose tree does not exist. */
        "c=$(printf 'tree %040d\\nparent %s\\nauthor a <a> 1 +0000\\ncommitter a <a> 1 +0000\\n\\nx"
        "\\n' 7 $(git rev-parse HEAD) | git hash-object -t commit -w --literally --stdin) &&"
        " git update-ref refs/heads/main $c",
        /* A commit that is none. */
        "c=$(echo evil | git hash-object -t commit -w --literally --stdin) &&"
        " printf %s $c >.git/refs/heads/main",
        /* A branch that names a blob. */
        "b=$(" HOOK ") &&"
        " printf %s $b >.git/refs/heads/main",
        /* An object store that is gone. */
        "echo x >>a && git commit -qam x && rm -rf .git/objects/??",
    };
    assert_refused(cases, sizeof(cases) / sizeof(cases[0]));
}
END_TEST

/* A git over there that answers one command as it likes. */
static void
fake_git(const char *command, const char *answer)
{
    char *real = strdup(sh("command -v git"));
    real[strcspn(real, "\n")] = '\0';
    mkdir(at("bin"), 0755);
    FILE *file = fopen(at("bin/git"), "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "#!/bin/sh\ncase \"$*\" in\n*%s*) %s ;;\n*) exec %s \"$@\" ;;\nesac\n", command,
            answer, real);
    fclose(file);
    chmod(at("bin/git"), 0755);
    free(real);
    static char path[256];
    snprintf(path, sizeof(path), "%s:/usr/local/bin:/usr/bin:/bin", at("bin"));
    far_path = path;
}

START_TEST(answers_that_git_would_not_give_are_refused)
{
    static const struct {
        const char *command;
        const char *answer;
    } cases[] = {
        {"pack-objects", "printf garbage"},
        {"pack-objects", "true"},
        {"pack-objects", "printf 'PACK\\0\\0\\0\\002\\377\\377\\377\\377'; cat /dev/urandom"},
        {"pack-objects", "exit 3"},
        {"symbolic-ref -q", "echo ../../../etc/passwd"},
        {"symbolic-ref -q", "cat /dev/zero"},
        {"symbolic-ref -q", "yes"},
        {"for-each-ref", "echo zzz refs/heads/main"},
        {"ls-files --stage", "printf '100644 x 0\\ta\\0'"},
        {"ls-files --stage", "printf '160000 %040d 9\\ta\\0' 1"},
        {"ls-files --stage", "o=$(" HOOK "); printf '100644 %s 0\\t.git/hooks/x\\0' $o"},
        {"ls-files --stage", "o=$(" HOOK "); printf '100644 %s 0\\t../x\\0' $o"},
        {"ls-files --stage", "o=$(" HOOK "); printf '100644 %s 0\\td/.GIT/x\\0' $o"},
        {"ls-files --stage", "o=$(" HOOK "); printf '100644 %s 0\\ta\\0100644 %s 0\\ta\\0' $o $o"},
        {"ls-files --stage", "printf '100644 %s 0\\ta\\0' $(command git rev-parse HEAD)"},
        {"ls-files --stage", "printf '100644 %040d 0\\ta\\0' 5"},
        {"ls-files --stage", "printf '100644 no end'"},
    };
    struct travel travel;
    make_repository();
    bring_in(&travel);
    char *before = picture_of_repository();
    sh("cd far && echo x >>a && git commit -qam x");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_git(cases[i].command, cases[i].answer);
        int received = billet_git_receive(travel.git, &travel.far, &error);
        far_path = NULL;
        ck_assert_msg(received < 0, "%s: %d", cases[i].answer, received);
        ck_assert_int_eq(billet_git_commit(travel.git, &error), 0);
        billet_git_settle(travel.git);
    }
    char *after = picture_of_repository();
    ck_assert_str_eq(before, after);
    free(before);
    free(after);
    end_travel(&travel);
}
END_TEST

START_TEST(names_of_refs_that_lead_elsewhere_are_passed_over)
{
    static const char answer[] =
        "o=$(cat .git/refs/heads/main); for n in refs/heads/../../../evil refs/heads/x.lock"
        " refs/heads/a..b refs/heads/.x refs/heads/ 'refs/heads/a b' HEAD config hooks/x"
        " refs/heads/ok; do echo \"$o $n\"; done; echo \"$o refs/heads/main\"";
    struct travel travel;
    make_repository();
    bring_in(&travel);
    sh("cd far && echo x >>a && git commit -qam x");
    fake_git("for-each-ref", answer);
    int received = bring_back(&travel);
    far_path = NULL;
    ck_assert_msg(received == 1, "%s", error.message);
    ck_assert_str_eq(sh("git -C work for-each-ref --format='%%(refname)' refs/billet"),
                     "refs/billet/" LEASE "/ok\n");
    ck_assert_str_eq(sh("find . -name '*evil*' -o -name 'x.lock'"), "");
    assert_sound();
    end_travel(&travel);
}
END_TEST

START_TEST(a_pack_above_the_limit_is_refused)
{
    struct travel travel;
    make_repository();
    bring_in(&travel);
    billet_git_end(travel.git);
    struct billet_git_options options = {
        .root = billet_workspace_root(travel.workspace),
        .state_fd = billet_workspace_state_fd(travel.workspace),
        .lease = LEASE,
        .pack_bytes_max = 100000,
    };
    ck_assert_int_eq(billet_git_begin(&options, &travel.git, travel.why, &error), 1);
    sh("cd far && head -c 400000 /dev/urandom >big && git add big && git commit -qm big");
    ck_assert_int_lt(billet_git_receive(travel.git, &travel.far, &error), 0);
    ck_assert_str_eq(error.code, "git_refused");
    end_travel(&travel);
}
END_TEST

START_TEST(nothing_that_a_repository_names_is_run_here)
{
    struct travel travel;
    make_repository();
    /* All of it in our own work tree, as a workload with a bind mount could have left it. */
    sh("cat >outside/evil <<'X'\n#!/bin/sh\ntouch %s/pwned\nX\nchmod 755 outside/evil; cd work;"
       " e=%s/outside/evil; for h in reference-transaction post-checkout post-index-change"
       " pre-auto-gc post-merge pre-commit; do cp $e .git/hooks/$h; done;"
       " echo '* filter=e diff=e merge=e' >.git/info/attributes; cp .git/info/attributes"
       " .gitattributes; for k in core.fsmonitor core.sshCommand core.gitProxy core.editor"
       " core.pager core.askPass core.alternateRefsCommand filter.e.clean filter.e.smudge"
       " filter.e.process diff.e.textconv diff.e.command merge.e.driver gpg.program"
       " uploadpack.packObjectsHook credential.helper alias.index-pack alias.rev-list;"
       " do git config $k $e; done; git config core.hooksPath .git/hooks;"
       " git config commit.gpgSign true; printf '[include]\\n\\tpath = /dev/zero\\n' >>.git/config;"
       " rm -f %s/pwned",
       top, top, top);
    bring_in(&travel);
    sh("cd far && rm -f .gitattributes && echo x >x && git add x && git commit -qm theirs");
    sh("cd work && p=$(git -c include.path= rev-parse HEAD 2>/dev/null) || :");
    ck_assert_int_eq(bring_back(&travel), 1);
    ck_assert_int_eq(billet_git_report(travel.git)->outcome, BILLET_GIT_FAST_FORWARD);
    ck_assert_int_ne(access(at("pwned"), F_OK), 0);
    end_travel(&travel);
}
END_TEST

START_TEST(links_in_our_repository_are_not_followed)
{
    static const char *const cases[] = {
        "mv .git/refs/heads ../outside/heads && ln -s ../../../outside/heads .git/refs/heads",
        "mv .git/index ../outside/index && ln -s ../../outside/index .git/index",
        ("mv .git/refs/heads/main ../outside/main && ln -s ../../../../outside/main"
         " .git/refs/heads/main"),
    };
    struct travel travel;
    make_repository();
    sh("cd work && %s", cases[_i]);
    int begun = begin_git(&travel, LEASE);
    ck_assert_msg(begun < 0, "%s: %d", cases[_i], begun);
    billet_workspace_end(travel.workspace);
}
END_TEST

/* --- killed ---------------------------------------------------------------------------------- */

/* In a child: a whole run, of which the part that changes our side may be cut off. */
static void
run_and_die(long at_call)
{
    struct travel travel;
    bring_in(&travel);
    sh("cd far && echo x >>a && git commit -qam third && echo y >y && git add y && rm b");
    if (billet_git_receive(travel.git, &travel.far, &error) != 1 ||
        billet_workspace_receive_copy(travel.workspace, at("far"), &error) < 0)
        _exit(2);
    struct billet_workspace_companion companion = {before_files, after_files, &travel};
    billet_workspace_accompany(travel.workspace, &companion);
    last_call = at_call;
    counting = true;
    int applied = billet_workspace_apply(travel.workspace, &report, &error);
    counting = false;
    FILE *file = fopen(at("count"), "w");
    fprintf(file, "%ld", calls);
    fclose(file);
    end_travel(&travel);
    _exit(applied == 0 ? 0 : 3);
}

/* False where the run ended before: it had fewer calls than that, and tells how many in ./count. */
static bool
run_killed_at(long at_call)
{
    int status;
    remove_tree(at("work"));
    remove_tree(at("far"));
    mkdir(at("work"), 0755);
    mkdir(at("far"), 0755);
    make_repository();
    pid_t pid = fork();
    if (pid == 0)
        run_and_die(at_call);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    ck_assert_msg(killed || status == 0, "call %ld: status %d", at_call, status);
    sh("git -C work fsck --full --strict --no-dangling");
    billet_workspace_end(open_workspace("next"));
    assert_sound();
    const char *state = sh("git -C work log -1 --format=%%s && git -C work status --porcelain");
    bool is_old = strcmp(state, "second\n") == 0;
    bool is_new = strcmp(state, "third\n D b\nA  y\n") == 0;
    ck_assert_msg(is_old || is_new, "killed at call %ld: %s", at_call, state);
    ck_assert_str_eq(sh("find work/.git -name 'billet-*' -o -name '*.lock'"), "");
    ck_assert_str_eq(sh("ls state/*/git state/*/git-plan 2>/dev/null || :"), "");
    ck_assert(killed || is_new);
    return killed;
}

#define KILLS 12

START_TEST(a_run_killed_at_any_point_is_completed_or_never_was)
{
    ck_assert(!run_killed_at(0));
    long whole = strtol(read_text(at("count")), NULL, 10);
    ck_assert_int_gt(whole, KILLS);
    /* From the first to the last. */
    for (long i = 0; i < KILLS; i++) {
        long at_call = 1 + (whole - 1) * i / (KILLS - 1);
        /* Not every run has as many: the last is looked for anew. */
        for (int tries = 0; !run_killed_at(at_call); tries++) {
            ck_assert_int_lt(tries, 5);
            at_call = strtol(read_text(at("count")), NULL, 10);
        }
    }
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("workspace_git_hostile");
    TCase *hostile = tcase_create("hostile");
    TCase *killed = tcase_create("killed");
    tcase_set_timeout(hostile, 120);
    tcase_set_timeout(killed, 240);
    tcase_add_checked_fixture(hostile, set_up_git, tear_down_git);
    tcase_add_checked_fixture(killed, set_up_git, tear_down_git);
    tcase_add_test(hostile, trees_that_reach_into_git_are_refused);
    tcase_add_test(hostile, objects_that_are_damaged_or_missing_are_refused);
    tcase_add_test(hostile, answers_that_git_would_not_give_are_refused);
    tcase_add_test(hostile, names_of_refs_that_lead_elsewhere_are_passed_over);
    tcase_add_test(hostile, a_pack_above_the_limit_is_refused);
    tcase_add_test(hostile, nothing_that_a_repository_names_is_run_here);
    tcase_add_loop_test(hostile, links_in_our_repository_are_not_followed, 0, 3);
    tcase_add_test(killed, a_run_killed_at_any_point_is_completed_or_never_was);
    suite_add_tcase(suite, hostile);
    suite_add_tcase(suite, killed);
    return run_git_suite(suite);
}
