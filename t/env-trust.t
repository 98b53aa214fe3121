#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# billet env trust: the keys of an environment's hosts, looked at, kept, changed and forgotten; with
# real sshds on loopback, one of them behind the other, as root and as an ordinary user.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/verbs.sh"
need_billet
. "$top_srcdir/t/lib/sshd.sh"
on_terminal=$top_builddir/t/lib/on-terminal

fingerprint() {
    ssh-keygen -l -f "$far/$1.pub" | cut -d ' ' -f 2
}
right=$(fingerprint hostkey)
wrong=$(fingerprint other)
# The same for patterns.
right_text=$(echo "$right" | sed "s/[+]/[+]/g")
wrong_text=$(echo "$wrong" | sed "s/[+]/[+]/g")
known=$far/known_hosts

# ---- a second sshd, which a jump leads to -------------------------------------------------------
behind=$((port + 1))
sed -e "s/^Port .*/Port $behind/" -e "s|^HostKey .*|HostKey $far/other|" -e "s|^PidFile .*|PidFile $far/pid2|" \
    "$far/sshd_config" >"$far/sshd_config2"
"$sshd" -f "$far/sshd_config2" -E "$far/log2"
wait_until test -s "$far/pid2" || skip_all "a second sshd does not start: $(tail -n 1 "$far/log2")"
second=$(cat "$far/pid2")
trap 'kill "$second" 2>/dev/null; clean_far; tap_exit' EXIT

configure() {
    cat >"$1/billet.conf" <<END
$(ssh_driver "$2")
[driver fake]
enabled = yes
[environment far]
driver = ssh
[environment pinned]
driver = ssh
host_key = $right
[environment mispinned]
driver = ssh
host_key = $wrong
[environment behind]
driver = ssh
port = $behind
jump = $user@127.0.0.1:$port
[environment nobody]
driver = ssh
port = 1
[environment alone]
driver = ssh
known_hosts_file = $1/no-such-directory/known
[environment usual]
driver = ssh
known_hosts_file = $1/usual
[environment pretended]
driver = fake
END
}
configure "$scratch" "$far/id"

# ---- nothing is known ---------------------------------------------------------------------------
: >"$known"
billet run -e far -- true
like "$stderr" "'billet env trust far' shows its fingerprint and keeps it" "a run that knows no key names the command"
billet env trust far </dev/null
is "$status" 125 "without a terminal nothing is taken"
like "$stderr" "^    $right_text\$" "the fingerprint is shown"
like "$stderr" '\[not_confirmed\]' "and the refusal says so"
like "$stderr" "billet env trust far --fingerprint $right_text" "with what to do"
is "$(cat "$known")" "" "and the file is as before"
billet env trust far --fingerprint "$wrong"
is "$status" 125 "another fingerprint than the host's is refused"
like "$stderr" "shows the ssh-ed25519 key $right_text, which is none of those given \[host_key_mismatch\]" "and the host's is named"
is "$(cat "$known")" "" "and nothing was kept"
billet env trust far --fingerprint SHA256:short
is "$status" 2 "what is no fingerprint is a wrong command line"
billet env trust far --remove --yes
is "$status" 2 "--remove goes alone"

billet env trust far --fingerprint "$right"
is "$status" 0 "with the right fingerprint it is kept"
is "$(cat "$known")" "[127.0.0.1]:$port $(cut -d ' ' -f 1,2 "$far/hostkey.pub")" "as one line for the host"
like "$stdout" "^127\.0\.0\.1:$port +ssh-ed25519 +$right_text +added\$" "and shown"
billet run -e far -- echo over there
is "$status/$stdout" "0/over there" "and a run goes"
billet env trust far --json </dev/null
is "$status/$(json /format_version /environment '/keys/#' /keys/0/host /keys/0/type /keys/0/fingerprint /keys/0/state /keys/0/file)" \
    "0/1.0
