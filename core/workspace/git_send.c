/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/git_private.h"

void
billet_git_put_oid(struct billet_buffer *to, const char *prefix, const char *oid)
{
    billet_buffer_add(to, prefix);
    billet_buffer_add(to, oid);
    billet_buffer_add_char(to, '\n');
}

int
billet_git_look_up(const struct billet_git *git, const struct billet_buffer *oids,
                   struct billet_buffer *found, struct billet_error *error)
{
    const char *const argv[] = {"cat-file", "--batch-check=%(objectname) %(objecttype)", "--buffer",
                                NULL};
    struct billet_git_command command = {.argv = argv,
                                         .input = oids->data,
                                         .input_length = oids->length,
                                         .output = found,
                                         .output_max = oids->length * 2 + 4096};
    return oids->length > 0 ? billet_git_run(&git->program, &command, NULL, error) : 0;
}

bool
billet_git_next_found(const char **at, char oid[BILLET_GIT_OID_SIZE], char type[16])
{
    if (*at == NULL || sscanf(*at, "%64s %15s", oid, type) != 2)
        return false;
    const char *end = strchr(*at, '\n');
    *at = end != NULL ? end + 1 : NULL;
    return true;
}

int
billet_git_put_known(const struct billet_git *git, const struct billet_git_refs *known,
                     struct billet_buffer *revisions, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer oids = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer found = BILLET_BUFFER_INIT;
    char oid[BILLET_GIT_OID_SIZE];
    char type[16];
    for (size_t i = 0; i < known->count; i++)
        billet_git_put_oid(&oids, "", known->items[i].oid);
    int result = billet_git_look_up(git, &oids, &found, error);
    const char *at = billet_buffer_text(&found);
    while (result == 0 && billet_git_next_found(&at, oid, type))
        if (strcmp(type, "commit") == 0 || strcmp(type, "tag") == 0)
            billet_git_put_oid(revisions, "^", oid);
    return result;
}

/* Blobs that are in the index and not in the tree of HEAD. */
static int
put_staged(const struct billet_git *git, struct billet_buffer *revisions,
           struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    const char *const argv[] = {
        "diff-index", "--cached",         "--raw", "--no-abbrev", "--no-renames",
        "-z",         git->here.head.oid, NULL};
    struct billet_git_command command = {.argv = argv, .output = &text};
    int result = 0;
    if (git->here.head.oid[0] != '\0')
        result = billet_git_run(&git->program, &command, NULL, error);
    if (result < 0)
        return result;
    struct billet_manifest differing = BILLET_MANIFEST_INIT;
    for (size_t at = 0; result == 0 && at < text.length;) {
        at += strlen(text.data + at) + 1; /* the record before the path */
        if (at >= text.length)
            break;
        struct billet_entry entry = {.path = text.data + at, .type = BILLET_ENTRY_FILE};
        entry.path_length = (uint32_t)strlen(entry.path);
        result = billet_manifest_add(&differing, &entry, error);
        at += entry.path_length + 1;
    }
    billet_manifest_sort(&differing);
    for (size_t i = 0; result == 0 && i < git->here.index.count; i++) {
        const struct billet_git_entry *entry = &git->here.index.entries[i];
        if (entry->mode != BILLET_GIT_MODE_LINKED && (entry->flags & BILLET_GIT_INTENT) == 0 &&
            (git->here.head.oid[0] == '\0' || entry->stage > 0 ||
             billet_manifest_find(&differing, entry->path, strlen(entry->path)) != NULL))
            billet_git_put_oid(revisions, "", entry->oid);
    }
    billet_manifest_free(&differing);
    return result;
}

/* It is tracked and here, and did not travel: it must not look deleted there. */
static bool
stays_here(const struct billet_git *git, const struct billet_manifest *manifest,
           const struct billet_git_entry *entry)
{
    struct stat status;
    if ((entry->flags & BILLET_GIT_SKIP) != 0)
        return true;
    if (manifest == NULL || entry->mode == BILLET_GIT_MODE_LINKED)
        return false;
    const struct billet_entry *sent =
        billet_manifest_find(manifest, entry->path, strlen(entry->path));
    return (sent == NULL || sent->type == BILLET_ENTRY_OTHER) &&
           billet_root_stat(git->options.root, entry->path, &status) == 0 &&
           !S_ISDIR(status.st_mode);
}

