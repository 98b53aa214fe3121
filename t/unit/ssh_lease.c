/* SPDX-License-Identifier: Apache-2.0 */
/* Leases of the ssh driver over a real sshd: their life, what proves the host, and what goes wrong
 * on the way. */
#include "ssh_fixture.h"

/* ---- life -------------------------------------------------------------------------------- */

START_TEST(a_lease_is_a_labelled_directory_until_it_is_destroyed)
{
    begin_as(users[_i]);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    ck_assert(lease_directory_exists(lease_a));
    listed_count = 0;
    assert_ok(driver->list(&call_a, &error));
    bool found = false;
    for (int i = 0; i < listed_count; i++)
        found = found || (strcmp(listed[i], lease_a) == 0 && listed_fence[i] == 3);
    ck_assert(found);
    end_lease(lease);
    ck_assert(!lease_directory_exists(lease_a));
}
END_TEST

START_TEST(a_copy_gets_a_directory_of_the_lease_and_the_guest_is_named)
{
    begin_as(users[_i]);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    struct billet_realize args = {
        .struct_size = sizeof(args), .mode = BILLET_WORKSPACE_COPY, .root_fd = -1, .path = scratch};
    struct billet_realized realized = {.struct_size = sizeof(realized)};
    assert_ok(driver->realize(&call_a, lease, &args, &realized, &error));
    char wanted[300];
    snprintf(wanted, sizeof(wanted), "%s/%s/work", remote, lease_a);
    ck_assert_str_eq(realized.directory, wanted);
    struct outcome outcome;
    run_shell(&call_a, lease, "pwd; ls -A | wc -l", &outcome);
    ck_assert_int_eq(strncmp(outcome.output, wanted, strlen(wanted)), 0);
    ck_assert_ptr_nonnull(strstr(outcome.output, "\n0\n"));
    ck_assert_msg(guest_fact[0] == '/', "no guest was brought to the host");
    const char *argv[] = {guest_fact, "version", NULL};
    struct billet_exec exec = exec_arguments(argv);
    run_with(&call_a, lease, &exec, &outcome);
    ck_assert_int_eq(strncmp(outcome.output, "billet-guest ", 13), 0);
    end_lease(lease);
    /* It stays for the next lease. */
    ck_assert_int_eq(access(guest_fact, X_OK), 0);
}
END_TEST

START_TEST(release_ends_what_runs_and_keep_leaves_it)
{
    char reference[BILLET_REF_MAX];
    struct outcome outcome;
    begin_as(users[_i]);
    struct billet_lease_handle *lease = acquire(&call_a, reference);
    run_shell(&call_a, lease, "echo kept >file; sleep 4721 </dev/null >/dev/null 2>&1 &", &outcome);
    await_processes(lease_a, 1);
    assert_ok(driver->release(&call_a, lease, BILLET_DISPOSE_KEEP, &error));
    await_processes(lease_a, 1);
    struct billet_resume args = {.struct_size = sizeof(args), .ref = reference};
    struct billet_acquired again = {.struct_size = sizeof(again)};
    assert_ok(driver->resume(&call_a, &args, &again, &error));
    run_shell(&call_a, again.handle, "cat file", &outcome);
    ck_assert_str_eq(outcome.output, "kept\n");
    assert_ok(driver->release(&call_a, again.handle, BILLET_DISPOSE_STOP, &error));
    ck_assert_int_eq(count_lease(lease_a), 0);
    ck_assert(lease_directory_exists(lease_a));
    struct billet_destroy destroy = {.struct_size = sizeof(destroy), .ref = reference};
    assert_ok(driver->destroy(&call_a, &destroy, &error));
    ck_assert(!lease_directory_exists(lease_a));
    assert_ok(driver->destroy(&call_a, &destroy, &error));
    assert_fails(driver->resume(&call_a, &args, &again, &error), BILLET_CLASS_LOST, "lease_lost");
}
END_TEST

