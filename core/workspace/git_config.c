/* SPDX-License-Identifier: Apache-2.0 */
#include "workspace/git_config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "base/strings.h"
#include "base/text.h"

#define COPY_NAME "user-config"
#define VALUE_MAX 4096

/* --- URLs ------------------------------------------------------------------------------------ */

static bool
clean_with_scheme(const char *url, const char *rest, char *to, size_t size)
{
    static const char *const schemes[] = {"http://", "https://", "ssh://", "git://", "file://"};
    bool known = false;
    size_t scheme = (size_t)(rest - url);
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
        known =
            known || (strlen(schemes[i]) == scheme && strncasecmp(url, schemes[i], scheme) == 0);
    if (!known)
        return false;
    size_t authority = strcspn(rest, "/?#");
    const char *host = rest;
    const char *end = rest + authority;
    for (const char *c = rest; c < end; c++)
        if (*c == '@')
            host = c + 1;
    int user = 0;
    if (host != rest && strncasecmp(url, "ssh://", 6) == 0) {
        user = (int)strcspn(rest, ":@");
        if (rest + user >= host)
            user = 0;
    }
    int length = snprintf(to, size, "%.*s%.*s%s%.*s", (int)scheme, url, user, rest,
                          user > 0 ? "@" : "", (int)strcspn(host, "?#"), host);
    return length > 0 && (size_t)length < size;
}

bool
billet_git_url_clean(const char *url, char *to, size_t size)
{
    if (url[0] == '\0' || url[0] == '-' || strstr(url, "::") != NULL)
        return false; /* "ext::command" and its like */
    const char *scheme = strstr(url, "://");
    if (scheme != NULL)
        return clean_with_scheme(url, scheme + 3, to, size);
    const char *colon = strchr(url, ':');
    const char *slash = strchr(url, '/');
    const char *at = strchr(url, '@');
    /* "user:password@host:path" is no form of git's; what looks so stays here. */
    if (at != NULL && colon != NULL && colon < at && (slash == NULL || slash > at))
        return false;
    int length = snprintf(to, size, "%s", url);
    return length > 0 && (size_t)length < size;
}

/* --- what travels ---------------------------------------------------------------------------- */

static bool
is_simple(const char *value)
{
    return value[0] != '\0' && value[0] != '-' && strpbrk(value, ":@\\\"\n\r") == NULL;
}

static bool
is_anything(const char *value)
{
    (void)value;
    return true;
}

static const struct allowed {
    const char *section;
    const char *key; /* lower case, as git lists it */
    bool named;      /* has a subsection */
    bool (*judge)(const char *value);
} allow_list[] = {
    {"core", "autocrlf", false, is_simple},
    {"core", "eol", false, is_simple},
    {"core", "safecrlf", false, is_simple},
    {"core", "filemode", false, is_simple},
    {"core", "symlinks", false, is_simple},
    {"core", "ignorecase", false, is_simple},
    {"core", "quotepath", false, is_simple},
    {"core", "abbrev", false, is_simple},
    {"user", "name", false, is_anything},
    {"user", "email", false, is_anything},
    {"branch", "remote", true, is_simple},
    {"branch", "merge", true, is_simple},
    {"branch", "rebase", true, is_simple},
    {"branch", "description", true, is_anything},
    {"remote", "fetch", true, is_anything},
    {"pull", "rebase", false, is_simple},
    {"pull", "ff", false, is_simple},
    {"push", "default", false, is_simple},
    {"merge", "conflictstyle", false, is_simple},
    {"merge", "ff", false, is_simple},
    {"diff", "algorithm", false, is_simple},
    {"status", "renames", false, is_simple},
    {"status", "showuntrackedfiles", false, is_simple},
    {"i18n", "commitencoding", false, is_simple},
    {"i18n", "logoutputencoding", false, is_simple},
};

static void
put_quoted(struct billet_buffer *to, const char *value)
{
    billet_buffer_add_char(to, '"');
    for (; *value != '\0'; value++)
        if (*value == '\n') {
            billet_buffer_add(to, "\\n");
        } else if ((unsigned char)*value >= ' ' || *value == '\t') {
            if (*value == '"' || *value == '\\')
                billet_buffer_add_char(to, '\\');
            billet_buffer_add_char(to, *value);
        }
    billet_buffer_add_char(to, '"');
}

static void
put_setting(struct billet_buffer *to, const char *section, const char *name, const char *key,
            const char *value)
{
    billet_buffer_format(to, "[%s", section);
    if (name != NULL) {
        billet_buffer_add_char(to, ' ');
        put_quoted(to, name);
    }
    billet_buffer_format(to, "]\n\t%s = ", key);
    put_quoted(to, value);
    billet_buffer_add_char(to, '\n');
}

