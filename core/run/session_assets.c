/* SPDX-License-Identifier: Apache-2.0 */
#include "run/assets.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "run/far.h"
#include "run/session_private.h"
#include "workspace/asset.h"
#include "workspace/content.h"
#include "workspace/far.h"
#include "workspace/scan.h"

#define ASSETS_FACT "assets"
#define VARIABLE "BILLET_ASSETS"
#define ANSWER_MAX 4096u

/* ---- what is given ------------------------------------------------------------------------ */

static int
invalid(struct billet_error *error, const char *given, const char *why)
{
    char shown[400];
    billet_text_escape(shown, sizeof(shown), given);
    return billet_error_set(error, BILLET_CLASS_CONFIG, "asset_invalid", "asset %s: %s", shown,
                            why);
}

static bool
is_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* Why this cannot be the name of an asset, or NULL. */
static const char *
judge_name(const char *name)
{
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return "its name is empty, '.' or '..': give one after ':'";
    if (strchr(name, '/') != NULL)
        return "a name has no '/'";
    if (strlen(name) > NAME_MAX)
        return "its name is longer than 255 bytes";
    if (!is_printable(name) || !billet_text_is_utf8(name, strlen(name)))
        return "its name has control bytes or is not UTF-8: give another one after ':'";
    return NULL;
}

/* PATH[:NAME]: NAME follows the last colon when there is no '/' after it, and PATH as a whole is
 * not there. */
static void
split(const char *given, char path[PATH_MAX], char name[PATH_MAX])
{
    struct stat status;
    const char *colon = strrchr(given, ':');
    size_t length = strlen(given);
    if (colon != NULL && strchr(colon, '/') == NULL && lstat(given, &status) != 0) {
        length = (size_t)(colon - given);
        snprintf(name, PATH_MAX, "%s", colon + 1);
    } else {
        colon = NULL;
    }
    snprintf(path, PATH_MAX, "%.*s", (int)length, given);
    if (colon != NULL)
        return;
    while (length > 1 && given[length - 1] == '/')
        length--;
    size_t begin = length;
    while (begin > 0 && given[begin - 1] != '/')
        begin--;
    snprintf(name, PATH_MAX, "%.*s", (int)(length - begin), given + begin);
}

static bool
holds(const char *outer, const char *inner)
{
    size_t length = strlen(outer);
    return strncmp(outer, inner, length) == 0 &&
           (inner[length] == '/' || inner[length] == '\0' || strcmp(outer, "/") == 0);
}

/* What billet keeps for itself is not shown to a confined command, nor carried anywhere. */
static bool
shows_own_state(const struct billet_session *session, const char *path)
{
    cleanup_free char *state = realpath(session->context->state_directory, NULL);
    const uint64_t bare = BILLET_CAN_SHARE_FILES | BILLET_CAN_CONFINE;
    if ((session->info->capabilities & bare) == BILLET_CAN_SHARE_FILES || state == NULL)
        return false;
    return holds(path, state) || holds(state, path);
}

static const char *
judge_place(const struct billet_session *session, const char *path, const struct stat *status)
{
    if (!is_printable(path) || !billet_text_is_utf8(path, strlen(path)))
        return "its path has control bytes or is not UTF-8";
    if (!S_ISDIR(status->st_mode) && !S_ISREG(status->st_mode))
        return "it is neither a file nor a directory";
    if (access(path, S_ISDIR(status->st_mode) ? R_OK | X_OK : R_OK) != 0)
        return "it cannot be read by this user";
    if (shows_own_state(session, path))
        return "it holds, or is in, billet's own state directory";
    return NULL;
}

