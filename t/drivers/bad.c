/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One source of many drivers that each break one rule; VARIANT_* says which, DRIVER_NAME the name.
 */
#include <billet/driver.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(VARIANT_ABI)
#undef BILLET_ABI_MAJOR
#define BILLET_ABI_MAJOR 999

/* Code of the file that runs at load: it must never come to that. */
__attribute__((constructor)) static void
leave_a_trace(void)
{
    const char *path = getenv("T_CONSTRUCTOR_FILE");
    int fd = path != NULL ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0)
        close(fd);
}
#endif

#if defined(VARIANT_HOST_MINOR)
#define LOWEST 77
#else
#define LOWEST 0
#endif

#if defined(VARIANT_UNDEFINED)
extern int billet_test_nobody_defines_this(void);
#endif

static int
acquire(const struct billet_call *call, const struct billet_acquire *args,
        struct billet_acquired *result, struct billet_error *error)
{
    (void)call;
    (void)args;
    (void)error;
    strcpy(result->ref, "resource");
#if defined(VARIANT_UNDEFINED)
    return billet_test_nobody_defines_this();
#else
    return 0;
#endif
}

__attribute__((unused)) static int
release(const struct billet_call *call, struct billet_lease_handle *handle, int32_t disposition,
        struct billet_error *error)
{
    (void)call;
    (void)handle;
    (void)disposition;
    (void)error;
    return 0;
}

static int
exec(const struct billet_call *call, struct billet_lease_handle *handle,
     const struct billet_exec *args, struct billet_exec_result *result, struct billet_error *error)
{
    (void)call;
    (void)handle;
    (void)args;
    (void)error;
    result->outcome = BILLET_OUTCOME_EXITED;
    return 0;
}

static int
realize(const struct billet_call *call, struct billet_lease_handle *handle,
        const struct billet_realize *args, struct billet_realized *result,
        struct billet_error *error)
{
    (void)call;
    (void)handle;
    (void)args;
    (void)error;
    strcpy(result->directory, "/");
    return 0;
}

#if defined(VARIANT_CALLBACK)
static int
list(const struct billet_call *call, struct billet_error *error)
{
    (void)call;
    (void)error;
    return 0;
}
#endif

#if defined(VARIANT_OLD)
/* What a driver of a first version would have: nothing after realize. Never read beyond. */
#define TABLE_SIZE offsetof(struct billet_driver, signal)
#elif defined(VARIANT_NEW)
#define TABLE_SIZE sizeof(struct newer)
#else
#define TABLE_SIZE sizeof(struct billet_driver)
#endif

struct newer {
    struct billet_driver table;
    int32_t (*unheard_of)(void);
    uint64_t more[20];
};

static const struct billet_option options[] = {
#if defined(VARIANT_SCHEMA)
    {.name = "api_token", .type = BILLET_OPTION_STRING, .text = "A token that is not marked."},
#else
    {.name = "size", .type = BILLET_OPTION_SIZE, .text = "A size."},
#endif
};

/* Writable, so that whatever a variant asks for can be set. */
__attribute__((unused)) static struct newer the_table = {
    .table =
        {
            .struct_size = TABLE_SIZE,
            .abi_major = BILLET_ABI_MAJOR,
            .abi_minor = BILLET_ABI_MINOR,
#if defined(VARIANT_TABLE_NAME)
            .name = "somebody_else",
#else
            .name = DRIVER_NAME,
#endif
            .version = "0.1",
            .text = "A driver for tests.",
#if defined(VARIANT_THREADS_UNKNOWN)
            .thread_model = 9999,
#elif defined(VARIANT_THREADS_LOW)
            .thread_model = BILLET_THREADS_SERIAL,
            .capabilities = BILLET_CAN_CONCURRENT_EXEC,
#else
            .thread_model = BILLET_THREADS_SERIAL,
#endif
            .option_size = sizeof(struct billet_option),
            .options = options,
            .option_count = 1,
#if defined(VARIANT_CAPABILITY)
            .capabilities = BILLET_CAN_RESUME,
#elif defined(VARIANT_CAPABILITY_UNKNOWN)
            .capabilities = UINT64_C(1) << 50,
#endif
#if defined(VARIANT_MODES)
            .workspace_modes = 1u << 9,
#else
            .workspace_modes = 1u << BILLET_WORKSPACE_NONE,
#endif
            .acquire = acquire,
#if !defined(VARIANT_REQUIRED)
            .release = release,
#endif
            .realize = realize,
            .exec = exec,
#if defined(VARIANT_CALLBACK)
            .list = list,
#endif
#if defined(VARIANT_OLD)
            /* beyond struct_size: must be taken for missing */
            .dump = (int32_t(*)(const struct billet_call *, struct billet_error *))(uintptr_t)16,
#endif
        },
    .more = {1, 2, 3},
};

#if defined(VARIANT_NO_NOTE)
__attribute__((visibility("default"))) const struct billet_driver *billet_driver_init(
    const struct billet_host *host, struct billet_error *error);
const struct billet_driver *
billet_driver_init(const struct billet_host *the_host, struct billet_error *error)
#elif defined(VARIANT_NO_ENTRY)
#define billet_driver_init billet_driver_hidden
#define HIDDEN(name) BILLET_DRIVER(name, "0.1", 0)
HIDDEN(DRIVER_NAME)
#elif defined(VARIANT_NOTE_NAME)
BILLET_DRIVER("another", "0.1", LOWEST)
#else
BILLET_DRIVER(DRIVER_NAME, "0.1", LOWEST)
#endif
{
    (void)the_host;
    (void)error;
#if defined(VARIANT_INIT_CRASH)
    abort();
#elif defined(VARIANT_INIT_ERROR)
    error->error_class = BILLET_CLASS_UNAVAILABLE;
    strcpy(error->message, "the moon is not full");
    return NULL;
#elif defined(VARIANT_INIT_SILENT)
    return NULL;
#else
    return &the_table.table;
#endif
}
