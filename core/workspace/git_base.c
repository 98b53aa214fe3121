/* SPDX-License-Identifier: Apache-2.0 */
/*
 * git_base.c - what both sides had in common at the last exchange, kept for a later process: HEAD,
 * branches and index as a file of fields, each ended by NUL.
 */
#include "workspace/git_private.h"

#define MAGIC "billet git base 1"
#define BASE_MAX (512u << 20)

static void
put_field(struct billet_buffer *to, const char *text)
{
    billet_buffer_append(to, text, strlen(text) + 1);
}

int
billet_git_keep(const struct billet_git *git, const char *path, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    const struct billet_git_far_state *base = git->base;
    put_field(&text, MAGIC);
    put_field(&text, base->head.ref);
    put_field(&text, base->head.oid);
    for (size_t i = 0; i < base->branches.count; i++) {
        put_field(&text, base->branches.items[i].name);
        put_field(&text, base->branches.items[i].oid);
    }
    put_field(&text, "");
    for (size_t i = 0; i < base->index.count; i++)
        billet_git_index_line(&text, &base->index.entries[i]);
    return text.failed ? billet_error_no_memory(error)
                       : billet_io_replace_file(path, text.data, text.length, 0600, error);
}

/* The next field, or NULL. */
static const char *
get_field(const struct billet_buffer *from, size_t *at)
{
    size_t left = from->length - *at;
    size_t length = left > 0 ? strnlen(from->data + *at, left) : 0;
    if (left == 0 || length == left)
        return NULL;
    const char *field = from->data + *at;
    *at += length + 1;
    return field;
}

static int
damaged(struct billet_error *error)
{
    return billet_error_set(error, BILLET_CLASS_AUTH, "workspace_journal",
                            "what was kept of the repository's last exchange is damaged");
}

static int
decode(const struct billet_buffer *text, struct billet_git_far_state *state,
       struct billet_error *error)
{
    cleanup_buffer struct billet_buffer list = BILLET_BUFFER_INIT;
    size_t at = 0;
    const char *magic = get_field(text, &at);
    const char *ref = get_field(text, &at);
    const char *oid = get_field(text, &at);
    if (magic == NULL || strcmp(magic, MAGIC) != 0 || ref == NULL || oid == NULL ||
        (ref[0] != '\0' && !billet_git_is_ref_name(ref)) ||
        (oid[0] != '\0' && !billet_git_is_oid(oid, strlen(oid))))
        return damaged(error);
    snprintf(state->head.ref, sizeof(state->head.ref), "%s", ref);
    snprintf(state->head.oid, sizeof(state->head.oid), "%s", oid);
    for (;;) {
        const char *name = get_field(text, &at);
        if (name == NULL)
            return damaged(error);
        if (name[0] == '\0')
            break;
        oid = get_field(text, &at);
        if (oid == NULL || !billet_git_is_oid(oid, strlen(oid)) || !billet_git_is_ref_name(name))
            return damaged(error);
        int result = billet_git_refs_add(&state->branches, name, oid, strlen(oid), error);
        if (result < 0)
            return result;
    }
    billet_git_refs_sort(&state->branches);
    billet_buffer_append(&list, text->data + at, text->length - at);
    if (list.failed)
        return billet_error_no_memory(error);
    return billet_git_index_parse(&list, false, &state->index, error);
}

int
billet_git_recall(struct billet_git *git, const char *path, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    struct billet_git_far_state state = {0};
    int result = billet_io_read_file(path, &text, BASE_MAX, error);
    if (result == 0)
        result = decode(&text, &state, error);
    if (result < 0) {
        billet_git_far_state_free(&state);
        return result;
    }
    billet_git_far_state_free(&git->other);
    git->other = state;
    git->base = &git->other;
    return 0;
}

void
billet_git_renew(struct billet_git *git)
{
    if (git->seen.head.ref[0] == '\0' && git->seen.head.oid[0] == '\0')
        return;
    billet_git_far_state_free(&git->other);
    git->other = git->seen;
    git->seen = (struct billet_git_far_state){0};
    git->base = &git->other;
}

/* A branch of theirs that is new or elsewhere. */
static bool
has_moved(const struct billet_git_far_state *base, const struct billet_git_far_state *now)
{
    if (strcmp(base->head.ref, now->head.ref) != 0 || strcmp(base->head.oid, now->head.oid) != 0)
        return true;
    for (size_t i = 0; i < now->branches.count; i++) {
        const struct billet_git_ref *ref =
            billet_git_refs_find(&base->branches, now->branches.items[i].name);
        if (ref == NULL || strcmp(ref->oid, now->branches.items[i].oid) != 0)
            return true;
    }
    return false;
}

int
billet_git_is_unmoved(const struct billet_git *git, const struct billet_git_far *far,
                      struct billet_error *error)
{
    cleanup_buffer struct billet_buffer was = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer is = BILLET_BUFFER_INIT;
    struct billet_git_far_state now = {0};
    int result = billet_git_far_report(far, &now, error);
    bool moved = result == BILLET_GIT_FAR_NO_GIT || (result == 0 && has_moved(git->base, &now));
    if (result == 0 && !moved)
        result = billet_git_index_differ(&git->base->index, &now.index, &was, &is, error);
    billet_git_far_state_free(&now);
    if (result < 0)
        return result;
    return !moved && was.length == 0 && is.length == 0;
}
