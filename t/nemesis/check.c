/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nemesis-check FILE - whether a history of nemesis.c keeps the rules of rules.def. It knows what a
 * lease is, and nothing of billet's code.
 *
 * The history, a record a line, its words separated by blanks; times are wall nanoseconds:
 *     invoke|ok|fail|unknown|seen|stuck TIME CLIENT NUMBER TENANT VERB ENVIRONMENT LEASE
 *     resource TIME EVENT LEASE FENCE GENERATION TENANT RUN DETAIL   in the order of the effects
 *     lease ID TENANT ENVIRONMENT DRIVER STATE FENCE                 as it is at the end
 *     activity SEQUENCE TIME ACTION TENANT LEASE FENCE               in their order
 *     left LEASE                                                     a resource that is still there
 *     limit ENVIRONMENT MOST                                         leases of one tenant at once
 *     ttl NS                                                         how long one lives without
 * news jump TIME                                                      when the clock went ahead
 * Prints "RULE LEASE: TEXT" for each breach; exits 0, 1 when a rule is broken, 2 when the history
 * cannot be read or says nothing.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD 160
#define SLACK_NS 5000000 /* the engines' clocks are read in milliseconds */

enum { KIND_LEASE, KIND_RESOURCE, KIND_ACTIVITY, KIND_CLIENT, KIND_LEFT };

/* What all records have in common; each kind uses what it has. */
struct record {
    int kind;
    long line;
    char lease[WORD], tenant[WORD], environment[WORD];
    char what[WORD]; /* event, action, state, kind of answer */
    char verb[WORD]; /* of a client; the driver of a lease; detail of a resource */
    char run[WORD];
    int64_t time, fence;
    long client, number;
};

struct limit {
    char environment[WORD];
    long most;
};

static struct record *records;
static size_t record_count, record_capacity;
static struct limit limits[32];
static size_t limit_count;
static int64_t ttl; /* 0: not told */
static int64_t (*jumps)[2];
static size_t jump_count;
static long breaches;

static const char *const rules[][2] = {
#define RULE(name, text) {name, text},
#include "rules.def"
#undef RULE
};

static void
broken(const char *rule, const char *lease, const struct record *where)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (strcmp(rules[i][0], rule) == 0) {
            printf("%s %s: %s (line %ld)\n", rule, lease, rules[i][1],
                   where != NULL ? where->line : 0);
            breaches++;
            return;
        }
    abort(); /* a rule that is not in the table */
}

/* ---- reading ------------------------------------------------------------------------- */

static struct record *
add(int kind, long line)
{
    if (record_count == record_capacity) {
        record_capacity = record_capacity * 2 + 1024;
        records = realloc(records, record_capacity * sizeof(*records));
        if (records == NULL)
            abort();
    }
    struct record *record = &records[record_count++];
    memset(record, 0, sizeof(*record));
    record->kind = kind;
    record->line = line;
    return record;
}

static bool
read_line(const char *text, long line)
{
    struct record one = {.line = line};
    char kind[16], generation[32], sequence[32];
    if (sscanf(text, "%15s", kind) != 1 || kind[0] == '#')
        return true;
    if (strcmp(kind, "limit") == 0) {
        struct limit *limit = &limits[limit_count];
        if (limit_count + 1 == sizeof(limits) / sizeof(limits[0]) ||
            sscanf(text, "limit %159s %ld", limit->environment, &limit->most) != 2)
            return false;
        limit_count++;
        return true;
    }
    if (strcmp(kind, "ttl") == 0)
        return sscanf(text, "ttl %" SCNd64, &ttl) == 1;
    if (strcmp(kind, "jump") == 0) {
        jumps = realloc(jumps, (jump_count + 1) * sizeof(*jumps));
        if (jumps == NULL)
            return false;
        int64_t *jump = jumps[jump_count++];
        return sscanf(text, "jump %" SCNd64 " %" SCNd64, &jump[0], &jump[1]) == 2;
    }
    if (strcmp(kind, "resource") == 0) {
        one.kind = KIND_RESOURCE;
        if (sscanf(text, "resource %" SCNd64 " %159s %159s %" SCNd64 " %31s %159s %159s %159s",
                   &one.time, one.what, one.lease, &one.fence, generation, one.tenant, one.run,
                   one.verb) != 8)
            return false;
    } else if (strcmp(kind, "lease") == 0) {
        one.kind = KIND_LEASE;
        if (sscanf(text, "lease %159s %159s %159s %159s %159s %" SCNd64, one.lease, one.tenant,
                   one.environment, one.verb, one.what, &one.fence) != 6)
            return false;
    } else if (strcmp(kind, "activity") == 0) {
        one.kind = KIND_ACTIVITY;
        if (sscanf(text, "activity %31s %" SCNd64 " %159s %159s %159s %" SCNd64, sequence,
                   &one.time, one.what, one.tenant, one.lease, &one.fence) != 6)
            return false;
    } else if (strcmp(kind, "left") == 0) {
        one.kind = KIND_LEFT;
        if (sscanf(text, "left %159s", one.lease) != 1)
            return false;
    } else {
        one.kind = KIND_CLIENT;
        if (sscanf(text, "%159s %" SCNd64 " %ld %ld %159s %159s %159s %159s", one.what, &one.time,
                   &one.client, &one.number, one.tenant, one.verb, one.environment, one.lease) != 8)
            return false;
    }
    *add(one.kind, line) = one;
    return true;
}

