/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs beside their floor, where their time goes, and what others take. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "bench.h"

#define RECORDED 1024

static char *
format(const char *text, const char *a, const char *b)
{
    char *made = NULL;
    if (asprintf(&made, text, a, b) < 0)
        bench_die("out of memory");
    return made;
}

static const char *
find_program(const char *name)
{
    static const char *const places[] = {"/usr/bin/", "/bin/", "/usr/local/bin/", "/usr/sbin/",
                                         "/sbin/"};
    static char path[256];
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%s%s", places[i], name);
        if (access(path, X_OK) == 0)
            return path;
    }
    return NULL;
}

void
bench_rows_local(struct bench *bench)
{
    cleanup_free char *true_path = strdup(find_program("true"));
    cleanup_free char *plain = format("%s/floor", bench->build, NULL);
    cleanup_free char *stored = format("%s/floor-store", bench->build, NULL);
    cleanup_free char *file = format("%s/commits", bench->scratch, NULL);
    const char *const billet[] = {bench->billet, "run", "-e", "local", "--", "true", NULL};
    const char *const with_file[] = {plain, "tool", file, "host", true_path, NULL};
    const char *const with_store[] = {stored, "tool", bench->store, "host", true_path, NULL};
    struct bench_command commands[] = {
        {.name = "floor with SQLite", .argv = with_store},
        {.name = "floor with a plain file", .argv = with_file},
        {.name = "billet run -e local", .argv = billet},
    };
    bench_interleave(bench, commands, 3);
    bench_tell_commands(bench, "local", &commands[0], &commands[2], BENCH_AT_MOST, 1.5);
    bench_tell_commands(bench, "local-file", &commands[1], &commands[2], BENCH_INFORMATION, 0);
    bench_commands_free(commands, 3);
}

/* ---- sandbox ------------------------------------------------------------------ */

/* The sandbox driver is given another program in place of bubblewrap, once, which keeps the
 * options, the filter and the files that bubblewrap would have got. */
static void
record_profile(struct bench *bench, const char *directory, const char *floor)
{
    cleanup_free char *recorder = format("%s/bwrap", directory, NULL);
    cleanup_free char *setting = format("environment.sandbox.bubblewrap=%s", recorder, NULL);
    FILE *script;
    struct stat status;
    if (mkdir(directory, 0777) != 0 || chmod(directory, 0777) != 0 ||
        (script = fopen(recorder, "we")) == NULL)
        bench_die("%s: %s", directory, strerror(errno));
    /* The driver asks for a version and for what it is; everything else is the real thing. */
    fprintf(script, "#!/bin/sh\n[ \"$1\" = --args ] || exec %s \"$@\"\nexec %s record %s\n",
            find_program("bwrap"), floor, directory);
    fclose(script);
    chmod(recorder, 0755);
    /* It fails, of course, and would say so. */
    cleanup_free char *line = NULL;
    if (asprintf(&line, "exec '%s' run --set '%s' -e sandbox -- true 2>/dev/null", bench->billet,
                 setting) < 0)
        bench_die("out of memory");
    const char *const argv[] = {"/bin/sh", "-c", line, NULL};
    const struct bench_command command = {.name = "recording", .argv = argv, .wanted = 125};
    bench_run(&command);
    cleanup_free char *arguments = format("%s/6", directory, NULL);
    if (stat(arguments, &status) != 0 || status.st_size == 0)
        bench_die("the sandbox driver did not start %s", recorder);
}

/* Where the recorded options bind billet-sandbox-init, bind the command instead. */
static void
replace_init(const char *directory, const char *program)
{
    cleanup_free char *name = format("%s/6", directory, NULL);
    char bytes[65536] = "";
    FILE *file = fopen(name, "re");
    size_t length = file != NULL ? fread(bytes, 1, sizeof(bytes) - 1, file) : 0;
    bool replaced = false;
    if (file == NULL || fclose(file) != 0 || (file = fopen(name, "we")) == NULL)
        bench_die("%s: %s", name, strerror(errno));
    /* Strings, each with its NUL: ... --ro-bind FROM /run/billet/init ... */
    for (size_t at = 0; at < length; at += strlen(bytes + at) + 1) {
        size_t next = at + strlen(bytes + at) + 1;
        bool init = next < length && strcmp(bytes + next, "/run/billet/init") == 0;
        const char *text = init ? program : bytes + at;
        fwrite(text, 1, strlen(text) + 1, file);
        replaced = replaced || init;
    }
    if (fclose(file) != 0 || !replaced)
        bench_die("%s: not the options that were expected", name);
}

