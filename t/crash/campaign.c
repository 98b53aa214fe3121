/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crash-campaign - crash points of billet by the hundred: which there are, who tries them,
 * and the account of it. t/crash.t runs a small one; make check-crash a large one.
 *
 * Prints one line "pass TEXT" or "fail TEXT" a group of points, and lines that begin with '#'.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scenario.h"

#define GROUPS_MAX 96
#define CALLS_MAX 512
#define PIECE 5  /* points that a worker takes at a time */
#define RENEW 40 /* points until a worker begins with an empty store again */
#define COMPLAINTS_MAX 200

struct options {
    long points;
    long faults;
    unsigned long long seed;
    int jobs;
    int deep_every;
    const char *only;
    const char *drivers;
    const char *directory;
    long point; /* only this ordinal */
    bool list;
};

struct tally {
    const struct group *group;
    long wanted;
    _Atomic long taken;
    _Atomic long total; /* calls of the victim; 0: not measured yet, -1: cannot be tried */
    _Atomic long tried;
    _Atomic long hit;
    _Atomic long failed;
};

/* Shared by the workers. */
static struct board {
    struct tally tallies[GROUPS_MAX];
    int count;
    _Atomic bool calls[CALLS_MAX];
    _Atomic int complaints;
} * board;

static struct options options = {.points = 500,
                                 .faults = 150,
                                 .jobs = 2,
                                 .deep_every = 10,
                                 .drivers = "local,fake,sandbox",
                                 .only = ""};

/* ---- one worker ------------------------------------------------------------------ */

/* splitmix64: the same seed gives the same points, whoever tries them. */
static unsigned long long
mix(unsigned long long value)
{
    value += 0x9e3779b97f4a7c15ull;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ull;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebull;
    return value ^ (value >> 31);
}

/* The i-th of wanted points, spread over the whole range, each at random within its own stretch. */
static long
choose(const struct tally *tally, int which, long i)
{
    long total = tally->total;
    long from = (long)((long long)total * i / tally->wanted);
    long to = (long)((long long)total * (i + 1) / tally->wanted);
    unsigned long long random =
        mix(options.seed ^ mix((unsigned long long)which << 32 | (unsigned long long)i));
    if (options.point > 0)
        return options.point;
    return 1 + from + (to > from ? (long)(random % (unsigned long long)(to - from)) : 0);
}

static void
complain(const struct tally *tally, const char *where, const struct place *place)
{
    char label[96];
    group_label(tally->group, label, sizeof(label));
    if (atomic_fetch_add(&board->complaints, 1) < COMPLAINTS_MAX)
        printf("# %s%s: %s\n", label, where, place->complaint);
    fflush(stdout);
}

static bool
measure(struct tally *tally, struct place *place)
{
    if (tally->total == 0) {
        long total = group_measure(place, tally->group);
        if (total <= 0) {
            if (total == 0)
                place_complain(place, "no such process was started");
            tally->failed++;
            complain(tally, "", place);
            total = -1;
        }
        tally->total = total;
    }
    return tally->total > 0;
}

static void
try_point(struct tally *tally, int which, long i, struct place *place, long number)
{
    char where[96];
    struct crash_outcome outcome;
    long ordinal = choose(tally, which, i);
    for (int attempt = 0; attempt < 4; attempt++) {
        group_try(place, tally->group, ordinal,
                  number % options.deep_every == 0 || options.point > 0, &outcome);
        if (outcome.hit || place->complaint[0] != '\0' || ordinal <= 8 || options.point > 0)
            break;
        /* The command made fewer calls than when it was measured: a little earlier, then. */
        ordinal -= ordinal / 8;
    }
    tally->tried++;
    if (outcome.hit) {
        tally->hit++;
        if (outcome.call >= 0 && outcome.call < CALLS_MAX)
            board->calls[outcome.call] = true;
    }
    if (place->complaint[0] != '\0') {
        tally->failed++;
        snprintf(where, sizeof(where), " at call %ld of %ld (%s)", ordinal, (long)tally->total,
                 outcome.hit ? crash_call_name(outcome.call) : "not reached");
        complain(tally, where, place);
        place_empty(place);
    }
}

static int
work(int worker)
{
    static struct place place;
    char root[160];
    long number = worker;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    snprintf(root, sizeof(root), "%s/crash.XXXXXX", options.directory);
    if (mkdtemp(root) == NULL || !place_make(&place, root)) {
        printf("# no place beneath %s: %s\n", options.directory,
               place.complaint[0] != '\0' ? place.complaint : strerror(errno));
        return 1;
    }
    /* Workers begin at different groups, and help each other out at the end. */
    for (int step = 0; step < board->count; step++) {
        int which = (step + worker * board->count / options.jobs) % board->count;
        struct tally *tally = &board->tallies[which];
        for (;;) {
            long from = atomic_fetch_add(&tally->taken, PIECE);
            if (from >= tally->wanted || !measure(tally, &place))
                break;
            for (long i = from; i < from + PIECE && i < tally->wanted; i++) {
                try_point(tally, which, i, &place, number++);
                if (number % RENEW == 0)
                    place_empty(&place);
            }
        }
    }
    place_remove(&place);
    return 0;
}

/* ---- all of them ------------------------------------------------------------------- */