static bool
read_history(const char *path)
{
    char text[2048];
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool good = true;
    for (long line = 1; good && fgets(text, sizeof(text), file) != NULL; line++) {
        good = read_line(text, line);
        if (!good)
            fprintf(stderr, "%s:%ld: not a record: %s", path, line, text);
    }
    fclose(file);
    return good && record_count > 0;
}

/* By lease; of one lease the row, the resource, the activity, the clients, each as they came. */
static int
compare(const void *a, const void *b)
{
    const struct record *one = a, *other = b;
    int by = strcmp(one->lease, other->lease);
    if (by == 0)
        by = (one->kind > other->kind) - (one->kind < other->kind);
    return by != 0 ? by : (one->line > other->line) - (one->line < other->line);
}

/* ---- one lease -------------------------------------------------------------------------- */

/* Records of a lease: from first, count of them; a part of one kind. */
struct part {
    const struct record *first;
    size_t count;
};

static struct part
part_of(struct part all, int kind)
{
    struct part part = {0};
    for (size_t i = 0; i < all.count; i++)
        if (all.first[i].kind == kind) {
            if (part.count == 0)
                part.first = &all.first[i];
            part.count++;
        }
    return part;
}

static bool
is(const struct record *record, const char *what)
{
    return strcmp(record->what, what) == 0;
}

/* Use by an owner; what comes in beside one ("shared") is no owner's. */
static bool
is_own_use(const struct record *event)
{
    return (is(event, "exec") || is(event, "using") || is(event, "ended")) &&
           strcmp(event->verb, "own") == 0;
}

static bool
same_owner(const struct record *one, const struct record *other)
{
    return one->fence == other->fence && strcmp(one->run, other->run) == 0;
}

/* A command lasts from its exec to the last that is known of it. */
static void
check_owners(struct part events)
{
    for (size_t i = 0; i < events.count; i++) {
        const struct record *begin = &events.first[i];
        size_t end = i;
        if (!is(begin, "exec") || !is_own_use(begin))
            continue;
        for (size_t j = i + 1; j < events.count; j++) {
            const struct record *next = &events.first[j];
            if (!is_own_use(next) || !same_owner(next, begin))
                continue;
            if (is(next, "exec"))
                break;
            end = j;
        }
        for (size_t j = i + 1; j < end; j++)
            if (is_own_use(&events.first[j]) && !same_owner(&events.first[j], begin))
                broken("two-owners", begin->lease, &events.first[j]);
    }
}

static void
check_resource(struct part events, struct part activity)
{
    int64_t fence = 0;       /* the highest of all who did something */
    int64_t owner_fence = 0; /* of those who used it; many may remove, if nobody uses it then */
    bool removed = false;
    for (size_t i = 0; i < events.count; i++) {
        const struct record *event = &events.first[i];
        bool use = is(event, "exec") || is(event, "using") || is(event, "resumed") ||
                   is(event, "entered") || is(event, "ended");
        bool owner = is_own_use(event) || is(event, "resumed");
        bool removes = is(event, "removing") || is(event, "removed");
        if (use && removed)
            broken("used-after-end", event->lease, event);
        if ((owner && event->fence < fence) || (removes && event->fence < owner_fence))
            broken("stale-fence", event->lease, event);
        if (owner && event->fence > owner_fence)
            owner_fence = event->fence;
        if ((owner || removes) && event->fence > fence)
            fence = event->fence;
        if (is(event, "made"))
            removed = false;
        if (!is(event, "removed"))
            continue;
        removed = true;
        bool ending = false;
        for (size_t j = 0; j < activity.count && !ending; j++) {
            const struct record *step = &activity.first[j];
            ending = (is(step, "lease.releasing") || is(step, "lease.reaped")) &&
                     step->time <= event->time + SLACK_NS;
        }
        if (!ending)
            broken("removed-live", event->lease, event);
    }
}

