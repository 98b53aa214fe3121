/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_vault - a strict stand-in for HashiCorp Vault and OpenBao, as far as billet speaks
 * to them: health, mounts, token, AppRole and Kubernetes logins, key-value engines of
 * both versions. t/vault-client.t shows that the service's own client works with it.
 *
 * usage: fake-vault PORT-FILE LOG-FILE [MOUNT:PATH=JSON]...
 *
 * Writes its port to PORT-FILE, and a line "METHOD PATH STATUS" for each request to LOG-FILE.
 * Mounts: secret/ and team/kv/ are version 2, old/ is version 1. Tokens: t-root may do all; t-poor
 * logs in and may read nothing; what a login gave works until it is revoked. In the namespace corp
 * it has the same. AppRole: role-1 and sid-1. Kubernetes: role pod and JWT jwt-1. A path that
 * begins with a number answers with that status; one that is "slow" answers never, "huge" with
 * a megabyte, "garbage" with no JSON. It ends with the process that started it, or after 300 s.
 */
#include <ctype.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fake_server.h"

#define REQUEST_MAX 65536
#define ENTRIES_MAX 256

static const struct {
    const char *name;
    int version;
} mounts[] = {{"secret/", 2}, {"team/kv/", 2}, {"old/", 1}};

/* One version of one path. */
static struct entry {
    size_t mount;
    char path[512];
    int version;
    json_t *data; /* NULL: destroyed */
} entries[ENTRIES_MAX];
static size_t entry_count;
static int issued; /* tokens that logins gave, of which the last is alive */
static bool revoked;
static FILE *record;

struct request {
    char method[16];
    char path[2048]; /* decoded, without /v1/ */
    char query[512];
    char token[256];
    char name_space[256];
    char *body;
};

/* ---- the store ----------------------------------------------------------------------- */

static struct entry *
find_entry(size_t mount, const char *path, int version)
{
    struct entry *found = NULL;
    for (size_t i = 0; i < entry_count; i++)
        if (entries[i].mount == mount && strcmp(entries[i].path, path) == 0 &&
            (version == 0 ? found == NULL || entries[i].version > found->version
                          : entries[i].version == version))
            found = &entries[i];
    return found;
}

static struct entry *
put_entry(size_t mount, const char *path, json_t *data)
{
    const struct entry *last = find_entry(mount, path, 0);
    if (entry_count == ENTRIES_MAX)
        die("too many entries");
    struct entry *made = &entries[entry_count++];
    *made = (struct entry){.mount = mount, .version = last != NULL ? last->version + 1 : 1};
    made->data = json_incref(data);
    snprintf(made->path, sizeof(made->path), "%s", path);
    return made;
}

/* Which mount the path begins with; *rest is behind it. */
static bool
find_mount(const char *path, size_t *mount, const char **rest)
{
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        size_t length = strlen(mounts[i].name);
        if (strncmp(path, mounts[i].name, length) == 0 ||
            (strlen(path) == length - 1 && strncmp(path, mounts[i].name, length - 1) == 0)) {
            *mount = i;
            *rest = path + (strlen(path) < length ? length - 1 : length);
            return true;
        }
    }
    return false;
}

/* ---- answers ---------------------------------------------------------------------------- */

static json_t *
errors(const char *text)
{
    return json_pack("{s:[s]}", "errors", text);
}

static json_t *
log_in(const struct request *request, int *status)
{
    json_t *body = json_loads(request->body, 0, NULL);
    const char *role_id = "", *secret_id = "", *role = "", *jwt = "";
    json_unpack(body, "{s?s, s?s, s?s, s?s}", "role_id", &role_id, "secret_id", &secret_id, "role",
                &role, "jwt", &jwt);
    bool good = strcmp(request->path, "auth/approle/login") == 0
                    ? strcmp(role_id, "role-1") == 0 && strcmp(secret_id, "sid-1") == 0
                    : strcmp(role, "pod") == 0 && strcmp(jwt, "jwt-1") == 0;
    char said[512];
    snprintf(said, sizeof(said), "invalid role or secret ID: %s%s", secret_id, jwt);
    json_decref(body);
    *status = good ? 200 : 400;
    if (!good)
        return errors(said); /* which repeats what must not be shown */
    char token[32];
    snprintf(token, sizeof(token), "t-login-%d", ++issued);
    revoked = false;
    return json_pack("{s:{s:s, s:s, s:i, s:b}}", "auth", "client_token", token, "accessor", "a",
                     "lease_duration", 60, "renewable", 0);
}