static bool
is_wanted(const struct group *group)
{
    char label[96];
    const char *at = strstr(options.drivers, group->environment);
    const char *sanitizers = getenv("BILLET_SANITIZERS");
    /* Their runtime ends the process when it gets no memory. */
    if (sanitizers != NULL && sanitizers[0] != '\0' && group->fault != NULL &&
        group->fault->sys_errno == ENOMEM)
        return false;
    group_label(group, label, sizeof(label));
    /* A server's store has its tables before the first run. */
    const char *server = getenv("CRASH_SERVER");
    if (server != NULL && server[0] != '\0' &&
        (group->fault != NULL || group->scenario->before == SCENARIO_FIRST))
        return false;
    return at != NULL && strncmp(label, options.only, strlen(options.only)) == 0;
}

static void
plan(const struct group *groups, int count, long points)
{
    long weights = 0, left;
    int first = board->count;
    for (int i = 0; i < count; i++)
        if (is_wanted(&groups[i]) && board->count < GROUPS_MAX && points > 0) {
            board->tallies[board->count++].group = &groups[i];
            weights += groups[i].weight;
        }
    left = points;
    for (int i = first; i < board->count; i++) {
        struct tally *tally = &board->tallies[i];
        /* So that all shares together are exactly the points. */
        tally->wanted = left * tally->group->weight / weights;
        if (tally->wanted == 0 && left > 0)
            tally->wanted = 1;
        left -= tally->wanted;
        weights -= tally->group->weight;
    }
}

static int
run_workers(void)
{
    int failures = 0, status = 0;
    pid_t workers[64];
    for (int i = 0; i < options.jobs; i++) {
        fflush(stdout);
        workers[i] = fork();
        if (workers[i] == 0)
            exit(work(i));
        if (workers[i] < 0)
            failures++;
    }
    for (int i = 0; i < options.jobs; i++)
        if (workers[i] > 0 && (waitpid(workers[i], &status, 0) != workers[i] || status != 0)) {
            printf("# worker %d ended with wait status %#x\n", i, (unsigned)status);
            failures++;
        }
    return failures;
}

static int
report(int failures)
{
    long kills = 0, faults = 0, calls = 0;
    for (int i = 0; i < board->count; i++) {
        const struct tally *tally = &board->tallies[i];
        char label[96];
        if (tally->wanted == 0)
            continue; /* fewer points than groups */
        bool good = tally->failed == 0 && tally->tried == tally->wanted;
        group_label(tally->group, label, sizeof(label));
        printf("%s %s: %ld points (%ld reached) of %ld calls, %ld wrong\n", good ? "pass" : "fail",
               label, tally->tried, tally->hit, tally->total, tally->failed);
        failures += good ? 0 : 1;
        *(tally->group->fault != NULL ? &faults : &kills) += tally->hit;
    }
    for (int i = 0; i < CALLS_MAX; i++)
        calls += board->calls[i];
    printf("# %ld crash points and %ld faults reached, at %ld different system calls, seed %llu\n",
           kills, faults, calls, options.seed);
    return failures;
}

static int
read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"points", required_argument, NULL, 'p'},
        {"faults", required_argument, NULL, 'f'},
        {"seed", required_argument, NULL, 's'},
        {"jobs", required_argument, NULL, 'j'},
        {"only", required_argument, NULL, 'o'},
        {"drivers", required_argument, NULL, 'd'},
        {"point", required_argument, NULL, 'n'},
        {"directory", required_argument, NULL, 'D'},
        {"deep-every", required_argument, NULL, 'e'},
        {"list", no_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    const char *scratch = getenv("TMPDIR");
    options.directory = scratch != NULL ? scratch : "/tmp";
    for (int id; (id = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (id) {
        case 'p':
            options.points = strtol(optarg, NULL, 10);
            break;
        case 'f':
            options.faults = strtol(optarg, NULL, 10);
            break;
        case 's':
            options.seed = strtoull(optarg, NULL, 10);
            break;
        case 'j':
            options.jobs = (int)strtol(optarg, NULL, 10);
            break;
        case 'e':
            options.deep_every = (int)strtol(optarg, NULL, 10);
            break;
        case 'n':
            options.point = strtol(optarg, NULL, 10);
            break;
        case 'o':
            options.only = optarg;
            break;
        case 'd':
            options.drivers = optarg;
            break;
        case 'D':
            options.directory = optarg;
            break;
        case 'l':
            options.list = true;
            break;
        default:
            return -1;
        }
    }
    return optind == argc && options.points >= 0 && options.faults >= 0 && options.jobs > 0 &&
                   options.jobs <= 64 && options.deep_every > 0
               ? 0
               : -1;
}

int
main(int argc, char **argv)
{
    if (read_options(argc, argv) < 0) {
        fprintf(stderr, "usage: crash-campaign [--points N] [--faults N] [--seed N] [--jobs N] "
                        "[--drivers LIST] [--only GROUP [--point N]] [--directory DIR] "
                        "[--deep-every N] [--list]\n");
        return 125;
    }
    board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (board == MAP_FAILED)
        return 125;
    plan(kill_groups, kill_group_count, options.points);
    plan(fault_groups, fault_group_count, options.faults);
    if (options.list) {
        for (int i = 0; i < board->count; i++) {
            char label[96];
            group_label(board->tallies[i].group, label, sizeof(label));
            printf("%s %ld\n", label, board->tallies[i].wanted);
        }
        return 0;
    }
    if (board->count == 0) {
        printf("# no such points\n");
        return 1;
    }
    return report(run_workers()) == 0 ? 0 : 1;
}
