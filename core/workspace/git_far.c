/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/git_far.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

#define REPORT_MAX (UINT64_C(512) << 20)
#define ASK_MAX (UINT64_C(32) << 20)

/* The repository is always named, so that neither its owner nor variables of the environment
 * matter; what could run something on its own is off, as far as settings can do that. */
#define GIT_FUNCTION                                                                          \
    "unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_NAMESPACE\n"         \
    "export GIT_TERMINAL_PROMPT=0 GIT_OPTIONAL_LOCKS=0 LC_ALL=C\n"                            \
    "w=$1 d=$1/.git\n"                                                                        \
    "cd \"$w\" || exit 1\n"                                                                   \
    "command -v git >/dev/null 2>&1 || exit 127\n"                                            \
    "g() { git --git-dir=\"$d\" --work-tree=\"$w\" -c core.hooksPath=/dev/null"               \
    " -c core.fsmonitor=false -c core.quotePath=false -c gc.auto=0 -c maintenance.auto=false" \
    " -c index.sparse=false -c protocol.allow=never \"$@\"; }\n"

static const char ask_script[] =
    GIT_FUNCTION "test -d \"$d\" || exit 0\n"
                 "g for-each-ref --format='%(objectname) %(refname)'\n";

/* Left alone where it is the same already, so that a second run finds its stat data. */
static const char deliver_script[] = GIT_FUNCTION
    "t=$2 head=$3 format=$4 parts=$5 index=$6\n"
    "set -e\n"
    "part() { g cat-file blob \"$t:$1\"; }\n"
    "has() { case $parts in *\" $1 \"*) return 0 ;; esac; return 1; }\n"
    "place() { part \"$1\" >\"$d/$1.billet\"; mv -f \"$d/$1.billet\" \"$d/$1\"; }\n"
    "if test -L \"$d\" || test ! -d \"$d\"; then rm -rf \"$d\"; fi\n"
    "rm -rf \"$d/hooks\" \"$d/info\" \"$d/objects/info/alternates\" \"$d/config.worktree\"\n"
    "test -d \"$d/objects\" || git init -q --template= $format \"$w\"\n"
    "rm -f \"$d/index.lock\"\n"
    "g index-pack --stdin --fix-thin >/dev/null\n"
    "place config\n"
    "if has shallow; then place shallow; else rm -f \"$d/shallow\"; fi\n"
    "if has gone; then part gone | g update-ref --stdin; fi\n"
    "if has refs; then part refs | g update-ref --stdin; fi\n"
    "case $head in\n"
    "refs/*) g symbolic-ref HEAD \"$head\" ;;\n"
    "*) g update-ref --no-deref HEAD \"$head\" ;;\n"
    "esac\n"
    "rm -f \"$d/MERGE_HEAD\" \"$d/MERGE_MSG\" \"$d/CHERRY_PICK_HEAD\" \"$d/REVERT_HEAD\"\n"
    "rm -rf \"$d/rebase-merge\" \"$d/rebase-apply\"\n"
    "if test ! -f \"$d/index\" ||"
    " test \"$(g ls-files -s -z | g hash-object --stdin)\" != \"$index\"\n"
    "then\n"
    "rm -f \"$d/index\"\n"
    "if has index; then part index | g update-index -z --index-info; fi\n"
    "fi\n"
    "if has intent; then part intent | g add -f -N --pathspec-from-file=- --pathspec-file-nul; fi\n"
    "g update-index -q --really-refresh >/dev/null || :\n"
    "if has skip; then part skip | g update-index -z --skip-worktree --stdin; fi\n"
    "if has valid; then part valid | g update-index -z --assume-unchanged --stdin; fi\n";

static const char configure_script[] =
    "set -e\n"
    "d=$1/.git\n"
    "test -d \"$d\" || exit 0\n" /* a linked work tree: its settings are elsewhere, unseen */
    "cat >\"$d/config.billet\"\n"
    "mv -f \"$d/config.billet\" \"$d/config\"\n"
    "rm -f \"$d/config.worktree\"\n";

static const char report_script[] =
    GIT_FUNCTION "test -d \"$d\" || test -f \"$d\" || exit 127\n"
                 "g symbolic-ref -q HEAD || echo\n"
                 "g rev-parse -q --verify HEAD || echo\n"
                 "g for-each-ref --format='%(objectname) %(refname)' refs/heads\n"
                 "echo\n"
                 "g ls-files --stage -z\n";