far
1
127.0.0.1:$port
ssh-ed25519
$right
known
$known" "what is known needs no answer; JSON"
billet audit list --environment far
like "$stdout" "environment.trusted .*$right_text" "it is on record"
is "$(printf '%s\n' "$stdout" | grep -c environment.trusted)" 1 "once"

billet env trust far --remove
is "$status/$(cat "$known")" 0/ "and it can be forgotten"
like "$stdout" "$right_text +removed\$" "which is shown"
billet audit list --environment far
like "$stdout" "environment.untrusted" "and on record"
billet env trust far --remove
is "$status/$stdout" 0/ "twice does no harm"
like "$stderr" "no key was known" "and says so"

billet env trust far --yes </dev/null
is "$status/$(grep -c . "$known")" 0/1 "--yes takes what is not known"

# ---- a key that changed -------------------------------------------------------------------------
printf '# a comment\nelsewhere %s\n' "$(cut -d ' ' -f 1,2 "$far/other.pub")" >"$known"
cp "$known" "$scratch/others"
printf '[127.0.0.1]:%s %s\n' "$port" "$(cut -d ' ' -f 1,2 "$far/other.pub")" >>"$known"
chmod 0644 "$known"
ssh-keygen -q -H -f "$known" 2>/dev/null && rm -f "$known.old"
cp "$known" "$scratch/before"
billet run -e far -- true
like "$stderr" "'billet env trust far' takes its new key instead" "a changed key names the command"
billet env trust far --yes </dev/null
is "$status" 125 "--yes does not take a changed key"
like "$stderr" "known by ANOTHER key" "which is said"
ok "and the file is as before" cmp "$known" "$scratch/before"
cat >"$scratch/script" <<'END'
expect ANOTHER key
expect Write yes:
send y
END
isolated "$on_terminal" "$scratch/script" "$billet_program" env trust far >"$scratch/shown"
is "$?" 125 "on a terminal, y is not enough"
ok "and the file is as before" cmp "$known" "$scratch/before"
sed -i 's/^send .*/send yes/' "$scratch/script"
isolated "$on_terminal" "$scratch/script" "$billet_program" env trust far >"$scratch/shown"
is "$?" 0 "yes is"
is "$(tail -n 1 "$known")" "[127.0.0.1]:$port $(cut -d ' ' -f 1,2 "$far/hostkey.pub")" "the new key is there, hashed names or not"
is "$(ssh-keygen -F "[127.0.0.1]:$port" -f "$known" | grep -vc '^#')" 1 "and the old one gone"
is "$(grep -c . "$known")" 3 "and other lines are as they were"
is "$(stat -c %a "$known")" 644 "and the mode"
billet run -e far -- true
is "$status" 0 "and a run goes"

printf 'elsewhere,[127.0.0.1]:%s %s\n' "$port" "$(cut -d ' ' -f 1,2 "$far/other.pub")" >"$known"
cp "$known" "$scratch/before"
billet env trust far --fingerprint "$right"
is "$status" 125 "a line with further hosts is not taken apart"
like "$stderr" 'line 1 of .* names further hosts .*\[ssh_known_hosts_shared\]' "and named"
ok "and as before" cmp "$known" "$scratch/before"
printf '@revoked * %s\n' "$(cut -d ' ' -f 1,2 "$far/hostkey.pub")" >"$known"
billet env trust far --fingerprint "$right"
is "$status" 125 "a revoked key is not taken"
like "$stderr" 'marked @revoked' "and named"

# A host that is known by a key of another type, and has both.
ssh-keygen -q -t ecdsa -N '' -C '' -f "$far/second"
kill "$second" && wait_until test ! -e "$far/pid2"
printf 'HostKey %s\n' "$far/second" >>"$far/sshd_config2"
"$sshd" -f "$far/sshd_config2" -E "$far/log2"
wait_until test -s "$far/pid2"
second=$(cat "$far/pid2")
printf '[127.0.0.1]:%s %s\n' "$port" "$(cut -d ' ' -f 1,2 "$far/hostkey.pub")" >"$known"
printf '[127.0.0.1]:%s %s\n' "$behind" "$(cut -d ' ' -f 1,2 "$far/second.pub")" >>"$known"
billet env trust behind </dev/null
is "$status" 0 "a host is known by any of its keys that is known"
like "$stdout" "ecdsa-sha2-nistp256 .* known" "which is the one that is shown"

