/* SPDX-License-Identifier: Apache-2.0 */
#include "lease/continuity.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/json.h"
#include "base/strings.h"

#define FILE_MAX 4096
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
/* On the first pass: how far back the newest activity is looked for. */
#define FIRST_LOOK_NS (24 * 3600 * BILLET_NS_PER_SECOND)
#define LOOK_AT 100000

struct remembered {
    const char *boot;
    const char *deployment;
    json_int_t offset_ns;
    json_int_t sequence;
    json_int_t time_ns;
    json_int_t restored_ns;
};

/* What the file says into *remembered, whose strings are object's; false: there is nothing to go
 * by. */
static bool
read_file(const char *path, json_t **object, struct remembered *remembered)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    *object = NULL;
    return billet_io_read_file(path, &text, FILE_MAX, &error) == 0 &&
           billet_json_parse(text.data, text.length, object, &error) == 0 &&
           json_unpack(*object, "{s:s, s:s, s:I, s:I, s:I, s:I}", "boot", &remembered->boot,
                       "deployment", &remembered->deployment, "offset_ns", &remembered->offset_ns,
                       "sequence", &remembered->sequence, "time_ns", &remembered->time_ns,
                       "restored_ns", &remembered->restored_ns) == 0;
}

static void
read_boot(char boot[64])
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    boot[0] = '\0';
    if (billet_io_read_file(BOOT_ID, &text, 256, &error) == 0)
        snprintf(boot, 64, "%.*s", (int)strcspn(text.data, "\n"), text.data);
}

struct newest {
    int64_t count;
    int64_t sequence;
    int64_t time_ns;
};

static int
note_newest(const struct billet_activity *row, void *context)
{
    struct newest *newest = context;
    newest->count++;
    newest->sequence = row->sequence;
    newest->time_ns = row->time_ns;
    return 0;
}

/* The newest row after that one. */
static int
find_newest(struct billet_store *store, int64_t after, int64_t since_ns, struct newest *newest,
            struct billet_error *error)
{
    int result = 0;
    *newest = (struct newest){.sequence = after};
    do {
        const struct billet_activity_filter filter = {
            .after_sequence = newest->sequence, .since_ns = since_ns, .limit = LOOK_AT};
        newest->count = 0;
        result = billet_store_of(store)->activity_list(store, &filter, note_newest, newest, error);
    } while (result == 0 && newest->count == LOOK_AT);
    return result;
}

/* Whether the row that was the newest is there as it was. */
static int
is_kept(struct billet_store *store, const struct remembered *remembered, bool *kept,
        struct billet_error *error)
{
    struct newest found = {0};
    const struct billet_activity_filter filter = {.after_sequence = remembered->sequence - 1,
                                                  .limit = 1};
    *kept = true;
    if (remembered->sequence <= 0)
        return 0;
    int result = billet_store_of(store)->activity_list(store, &filter, note_newest, &found, error);
    *kept = found.sequence == remembered->sequence && found.time_ns == remembered->time_ns;
    return result;
}

/* What is found of the clock, when the file is of this boot. */
static void
judge_clock(struct billet_continuity *now, const struct remembered *before)
{
    char jump[64];
    now->jump_ns = now->offset_ns - before->offset_ns;
    int64_t size = now->jump_ns < 0 ? -now->jump_ns : now->jump_ns;
    if (size < BILLET_CONTINUITY_JUMP_NS) {
        now->jump_ns = 0;
        now->state = BILLET_CONTINUITY_SAME;
        return;
    }
    now->state = now->jump_ns > 0 ? BILLET_CONTINUITY_FORWARD : BILLET_CONTINUITY_BACK;
    billet_duration_format(jump, sizeof(jump), size / BILLET_NS_PER_SECOND * BILLET_NS_PER_SECOND);
    snprintf(now->text, sizeof(now->text), "the store's clock jumped %s by %s since the last pass",
             now->jump_ns > 0 ? "ahead" : "back", jump);
}