/* The life of a lease as it was recorded, against what may follow what. */
static void
check_activity(struct part activity, struct part events, const struct record *row)
{
    const char *state = "";
    const char *lease = activity.count > 0 ? activity.first[0].lease : row->lease;
    int64_t fence = 0;
    bool acquired = false;
    for (size_t i = 0; i < activity.count; i++) {
        static const struct {
            const char *action, *from, *to; /* from: states that it follows, or "" */
        } steps[] = {
            {"lease.requested", "-", "acquiring"},
            {"lease.acquired", "acquiring", "active"},
            {"lease.retained", "active", "retained"},
            {"lease.resumed", "retained", "active"},
            {"lease.releasing", "acquiring active retained releasing", "releasing"},
            {"lease.reaped", "acquiring active retained releasing", "releasing"},
            {"lease.cleanup_failed", "releasing", "releasing"},
            {"lease.released", "releasing", "released"},
            {"lease.failed", "releasing", "failed"},
        };
        const struct record *step = &activity.first[i];
        acquired = acquired || is(step, "lease.acquired");
        bool final = strcmp(state, "released") == 0 || strcmp(state, "failed") == 0;
        for (size_t j = 0; j < sizeof(steps) / sizeof(steps[0]); j++) {
            if (!is(step, steps[j].action))
                continue;
            bool again = i > 0 && step->fence == fence && strcmp(state, steps[j].to) == 0 &&
                         !is(step, "lease.cleanup_failed");
            if (again)
                broken("doubled", lease, step);
            else if (final)
                broken("not-final", lease, step);
            else if (state[0] == '\0' ? steps[j].from[0] != '-'
                                      : strstr(steps[j].from, state) == NULL)
                broken("missing", lease, step);
            if (step->fence < fence || (is(step, "lease.resumed") && step->fence == fence))
                broken("fence-back", lease, step);
            fence = step->fence > fence ? step->fence : fence;
            state = steps[j].to;
        }
    }
    for (size_t i = 0; i < events.count; i++)
        if (!acquired && is_own_use(&events.first[i])) {
            broken("missing", lease, &events.first[i]);
            acquired = true;
        }
    if (row == NULL || strcmp(row->what, state) != 0 || row->fence < fence)
        broken("missing", lease, row);
    if (row != NULL && !is(row, "released") && !is(row, "failed"))
        broken("never-ended", lease, row);
}

static bool
jumped_between(int64_t from, int64_t to)
{
    for (size_t i = 0; i < jump_count; i++)
        if (jumps[i][1] >= from - SLACK_NS && jumps[i][0] <= to + SLACK_NS)
            return true;
    return false;
}

/* Of a lease that only its first owner has had, a run that went on to give an answer: one that was
 * killed gave none. */
static void
check_taken(struct part activity, struct part clients)
{
    const struct record *begun = NULL;
    for (size_t i = 0; i < activity.count; i++) {
        const struct record *step = &activity.first[i];
        if (is(step, "lease.acquired"))
            begun = step;
        else if (is(step, "lease.retained") || is(step, "lease.resumed") ||
                 is(step, "lease.releasing"))
            begun = NULL;
        if (!is(step, "lease.reaped"))
            continue;
        for (size_t j = 0; begun != NULL && j < clients.count; j++) {
            const struct record *answer = &clients.first[j];
            if ((is(answer, "ok") || is(answer, "fail")) && strcmp(answer->verb, "run") == 0 &&
                answer->time > step->time + SLACK_NS && step->time - begun->time < ttl &&
                !jumped_between(begun->time, step->time))
                broken("taken-live", step->lease, step);
        }
        begun = NULL;
    }
}

static void
check_clients(struct part clients, struct part events, const struct record *row)
{
    for (size_t i = 0; i < clients.count; i++) {
        const struct record *answer = &clients.first[i];
        bool told = is(answer, "ok") || is(answer, "seen");
        bool effect = false;
        if (told && row == NULL)
            broken("lost", answer->lease, answer);
        if (told && row != NULL && strcmp(row->tenant, answer->tenant) != 0)
            broken("other-tenant", answer->lease, answer);
        if (!is(answer, "ok") || strcmp(answer->verb, "run") != 0 || row == NULL ||
            strcmp(row->verb, "fake") != 0)
            continue;
        for (size_t j = 0; j < events.count && !effect; j++)
            effect = is(&events.first[j], "exec") && events.first[j].time <= answer->time;
        if (!effect)
            broken("no-effect", answer->lease, answer);
    }
    for (size_t i = 0; row != NULL && i < events.count; i++)
        if (strcmp(events.first[i].tenant, row->tenant) != 0)
            broken("other-tenant", row->lease, &events.first[i]);
}

