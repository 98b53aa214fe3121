/* SPDX-License-Identifier: Apache-2.0 */
#include "place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND_MS 20000
#define SQL_MS 20000
#define OUTPUT_MAX (4 * 1024 * 1024)

void
place_complain(struct place *place, const char *format, ...)
{
    va_list list;
    size_t used = strlen(place->complaint);
    if (used + 4 >= sizeof(place->complaint))
        return;
    if (used > 0)
        used += (size_t)snprintf(place->complaint + used, sizeof(place->complaint) - used, "; ");
    va_start(list, format);
    vsnprintf(place->complaint + used, sizeof(place->complaint) - used, format, list);
    va_end(list);
}

/* ---- directories and environment ------------------------------------------------- */

static void
set(struct place *place, const char *name, const char *format, ...)
{
    va_list list;
    char *text = place->texts[place->variables];
    int length = snprintf(text, sizeof(place->texts[0]), "%s=", name);
    va_start(list, format);
    vsnprintf(text + length, sizeof(place->texts[0]) - (size_t)length, format, list);
    va_end(list);
    place->environment[place->variables++] = text;
    place->environment[place->variables] = NULL;
}

static void
pass(struct place *place, const char *name)
{
    const char *value = getenv(name);
    if (value != NULL)
        set(place, name, "%s", value);
}

static const char *const directories[] = {"home",    "config", "state", "cache",
                                          "runtime", "work",   "remote"};
#define DIRECTORY_COUNT (sizeof(directories) / sizeof(directories[0]))

static bool
make_directories(const struct place *place)
{
    char path[512];
    for (size_t i = 0; i < DIRECTORY_COUNT; i++) {
        snprintf(path, sizeof(path), "%s/%s", place->root, directories[i]);
        if (mkdir(path, 0700) != 0 && errno != EEXIST)
            return false;
    }
    return true;
}

/* The driver's settings that the caller gives, with the place's own directory for @ROOT@. */
static bool
add_environments(FILE *to, const char *from, const char *root)
{
    char line[1024];
    FILE *file = fopen(from, "re");
    if (file == NULL)
        return false;
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *at = strstr(line, "@ROOT@");
        if (at != NULL)
            fprintf(to, "%.*s%s%s", (int)(at - line), line, root, at + 6);
        else
            fputs(line, to);
    }
    fclose(file);
    return true;
}

/* CRASH_SERVER is the directory of a PostgreSQL server's socket: each place has a database there.
 */
static void
choose_store(struct place *place)
{
    const char *server = getenv("CRASH_SERVER");
    if (server == NULL || server[0] == '\0')
        return;
    const char *dot = strrchr(place->root, '.');
    snprintf(place->server, sizeof(place->server), "%s", server);
    snprintf(place->database, sizeof(place->database), "crash_%.40s", dot != NULL ? dot + 1 : "x");
    set(place, "BILLET_STORE", "postgresql://owner@/%s?host=%s", place->database, server);
}

