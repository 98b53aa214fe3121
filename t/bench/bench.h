/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench.h - what the rows of `make bench` share: how things are measured in turn,
 * and how a result is told. Proves nothing about correctness: that is for t/.
 *
 * Every ratio is of two things measured in the same run, one after the other (A B A B ...), each
 * the median of its samples after a warm-up: the machine's own noise then meets both.
 */
#ifndef BILLET_T_BENCH_BENCH_H
#define BILLET_T_BENCH_BENCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bench {
    const char *billet;  /* the program */
    const char *build;   /* directory of the helpers t/bench/floor, floor-store */
    const char *modules; /* directory of store_*.so */
    const char *scratch; /* private, empty at the start */
    char *store;         /* the database that the runs use */
    int runs;            /* samples of each thing */
    double seconds;      /* how long each rate is measured */
    int files;           /* of the tree in row "ssh" */
    int together;        /* runs at once in row "together" */
    bool json;
    json_t *rows;
    int missed;
};

/* ---- measuring -------------------------------------------------------------- */

/* One thing to run: started, waited for, and judged by its exit status. */
struct bench_command {
    const char *name;
    const char *const *argv; /* argv[0] is a path */
    int wanted;              /* exit status */
    const char *output;      /* where its stdout goes; NULL: /dev/null */
    void (*after)(const struct bench_command *command, void *context); /* after each sample */
    void *context;
    double *samples; /* ms, in order; filled by bench_interleave */
    double median;   /* ms */
};

double bench_now_ms(void);
double bench_median(double *samples, size_t count); /* sorts them */
double bench_quantile(double *sorted, size_t count, double quantile);

/* Start a program with stdin, stderr and stdout as said (-1: /dev/null). Ends the bench on failure:
 * a measurement with a hole in it is none. */
pid_t bench_start(const char *const *argv, int input, int output);
/* How long it takes from the start to the end, in ms; ends the bench when it ends otherwise than
 * wanted. */
double bench_run(const struct bench_command *command);
/* In turn, runs times each, after a tenth of that (at least 3) as warm-up. */
void bench_interleave(const struct bench *bench, struct bench_command *commands, size_t count);
void bench_commands_free(struct bench_command *commands, size_t count);

/* FILES files of 4 KB in DIRECTORY. */
void bench_make_tree(const char *directory, int files);

/* Say what is wrong and end. */
void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- telling ---------------------------------------------------------------- */

enum bench_target {
    BENCH_INFORMATION, /* no target: for comparison */
    BENCH_AT_MOST,     /* value <= target */
    BENCH_AT_LEAST,
};

struct bench_row {
    const char *name;
    const char *unit;    /* of floor and measured: "ms", "/s", "KiB" */
    double floor;        /* < 0: none */
    double measured;     /* billet's */
    double value;        /* what the target is about: a ratio, or a figure */
    const char *measure; /* what value is: "ratio", "p99 ms", ... */
    enum bench_target kind;
    double target;
};
void bench_tell(struct bench *bench, const struct bench_row *row);
/* A row about measured / floor. */
void bench_tell_ratio(struct bench *bench, const char *name, const char *unit, double floor,
                      double measured, enum bench_target kind, double target);
/* The same of the medians of two commands. */
void bench_tell_commands(struct bench *bench, const char *name, const struct bench_command *floor,
                         const struct bench_command *measured, enum bench_target kind,
                         double target);
/* What a command on a held lease is measured beside, and the row that says so. */
struct bench_floor {
    const char *row;
    struct bench_command command;
    double (*more_ms)(void *context); /* done too and told in the same sum, NULL: nothing */
    void *context;
    enum bench_target kind;
    double target;
};
/* A command on a lease of the environment that this process holds, and each of the others, in turn.
 * config: a file, or NULL. */
void bench_warm_exec(struct bench *bench, const char *config, const char *environment,
                     const struct bench_floor *floors, size_t count); /* row_exec.c */
void bench_skip(struct bench *bench, const char *name, const char *why);

/* ---- the rows --------------------------------------------------------------- */

void bench_rows_local(struct bench *bench);     /* row_run.c */
void bench_rows_sandbox(struct bench *bench);   /* row_run.c */
void bench_rows_steps(struct bench *bench);     /* row_run.c */
void bench_rows_peers(struct bench *bench);     /* row_run.c */
void bench_rows_store(struct bench *bench);     /* row_store.c */
void bench_rows_pgsql(struct bench *bench);     /* row_pgsql.c */
void bench_rows_exec(struct bench *bench);      /* row_exec.c */
void bench_rows_secret(struct bench *bench);    /* row_secret.c */
void bench_rows_workspace(struct bench *bench); /* row_workspace.c */
void bench_rows_reap(struct bench *bench);      /* row_reap.c */
void bench_rows_ssh(struct bench *bench);       /* row_ssh.c */
void bench_rows_memory(struct bench *bench);    /* row_process.c */
void bench_rows_together(struct bench *bench);  /* row_process.c */

#endif
