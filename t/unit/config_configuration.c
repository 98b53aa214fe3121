/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "config/configuration.h"
#include "config/option.h"
#include "config/parser.h"
#include "config_support.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char base[64];
static char directories[4][128]; /* etc, run, lib, user */
static const char *system_directories[4];

static void
set_up(void)
{
    static const char *const names[] = {"etc", "run", "lib", "user"};
    snprintf(base, sizeof(base), "/tmp/billet-config-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    for (size_t i = 0; i < 4; i++)
        snprintf(directories[i], sizeof(directories[i]), "%s/%s", base, names[i]);
    for (size_t i = 0; i < 3; i++)
        system_directories[i] = directories[i];
    system_directories[3] = NULL;
    unsetenv("BILLET_STORE");
    unsetenv("BILLET_ENVIRONMENT");
    unsetenv("BILLET_LOG_LEVEL");
    unsetenv("BILLET_CONFIG");
    umask(022);
}

static void
tear_down(void)
{
    support_remove_tree(base);
}

static struct billet_configuration_sources
sources(void)
{
    return (struct billet_configuration_sources){.system = system_directories,
                                                 .user = directories[3]};
}

static struct billet_configuration *
load(const struct billet_configuration_sources *from, const char *expected)
{
    struct billet_configuration *made = NULL;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    int result = billet_configuration_load(from, &made, &problems, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    if (expected != NULL)
        support_expect_problems("load", &problems, expected);
    billet_diagnostics_free(&problems);
    return made;
}

/* One file etc/billet.conf and what is said of it; BASE stands for its path. */
static const struct {
    const char *text;
    const char *expected;
} files[] = {
    {"[store]\nurl = sqlite:/x\n[billet]\nlease_ttl = 15s\n", ""},
    {"[stroe]\nurl = x\n", "@:1:1: error: unknown section 'stroe' (did you mean 'store'?)\n"},
    {"[zzzzzzzz]\n", "@:1:1: error: unknown section 'zzzzzzzz'\n"},
    {"[store main]\n", "@:1:1: error: [store] has no name: write [store], not [store main]\n"},
    {"[driver]\n", "@:1:1: error: [driver] wants a name: write [driver NAME]\n"},
    {"[environment -x]\n",
     "@:1:1: error: [environment NAME]: '-x' is not a name: letters, digits, '.', '_' and '-', "
     "beginning with a letter or digit, at most 64\n"},
    {"[store]\nulr = x\n", "@:2:1: error: [store] unknown key 'ulr' (did you mean 'url'?)\n"},
    {"[billet]\nenv.X = x\n", "@:2:1: error: [billet] unknown key 'env.X'\n"},
    {"[billet]\nlease_ttl = 9s\n", "@:2:13: error: 'lease_ttl' wants 10s to 1d\n"},
    {"[billet]\nlog_level = warn\n",
     "@:2:13: error: 'log_level' wants error, warning, info or debug, not 'warn'\n"},
    {"[billet]\nlog_level = inf\n",
     "@:2:13: error: 'log_level' wants error, warning, info or debug, not 'inf' (did you mean "
     "'info'?)\n"},
    {"[billet]\ndriver_directory = /a /b\ndriver_directory = /c\n", ""},
    {"[billet]\ndriver_directory = a\n",
     "@:2:20: error: 'driver_directory': 'a' does not match /.*\n"},
    {"[store]\nurl = a\n\nurl = b\n", "@:4:1: error: 'url' given twice (first in line 2)\n"},
    {"[store]\nurl = a\n[store]\n  url = b\n",
     "@:4:3: error: 'url' given twice (first in line 2)\n"},
    {"[driver ssh]\nenabled = maybe\n", "@:2:11: error: 'enabled' wants yes or no, not 'maybe'\n"},
    {"[driver ssh]\nenabled = yes\nenabled = no\n",
     "@:3:1: error: 'enabled' given twice (first in line 2)\n"},
    {"[driver ssh]\nenabled = yes\n[driver ssh]\nport = 1\n", ""},
    {"[driver ssh]\nport = 1\nport = 2\n", ""},
    {"[driver ssh]\npath = x.so\n", "@:2:8: error: 'path' wants an absolute path, not 'x.so'\n"},
    {"[environment a]\n", "@:1:1: error: [environment a] 'driver' is missing\n"},
    {"[environment a]\ndriver = x/y\n",
     "@:2:10: error: 'driver': 'x/y' does not match [A-Za-z0-9][A-Za-z0-9._-]*\n"},
    {"[environment a]\ndriver = local\ntenant =\n", "@:3:9: error: 'tenant' wants 1 to 64 bytes\n"},
    {"[environment a]\ndriver = local\ndriver = local\n",
     "@:3:1: error: 'driver' given twice (first in line 2)\n"},
    {"[environment a]\ndriver = local\nenv.X = 1\nenv.X = 2\n",
     "@:4:1: error: 'env.X' given twice (first in line 3)\n"},
    {"[environment a]\ndriver = x\nhost = 1\nhost = 2\n", ""},
    {"[environment a]\ndriver = local\n[environment b]\ndriver = local\n"
     "[environment a]\ntimeout = 1s\n",
     "@:5:1: error: [environment a] given twice (first in line 1)\n"},
    {"[environment sandbox]\nmemory_max = 1GiB\n", ""},
    {"x = 1\n[store]\nulr = 1\n[",
     "@:1:1: error: 'x' stands before any section: write [kind name] above it\n"
     "@:4:2: error: a section's kind is missing: write [kind name]\n"
     "@:3:1: error: [store] unknown key 'ulr' (did you mean 'url'?)\n"},
};

START_TEST(reports_what_a_file_has_wrong)
{
    struct billet_configuration_sources from = sources();
    char expected[2048] = "";
    support_write(base, "etc/billet.conf", files[_i].text);
    for (const char *at = files[_i].expected; *at != '\0'; at++) {
        size_t used = strlen(expected);
        if (*at == '@')
            snprintf(expected + used, sizeof(expected) - used, "%s/etc/billet.conf", base);
        else
            snprintf(expected + used, sizeof(expected) - used, "%c", *at);
    }
    billet_configuration_free(load(&from, expected));
}
END_TEST

START_TEST(nothing_at_all_is_fine)
{
    struct billet_configuration_sources from = sources();
    struct billet_configuration *view = load(&from, "");
    ck_assert_uint_eq(billet_configuration_count(view), 0);
    ck_assert_str_eq(billet_configuration_value(view, "store", "", "url")->string, "");
    ck_assert(billet_configuration_value(view, "billet", "", "lease_ttl")->number ==
              60 * BILLET_NS_PER_SECOND);
    ck_assert(billet_configuration_value(view, "billet", "", "held_lease_ttl")->number ==
              3600 * BILLET_NS_PER_SECOND);
    ck_assert_int_eq(billet_configuration_value(view, "billet", "", "log_level")->number, 1);
    ck_assert_int_eq(billet_configuration_value(view, "billet", "", "environment")->is_set, 0);
    ck_assert(billet_configuration_driver_enabled(view, "local"));
    ck_assert(billet_configuration_driver_enabled(view, "sandbox"));
    ck_assert(!billet_configuration_driver_enabled(view, "ssh"));
    ck_assert(billet_configuration_driver_enabled(NULL, "local"));
    ck_assert(!billet_configuration_driver_enabled(NULL, "ssh"));
    ck_assert_ptr_null(billet_configuration_value(view, "nothing", "", "url"));
    ck_assert_ptr_null(billet_configuration_value(view, "store", "", "nothing"));
    ck_assert_ptr_null(billet_configuration_find(view, "store", ""));
    ck_assert_ptr_null(billet_configuration_at(view, 0));
    billet_configuration_free(view);
    billet_configuration_free(NULL);
    from = (struct billet_configuration_sources){0};
    billet_configuration_free(load(&from, ""));
}
END_TEST

/* Each level is written on top of those before it and must win over all of them. */
START_TEST(precedence_low_to_high)
{
    static const struct {
        const char *file;
    } levels[] = {
        {"lib/billet.conf"},
        {"run/billet.conf"},
        {"etc/billet.conf"},
        {"etc/billet.conf.d/20-b.conf"},
        {"lib/billet.conf.d/30-a.conf"}, /* later by name, though a lower directory */
        {"run/billet.conf.d/30-a.conf"},
        {"etc/billet.conf.d/30-a.conf"},
        {"etc/environments.d/10.conf"},
        {"user/billet.conf"},
        {"user/billet.conf.d/10.conf"},
        {"user/environments.d/10.conf"},
    };
    struct billet_configuration_sources from = sources();
    char wanted[32];
    for (size_t i = 0; i < COUNT(levels); i++) {
        char text[128];
        snprintf(wanted, sizeof(wanted), "value-%zu", i);
        snprintf(text, sizeof(text), "# one\n[store]\nurl = %s\n", wanted);
        support_write(base, levels[i].file, text);
        struct billet_configuration *view = load(&from, "");
        ck_assert_msg(
            strcmp(billet_configuration_value(view, "store", "", "url")->string, wanted) == 0,
            "%s does not win", levels[i].file);
        /* the origin is the file that won */
        const struct billet_section *section = billet_configuration_find(view, "store", "");
        ck_assert_uint_eq(section->settings.count, 1);
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", base, levels[i].file);
        ck_assert_str_eq(section->settings.items[0].origin.text, path);
        ck_assert_int_eq(section->settings.items[0].origin.line, 3);
        ck_assert_int_eq(section->settings.items[0].origin.column, 7);
        billet_configuration_free(view);
    }
    setenv("BILLET_STORE", "from-variable", 1);
    struct billet_configuration *view = load(&from, "");
    ck_assert_str_eq(billet_configuration_value(view, "store", "", "url")->string, "from-variable");
    ck_assert_str_eq(billet_configuration_find(view, "store", "")->settings.items[0].origin.text,
                     "BILLET_STORE");
    billet_configuration_free(view);
    struct billet_settings overrides = BILLET_SETTINGS_INIT;
    billet_settings_add(&overrides, "store.url", "first", "--set", 0, 0, 0);
    billet_settings_add(&overrides, "store.url", "from-set", "--set", 0, 0, 0);
    from.overrides = &overrides;
    view = load(&from, "");
    ck_assert_str_eq(billet_configuration_value(view, "store", "", "url")->string, "from-set");
    billet_configuration_free(view);
    billet_settings_free(&overrides);
}
END_TEST

START_TEST(a_file_hides_those_of_its_name_below)
{
    struct billet_configuration_sources from = sources();
    support_write(base, "lib/billet.conf", "[store]\nurl = lib\nlock_timeout = 1s\n");
    support_write(base, "etc/billet.conf", "[store]\nurl = etc\n");
    support_write(base, "lib/billet.conf.d/10-x.conf", "[driver ssh]\nenabled = yes\n");
    support_write(base, "lib/billet.conf.d/20-y.conf", "[driver vm]\nenabled = yes\n");
    support_write(base, "lib/billet.conf.d/not-read.txt", "[nonsense\n");
    support_write(base, "lib/billet.conf.d/.hidden.conf", "[nonsense\n");
    support_write(base, "etc/billet.conf.d/10-x.conf", "");
    char link[256];
    snprintf(link, sizeof(link), "%s/etc/billet.conf.d/20-y.conf", base);
    struct billet_configuration *view = load(&from, "");
    ck_assert(billet_configuration_value(view, "store", "", "lock_timeout")->number ==
              10 * BILLET_NS_PER_SECOND);
    ck_assert(!billet_configuration_driver_enabled(view, "ssh"));
    ck_assert(billet_configuration_driver_enabled(view, "vm"));
    billet_configuration_free(view);
    ck_assert_int_eq(symlink("/dev/null", link), 0);
    view = load(&from, "");
    ck_assert(!billet_configuration_driver_enabled(view, "vm"));
    billet_configuration_free(view);
}
END_TEST

START_TEST(sections_of_two_files_merge)
{
    struct billet_configuration_sources from = sources();
    support_write(base, "etc/billet.conf",
                  "[driver ssh]\nenabled = yes\nport = 1\nport = 2\njump = a\n"
                  "[store]\nurl = x\n[environment b]\ndriver = ssh\nhost = h\n");
    support_write(base, "etc/billet.conf.d/1.conf",
                  "[driver ssh]\nport = 3\nport = 4\n[driver local]\nenabled = no\n"
                  "[environment b]\nuser = u\nhost = i\n[environment a]\ndriver = local\n");
    struct billet_configuration *view = load(&from, "");
    const struct billet_section *ssh = billet_configuration_find(view, "driver", "ssh");
    ck_assert_uint_eq(ssh->settings.count, 4);
    ck_assert_str_eq(ssh->settings.items[0].name, "enabled");
    ck_assert_str_eq(ssh->settings.items[1].name, "jump");
    ck_assert_str_eq(ssh->settings.items[2].value, "3");
    ck_assert_str_eq(ssh->settings.items[3].value, "4");
    ck_assert(billet_configuration_driver_enabled(view, "ssh"));
    ck_assert(!billet_configuration_driver_enabled(view, "local"));
    ck_assert(billet_configuration_driver_enabled(view, "sandbox"));
    /* listed by kind and name */
    static const char *const order[][2] = {{"driver", "local"},
                                           {"driver", "ssh"},
                                           {"environment", "a"},
                                           {"environment", "b"},
                                           {"store", ""}};
    ck_assert_uint_eq(billet_configuration_count(view), COUNT(order));
    for (size_t i = 0; i < COUNT(order); i++) {
        ck_assert_str_eq(billet_configuration_at(view, i)->kind, order[i][0]);
        ck_assert_str_eq(billet_configuration_at(view, i)->name, order[i][1]);
    }
    const struct billet_section *b = billet_configuration_find(view, "environment", "b");
    ck_assert_str_eq(billet_settings_get(&b->settings, "host")->value, "i");
    ck_assert_str_eq(billet_settings_get(&b->settings, "driver")->value, "ssh");
    ck_assert_int_eq(b->origin.line, 8);
    ck_assert_str_eq(billet_configuration_value(view, "environment", "b", "driver")->string, "ssh");
    ck_assert(billet_configuration_value(view, "environment", "b", "kill_after")->number ==
              10 * BILLET_NS_PER_SECOND);
    billet_configuration_free(view);
}
END_TEST

START_TEST(a_wrong_value_falls_back_to_the_default)
{
    struct billet_configuration_sources from = sources();
    support_write(base, "etc/billet.conf", "[billet]\nlease_ttl = 1s\nlog_level = info\n");
    struct billet_configuration *view = load(&from, NULL);
    ck_assert(billet_configuration_value(view, "billet", "", "lease_ttl")->number ==
              60 * BILLET_NS_PER_SECOND);
    ck_assert_int_eq(billet_configuration_value(view, "billet", "", "log_level")->number, 2);
    billet_configuration_free(view);
}
END_TEST

START_TEST(config_file_stands_for_all)
{
    struct billet_configuration_sources from = sources();
    struct billet_configuration *view = NULL;
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_error error = BILLET_ERROR_INIT;
    char path[128];
    char expected[512];
    support_write(base, "etc/billet.conf", "[store]\nurl = etc\n");
    support_write(base, "only.conf", "[billet]\nlog_level = debug\n");
    snprintf(path, sizeof(path), "%s/only.conf", base);
    from.file = path;
    view = load(&from, "");
    ck_assert_str_eq(billet_configuration_value(view, "store", "", "url")->string, "");
    ck_assert_int_eq(billet_configuration_value(view, "billet", "", "log_level")->number, 3);
    billet_configuration_free(view);

    ck_assert_int_eq(unlink(path), 0);
    view = NULL;
    ck_assert_int_eq(billet_configuration_load(&from, &view, &problems, &error),
                     -BILLET_CLASS_CONFIG);
    snprintf(expected, sizeof(expected), "config file %s does not exist", path);
    ck_assert_str_eq(error.message, expected);
    ck_assert_str_eq(error.code, "config_not_found");
    ck_assert_ptr_null(view);

    support_write(base, "only.conf", "");
    ck_assert_int_eq(chmod(path, 0666), 0);
    ck_assert_int_eq(billet_configuration_load(&from, &view, &problems, &error),
                     -BILLET_CLASS_AUTH);
    ck_assert_str_eq(error.code, "path_untrusted");
    ck_assert_uint_eq(problems.count, 0);
}
END_TEST

START_TEST(untrusted_files_are_reported_and_not_read)
{
    struct billet_configuration_sources from = sources();
    struct billet_diagnostics problems = BILLET_DIAGNOSTICS_INIT;
    struct billet_configuration *view = NULL;
    char path[256];
    char expected[1024];
    support_write(base, "etc/billet.conf", "[store]\nurl = evil\n");
    support_write(base, "etc/billet.conf.d/1.conf", "[store]\nlock_timeout = 1s\n");
    snprintf(path, sizeof(path), "%s/etc/billet.conf", base);
    ck_assert_int_eq(chmod(path, 0664), 0);
    ck_assert_int_eq(billet_configuration_load(&from, &view, &problems, NULL), 0);
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_str_eq(problems.items[0].code, "path_untrusted");
    snprintf(expected, sizeof(expected),
             "%s: error: %s is writable by group or others (chmod go-w the file)\n", path, path);
    support_expect_problems("untrusted", &problems, expected);
    ck_assert_str_eq(billet_configuration_value(view, "store", "", "url")->string, "");
    ck_assert(billet_configuration_value(view, "store", "", "lock_timeout")->number ==
              BILLET_NS_PER_SECOND);
    billet_configuration_free(view);

    /* a link, a directory in a file's place, a file in a directory's place */
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("1.conf", path), 0);
    snprintf(expected, sizeof(expected),
             "%s: error: %s is a symbolic link (name the file itself)\n", path, path);
    billet_configuration_free(load(&from, expected));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0755), 0);
    snprintf(expected, sizeof(expected), "%s: error: %s is not a regular file (put a file there)\n",
             path, path);
    billet_configuration_free(load(&from, expected));
    support_write(base, "user", "not a directory");
    billet_configuration_free(load(&from, expected));
}
END_TEST

