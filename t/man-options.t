#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What pages say of options, keys, capabilities and error ids is what the code says.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
about_words
need_billet
[ -x "$top_builddir/man/print-options" ] || skip_all "needs man/print-options, which make check builds"

# Lists of options: as the code prints them now.
mkdir "$scratch/now"
ok "the lists of options can be made" env top_srcdir="$top_srcdir" top_builddir="$top_builddir" \
    "$top_srcdir/man/update-options" "$scratch/now"
for page in "$top_srcdir"/man/*.[1-8]; do
    name=${page##*/}
    grep -q '^\.\\" options of ' "$page" || continue
    if [ ! -f "$scratch/now/$name" ]; then
        skip 1 "the driver of $name is not built here"
        continue
    fi
    ok "$name lists the options of today (else: make update-driver-pages)" \
        diff "$page" "$scratch/now/$name"
done
# A list that is out of date is seen.
mkdir -p "$scratch/old/man" "$scratch/old/t"
ln -s "$top_srcdir/t/lib" "$scratch/old/t/lib"
cp "$top_srcdir/man/options.awk" "$top_srcdir/man/update-options" "$scratch/old/man/"
sed '/^\.It Ic/s/lease_ttl/lease_age/' "$top_srcdir/man/billet.conf.5" >"$scratch/old/man/billet.conf.5"
env top_srcdir="$scratch/old" top_builddir="$top_builddir" "$top_srcdir/man/update-options" \
    >"$scratch/said" 2>&1
is "$(cat "$scratch/said")" "billet.conf.5: written anew" "a list that is out of date is seen"
ok "and mended" cmp "$top_srcdir/man/billet.conf.5" "$scratch/old/man/billet.conf.5"

for driver in "$BILLET_DRIVER_DIR"/driver_*.so; do
    name=${driver##*/driver_}
    name=${name%.so}
    case $name in
    local | sandbox | fake) ok "driver $name has a page" test -f "$top_srcdir/man/billet-driver-$name.7" ;;
    esac
done
for directory in "$top_srcdir"/drivers/*/; do
    name=$(basename "$directory")
    [ "$name" = common ] || ok "driver $name of the tree has a page" \
        grep -q "^\.\\\\\" options of driver $name\$" "$top_srcdir/man/billet-driver-$name.7"
done

# page NAME: the page as it is installed, hand-written or made.
page() {
    cat "$top_srcdir/man/$1" 2>/dev/null || cat "$top_builddir/man/$1"
}
page billet-errors.7 >"$scratch/errors"
sed -n 's/^ERROR_ID(\([a-z0-9_]*\),.*/\1/p' "$top_srcdir/core/base/error_ids.def" | sort >"$scratch/ids"
isnt "$(wc -l <"$scratch/ids" | tr -d ' ')" 0 "there are error ids"
is "$(sed -e '1,/^\.Sh NAMES/d' -e 's/^\.It Cm \([a-z0-9_]*\)$/=\1/' "$scratch/errors" |
    sed -n 's/^=//p')" "$(cat "$scratch/ids")" \
    "billet-errors(7) explains each error id once"
is "$(sed -n 's/^ERROR_ID(\([a-z0-9_]*\), *".*/\1/p' "$top_srcdir/core/base/error_ids.def" | head -1)" \
    environment_not_found "the ids are read from the table"

# Capabilities, as the built tool names them.
billet driver list --features --no-headings
is "$(page billet-drivers.7 | sed -n 's/^\.It Cm \([a-z_]*\) Pq Dv BILLET_CAN_.*/\1/p')" \
    "$(printf '%s\n' "$stdout" | sed 's/ .*//')" "billet-drivers(7) lists each capability, in order"
grep -o 'BILLET_CAN_[A-Z_]* 0x' "$top_srcdir/include/billet/driver.h" | sed 's/ 0x//' | sort >"$scratch/bits"
is "$(page billet-drivers.7 | grep -o 'BILLET_CAN_[A-Z_]*$' | sort)" "$(cat "$scratch/bits")" \
    "billet-drivers(7) names each bit of the header"

# Actions and operations.
is "$(page billet-store.7 | sed -n 's/^\.It Cm \([a-z]*\.[a-z_]*\)$/\1/p')" \
    "$(sed -n 's/^ACTION("\([^"]*\)".*/\1/p' "$top_srcdir/core/lease/action.def")" \
    "billet-store(7) lists each action"
is "$(page billet-driver.3 | sed -n 's/^\.It Fn \([a-z_]*\) Ta .*/\1/p')" \
    "$(sed -n 's/^OPERATION([a-z_]*, \([a-z_]*\),.*/\1/p' "$top_srcdir/core/driver/operation.def")" \
    "billet-driver(3) lists each operation"

# Every field that a driver's author sees is named in billet-driver(3).
page billet-driver.3 >"$scratch/driver.3"
# shellcheck disable=SC2013
for field in $(sed -n 's/^    [a-z].*[ *]\([a-z_]*\)\(\[[A-Z0-9_a-z]*\]\)\{0,1\};.*/\1/p' \
    "$top_srcdir/include/billet/driver.h" "$top_srcdir/include/billet/types.h" \
    "$top_srcdir/include/billet/option.h" | sort -u | grep -Ev '^(reserved|name_size|desc_size|type|owner|magic|fallback|values|count|is_set|string|number|list|key|value|facts|fact_count|struct_size)$'); do
    ok "billet-driver(3) tells of $field" grep -Eq "(^|[^a-z_])$field([^a-z_]|\$)" "$scratch/driver.3"
done
# Keys that are not in a table: variables of the environment and files.
for variable in BILLET_STORE BILLET_ENVIRONMENT BILLET_LOG_LEVEL BILLET_CONFIG; do
    ok "billet.conf(5) tells of $variable" grep -q "Ev $variable" "$top_srcdir/man/billet.conf.5"
done
# Every variable that the code asks for is in billet(1) or a page of its own.
# shellcheck disable=SC2013
for variable in $(cat "$top_srcdir"/core/*/*.c | grep -o 'getenv("BILLET_[A-Z_]*")' | sed 's/.*"\(.*\)".*/\1/' | sort -u); do
    ok "a page tells of the variable $variable" grep -rq "Ev $variable" "$top_srcdir/man"
done
done_testing
