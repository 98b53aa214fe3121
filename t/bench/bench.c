/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench [OPTION...] [ROW...] - measure billet. Started by t/bench/run.sh, which gives it a private
 * directory and billet's parts. Exit status: 0 when every target is met, 1 when one is missed, 2
 * when something could not be measured.
 */
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static const struct {
    const char *name;
    void (*run)(struct bench *bench);
    const char *text;
} groups[] = {
    {"local", bench_rows_local, "a run here, beside three processes and as many commits"},
    {"sandbox", bench_rows_sandbox, "a sandboxed run, beside the same with bubblewrap alone"},
    {"exec", bench_rows_exec, "a command on a lease that is held, beside a local spawn"},
    {"workspace", bench_rows_workspace, "sandboxed runs on trees, overlay beside bind"},
    {"ssh", bench_rows_ssh, "a tree of files and commands over ssh, beside tar, rsync and ssh"},
    {"steps", bench_rows_steps, "where the time of a run goes"},
    {"store", bench_rows_store, "acquire and release on SQLite, beside the bare statements"},
    {"pgsql", bench_rows_pgsql, "the same on PostgreSQL, beside pgbench"},
    {"reap", bench_rows_reap, "a reap of many leases, beside the bare commits"},
    {"secret", bench_rows_secret, "seal, open, resolve, rotate, beside libsodium and SQLite alone"},
    {"memory", bench_rows_memory, "private memory of an idle driver host"},
    {"together", bench_rows_together, "many runs at once"},
    {"peers", bench_rows_peers, "what others take for true, for comparison"},
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static void
print_heading(const struct bench *bench)
{
    struct utsname system;
    if (bench->json || uname(&system) != 0)
        return;
    printf("# %d samples of each, %.1f s a rate; %s %s, %ld processors\n", bench->runs,
           bench->seconds, system.sysname, system.release, sysconf(_SC_NPROCESSORS_ONLN));
    printf("%-24s %12s %12s %-8s %9s %-13s %9s %s\n", "ROW", "FLOOR", "BILLET", "UNIT", "VALUE",
           "WHAT", "TARGET", "");
}

void
bench_tell(struct bench *bench, const struct bench_row *row)
{
    bool met = row->kind == BENCH_INFORMATION ||
               (row->kind == BENCH_AT_MOST ? row->value <= row->target : row->value >= row->target);
    const char *verdict = row->kind == BENCH_INFORMATION ? "" : met ? "ok" : "MISS";
    bench->missed += !met;
    json_t *object =
        json_pack("{s:s, s:s, s:f}", "row", row->name, "unit", row->unit, "billet", row->measured);
    if (row->floor >= 0)
        json_object_set_new(object, "floor", json_real(row->floor));
    if (row->measure != NULL) {
        json_object_set_new(object, "what", json_string(row->measure));
        json_object_set_new(object, "value", json_real(row->value));
    }
    if (row->kind != BENCH_INFORMATION) {
        json_object_set_new(object, row->kind == BENCH_AT_MOST ? "at_most" : "at_least",
                            json_real(row->target));
        json_object_set_new(object, "met", json_boolean(met));
    }
    json_array_append_new(bench->rows, object);
    if (bench->json)
        return;
    char floor[32] = "-", value[32] = "", target[32] = "";
    if (row->floor >= 0)
        snprintf(floor, sizeof(floor), "%.3f", row->floor);
    if (row->measure != NULL)
        snprintf(value, sizeof(value), "%.3f", row->value);
    if (row->kind != BENCH_INFORMATION)
        snprintf(target, sizeof(target), "%s%g",
                 row->kind == BENCH_AT_MOST ? "<=" : ">=", row->target);
    printf("%-24s %12s %12.3f %-8s %9s %-13s %9s %s\n", row->name, floor, row->measured, row->unit,
           value, row->measure != NULL ? row->measure : "", target, verdict);
    fflush(stdout);
}

void
bench_tell_ratio(struct bench *bench, const char *name, const char *unit, double floor,
                 double measured, enum bench_target kind, double target)
{
    const struct bench_row row = {.name = name,
                                  .unit = unit,
                                  .floor = floor,
                                  .measured = measured,
                                  .value = measured / floor,
                                  .measure = "ratio",
                                  .kind = kind,
                                  .target = target};
    bench_tell(bench, &row);
}

void
bench_tell_commands(struct bench *bench, const char *name, const struct bench_command *floor,
                    const struct bench_command *measured, enum bench_target kind, double target)
{
    bench_tell_ratio(bench, name, "ms", floor->median, measured->median, kind, target);
}

void
bench_skip(struct bench *bench, const char *name, const char *why)
{
    json_array_append_new(bench->rows, json_pack("{s:s, s:s}", "row", name, "skipped", why));
    if (!bench->json)
        printf("%-24s skipped: %s\n", name, why);
}

static void
usage(FILE *to)
{
    fprintf(to, "usage: t/bench/run.sh [OPTION...] [ROW...]\n\n"
                "  --runs N        samples of each thing (default 200)\n"
                "  --seconds S     time for each rate (default 1)\n"
                "  --files N       files in the tree of row ssh (default 20000)\n"
                "  --together N    runs at once (default 200)\n"
                "  --json          print JSON\n\nRows:\n");
    for (size_t i = 0; i < GROUPS; i++)
        fprintf(to, "  %-14s  %s\n", groups[i].name, groups[i].text);
}

static void
read_options(struct bench *bench, int argc, char **argv)
{
    static const struct option options[] = {
        {"billet", required_argument, NULL, 'b'},
        {"helpers", required_argument, NULL, 'h'},
        {"modules", required_argument, NULL, 'm'},
        {"scratch", required_argument, NULL, 'd'},
        {"runs", required_argument, NULL, 'n'},
        {"seconds", required_argument, NULL, 's'},
        {"together", required_argument, NULL, 't'},
        {"files", required_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, '?'},
        {NULL, 0, NULL, 0},
    };
    for (int id; (id = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (id) {
        case 'b':
            bench->billet = optarg;
            break;
        case 'h':
            bench->build = optarg;
            break;
        case 'm':
            bench->modules = optarg;
            break;
        case 'd':
            bench->scratch = optarg;
            break;
        case 'n':
            bench->runs = atoi(optarg);
            break;
        case 's':
            bench->seconds = atof(optarg);
            break;
        case 'f':
            bench->files = atoi(optarg);
            break;
        case 't':
            bench->together = atoi(optarg);
            break;
        case 'j':
            bench->json = true;
            break;
        default:
            usage(optopt == 0 ? stdout : stderr);
            exit(optopt == 0 ? 0 : 2);
        }
    }
    if (bench->billet == NULL || bench->build == NULL || bench->modules == NULL ||
        bench->scratch == NULL)
        bench_die("started by t/bench/run.sh, not by hand");
    if (bench->runs < 1 || bench->seconds <= 0 || bench->together < 1 || bench->files < 1)
        bench_die("--runs, --seconds, --files and --together are positive numbers");
}

static bool
wanted(const char *name, int argc, char **argv)
{
    for (int i = optind; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return optind == argc;
}

static void
check_names(int argc, char **argv)
{
    for (int i = optind; i < argc; i++) {
        size_t at = 0;
        while (at < GROUPS && strcmp(argv[i], groups[at].name) != 0)
            at++;
        if (at == GROUPS)
            bench_die("there is no row '%s'; --help lists them", argv[i]);
    }
}

int
main(int argc, char **argv)
{
    struct bench bench = {
        .runs = 200, .seconds = 1, .together = 200, .files = 20000, .rows = json_array()};
    read_options(&bench, argc, argv);
    check_names(argc, argv);
    if (asprintf(&bench.store, "%s/state/billet.db", bench.scratch) < 0 || bench.rows == NULL)
        bench_die("out of memory");
    /* The database of the runs, which the floor writes to as well. */
    const char *const first[] = {bench.billet, "run", "-e", "local", "--", "true", NULL};
    const struct bench_command command = {.name = "the first run", .argv = first};
    bench_run(&command);
    print_heading(&bench);
    for (size_t i = 0; i < GROUPS; i++)
        if (wanted(groups[i].name, argc, argv))
            groups[i].run(&bench);
    if (bench.json) {
        json_t *all = json_pack("{s:s, s:i, s:i, s:O}", "format_version", "1.0", "samples",
                                bench.runs, "missed", bench.missed, "rows", bench.rows);
        json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        putchar('\n');
        json_decref(all);
    }
    json_decref(bench.rows);
    free(bench.store);
    return fflush(stdout) != 0 ? 2 : bench.missed > 0 ? 1 : 0;
}
