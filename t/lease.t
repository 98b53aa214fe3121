#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# billet lease acquire, list, show, release, destroy, reap.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
seeks_leaks
. "$top_srcdir/t/lib/verbs.sh"
need_billet
need_fake
mkdir "$scratch/work" "$scratch/resources" && cd "$scratch/work" || exit 1
fake_configuration <<END
[environment fake]
driver = fake
directory = $scratch/resources
[environment full]
driver = fake
directory = $scratch/resources
script = acquire:fail:capacity
[environment stubborn]
driver = fake
directory = $scratch/resources
script = release:fail:unavailable destroy:fail:unavailable:1
[environment unwilling]
driver = fake
directory = $scratch/resources
script = release:fail:unavailable destroy:fail:unavailable
END
uuid='[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'

# ---- acquire, list, show ------------------------------------------------------------------------
billet lease list
is "$status/$stdout" "0/LEASE  ENVIRONMENT  STATE  AGE  EXPIRES  OUTCOME  COMMAND" "at first there is none"
billet lease list --json
is "$(json /format_version '/leases/#')" "1.0
0" "nor in JSON"
billet lease acquire -e fake --ttl 2h --agent agent-1 --issue issue-2 --run-id run-3
like "$status/$stdout" "^0/$uuid\$" "acquire prints the lease"
lease=$stdout
is "$(find "$scratch/resources" -name 'fake-*' | grep -c "$lease")" 1 "whose resource carries its id"
billet lease list --no-headings
like "$stdout" "^$lease +fake +retained +[0-9]+s +(2h|1[12][0-9]m) " "list has it, held for its time"
billet lease show "$lease" --json
is "$(json /state /policy /agent /issue /run /environment /driver /fence /generation /outcome)" \
    "retained
keep
agent-1
issue-2
run-3
fake
fake
1
1
{}" "show tells all of it"
is "$(json /history/0/action /history/0/actor)" "lease.requested
uid:$(id -u)" "with what happened, and by whom"
billet lease show "$lease"
like "$stdout" '^State: +retained \(fence 1, generation 1\)$' "as text, too"
like "$stdout" ' lease.requested +uid:' "with the history"
billet lease show "$(printf %.10s "$lease")" --json
is "$(json /id)" "$lease" "the first bytes of the id are enough"
billet lease show "$(printf %.4s "$lease")"
is "$status" 125 "four are too few"
billet lease show nonsense
refused 125 "there is no lease 'nonsense'" lease_not_found "see billet lease list --all" "an unknown lease is told"
billet lease acquire -e fake --json
second=$(json /lease)
like "$second" "^$uuid\$" "acquire has JSON"
billet lease list --environment local --json
is "$(json '/leases/#')" 0 "list by environment"
billet lease list --run run-3 --json
is "$(json '/leases/#' /leases/0/id)" "1
$lease" "and by run"
billet lease list --tenant other --json
is "$(json '/leases/#')" 0 "another tenant sees none"
billet lease list --tenant other --every-tenant --json
is "$(json '/leases/#')" 2 "unless it asks for every tenant's"
billet lease acquire -e full
refused 125 "cannot acquire environment 'full': acquire fails with class capacity, as the script says" \
    lease_acquire_failed "" "an environment that is full"
billet lease acquire -e full --json
is "$status/$(json /error/code /error/class /error/retryable | tr '\n' ' ')" "125/lease_acquire_failed capacity false " \
    "in JSON with what a program wants to know"
billet lease acquire extra
is "$status" 2 "acquire takes no argument"

# ---- release, destroy ---------------------------------------------------------------------------
billet lease release "$lease"
is "$status/$stdout$stderr" 0/ "release is silent"
not_ok "the resource is gone" test -e "$scratch/resources/fake-$lease"
billet lease release "$lease"
is "$status" 0 "released twice is released"
billet lease release nonsense "$second"
is "$status" 125 "of several, one that is not there is told"
billet lease show "$second" --json
is "$(json /state)" released "and the other released"
billet lease release
is "$status" 2 "release wants a lease"
billet lease destroy nonsense
is "$status" 125 "so does destroy, and one that is there"
held_lease -e fake
billet lease release "$lease" --tenant other
is "$status" 125 "a lease of another tenant is not released"
billet lease destroy "$lease"
is "$status" 0 "destroy ends a held one"
nothing_left "after release and destroy"