static void
check_lease(struct part all)
{
    struct part rows = part_of(all, KIND_LEASE);
    struct part events = part_of(all, KIND_RESOURCE);
    struct part activity = part_of(all, KIND_ACTIVITY);
    struct part left = part_of(all, KIND_LEFT);
    const struct record *row = rows.count > 0 ? rows.first : NULL;
    check_owners(events);
    check_resource(events, activity);
    if (row != NULL || activity.count > 0)
        check_activity(activity, events, row);
    check_clients(part_of(all, KIND_CLIENT), events, row);
    check_taken(activity, part_of(all, KIND_CLIENT));
    if (left.count > 0 && (row == NULL || is(row, "released") || is(row, "failed")))
        broken("leaked", left.first->lease, left.first);
}

/* ---- all leases ---------------------------------------------------------------------------- */

struct change {
    char key[2 * WORD]; /* tenant and environment */
    int64_t time;
    int by;
    const struct record *record;
};

static int
compare_changes(const void *a, const void *b)
{
    const struct change *one = a, *other = b;
    int by = strcmp(one->key, other->key);
    if (by == 0)
        by = (one->time > other->time) - (one->time < other->time);
    return by != 0 ? by : one->by - other->by; /* who leaves makes room first */
}

static const struct record *
row_of(const char *lease)
{
    struct record key = {.kind = KIND_LEASE};
    size_t low = 0, high = record_count;
    snprintf(key.lease, sizeof(key.lease), "%s", lease);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&records[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < record_count && records[low].kind == KIND_LEASE &&
                   strcmp(records[low].lease, lease) == 0
               ? &records[low]
               : NULL;
}

static long
most_of(const char *environment)
{
    for (size_t i = 0; i < limit_count; i++)
        if (strcmp(limits[i].environment, environment) == 0)
            return limits[i].most;
    return 0;
}

static void
check_limits(void)
{
    struct change *changes = calloc(record_count, sizeof(*changes));
    size_t count = 0;
    long live = 0;
    if (changes == NULL)
        abort();
    for (size_t i = 0; i < record_count; i++) {
        const struct record *step = &records[i];
        bool ends = is(step, "lease.released") || is(step, "lease.failed");
        const struct record *row = step->kind == KIND_ACTIVITY ? row_of(step->lease) : NULL;
        if (row == NULL || most_of(row->environment) == 0 || (!ends && !is(step, "lease.acquired")))
            continue;
        /* One that ended before it was acquired had no place. */
        bool had = !ends;
        for (size_t j = i; j > 0 && !had && strcmp(records[j - 1].lease, step->lease) == 0; j--)
            had = records[j - 1].kind == KIND_ACTIVITY && is(&records[j - 1], "lease.acquired");
        if (!had)
            continue;
        struct change *change = &changes[count++];
        *change = (struct change){.time = step->time, .by = ends ? -1 : 1, .record = step};
        snprintf(change->key, sizeof(change->key), "%s %s", row->tenant, row->environment);
    }
    qsort(changes, count, sizeof(*changes), compare_changes);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(changes[i].key, changes[i - 1].key) != 0)
            live = 0;
        live += changes[i].by;
        const struct record *row = row_of(changes[i].record->lease);
        if (changes[i].by > 0 && live > most_of(row->environment))
            broken("over-limit", row->lease, changes[i].record);
    }
    free(changes);
}

int
main(int argc, char **argv)
{
    if (argc != 2 || !read_history(argv[1])) {
        fprintf(stderr, "usage: nemesis-check HISTORY\n");
        return 2;
    }
    qsort(records, record_count, sizeof(*records), compare);
    for (size_t i = 0; i < record_count;) {
        struct part all = {&records[i], 1};
        while (i + all.count < record_count &&
               strcmp(records[i + all.count].lease, records[i].lease) == 0)
            all.count++;
        for (size_t j = 0; j < all.count; j++)
            if (all.first[j].kind == KIND_CLIENT && is(&all.first[j], "stuck"))
                broken("stuck", "-", &all.first[j]);
        if (strcmp(records[i].lease, "-") != 0)
            check_lease(all);
        i += all.count;
    }
    check_limits();
    free(records);
    free(jumps);
    return breaches > 0;
}
