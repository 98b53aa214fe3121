#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# A workspace that is carried to a host and back: only what differs, conflicts, hosts that lie, ends
# in the middle, a lease that is held, and a host without billet-guest.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long core
. "$top_srcdir/t/lib/verbs.sh"
need_billet
. "$top_srcdir/t/lib/sshd.sh"
need tar

cat >"$scratch/billet.conf" <<END
$(ssh_driver)
[environment far]
driver = ssh
END
work=$scratch/work
fresh() {
    rm -rf "$work"
    mkdir -p "$work/d/e" "$work/old" "$work/empty"
    echo before >"$work/file"
    echo x >"$work/d/gone"
    echo o >"$work/old/o"
    echo deep >"$work/d/e/deep"
    ln -s ../file "$work/d/link"
    printf '#!/bin/sh\necho ran\n' >"$work/d/script"
    chmod 755 "$work/d/script"
    head -c 300000 /dev/urandom >"$work/large"
    touch -d '2020-02-03 04:05:06.123456789' "$work/d/e/deep"
}
# What the workspace is, to see that it did not change.
look() {
    (cd "$work" && find . | sort && find . -type f -exec cksum {} + | sort)
}

# ---- there and back ----
fresh
echo "to be seen" >"$work/name with
newline?"
rm "$work/name with
newline?"
printf 'odd' >"$work/a 'b\"c"
billet run -e far -w "$work" --json -- sh -c '
    cat file d/link; ./d/script; cmp large large && test -d empty && cat "a '"'"'b\"c" >/dev/null
    stat -c %Y d/e/deep
    echo after >file; rm -r old d/gone; mkdir -p n/m; echo z >n/m/z; ln -s file link; chmod 755 d/e/deep' >/dev/null
is "$status" 0 "the command has the workspace, by default as a copy"
is "$(cat "$work/file") $(cat "$work/n/m/z") $(readlink "$work/link")" "after z file" "changes come back"
not_ok "deletions too" test -e "$work/d/gone"
not_ok "of whole directories" test -e "$work/old"
is "$(stat -c %a "$work/d/e/deep")" 755 "and modes"
is "$(json /workspace/mode) $(json /workspace/returned/conflict)" "copy 0" "and are counted"
ok "what was there is sent" test "$(json /workspace/sent_files)" -ge 6
is "$(ls "$far/leases")" "" "the lease is gone"

# ---- only what differs ----
billet run -e far -w "$work" --json -- true
billet run -e far -w "$work" --json -- true
is "$status $(json /workspace/sent_files) $(json /workspace/sent_bytes)" "0 0 0" "what is there already is not sent again"
echo changed >"$work/file"
rm "$work/link"
billet run -e far -w "$work" --json -- sh -c 'cat file; test ! -e link' >/dev/null
is "$status $(json /workspace/sent_files)" "0 1" "only what changed is"
ok "in few bytes" test "$(json /workspace/sent_bytes)" -lt 20000
billet run -e far -w "$work" -- sh -c 'mkdir -p node_modules/x; echo y >node_modules/x/y; echo "*.o" >.gitignore; echo o >a.o'
is "$status $(ls "$work/.gitignore")" "0 $work/.gitignore" "what is written there comes back"
not_ok "but no heavy directory" test -e "$work/node_modules"
not_ok "and nothing that is ignored" test -e "$work/a.o"
billet run -e far -w "$work" -- sh -c 'test ! -e node_modules && test ! -e a.o'
is "$status" 0 "the next run does not find it either"
billet run -e far -w "$work" -- sh -c 'echo lost >file; exit 3'
is "$status/$(cat "$work/file")" 3/lost "a command that fails has its changes brought back too"

# ---- conflicts ----
mkfifo "$scratch/fifo"
exec 7<>"$scratch/fifo"
isolated "$billet_program" run -e far -w "$work" -- \
    sh -c 'echo ready; read -r go; echo theirs >file; rm d/script' \
    <"$scratch/fifo" >"$scratch/first" 2>"$scratch/first-errors" &
first=$!
wait_until grep -q ready "$scratch/first"
echo mine >"$work/file"
echo mine >>"$work/d/script"
echo go >&7
wait "$first"
is "$(cat "$work/file")" mine "what changed on both sides stays as it is here"
is "$(cat "$work"/file.billet-conflict-*)" theirs "with the other beside it"
ok "what was deleted there and changed here is kept" test -e "$work/d/script"
rm -f "$work"/file.billet-conflict-*

# ---- what the command may leave there ----
before=$(look)
billet run -e far -w "$work" -- ln -s /etc/passwd out
is "$status" 125 "SEC-22: a link that leads out is refused"
is "$(look)" "$before" "and nothing is brought back"
billet run -e far -w "$work" -- mkfifo pipe
is "$status" 125 "SEC-24: a FIFO is refused"
is "$(look)" "$before" "and nothing is brought back either"
mkdir "$far/place/else"
echo else >"$far/place/else/file"
billet run -e far -w "$work" -- sh -c 'cd .. && rm -rf work && ln -s "$1" work' sh "$far/place/else"
is "$status" 125 "SEC-56: a link in place of the whole directory is not followed"
is "$(look) $(cat "$far/place/else/file")" "$before else" "and nothing is brought back, or done there"
billet run -e far -w "$work" -- sh -c 'rm -rf d && ln -s old d && echo x >file'
isnt "$status" 125 "a link inside is taken in place of a directory"
ok "without following it" test -L "$work/d"

