/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempts_files.c - attempts: reading, writing and reaching files, set-id files, mounts and
 * namespaces.
 */
#include "attempts.h"

/* ---- files --------------------------------------------------------------------- */

int
read_canary(void)
{
    return must_not_open(lure("LURE_FILE"), O_RDONLY);
}
int
read_shadow(void)
{
    return must_not_open("/etc/shadow", O_RDONLY);
}
int
read_root_home(void)
{
    return must_not_open("/root", O_RDONLY | O_DIRECTORY);
}

int
create_outside(void)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/escaped", lure("LURE_DIRECTORY"));
    return must_fail(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static int
create_at(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (fd >= 0)
        unlink(path);
    return must_fail(fd);
}
int
write_root(void)
{
    return create_at("/escaped");
}
int
write_usr(void)
{
    return create_at("/usr/escaped");
}
int
write_etc(void)
{
    return create_at("/etc/escaped");
}
int
write_run(void)
{
    return create_at("/run/billet/escaped");
}
int
write_dev(void)
{
    return create_at("/dev/escaped");
}
int
change_init(void)
{
    return must_not_open("/run/billet/init", O_WRONLY);
}
int
change_proc_exe(void)
{
    return must_not_open("/proc/1/exe", O_WRONLY);
}

int
above_workspace(void)
{
    char path[PATH_MAX];
    struct stat root, above;
    snprintf(path, sizeof(path), "/work/../../../../../../..%s", lure("LURE_FILE"));
    if (open(path, O_RDONLY | O_CLOEXEC) >= 0)
        return ESCAPED;
    if (stat("/", &root) < 0 || stat("/work/../../..", &above) < 0)
        return CONTAINED;
    return root.st_ino == above.st_ino && root.st_dev == above.st_dev ? CONTAINED : ESCAPED;
}

int
link_out(void)
{
    unlink("/work/link-out");
    if (symlink(lure("LURE_FILE"), "/work/link-out") < 0)
        return CONTAINED;
    int fd = open("/work/link-out", O_RDONLY | O_CLOEXEC);
    unlink("/work/link-out");
    return must_fail(fd);
}

int
chroot_out(void)
{
    return must_fail(chroot("/tmp"));
}

int
handle_out(void)
{
    union {
        struct file_handle handle;
        char bytes[sizeof(struct file_handle) + 128];
    } at;
    int mount_id;
    at.handle.handle_bytes = 128;
    if (name_to_handle_at(AT_FDCWD, "/", &at.handle, &mount_id, 0) < 0) {
        /* inode 2 of an ext4 */
        at.handle.handle_bytes = 8;
        at.handle.handle_type = 1;
        memcpy(at.handle.f_handle, "\2\0\0\0\0\0\0\0", 8);
    }
    int root = open("/work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return must_fail(open_by_handle_at(root, &at.handle, O_RDONLY));
}
int
name_handle(void)
{
    union {
        struct file_handle handle;
        char bytes[sizeof(struct file_handle) + 128];
    } at;
    int mount_id;
    at.handle.handle_bytes = 128;
    return must_fail(name_to_handle_at(AT_FDCWD, "/work", &at.handle, &mount_id, 0));
}

/* ---- set-id files ------------------------------------------------------------------ */

static bool
is_set_id(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && (status.st_mode & (S_ISUID | S_ISGID)) != 0;
}

static int
plain_file(const char *path)
{
    unlink(path);
    rmdir(path);
    return open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0755);
}

static int
verdict_set_id(const char *path)
{
    bool set = is_set_id(path);
    unlink(path);
    rmdir(path);
    return set ? ESCAPED : CONTAINED;
}

int
setuid_chmod(void)
{
    plain_file("/work/set");
    if (chmod("/work/set", 04755) < 0 && chmod("/work/set", 02755) < 0)
        return verdict_set_id("/work/set");
    return verdict_set_id("/work/set");
}
int
setuid_fchmod(void)
{
    int fd = plain_file("/work/set");
    fchmod(fd, 06755);
    return verdict_set_id("/work/set");
}
int
setuid_fchmodat2(void)
{
    plain_file("/work/set");
    syscall(452, AT_FDCWD, "/work/set", 06755, 0);
    return verdict_set_id("/work/set");
}
int
setuid_open(void)
{
    unlink("/work/set");
    syscall(SYS_openat, AT_FDCWD, "/work/set", O_CREAT | O_RDWR | O_CLOEXEC, 04755);
    return verdict_set_id("/work/set");
}
int
setuid_open_high(void)
{
    unlink("/work/set");
    syscall(SYS_openat, AT_FDCWD, "/work/set", (1ul << 32) | O_CREAT | O_RDWR,
            (1ul << 33) | 04755ul);
    return verdict_set_id("/work/set");
}
int
setuid_openat2(void)
{
    struct {
        uint64_t flags, mode, resolve;
    } how = {O_CREAT | O_RDWR | O_CLOEXEC, 04755, 0};
    unlink("/work/set");
    syscall(437, AT_FDCWD, "/work/set", &how, sizeof(how));
    return verdict_set_id("/work/set");
}
int
setuid_tmpfile(void)
{
    char path[64];
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/work", O_TMPFILE | O_RDWR, 04755);
    if (fd < 0)
        return CONTAINED;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return is_set_id(path) ? ESCAPED : CONTAINED;
}
int
setuid_mknod(void)
{
    unlink("/work/set");
    (void)!mknod("/work/set", S_IFREG | 04755, 0);
    return verdict_set_id("/work/set");
}
int
setgid_mkdir(void)
{
    rmdir("/work/set");
    (void)!mkdir("/work/set", 02755);
    return verdict_set_id("/work/set");
}

/* ---- mounts and namespaces ------------------------------------------------------------ */

int
remount_rw(void)
{
    return must_fail(mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL));
}
int
mount_proc(void)
{
    mkdir("/tmp/m", 0755);
    return must_fail(mount("proc", "/tmp/m", "proc", 0, NULL));
}
int
unmount(void)
{
    return must_fail(umount2("/proc", MNT_DETACH));
}
int
fsopen_tmpfs(void)
{
    return must_fail(syscall(430, "tmpfs", 0));
}
int
open_tree_root(void)
{
    return must_fail(syscall(428, AT_FDCWD, "/", 1));
}
int
pivot(void)
{
    return must_lack_permission(syscall(SYS_pivot_root, "/tmp", "/tmp"));
}
int
new_userns(void)
{
    return must_fail(unshare(CLONE_NEWUSER));
}
int
new_userns_mount(void)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return CONTAINED;
    return must_fail(mount("x", "/tmp", "tmpfs", 0, NULL));
}
int
clone_userns(void)
{
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return must_fail(pid);
}
int
clone3_userns(void)
{
    uint64_t arguments[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long pid = syscall(435, arguments, sizeof(arguments));
    if (pid == 0)
        _exit(0);
    return must_fail(pid);
}
int
enter_namespace(void)
{
    static const char *const names[] = {"mnt", "net", "pid", "ipc", "uts", "user"};
    char path[64];
    pid_t pids[] = {1, host_pid()};
    for (size_t p = 0; p < 2; p++)
        for (size_t i = 0; i < 6; i++) {
            snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pids[p], names[i]);
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            if (fd >= 0 && setns(fd, 0) == 0)
                return ESCAPED;
        }
    return CONTAINED;
}