static void
read_user(const char *directory, char uid[32], char gid[32])
{
    cleanup_free char *name = format("%s/user", directory, NULL);
    FILE *file = fopen(name, "re");
    if (file == NULL || fscanf(file, "%31s %31s", uid, gid) != 2)
        bench_die("%s: not written", name);
    fclose(file);
}

void
bench_rows_sandbox(struct bench *bench)
{
    cleanup_free char *plain = format("%s/floor", bench->build, NULL);
    cleanup_free char *stored = format("%s/floor-store", bench->build, NULL);
    cleanup_free char *file = format("%s/commits", bench->scratch, NULL);
    cleanup_free char *directory = format("%s/profile", bench->scratch, NULL);
    char uid[32], gid[32];
    const char *found = find_program("bwrap");
    if (found == NULL) {
        bench_skip(bench, "sandbox", "bubblewrap is not installed");
        return;
    }
    cleanup_free char *bwrap = strdup(found);
    const char *const billet[] = {bench->billet, "run", "-e", "sandbox", "--", "true", NULL};
    const char *const with_store[] = {stored, "tool", bench->store, "bwrap", bwrap,
                                      uid,    gid,    directory,    NULL};
    const char *const with_file[] = {plain, "tool", file,      "bwrap", bwrap,
                                     uid,   gid,    directory, NULL};
    const struct bench_command first = {.name = "billet run -e sandbox", .argv = billet};
    struct bench_command commands[] = {
        {.name = "floor with SQLite and bubblewrap", .argv = with_store},
        {.name = "floor with a plain file and bubblewrap", .argv = with_file},
        {.name = "billet run -e sandbox", .argv = billet},
    };
    int status = 0;
    pid_t pid = bench_start(first.argv, -1, -1);
    if (waitpid(pid, &status, 0) != pid || status != 0) {
        bench_skip(bench, "sandbox", "no sandbox can be made here; see billet doctor sandbox");
        return;
    }
    record_profile(bench, directory, plain);
    replace_init(directory, find_program("true"));
    read_user(directory, uid, gid);
    bench_interleave(bench, commands, 3);
    bench_tell_commands(bench, "sandbox", &commands[0], &commands[2], BENCH_AT_MOST, 1.3);
    bench_tell_commands(bench, "sandbox-file", &commands[1], &commands[2], BENCH_INFORMATION, 0);
    bench_commands_free(commands, 3);
}

/* ---- the steps of a run --------------------------------------------------------- */

static const char *const step_names[] = {"resolve", "acquire", "realize", "provision",
                                         "exec",    "release", NULL};

struct steps {
    double *samples[6];
    size_t count;
};

static void
read_steps(const struct bench_command *command, void *context)
{
    struct steps *steps = context;
    json_t *run = json_load_file(command->output, 0, NULL);
    json_t *times = json_object_get(run, "steps_ms");
    if (times == NULL)
        bench_die("%s: no steps_ms in the output", command->name);
    for (int i = 0; step_names[i] != NULL; i++)
        steps->samples[i][steps->count] = json_number_value(json_object_get(times, step_names[i]));
    steps->count++;
    json_decref(run);
}