/* What is not to come may be gone there. */
static const char pack_script[] =
    GIT_FUNCTION "r=$(cat)\n"
                 "{ printf '%s\\n' \"$r\" | sed '/^^/d'\n"
                 "printf '%s\\n' \"$r\" | sed -n 's/^^//p' | g cat-file --batch-check |"
                 " sed -n '/ missing$/!s/^\\([0-9a-f]*\\) .*/^\\1/p'; } |\n"
                 "g pack-objects --revs --thin --stdout --delta-base-offset -q\n";

/* Reads one pipe to its end while the command runs. */
struct reader {
    int fd;
    size_t limit;
    struct billet_buffer *to;
    bool over;
};

static void *
read_all(void *argument)
{
    struct reader *reader = argument;
    char bytes[65536];
    for (;;) {
        ssize_t got = read(reader->fd, bytes, sizeof(bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        if (reader->to->length + (size_t)got > reader->limit) {
            reader->over = true;
            break;
        }
        billet_buffer_append(reader->to, bytes, (size_t)got);
    }
    billet_close(&reader->fd); /* a writer that goes on gets EPIPE */
    return NULL;
}

/* fds[1] and fds[2] are made here where they are -1 and a buffer is given. */
struct far_command {
    const char *script;
    const char *parameters[6];
    int in_fd;
    int out_fd;
    struct billet_buffer *output;
    size_t limit;
};

static int
run_script(const struct billet_git_far *far, const struct far_command *command, int *status,
           struct billet_error *error)
{
    cleanup_buffer struct billet_buffer complaint = BILLET_BUFFER_INIT;
    struct reader readers[2] = {{-1, command->limit, command->output, false},
                                {-1, 4096, &complaint, false}};
    pthread_t threads[2];
    bool running[2] = {false, false};
    int fds[3] = {command->in_fd, command->out_fd, -1};
    int made[2] = {-1, -1};
    int result = 0;
    const char *argv[12] = {"sh", "-c", command->script, "billet-git", far->directory};
    for (size_t i = 0; i < 6 && command->parameters[i] != NULL; i++)
        argv[5 + i] = command->parameters[i];
    for (int i = 0; i < 2 && result == 0; i++) {
        int ends[2];
        if (readers[i].to == NULL)
            continue;
        if (pipe2(ends, O_CLOEXEC) != 0) {
            result = billet_error_errno(error, 0, "io_failed", errno, "git in the environment");
            break;
        }
        readers[i].fd = ends[0];
        made[i] = fds[i + 1] = ends[1];
        running[i] = pthread_create(&threads[i], NULL, read_all, &readers[i]) == 0;
        if (!running[i]) {
            billet_close(&readers[i].fd);
            result = billet_error_no_memory(error);
        }
    }
    if (result == 0)
        result = far->exec(far->context, argv, fds, status, error);
    for (int i = 0; i < 2; i++) {
        billet_close(&made[i]);
        if (running[i])
            pthread_join(threads[i], NULL);
    }
    if (result < 0)
        return result;
    if (readers[0].over)
        return billet_error_set(error, BILLET_CLASS_CAPACITY, "git_refused",
                                "git in the environment says more than %zu bytes", command->limit);
    if ((command->output != NULL && command->output->failed) || complaint.failed)
        return billet_error_no_memory(error);
    if (*status != 0 && *status != 127) {
        const char *text = billet_buffer_text(&complaint);
        return billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "git_failed",
                                "git in the environment failed with status %d%s%.*s", *status,
                                complaint.length > 0 ? ": " : "", (int)strcspn(text, "\n"), text);
    }
    return 0;
}

/* "OID NAME" lines until an empty one or the end; the rest, or NULL when it is malformed. */
static char *
parse_refs(char *at, struct billet_git_refs *refs, int *result, struct billet_error *error)
{
    while (*at != '\0' && *at != '\n') {
        char *end = strchr(at, '\n');
        size_t oid = strcspn(at, " \n");
        if (end == NULL || !billet_git_is_oid(at, oid) || at[oid] != ' ') {
            *result = billet_error_set(error, BILLET_CLASS_AUTH, "git_refused",
                                       "the list of refs of the environment is damaged");
            return NULL;
        }
        *end = '\0';
        if (billet_git_is_ref_name(at + oid + 1)) {
            *result = billet_git_refs_add(refs, at + oid + 1, at, oid, error);
            if (*result < 0)
                return NULL;
        }
        at = end + 1;
    }
    return at;
}

int
billet_git_far_ask(const struct billet_git_far *far, struct billet_git_refs *refs,
                   struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    struct far_command command = {
        .script = ask_script, .in_fd = -1, .out_fd = -1, .output = &text, .limit = ASK_MAX};
    int status = 0;
    int result = run_script(far, &command, &status, error);
    if (result < 0)
        return result;
    if (status == 127)
        return BILLET_GIT_FAR_NO_GIT;
    if (text.length > 0)
        parse_refs(text.data, refs, &result, error);
    billet_git_refs_sort(refs);
    return result;
}

int
billet_git_far_deliver(const struct billet_git_far *far, int pack_fd,
                       const struct billet_git_delivery *delivery, struct billet_error *error)
{
    struct far_command command = {.script = deliver_script,
                                  .parameters = {delivery->tree, delivery->head,
                                                 delivery->sha256 ? "--object-format=sha256" : "",
                                                 delivery->parts, delivery->index},
                                  .in_fd = pack_fd,
                                  .out_fd = -1};
    int status = 0;
    int result = run_script(far, &command, &status, error);
    if (result == 0 && status != 0)
        result = billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "git_failed",
                                  "git in the environment failed with status %d", status);
    return result;
}

