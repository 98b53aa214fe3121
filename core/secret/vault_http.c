/* SPDX-License-Identifier: Apache-2.0 */
#include "secret/vault_http.h"

#include <curl/curl.h>
#include <malloc.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

#define CONNECT_MS 10000

/* ---- memory of libraries that see values -------------------------------------------------- */

/* What libcurl and jansson had in their hands is wiped when they let it go. What TLS libraries keep
 * is out of reach. */
static void
wiping_free(void *memory)
{
    if (memory != NULL)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

static void *
wiping_realloc(void *memory, size_t size)
{
    size_t had = memory != NULL ? malloc_usable_size(memory) : 0;
    if (had >= size && size > 0)
        return memory;
    void *grown = malloc(size);
    if (grown == NULL)
        return NULL;
    if (had > 0)
        memcpy(grown, memory, had < size ? had : size);
    wiping_free(memory);
    return grown;
}

/* jansson is core's too: its own functions come back behind each use. All are malloc's in the end,
 * so that either may free what the other took. */
struct allocators {
    json_malloc_t take;
    json_free_t give;
};

static struct allocators
begin_wiping(void)
{
    struct allocators before;
    json_get_alloc_funcs(&before.take, &before.give);
    json_set_alloc_funcs(before.take, wiping_free);
    return before;
}

static void
end_wiping(struct allocators before)
{
    json_set_alloc_funcs(before.take, before.give);
}

/* ---- one request ---------------------------------------------------------------------------- */

struct taking {
    struct billet_secret *answer;
    bool too_long;
};

static size_t
take(char *bytes, size_t size, size_t count, void *context)
{
    struct taking *taking = context;
    struct billet_secret *answer = taking->answer;
    size_t length = size * count;
    if (length > answer->size - answer->length) {
        taking->too_long = true;
        return 0;
    }
    memcpy(answer->bytes + answer->length, bytes, length);
    answer->length += length;
    answer->bytes[answer->length] = '\0';
    return length;
}

static int
set_up(CURL *curl, const struct billet_vault *vault, const struct billet_vault_request *request,
       struct curl_slist **headers)
{
    int64_t left_ms = (request->deadline_ns - billet_clock_monotonic()) / 1000000;
    for (size_t i = 0; request->headers[i] != NULL; i++) {
        struct curl_slist *grown = curl_slist_append(*headers, request->headers[i]);
        if (grown == NULL)
            return CURLE_OUT_OF_MEMORY;
        *headers = grown;
    }
    if (left_ms <= 0)
        return CURLE_OPERATION_TIMEDOUT;
    CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, request->url);
    /* What makes it safe must be there; the rest is comfort. */
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    if (code == CURLE_OK && request->body != NULL)
        code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body);
    if (code == CURLE_OK && vault->ca_file != NULL)
        code = curl_easy_setopt(curl, CURLOPT_CAINFO, vault->ca_file);
    if (code == CURLE_OK && request->direct)
        code = curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)left_ms);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                                left_ms < CONNECT_MS ? (long)left_ms : (long)CONNECT_MS);
    if (code == CURLE_OK)
        code = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, *headers);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "billet");
    return (int)code;
}

static void
wipe_headers(struct curl_slist *headers)
{
    for (struct curl_slist *at = headers; at != NULL; at = at->next)
        sodium_memzero(at->data, strlen(at->data));
    curl_slist_free_all(headers);
}

