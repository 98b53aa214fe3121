#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2016
# billet config check and show: places of mistakes, precedence, origins.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
seeks_leaks
. "$top_srcdir/t/lib/verbs.sh"
need_billet
cd "$scratch" || exit 1
conf=$scratch/billet.conf

# ---- check --------------------------------------------------------------------------------------
billet config check
is "$status" 0 "no configuration is no mistake"
cat >"$conf" <<'END'
[billet]
lease_ttl = 2m
[driver fake]
enabled = yes
[environment build]
driver = local
env.CI = yes
END
billet config check
is "$status/$stderr" 0/ "a good one has no findings"
billet config check --json
is "$(json /ok '/findings/#')" "true
0" "as JSON"

# mistaken LINE TEXT PLACE PATTERN: the good file with TEXT in place of line LINE.
mistaken() {
    sed "$1s|.*|$2|" "$conf" >bad.conf
    tap_run isolated "$billet_program" --help >/dev/null
    billet config check --config bad.conf
    isnt "$status" 0 "'$2' is a mistake"
    like "$stdout$stderr" "bad.conf:$3: .*$4" "with file, line and column"
    billet run --config bad.conf -- true
    is "$status" 125 "with which nothing runs"
    like "$stderr" "^billet: .*bad.conf:$3: .*$4.* \\[[a-z_]+\\]$" "and one line says the same"
}
mistaken 2 'lease_tll = 2m' 2:1 "unknown key 'lease_tll'.*lease_ttl"
mistaken 2 'lease_ttl = soon' 2:13 'soon'
mistaken 2 'lease_ttl = 0s' 2:13 ''
mistaken 2 'lease_ttl' 2:10 "'=' is missing"
mistaken 1 '[bilet]' 1:1 "bilet.*billet"
mistaken 1 '[billet' '1:[0-9]+' ''
mistaken 3 '[driver]' '3:[0-9]+' ''
mistaken 3 '[driver a b]' '3:[0-9]+' ''
mistaken 4 'enabled = perhaps' 4:11 'perhaps'
mistaken 6 'drivr = local' '[0-9]+:1' 'driv'
sed 's|^env.CI.*|env.1X = yes|' "$conf" >bad.conf
billet config check --config bad.conf
like "$status/$stdout" '^1/.*bad.conf:7:1: .*env.1X' "a variable that cannot be is a mistake"
mistaken 7 'driver = fake' 7:1 "driver.*(twice|already|again)"
printf 'key = before any section\n' >bad.conf
billet config check --config bad.conf
isnt "$status" 0 "a key before any section is a mistake"
printf '[billet]\nlease_ttl = 2m\0\n' >bad.conf
billet config check --config bad.conf
isnt "$status" 0 "a NUL is a mistake"
head -c 3000000 /dev/zero | tr '\0' '#' >bad.conf
billet config check --config bad.conf
isnt "$status" 0 "a file of 3 MB is a mistake"
printf '[billet]\nlease_tll = 2m\nheld_lease_tll = 1h\n[stor]\nurl = x\n' >bad.conf
billet config check --config bad.conf
is "$(printf '%s\n' "$stdout" | cut -d : -f 2 | tr '\n' ' ')" "2 3 4 " "all mistakes of a file are told at once"
billet config check --config bad.conf --json
is "$(json /ok '/findings/#' /findings/0/line)" "false
3
2" "as JSON, too"
billet config check --config /no/such/file
isnt "$status" 0 "a file that is not there is told"
cp "$conf" open.conf && chmod 0666 open.conf
billet run --config open.conf -- true
is "$status" 125 "a file that others can write is refused"
like "$stderr" 'open.conf.*writable.*\[path_untrusted\]' "with the reason"

# ---- show ---------------------------------------------------------------------------------------
billet config show
like "$stdout" '^lease_ttl = 2m$' "show prints what counts"
like "$stdout" '^held_lease_ttl = 1h$' "with the defaults"
billet config show --origin
like "$stdout" "^lease_ttl = 2m	# $conf:2\$" "--origin says from where"
like "$stdout" '^held_lease_ttl = 1h	# default$' "also of defaults"
billet config show --json
is "$status" 0 "show has JSON"
is "$(json /format_version)" 1.0 "of one document"
billet config show --origin --set billet.lease_ttl=3m
like "$stdout" '^lease_ttl = 3m	# --set$' "--set comes before the file"
billet config show --origin --store sqlite:/nowhere/x.db
like "$stdout" '^url = sqlite:/nowhere/x.db	# --store$' "--store, too"
billet config show --origin
like "$stdout" "^url = sqlite:$scratch/state/billet.db	# BILLET_STORE\$" "and the variables"
billet config show environment build
is "$status" 0 "show takes one section"
unlike "$stdout" lease_ttl "and prints no other"
billet config show environment nosuch
refused 125 "no section [environment nosuch] is configured" config_invalid "" "one that there is"
billet config show environment build more
is "$status" 2 "and no more"

# ---- a user's own files and drop-ins ------------------------------------------------------------
if user_ready; then
    rm "$conf"
    as_user sh -c 'umask 022; mkdir -p "$1/config/billet/billet.conf.d" &&
        printf "[billet]\nlease_ttl = 70s\nheld_lease_ttl = 2h\n" >"$1/config/billet/billet.conf" &&
        printf "[billet]\nlease_ttl = 80s\n" >"$1/config/billet/billet.conf.d/10-a.conf" &&
        printf "[billet]\nlease_ttl = 90s\n" >"$1/config/billet/billet.conf.d/20-b.conf" &&
        printf "[billet]\nlease_ttl = 99s\n" >"$1/config/billet/billet.conf.d/30-c.conf~"' sh "$user_scratch"
    as_user billet config show --origin
    like "$stdout" "^lease_ttl = 90s	# $user_scratch/config/billet/billet.conf.d/20-b.conf:2\$" \
        "of a user's drop-ins the last counts"
    like "$stdout" "^held_lease_ttl = 2h	# $user_scratch/config/billet/billet.conf:3\$" "over the user's own file"
    as_user sh -c 'rm -r "$1/config/billet"' sh "$user_scratch"
else
    skip 2 "$tap_reason"
fi
done_testing
