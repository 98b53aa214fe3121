/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/run_options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/output.h"

#define COMMAND_TEXT_MAX 200

static bool
is_variable_name(const char *name, size_t length)
{
    if (length == 0 || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!((name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
              (name[i] >= '0' && name[i] <= '9') || name[i] == '_'))
            return false;
    return true;
}

/* NAME=VALUE, or NAME: pass the caller's own on, when it is set. */
static int
take_variable(struct cli *cli, struct cli_run *run)
{
    size_t length = strcspn(cli->value, "=");
    if (!is_variable_name(cli->value, length))
        return cli_usage(cli, "--env '%s': a name is letters, digits and '_'", cli->value);
    cleanup_free char *name = strndup(cli->value, length);
    const char *value = cli->value[length] == '=' ? cli->value + length + 1 : getenv(cli->value);
    if (value == NULL)
        return 0;
    if (name == NULL || !billet_strings_set(&run->variables, name, value))
        return cli_usage(cli, "out of memory");
    return 0;
}

static int
take_id(struct cli *cli, const char **field, const char *option)
{
    if (!billet_text_is_id(cli->value))
        return cli_usage(cli, "--%s: an id is 1 to 128 printable bytes without a newline", option);
    *field = cli->value;
    return 0;
}

static int
take_duration(struct cli *cli, int64_t *field, const char *option)
{
    struct billet_error error = BILLET_ERROR_INIT;
    if (billet_duration_parse(cli->value, field, &error) < 0)
        return cli_usage(cli, "--%s: %s", option, error.message);
    return 0;
}

static int
take_status_fd(struct cli *cli, struct cli_run *run)
{
    char *end = NULL;
    errno = 0;
    long fd = strtol(cli->value, &end, 10);
    if (errno != 0 || end == cli->value || *end != '\0' || fd < 1 || fd > INT_MAX ||
        fcntl((int)fd, F_GETFD) < 0)
        return cli_usage(cli, "--status-fd: '%s' is not an open descriptor", cli->value);
    int flags = fcntl((int)fd, F_GETFL);
    if ((flags & O_ACCMODE) == O_RDONLY)
        return cli_usage(cli, "--status-fd: descriptor %ld is not open for writing", fd);
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    run->request.exec.status_fd = (int)fd;
    return 0;
}

int
cli_run_option(struct cli *cli, struct cli_run *run, int id)
{
    struct billet_session_request *session = &run->request.session;
    switch (id) {
    case 'e':
        session->environment = cli->value;
        return 0;
    case 'w':
        session->workspace = cli->value;
        return 0;
    case 't':
        run->request.exec.pty = true;
        return 0;
    case 'i':
        return 0; /* stdin is always passed on */
    case 'n':
        run->no_input = true;
        return 0;
    case CLI_OPTION_ENV:
        return take_variable(cli, run);
    case CLI_OPTION_ASSET:
        if (!billet_strings_add(&run->assets, cli->value))
            return cli_usage(cli, "out of memory");
        session->assets = &run->assets;
        return 0;
    case CLI_OPTION_TIMEOUT:
        return take_duration(cli, &run->request.exec.timeout_ns, "timeout");
    case CLI_OPTION_TTL:
        return take_duration(cli, &run->request.held_ttl_ns, "ttl");
    case CLI_OPTION_KEEP:
        run->request.keep = true;
        session->policy = "keep";
        return 0;
    case CLI_OPTION_REUSE:
        session->reuse = 1;
        return 0;
    case CLI_OPTION_NO_REUSE:
        session->reuse = 0;
        return 0;
    case CLI_OPTION_RETAIN:
        run->request.retain_on_failure = true;
        session->policy = "retain_on_failure";
        return 0;
    case CLI_OPTION_STATUS_FD:
        return take_status_fd(cli, run);
    case CLI_OPTION_AGENT:
        return take_id(cli, &session->agent, "agent");
    case CLI_OPTION_ISSUE:
        return take_id(cli, &session->issue, "issue");
    case CLI_OPTION_RUN:
        return take_id(cli, &session->run, "run-id");
    case CLI_OPTION_DIRECTORY:
        if (cli->value[0] != '/')
            return cli_usage(cli, "--directory: '%s' is not an absolute path", cli->value);
        run->request.exec.directory = cli->value;
        return 0;
    case CLI_OPTION_WORKSPACE_MODE:
        session->workspace_mode = billet_workspace_mode_by_name(cli->value);
        if (session->workspace_mode < 1)
            return cli_usage(cli, "--workspace-mode is in_place, bind, overlay or copy, not '%s'",
                             cli->value);
        return 0;
    default:
        return cli_usage_status(cli);
    }
}

int
cli_run_command(struct cli *cli, struct cli_run *run, size_t first)
{
    cleanup_buffer struct billet_buffer text = BILLET_BUFFER_INIT;
    if (cli->arguments.count <= first)
        return cli_usage(cli, "no command was given: billet %s %s", cli->command->name,
                         cli->command->synopsis);
    if (cli->arguments.items[first][0] == '\0')
        return cli_usage(cli, "the command's name is empty");
    run->request.exec.argv = (const char *const *)(cli->arguments.items + first);
    for (size_t i = first; i < cli->arguments.count && text.length < COMMAND_TEXT_MAX; i++)
        billet_buffer_format(&text, "%s%.*s", i > first ? " " : "", COMMAND_TEXT_MAX,
                             cli->arguments.items[i]);
    run->command_text = malloc(COMMAND_TEXT_MAX + 1);
    if (run->command_text == NULL || billet_buffer_text(&text) == NULL)
        return cli_usage(cli, "out of memory");
    billet_text_escape(run->command_text, COMMAND_TEXT_MAX + 1, billet_buffer_text(&text));
    run->request.session.command = run->command_text;
    return 0;
}

int
cli_run_prepare(struct cli *cli, struct cli_run *run)
{
    struct billet_session_exec *exec = &run->request.exec;
    exec->fds[0] = run->no_input ? -1 : STDIN_FILENO;
    /* With --json, stdout carries the result object alone. */
    exec->fds[1] = cli->json ? STDERR_FILENO : STDOUT_FILENO;
    exec->fds[2] = STDERR_FILENO;
    run->request.session.variables = &run->variables;
    if (exec->pty && getenv("TERM") != NULL &&
        billet_strings_value(&run->variables, "TERM") == NULL)
        billet_strings_set(&run->variables, "TERM", getenv("TERM"));
    if (billet_signals_open(&run->signals, &cli->error) < 0)
        return cli_fail(cli);
    run->request.session.signals = &run->signals;
    run->request.session.progress = cli_progress_tell;
    run->request.session.progress_context = &run->progress;
    return 0;
}

/* How the workspace was brought in, and what came back. */
static json_t *
workspace_json(const struct billet_run_result *result)
{
    json_t *object = json_pack("{s:s}", "mode", billet_workspace_mode_name(result->workspace_mode));
    if (result->mode_reason[0] != '\0')
        json_object_set_new(object, "mode_reason", billet_json_bytes(result->mode_reason));
    if (result->workspace_mode < BILLET_WORKSPACE_OVERLAY)
        return object;
    json_object_set_new(object, "sent_files", json_integer((json_int_t)result->sent_files));
    json_object_set_new(object, "sent_bytes", json_integer((json_int_t)result->sent_bytes));
    if (result->ran && result->report_is_whole)
        json_object_set_new(object, "returned", cli_report_json(&result->report));
    json_t *git = cli_git_json(&result->git);
    if (git != NULL)
        json_object_set_new(object, "git", git);
    return object;
}

/* The error of a run whose command did well, and whose changes met others. */
static void
set_conflicts(const struct billet_run_result *result, struct billet_error *error)
{
    size_t count =
        result->report.totals[BILLET_REPORT_CONFLICT] + result->report.totals[BILLET_REPORT_KEPT];
    if (count == 0) {
        billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "workspace_conflicts",
                         "the commits made there are on no branch here");
        error->retryable = 0;
        if (result->git.report.kept[0] != '\0')
            billet_error_hint(error, "'git merge %s' takes them in", result->git.report.kept);
        return;
    }
    billet_error_set(error, BILLET_CLASS_UNAVAILABLE, "workspace_conflicts",
                     "%zu path%s changed on both sides: the workspace keeps its own", count,
                     count == 1 ? "" : "s");
    error->retryable = 0;
    billet_error_hint(error, "the other version is beside each, named *.billet-conflict-*");
}