# ---- hosts that lie ----
fresh
billet run -e far -w "$work" -- true
guest=$(ls "$far"/home/.cache/billet/guest-*)
mv "$guest" "$far/guest"
cat >"$guest" <<END
#!/bin/sh
if [ "\$1" = send ] && [ -e $far/evil.tar ]; then
    cat >/dev/null
    cat $far/evil.tar
elif [ "\$1" = end ] && [ -e $far/evil.manifest ]; then
    cat $far/evil.manifest
else
    exec $far/guest "\$@"
fi
END
chmod 755 "$guest"
cd "$scratch" || exit 1
mkdir evil && echo evil >evil/file && ln -s /etc evil/link && mkdir evil/dir && echo e >evil/dir/e
# lie NAME: the archive in $far/evil.tar is what comes back.
lie() {
    before=$(look)
    billet run -e far -w "$work" -- sh -c 'echo new >file'
    is "$status" 125 "SEC-56: $1 is refused"
    is "$(look)" "$before" "$1: the workspace is as it was"
}
tar -cPf "$far/evil.tar" --transform 's,^evil,../../evil,' evil/file
lie "SEC-20: a name with .."
not_ok "nothing was written above" test -e "$scratch/../evil"
tar -cPf "$far/evil.tar" "$scratch/evil/file"
lie "SEC-20: an absolute name"
tar -cf "$far/evil.tar" -C evil link
lie "SEC-22: a link that leads out"
tar -cf "$far/evil.tar" -C evil link
tar -rf "$far/evil.tar" --transform 's,^dir,link,' -C evil dir/e
lie "SEC-21: a file below a link"
ln evil/file evil/hard
tar -cPf "$far/evil.tar" --transform 's,^file,/etc/passwd,h' -C evil file hard
tar --delete -f "$far/evil.tar" file 2>/dev/null
lie "SEC-23: a hard link to what is no file of the archive"
tar -cf "$far/evil.tar" -C /dev null
lie "SEC-24: a device"
tar -cf - -C evil file | head -c 700 >"$far/evil.tar"
lie "a truncated archive"
head -c 4096 /dev/urandom >"$far/evil.tar"
lie "garbage"
{
    printf 'PaxHeaders/x'
    head -c 88 /dev/zero
    printf '0000644\0000000000\0000000000\00077777777777\00000000000000\000        x'
    head -c 355 /dev/zero
} >"$far/evil.tar"
lie "SEC-27: a header of eight gigabytes"
: >"$far/evil.tar"
lie "nothing at all"
rm "$far/evil.tar"
head -c 4096 /dev/urandom >"$far/evil.manifest"
lie "a manifest that is none"
: >"$far/evil.manifest"
lie "an empty manifest"
rm "$far/evil.manifest"
mv "$far/guest" "$guest"
billet run -e far -w "$work" -- sh -c 'echo good >file'
is "$status $(cat "$work/file")" "0 good" "and a host that does not lie is believed again"

# ---- ends in the middle ----
before=$(look)
start_billet run -e far -w "$work" -- sh -c 'echo half >file; echo ready; sleep 600'
wait_until grep -q ready "$scratch/stdout"
kill -KILL "$billet_pid"
finish_billet
is "$(look)" "$before" "billet killed: the workspace is as it was"
billet run -e far -w "$work" -- sh -c 'cat file; echo whole >file'
is "$status $stdout $(cat "$work/file")" "0 good whole" "and the next run is complete"
start_billet run -e far -w "$work" -- sh -c 'echo half >file; echo ready; sleep 600'
wait_until grep -q ready "$scratch/stdout"
before=$(look)
pkill -KILL -f "^$guest serve "
finish_billet
is "$status" 125 "billet-guest killed there: the run ends"
is "$(look)" "$before" "with the workspace as it was"
billet run -e far -w "$work" -- sh -c 'cat file; echo again >file'
is "$status $stdout $(cat "$work/file")" "0 whole again" "and the next run is complete too"

# ---- held ----
billet lease acquire -e far -w "$work"
lease=$stdout
is "$status" 0 "a lease is held with a copy"
billet exec "$lease" -- sh -c 'cat file; echo one >file; echo there >both'
is "$status $stdout" "0 again" "a command works on it"
is "$(cat "$work/file")" again "what it changes stays there"
billet pull "$lease"
is "$status $(cat "$work/file")" "0 one" "until it is pulled"
echo two >"$work/file"
echo here >"$work/both"
billet exec "$lease" -- sh -c 'echo far >both'
billet push "$lease"
billet exec "$lease" -- cat file both
is "$stdout" "two
far" "a push sends what changed here, and leaves what changed on both sides"
billet exec "$lease" -- sh -c 'echo three >file'
billet lease release "$lease"
is "$status $(cat "$work/file")" "0 three" "the end of the lease brings the rest back"

# ---- no guest ----
: >"$guest"
chmod 0600 "$guest"
billet run -e far -- sh -c 'exit 4'
is "$status" 4 "without a guest commands run"
billet run -e far -w "$work" -- true
is "$status" 125 "and a workspace is not carried"
like "$stderr" "there is no billet-guest: it cannot be run there" "which is said"
like "$stderr" "workspace = in_place" "with the remedy"
billet env probe far
like "$stdout$stderr" "no workspace can be carried there" "the probe says it too"
done_testing