START_TEST(a_file_is_bounded)
{
    struct billet_configuration_sources from = sources();
    char path[256];
    char expected[1024];
    support_write(base, "etc/billet.conf", "");
    snprintf(path, sizeof(path), "%s/etc/billet.conf", base);
    ck_assert_int_eq(truncate(path, BILLET_PARSER_FILE_MAX + 1), 0);
    snprintf(expected, sizeof(expected), "%s: error: cannot read %s: more than 1048576 bytes\n",
             path, path);
    billet_configuration_free(load(&from, expected));
}
END_TEST

START_TEST(all_files_together_are_bounded)
{
    struct billet_configuration_sources from = sources();
    struct billet_buffer text = BILLET_BUFFER_INIT;
    char expected[512];
    for (int i = 0; i < 6000; i++)
        billet_buffer_format(&text, "[driver d%d]\n", i);
    support_write(base, "etc/billet.conf", billet_buffer_text(&text));
    support_write(base, "etc/billet.conf.d/1.conf", "[driver ssh]\nenabled = yes\n");
    support_write(base, "etc/billet.conf.d/2.conf", billet_buffer_text(&text));
    snprintf(expected, sizeof(expected),
             "%s/etc/billet.conf.d/2.conf: error: more than 10000 settings in all files together\n",
             base);
    struct billet_configuration *view = load(&from, expected);
    ck_assert_uint_eq(billet_configuration_count(view), 6001);
    ck_assert(billet_configuration_driver_enabled(view, "ssh"));
    billet_configuration_free(view);
    billet_buffer_free(&text);
}
END_TEST