START_TEST(a_resource_with_a_later_owner_is_refused)
{
    char reference[BILLET_REF_MAX];
    begin_as(users[_i]);
    struct billet_lease_handle *lease = acquire(&call_a, reference);
    assert_ok(driver->release(&call_a, lease, BILLET_DISPOSE_KEEP, &error));
    struct billet_identity identity = *call_a.identity;
    struct billet_call call = call_a;
    struct billet_resume args = {.struct_size = sizeof(args), .ref = reference};
    struct billet_acquired again = {.struct_size = sizeof(again)};
    call.identity = &identity;
    identity.run = "another run";
    assert_fails(driver->resume(&call, &args, &again, &error), BILLET_CLASS_AUTH, "lease_fenced");
    identity.fence--;
    args.flags = BILLET_RESUME_SHARED;
    assert_fails(driver->resume(&call, &args, &again, &error), BILLET_CLASS_AUTH, "lease_fenced");
    identity.fence += 2;
    args.flags = 0;
    assert_ok(driver->resume(&call, &args, &again, &error));
    assert_ok(driver->release(&call, again.handle, BILLET_DISPOSE_KEEP, &error));
    assert_ok(driver->resume(&call, &args, &again, &error)); /* asked again */
    assert_ok(driver->release(&call, again.handle, BILLET_DISPOSE_DESTROY, &error));
}
END_TEST

START_TEST(destroy_by_label_removes_what_the_lease_made_unwritable)
{
    struct outcome outcome;
    begin_as(users[_i]);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    run_shell(&call_a, lease, "mkdir -p a/b; echo x >a/b/c; chmod 0 a/b; chmod 555 a", &outcome);
    assert_ok(driver->release(&call_a, lease, BILLET_DISPOSE_KEEP, &error));
    struct billet_destroy destroy = {.struct_size = sizeof(destroy), .ref = ""};
    struct billet_call dry = call_a;
    dry.flags = BILLET_CALL_DRY_RUN;
    assert_ok(driver->destroy(&dry, &destroy, &error));
    ck_assert(lease_directory_exists(lease_a));
    assert_ok(driver->destroy(&call_a, &destroy, &error));
    ck_assert(!lease_directory_exists(lease_a));
}
END_TEST

START_TEST(a_reference_of_another_host_is_refused)
{
    begin_as(users[0]);
    struct billet_destroy destroy = {.struct_size = sizeof(destroy)};
    char reference[200];
    snprintf(reference, sizeof(reference), "ssh:%s@10.0.0.1:22:%s", users[0], lease_a);
    destroy.ref = reference;
    assert_fails(driver->destroy(&call_a, &destroy, &error), BILLET_CLASS_CONFIG,
                 "reference_invalid");
    destroy.ref = "ssh:x";
    assert_fails(driver->destroy(&call_a, &destroy, &error), BILLET_CLASS_CONFIG,
                 "reference_invalid");
}
END_TEST

START_TEST(a_directory_in_place_is_locked_for_one_lease)
{
    char place[128];
    struct outcome outcome;
    begin_as(users[_i]);
    snprintf(place, sizeof(place), "%s/place", scratch);
    struct billet_realize args = {
        .struct_size = sizeof(args), .mode = BILLET_WORKSPACE_IN_PLACE, .root_fd = -1, .path = ""};
    struct billet_realized result = {.struct_size = sizeof(result)};
    struct billet_lease_handle *one = acquire(&call_a, NULL);
    assert_fails(driver->realize(&call_a, one, &args, &result, &error), BILLET_CLASS_CONFIG,
                 "workspace_realization_failed");
    set_string("workspace_directory", place);
    assert_ok(driver->realize(&call_a, one, &args, &result, &error));
    ck_assert_str_eq(result.directory, place);
    run_shell(&call_a, one, "pwd", &outcome);
    outcome.output[strcspn(outcome.output, "\n")] = '\0';
    ck_assert_str_eq(outcome.output, place);
    struct billet_lease_handle *two = acquire(&call_b, NULL);
    assert_fails(driver->realize(&call_b, two, &args, &result, &error), BILLET_CLASS_UNAVAILABLE,
                 "workspace_locked");
    end_lease(one);
    assert_ok(driver->realize(&call_b, two, &args, &result, &error));
    assert_ok(driver->release(&call_b, two, BILLET_DISPOSE_DESTROY, &error));
    struct stat about;
    ck_assert_int_eq(stat(place, &about), 0);
}
END_TEST

