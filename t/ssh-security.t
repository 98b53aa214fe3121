#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# Hosts that cannot be trusted, and ways to them: changed keys, hostile names, a host that asks for
# more than it may have, one that never ends, one behind another.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need_root
need ip unshare nsenter
# A way over a host that alone reaches the other: three network namespaces of our own.
if [ -z "${SSH_SECURITY_INSIDE:-}" ]; then
    unshare --net --mount true 2>/dev/null || skip_all "there can be no network namespaces here"
    SSH_SECURITY_INSIDE=yes exec unshare --net --mount sh "$0"
fi
mount --make-rprivate /
ip link set lo up
unshare --net sleep 3000 &
gate=$!
unshare --net sleep 3000 &
behind=$!
on() { # PID COMMAND...
    tap_namespace=$1
    shift
    nsenter -t "$tap_namespace" -n "$@"
}
apart() {
    [ "$(for one in $gate $behind $$; do readlink "/proc/$one/ns/net"; done | sort -u | wc -l)" -eq 3 ]
}
wait_until apart
ip link add here type veth peer name there netns "$gate" 2>"$scratch/said" ||
    skip_all "no veth here: $(cat "$scratch/said")"
ip addr add 10.78.0.1/24 dev here
ip link set here up
on "$gate" ip addr add 10.78.0.2/24 dev there
on "$gate" ip link set there up
on "$gate" ip link set lo up
on "$gate" ip link add inner type veth peer name outer netns "$behind"
on "$gate" ip addr add 10.79.0.1/24 dev inner
on "$gate" ip link set inner up
on "$behind" ip addr add 10.79.0.2/24 dev outer
on "$behind" ip link set outer up
on "$behind" ip link set lo up
sshd_address=10.78.0.2 sshd_through="nsenter -t $gate -n"
. "$top_srcdir/t/lib/sshd.sh"
trap 'kill "$gate" "$behind" $second 2>/dev/null; clean_far; tap_exit' EXIT
sed "s/^ListenAddress .*/ListenAddress 10.79.0.2/; s|^PidFile .*|PidFile $far/pid2|" \
    "$far/sshd_config" >"$far/sshd_config2"
on "$behind" "$sshd" -f "$far/sshd_config2" -E "$far/log2"
second=
wait_until test -s "$far/pid2"
second=$(cat "$far/pid2")
printf '[10.79.0.2]:%s %s\n' "$port" "$(cut -d' ' -f1,2 "$far/hostkey.pub")" >>"$far/known_hosts"
cp "$far/known_hosts" "$far/known_good"

cat >"$scratch/billet.conf" <<END
$(ssh_driver)
connect_timeout = 2s
[environment far]
driver = ssh
[environment beyond]
driver = ssh
host = 10.79.0.2
jump = $user@10.78.0.2:$port
[environment straight]
driver = ssh
host = 10.79.0.2
END
mkdir "$scratch/work"
echo data >"$scratch/work/file"

# ---- SEC-50 ----
know other
billet run -e far -w "$scratch/work" --asset "$scratch/work/file" -- true
is "$status" 125 "SEC-50: a changed host key ends the run"
like "$stderr" 'is another one than before; nothing was sent' "SEC-50: which is said"
is "$(ls "$far/leases" "$far/home")" "$far/home:

$far/leases:" "SEC-50: before any data was sent"
cp "$far/known_good" "$far/known_hosts"

# ---- SEC-51 ----
for host in -oProxyCommand=id '-J x' 'a b' 'a;id' 'a|id' '$(id)' '`id`' "a'b" 'a"b' 'a\b' a/b 'a&b' 'a>b' 'a<b' \
    user@host a%h a,b '(a)' 'a*' 'a?' '~a' .a 'a#b' 'a!b' '{a}' '[a' 'a^b' 'a=b' 'a
b' ''; do
    printf '%s' "$host" | sed 's/\\/\\\\/g; s/"/\\"/g' | tr '\n' '\001' >"$scratch/quoted"
    {
        ssh_driver
        printf '[environment hostile]\ndriver = ssh\nhost = "%s"\n' "$(sed 's/\x01/\\n/g' "$scratch/quoted")"
    } >"$scratch/hostile.conf"
    tap_run isolated env BILLET_CONFIG="$scratch/hostile.conf" "$billet_program" run -e hostile -- true
    like "$status/$stdout/$stderr" '^125//.*\[(value_invalid|config_[a-z_]*)\]' "SEC-51: a host '$host' is refused before ssh is run"
done

# ---- SEC-52 ----
ssh-agent -a "$scratch/agent" >"$scratch/said"
agent=$(sed -n 's/.*SSH_AGENT_PID=\([0-9]*\).*/\1/p' "$scratch/said")
SSH_AUTH_SOCK=$scratch/agent DISPLAY=:9
export SSH_AUTH_SOCK DISPLAY
billet run -e far -- sh -c 'echo "${SSH_AUTH_SOCK-none} ${DISPLAY-none}"; ls /tmp/ssh-* 2>/dev/null; true'
is "$status/$stdout" "0/none none" "SEC-52: neither agent nor display is forwarded to a host that allows both"
kill "$agent"
unset SSH_AUTH_SOCK DISPLAY
billet run -e beyond -- sh -c 'echo beyond; cat /proc/net/fib_trie | grep -c 10.79.0.2 >/dev/null && echo there'
is "$status/$stdout" "0/beyond
there" "SEC-52: a host in a network of its own is reached over the one that reaches it"
start=$(now)
billet run -e straight -- true
is "$status" 125 "and not otherwise"
within 20 "$start" "which is known soon"
grep -v '^\[10.79' "$far/known_good" >"$far/known_hosts"
billet run -e beyond -- true
like "$status/$stderr" '^125/.*not known' "SEC-50: its key is judged behind the jump, too"
cp "$far/known_good" "$far/known_hosts"