START_TEST(overrides_reach_every_section)
{
    static const struct {
        const char *name;
        const char *value;
        const char *kind;
        const char *section;
        const char *key;
    } good[] = {
        {"billet.log_level", "debug", "billet", "", "log_level"},
        {"driver.ssh.enabled", "yes", "driver", "ssh", "enabled"},
        {"environment.sandbox.network", "no", "environment", "sandbox", "network"},
        {"environment.local.env.PATH", "/bin", "environment", "local", "env.PATH"},
        {"environment.a.b.driver", "x", "environment", "a.b", "driver"},
        {"environment.env.driver", "x", "environment", "env", "driver"},
    };
    static const struct {
        const char *name;
        const char *expected;
    } bad[] = {
        {"url", "--set: error: 'url' is not a key such as store.url or environment.NAME.timeout\n"},
        {"store.", "--set: error: 'store.' is not a key such as store.url or "
                   "environment.NAME.timeout\n"},
        {"driver.enabled", "--set: error: 'driver.enabled' is not a key such as store.url or "
                           "environment.NAME.timeout\n"},
        {"driver..enabled", "--set: error: 'driver..enabled' is not a key such as store.url or "
                            "environment.NAME.timeout\n"},
        {"driver.a/b.enabled",
         "--set: error: [driver NAME]: 'a/b' is not a name: letters, digits, '.', '_' and '-', "
         "beginning with a letter or digit, at most 64\n"},
        {"stor.url", "--set: error: unknown section 'stor' (did you mean 'store'?)\n"},
        {"store.urk", "--set: error: [store] unknown key 'urk' (did you mean 'url'?)\n"},
        {"billet.lease_ttl", "--set: error: 'lease_ttl': 'x' is not a duration such as 250ms, "
                             "10s, 5m or 1h30m\n"},
    };
    struct billet_configuration_sources from = sources();
    for (size_t i = 0; i < COUNT(good); i++) {
        struct billet_settings overrides = BILLET_SETTINGS_INIT;
        billet_settings_add(&overrides, good[i].name, good[i].value, "--set", 0, 0, 0);
        from.overrides = &overrides;
        struct billet_configuration *view = load(&from, "");
        const struct billet_section *section =
            billet_configuration_find(view, good[i].kind, good[i].section);
        ck_assert_msg(section != NULL, "%s", good[i].name);
        ck_assert_str_eq(billet_settings_get(&section->settings, good[i].key)->value,
                         good[i].value);
        billet_configuration_free(view);
        billet_settings_free(&overrides);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct billet_settings overrides = BILLET_SETTINGS_INIT;
        billet_settings_add(&overrides, bad[i].name, "x", "--set", 0, 0, 0);
        from.overrides = &overrides;
        billet_configuration_free(load(&from, bad[i].expected));
        billet_settings_free(&overrides);
    }
}
END_TEST