static json_t *
metadata_of(const struct entry *entry)
{
    return json_pack("{s:s, s:s, s:b, s:i}", "created_time", "2026-01-01T00:00:00Z",
                     "deletion_time", "", "destroyed", entry->data == NULL, "version",
                     entry->version);
}

static json_t *
list_below(size_t mount, const char *prefix, int *status)
{
    json_t *keys = json_array();
    size_t length = strlen(prefix);
    for (size_t i = 0; i < entry_count; i++) {
        const char *rest = entries[i].path + length + (length > 0);
        size_t index;
        json_t *seen;
        bool again = false;
        if (entries[i].mount != mount || strncmp(entries[i].path, prefix, length) != 0 ||
            (length > 0 && entries[i].path[length] != '/'))
            continue;
        size_t part = strcspn(rest, "/");
        json_t *key = json_stringn(rest, part + (rest[part] == '/'));
        json_array_foreach (keys, index, seen)
            again = again || json_equal(seen, key);
        if (!again)
            json_array_append(keys, key);
        json_decref(key);
    }
    *status = json_array_size(keys) > 0 ? 200 : 404;
    json_t *answer = *status == 200 ? json_pack("{s:{s:O}}", "data", "keys", keys)
                                    : json_pack("{s:[]}", "errors");
    json_decref(keys);
    return answer;
}

static json_t *
read_entry(const struct request *request, size_t mount, const char *path, int *status)
{
    int version = strncmp(request->query, "version=", 8) == 0 ? atoi(request->query + 8) : 0;
    const struct entry *entry = find_entry(mount, path, version);
    *status = entry != NULL && entry->data != NULL ? 200 : 404;
    if (entry == NULL)
        return json_pack("{s:[]}", "errors");
    if (mounts[mount].version == 1)
        return json_pack("{s:O}", "data", entry->data);
    json_t *data = entry->data != NULL ? json_incref(entry->data) : json_null();
    return json_pack("{s:{s:o, s:o}}", "data", "data", data, "metadata", metadata_of(entry));
}

static json_t *
write_entry(const struct request *request, size_t mount, const char *path, int *status)
{
    json_t *body = json_loads(request->body, 0, NULL);
    json_t *data = mounts[mount].version == 2 ? json_object_get(body, "data") : body;
    json_t *answer = NULL;
    *status = json_is_object(data) ? 200 : 400;
    if (*status == 200) {
        const struct entry *entry = put_entry(mount, path, data);
        if (mounts[mount].version == 2)
            answer = json_pack("{s:o}", "data", metadata_of(entry));
        else
            *status = 204;
    } else {
        answer = errors("no data provided");
    }
    json_decref(body);
    return answer;
}

static json_t *
serve_engine(const struct request *request, int *status)
{
    const char *rest, *path;
    size_t mount;
    bool two, data, meta;
    *status = 404;
    if (!find_mount(request->path, &mount, &rest))
        return errors("no handler for route");
    two = mounts[mount].version == 2;
    data = two && strncmp(rest, "data/", 5) == 0;
    meta = two && (strncmp(rest, "metadata/", 9) == 0 || strcmp(rest, "metadata") == 0);
    path = data ? rest + 5 : meta ? rest + (rest[8] == '/' ? 9 : 8) : rest;
    if (isdigit((unsigned char)path[0]) && data) {
        *status = atoi(path);
        return errors("the value of it is LEAKED-by-the-provider");
    }
    if (two && !data && !meta)
        return errors("invalid path for a versioned K/V secrets engine");
    char trimmed[512];
    snprintf(trimmed, sizeof(trimmed), "%.500s", path);
    size_t length = strlen(trimmed);
    if (length > 0 && trimmed[length - 1] == '/')
        trimmed[length - 1] = '\0';
    if (strcmp(request->method, "LIST") == 0 && !data)
        return list_below(mount, trimmed, status);
    if (strcmp(request->method, "GET") == 0 && strcmp(request->query, "list=true") == 0 && !data)
        return list_below(mount, trimmed, status);
    if (strcmp(request->method, "GET") == 0 && !meta)
        return read_entry(request, mount, trimmed, status);
    if ((strcmp(request->method, "POST") == 0 || strcmp(request->method, "PUT") == 0) && !meta)
        return write_entry(request, mount, trimmed, status);
    *status = 405;
    return errors("unsupported operation");
}

