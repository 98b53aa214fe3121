/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row_store.h - how many leases a second a store takes, whatever the engine.
 */
#ifndef BILLET_T_BENCH_ROW_STORE_H
#define BILLET_T_BENCH_ROW_STORE_H

#include "bench.h"

#define BENCH_LATENCIES 8192 /* kept of each process and measurement */

/* Pairs of acquire and release a second, in so many processes (at most 32) for bench->seconds,
 * after warm_seconds of the same. latencies has room for BENCH_LATENCIES more of each process;
 * *count grows. */
double bench_lease_rate(const struct bench *bench, const char *url, int processes,
                        double warm_seconds, double *latencies, size_t *count);
/* The same by the bare statements on a SQLite database, in one process. */
double bench_bare_rate(const struct bench *bench, const char *path);
/* A SQLite store that the module made; its path. */
void bench_make_database(const struct bench *bench, const char *name, char *path, size_t size);
/* Two rows: the rate beside its floor, and the 99th percentile of the latencies, which are sorted;
 * p99_ms: what it may be, 0: told only. */
void bench_tell_rate(struct bench *bench, const char *name, int processes, double floor,
                     double rate, double *latencies, size_t count, double p99_ms);

#endif
