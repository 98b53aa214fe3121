/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nemesis - several billets at work on one store while somebody spoils it for them: processes are
 * killed and stopped, the server of the store is, the clock jumps, the disk is full, drivers fail.
 * Ends with a history of all that was asked, answered, recorded and really done, for the checker
 * (check.c).
 *
 *     nemesis --billet PATH --directory DIR --seconds N [--seed N] [--clients N] [--cleaning N]
 *             [--enough N] [--pgsql]
 *
 * With --pgsql on a server of its own and, where that is allowed, with machines of several names.
 * Writes DIR/history, prints lines "# TEXT", and exits 0 when the run itself went as meant.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/pgsql_server.h"
#include "board.h"

#define MOST_NARROW 2
#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)
#define LEASE_TTL_S 10
#define FILL_BYTES (64 * 1024)
#define ENDING_MS 60000 /* for what was begun */
#define MORE_MS 60000

static struct setting setting = {.machines = 1, .seed = 1};
static struct board *board;
static int client_count = 6;
static int seconds = 10;
static int cleaning_s = 60; /* for the last passes */
static int enough = 15;     /* operations that succeed; for that it goes on */
static bool pgsql;
static bool small_disk;
static pid_t clients[CLIENTS_MAX];
static unsigned long long random_state;
static FILE *jumps;
static volatile sig_atomic_t interrupted;
static struct {
    long server_kills, server_stops, jumps, fills, driver_failures;
} did;

static _Noreturn void
die(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    printf("# nemesis: ");
    vprintf(format, list);
    printf("\n");
    va_end(list);
    fflush(stdout);
    server_stop();
    exit(125);
}

static unsigned
random_below(unsigned limit)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(random_state >> 33) % limit;
}

static long long
monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static void
path_of(char path[PATH_MAX], const char *format, ...)
{
    va_list list;
    int length = snprintf(path, PATH_MAX, "%s/", setting.directory);
    va_start(list, format);
    vsnprintf(path + length, PATH_MAX - (size_t)length, format, list);
    va_end(list);
}

static void
interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* ---- the place -------------------------------------------------------------------------- */

static void
make_directory(const char *name)
{
    char path[PATH_MAX];
    path_of(path, "%s", name);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        die("cannot make %s: %s", path, strerror(errno));
}

static FILE *
make_file(const char *name)
{
    char path[PATH_MAX];
    path_of(path, "%s", name);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        die("cannot write %s", path);
    return file;
}

static void
write_configuration(void)
{
    FILE *file = make_file("billet.conf");
    fprintf(file,
            "[billet]\nlease_ttl = %ds\nheld_lease_ttl = %ds\nrelease_timeout = 20s\n"
            "[driver fake]\nenabled = yes\n",
            LEASE_TTL_S, LEASE_TTL_S);
    static const struct {
        const char *name, *settings;
    } environments[] = {
        {"fake", "script = exec:delay:200ms\n"},
        {"warm", "script = exec:delay:100ms\nreuse = yes\n"},
        {"narrow", "script = exec:delay:150ms\nmax_leases = " TEXT(MOST_NARROW) "\n"},
        {"flaky",
         "script = exec:delay:50ms acquire:lose::2 acquire:fail:unavailable:2 release:lose::2 "
         "release:fail:unavailable:2 destroy:lose::1 destroy:fail:timeout:2 exec:segv::2 "
         "resume:lose::1 acquire:delay:300ms:4\nreuse = yes\n"},
    };
    for (size_t i = 0; i < sizeof(environments) / sizeof(environments[0]); i++)
        fprintf(file,
                "[environment %s]\ndriver = fake\ndirectory = %s/%s\nrecord = %s/record\n"
                "print = nothing\n%s",
                environments[i].name, setting.directory, environments[i].name, setting.directory,
                environments[i].settings);
    if (fclose(file) != 0)
        die("cannot write billet.conf: %s", strerror(errno));
}

/* The store of SQLite lies on a small file system of its own where we may mount one: it can be
 * filled, and is gone with this process. */