static json_t *
describe_mounts(const char *path, int *status)
{
    json_t *all = json_object();
    *status = 200;
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        char version[8];
        snprintf(version, sizeof(version), "%d", mounts[i].version);
        json_t *one = json_pack("{s:s, s:s, s:o}", "type", "kv", "path", mounts[i].name, "options",
                                mounts[i].version == 2 ? json_pack("{s:s}", "version", version)
                                                       : json_null());
        if (path[0] != '\0' && strncmp(path, mounts[i].name, strlen(mounts[i].name) - 1) == 0) {
            json_decref(all);
            return json_pack("{s:o}", "data", one);
        }
        json_object_set_new(all, mounts[i].name, one);
    }
    if (path[0] == '\0') {
        json_object_set_new(all, "cubbyhole/", json_pack("{s:s}", "type", "cubbyhole"));
        return json_pack("{s:{s:o}}", "data", "secret", all);
    }
    json_decref(all);
    *status = 403; /* as the service does for what is not there */
    return errors("preflight capability check returned 403, please ensure client's policies");
}

static bool
is_allowed(const struct request *request, bool *poor)
{
    char alive[32];
    snprintf(alive, sizeof(alive), "t-login-%d", issued);
    *poor = strcmp(request->token, "t-poor") == 0;
    return strcmp(request->token, "t-root") == 0 || *poor ||
           (!revoked && issued > 0 && strcmp(request->token, alive) == 0);
}

static json_t *
serve(const struct request *request, int *status)
{
    bool poor;
    *status = 200;
    if (request->name_space[0] != '\0' && strcmp(request->name_space, "corp") != 0) {
        *status = 404;
        return errors("no such namespace");
    }
    if (strcmp(request->path, "sys/health") == 0)
        return json_pack("{s:b, s:b, s:b, s:s}", "initialized", 1, "sealed", 0, "standby", 0,
                         "version", "1.15.2");
    if (strcmp(request->method, "POST") == 0 &&
        (strcmp(request->path, "auth/approle/login") == 0 ||
         strcmp(request->path, "auth/kubernetes/login") == 0))
        return log_in(request, status);
    if (!is_allowed(request, &poor)) {
        *status = 403;
        return errors("permission denied");
    }
    if (strcmp(request->path, "auth/token/lookup-self") == 0)
        return json_pack("{s:{s:s}}", "data", "id", request->token);
    if (strcmp(request->path, "auth/token/revoke-self") == 0) {
        *status = 204;
        revoked = true;
        return NULL;
    }
    if (strcmp(request->path, "sys/internal/ui/mounts") == 0)
        return describe_mounts("", status);
    if (strncmp(request->path, "sys/internal/ui/mounts/", 23) == 0)
        return describe_mounts(request->path + 23, status);
    if (poor) {
        *status = 403;
        return errors("permission denied");
    }
    return serve_engine(request, status);
}

/* ---- HTTP --------------------------------------------------------------------------------- */

static void
decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        unsigned value;
        if (*from == '%' && sscanf(from + 1, "%2x", &value) == 1) {
            *to++ = (char)value;
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

static void
take_header(const char *line, const char *name, char *to, size_t size)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) == 0 && line[length] == ':')
        snprintf(to, size, "%s", line + length + 1 + strspn(line + length + 1, " "));
}