# ---- through another host -----------------------------------------------------------------------
: >"$known"
billet env trust behind --fingerprint "$right" </dev/null
is "$status" 125 "through a jump, the first host's key does not do for the second"
like "$stderr" "127\.0\.0\.1:$behind shows the ssh-ed25519 key $wrong_text" "whose key is named"
is "$(cut -d ' ' -f 1 "$known")" "[127.0.0.1]:$port" "the first one's is kept"
: >"$known"
cat >"$scratch/script" <<END
expect 127.0.0.1:$port shows
expect [y/N]
send y
expect 127.0.0.1:$behind shows
expect [y/N]
send y
END
isolated "$on_terminal" "$scratch/script" "$billet_program" env trust behind >"$scratch/shown"
is "$?" 0 "each host of the way is asked for in its turn"
is "$(cut -d ' ' -f 1 "$known")" "[127.0.0.1]:$port
[127.0.0.1]:$behind" "and kept"
billet run -e behind -- echo beyond
is "$status/$stdout" 0/beyond "and a run goes there"
billet env trust behind --remove
is "$status/$(cat "$known")" 0/ "all of the way can be forgotten"

# ---- what cannot be -----------------------------------------------------------------------------
billet env trust pinned
is "$status" 0 "a pinned key is known"
billet env trust mispinned --yes
is "$status" 125 "one that is not the pinned one is refused"
like "$stderr" "option host_key names another one" "and why"
billet env trust nobody --yes
is "$status" 125 "a host that does not answer"
like "$stderr" "127\.0\.0\.1:1 refuses connections \[ssh_unreachable\]" "is named"
billet env trust alone --yes
is "$status" 125 "a file that cannot be written"
like "$stderr" "cannot change .*no-such-directory/known" "is named"
billet env trust local
refused 125 "driver local cannot look at host keys: it has none" unsupported_environment \
    "billet driver list --features shows what each driver can do" "a driver without hosts says so"
billet env trust nowhere
is "$status" 125 "an environment that is not there"
like "$stderr" environment_not_found "is named"
billet env trust
is "$status" 2 "an environment has to be named"
ln -s "$scratch/real" "$scratch/usual"
: >"$scratch/real"
billet env trust usual --yes
is "$status" 0 "a link to the file is followed"
ok "and stays a link" test -L "$scratch/usual"
is "$(grep -c . "$scratch/real")" 1 "to what was changed"
is "$(find "$scratch" "$far" -name '.known_hosts.*')" "" "no half file is left"
is "$(find "$scratch/runtime/ssh" -mindepth 1 2>/dev/null)" "" "nor anything of the connections"

billet env trust pretended --yes
is "$status" 0 "another driver that can"
like "$stdout" "fake:22 .*added" "shows its own"

# ---- an ordinary user -----------------------------------------------------------------------------
if user_ready; then
    cp "$far/id" "$user_scratch/id"
    chmod 0600 "$user_scratch/id"
    is_root && chown "$tap_uid:$tap_uid" "$user_scratch/id"
    configure "$user_scratch" "$user_scratch/id"
    sed -i '/^known_hosts_file/d' "$user_scratch/billet.conf"
    as_user billet env trust behind --fingerprint "$right" --fingerprint "$wrong"
    is "$status" 0 "an ordinary user trusts both hosts of a way"
    is "$(stat -c %a "$user_scratch/state/ssh/127.0.0.1-$behind.known_hosts")" 600 "in a file of its own"
    as_user billet run -e behind -- echo mine
    is "$status/$stdout" 0/mine "and runs there"
else
    skip 3 "$tap_reason"
fi
done_testing