static void
mount_small_disk(void)
{
    char path[PATH_MAX];
    path_of(path, "disk");
    small_disk = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                 mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                 mount("nemesis", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=48m,mode=0700") == 0;
}

static void
run_must(const char *const *arguments)
{
    int status = run_plainly(&setting, 0, arguments, 60000);
    if (status != 0)
        die("billet %s ended with status %d", arguments[0], status);
}

/* What is killed are processes, not the machine: the kernel keeps what they wrote, and a server
 * that is started again need not wait for the disk. */
static void
make_server(void)
{
    char path[PATH_MAX + 32];
    const char *why = server_make();
    if (why != NULL)
        die("no server: %s", why);
    snprintf(path, sizeof(path), "%s/data/postgresql.conf", server_directory);
    FILE *file = fopen(path, "ae");
    if (file == NULL || fputs("fsync = off\n", file) < 0 || fclose(file) != 0)
        die("cannot write %s", path);
}

static void
make_place(void)
{
    static char url[PATH_MAX + 64];
    static const char *const migrate[] = {"db", "migrate", NULL};
    static const char *const part[] = {"", "/home", "/config", "/state", "/runtime"};
    static const char *const shared[] = {"disk", "work", "fake", "warm", "narrow", "flaky"};
    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
        make_directory(shared[i]);
    for (int machine = 0; machine < MACHINES_MAX; machine++)
        for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++) {
            char name[64];
            snprintf(name, sizeof(name), "machine-%d%s", machine, part[i]);
            make_directory(name);
        }
    write_configuration();
    if (pgsql) {
        make_server();
        snprintf(url, sizeof(url), "postgresql://owner@/postgres?host=%s&timeout=5s",
                 server_directory);
        if (geteuid() == 0)
            setting.machines = 3;
    } else {
        mount_small_disk();
        snprintf(url, sizeof(url), "sqlite:%s/disk/billet.db", setting.directory);
    }
    setting.store = url;
    run_must(migrate);
}

/* ---- the store, seen by others' eyes ----------------------------------------------------------
 */

/* Lines of a query, its output given to a file; -1: it could not be asked. */
static long
query(const char *sql, FILE *to)
{
    char command[PATH_MAX + 2048], line[4096];
    long count = 0;
    snprintf(command, sizeof(command),
             pgsql ? "exec timeout 30 psql -qAtX -F ' ' -h '%s' -U owner -d postgres -v "
                     "ON_ERROR_STOP=1 -c 'SET search_path = billet' -c \"%s\" 2>&1"
                   : "exec timeout 30 sqlite3 -cmd '.timeout 20000' -separator ' ' "
                     "'%s/disk/billet.db' \"%s\" 2>&1",
             pgsql ? server_directory : setting.directory, sql);
    FILE *said = popen(command, "re");
    while (said != NULL && fgets(line, sizeof(line), said) != NULL) {
        count++;
        if (to != NULL)
            fputs(line, to);
    }
    return said != NULL && pclose(said) == 0 ? count : -1;
}

/* ---- faults
 * -------------------------------------------------------------------------------------- */

static void
order(enum order what, int stop_ms)
{
    int client = (int)random_below((unsigned)client_count);
    if (board->clients[client].order != ORDER_NONE)
        return; /* that comes first */
    board->clients[client].stop_ms = stop_ms;
    board->clients[client].order = (int)what;
}

static void
kill_server(void)
{
    server_kill();
    poll(NULL, 0, (int)random_below(300));
    if (!server_restart())
        die("the server did not come back");
    did.server_kills++;
}

static void
stop_server(void)
{
    server_signal(SIGSTOP);
    poll(NULL, 0, 200 + (int)random_below(1500));
    server_signal(SIGCONT);
    did.server_stops++;
}

static long long
realtime_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

/* The same for the store as a clock that goes five seconds ahead. */
static void
jump_clock(void)
{
    long long from = realtime_ns();
    if (query("UPDATE lease SET expires_ns = expires_ns - 5000000000 "
              "WHERE state NOT IN ('released', 'failed')",
              NULL) >= 0)
        did.jumps++;
    fprintf(jumps, "jump %lld %lld\n", from, realtime_ns());
}

static void
fill_disk(void)
{
    static char block[FILL_BYTES];
    char path[PATH_MAX];
    path_of(path, "disk/filler");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (int i = 0; fd >= 0 && i < 4096; i++)
        if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
            break;
    poll(NULL, 0, 300 + (int)random_below(700));
    if (fd >= 0)
        close(fd);
    unlink(path);
    did.fills++;
}