/* What came back, and what is to be done about it. */
static void
tell_workspace(struct cli_run *run, const struct billet_run_result *result,
               struct billet_error *conflicts)
{
    int status_fd = run->request.exec.status_fd;
    cli_progress_end(&run->progress);
    if (!result->ran || result->workspace_mode < BILLET_WORKSPACE_OVERLAY)
        return;
    billet_status_write(status_fd, "workspace", workspace_json(result));
    if (result->return_error.error_class != 0) {
        billet_log_error(&result->return_error);
        billet_status_write(status_fd, "return_error", billet_error_json(&result->return_error));
        return;
    }
    cli_report_tell(&result->report);
    cli_git_tell(&result->git);
    if (!billet_report_has_conflicts(&result->report) && !cli_git_needs_care(&result->git))
        return;
    set_conflicts(result, conflicts);
    billet_log_error(conflicts);
    billet_status_write(status_fd, "return_error", billet_error_json(conflicts));
}

static void
print_result(const struct cli *cli, const struct billet_run_result *result, int status)
{
    json_t *steps = json_object();
    for (int i = 0; i < BILLET_STEP_COUNT; i++)
        if (result->step_ns[i] > 0)
            json_object_set_new(steps, billet_step_names[i],
                                json_real((double)result->step_ns[i] / 1e6));
    json_t *object = json_pack("{s:s, s:s, s:b, s:o, s:o}", "format_version", BILLET_FORMAT_VERSION,
                               "lease", result->lease, "held", result->held, "exit",
                               billet_ending_json(&result->ending), "steps_ms", steps);
    if (result->workspace_mode > BILLET_WORKSPACE_NONE)
        json_object_set_new(object, "workspace", workspace_json(result));
    if (result->assets != NULL)
        json_object_set(object, "assets", result->assets);
    if (status < 0)
        json_object_set_new(object, "error", billet_error_json(&cli->error));
    if (result->return_error.error_class != 0)
        json_object_set_new(object, "return_error", billet_error_json(&result->return_error));
    if (result->release_error.error_class != 0)
        json_object_set_new(object, "release_error", billet_error_json(&result->release_error));
    cli_print_json(object);
}

