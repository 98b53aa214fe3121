/* SPDX-License-Identifier: Apache-2.0 */
#include "run/beside.h"

#include "base/error.h"

static void *
run_beside(void *argument)
{
    struct billet_beside *beside = argument;
    beside->result = beside->work(beside->context, &beside->error);
    return NULL;
}

void
billet_beside_begin(struct billet_beside *beside, billet_beside_work *work, void *context)
{
    *beside = (struct billet_beside){.work = work, .context = context, .error = BILLET_ERROR_INIT};
    beside->running = pthread_create(&beside->thread, NULL, run_beside, beside) == 0;
    if (!beside->running)
        run_beside(beside);
}

int
billet_beside_end(struct billet_beside *beside, struct billet_error *error)
{
    if (beside->running)
        pthread_join(beside->thread, NULL);
    beside->running = false;
    if (beside->result < 0 && error != NULL)
        *error = beside->error;
    return beside->result;
}