static int
add(struct billet_session *session, const char *given, bool absolute, struct billet_error *error)
{
    struct billet_run_assets *assets = &session->assets;
    char path[PATH_MAX], name[PATH_MAX];
    struct stat status;
    if (assets->count == BILLET_ASSETS_MAX)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "asset_invalid",
                                "more than %d assets are given", BILLET_ASSETS_MAX);
    if (given[0] == '\0' || strlen(given) >= PATH_MAX)
        return invalid(error, given, "a path is 1 to 4095 bytes");
    if (absolute && given[0] != '/')
        return invalid(error, given, "in an environment its path is absolute");
    split(given, path, name);
    const char *why = judge_name(name);
    if (why != NULL)
        return invalid(error, given, why);
    cleanup_free char *real = realpath(path, NULL);
    if (real == NULL || stat(real, &status) != 0)
        return invalid(error, given, strerror(errno));
    why = judge_place(session, real, &status);
    if (why != NULL)
        return invalid(error, given, why);
    for (size_t i = 0; i < assets->count; i++)
        if (strcmp(assets->items[i].name, name) == 0) {
            invalid(error, given, "another asset has the same name");
            return billet_error_hint(error, "give one of them a name after ':'");
        }
    struct billet_run_asset *asset = &assets->items[assets->count];
    *asset = (struct billet_run_asset){.is_file = S_ISREG(status.st_mode)};
    asset->name = strdup(name);
    asset->path = billet_steal(real);
    assets->count++;
    return asset->name != NULL ? 0 : billet_error_no_memory(error);
}

int
billet_session_assets_open(struct billet_session *session, struct billet_error *error)
{
    const struct billet_strings *lists[] = {&session->environment.assets, session->request->assets};
    int result = 0;
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; result == 0 && lists[l] != NULL && i < lists[l]->count; i++)
            result = add(session, lists[l]->items[i], l == 0, error);
    if (result < 0 || session->assets.count == 0 ||
        (session->info->capabilities & BILLET_CAN_ASSETS) != 0)
        return result;
    billet_error_set(error, BILLET_CLASS_CONFIG, "unsupported_environment",
                     "driver %s of environment '%s' cannot give commands assets (%s)",
                     session->info->name, session->environment.name, session->assets.items[0].name);
    return billet_error_hint(error, "billet driver list --features shows which drivers can");
}

/* ---- facts -------------------------------------------------------------------------------- */

int
billet_session_assets_record(const struct billet_session *session, json_t *facts,
                             struct billet_error *error)
{
    const struct billet_run_assets *assets = &session->assets;
    cleanup_json json_t *list = json_array();
    if (assets->count == 0)
        return 0;
    for (size_t i = 0; i < assets->count; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:b}", "name", assets->items[i].name, "path",
                                        assets->items[i].path, "file", assets->items[i].is_file));
    /* What drivers get of facts are strings. */
    cleanup_free char *text = list != NULL ? billet_json_text(list) : NULL;
    if (text == NULL || json_array_size(list) != assets->count ||
        json_object_set_new(facts, ASSETS_FACT, json_string(text)) != 0)
        return billet_error_no_memory(error);
    return 0;
}

int
billet_session_assets_recall(struct billet_session *session, const json_t *facts,
                             struct billet_error *error)
{
    struct billet_run_assets *assets = &session->assets;
    cleanup_json json_t *list = NULL;
    const char *text = billet_json_string(facts, ASSETS_FACT, "");
    billet_run_assets_free(assets);
    if (text[0] == '\0')
        return 0;
    int result = billet_json_parse(text, strlen(text), &list, error);
    for (size_t i = 0; result == 0 && i < json_array_size(list) && i < BILLET_ASSETS_MAX; i++) {
        const json_t *item = json_array_get(list, i);
        struct billet_run_asset *asset = &assets->items[assets->count++];
        *asset = (struct billet_run_asset){.is_file = billet_json_boolean(item, "file", false),
                                           .name = strdup(billet_json_string(item, "name", "")),
                                           .path = strdup(billet_json_string(item, "path", ""))};
        if (asset->name == NULL || asset->path == NULL)
            result = billet_error_no_memory(error);
    }
    return result;
}

/* ---- links, for commands that see this machine's files ------------------------------------- */

bool
billet_session_assets_by_driver(const struct billet_session *session)
{
    const uint64_t shown = BILLET_CAN_SHARE_FILES | BILLET_CAN_CONFINE;
    return session->assets.count > 0 && (session->info->capabilities & shown) == shown;
}

