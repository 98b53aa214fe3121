/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_aws_profile.c - the files that AWS's own tools share: "Configuration and credential file
 * settings" of the AWS SDKs and Tools Reference Guide.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"
#include "secret/vault_aws.h"

/* Both files are small; read into guarded memory, scanned in place. */
struct text {
    const char *bytes;
    size_t length;
};

static struct text
trimmed(const char *from, const char *to)
{
    while (from < to && (*from == ' ' || *from == '\t'))
        from++;
    while (to > from && (to[-1] == ' ' || to[-1] == '\t' || to[-1] == '\r'))
        to--;
    return (struct text){from, (size_t)(to - from)};
}

static bool
is(struct text text, const char *word)
{
    return text.length == strlen(word) && memcmp(text.bytes, word, text.length) == 0;
}

/* Is this "[NAME]", or "[profile NAME]" in the file of settings? */
static bool
is_section(struct text line, const char *name, bool settings)
{
    if (line.length < 2 || line.bytes[line.length - 1] != ']')
        return false;
    struct text inside = trimmed(line.bytes + 1, line.bytes + line.length - 1);
    if (settings && strcmp(name, "default") != 0) {
        if (inside.length < 8 || strncmp(inside.bytes, "profile", 7) != 0 ||
            (inside.bytes[7] != ' ' && inside.bytes[7] != '\t'))
            return false;
        inside = trimmed(inside.bytes + 8, inside.bytes + inside.length);
    }
    return is(inside, name);
}

typedef int take_setting(struct text key, struct text value, void *context,
                         struct billet_error *error);

/* Each setting of the section, the first line of each; *found when it is there. */
static int
scan(const struct billet_secret *file, const char *name, bool settings, take_setting *take,
     void *context, bool *found, struct billet_error *error)
{
    const char *at = (const char *)file->bytes, *end = at + file->length;
    bool inside = false;
    for (; at < end; at++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop != NULL ? stop : end;
        struct text line = trimmed(at, stop);
        bool nested = *at == ' ' || *at == '\t';
        const char *equals = line.length > 0 ? memchr(line.bytes, '=', line.length) : NULL;
        if (line.length > 0 && line.bytes[0] == '[' && !nested) {
            inside = is_section(line, name, settings);
            *found = *found || inside;
        } else if (inside && !nested && equals != NULL && line.bytes[0] != '#' &&
                   line.bytes[0] != ';') {
            int result = take(trimmed(line.bytes, equals),
                              trimmed(equals + 1, line.bytes + line.length), context, error);
            if (result < 0)
                return result;
        }
        at = stop;
    }
    return 0;
}

static int
take_text(struct text value, char *to, size_t size, struct billet_error *error)
{
    if (value.length >= size || memchr(value.bytes, '\0', value.length) != NULL)
        return billet_error_set(error, BILLET_CLASS_CONFIG, "vault_config_invalid",
                                "a setting of the profile is too long");
    memcpy(to, value.bytes, value.length);
    to[value.length] = '\0';
    return 0;
}

static int
take_secret(struct text value, struct billet_secret *to, struct billet_error *error)
{
    billet_secret_free(to);
    return billet_secret_copy(to, value.bytes, value.length, error);
}

static int
take(struct text key, struct text value, void *context, struct billet_error *error)
{
    struct billet_aws_profile *profile = context;
    const struct {
        const char *key;
        char *to;
        size_t size;
    } texts[] = {
        {"aws_access_key_id", profile->key.id, sizeof(profile->key.id)},
        {"region", profile->region, sizeof(profile->region)},
        {"role_arn", profile->role_arn, sizeof(profile->role_arn)},
        {"role_session_name", profile->role_session_name, sizeof(profile->role_session_name)},
        {"source_profile", profile->source_profile, sizeof(profile->source_profile)},
        {"external_id", profile->external_id, sizeof(profile->external_id)},
        {"web_identity_token_file", profile->token_file, sizeof(profile->token_file)},
        {"credential_source", profile->credential_source, sizeof(profile->credential_source)},
        {"credential_process", profile->credential_process, sizeof(profile->credential_process)},
    };
    static const char *const others[] = {"sso_session", "sso_start_url", "mfa_serial"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (is(key, texts[i].key))
            return take_text(value, texts[i].to, texts[i].size, error);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (is(key, others[i]))
            snprintf(profile->unsupported, sizeof(profile->unsupported), "%s", others[i]);
    if (is(key, "aws_secret_access_key"))
        return take_secret(value, &profile->key.secret, error);
    if (is(key, "aws_session_token"))
        return take_secret(value, &profile->key.token, error);
    return 0;
}

/* A file that the variable names, or the usual one in the home directory. 1: it is not there. */
static int
read_file(const char *variable, const char *usual, unsigned trust, struct billet_secret *bytes,
          struct billet_error *error)
{
    cleanup_free char *path = NULL;
    cleanup_fd int fd = -1;
    const char *named = secure_getenv(variable), *home = secure_getenv("HOME");
    if (named != NULL && named[0] != '\0')
        path = strdup(named);
    else if (home != NULL && home[0] == '/' && asprintf(&path, "%s/%s", home, usual) < 0)
        path = NULL;
    else if (home == NULL || home[0] != '/')
        return 1;
    if (path == NULL)
        return billet_error_no_memory(error);
    if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
        return 1;
    int result = billet_io_open_trusted(path, trust, &fd, error);
    return result < 0 ? result : billet_secret_read(bytes, fd, error);
}

const char *
billet_aws_profile_name(const struct billet_vault *vault)
{
    const char *name = vault->profile != NULL ? vault->profile : secure_getenv("AWS_PROFILE");
    return name != NULL && name[0] != '\0' ? name : "default";
}

int
billet_aws_profile_read(const char *name, struct billet_aws_profile *profile,
                        struct billet_error *error)
{
    static const struct {
        const char *variable, *usual;
        unsigned trust;
    } files[] = {{"AWS_CONFIG_FILE", ".aws/config", 0},
                 {"AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", BILLET_TRUST_PRIVATE}};
    bool found = false;
    int result = 0;
    *profile = (struct billet_aws_profile){0};
    for (size_t i = 0; result == 0 && i < 2; i++) { /* the later one wins */
        cleanup_secret struct billet_secret bytes = BILLET_SECRET_INIT;
        result = read_file(files[i].variable, files[i].usual, files[i].trust, &bytes, error);
        if (result == 0)
            result = scan(&bytes, name, i == 0, take, profile, &found, error);
        result = result > 0 ? 0 : result;
    }
    if (result < 0) {
        billet_aws_profile_free(profile);
        return billet_error_wrap(error, "profile '%.64s' of AWS", name);
    }
    return found ? 0 : 1;
}

void
billet_aws_profile_free(struct billet_aws_profile *profile)
{
    billet_aws_key_free(&profile->key);
}