static void
take_setting(struct billet_git_config *config, const char *section, const char *name,
             const char *key, const char *value)
{
    char url[VALUE_MAX];
    if (strlen(value) >= VALUE_MAX || (name != NULL && strpbrk(name, "\n\r") != NULL))
        return;
    if (strcmp(section, "extensions") == 0) {
        static const char *const fine[] = {"objectformat", "worktreeconfig", "noop",
                                           "preciousobjects", "relativeworktrees"};
        bool known = false;
        for (size_t i = 0; i < sizeof(fine) / sizeof(fine[0]); i++)
            known = known || strcmp(key, fine[i]) == 0;
        if (!known)
            snprintf(config->obstacle, sizeof(config->obstacle), "it uses the extension %.60s",
                     key);
        return;
    }
    if (strcmp(section, "user") == 0 && name == NULL && strpbrk(value, "<>\n") == NULL) {
        if (strcmp(key, "name") == 0)
            billet_text_copy(config->name, sizeof(config->name), value);
        else if (strcmp(key, "email") == 0)
            billet_text_copy(config->email, sizeof(config->email), value);
    }
    if (strcmp(section, "remote") == 0 && name != NULL &&
        (strcmp(key, "url") == 0 || strcmp(key, "pushurl") == 0)) {
        if (is_simple(name) && billet_git_url_clean(value, url, sizeof(url)))
            put_setting(&config->text, section, name, key, url);
        return;
    }
    for (size_t i = 0; i < sizeof(allow_list) / sizeof(allow_list[0]); i++) {
        const struct allowed *allowed = &allow_list[i];
        if (strcmp(allowed->section, section) == 0 && strcmp(allowed->key, key) == 0 &&
            allowed->named == (name != NULL) && (name == NULL || is_simple(name)) &&
            allowed->judge(value))
            put_setting(&config->text, section, name, key, value);
    }
}

/* "section[.name].key\nvalue" */
static void
take_record(struct billet_git_config *config, char *record)
{
    char *newline = strchr(record, '\n');
    const char *value = "true";
    if (newline != NULL) {
        *newline = '\0';
        value = newline + 1;
    }
    char *first = strchr(record, '.');
    char *last = strrchr(record, '.');
    if (first == NULL)
        return;
    *first = '\0';
    *last = '\0';
    take_setting(config, record, first == last ? NULL : first + 1, last + 1, value);
}

bool
billet_git_config_is_sha256(const struct billet_buffer *content)
{
    const char *text = billet_buffer_text(content);
    return text != NULL && strcasestr(text, "objectformat") != NULL &&
           strcasestr(text, "sha256") != NULL;
}

int
billet_git_config_read(const struct billet_git_program *program,
                       const struct billet_buffer *content, struct billet_git_config *config,
                       struct billet_error *error)
{
    cleanup_buffer struct billet_buffer list = BILLET_BUFFER_INIT;
    char path[PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/" COPY_NAME, program->directory);
    cleanup_fd int fd = openat(program->directory_fd, COPY_NAME,
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || billet_io_write_all(fd, content->data, content->length, NULL) < 0)
        return billet_error_set(error, BILLET_CLASS_INTERNAL, "io_failed", "git quarantine");
    const char *const argv[] = {"config", "--file", path, "--no-includes", "--list", "-z", NULL};
    struct billet_git_command command = {.argv = argv, .output = &list, .output_max = 1u << 20};
    int result = billet_git_run(program, &command, NULL, error);
    if (result < 0)
        return billet_error_wrap(error, ".git/config");
    for (size_t at = 0; at < list.length;) {
        size_t size = strlen(list.data + at);
        take_record(config, list.data + at);
        at += size + 1;
    }
    config->sha256 = billet_git_config_is_sha256(content);
    return config->text.failed ? billet_error_no_memory(error) : 0;
}

/* The caller's own file is the caller's own: read as data here too. */
void
billet_git_config_caller(const struct billet_git_program *program, struct billet_git_config *config)
{
    const char *home = getenv("HOME");
    const char *xdg = getenv("XDG_CONFIG_HOME");
    if (home == NULL || home[0] != '/')
        return;
    for (int i = 0; i < 2; i++) {
        char path[PATH_MAX];
        cleanup_buffer struct billet_buffer content = BILLET_BUFFER_INIT;
        struct billet_git_config own = {0};
        if (i == 0)
            snprintf(path, sizeof(path), "%s/.gitconfig", home);
        else if (xdg != NULL && xdg[0] == '/')
            snprintf(path, sizeof(path), "%s/git/config", xdg);
        else
            snprintf(path, sizeof(path), "%s/.config/git/config", home);
        if (billet_io_read_file(path, &content, 1u << 20, NULL) < 0 ||
            billet_git_config_read(program, &content, &own, NULL) < 0) {
            billet_git_config_free(&own);
            continue;
        }
        if (config->name[0] == '\0' && own.name[0] != '\0') {
            billet_text_copy(config->name, sizeof(config->name), own.name);
            put_setting(&config->text, "user", NULL, "name", own.name);
        }
        if (config->email[0] == '\0' && own.email[0] != '\0') {
            billet_text_copy(config->email, sizeof(config->email), own.email);
            put_setting(&config->text, "user", NULL, "email", own.email);
        }
        billet_git_config_free(&own);
    }
}

void
billet_git_config_free(struct billet_git_config *config)
{
    billet_buffer_free(&config->text);
}