static int
make_links(struct billet_session *session, bool again, struct billet_error *error)
{
    struct billet_run_assets *assets = &session->assets;
    int result = billet_session_make_place(session, error);
    free(assets->directory);
    assets->directory = NULL;
    if (result == 0 && asprintf(&assets->directory, "%s/assets", session->travel.directory) < 0) {
        assets->directory = NULL;
        result = billet_error_no_memory(error);
    }
    if (result < 0 || again)
        return result;
    result = billet_io_make_directories(assets->directory, 0700, error);
    if (result < 0)
        return result;
    cleanup_fd int fd = open(assets->directory, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    for (size_t i = 0; result == 0 && i < assets->count; i++) {
        const struct billet_run_asset *asset = &assets->items[i];
        if (fd < 0 || (unlinkat(fd, asset->name, 0) != 0 && errno != ENOENT) ||
            symlinkat(asset->path, fd, asset->name) != 0)
            result = billet_error_errno(error, 0, "io_failed", errno, "cannot make %s/%s",
                                        assets->directory, asset->name);
    }
    return result;
}

/* ---- carried ------------------------------------------------------------------------------ */

struct content {
    struct billet_root root;
    struct billet_manifest manifest;
    char id[BILLET_ASSET_ID_SIZE];
    char leaf[NAME_MAX + 1]; /* of a file, "" of a directory */
};

static void
free_content(struct content *content)
{
    billet_root_close(&content->root);
    billet_manifest_free(&content->manifest);
}

/* One file, as a tree that holds nothing else. */
static int
look_at_file(const struct billet_run_asset *asset, struct content *content,
             struct billet_error *error)
{
    struct stat status;
    struct billet_entry entry;
    cleanup_free char *directory = strdup(asset->path);
    if (directory == NULL)
        return billet_error_no_memory(error);
    char *slash = strrchr(directory, '/');
    snprintf(content->leaf, sizeof(content->leaf), "%s", slash + 1);
    slash[slash == directory ? 1 : 0] = '\0';
    int result = billet_root_open(&content->root, directory, error);
    if (result < 0)
        return result;
    cleanup_fd int fd = billet_root_openat(&content->root, content->leaf, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0 || fstat(fd, &status) != 0)
        return billet_error_errno(error, 0, "asset_realization_failed", errno, "cannot read %s",
                                  asset->path);
    billet_scan_fill(&entry, &status);
    if (entry.type != BILLET_ENTRY_FILE)
        return invalid(error, asset->path, "it is no file any more");
    if (billet_content_hash(fd, entry.hash) != 0)
        return billet_error_errno(error, 0, "asset_realization_failed", errno, "cannot read %s",
                                  asset->path);
    entry.hashed = true;
    entry.path = content->leaf;
    entry.path_length = (uint32_t)strlen(content->leaf);
    result = billet_manifest_add(&content->manifest, &entry, error);
    billet_manifest_sort(&content->manifest);
    return result;
}

static int
look_at_directory(struct billet_session *session, const struct billet_run_asset *asset,
                  struct content *content, size_t *nameless, struct billet_error *error)
{
    struct billet_filter filter = BILLET_FILTER_INIT;
    const struct billet_strings *exclude = &session->environment.workspace_exclude;
    if (session->environment.workspace_ignored)
        filter.flags = BILLET_FILTER_WITH_IGNORED | BILLET_FILTER_WITH_HEAVY;
    const struct billet_scan scan = {.filter = &filter, .hash = BILLET_HASH_ALL};
    int result = billet_root_open(&content->root, asset->path, error);
    for (size_t i = 0; result == 0 && i < exclude->count; i++)
        result = billet_patterns_add(&filter.exclude, exclude->items[i], strlen(exclude->items[i]),
                                     error);
    if (result == 0)
        result = billet_scan(&content->root, &scan, &content->manifest, nameless, error);
    billet_filter_free(&filter);
    return result;
}

/* What the user might miss there. What cannot be read ends the run: it is not known what it is. */
static int
judge_left_out(struct billet_run_asset *asset, const struct billet_manifest *manifest,
               size_t nameless, struct billet_error *error)
{
    size_t outside = 0;
    const char *first = NULL;
    char shown[200];
    asset->left_out = nameless;
    for (size_t i = 0; i < manifest->count; i++) {
        const struct billet_entry *entry = &manifest->entries[i];
        if (entry->type != BILLET_ENTRY_OTHER)
            continue;
        billet_text_escape(shown, sizeof(shown), entry->path);
        if (entry->reason == BILLET_REASON_UNREADABLE)
            return billet_error_set(error, BILLET_CLASS_AUTH, "asset_realization_failed",
                                    "%s in it cannot be read by this user", shown);
        asset->left_out++;
        if (entry->reason == BILLET_REASON_LINK && outside++ == 0)
            first = entry->path;
    }
    if (outside > 0 || nameless > 0) {
        billet_text_escape(shown, sizeof(shown),
                           first != NULL ? first : "names with control bytes");
        billet_log(BILLET_LOG_WARNING,
                   "asset %s: %zu entries cannot be carried (links that lead out of it, names with "
                   "control bytes), such as %s",
                   asset->name, outside + nameless, shown);
    }
    return 0;
}

static int
look(struct billet_session *session, struct billet_run_asset *asset, struct content *content,
     struct billet_error *error)
{
    size_t nameless = 0;
    content->root = (struct billet_root)BILLET_ROOT_INIT;
    int result = asset->is_file ? look_at_file(asset, content, error)
                                : look_at_directory(session, asset, content, &nameless, error);
    if (result == 0)
        result = judge_left_out(asset, &content->manifest, nameless, error);
    if (result == 0)
        billet_asset_id(&content->manifest, content->id);
    return result;
}

static int
read_answer(void *context, int fd, struct billet_error *error)
{
    return billet_io_read_all(fd, context, ANSWER_MAX, error);
}

/* Which of them are not there: bit i for the asset i. */
static int
find(struct billet_session *session, const struct content *contents, const char *cache,
     const char *place, uint64_t *missing, struct billet_error *error)
{
    const struct billet_run_assets *assets = &session->assets;
    const char *argv[4 + 3 * BILLET_ASSETS_MAX + 1] = {NULL, "asset-find", cache, place};
    cleanup_buffer struct billet_buffer answer = BILLET_BUFFER_INIT;
    for (size_t i = 0; i < assets->count; i++) {
        argv[4 + 3 * i] = contents[i].id;
        argv[5 + 3 * i] = contents[i].leaf;
        argv[6 + 3 * i] = assets->items[i].name;
    }
    *missing = 0;
    int result = billet_far_run(session, argv, NULL, read_answer, &answer, error);
    const char *at = result == 0 ? billet_buffer_text(&answer) : "";
    for (char *end; at != NULL && *at != '\0'; at = end + 1) {
        unsigned long number = strtoul(at, &end, 10);
        if (end == at || *end != '\n' || number >= assets->count)
            return billet_error_set(error, BILLET_CLASS_DRIVER, "asset_realization_failed",
                                    "billet-guest gave an answer that is not understood");
        *missing |= UINT64_C(1) << number;
    }
    return result;
}

struct sending {
    struct billet_far_send send;
    struct billet_copy_result done;
};

static int
write_content(void *context, int fd, struct billet_error *error)
{
    struct sending *sending = context;
    return billet_far_write(&sending->send, fd, &sending->done, error);
}

static int
put(struct billet_session *session, struct billet_run_asset *asset, const struct content *content,
    const char *cache, const char *place, struct billet_error *error)
{
    const struct billet_manifest nothing = {.sorted = true};
    const char *argv[] = {NULL,        "asset-put",   cache,       place,
                          content->id, content->leaf, asset->name, NULL};
    struct sending sending = {.send = {.root = &content->root,
                                       .target = &content->manifest,
                                       .there = &nothing,
                                       .progress = session->request->progress,
                                       .progress_context = session->request->progress_context}};
    int result = billet_far_run(session, argv, write_content, NULL, &sending, error);
    asset->sent = result == 0;
    asset->files = sending.done.files;
    asset->bytes = sending.done.bytes;
    return result;
}

static int
carry(struct billet_session *session, struct content *contents, const char *cache,
      const char *place, struct billet_error *error)
{
    struct billet_run_assets *assets = &session->assets;
    uint64_t missing = 0;
    int result = 0;
    size_t at = 0;
    for (; result == 0 && at < assets->count; at++)
        result = look(session, &assets->items[at], &contents[at], error);
    if (result == 0) {
        at = 0;
        result = find(session, contents, cache, place, &missing, error);
        if (result < 0)
            return result;
    }
    for (; result == 0 && at < assets->count; at++)
        if ((missing & UINT64_C(1) << at) != 0)
            result = put(session, &assets->items[at], &contents[at], cache, place, error);
    if (result < 0)
        billet_error_wrap(error, "asset %s", assets->items[at - 1].name);
    return result;
}

static int
carry_all(struct billet_session *session, bool again, struct billet_error *error)
{
    struct billet_run_assets *assets = &session->assets;
    cleanup_free char *guest = NULL;
    int result = billet_far_guest(session, "assets", "leave out the assets", &guest, error);
    if (result < 0)
        return result;
    cleanup_free char *cache = billet_far_fact(session, "asset_cache");
    cleanup_free char *lease = billet_far_fact(session, "lease_directory");
    if (cache == NULL || lease == NULL)
        return billet_error_no_memory(error);
    free(assets->directory);
    if (asprintf(&assets->directory, "%s/assets", lease) < 0) {
        assets->directory = NULL;
        return billet_error_no_memory(error);
    }
    if (again)
        return 0;
    struct content *contents = calloc(BILLET_ASSETS_MAX, sizeof(*contents));
    if (contents == NULL)
        return billet_error_no_memory(error);
    for (size_t i = 0; i < BILLET_ASSETS_MAX; i++)
        contents[i].root = (struct billet_root)BILLET_ROOT_INIT;
    result = carry(session, contents, cache, assets->directory, error);
    for (size_t i = 0; i < BILLET_ASSETS_MAX; i++)
        free_content(&contents[i]);
    free(contents);
    return result;
}

/* ---- all of them --------------------------------------------------------------------------- */

/* Without a workspace nothing else makes the driver show them. */
static int
ask_driver(struct billet_session *session, struct billet_error *error)
{
    cleanup_buffer struct billet_buffer directory = BILLET_BUFFER_INIT;
    cleanup_json json_t *facts = NULL;
    billet_session_fill_identity(session);
    return session->assets.directory != NULL
               ? 0
               : billet_session_ask_driver(session, BILLET_WORKSPACE_NONE, -1, NULL, &directory,
                                           &facts, error);
}

int
billet_session_assets_bring(struct billet_session *session, bool again, struct billet_error *error)
{
    struct billet_run_assets *assets = &session->assets;
    int result;
    if (assets->count == 0)
        return 0;
    if (billet_session_assets_by_driver(session))
        result = ask_driver(session, error);
    else if ((session->info->capabilities & BILLET_CAN_SHARE_FILES) != 0)
        result = make_links(session, again, error);
    else
        result = carry_all(session, again, error);
    if (result < 0 && strcmp(error->code, "unsupported_environment") == 0)
        return result;
    if (result < 0) {
        billet_error_wrap(error, "cannot bring assets into environment '%s'",
                          session->environment.name);
        return billet_session_step_failed(error, "asset_realization_failed");
    }
    return billet_strings_set(&session->variables, VARIABLE, assets->directory)
               ? 0
               : billet_error_no_memory(error);
}

/* ---- telling ------------------------------------------------------------------------------ */

json_t *
billet_run_assets_json(const struct billet_run_assets *assets)
{
    json_t *list = json_array();
    if (assets->count == 0) {
        json_decref(list);
        return NULL;
    }
    for (size_t i = 0; i < assets->count; i++) {
        const struct billet_run_asset *asset = &assets->items[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:I, s:I, s:I}", "name", asset->name,
                                              "path", asset->path, "sent", asset->sent,
                                              "sent_files", (json_int_t)asset->files, "sent_bytes",
                                              (json_int_t)asset->bytes, "left_out",
                                              (json_int_t)asset->left_out));
    }
    return json_pack("{s:o, s:o}", "directory",
                     billet_json_bytes(assets->directory != NULL ? assets->directory : ""),
                     "entries", list);
}

void
billet_run_assets_free(struct billet_run_assets *assets)
{
    for (size_t i = 0; i < assets->count; i++) {
        free(assets->items[i].name);
        free(assets->items[i].path);
    }
    free(assets->directory);
    *assets = (struct billet_run_assets){0};
}