static void
steps_of(struct bench *bench, const char *environment)
{
    cleanup_free char *output = format("%s/run.json", bench->scratch, NULL);
    const char *const argv[] = {bench->billet, "run", "--json", "-e",
                                environment,   "--",  "true",   NULL};
    struct steps steps = {.count = 0};
    size_t room = (size_t)bench->runs + (size_t)bench->runs / 10 + 3;
    for (int i = 0; step_names[i] != NULL; i++) {
        steps.samples[i] = calloc(room, sizeof(double));
        if (steps.samples[i] == NULL)
            bench_die("out of memory");
    }
    struct bench_command command = {.name = environment,
                                    .argv = argv,
                                    .output = output,
                                    .after = read_steps,
                                    .context = &steps};
    bench_interleave(bench, &command, 1);
    for (int i = 0; step_names[i] != NULL; i++) {
        cleanup_free char *name = format("step-%s-%s", environment, step_names[i]);
        double median = bench_median(steps.samples[i], steps.count);
        const struct bench_row row = {.name = name,
                                      .unit = "ms",
                                      .floor = -1,
                                      .measured = median,
                                      .value = median / command.median,
                                      .measure = "of the run"};
        bench_tell(bench, &row);
        free(steps.samples[i]);
    }
    bench_commands_free(&command, 1);
}

void
bench_rows_steps(struct bench *bench)
{
    const char *const sandbox[] = {bench->billet, "run", "-e", "sandbox", "--", "true", NULL};
    int status = 0;
    steps_of(bench, "local");
    pid_t pid = bench_start(sandbox, -1, -1);
    if (waitpid(pid, &status, 0) == pid && status == 0)
        steps_of(bench, "sandbox");
    else
        bench_skip(bench, "step-sandbox", "no sandbox can be made here");
}

/* ---- others ---------------------------------------------------------------------- */

static bool
works(const char *const *argv)
{
    int status = 0;
    pid_t pid = bench_start(argv, -1, -1);
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static void
tell_peer(struct bench *bench, const char *name, const char *const *argv)
{
    if (argv[0] == NULL || !works(argv)) {
        bench_skip(bench, name, argv[0] == NULL ? "not installed" : "does not work here");
        return;
    }
    struct bench_command command = {.name = name, .argv = argv};
    bench_interleave(bench, &command, 1);
    const struct bench_row row = {
        .name = name, .unit = "ms", .floor = -1, .measured = command.median, .value = -1};
    bench_tell(bench, &row);
    bench_commands_free(&command, 1);
}

/* A bundle for crun: this machine's root, read-only. False when it cannot be written. */
static bool
make_bundle(const char *directory)
{
    cleanup_free char *name = format("%s/config.json", directory, NULL);
    if (mkdir(directory, 0700) != 0)
        return false;
    FILE *file = fopen(name, "we");
    if (file == NULL)
        return false;
    fputs(
        "{\"ociVersion\":\"1.0.0\",\"process\":{\"terminal\":false,\"user\":{\"uid\":0,\"gid\":0},"
        "\"args\":[\"true\"],\"env\":[\"PATH=/usr/bin:/bin\"],\"cwd\":\"/\","
        "\"noNewPrivileges\":true},\"root\":{\"path\":\"/\",\"readonly\":true},"
        "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"}],"
        "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},"
        "{\"type\":\"uts\"},{\"type\":\"mount\"}]}}\n",
        file);
    return fclose(file) == 0;
}

void
bench_rows_peers(struct bench *bench)
{
    cleanup_free char *bundle = format("%s/bundle", bench->scratch, NULL);
    cleanup_free char *root = format("--root=%s/crun", bench->scratch, NULL);
    cleanup_free char *name = format("--bundle=%s", bundle, NULL);
    const char *bwrap = find_program("bwrap");
    cleanup_free char *bwrap_path = bwrap != NULL ? strdup(bwrap) : NULL;
    const char *crun = make_bundle(bundle) ? find_program("crun") : NULL;
    cleanup_free char *crun_path = crun != NULL ? strdup(crun) : NULL;
    const char *const with_shell[] = {"/bin/sh", "-c", "true", NULL};
    const char *const with_bwrap[] = {bwrap_path, "--unshare-all", "--ro-bind", "/",
                                      "/",        "true",          NULL};
    const char *const with_crun[] = {crun_path, root, "run", name, "billet-bench", NULL};
    tell_peer(bench, "peer-sh", with_shell);
    tell_peer(bench, "peer-bwrap", with_bwrap);
    tell_peer(bench, "peer-crun", with_crun);
}
