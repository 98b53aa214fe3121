/* SPDX-License-Identifier: Apache-2.0 */
/* driver_hello.c - a complete driver: a command is greeted in place of being run. */
#include <billet/driver.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct billet_host *host;

struct billet_lease_handle {
    char lease[64];
};

static const struct billet_option options[] = {
    {.name = "greeting",
     .type = BILLET_OPTION_STRING,
     .default_value = "hello",
     .minimum = 1,
     .maximum = 80,
     .text = "How commands are greeted."},
};

static int32_t
fail(struct billet_error *error, int32_t error_class, const char *code, const char *format, ...)
{
    va_list arguments;
    error->error_class = error_class;
    snprintf(error->code, sizeof(error->code), "%s", code);
    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    return -error_class;
}

static int32_t
acquire(const struct billet_call *call, const struct billet_acquire *args,
        struct billet_acquired *result, struct billet_error *error)
{
    (void)args;
    result->handle = calloc(1, sizeof(*result->handle));
    if (result->handle == NULL)
        return fail(error, BILLET_CLASS_CAPACITY, "out_of_memory", "out of memory");
    snprintf(result->handle->lease, sizeof(result->handle->lease), "%s", call->identity->lease);
    snprintf(result->ref, sizeof(result->ref), "hello-%s", call->identity->lease);
    host->fact(call, "greeting", billet_config_string(call->config, "greeting", ""));
    return 0;
}

static int32_t
release(const struct billet_call *call, struct billet_lease_handle *handle, int32_t disposition,
        struct billet_error *error)
{
    (void)call;
    (void)disposition;
    (void)error;
    free(handle);
    return 0;
}

static int32_t
exec(const struct billet_call *call, struct billet_lease_handle *handle,
     const struct billet_exec *args, struct billet_exec_result *result, struct billet_error *error)
{
    const char *greeting = billet_config_string(call->config, "greeting", "");
    host->started(call, 0);
    if (dprintf(args->stdout_fd, "%s, %s, on lease %s\n", greeting, args->argv[0], handle->lease) <
        0)
        return fail(error, BILLET_CLASS_UNAVAILABLE, "io_failed", "cannot write the greeting");
    result->outcome = BILLET_OUTCOME_EXITED;
    result->value = 0;
    return 0;
}

static const struct billet_driver table = {
    .struct_size = sizeof(table),
    .abi_major = BILLET_ABI_MAJOR,
    .abi_minor = BILLET_ABI_MINOR,
    .name = "hello",
    .version = "1.0",
    .text = "Environments that greet commands.",
    .thread_model = BILLET_THREADS_SERIAL,
    .option_size = sizeof(struct billet_option),
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .capabilities = BILLET_CAN_BINARY,
    .workspace_modes = 1u << BILLET_WORKSPACE_NONE,
    .acquire = acquire,
    .release = release,
    .exec = exec,
};

BILLET_DRIVER("hello", "1.0", 0)
{
    (void)error;
    host = the_host;
    return &table;
}
