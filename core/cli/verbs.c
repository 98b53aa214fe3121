/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verbs.c - every verb, in the order of the help.
 */
#include "cli/command.h"

extern const struct cli_command cli_run, cli_exec, cli_shell, cli_push, cli_pull;
extern const struct cli_command cli_driver_list, cli_driver_show, cli_driver_schema,
    cli_driver_probe;
extern const struct cli_command cli_env_create, cli_env_list, cli_env_show, cli_env_edit,
    cli_env_probe, cli_env_trust, cli_env_archive, cli_env_drain, cli_env_undrain, cli_env_delete;
extern const struct cli_command cli_lease_acquire, cli_lease_list, cli_lease_show,
    cli_lease_release, cli_lease_destroy, cli_lease_reap, cli_janitor, cli_status;
extern const struct cli_command cli_secret_set, cli_secret_list, cli_secret_show, cli_secret_rotate,
    cli_secret_usage, cli_secret_bind, cli_secret_unbind, cli_secret_enable, cli_secret_disable,
    cli_secret_verify, cli_secret_rm, cli_secret_import, cli_audit_list, cli_audit_verify,
    cli_vault_list, cli_vault_probe, cli_vault_import, cli_vault_discover, cli_vault_versions,
    cli_vault_put, cli_vault_promote, cli_vault_rollback;
extern const struct cli_command cli_key_init, cli_key_list, cli_key_rotate, cli_key_export,
    cli_key_import;
extern const struct cli_command cli_config_check, cli_config_show, cli_doctor, cli_db_status,
    cli_db_check, cli_db_migrate, cli_db_copy;

/* One a line, so that two who add a verb do not meet. */
/* clang-format off */
const struct cli_command *const cli_commands[] = {
    &cli_run,
    &cli_exec,
    &cli_shell,
    &cli_push,
    &cli_pull,
    &cli_driver_list,
    &cli_driver_show,
    &cli_driver_schema,
    &cli_driver_probe,
    &cli_env_create,
    &cli_env_list,
    &cli_env_show,
    &cli_env_edit,
    &cli_env_probe,
    &cli_env_trust,
    &cli_env_archive,
    &cli_env_drain,
    &cli_env_undrain,
    &cli_env_delete,
    &cli_lease_acquire,
    &cli_lease_list,
    &cli_lease_show,
    &cli_lease_release,
    &cli_lease_destroy,
    &cli_lease_reap,
    &cli_janitor,
    &cli_status,
    &cli_secret_set,
    &cli_secret_list,
    &cli_secret_show,
    &cli_secret_rotate,
    &cli_secret_usage,
    &cli_secret_bind,
    &cli_secret_unbind,
    &cli_secret_enable,
    &cli_secret_disable,
    &cli_secret_verify,
    &cli_secret_rm,
    &cli_secret_import,
    &cli_vault_list,
    &cli_vault_probe,
    &cli_vault_discover,
    &cli_vault_import,
    &cli_vault_versions,
    &cli_vault_put,
    &cli_vault_promote,
    &cli_vault_rollback,
    &cli_audit_list,
    &cli_audit_verify,
    &cli_key_init,
    &cli_key_list,
    &cli_key_rotate,
    &cli_key_export,
    &cli_key_import,
    &cli_config_check,
    &cli_config_show,
    &cli_doctor,
    &cli_db_status,
    &cli_db_check,
    &cli_db_migrate,
    &cli_db_copy,
    NULL,
};
