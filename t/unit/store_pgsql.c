/* SPDX-License-Identifier: Apache-2.0 */
/* What only a server can do: stop, die, lose an answer, and have roles. */
#include "store_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define WRITERS 4
#define KILLS_DEFAULT 5

static struct billet_store *
open_with(const char *options)
{
    struct billet_store *store = NULL;
    char url[sizeof(fixture_url) + 64];
    snprintf(url, sizeof(url), "%s%s", fixture_url, options);
    assert_ok(billet_store_open(fixture_modules, url, BILLET_STORE_CREATE, &store, &fixture_error));
    return store;
}

START_TEST(a_stopped_server_ends_no_wait_later_than_the_limit)
{
    char id[BILLET_UUID_SIZE];
    struct billet_store *store = open_with(" timeout=500ms"), *none = NULL;
    char url[sizeof(fixture_url) + 32];
    snprintf(url, sizeof(url), "%s connect_timeout=2", fixture_url);
    assert_ok(fixture_insert(store, id));
    server_signal(SIGSTOP);
    int64_t start = billet_clock_monotonic();
    assert_fails(fixture_insert(store, id), "store_timeout");
    ck_assert_int_eq(fixture_error.retryable, 1);
    assert_fails(fixture_insert(store, id), "store_timeout"); /* nor does a new connection hang */
    assert_fails(billet_store_open(fixture_modules, url, BILLET_STORE_USE, &none, &fixture_error),
                 "store_timeout");
    int64_t took = billet_clock_monotonic() - start;
    server_signal(SIGCONT);
    ck_assert_int_ge(took, 3 * SECOND);
    ck_assert_int_lt(took, 20 * SECOND);
    billet_store_close(store);
    store = open_with("");
    assert_ok(fixture_insert(store, id));
    fixture_check_clean(store);
    billet_store_close(store);
}
END_TEST

struct acknowledged {
    _Atomic int count;
    char ids[100000][BILLET_UUID_SIZE];
};

/* Whole lives until told to stop; each that was acknowledged is noted. */
static void
write_lives(struct acknowledged *done, _Atomic bool *stop)
{
    struct billet_store *store = fixture_open();
    while (!*stop) {
        char id[BILLET_UUID_SIZE];
        assert_ok(fixture_insert(store, id));
        assert_ok(fixture_change(store, id, BILLET_LEASE_ACQUIRING, 1, BILLET_LEASE_ACTIVE,
                                 "lease.acquired"));
        assert_ok(fixture_change(store, id, BILLET_LEASE_ACTIVE, 1, BILLET_LEASE_RELEASING,
                                 "lease.releasing"));
        assert_ok(fixture_change(store, id, BILLET_LEASE_RELEASING, 1, BILLET_LEASE_RELEASED,
                                 "lease.released"));
        int at = done->count++;
        ck_assert_int_lt(at, (int)COUNT(done->ids));
        memcpy(done->ids[at], id, sizeof(id));
    }
    billet_store_close(store);
}

static void
check_acknowledged(const struct acknowledged *done)
{
    struct billet_store *store = fixture_open();
    struct billet_store_info info;
    for (int i = 0; i < done->count; i++) {
        struct billet_lease lease;
        assert_ok(
            billet_store_of(store)->lease_get(store, NULL, done->ids[i], &lease, &fixture_error));
        ck_assert_int_eq(lease.state, BILLET_LEASE_RELEASED);
        billet_lease_free(&lease);
    }
    assert_ok(billet_store_of(store)->info(store, &info, &fixture_error));
    /* Nothing was written twice, either. */
    ck_assert_int_eq(info.leases_total, done->count);
    ck_assert_int_eq(info.leases_live, 0);
    ck_assert_int_eq(info.activities, 4 * done->count);
    fixture_check_clean(store);
    billet_store_close(store);
}