/* ---- what proves the host, and who we are --------------------------------------------------- */

static void
assert_acquire_fails(int class, const char *code)
{
    struct billet_acquire args = {.struct_size = sizeof(args)};
    struct billet_acquired result = {.struct_size = sizeof(result)};
    assert_fails(driver->acquire(&call_a, &args, &result, &error), class, code);
    ck_assert(!lease_directory_exists(lease_a));
}

START_TEST(an_unknown_and_a_changed_host_key_are_refused)
{
    begin_as(users[0]);
    write_file("known_hosts", 0644, "");
    assert_acquire_fails(BILLET_CLASS_AUTH, "ssh_host_key_unknown");
    know_host("id.pub");
    assert_acquire_fails(BILLET_CLASS_AUTH, "ssh_host_key_changed");
    /* A changed key is no new key. */
    set_string("host_key_check", "accept_new");
    assert_acquire_fails(BILLET_CLASS_AUTH, "ssh_host_key_changed");
    write_file("known_hosts", 0644, "");
    end_lease(acquire(&call_a, NULL));
    set_string("host_key_check", "strict");
    end_lease(acquire(&call_a, NULL));
}
END_TEST

START_TEST(a_pinned_host_key_is_the_only_one)
{
    char line[256] = "", pin[64] = "";
    begin_as(users[0]);
    char command[256];
    snprintf(command, sizeof(command), "ssh-keygen -lf %s/hostkey.pub", scratch);
    FILE *from = popen(command, "re");
    ck_assert(from != NULL && fgets(line, sizeof(line), from) != NULL);
    pclose(from);
    ck_assert_int_eq(sscanf(line, "%*s %63s", pin), 1);
    const char *pins[] = {"SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", NULL, NULL};
    write_file("known_hosts", 0644, "");
    option("host_key")->is_set = 1;
    option("host_key")->list = pins;
    assert_acquire_fails(BILLET_CLASS_AUTH, "ssh_host_key_unknown");
    pins[1] = pin;
    end_lease(acquire(&call_a, NULL));
}
END_TEST

START_TEST(a_key_reaches_an_agent_and_no_file)
{
    char key[8192] = "";
    begin_as(users[_i]);
    int fd = open(identity_file, O_RDONLY | O_CLOEXEC);
    ck_assert_int_gt(read(fd, key, sizeof(key) - 1), 100);
    close(fd);
    /* Without its last newline, as a secret store may keep it. */
    key[strlen(key) - 1] = '\0';
    set_string("identity_file", NULL);
    set_string("identity", key);
    end_lease(acquire(&call_a, NULL));
    ck_assert_int_ne(system("pgrep -x -P $PPID ssh-agent"), 0);
    set_string("identity", "no key at all");
    assert_acquire_fails(BILLET_CLASS_CONFIG, "ssh_identity_unusable");
}
END_TEST

START_TEST(a_wrong_key_a_closed_port_and_a_false_shell_are_told_apart)
{
    char other[128];
    begin_as(users[0]);
    snprintf(other, sizeof(other), "%s/hostkey", scratch);
    set_string("identity_file", other);
    assert_acquire_fails(BILLET_CLASS_AUTH, "ssh_refused");
    set_string("identity_file", identity_file);
    set_number("port", free_port());
    assert_acquire_fails(BILLET_CLASS_UNAVAILABLE, "ssh_unreachable");
    if (has_user("billet-none")) {
        begin_as("billet-none");
        assert_acquire_fails(BILLET_CLASS_UNAVAILABLE, "ssh_remote_unusable");
    }
    if (has_user("billet-flood")) {
        begin_as("billet-flood");
        assert_acquire_fails(BILLET_CLASS_UNAVAILABLE, "ssh_remote_unusable");
    }
}
END_TEST