START_TEST(variables_are_read)
{
    struct billet_configuration_sources from = sources();
    setenv("BILLET_ENVIRONMENT", "build1", 1);
    setenv("BILLET_LOG_LEVEL", "loud", 1);
    setenv("BILLET_STORE", "", 1);
    struct billet_configuration *view =
        load(&from, "BILLET_LOG_LEVEL: error: 'log_level' wants error, warning, info or debug, "
                    "not 'loud'\n");
    ck_assert_str_eq(billet_configuration_value(view, "billet", "", "environment")->string,
                     "build1");
    ck_assert_ptr_null(billet_configuration_find(view, "store", ""));
    billet_configuration_free(view);
}
END_TEST

START_TEST(default_sources_follow_the_process)
{
    struct billet_configuration_sources *made = NULL;
    char wanted[PATH_MAX + 16];
    char here[PATH_MAX];
    ck_assert_ptr_nonnull(getcwd(here, sizeof(here)));
    setenv("XDG_CONFIG_HOME", "/xdg", 1);
    ck_assert_int_eq(billet_configuration_default_sources(NULL, &made, NULL), 0);
    ck_assert_ptr_null(made->file);
    ck_assert_str_eq(made->system[0], SYSCONF_DIRECTORY "/billet");
    ck_assert_str_eq(made->system[3], "/usr/lib/billet");
    ck_assert_ptr_null(made->system[4]);
    ck_assert_pstr_eq(made->user, geteuid() == 0 ? NULL : "/xdg/billet");
    billet_configuration_sources_free(made);
    unsetenv("XDG_CONFIG_HOME");
    setenv("HOME", "/home/of", 1);
    setenv("BILLET_CONFIG", "/from/variable", 1);
    billet_configuration_default_sources(NULL, &made, NULL);
    ck_assert_str_eq(made->file, "/from/variable");
    ck_assert_pstr_eq(made->user, geteuid() == 0 ? NULL : "/home/of/.config/billet");
    billet_configuration_sources_free(made);
    unsetenv("HOME");
    billet_configuration_default_sources("relative.conf", &made, NULL);
    snprintf(wanted, sizeof(wanted), "%s/relative.conf", here);
    ck_assert_str_eq(made->file, wanted);
    billet_configuration_sources_free(made);
    billet_configuration_sources_free(NULL);
}
END_TEST

