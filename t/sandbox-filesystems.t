#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Workspaces on unusual file systems, mounts beneath them, and a root file system of one's own.
. "${top_srcdir:-.}/t/escape/setup.sh"
takes_long

# A root file system: a shell, a few programs, and what they are linked with.
make_rootfs() {
    mkdir -p "$1/bin" "$1/etc" "$1/usr" "$1/root" "$1/tmp" "$1/work" || return 1
    for program in sh ls cat id; do
        path=$(command -v $program) || return 1
        cp -L "$path" "$1/bin/$program" || return 1
        ldd "$path" 2>/dev/null | tr ' \t' '\n\n' | grep '^/' | sort -u | while read -r library; do
            mkdir -p "$1$(dirname "$library")"
            [ -e "$1$library" ] || cp -L "$library" "$1$library"
        done
    done
    echo 'made here' >"$1/etc/marker"
    echo 'hidden' >"$1/root/secret"
    echo 'hidden' >"$1/tmp/secret"
    chmod -R a+rX "$1"
}

make_rootfs "$place/rootfs"
ln -s rootfs "$place/rootfs-link"
for user in $users; do
    become $user
    is "made here" "$(launch -o "rootfs=$place/rootfs" -- cat /etc/marker 2>&1)" "$user: a root file system of one's own"
    is "made here" "$(launch -o "rootfs=$place/rootfs-link" -- cat /etc/marker 2>&1)" "$user: by a link"
    launch -o "rootfs=$place/rootfs" -- ls / >"$place/out" 2>&1
    is "bin dev etc proc run tmp usr work" "$(grep -v '^lib' "$place/out" | tr '\n' ' ' | sed 's/ $//')" \
        "$user: it has nothing of this machine's, nor its own /root"
    launch -o "rootfs=$place/rootfs" -- cat /root/secret /tmp/secret 2>/dev/null
    is 1 $? "$user: what it keeps in /root and /tmp does not show"
    launch -o "rootfs=$place/rootfs" -- sh -c 'echo x >/etc/marker' 2>/dev/null
    is "made here" "$(cat "$place/rootfs/etc/marker")" "$user: it is read-only"
    launch -w "$work" -o "rootfs=$place/rootfs" -- sh -c 'echo x >/work/from-rootfs' 2>/dev/null
    is x "$(cat "$work/from-rootfs" 2>/dev/null)" "$user: the workspace is not"
    launch -o "rootfs=$place/none" -- true 2>"$place/err"
    is "125 1" "$? $(grep -c sandbox_rootfs_unusable "$place/err")" "$user: a root file system that is not there"
done

if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then
    skip "file systems of other kinds" "needs root and mount namespaces"
    plan
    exit 0
fi

# In a mount namespace of its own, gone with the shell: "private COMMANDS" with $odd a directory on
# a new file system of kind $1, owned by $2.
private() {
    kind=$1 owner=$2 commands=$3
    mkdir -p "$place/odd"
    # shellcheck disable=SC2097,SC2098 # odd wants the shell's own place
    place=$place kind=$kind owner=$owner work=$work runtime=$runtime driver=$driver odd=$place/odd as=$as \
        unshare -m --propagation private sh -c '
        mount -t "$kind" billet-test "$odd" || exit 99
        chown "$owner:$owner" "$odd"
        launch() { $as "$place/launch" -d "$place/$driver" -r "$runtime" -l "$place" "$@"; }
        '"$commands"
}

become root
# ramfs knows no id-mapped mounts.
private ramfs 0 'launch -w "$odd" -- true' >"$place/out" 2>&1
is "125 1" "$? $(grep -c 'sandbox_idmap_unsupported.*|.*ordinary user' "$place/out")" \
    "root: a file system without id-mapped mounts is refused with the remedy"
private ramfs 0 'launch -w "$odd" -o allow_degraded=yes -- true' >"$place/out" 2>&1
is "125 1" "$? $(grep -c sandbox_idmap_unsupported "$place/out")" \
    "root: root's own workspace there not even with allow_degraded"
private ramfs 4711 'launch -w "$odd" -- true' >"$place/out" 2>&1
is "125 1" "$? $(grep -c 'sandbox_idmap_unsupported.*allow_degraded = yes' "$place/out")" \
    "root: another's names allow_degraded"
private ramfs 4711 'launch -w "$odd" -o allow_degraded=yes -- sh -c "id -u; echo x >file" && stat -c %u "$odd/file"' \
    >"$place/out" 2>"$place/err"
is "0 1000 4711" "$? $(tr '\n' ' ' <"$place/out" | sed 's/ $//')" "root: with it the sandbox runs as the owner"
grep -q 'degraded as user id 4711' "$place/err"
ok $? "root: which is said"
private tmpfs 0 'launch -w "$odd" -- sh -c "echo x >file" && stat -c %u "$odd/file"' >"$place/out" 2>&1
is "0 0" "$? $(cat "$place/out")" "root: a tmpfs knows them"

# Mounts below the workspace, with devices and set-id programs.
for user in $users; do
    become $user
    private tmpfs 65534 '
        mkdir "$odd/sub" "$odd/proc"
        mount -t tmpfs -o mode=0777 billet-sub "$odd/sub"
        mount -t proc proc "$odd/proc"
        mknod -m 0666 "$odd/sub/null" c 1 3
        mknod -m 0666 "$odd/null" c 1 3
        cp /bin/true "$odd/set-id"
        chmod 4755 "$odd/set-id"
        launch -w "$odd" -o allow_degraded=yes -- sh -c "ls /work/proc/1 /work/sub/null; echo x >/work/null; echo x >/work/sub/null" 2>&1
        launch -w "$odd" -- true; echo "status $?"
    ' >"$place/out" 2>&1
    # As root the mounts beneath stay outside; a user's mount namespace brings them along, then the
    # self-check refuses.
    if [ $user = root ]; then
        is "status 0" "$(grep '^status [0-9]' "$place/out")" "$user: mounts beneath the workspace stay outside"
        ! grep -q '/work/sub/null$' "$place/out"
        ok $? "$user: none of their files shows"
        ! grep -q '^environ$' "$place/out"
        ok $? "$user: no process of the host by a proc in the workspace"
    else
        is "status 125" "$(grep '^status [0-9]' "$place/out")" "$user: mounts beneath the workspace are refused"
        grep -q 'missing: only expected mounts' "$place/out"
        ok $? "$user: with the reason"
    fi
    [ "$(grep -c 'cannot create /work/null\|/work/null: Permission denied' "$place/out")" -ge 1 ]
    ok $? "$user: a device in the workspace cannot be opened"
done
is "" "$(ls -A "$place/odd")" "no mount of the test is left"
plan