START_TEST(hostile_hosts_users_and_paths_are_refused_before_anything_runs)
{
    static const char *const hosts[] = {"-oProxyCommand=id",
                                        "a b",
                                        "a;id",
                                        "a|id",
                                        "$(id)",
                                        "`id`",
                                        "a'b",
                                        "a\"b",
                                        "a\\b",
                                        "a/b",
                                        "a\nb",
                                        "",
                                        "a&b",
                                        "a>b",
                                        "user@host",
                                        "a%h",
                                        "a,b",
                                        "(a)",
                                        "a*",
                                        "~a",
                                        "\303\244",
                                        ".a"};
    static const char *const names[] = {"-lroot", "a b", "a;id", "$(id)", "a@b", "a'b", "", "a/b"};
    static const char *const files[] = {"relative", "/a b", "/a%h", "/a\"b", "/a$HOME", "~/x"};
    static const char *const jumps[] = {"-J",    "a b",   "a:0",       "a:99999", "a,,b",
                                        "a:b:c", "u u@h", "a,b,c,d,e", "a;id"};
    static const char *const directories[] = {"relative", "~x/y", "/a/../b", "/a/..", "/", "~/"};
    static const struct {
        const char *name;
        const char *const *values;
        size_t count;
    } cases[] = {{"host", hosts, 22},
                 {"user", names, 8},
                 {"identity_file", files, 6},
                 {"known_hosts_file", files, 6},
                 {"ssh_config", files, 6},
                 {"jump", jumps, 9},
                 {"remote_directory", directories, 6}};
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
        for (size_t i = 0; i < cases[c].count; i++) {
            begin_as(users[0]);
            set_string(cases[c].name, cases[c].values[i]);
            int result = driver->check_config(&call_a, &error);
            ck_assert_msg(result == -BILLET_CLASS_CONFIG, "%s = '%s' was taken", cases[c].name,
                          cases[c].values[i]);
            assert_acquire_fails(BILLET_CLASS_CONFIG, "value_invalid");
        }
}
END_TEST

START_TEST(jump_hosts_are_used)
{
    char hop[128], hops[300];
    struct outcome outcome;
    begin_as(users[0]);
    snprintf(hop, sizeof(hop), "%s@127.0.0.1:%d", users[0], sshd_port);
    snprintf(hops, sizeof(hops), "%s,%s", hop, hop);
    set_string("jump", hops);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    run_shell(&call_a, lease, "exit 3", &outcome);
    ck_assert_int_eq(outcome.result.value, 3);
    end_lease(lease);
    write_file("known_hosts", 0644, "");
    assert_acquire_fails(BILLET_CLASS_AUTH, "ssh_host_key_unknown");
}
END_TEST

START_TEST(nothing_of_ours_is_forwarded)
{
    struct outcome outcome;
    begin_as(users[_i]);
    setenv("SSH_AUTH_SOCK", "/nonexistent", 1);
    setenv("DISPLAY", ":9", 1);
    write_file("config", 0644, "Host *\n ForwardAgent yes\n ForwardX11 yes\n SendEnv *\n");
    char path[128];
    snprintf(path, sizeof(path), "%s/config", scratch);
    set_string("ssh_config", path);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    run_shell(&call_a, lease, "echo ${SSH_AUTH_SOCK-none} ${DISPLAY-none}", &outcome);
    ck_assert_str_eq(outcome.output, "none none\n");
    end_lease(lease);
}
END_TEST

/* ---- probe ------------------------------------------------------------------------------------
 */