/* One line for an end that is not the command's own. */
static void
explain(const struct cli_run *run, const struct billet_ending *ending)
{
    struct billet_error error = BILLET_ERROR_INIT;
    char limit[64];
    const char *command = run->request.exec.argv[0];
    switch (ending->outcome) {
    case BILLET_OUTCOME_TIMED_OUT:
        billet_duration_format(limit, sizeof(limit), run->request.exec.timeout_ns);
        billet_error_set(&error, BILLET_CLASS_TIMEOUT, "timed_out", "%s was ended %s%s", command,
                         run->request.exec.timeout_ns > 0 ? "after " : "at its time limit",
                         run->request.exec.timeout_ns > 0 ? limit : "");
        break;
    case BILLET_OUTCOME_NOT_FOUND:
        billet_error_set(&error, BILLET_CLASS_CONFIG, "command_not_found", "%s: %s", command,
                         ending->value == ENOENT ? "command not found" : strerror(ending->value));
        break;
    case BILLET_OUTCOME_NOT_INVOCABLE:
        billet_error_set(&error, BILLET_CLASS_CONFIG, "command_not_invocable",
                         "%s cannot be run: %s", command, strerror(ending->value));
        break;
    default:
        return;
    }
    billet_log_error(&error);
}

int
cli_run_finish(struct cli *cli, struct cli_run *run, struct billet_run_result *result, int status)
{
    int status_fd = run->request.exec.status_fd;
    struct billet_error conflicts = BILLET_ERROR_INIT;
    if (status < 0) {
        billet_log_error(&cli->error);
        billet_status_write(status_fd, "error", billet_error_json(&cli->error));
        if (!result->ran)
            billet_status_write(status_fd, "exit", billet_ending_json(&result->ending));
    } else {
        explain(run, &result->ending);
    }
    tell_workspace(run, result, &conflicts);
    bool returned = result->return_error.error_class == 0;
    if (returned)
        result->return_error = conflicts;
    if (result->release_error.error_class != 0) {
        billet_log_error(&result->release_error);
        billet_status_write(status_fd, "release_error", billet_error_json(&result->release_error));
    }
    if (result->held && !cli->json && cli->command->is_exec && run->request.keep)
        billet_log(BILLET_LOG_WARNING, "lease %s is held; 'billet lease release' ends it",
                   result->lease);
    if (cli->json)
        print_result(cli, result, status);
    int ended = billet_ending_status(&result->ending);
    if (!returned || (result->return_error.error_class != 0 && ended == 0))
        ended = BILLET_EXIT_FAILED;
    billet_report_free(&result->report);
    billet_git_report_free(&result->git.report);
    json_decref(result->assets);
    if (status < 0 && result->ending.outcome != BILLET_OUTCOME_CANCELLED)
        return BILLET_EXIT_FAILED;
    return ended;
}

void
cli_run_free(struct cli_run *run)
{
    billet_signals_close(&run->signals);
    billet_strings_free(&run->variables);
    billet_strings_free(&run->assets);
    free(run->command_text);
}