START_TEST(whatever_kills_the_server_loses_nothing_and_stops_nobody)
{
    const char *wanted = getenv("PGSQL_KILLS");
    int kills = wanted != NULL ? atoi(wanted) : KILLS_DEFAULT;
    pid_t children[WRITERS];
    struct acknowledged *done =
        mmap(NULL, sizeof(*done), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    _Atomic bool *stop =
        mmap(NULL, sizeof(*stop), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(done != MAP_FAILED && stop != MAP_FAILED);
    /* Only its parent can see a killed server off: this one is this process's own. */
    server_directory[0] = '\0';
    const char *why = server_make();
    ck_assert_msg(why == NULL, "%s", why);
    fixture_make_database();
    billet_store_close(fixture_open());
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            write_lives(done, stop);
            _exit(0);
        }
    }
    srandom(20261126);
    for (int i = 0; i < kills; i++) {
        int before = done->count;
        for (int wait = 0; done->count < before + 20 && wait < 3000; wait++)
            poll(NULL, 0, 10);
        ck_assert_msg(done->count >= before + 20, "no progress after %d kills", i);
        poll(NULL, 0, (int)(random() % 20));
        server_kill();
        ck_assert_msg(server_restart(), "the server did not come back");
    }
    *stop = true;
    for (int i = 0; i < WRITERS; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    printf("# %d kills of the server, %d lives acknowledged\n", kills, (int)done->count);
    check_acknowledged(done);
    server_stop();
}
END_TEST

/* ---- a proxy that loses answers ---------------------------------------------------- */

static int
dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%.80s/.s.PGSQL.5432", server_directory);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Pass bytes both ways; while *cut, when cut[1] answers have passed, what the server answers is
 * thrown away and the connection ends: the statement has run, its client does not know. */
static void
serve_one(int client, _Atomic int *cut)
{
    char bytes[65536];
    int server = dial();
    struct pollfd ends[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    while (poll(ends, 2, -1) > 0) {
        for (int i = 0; i < 2; i++) {
            if (ends[i].revents == 0)
                continue;
            ssize_t got = read(ends[i].fd, bytes, sizeof(bytes));
            bool lose = i == 1 && *cut > 0 && cut[1]-- <= 0;
            if (lose)
                --*cut;
            if (got <= 0 || lose || write(ends[1 - i].fd, bytes, (size_t)got) != got) {
                close(server);
                close(client);
                return;
            }
        }
    }
}

/* A proxy on a loopback port; gives its process. */
static pid_t
start_proxy(_Atomic int *cut, int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(listener, 16), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    *port = ntohs(address.sin_port);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        for (;;) {
            int client = accept(listener, NULL, NULL);
            if (client < 0)
                _exit(1);
            serve_one(client, cut);
        }
    }
    close(listener);
    return pid;
}

/* What a hash is does not matter here. */
static void
hash_row(const struct billet_audit_row *row, const char *previous, char hash[65])
{
    snprintf(hash, 65, "%032llx%.31s%s", (long long)row->sequence,
             "0000000000000000000000000000000", previous[0] != '\0' ? "1" : "0");
}

static int
count_use(const struct billet_audit_row *row, void *context)
{
    ck_assert_int_eq(row->sequence, ++*(int64_t *)context);
    return 0;
}

START_TEST(an_answer_about_a_secret_that_was_lost_changes_nothing_twice)
{
    static const unsigned char envelope[] = "not text: \0\1\377";
    char url[256];
    int port;
    struct billet_store *store = NULL;
    int64_t uses = 0;
    _Atomic int *cut =
        mmap(NULL, 2 * sizeof(*cut), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(cut != MAP_FAILED);
    billet_store_close(fixture_open());
    pid_t proxy = start_proxy(cut, &port);
    snprintf(url, sizeof(url), "postgresql://owner@127.0.0.1:%d/%s?sslmode=disable", port,
             fixture_database);
    assert_ok(billet_store_open(fixture_modules, url, BILLET_STORE_USE, &store, &fixture_error));
    const struct billet_secret_table *table = billet_store_of(store)->secrets;
    enum { TIMES = 4 }; /* BEGIN, the row, its version, COMMIT: each answer once */
    for (int i = 0; i < 2 * TIMES; i++) {
        /* With a row of activity by which it is found again, and without. */
        struct billet_activity activity = fixture_activity("", "secret.created", 0);
        const struct billet_activity *with = i < TIMES ? &activity : NULL;
        struct billet_secret_record record = {.tenant = "default", .current = 1};
        struct billet_secret_version version = {
            .version = 1, .key = "k", .envelope = envelope, .size = sizeof(envelope)};
        const struct billet_audit_row use = {.tenant = "default", .name = "token"};
        billet_uuid_make(record.id);
        snprintf(record.name, sizeof(record.name), "token%d", i);
        memcpy(version.secret, record.id, sizeof(version.secret));
        cut[1] = i % TIMES; /* answers that pass before one is lost */
        *cut = 1;
        assert_ok(table->insert(store, &record, &version, with, &fixture_error));
        version.version = 2;
        *cut = 1;
        assert_ok(table->add_version(store, &record, &version, with, &fixture_error));
        *cut = 1;
        assert_ok(table->audit_add(store, &use, hash_row, &fixture_error));
        *cut = 1;
        assert_ok(table->set_version_state(store, &record, 1, BILLET_SECRET_DESTROYED, with,
                                           &fixture_error));
        *cut = 1;
        assert_ok(table->set_state(store, &record, BILLET_SECRET_DELETED, with, &fixture_error));
    }
    assert_ok(table->audit_list(store, 0, 0, count_use, &uses, &fixture_error));
    ck_assert_int_eq(uses, 2 * TIMES);
    char *rows = fixture_sql(fixture_database, "owner",
                             "SELECT count(*)||' '||(SELECT count(*) FROM secret_version)||' '||"
                             "(SELECT count(*) FROM activity) FROM secret");
    ck_assert_str_eq(rows, "8 16 16");
    free(rows);
    billet_store_close(store);
    ck_assert_int_eq(kill(proxy, SIGKILL), 0);
    ck_assert_int_eq(waitpid(proxy, NULL, 0), proxy);
}
END_TEST

START_TEST(an_answer_that_was_lost_is_looked_for_and_nothing_is_done_twice)
{
    char url[256], id[BILLET_UUID_SIZE];
    int port;
    struct billet_store *store = NULL;
    struct billet_store_info info;
    struct billet_lease after;
    _Atomic int *cut =
        mmap(NULL, 2 * sizeof(*cut), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(cut != MAP_FAILED);
    billet_store_close(fixture_open());
    pid_t proxy = start_proxy(cut, &port);
    snprintf(url, sizeof(url), "postgresql://owner@127.0.0.1:%d/%s?sslmode=disable", port,
             fixture_database);
    assert_ok(billet_store_open(fixture_modules, url, BILLET_STORE_USE, &store, &fixture_error));
    const struct billet_store_module *module = billet_store_of(store);
    enum { LIVES = 10 };
    for (int i = 0; i < LIVES; i++) {
        /* At each step another time: some of these end the very answer of the commit. */
        *cut = 1;
        assert_ok(fixture_insert(store, id));
        *cut = 1;
        struct billet_lease_change change = {.id = id,
                                             .expected = BILLET_LEASE_ACQUIRING,
                                             .fence = 1,
                                             .state = BILLET_LEASE_ACTIVE,
                                             .bump_fence = true,
                                             .ref = "r"};
        struct billet_activity row = fixture_activity(id, "lease.acquired", 1);
        assert_ok(module->lease_get(store, NULL, id, &after, &fixture_error));
        assert_ok(module->lease_change(store, &change, &row, 1, &after, &fixture_error));
        ck_assert_int_eq(after.fence, 2);
        ck_assert_int_eq(after.state, BILLET_LEASE_ACTIVE);
        billet_lease_free(&after);
        *cut = 1;
        row = fixture_activity(id, "exec.started", 2);
        assert_ok(module->lease_note(store, id, 2, &row, 1, &fixture_error));
        *cut = 1;
        struct billet_activity loose = fixture_activity("", "janitor.pass", 0);
        assert_ok(module->activity_add(store, &loose, 1, &fixture_error));
        *cut = 1;
        assert_ok(fixture_change(store, id, BILLET_LEASE_ACTIVE, 2, BILLET_LEASE_RELEASING, NULL));
    }
    assert_ok(module->info(store, &info, &fixture_error));
    ck_assert_int_eq(info.leases_total, LIVES);
    ck_assert_int_eq(info.activities, 4 * LIVES);
    billet_store_close(store);
    ck_assert_int_eq(kill(proxy, SIGKILL), 0);
    ck_assert_int_eq(waitpid(proxy, NULL, 0), proxy);
    store = fixture_open();
    fixture_check_clean(store);
    billet_store_close(store);
}
END_TEST

/* ---- roles and schema ---------------------------------------------------------------- */

static void
refuses(const char *role, const char *sql, const char *wanted)
{
    char *value = fixture_sql(fixture_database, role, sql);
    ck_assert_msg(value == NULL, "%s did: %s", role, sql);
    ck_assert_msg(strstr(fixture_message, wanted) != NULL, "%s: %s", sql, fixture_message);
}

static void
must(const char *sql)
{
    char *value = fixture_sql(fixture_database, "owner", sql);
    ck_assert_msg(value != NULL, "%s: %s", sql, fixture_message);
    free(value);
}

static int
count_lease(const struct billet_lease *lease, void *context)
{
    (void)lease;
    ++*(int *)context;
    return 0;
}

static int
count_version(const struct billet_secret_version *version, void *context)
{
    ck_assert_str_eq(version->tenant, "other");
    ++*(int *)context;
    return 0;
}

static int
insert_secret(struct billet_store *store, const char *tenant)
{
    struct billet_secret_record record = {.name = "token"};
    struct billet_secret_version version = {
        .version = 1, .key = "k", .envelope = (const unsigned char *)"e", .size = 1};
    billet_uuid_make(record.id);
    memcpy(version.secret, record.id, sizeof(version.secret));
    snprintf(record.tenant, sizeof(record.tenant), "%s", tenant);
    return billet_store_of(store)->secrets->insert(store, &record, &version, NULL, &fixture_error);
}

/* One that may use the store keeps secrets in it; one that is bound to a tenant, its own. */
static void
check_secrets_of_roles(struct billet_store *user, struct billet_store *bound)
{
    const struct billet_secret_table *table = billet_store_of(user)->secrets;
    const struct billet_audit_row use = {.tenant = "other", .name = "token"};
    struct billet_secret_record record;
    int seen = 0;
    assert_ok(insert_secret(user, "default"));
    assert_fails(insert_secret(bound, "default"), "store_denied");
    assert_ok(insert_secret(bound, "other"));
    assert_ok(table->audit_add(user, &use, hash_row, &fixture_error));
    assert_ok(table->audit_add(bound, &use, hash_row, &fixture_error));
    assert_fails(table->get(bound, "default", "token", &record, &fixture_error),
                 "secret_not_found");
    assert_ok(table->versions(bound, &(struct billet_secret_version_filter){0}, count_version,
                              &seen, &fixture_error));
    ck_assert_int_eq(seen, 1);
}

START_TEST(a_role_that_uses_the_store_cannot_change_its_schema)
{
    char id[BILLET_UUID_SIZE], url[sizeof(fixture_url)];
    struct billet_store *owner = fixture_open(), *user = NULL, *bound = NULL;
    char sql[128], name[32], tenant_role[32];
    int seen = 0;
    struct billet_lease_filter all = {0};
    snprintf(name, sizeof(name), "user%ld", (long)getpid());
    snprintf(tenant_role, sizeof(tenant_role), "bound%ld", (long)getpid());
    snprintf(sql, sizeof(sql), "CREATE ROLE %s LOGIN", name);
    must(sql);
    snprintf(sql, sizeof(sql), "CREATE ROLE %s LOGIN", tenant_role);
    must(sql);
    fixture_pgsql_url(url, sizeof(url), fixture_database, name);
    assert_fails(billet_store_open(fixture_modules, url, BILLET_STORE_USE, &user, &fixture_error),
                 "store_denied");
    assert_ok(billet_store_of(owner)->grant(owner, name, "", &fixture_error));
    assert_ok(billet_store_of(owner)->grant(owner, tenant_role, "other", &fixture_error));
    assert_ok(billet_store_open(fixture_modules, url, BILLET_STORE_USE, &user, &fixture_error));
    assert_ok(fixture_insert(user, id));
    assert_ok(
        fixture_change(user, id, BILLET_LEASE_ACQUIRING, 1, BILLET_LEASE_ACTIVE, "lease.acquired"));
    refuses(name, "CREATE TABLE billet.mine(x int)", "permission denied");
    refuses(name, "DROP TABLE lease", "must be owner");
    refuses(name, "ALTER TABLE lease DISABLE TRIGGER ALL", "must be owner");
    refuses(name, "UPDATE activity SET action='x'", "permission denied");
    refuses(name, "DELETE FROM activity", "permission denied");
    refuses(name, "UPDATE deployment SET uuid='x'", "permission denied");
    refuses(name, "INSERT INTO role_tenant VALUES('x','y')", "permission denied");
    refuses(name, "SELECT grant_use('x','')", "permission denied");
    /* One that is bound to a tenant sees nothing of the others', whatever it asks. */
    fixture_pgsql_url(url, sizeof(url), fixture_database, tenant_role);
    assert_ok(billet_store_open(fixture_modules, url, BILLET_STORE_USE, &bound, &fixture_error));
    assert_ok(billet_store_of(bound)->lease_list(bound, &all, count_lease, &seen, &fixture_error));
    ck_assert_int_eq(seen, 0);
    assert_fails(fixture_insert(bound, id), "store_denied");
    struct billet_lease lease = fixture_lease(id);
    lease.tenant = (char *)"other";
    assert_ok(billet_store_of(bound)->lease_insert(bound, &lease, SECOND, NULL, 0, &fixture_error));
    assert_ok(billet_store_of(bound)->lease_list(bound, &all, count_lease, &seen, &fixture_error));
    ck_assert_int_eq(seen, 1);
    check_secrets_of_roles(user, bound);
    refuses(name, "DELETE FROM secret", "secret_guard");
    refuses(name, "UPDATE secret_audit SET actor='x'", "audit_guard");
    billet_store_close(bound);
    billet_store_close(user);
    billet_store_close(owner);
}
END_TEST

static int
try_mode(enum billet_store_mode mode)
{
    struct billet_store *store = NULL;
    int result = billet_store_open(fixture_modules, fixture_url, mode, &store, &fixture_error);
    billet_store_close(store);
    return result;
}

START_TEST(only_a_schema_of_this_build_is_used)
{
    assert_fails(try_mode(BILLET_STORE_USE), "store_missing");
    assert_fails(try_mode(BILLET_STORE_LOOK), "store_missing");
    assert_ok(try_mode(BILLET_STORE_CREATE));
    assert_ok(try_mode(BILLET_STORE_USE));
    must("INSERT INTO migration VALUES(999,'x',1,'x')");
    assert_fails(try_mode(BILLET_STORE_USE), "store_newer");
    assert_fails(try_mode(BILLET_STORE_CREATE), "store_newer");
    must("SET client_min_messages=error; DROP SCHEMA billet CASCADE");
    must("CREATE SCHEMA billet");
    assert_fails(try_mode(BILLET_STORE_CREATE), "store_corrupt");
}
END_TEST

START_TEST(processes_that_migrate_at_once_make_one_schema)
{
    enum { CHILDREN = 6 };
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            assert_ok(try_mode(BILLET_STORE_CREATE));
            _exit(0);
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        ck_assert_int_eq(waitpid(children[i], &status, 0), children[i]);
        ck_assert_int_eq(status, 0);
    }
    struct billet_store *store = fixture_open();
    fixture_check_clean(store);
    billet_store_close(store);
}
END_TEST

START_TEST(the_check_finds_guards_that_are_gone)
{
    struct billet_strings found = BILLET_STRINGS_INIT;
    struct billet_store *store = fixture_open();
    fixture_check_clean(store);
    must("ALTER TABLE lease DISABLE TRIGGER lease_update");
    assert_ok(billet_store_of(store)->check(store, &found, &fixture_error));
    ck_assert_int_eq(found.count, 1);
    ck_assert_ptr_nonnull(strstr(found.items[0], "lease_update"));
    billet_strings_free(&found);
    billet_store_close(store);
}
END_TEST

START_TEST(urls_that_name_no_database_are_refused)
{
    static const char *const urls[] = {
        "postgresql:",
        "postgresql:database",
        "postgresql://h/d?timeout=1",
        "postgresql://h/d?timeout=2h",
        "postgresql://u:secret@h/d?unknown=1",
        "postgres://h/d?timeout=10s&unknown=secret",
        "pgsql:host=x unknown=secret",
    };
    struct billet_store *store = NULL;
    for (size_t i = 0; i < COUNT(urls); i++) {
        assert_fails(
            billet_store_open(fixture_modules, urls[i], BILLET_STORE_USE, &store, &fixture_error),
            "store_url_invalid");
        ck_assert_ptr_null(strstr(fixture_error.message, "secret"));
        ck_assert_ptr_null(strstr(fixture_error.hint, "secret"));
    }
}
END_TEST

int
main(void)
{
    const char *why = fixture_start_pgsql();
    Suite *suite = suite_create("store pgsql");
    TCase *tests = tcase_create("pgsql");
    if (why != NULL) {
        printf("1..0 # SKIP needs a PostgreSQL server: %s\n", why);
        return 0;
    }
    fixture_use_pgsql();
    tcase_set_timeout(tests, getenv("PGSQL_KILLS") != NULL ? 1800 : 120);
    tcase_add_checked_fixture(tests, fixture_setup, fixture_teardown);
    tcase_add_test(tests, urls_that_name_no_database_are_refused);
    tcase_add_test(tests, only_a_schema_of_this_build_is_used);
    tcase_add_test(tests, processes_that_migrate_at_once_make_one_schema);
    tcase_add_test(tests, a_role_that_uses_the_store_cannot_change_its_schema);
    tcase_add_test(tests, the_check_finds_guards_that_are_gone);
    tcase_add_test(tests, an_answer_about_a_secret_that_was_lost_changes_nothing_twice);
    tcase_add_test(tests, an_answer_that_was_lost_is_looked_for_and_nothing_is_done_twice);
    tcase_add_test(tests, a_stopped_server_ends_no_wait_later_than_the_limit);
    tcase_add_test(tests, whatever_kills_the_server_loses_nothing_and_stops_nobody);
    suite_add_tcase(suite, tests);
    return fixture_run(suite);
}
