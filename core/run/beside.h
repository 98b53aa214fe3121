/* SPDX-License-Identifier: Apache-2.0 */
/*
 * beside.h - a piece of work that a session does in a thread beside what it does anyway. Owns the
 * thread and the result; what the work touches is nobody else's until its end was awaited.
 */
#ifndef BILLET_RUN_BESIDE_H
#define BILLET_RUN_BESIDE_H

#include <billet/types.h>
#include <pthread.h>
#include <stdbool.h>

typedef int billet_beside_work(void *context, struct billet_error *error);

struct billet_beside {
    billet_beside_work *work; /* NULL: none was begun */
    void *context;
    struct billet_error error;
    int result;
    pthread_t thread;
    bool running;
};

/* Where no thread can be started the work is done at once. All zero before the first time, and
 * awaited before the next. */
void billet_beside_begin(struct billet_beside *beside, billet_beside_work *work, void *context);
/* Its result, as often as it is asked for; 0 when none was begun. error may be NULL. */
int billet_beside_end(struct billet_beside *beside, struct billet_error *error);

#endif