/* False: it is no request. bytes stay in use. */
static bool
read_request(int client, char *bytes, struct request *request)
{
    size_t length = 0, wanted = SIZE_MAX;
    char size[32] = "";
    *request = (struct request){.body = bytes};
    while (length < wanted) {
        ssize_t got = read(client, bytes + length, REQUEST_MAX - 1 - length);
        if (got <= 0)
            return false;
        length += (size_t)got;
        bytes[length] = '\0';
        char *end = wanted == SIZE_MAX ? strstr(bytes, "\r\n\r\n") : NULL;
        if (end == NULL)
            continue;
        request->body = end + 4;
        for (char *line = strstr(bytes, "\r\n") + 2; line < end + 2;
             line = strstr(line, "\r\n") + 2) {
            char copy[1024];
            snprintf(copy, sizeof(copy), "%.*s", (int)(strstr(line, "\r\n") - line), line);
            take_header(copy, "X-Vault-Token", request->token, sizeof(request->token));
            take_header(copy, "X-Vault-Namespace", request->name_space,
                        sizeof(request->name_space));
            take_header(copy, "Content-Length", size, sizeof(size));
        }
        wanted = (size_t)(request->body - bytes) + strtoul(size, NULL, 10);
    }
    char target[2048];
    if (sscanf(bytes, "%15s %2047s", request->method, target) != 2 ||
        strncmp(target, "/v1/", 4) != 0)
        return false;
    char *query = strchr(target, '?');
    if (query != NULL) {
        *query = '\0';
        snprintf(request->query, sizeof(request->query), "%.500s", query + 1);
    }
    snprintf(request->path, sizeof(request->path), "%s", target + 4);
    decode(request->path);
    return true;
}

static void
answer(int client, const struct request *request)
{
    int status = 400;
    json_t *value = serve(request, &status);
    char *text = value != NULL ? json_dumps(value, JSON_COMPACT) : NULL;
    const char *ending = strrchr(request->path, '/');
    ending = ending != NULL ? ending + 1 : "";
    if (strcmp(ending, "slow") == 0)
        pause();
    if (strcmp(ending, "garbage") == 0) {
        free(text);
        text = strdup("<html>it is LEAKED-by-the-provider</html>");
    }
    size_t filler = strcmp(ending, "huge") == 0 ? 1048576 : 0;
    size_t length = text != NULL ? strlen(text) : 0;
    dprintf(client,
            "HTTP/1.1 %d Status\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
            "Connection: close\r\n\r\n",
            status, length + filler);
    for (size_t i = 0; i < filler / 64; i++)
        dprintf(client, "%64s", "");
    if (text != NULL && strcmp(request->method, "HEAD") != 0)
        dprintf(client, "%s", text);
    fprintf(record, "%s %s %d\n", request->method, request->path, status);
    fflush(record);
    free(text);
    json_decref(value);
}

static void
add_entries(int argc, char **argv)
{
    for (int i = 3; i < argc; i++) {
        const char *rest;
        size_t mount;
        char *colon = strchr(argv[i], ':'), *equals = strchr(argv[i], '=');
        if (colon == NULL || equals == NULL)
            die(argv[i]);
        *equals = '\0';
        *colon = '\0';
        json_t *data =
            strcmp(equals + 1, "destroyed") == 0 ? NULL : json_loads(equals + 1, 0, NULL);
        if (!find_mount(argv[i], &mount, &rest))
            die(argv[i]);
        put_entry(mount, colon + 1, data);
        json_decref(data);
    }
}

int
main(int argc, char **argv)
{
    static char bytes[REQUEST_MAX];
    if (argc < 3)
        return 2;
    add_entries(argc, argv);
    int listener = fake_listen(argv[1], argv[2], &record);
    for (;;) {
        struct request request;
        int client = fake_accept(listener);
        if (read_request(client, bytes, &request)) {
            /* One that never answers must not keep the others. */
            bool slow = strstr(request.path, "/slow") != NULL;
            pid_t child = slow ? fork() : -1;
            if (child == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                alarm(60);
            }
            if (child <= 0)
                answer(client, &request);
        }
        close(client);
    }
}