START_TEST(a_probe_names_what_fails)
{
    begin_as(users[_i]);
    assert_ok(driver->probe(&call_a, &error));
    ck_assert_msg(checks_failed == 0, "%s failed", failed_check);
    set_string("remote_directory", "/proc/nothing");
    assert_ok(driver->probe(&call_a, &error));
    ck_assert_int_eq(checks_failed, 1);
    ck_assert_str_eq(failed_check, "disk");
    write_file("known_hosts", 0644, "");
    assert_ok(driver->probe(&call_a, &error));
    ck_assert_int_eq(checks_failed, 2);
    ck_assert_str_eq(failed_check, "host_key");
}
END_TEST

/* ---- transfer
 * ------------------------------------------------------------------------------------ */

START_TEST(files_go_there_and_back_as_tar)
{
    char directory[4200];
    struct outcome outcome;
    begin_as(users[_i]);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    snprintf(directory, sizeof(directory), "%s/%s/work/in", remote, lease_a);
    run_program(
        "mkdir -p %s/tree%d && echo text >%s/tree%d/file && tar -C %s/tree%d -cf %s/in%d.tar .",
        scratch, _i, scratch, _i, scratch, _i, scratch, _i);
    char archive[128];
    snprintf(archive, sizeof(archive), "%s/in%d.tar", scratch, _i);
    struct billet_transfer in = {
        .struct_size = sizeof(in), .path = directory, .fd = open(archive, O_RDONLY | O_CLOEXEC)};
    assert_ok(driver->import(&call_a, lease, &in, &error));
    close(in.fd);
    run_shell(&call_a, lease, "cat in/file; echo more >in/new", &outcome);
    ck_assert_str_eq(outcome.output, "text\n");
    snprintf(archive, sizeof(archive), "%s/out%d.tar", scratch, _i);
    struct billet_transfer out = {.struct_size = sizeof(out),
                                  .path = directory,
                                  .fd =
                                      open(archive, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    assert_ok(driver->export_(&call_a, lease, &out, &error));
    close(out.fd);
    run_program("tar -xOf %s ./new | grep -qx more", archive);
    out.path = "/etc";
    assert_fails(driver->export_(&call_a, lease, &out, &error), BILLET_CLASS_CONFIG,
                 "value_invalid");
    end_lease(lease);
}
END_TEST

/* ---- a host with little on it
 * ------------------------------------------------------------------------ */

START_TEST(busybox_is_enough_and_tar_is_missed_by_name)
{
    static const char *const applets[] = {
        "sh", "cat",  "chmod", "cut", "date",  "env", "grep",  "head", "id",   "mkdir", "mkfifo",
        "mv", "nice", "pwd",   "rm",  "sleep", "tr",  "uname", "wc",   "true", "flock", "cksum"};
    if (!has_user("billet-busy") || access("/bin/busybox", X_OK) != 0)
        return;
    run_program("mkdir %s/busybox", scratch);
    for (size_t i = 0; i < sizeof(applets) / sizeof(applets[0]); i++)
        run_program("ln -s /bin/busybox %s/busybox/%s", scratch, applets[i]);
    begin_as("billet-busy");
    struct outcome outcome;
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    run_shell(&call_a, lease, "echo hello; sleep 4722 & kill -9 $$", &outcome);
    ck_assert_str_eq(outcome.output, "hello\n");
    ck_assert_int_eq(outcome.result.outcome, BILLET_OUTCOME_SIGNALLED);
    struct billet_transfer in = {.struct_size = sizeof(in), .fd = -1};
    char directory[300];
    snprintf(directory, sizeof(directory), "%s/%s/work", remote, lease_a);
    in.path = directory;
    assert_fails(driver->import(&call_a, lease, &in, &error), BILLET_CLASS_UNAVAILABLE,
                 "ssh_tar_missing");
    end_lease(lease);
    ck_assert_int_eq(count_lease(lease_a), 0);
}
END_TEST

START_TEST(a_full_disk_on_the_host_is_said)
{
    begin_as(users[0]);
    if (geteuid() != 0)
        return;
    run_program("mkdir %s/full && mount -t tmpfs -o size=16k tmpfs %s/full", scratch, scratch);
    run_program("cat /dev/zero >%s/full/filler 2>/dev/null || :", scratch);
    char path[128];
    snprintf(path, sizeof(path), "%s/full/leases", scratch);
    set_string("remote_directory", path);
    assert_acquire_fails(BILLET_CLASS_CAPACITY, "ssh_disk_full");
    assert_ok(driver->probe(&call_a, &error));
    ck_assert_str_eq(failed_check, "disk");
    run_program("umount %s/full", scratch);
}
END_TEST

/* ---- connections that end
 * ------------------------------------------------------------------------------ */

/* The server's processes of our connections: descendants of the listener. */
static void
signal_connections(int number)
{
    char command[200];
    snprintf(command, sizeof(command),
             "for p in $(pgrep -P %d); do for c in $(pgrep -P $p -x sshd); do kill -%d $c; done; "
             "kill -%d $p; done 2>/dev/null; :",
             (int)find_listener(), number, number);
    ck_assert_int_eq(system(command), 0);
}

static void *
cut_later(void *argument)
{
    usleep(700000);
    signal_connections(*(int *)argument);
    return NULL;
}

static bool
lease_ends_within(const char *lease, int seconds)
{
    for (int i = 0; i < seconds * 10; i++) {
        if (count_lease(lease) == 0)
            return true;
        usleep(100000);
    }
    return false;
}

START_TEST(a_killed_server_is_a_lost_connection_and_the_next_command_connects_anew)
{
    int number = SIGKILL;
    pthread_t thread;
    struct outcome outcome;
    begin_as(users[_i]);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    const char *argv[] = {"sleep", "4723", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    pthread_create(&thread, NULL, cut_later, &number);
    assert_fails(driver->exec(&call_a, lease, &args, &result, &error), BILLET_CLASS_LOST,
                 "connection_lost");
    pthread_join(thread, NULL);
    /* The keeper there reads the end of its input, and ends what it started. */
    ck_assert(lease_ends_within(lease_a, 10));
    run_shell(&call_a, lease, "exit 4", &outcome);
    ck_assert_int_eq(outcome.result.value, 4);
    end_lease(lease);
    ck_assert(!lease_directory_exists(lease_a));
}
END_TEST

START_TEST(a_silent_server_is_noticed_within_the_bound)
{
    int number = SIGSTOP;
    pthread_t thread;
    begin_as(users[_i]);
    set_number("keepalive_interval", BILLET_NS_PER_SECOND);
    set_number("keepalive_count", 2);
    struct billet_lease_handle *lease = acquire(&call_a, NULL);
    const char *argv[] = {"sleep", "4724", NULL};
    struct billet_exec args = exec_arguments(argv);
    struct billet_exec_result result = {.struct_size = sizeof(result)};
    pthread_create(&thread, NULL, cut_later, &number);
    int64_t start = now_ns();
    assert_fails(driver->exec(&call_a, lease, &args, &result, &error), BILLET_CLASS_LOST,
                 "connection_lost");
    ck_assert_int_lt((int)((now_ns() - start) / 1000000), 10000);
    pthread_join(thread, NULL);
    /* Nobody tells the keeper, but no beat comes any more: 15 s is the least it waits. */
    ck_assert_int_eq(count_lease(lease_a), 1);
    ck_assert(lease_ends_within(lease_a, 30));
    signal_connections(SIGKILL);
    end_lease(lease);
}
END_TEST

START_TEST(what_a_killed_driver_left_is_ended_there)
{
    begin_as(users[_i]);
    pid_t child = fork();
    if (child == 0) {
        struct billet_acquire args = {.struct_size = sizeof(args)};
        struct billet_acquired made = {.struct_size = sizeof(made)};
        const char *argv[] = {"sleep", "4725", NULL};
        struct billet_exec exec = exec_arguments(argv);
        struct billet_exec_result result = {.struct_size = sizeof(result)};
        if (driver->acquire(&call_a, &args, &made, &error) == 0)
            driver->exec(&call_a, made.handle, &exec, &result, &error);
        _exit(0);
    }
    await_processes(lease_a, 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_assert(lease_ends_within(lease_a, 10));
    struct billet_destroy destroy = {.struct_size = sizeof(destroy), .ref = ""};
    assert_ok(driver->destroy(&call_a, &destroy, &error));
    ck_assert(!lease_directory_exists(lease_a));
}
END_TEST

START_TEST(nobody_there_leaves_the_lease_for_later)
{
    char reference[BILLET_REF_MAX];
    begin_as(users[0]);
    struct billet_lease_handle *lease = acquire(&call_a, reference);
    signal_connections(SIGKILL);
    stop_sshd();
    assert_fails(driver->release(&call_a, lease, BILLET_DISPOSE_DESTROY, &error),
                 BILLET_CLASS_UNAVAILABLE, "ssh_unreachable");
    ck_assert(lease_directory_exists(lease_a));
    start_sshd();
    struct billet_destroy destroy = {.struct_size = sizeof(destroy), .ref = reference};
    assert_ok(driver->destroy(&call_a, &destroy, &error));
    ck_assert(!lease_directory_exists(lease_a));
}
END_TEST

int
main(void)
{
    if (!fixture_begin())
        return 0;
    Suite *suite = suite_create("ssh_lease");
    TCase *all = tcase_create("all");
    tcase_set_timeout(all, 120);
    int last = user_count;
    int few = user_count > 2 ? 2 : user_count;
    tcase_add_loop_test(all, a_lease_is_a_labelled_directory_until_it_is_destroyed, 0, last);
    tcase_add_loop_test(all, a_copy_gets_a_directory_of_the_lease_and_the_guest_is_named, 0, last);
    tcase_add_loop_test(all, release_ends_what_runs_and_keep_leaves_it, 0, few);
    tcase_add_loop_test(all, a_resource_with_a_later_owner_is_refused, 0, few);
    tcase_add_loop_test(all, destroy_by_label_removes_what_the_lease_made_unwritable, 0, few);
    tcase_add_test(all, a_reference_of_another_host_is_refused);
    tcase_add_loop_test(all, a_directory_in_place_is_locked_for_one_lease, 0, few);
    tcase_add_test(all, an_unknown_and_a_changed_host_key_are_refused);
    tcase_add_test(all, a_pinned_host_key_is_the_only_one);
    tcase_add_loop_test(all, a_key_reaches_an_agent_and_no_file, 0, few);
    tcase_add_test(all, a_wrong_key_a_closed_port_and_a_false_shell_are_told_apart);
    tcase_add_test(all, hostile_hosts_users_and_paths_are_refused_before_anything_runs);
    tcase_add_test(all, jump_hosts_are_used);
    tcase_add_loop_test(all, nothing_of_ours_is_forwarded, 0, few);
    tcase_add_loop_test(all, a_probe_names_what_fails, 0, last);
    tcase_add_loop_test(all, files_go_there_and_back_as_tar, 0, few);
    tcase_add_test(all, busybox_is_enough_and_tar_is_missed_by_name);
    tcase_add_test(all, a_full_disk_on_the_host_is_said);
    tcase_add_loop_test(
        all, a_killed_server_is_a_lost_connection_and_the_next_command_connects_anew, 0, few);
    tcase_add_loop_test(all, a_silent_server_is_noticed_within_the_bound, 0, few);
    tcase_add_loop_test(all, what_a_killed_driver_left_is_ended_there, 0, few);
    tcase_add_test(all, nobody_there_leaves_the_lease_for_later);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    srunner_free(runner);
    fixture_end();
    return 0;
}