START_TEST(dropins_are_written_and_read_again)
{
    struct billet_configuration_sources from = sources();
    struct billet_error error = BILLET_ERROR_INIT;
    cleanup_free char *path = NULL;
    char wanted[256];
    int result = billet_configuration_write_dropin(&from, "60-ssh.conf",
                                                   "[driver ssh]\nenabled = yes\n", &path, &error);
    ck_assert_msg(result == 0, "%s", error.message);
    snprintf(wanted, sizeof(wanted), "%s/billet.conf.d/60-ssh.conf",
             geteuid() == 0 ? directories[0] : directories[3]);
    ck_assert_str_eq(path, wanted);
    struct billet_configuration *view = load(&from, "");
    ck_assert(billet_configuration_driver_enabled(view, "ssh"));
    billet_configuration_free(view);
    static const char *const names[] = {"ssh", "../x.conf", ".x.conf", "a/b.conf", ".conf", ""};
    for (size_t i = 0; i < COUNT(names); i++) {
        char *none = NULL;
        ck_assert_int_eq(billet_configuration_write_dropin(&from, names[i], "", &none, &error),
                         -BILLET_CLASS_CONFIG);
        ck_assert_str_eq(error.code, "value_invalid");
        ck_assert_ptr_null(none);
    }
    char *none = NULL;
    from.file = "/x";
    ck_assert_int_eq(billet_configuration_write_dropin(&from, "a.conf", "", &none, &error),
                     -BILLET_CLASS_CONFIG);
    ck_assert_str_eq(error.message, "cannot write a drop-in: only /x is read");
    from = (struct billet_configuration_sources){0};
    ck_assert_int_lt(billet_configuration_write_dropin(&from, "a.conf", "", &none, &error), 0);
    ck_assert_str_eq(error.code, "config_fixed");
}
END_TEST