/* What the script of driver fake counts begins anew: so many first calls fail again. */
static void
fail_driver(void)
{
    char pattern[PATH_MAX];
    glob_t found;
    path_of(pattern, "flaky/.script-*.count");
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    if (found.gl_pathc > 0 && unlink(found.gl_pathv[random_below((unsigned)found.gl_pathc)]) == 0)
        did.driver_failures++;
    globfree(&found);
}

static void
one_fault(long number)
{
    unsigned choice = random_below(100);
    if (pgsql && number % 40 == 1)
        /* For longer than its lease lives: another machine takes that over meanwhile. */
        order(ORDER_OVERSTAY, LEASE_TTL_S * 1000 + 500);
    else if (pgsql && number % 40 == 12)
        kill_server();
    else if (pgsql && number % 40 == 24)
        stop_server();
    else if (choice < 25)
        order(ORDER_KILL, 0);
    else if (choice < 45)
        order(ORDER_KILL_HOST, 0);
    else if (choice < 55)
        order(ORDER_STOP, 50 + (int)random_below(1500));
    else if (choice < 62)
        order(ORDER_STOP_HOST, 50 + (int)random_below(800));
    else if (choice < 75)
        fail_driver();
    else if (choice < 87)
        order(ORDER_KILL, 0);
    else if (choice < 93)
        jump_clock();
    else if (small_disk)
        fill_disk();
}

/* ---- the run
 * ------------------------------------------------------------------------------------------ */