# ---- SEC-53 ----
# peak: the most memory that billet or its driver's host had, KiB.
grow() {
    rm -f "$scratch/.pid"
    mkfifo "$scratch/output"
    head -c 400000000 <"$scratch/output" | wc -c >"$scratch/count" &
    tap_reader=$!
    isolated "$top_builddir/t/lib/launch" "$scratch/.pid" "$billet_program" run -e far -- "$@" \
        >"$scratch/output" 2>"$scratch/stderr" &
    tap_job=$!
    wait_until test -s "$scratch/.pid"
    billet_pid=$(cat "$scratch/.pid")
    peak=0
    while kill -0 "$tap_job" 2>/dev/null; do
        for tap_pid in $billet_pid $(children_of "$billet_pid"); do
            tap_size=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$tap_pid/status" 2>/dev/null)
            [ "${tap_size:-0}" -le "$peak" ] || peak=$tap_size
        done
        sleep 0.1
    done
    wait "$tap_reader"
}
grow head -c 10000000000 /dev/zero
is "$(tr -d ' ' <"$scratch/count")" 400000000 "SEC-53: output without end is passed on"
if [ -z "${BILLET_SANITIZERS:-}" ]; then
    ok "SEC-53: in bounded memory ($peak KiB)" test "$peak" -gt 0 -a "$peak" -lt 65536
else
    skip 1 "sanitizers have memory of their own"
fi
listen() { # a host of our own words on port 2 of the gate: SCRIPT
    nsenter -t "$gate" -n python3 - "$1" "$((port + 1))" <<'END' &
import os, socket, sys, time
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("10.78.0.2", int(sys.argv[2])))
server.listen(8)
server.settimeout(30)
try:
    while True:
        peer, _ = server.accept()
        end = time.time() + 20
        try:
            while sys.argv[1] != "silent" and time.time() < end:
                if sys.argv[1] == "flood":
                    peer.sendall(b"x" * 200 + b"\r\n")
                elif sys.argv[1] == "drip":
                    # No divisor of the time limit: OpenSSH 9.2 forgets the limit when a byte
                    # comes in the very millisecond in which it ends. Our own ends it later.
                    peer.sendall(b"S")
                    time.sleep(0.3)
            time.sleep(20)
        except OSError:
            pass
        peer.close()
except OSError:
    pass
END
    fake=$!
    listening() { on "$gate" ss -ltn 2>/dev/null | grep -q ":$((port + 1)) "; }
    wait_until listening
}
sed "s/^port = .*/port = $((port + 1))/" "$scratch/billet.conf" >"$scratch/fake.conf"
for kind in silent flood drip; do
    if ! command -v python3 >/dev/null 2>&1; then
        skip 3 "needs python3"
        continue
    fi
    listen "$kind"
    start=$(now)
    tap_run isolated env BILLET_CONFIG="$scratch/fake.conf" "$billet_program" run -e far -- true
    is "$status" 125 "SEC-53: a host that is $kind ends the run"
    within 20 "$start" "SEC-53: $kind: soon"
    is "$(grep -c '\[[a-z_]*\]$' "$scratch/stderr" | sed 's/[12]/one/')" one "SEC-53: $kind: in a line"
    kill "$fake" 2>/dev/null
    wait "$fake" 2>/dev/null
done

# ---- SEC-54, SEC-55, SEC-56 ----
billet run -e far -- printf '%s|' "a'b" 'a"b' '$x' '\' '-n' '--' '*' 'a
b'
is "$status/$stdout" "0/a'b|a\"b|\$x|\\|-n|--|*|a
b|" "SEC-54: arguments arrive as they are"
# Random bytes; the last one keeps the shell from taking newlines at the end away.
set --
words=$scratch/words
i=0
while [ "$i" -lt 200 ]; do
    word=$(head -c 40 /dev/urandom | tr -d '\000' && echo .)
    set -- "$@" "$word"
    i=$((i + 1))
done
printf '%s\0' "$@" | cksum >"$words"
billet run -e far -- sh -c 'printf "%s\\0" "$@" | cksum' sh "$@"
is "$status/$stdout" "0/$(cat "$words")" "SEC-54: 200 arguments of random bytes arrive"
for word in "$@"; do
    i=$((i - 1))
    set -- "$@" --env "V$i=$word"
    shift
done
billet run -e far "$@" -- sh -c 'i=200
    while [ "$i" -gt 0 ]; do i=$((i - 1)); eval "printf \"%s\\\\0\" \"\$V$i\""; done | cksum'
is "$status/$stdout" "0/$(cat "$words")" "SEC-54: and so do 200 variables"
start_billet run -e far -- sh -c 'echo ready; sleep 6007'
wait_until grep -q ready "$scratch/stdout"
kill -KILL "$billet_pid"
finish_billet
billet lease reap --now
gone() { [ -z "$(ls "$far/leases")" ] && ! pgrep -fx 'sleep 6007' >/dev/null; }
ok "SEC-55: after a SIGKILL nothing is left on the host" wait_until gone
billet run -e far -w "$scratch/work" -- ln -s /etc/shadow out
is "$status/$(ls "$scratch/work")" "125/file" "SEC-56: what comes back is judged (hosts that lie: t/travel-ssh)"
# Leases on hosts that could not be reached are still to be ended: that is right.
ok "no process is left" wait_until no_process_left
done_testing