static bool
sql(struct place *place, const char *format)
{
    char statement[160];
    struct crash_outcome outcome;
    static const struct crash_target untraced = {0};
    int output[2];
    snprintf(statement, sizeof(statement), format, place->database);
    const char *const argv[] = {"/usr/bin/env", "psql", "-qAtX",    "-h", place->server,     "-U",
                                "owner",        "-d",   "postgres", "-v", "ON_ERROR_STOP=1", "-c",
                                statement,      NULL};
    for (int i = 0; i < 2; i++)
        output[i] =
            open(place->output[i], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    int result = crash_trace(argv, place->environment, output, &untraced, SQL_MS, &outcome);
    for (int i = 0; i < 2; i++)
        close(output[i]);
    return result == 0 && WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0;
}

bool
place_empty_store(struct place *place)
{
    if (place->server[0] == '\0')
        return true; /* it was among the directories */
    if (sql(place, "DROP DATABASE IF EXISTS \"%s\" WITH (FORCE)") &&
        sql(place, "CREATE DATABASE \"%s\""))
        return true;
    char line[400];
    place_first_line(place, 1, line, sizeof(line));
    place_complain(place, "cannot make a database: %s", line);
    return false;
}

bool
place_make(struct place *place, const char *root)
{
    char path[512];
    const char *build =
        getenv("CRASH_BUILD") != NULL ? getenv("CRASH_BUILD") : getenv("top_builddir");
    memset(place, 0, sizeof(*place));
    snprintf(place->root, sizeof(place->root), "%s", root);
    snprintf(place->billet, sizeof(place->billet), "%s/billet", build != NULL ? build : ".");
    snprintf(place->workspace, sizeof(place->workspace), "%s/work", root);
    snprintf(place->output[0], sizeof(place->output[0]), "%s/stdout", root);
    snprintf(place->output[1], sizeof(place->output[1]), "%s/stderr", root);
    set(place, "PATH", "%s", getenv("PATH") != NULL ? getenv("PATH") : "/usr/bin:/bin");
    set(place, "HOME", "%s/home", root);
    set(place, "XDG_CONFIG_HOME", "%s/config", root);
    set(place, "XDG_STATE_HOME", "%s/state", root);
    set(place, "XDG_CACHE_HOME", "%s/cache", root);
    set(place, "XDG_RUNTIME_DIR", "%s/runtime", root);
    set(place, "BILLET_STATE_DIR", "%s/state", root);
    set(place, "BILLET_RUNTIME_DIR", "%s/runtime", root);
    set(place, "BILLET_CONFIG", "%s/billet.conf", root);
    set(place, "NO_COLOR", "1");
    set(place, "LC_ALL", "C");
    /* A leak checker cannot work while its process is traced. */
    set(place, "ASAN_OPTIONS", "detect_leaks=0");
    set(place, "MALLOC_PERTURB_", "165");
    pass(place, "BILLET_DRIVER_DIR");
    pass(place, "BILLET_STORE_DIR");
    pass(place, "BILLET_LIBEXEC_DIR");
    choose_store(place);
    if (!make_directories(place))
        return false;
    snprintf(path, sizeof(path), "%s/billet.conf", root);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return false;
    fputs("[driver fake]\nenabled = yes\n[environment fake]\ndriver = fake\n", file);
    const char *more = getenv("CRASH_ENVIRONMENTS");
    bool added = more == NULL || more[0] == '\0' || add_environments(file, more, place->root);
    return fclose(file) == 0 && added && place_ready_store(place);
}

static int
remove_entry(const char *path, const struct stat *status, int type, struct FTW *position)
{
    (void)status;
    (void)type;
    (void)position;
    remove(path);
    return 0;
}

static void
remove_tree(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

bool
place_empty(struct place *place)
{
    char path[512];
    place->id_count = 0;
    for (size_t i = 0; i < DIRECTORY_COUNT; i++) {
        snprintf(path, sizeof(path), "%s/%s", place->root, directories[i]);
        remove_tree(path);
    }
    return make_directories(place) && place_ready_store(place);
}

bool
place_ready_store(struct place *place)
{
    static const char *const migrate[] = {"db", "migrate", NULL};
    return place->server[0] == '\0' || (place_empty_store(place) && place_must_run(place, migrate));
}

void
place_remove(struct place *place)
{
    if (place->server[0] != '\0')
        sql(place, "DROP DATABASE IF EXISTS \"%s\" WITH (FORCE)");
    remove_tree(place->root);
}

/* ---- running billet ------------------------------------------------------------------ */

int
place_run(struct place *place, const char *const *arguments, const struct crash_target *target,
          int timeout_ms, struct crash_outcome *outcome)
{
    const char *argv[32] = {place->billet};
    int output[2];
    for (int i = 0; i < 30 && arguments[i] != NULL; i++)
        argv[i + 1] = arguments[i];
    for (int i = 0; i < 2; i++)
        output[i] =
            open(place->output[i], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    int result = crash_trace(argv, place->environment, output, target, timeout_ms, outcome);
    int saved = errno;
    for (int i = 0; i < 2; i++)
        close(output[i]);
    errno = saved;
    return result;
}

char *
place_output(const struct place *place, int which)
{
    char *text = calloc(1, OUTPUT_MAX + 1);
    FILE *file = fopen(place->output[which], "re");
    if (text != NULL && file != NULL) {
        size_t got = fread(text, 1, OUTPUT_MAX, file);
        text[got] = '\0';
    }
    if (file != NULL)
        fclose(file);
    return text;
}

void
place_first_line(const struct place *place, int which, char *to, size_t size)
{
    char *text = place_output(place, which);
    snprintf(to, size, "%.*s", text != NULL ? (int)strcspn(text, "\n") : 0,
             text != NULL ? text : "");
    free(text);
}

int
place_error_lines(const struct place *place)
{
    char *text = place_output(place, 1);
    char *rest = NULL;
    int count = 0;
    for (char *line = text != NULL ? strtok_r(text, "\n", &rest) : NULL; line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        size_t length = strlen(line);
        if (strncmp(line, "billet: ", 8) == 0 && length > 10 && line[length - 1] == ']' &&
            strstr(line, " [") != NULL && strncmp(line, "billet: warning: ", 17) != 0)
            count++;
    }
    free(text);
    return count;
}

bool
place_must_run(struct place *place, const char *const *arguments)
{
    static const struct crash_target untraced = {0};
    struct crash_outcome outcome;
    char line[512];
    if (place_run(place, arguments, &untraced, COMMAND_MS, &outcome) == 0 && !outcome.timed_out &&
        WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0)
        return true;
    place_first_line(place, 1, line, sizeof(line));
    place_complain(place, "billet %s %s: wait status %#x%s: %s", arguments[0],
                   arguments[1] != NULL ? arguments[1] : "", outcome.status,
                   outcome.timed_out ? ", not in time" : "", line);
    return false;
}

/* ---- leases ---------------------------------------------------------------------------- */

static void
note_id(struct place *place, const char *id)
{
    for (int i = 0; i < place->id_count; i++)
        if (strcmp(place->ids[i], id) == 0)
            return;
    if (place->id_count < PLACE_IDS)
        snprintf(place->ids[place->id_count++], sizeof(place->ids[0]), "%s", id);
}

int
place_live_leases(struct place *place, char *id, size_t size, char *state, size_t state_size)
{
    static const char *const arguments[] = {"lease", "list", "--all", "--json", NULL};
    json_error_t error;
    size_t index;
    json_t *lease;
    int live = 0;
    if (!place_must_run(place, arguments))
        return -1;
    json_t *root = json_load_file(place->output[0], 0, &error);
    if (root == NULL) {
        place_complain(place, "lease list --json is not JSON: %s", error.text);
        return -1;
    }
    json_array_foreach (json_object_get(root, "leases"), index, lease) {
        const char *name = json_string_value(json_object_get(lease, "id"));
        const char *is = json_string_value(json_object_get(lease, "state"));
        if (name == NULL || is == NULL)
            continue;
        note_id(place, name);
        if (strcmp(is, "released") == 0 || strcmp(is, "failed") == 0)
            continue;
        if (live++ == 0) {
            snprintf(id, size, "%s", name);
            snprintf(state, state_size, "%s", is);
        }
    }
    json_decref(root);
    return live;
}

static const char *
names_lease(const struct place *place, const char *name)
{
    for (int i = 0; i < place->id_count; i++)
        if (strstr(name, place->ids[i]) != NULL)
            return place->ids[i];
    return NULL;
}

/* ---- processes ----------------------------------------------------------------------------- */

static void
describe(long pid, char *to, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
    FILE *file = fopen(path, "re");
    size_t got = file != NULL ? fread(to, 1, size - 1, file) : 0;
    if (file != NULL)
        fclose(file);
    for (size_t i = 0; i < got; i++)
        if (to[i] == '\0' || to[i] == '\n')
            to[i] = ' ';
    to[got] = '\0';
}

/* Children of this process that are still alive: signalled when number is not 0, and told of. */
static int
each_child(struct place *place, int number, bool tell)
{
    char path[64];
    long pid;
    int count = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%ld/children", (long)getpid());
    FILE *file = fopen(path, "re");
    while (file != NULL && fscanf(file, "%ld", &pid) == 1) {
        char text[200];
        count++;
        describe(pid, text, sizeof(text));
        if (tell)
            place_complain(place, "process %ld is left: %s", pid, text);
        if (number != 0)
            kill((pid_t)pid, number);
    }
    if (file != NULL)
        fclose(file);
    return count;
}

static bool
all_reaped(void)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, __WALL | WNOHANG)) > 0)
        ;
    return pid < 0 && errno == ECHILD;
}

