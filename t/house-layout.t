#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tree keeps the rules of the house; and each rule is shown to see a breach.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
. "$top_srcdir/t/lib/house.sh"

# A tree that breaks every rule once.
bad=$scratch/bad
mkdir -p "$bad/core/base" "$bad/core/run" "$bad/drivers/local" "$bad/include/billet"
spdx='/* SPDX-License-Identifier: Apache-2.0 */'
printf '%s\n#include "config/option.h"\n' "$spdx" >"$bad/core/base/upward.c"
printf '%s\n#include "cli/main.h"\n#include "lease/lease.h"\n' "$spdx" >"$bad/core/run/run.c"
printf '%s\n#include "base/io.h"\n#include "../../core/base/io.h"\n#include "own.h"\n' "$spdx" \
    >"$bad/drivers/local/local.c"
printf '%s\n/*\n * own.h - a header of the driver.\n */\n' "$spdx" >"$bad/drivers/local/own.h"
printf 'int x;\n' >"$bad/core/base/unmarked.c"
{
    echo "$spdx"
    awk 'BEGIN { for (i = 0; i < 1000; i++) print "" }'
} >"$bad/core/base/long.c"
printf '%s\nERROR_ID(good_id, "a", "b")\nERROR_ID(unused_id, "a", "b")\nERROR_ID(good_id, "a", "b")\n' \
    "$spdx" >"$bad/core/base/error_ids.def"
cat >"$bad/core/base/codes.c" <<END
$spdx
void f(void)
{
    billet_error_set(error, BILLET_CLASS_CONFIG, "good_id", "text %s", "argument");
    billet_error_errno(error, 0,
                       "bad_id", errno, "text");
    return billet_fail(error, 1, "bad_driver_id", "text");
}
END
printf '# SPDX-License-Identifier: Apache-2.0\nx_SOURCES = core/base/upward.c \\\n\tcore/base/codes.c\n' \
    >"$bad/core/base/Makemodule.am"
echo x >"$bad/stray.txt"
printf '%s\n' "$spdx" >"$bad/include/billet/nameless.h"

# rule NAME FUNCTION WHAT-IT-SEES-IN-THE-BAD-TREE...
rule() {
    name=$1
    check=$2
    shift 2
    is "$("$check" "$top_srcdir")" "" "$name"
    planted=$("$check" "$bad")
    for breach in "$@"; do
        like "$planted" "$breach" "$check sees: $breach"
    done
}

isnt "$(house_sources "$top_srcdir" | grep -c '^core/base/.*\.c$')" 0 "the rules look at the sources"
rule "every source has its SPDX line" house_spdx 'core/base/unmarked\.c'
rule "no file is longer than 1,000 lines" house_length 'core/base/long\.c: 1001'
rule "every header says what it is" house_headers 'include/billet/nameless\.h'
rule "every C file is in a Makemodule.am" house_listed 'core/base/long\.c' 'core/run/run\.c'
unlike "$planted" 'upward|codes' "house_listed passes what is listed"
rule "includes point down only" house_arrows \
    'upward\.c: may not include "config/option\.h"' 'run\.c: may not include "cli/main\.h"' \
    'local\.c: may not include "base/io\.h"' 'local\.c: may not include "\.\./\.\./core/base/io\.h"'
unlike "$planted" 'lease/lease\.h|own\.h' "house_arrows passes what points down"
rule "every error id in the code is declared once" house_errors_unknown \
    'codes\.c: error id bad_id' 'error id bad_driver_id' 'declared twice: good_id'
unlike "$planted" 'error id good_id|argument' "house_errors_unknown passes what is declared"

if [ -f "$top_srcdir/core/cli/main.c" ]; then
    is "$(house_errors_unused "$top_srcdir")" "" "no declared error id is unused"
else
    skip 1 "the tool itself is not in this tree yet"
fi
is "$(house_errors_unused "$bad")" "error id unused_id is used nowhere" "house_errors_unused sees an unused id"

# A released tree has more entries and no git to ask: there these rules do not exist.
if [ -e "$top_srcdir/.git" ] && command -v git >/dev/null 2>&1; then
    rule "the top directory holds only what belongs there" house_top 'stray\.txt'
    is "$(house_generated "$top_srcdir")" "" "git tracks nothing that is generated"
    (
        cd "$bad" && mkdir -p core/build-aux && touch configure core/build-aux/missing core/x.o &&
            git init -q . && git add -f configure core && git rm -q --cached core/run/run.c
    ) >/dev/null 2>&1
    like "$(house_generated "$bad")" '^configure: generated' "house_generated sees configure"
    is "$(house_generated "$bad" | grep -c .)" 3 "house_generated sees the three generated files only"
fi

done_testing
