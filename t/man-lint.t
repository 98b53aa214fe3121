#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The pages are sound mdoc, are installed, and refer only to pages of billet that exist.
. "${top_srcdir:?run it with make check}/t/lib/tap.sh"
need mandoc

# lint PAGE: what mandoc has to say about it. Style remarks are not asked for.
lint() {
    mandoc -Tlint -Wwarning "$1" 2>&1
}

# unresolved DIRECTORY PAGE: references to a page billet*(N) that DIRECTORY does not have.
unresolved() {
    sed -n 's/^\.\(.* \)\{0,1\}Xr \(billet[A-Za-z0-9_.-]*\) \([1-9]\).*/\2.\3/p' "$2" | sort -u |
        while IFS= read -r page; do
            [ -f "$1/$page" ] || echo "$page"
        done
}

# The checks see what they are for.
cat >"$scratch/billet-bad.1" <<'END'
.Dd November 20, 2026
.Dt BILLET-BAD 1
.Os
.Sh NAME
.Nm billet-bad
.Nd a page with faults
.Sh DESCRIPTION
.Nosuchmacro
.Xr billet-nowhere 7 ,
.Xr billet-bad 1
END
isnt "$(lint "$scratch/billet-bad.1")" "" "the lint sees an unknown macro"
is "$(unresolved "$scratch" "$scratch/billet-bad.1")" billet-nowhere.7 "a reference to no page is seen"

tr -s ' \t\\=' '[\n*]' <"$top_srcdir/man/Makemodule.am" >"$scratch/listed"
count=0
for page in "$top_srcdir"/man/*.[1-8]; do
    [ -f "$page" ] || continue
    name=${page##*/}
    count=$((count + 1))
    is "$(lint "$page")" "" "$name: mandoc has nothing to warn of"
    is "$(unresolved "$top_srcdir/man" "$page")" "" "$name: refers to existing pages only"
    ok "$name: is in man/Makemodule.am" grep -Fxq "man/$name" "$scratch/listed"
    like "$(sed -n 's/^\.Dt //p' "$page")" \
        "^$(echo "${name%.*}" | tr '[:lower:]' '[:upper:]') ${name##*.}\$" \
        "$name: its title is its file name"
done
isnt "$count" 0 "there are pages"
done_testing