#define PARTS 8
static const char *const part_names[PARTS] = {"config", "shallow", "gone", "refs",
                                              "index",  "intent",  "skip", "valid"};

static void
fill_config(const struct billet_git *git, struct billet_buffer *to)
{
    static const char own[] = "[core]\n\trepositoryformatversion = %d\n\tbare = false\n"
                              "\tlogallrefupdates = true\n%s";
    billet_buffer_format(to, own, git->config.sha256 ? 1 : 0,
                         git->config.sha256 ? "[extensions]\n\tobjectformat = sha256\n" : "");
    billet_buffer_add(to, billet_buffer_text(&git->config.text));
}

static void
fill_parts(const struct billet_git *git, const struct billet_manifest *manifest,
           const struct billet_git_refs *known, struct billet_buffer parts[PARTS])
{
    fill_config(git, &parts[0]);
    billet_buffer_append(&parts[1], git->shallow.data, git->shallow.length);
    for (size_t i = 0; i < known->count; i++) {
        const char *name = known->items[i].name;
        const char *leaf = strrchr(name, '/');
        if (billet_git_refs_find(&git->here.branches, name) == NULL && strcmp(leaf, "/HEAD") != 0 &&
            (billet_text_starts(name, "refs/heads/") || billet_text_starts(name, "refs/tags/") ||
             billet_text_starts(name, "refs/remotes/")))
            billet_buffer_format(&parts[2], "delete %s\n", name);
    }
    for (size_t i = 0; i < git->here.branches.count; i++)
        billet_buffer_format(&parts[3], "update %s %s\n", git->here.branches.items[i].name,
                             git->here.branches.items[i].oid);
    for (size_t i = 0; i < git->here.index.count; i++) {
        const struct billet_git_entry *entry = &git->here.index.entries[i];
        size_t size = strlen(entry->path) + 1;
        if ((entry->flags & BILLET_GIT_INTENT) != 0) {
            billet_buffer_append(&parts[5], entry->path, size);
            continue;
        }
        billet_git_index_line(&parts[4], entry);
        if (entry->stage == 0 && stays_here(git, manifest, entry))
            billet_buffer_append(&parts[6], entry->path, size);
        if (entry->stage == 0 && (entry->flags & BILLET_GIT_VALID) != 0)
            billet_buffer_append(&parts[7], entry->path, size);
    }
}