int
billet_git_far_configure(const struct billet_git_far *far, const struct billet_buffer *config,
                         struct billet_error *error)
{
    cleanup_fd int input = billet_git_bytes_fd(config->data, config->length);
    if (input < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "git in the environment");
    struct far_command command = {.script = configure_script, .in_fd = input, .out_fd = -1};
    int status = 0;
    int result = run_script(far, &command, &status, error);
    if (result == 0 && status != 0)
        result = billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "git_failed",
                                  "the settings of the repository cannot be covered in the "
                                  "environment: it has no sh");
    return result;
}

/* A line of its own; "" is fine. */
static char *
take_line(char **at)
{
    char *line = *at;
    char *end = strchr(line, '\n');
    if (end == NULL)
        return NULL;
    *end = '\0';
    *at = end + 1;
    return line;
}

static int
parse_report(struct billet_buffer *text, struct billet_git_far_state *state,
             struct billet_error *error)
{
    cleanup_buffer struct billet_buffer list = BILLET_BUFFER_INIT;
    int result = 0;
    char *at = text->data;
    const char *ref = at != NULL ? take_line(&at) : NULL;
    const char *oid = ref != NULL ? take_line(&at) : NULL;
    if (oid == NULL || (ref[0] != '\0' && !billet_git_is_ref_name(ref)) ||
        (oid[0] != '\0' && !billet_git_is_oid(oid, strlen(oid))) ||
        (ref[0] == '\0' && oid[0] == '\0'))
        return billet_error_set(error, BILLET_CLASS_AUTH, "git_refused",
                                "HEAD of the environment is damaged");
    snprintf(state->head.ref, sizeof(state->head.ref), "%s", ref);
    snprintf(state->head.oid, sizeof(state->head.oid), "%s", oid);
    at = parse_refs(at, &state->branches, &result, error);
    if (at == NULL)
        return result;
    billet_git_refs_sort(&state->branches);
    if (*at != '\n')
        return billet_error_set(error, BILLET_CLASS_AUTH, "git_refused",
                                "the list of refs of the environment is damaged");
    at++;
    billet_buffer_append(&list, at, text->length - (size_t)(at - text->data));
    return billet_git_index_parse(&list, false, &state->index, error);
}

int
billet_git_far_report(const struct billet_git_far *far, struct billet_git_far_state *state,
                      struct billet_error *error)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    struct far_command command = {
        .script = report_script, .in_fd = -1, .out_fd = -1, .output = &text, .limit = REPORT_MAX};
    int status = 0;
    int result = run_script(far, &command, &status, error);
    if (result < 0)
        return result;
    return status == 127 ? BILLET_GIT_FAR_NO_GIT : parse_report(&text, state, error);
}

void
billet_git_far_state_free(struct billet_git_far_state *state)
{
    billet_git_refs_free(&state->branches);
    billet_git_index_free(&state->index);
}

int
billet_git_far_pack(const struct billet_git_far *far, const struct billet_buffer *revisions,
                    int out_fd, struct billet_error *error)
{
    cleanup_fd int input = billet_git_bytes_fd(revisions->data, revisions->length);
    if (input < 0)
        return billet_error_errno(error, 0, "io_failed", errno, "git in the environment");
    struct far_command command = {.script = pack_script, .in_fd = input, .out_fd = out_fd};
    int status = 0;
    int result = run_script(far, &command, &status, error);
    if (result == 0 && status != 0)
        result = billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "git_failed",
                                  "there is no git in the environment any more");
    return result;
}