START_TEST(core_tables_are_sound)
{
    static const char *const kinds[] = {"store", "billet", "driver", "environment"};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        struct billet_error error = BILLET_ERROR_INIT;
        size_t count = 0;
        const struct billet_option *options = billet_configuration_options(kinds[i], &count);
        ck_assert_uint_gt(count, 0);
        ck_assert_msg(billet_options_check(options, count, &error) == 0, "%s", error.message);
    }
    size_t count = 1;
    ck_assert_ptr_null(billet_configuration_options("nothing", &count));
    ck_assert_uint_eq(count, 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("config_configuration");
    TCase *cases = tcase_create("configuration");
    tcase_set_timeout(cases, 60);
    tcase_add_checked_fixture(cases, set_up, tear_down);
    tcase_add_loop_test(cases, reports_what_a_file_has_wrong, 0, (int)COUNT(files));
    tcase_add_test(cases, nothing_at_all_is_fine);
    tcase_add_test(cases, precedence_low_to_high);
    tcase_add_test(cases, a_file_hides_those_of_its_name_below);
    tcase_add_test(cases, sections_of_two_files_merge);
    tcase_add_test(cases, a_wrong_value_falls_back_to_the_default);
    tcase_add_test(cases, config_file_stands_for_all);
    tcase_add_test(cases, untrusted_files_are_reported_and_not_read);
    tcase_add_test(cases, a_file_is_bounded);
    tcase_add_test(cases, all_files_together_are_bounded);
    tcase_add_test(cases, overrides_reach_every_section);
    tcase_add_test(cases, variables_are_read);
    tcase_add_test(cases, default_sources_follow_the_process);
    tcase_add_test(cases, dropins_are_written_and_read_again);
    tcase_add_test(cases, core_tables_are_sound);
    suite_add_tcase(suite, cases);
    return support_main(suite);
}