# ---- a cleanup that fails -----------------------------------------------------------------------
billet run -e stubborn -- true
is "$status" 0 "a failed release does not hide the command's status"
billet run -e unwilling --status-fd 9 -- sh -c true 9>"$scratch/status"
is "$status" 0 "also when nothing helps"
like "$stderr" '^billet: .*\[lease_release_failed\]$' "it is told in one line"
like "$stderr" "^billet: 'billet lease reap' tries again" "with what happens next"
is "$(status_line "$scratch/status" /release_error/code)" lease_release_failed "and in the status lines"
lease=$(status_line "$scratch/status" /lease/id)
billet lease show "$lease" --json
is "$(json /state /cleanup_attempts /outcome/code)" "releasing
1
0" "the lease says that its cleanup is due"
billet lease reap --now
is "$status" 1 "told to try at once, the reaper reports the failure"
like "$stdout" "^$lease +unwilling +failed " "of this lease"
# Each failure doubles the wait: after some, it is longer than the slowest machine takes to come back.
for attempt in 3 4 5 6 7 8; do
    billet lease reap --now
done
billet lease show "$lease" --json
is "$(json /cleanup_attempts)" "$attempt" "every attempt is counted"
billet lease reap
is "$status" 0 "a reap soon after waits for its time"
billet lease show "$lease" --json
is "$(json /cleanup_attempts)" "$attempt" "and does not try"
sed -i '/^\[environment unwilling\]/,$d' "$scratch/billet.conf"
printf '[environment unwilling]\ndriver = fake\ndirectory = %s\n' "$scratch/resources" >>"$scratch/billet.conf"
billet lease destroy "$lease"
isnt "$status" 0 "the configuration of the acquire counts, not today's"
ok "so the resource is still there" test -e "$scratch/resources/fake-$lease"
like "$stderr" "'billet lease destroy --forget' gives the resource up" "a way out is named"
billet lease destroy --forget "$lease"
is "$status" 0 "an operator can give the resource up"
billet lease show "$lease" --json
is "$(json /state)" failed "then the lease has failed"
like "$(json /reason)" '^forgotten by an operator: .*destroy fails with class unavailable' "and says why"
rm "$scratch/resources/fake-$lease"

# ---- reap ---------------------------------------------------------------------------------------
start_billet run -e fake --status-fd 9 -- true 9>"$scratch/status"
finish_billet
start_billet run -- sleep 60
mv "$scratch/stdout" "$scratch/run.stdout"
wait_until live_in local
lease=$(json /leases/0/id)
billet lease reap --all
like "$stdout" "^$lease +local +kept " "reap leaves a lease alone whose owner lives"
kill -KILL "$billet_pid"
wait "$start_job" 2>/dev/null
billet lease reap --dry-run
like "$stdout" "^$lease +local " "--dry-run says what would be ended"
billet lease show "$lease" --json
is "$(json /state)" active "and ends nothing"
billet lease reap --json
is "$status/$(json /reaped /failed | tr '\n' ' ')" "0/1 0 " "reap ends it"
billet lease show "$lease" --json
is "$(json /state)" failed "as failed"
billet lease reap
is "$status/$stdout" 0/ "then there is nothing to do"
billet lease acquire -e fake --ttl 1s
lease=$stdout
sleep 2.2
billet lease reap
like "$status/$stdout" "^0/SUBJECT" "a held lease whose time is over is ended"
billet lease show "$lease" --json
like "$(json /state)" '^(released|failed)$' "which its row says"
not_ok "and its resource is gone" test -e "$scratch/resources/fake-$lease"
billet lease reap extra
is "$status" 2 "reap takes no argument"
billet db check
is "$stdout" "no findings" "the store is whole"
done_testing