/* One tree with the parts as blobs; what is empty is left out, but the index. */
static int
write_tree(const struct billet_git *git, struct billet_buffer parts[PARTS],
           struct billet_git_delivery *delivery, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer names = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer oids = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer lines = BILLET_BUFFER_INIT;
    cleanup_buffer struct billet_buffer present = BILLET_BUFFER_INIT;
    int result = 0;
    for (size_t i = 0; i < PARTS && result == 0; i++) {
        char name[32];
        if (parts[i].failed)
            return billet_error_no_memory(error);
        if (parts[i].length == 0 && strcmp(part_names[i], "index") != 0)
            continue;
        snprintf(name, sizeof(name), "part-%s", part_names[i]);
        cleanup_fd int fd = openat(git->program.directory_fd, name,
                                   O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
            return billet_error_errno(error, 0, "io_failed", errno, "git quarantine");
        result = billet_io_write_all(fd, parts[i].data, parts[i].length, error);
        billet_buffer_format(&names, "%s/%s\n", git->program.directory, name);
    }
    const char *const hash[] = {"hash-object", "-w", "--no-filters", "--stdin-paths", NULL};
    struct billet_git_command command = {
        .argv = hash, .input = names.data, .input_length = names.length, .output = &oids};
    if (result == 0)
        result = billet_git_run(&git->program, &command, NULL, error);
    const char *at = billet_buffer_text(&oids);
    billet_buffer_add_char(&present, ' ');
    for (size_t i = 0; i < PARTS && result == 0; i++) {
        if (parts[i].length == 0 && strcmp(part_names[i], "index") != 0)
            continue;
        int size = (int)strcspn(at, "\n");
        billet_buffer_format(&lines, "100644 blob %.*s\t%s\n", size, at, part_names[i]);
        if (strcmp(part_names[i], "index") == 0)
            snprintf(delivery->index, sizeof(delivery->index), "%.*s", size, at);
        billet_buffer_format(&present, "%s ", part_names[i]);
        at += size + (at[size] == '\n');
    }
    snprintf(delivery->parts, sizeof(delivery->parts), "%s", billet_buffer_text(&present));
    const char *const make[] = {"mktree", NULL};
    command = (struct billet_git_command){
        .argv = make, .input = lines.data, .input_length = lines.length};
    if (result == 0)
        result = billet_git_ask_word(&git->program, &command, delivery->tree,
                                     sizeof(delivery->tree), NULL, error);
    delivery->head = git->here.head.ref[0] != '\0' ? git->here.head.ref : git->here.head.oid;
    delivery->sha256 = git->config.sha256;
    return result;
}

static int
stream_pack(const struct billet_git *git, const struct billet_git_far *far,
            const struct billet_buffer *revisions, const struct billet_git_delivery *delivery,
            struct billet_error *error)
{
    struct billet_git_process process = BILLET_GIT_PROCESS_INIT;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return billet_error_errno(error, 0, "io_failed", errno, "pack for the environment");
    const char *const argv[] = {"pack-objects",        "--revs", "--thin", "--stdout",
                                "--delta-base-offset", "-q",     NULL};
    struct billet_git_command command = {.argv = argv,
                                         .input = revisions->data,
                                         .input_length = revisions->length,
                                         .out_fd = ends[1]};
    int result = billet_git_start(&git->program, &command, &process, error);
    billet_close(&ends[1]);
    struct billet_error far_error = BILLET_ERROR_INIT;
    int there = 0;
    if (result == 0)
        there = billet_git_far_deliver(far, ends[0], delivery, &far_error);
    billet_close(&ends[0]);
    if (result < 0)
        return result;
    /* When the pack could not be made, that is why the far side failed. */
    int status = 0;
    result = billet_git_finish(&process, there < 0 ? &status : NULL, error);
    if (result == 0 && there < 0) {
        if (error != NULL)
            *error = far_error;
        return there;
    }
    return result;
}

static int
count_objects(const struct billet_git *git, const struct billet_buffer *revisions, uint64_t *count,
              struct billet_error *error)
{
    char word[32];
    const char *const argv[] = {"rev-list", "--objects", "--count", "--stdin", NULL};
    struct billet_git_command command = {
        .argv = argv, .input = revisions->data, .input_length = revisions->length};
    int result = billet_git_ask_word(&git->program, &command, word, sizeof(word), NULL, error);
    if (result == 0)
        *count = strtoull(word, NULL, 10);
    return result;
}

int
billet_git_send(struct billet_git *git, const struct billet_git_far *far,
                const struct billet_manifest *manifest, uint64_t *sent_objects,
                struct billet_error *error)
{
    struct billet_git_refs known = {0};
    struct billet_buffer parts[PARTS] = {{0}};
    cleanup_buffer struct billet_buffer revisions = BILLET_BUFFER_INIT;
    struct billet_git_delivery delivery = {.head = NULL};
    int result = billet_git_far_ask(far, &known, error);
    if (result == 0) {
        fill_parts(git, manifest, &known, parts);
        result = write_tree(git, parts, &delivery, error);
    }
    if (result == 0) {
        for (size_t i = 0; i < git->here.branches.count; i++)
            billet_git_put_oid(&revisions, "", git->here.branches.items[i].oid);
        if (git->here.head.oid[0] != '\0')
            billet_git_put_oid(&revisions, "", git->here.head.oid);
        billet_git_put_oid(&revisions, "", delivery.tree);
        result = put_staged(git, &revisions, error);
    }
    if (result == 0)
        result = billet_git_put_known(git, &known, &revisions, error);
    if (result == 0 && revisions.failed)
        result = billet_error_no_memory(error);
    if (result == 0 && sent_objects != NULL)
        result = count_objects(git, &revisions, sent_objects, error);
    if (result == 0)
        result = stream_pack(git, far, &revisions, &delivery, error);
    for (size_t i = 0; i < PARTS; i++)
        billet_buffer_free(&parts[i]);
    billet_git_refs_free(&known);
    if (result == BILLET_GIT_FAR_NO_GIT)
        return 0;
    if (result == 0)
        git->base = &git->here;
    return result < 0 ? result : 1;
}

int
billet_git_cover(struct billet_git *git, const struct billet_git_far *far,
                 struct billet_error *error)
{
    cleanup_buffer struct billet_buffer config = BILLET_BUFFER_INIT;
    fill_config(git, &config);
    return config.failed ? billet_error_no_memory(error)
                         : billet_git_far_configure(far, &config, error);
}