int
billet_continuity_look(const char *path, struct billet_store *store,
                       struct billet_continuity *continuity, struct billet_error *error)
{
    cleanup_json json_t *object = NULL;
    struct remembered before = {0};
    struct newest newest = {0};
    int64_t now = 0;
    bool kept = true;
    *continuity = (struct billet_continuity){.state = BILLET_CONTINUITY_NEW};
    read_boot(continuity->boot);
    int result = billet_store_of(store)->deployment(store, continuity->deployment, error);
    if (result == 0)
        result = billet_store_of(store)->now(store, &now, error);
    continuity->offset_ns = now - billet_clock_boottime();
    bool known = result == 0 && read_file(path, &object, &before) &&
                 strcmp(before.deployment, continuity->deployment) == 0;
    if (known)
        result = is_kept(store, &before, &kept, error);
    if (result < 0)
        return result;
    if (known && !kept) {
        continuity->state = BILLET_CONTINUITY_RESTORED;
        snprintf(continuity->text, sizeof(continuity->text),
                 "the store lacks what had happened at the last pass: it is an older copy");
    } else if (known && strcmp(before.boot, continuity->boot) == 0) {
        judge_clock(continuity, &before);
    }
    if (continuity->state == BILLET_CONTINUITY_RESTORED)
        continuity->restored_ns = now;
    else if (known && before.restored_ns > 0 &&
             now - before.restored_ns < BILLET_CONTINUITY_GRACE_NS)
        continuity->restored_ns = before.restored_ns;
    bool goes_on = known && kept && before.sequence > 0;
    result = find_newest(store, goes_on ? before.sequence : 0, goes_on ? 0 : now - FIRST_LOOK_NS,
                         &newest, error);
    continuity->sequence = newest.sequence;
    continuity->time_ns =
        newest.time_ns != 0 || !goes_on ? newest.time_ns : (int64_t)before.time_ns;
    return result;
}

/* ---- more time -------------------------------------------------------------------- */

struct expiry {
    char id[40];
    int64_t ttl_ns;
};

struct expiries {
    struct expiry *items;
    size_t count;
    size_t capacity;
    int64_t now_ns;
    int64_t jump_ns;
    struct billet_error *error;
};

static int
collect(const struct billet_lease *lease, void *context)
{
    struct expiries *list = context;
    if (lease->state == BILLET_LEASE_RELEASING)
        return 0;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 16;
        struct expiry *items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL)
            return billet_error_no_memory(list->error);
        list->items = items;
        list->capacity = capacity;
    }
    /* What had expired before the jump stays expired. */
    int64_t left = lease->expires_ns - (list->now_ns - list->jump_ns);
    if (left <= 0)
        return 0;
    struct expiry *item = &list->items[list->count++];
    snprintf(item->id, sizeof(item->id), "%s", lease->id);
    item->ttl_ns = left;
    return 0;
}

int
billet_continuity_extend(struct billet_store *store, struct billet_continuity *continuity,
                         struct billet_error *error)
{
    const struct billet_lease_filter filter = {.live_only = true, .limit = INT64_MAX};
    struct expiries list = {.jump_ns = continuity->jump_ns, .error = error};
    if (continuity->state != BILLET_CONTINUITY_FORWARD)
        return 0;
    int result = billet_store_of(store)->now(store, &list.now_ns, error);
    if (result == 0)
        result = billet_store_of(store)->lease_list(store, &filter, collect, &list, error);
    for (size_t i = 0; result == 0 && i < list.count; i++) {
        result = billet_store_of(store)->lease_renew(store, list.items[i].id, 0, NULL,
                                                     list.items[i].ttl_ns, error);
        /* It ended meanwhile. */
        if (result == -BILLET_CLASS_LOST) {
            billet_error_clear(error);
            result = 0;
        } else if (result == 0) {
            continuity->extended++;
        }
    }
    free(list.items);
    return result;
}

int
billet_continuity_save(const char *path, const struct billet_continuity *continuity,
                       struct billet_error *error)
{
    cleanup_json json_t *object = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I}", "boot", continuity->boot, "deployment",
        continuity->deployment, "offset_ns", (json_int_t)continuity->offset_ns, "sequence",
        (json_int_t)continuity->sequence, "time_ns", (json_int_t)continuity->time_ns, "restored_ns",
        (json_int_t)continuity->restored_ns);
    cleanup_free char *text = object != NULL ? billet_json_text(object) : NULL;
    if (text == NULL)
        return billet_error_no_memory(error);
    return billet_io_replace_file(path, text, strlen(text), 0600, error);
}