void
place_check_processes(struct place *place, int patience_ms)
{
    long long until = crash_now_ms() + patience_ms;
    bool done;
    while (!(done = all_reaped()) && crash_wait_child(until))
        ;
    if (done)
        return;
    each_child(place, 0, true);
    /* They are ours: started by the billet that this process started. Their children become ours.
     */
    until = crash_now_ms() + 5000;
    while (!all_reaped() && crash_now_ms() < until) {
        each_child(place, SIGKILL, false);
        crash_wait_child(crash_now_ms() + 20 < until ? crash_now_ms() + 20 : until);
    }
}

/* A lease's processes that are not our children: those of a server, which stands for another host.
 */
void
place_check_labelled(struct place *place, int patience_ms)
{
    static char text[65536];
    char path[300];
    long long until = crash_now_ms() + patience_ms;
    for (;;) {
        bool left = false;
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        while (proc != NULL && (entry = readdir(proc)) != NULL) {
            snprintf(path, sizeof(path), "/proc/%s/environ", entry->d_name);
            FILE *file =
                entry->d_name[0] >= '1' && entry->d_name[0] <= '9' ? fopen(path, "re") : NULL;
            size_t got = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
            text[got] = '\0';
            for (size_t at = 0; at < got; at += strlen(text + at) + 1)
                if (strncmp(text + at, "BILLET_LEASE_ID=", 16) == 0 &&
                    names_lease(place, text + at) != NULL) {
                    left = true;
                    if (crash_now_ms() >= until)
                        place_complain(place, "process %s of a lease is left", entry->d_name);
                }
            if (file != NULL)
                fclose(file);
        }
        if (proc != NULL)
            closedir(proc);
        if (!left || crash_now_ms() >= until)
            return;
        crash_wait_child(crash_now_ms() + 50);
    }
}

