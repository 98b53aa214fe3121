#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
# What a driver host has of secrets: of billet's environment nothing that is not listed; the values of a
# command only in pages of their own, and only as long as the command runs. (ssh: t/run-ssh.t)
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
takes_long sanitizers
. "$top_srcdir/t/lib/verbs.sh"
. "$top_srcdir/t/lib/canary.sh"
need_billet
[ -x "$seek" ] || skip_all "needs t/lib/canary-seek, which make check builds"
need_root
plant secret env
mkdir "$scratch/work" && cd "$scratch/work" || exit 1
CANARY_E=$(cat "$sources/value.env")
export CANARY_E
for name in local sandbox; do
    printf '[environment in-%s]\ndriver = %s\nenv.S = @secret:alpha\nenv.E = @env:CANARY_E\n' "$name" "$name"
done >"$scratch/billet.conf"
chmod 0600 "$scratch/billet.conf"
billet key init
isolated "$billet_program" secret set alpha <"$sources/value.secret" >/dev/null
for name in local sandbox; do
    billet secret bind alpha --environment "in-$name" --option env.S
done

# ---- its environment ------------------------------------------------------------------------------------
export SSH_AUTH_SOCK=/nowhere LC_TIME=C TZ=UTC DATABASE_URL=postgresql://u:p@h/d PGPASSWORD=x AWS_SECRET_ACCESS_KEY=x \
    http_proxy=http://u:p@h/ LD_BIND_NOW=1
start_billet run -e in-local -- sh -c 'echo ready; exec sleep 1147'
ok "a run goes on" wait_until grep -qs ready "$scratch/stdout"
host=$(children_of "$billet_pid" | head -n 1)
names=$(tr '\000' '\n' <"/proc/$host/environ" | sed 's/=.*//' | sort)
for name in $names; do
    case $name in
    HOME | PATH | USER | LOGNAME | SHELL | LANG | LANGUAGE | LC_* | TZ | TERM | TMPDIR | SSH_AUTH_SOCK | \
        XDG_RUNTIME_DIR | BILLET_DRIVER_CORE | *SAN_OPTIONS | GCOV_PREFIX*) ;;
    *) fail "a driver host does not get $name" ;;
    esac
done
for name in HOME PATH LC_TIME SSH_AUTH_SOCK TZ XDG_RUNTIME_DIR; do
    like "$names" "^$name\$" "a driver host gets $name"
done
for left in $(marked_sleeps); do
    kill "$left"
done
finish_billet
unset LD_BIND_NOW

# ---- its memory -----------------------------------------------------------------------------------------
host_keeps_nothing in-local
billet run -e in-sandbox -- true
if [ "$status" = 0 ]; then
    host_keeps_nothing in-sandbox
else
    skip 5 "no sandbox here: $stderr"
fi
done_testing