int
billet_vault_http(const struct billet_vault *vault, const struct billet_vault_request *request,
                  long *status, struct billet_secret *answer, struct billet_error *error)
{
    static bool ready;
    struct billet_secret made = BILLET_SECRET_INIT;
    struct taking taking = {.answer = &made};
    struct curl_slist *headers = NULL;
    if (!ready && curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc,
                                       strdup, calloc) != CURLE_OK)
        return billet_error_no_memory(error);
    ready = true;
    int result = billet_secret_make(&made, BILLET_VAULT_ANSWER_MAX, error);
    if (result < 0)
        return result;
    CURL *curl = curl_easy_init();
    int code = curl != NULL ? set_up(curl, vault, request, &headers) : CURLE_OUT_OF_MEMORY;
    if (code == CURLE_OK) {
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
        curl_easy_setopt(curl, CURLOPT_WRITEDATA, &taking);
        code = (int)curl_easy_perform(curl);
    }
    if (code == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    if (taking.too_long)
        result = billet_vault_failed(vault, "vault_answer_invalid", error);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        result = billet_vault_failed(vault, "vault_timeout", error);
    else if (code == CURLE_OUT_OF_MEMORY)
        result = billet_error_no_memory(error);
    else if (code != CURLE_OK) {
        /* Of libcurl's fixed texts, not its buffer with details. */
        result = billet_vault_failed(vault, "vault_unreachable", error);
        if (error != NULL)
            billet_error_wrap(error, "%s", curl_easy_strerror((CURLcode)code));
    }
    curl_easy_cleanup(curl);
    wipe_headers(headers);
    if (result < 0) {
        billet_secret_free(&made);
        return result;
    }
    *answer = made;
    return 0;
}

json_t *
billet_vault_load_json(const char *bytes, size_t length)
{
    struct allocators before = begin_wiping();
    json_t *value = json_loadb(bytes, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    end_wiping(before);
    return value;
}

int
billet_vault_http_json(const struct billet_vault *vault, const struct billet_secret *answer,
                       json_t **value, struct billet_error *error)
{
    *value = billet_vault_load_json((const char *)answer->bytes, answer->length);
    if (json_is_object(*value))
        return 0;
    billet_vault_wipe_json(value);
    return billet_vault_failed(vault, "vault_answer_invalid", error);
}

void
billet_vault_wipe_json(json_t **value)
{
    struct allocators before = begin_wiping();
    json_decref(*value);
    end_wiping(before);
    *value = NULL;
}

int
billet_vault_take_field(const struct billet_vault *vault, const json_t *fields, const char *name,
                        struct billet_secret *value, struct billet_error *error)
{
    const json_t *found = json_object_get(fields, name[0] != '\0' ? name : "value");
    if (found == NULL && name[0] == '\0' && json_object_size(fields) == 1)
        found = json_object_iter_value(json_object_iter((json_t *)(uintptr_t)fields));
    if (found == NULL)
        return billet_vault_failed(vault, "vault_field_missing", error);
    if (json_is_string(found) && json_string_length(found) <= BILLET_SECRET_MAX)
        return billet_secret_copy(value, json_string_value(found), json_string_length(found),
                                  error);
    if (json_is_string(found))
        return billet_vault_failed(vault, "vault_value_too_large", error);
    struct allocators before = begin_wiping();
    char *text = json_dumps(found, JSON_COMPACT | JSON_ENCODE_ANY);
    end_wiping(before);
    if (text == NULL)
        return billet_error_no_memory(error);
    int result = strlen(text) <= BILLET_SECRET_MAX
                     ? billet_secret_copy(value, text, strlen(text), error)
                     : billet_vault_failed(vault, "vault_value_too_large", error);
    wiping_free(text);
    return result;
}

void
billet_vault_url_add(struct billet_buffer *url, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~/", c) != NULL)
            billet_buffer_add_char(url, (char)c);
        else
            billet_buffer_format(url, "%%%02X", c);
    }
}

int
billet_vault_check_address(const struct billet_vault *vault, const char *address,
                           struct billet_error *error)
{
    static const char *const here[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
    if (billet_text_starts(address, "https://"))
        return 0;
    for (size_t i = 0; i < sizeof(here) / sizeof(here[0]); i++) {
        size_t length = strlen(here[i]);
        if (strncmp(address, here[i], length) == 0 &&
            (address[length] == '\0' || address[length] == ':' || address[length] == '/'))
            return 0;
    }
    return billet_vault_invalid(vault, error,
                                "an address begins with https://; http is for this machine only");
}