/* ---- what is not a process --------------------------------------------------------------- */

void
place_check_mounts(struct place *place)
{
    char line[4096];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (strstr(line, place->root) != NULL || names_lease(place, line) != NULL)
            place_complain(place, "a mount is left: %.200s", line);
    if (file != NULL)
        fclose(file);
}

static struct place *visited;

static int
visit_group(const char *path, const struct stat *status, int type, struct FTW *position)
{
    (void)status;
    if (type == FTW_D && names_lease(visited, path + position->base) != NULL)
        place_complain(visited, "a cgroup is left: %s", path);
    return 0;
}

void
place_check_groups(struct place *place)
{
    visited = place;
    nftw("/sys/fs/cgroup", visit_group, 16, FTW_PHYS);
}

static int
visit_file(const char *path, const struct stat *status, int type, struct FTW *position)
{
    const char *name = path + position->base;
    (void)status;
    (void)type;
    if (names_lease(visited, name) != NULL || strncmp(name, ".new-", 5) == 0)
        place_complain(visited, "left of a lease: %s", path + strlen(visited->root));
    return 0;
}

void
place_check_files(struct place *place)
{
    char path[512];
    static const char *const where[] = {"runtime", "state", "remote"};
    visited = place;
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", place->root, where[i]);
        nftw(path, visit_file, 16, FTW_PHYS);
    }
}