static void
start_clients(void)
{
    for (int i = 0; i < client_count; i++) {
        clients[i] = fork();
        if (clients[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            be_client(&setting, board, i);
        }
        if (clients[i] < 0)
            die("cannot start a client");
    }
}

/* Some have a billet that stands still yet; the janitors go on meanwhile. */
static void
end_clients(void)
{
    static const char *const reap[] = {"lease", "reap", NULL};
    long long deadline = monotonic_ms() + ENDING_MS;
    int left = client_count;
    board->over = true;
    while (left > 0) {
        for (int i = 0; i < client_count; i++) {
            int status = 0;
            if (clients[i] == 0 || waitpid(clients[i], &status, WNOHANG) == 0)
                continue;
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                die("client %d: wait status %#x", i, (unsigned)status);
            clients[i] = 0;
            left--;
        }
        if (monotonic_ms() > deadline || interrupted)
            die("%d clients do not end", left);
        for (int machine = 0; left > 0 && machine < setting.machines; machine++)
            run_plainly(&setting, machine, reap, 30000);
        poll(NULL, 0, 10);
    }
}

static int
each_resource(void (*visit)(const char *path, const char *lease, void *context), void *context)
{
    char pattern[PATH_MAX];
    glob_t found;
    int count = 0;
    path_of(pattern, "[fwn]*/fake-*");
    if (glob(pattern, 0, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; i < found.gl_pathc; i++, count++)
        if (visit != NULL)
            visit(found.gl_pathv[i], strstr(found.gl_pathv[i], "/fake-") + 6, context);
    globfree(&found);
    return count;
}

/* Young resources are nobody's to judge: let them be old. */
static void
age(const char *path, const char *lease, void *context)
{
    struct timeval times[2];
    (void)lease, (void)context;
    gettimeofday(&times[0], NULL);
    times[0].tv_sec -= 3600;
    times[1] = times[0];
    utimes(path, times);
}

static void
tell_left(const char *path, const char *lease, void *context)
{
    (void)path;
    fprintf(context, "left %s\n", lease);
}

/* As often as it takes: every machine's janitor, and what is held is given up when its time is
 * over. */
static void
clean(void)
{
    static const char *const reap[] = {"lease", "reap", "--sweep", "--now", "--all-at-once", NULL};
    long long deadline = monotonic_ms() + cleaning_s * 1000ll;
    long live;
    do {
        query("UPDATE lease SET expires_ns = 1 WHERE state = 'retained'", NULL);
        each_resource(age, NULL);
        for (int machine = 0; machine < setting.machines; machine++)
            run_plainly(&setting, machine, reap, 60000);
        live = query("SELECT id FROM lease WHERE state NOT IN ('released', 'failed')", NULL);
    } while ((live != 0 || each_resource(NULL, NULL) != 0) && monotonic_ms() < deadline);
}

static void
append(FILE *to, const char *prefix, const char *name)
{
    char path[PATH_MAX], line[4096];
    path_of(path, "%s", name);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        fprintf(to, "%s%s", prefix, line);
    if (file != NULL)
        fclose(file);
}

static void
write_history(void)
{
    FILE *file = make_file("history");
    fprintf(file, "limit narrow %d\nttl %d000000000\n", MOST_NARROW, LEASE_TTL_S);
    fflush(jumps);
    append(file, "", "jumps");
    for (int i = 0; i < client_count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "client-%d", i);
        append(file, "", name);
    }
    append(file, "resource ", "record");
    fflush(file);
    if (query("SELECT 'lease', id, tenant, environment, driver, state, fence FROM lease", file) <
            0 ||
        query("SELECT 'activity', sequence, time_ns, action, tenant, lease, fence FROM activity "
              "WHERE lease <> '' ORDER BY sequence",
              file) < 0)
        die("the store cannot be read");
    each_resource(tell_left, file);
    if (fclose(file) != 0)
        die("cannot write history: %s", strerror(errno));
}

static void
read_options(int argc, char **argv)
{
    static const struct option options[] = {{"billet", required_argument, NULL, 'b'},
                                            {"directory", required_argument, NULL, 'd'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"clients", required_argument, NULL, 'c'},
                                            {"cleaning", required_argument, NULL, 'l'},
                                            {"enough", required_argument, NULL, 'e'},
                                            {"pgsql", no_argument, NULL, 'p'},
                                            {0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case 'b':
            setting.billet = optarg;
            break;
        case 'd':
            setting.directory = optarg;
            break;
        case 't':
            seconds = atoi(optarg);
            break;
        case 's':
            setting.seed = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'c':
            client_count = atoi(optarg);
            break;
        case 'l':
            cleaning_s = atoi(optarg);
            break;
        case 'e':
            enough = atoi(optarg);
            break;
        case 'p':
            pgsql = true;
            break;
        default:
            die("no such option");
        }
    if (setting.billet == NULL || setting.directory == NULL || setting.directory[0] != '/' ||
        seconds < 1 || client_count < 1 || client_count > CLIENTS_MAX)
        die("--billet PATH --directory ABSOLUTE --seconds N --seed N --clients 1..%d "
            "[--cleaning N] [--enough N] [--pgsql]",
            CLIENTS_MAX);
}

int
main(int argc, char **argv)
{
    static const char *const names[ORDERS] = {"",
                                              "billets killed",
                                              "hosts killed",
                                              "billets stopped",
                                              "hosts stopped",
                                              "billets stopped for longer than a lease lives"};
    long faults = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, interrupt);
    signal(SIGINT, interrupt);
    read_options(argc, argv);
    random_state = setting.seed * 0x9e3779b97f4a7c15ull + 1;
    board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        die("out of memory");
    make_place();
    jumps = make_file("jumps");
    start_clients();
    long long end = monotonic_ms() + seconds * 1000ll;
    poll(NULL, 0, 300);
    /* A machine that has other things to do gets somewhere, too. */
    while ((monotonic_ms() < end || (board->ok < enough && monotonic_ms() < end + MORE_MS)) &&
           !interrupted) {
        one_fault(++faults);
        poll(NULL, 0, 50 + (int)random_below(250));
    }
    if (interrupted)
        die("interrupted");
    end_clients();
    clean();
    write_history();
    printf(
        "# seed %u, %d clients on %d machines, %d s: %ld operations ok, %ld failed, %ld unknown\n",
        setting.seed, client_count, setting.machines, seconds, board->ok, board->failed,
        board->unknown);
    for (int i = 1; i < ORDERS; i++)
        printf("# %ld %s\n", board->done[i], names[i]);
    printf("# %ld server kills, %ld server stops, %ld clock jumps, %ld times no space, %ld driver "
           "failures\n",
           did.server_kills, did.server_stops, did.jumps, did.fills, did.driver_failures);
    server_stop();
    return 0;
}
