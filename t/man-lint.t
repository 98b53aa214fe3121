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

# The pages as they are installed: hand-written ones, and those that the build makes.
mkdir "$scratch/pages"
for directory in "$top_srcdir/man" "$top_builddir/man"; do
    for page in "$directory"/*.[1-8]; do
        [ ! -f "$page" ] || cp "$page" "$scratch/pages/"
    done
done
for page in "$top_srcdir"/man/*.in; do
    name=${page##*/}
    ok "$name: the build made its page" test -f "$scratch/pages/${name%.in}"
done

tr -s ' \t\\=' '[\n*]' <"$top_srcdir/man/Makemodule.am" >"$scratch/listed"
count=0
for page in "$scratch"/pages/*; do
    name=${page##*/}
    count=$((count + 1))
    is "$(lint "$page")" "" "$name: mandoc has nothing to warn of"
    is "$(unresolved "$scratch/pages" "$page")" "" "$name: refers to existing pages only"
    ok "$name: is in man/Makemodule.am" grep -Fxq "man/$name" "$scratch/listed"
    like "$(sed -n 's/^\.Dt //p' "$page")" \
        "^$(echo "${name%.*}" | tr '[:lower:]' '[:upper:]') ${name##*.}\$" \
        "$name: its title is its file name"
    is "$(sed -n 's/^\.Sh //p' "$page" | sort | uniq -d)" "" "$name: no section comes twice"
    for section in NAME DESCRIPTION "SEE ALSO"; do
        ok "$name: has the section $section" grep -Fxq ".Sh $section" "$page"
    done
done
isnt "$count" 0 "there are pages"

# strays PAGE: words of the page as it is shown that are macros taken for text.
strays() {
    mandoc -T ascii "$1" | col -b | grep -nwE 'Ns|Ar|Fl|Cm|Nm|Xr|Pa|Ql|Dv|Ev|Pq|Pc|Po|Op|Dl|Ic|Em|Va|Vt|Fn|Fa|Ta|Li|Sq|So|Sc|Sm'
}
printf '.Dd May 1, 2026\n.Dt X 1\n.Os\n.Sh NAME\n.Nm x\n.Nd y\n.Sh DESCRIPTION\nand 128+ Ns Ar N\n' >"$scratch/stray"
if command -v col >/dev/null 2>&1; then
    like "$(strays "$scratch/stray")" 'Ns Ar N' "a macro that is taken for text is seen"
    for page in "$scratch"/pages/*; do
        is "$(strays "$page")" "" "${page##*/}: no macro is taken for text"
    done
else
    skip 1 "needs the program col"
fi

# Sections stand in the order that readers expect.
order='NAME|SYNOPSIS|DESCRIPTION|OPTIONS|ENVIRONMENT|FILES|EXIT STATUS|EXAMPLES|DIAGNOSTICS|SEE ALSO|SECURITY CONSIDERATIONS'
# misplaced PAGE: sections of that list that do not stand in its order.
misplaced() {
    sed -n 's/^\.Sh //p' "$1" | awk -v order="$order" '
        BEGIN { count = split(order, names, "|"); for (i = 1; i <= count; i++) place[names[i]] = i }
        $0 in place { if (place[$0] < last) print; last = place[$0] }'
}
printf '.Sh NAME\n.Sh EXAMPLES\n.Sh FILES\n' >"$scratch/order"
is "$(misplaced "$scratch/order")" FILES "a misplaced section is seen"
for page in "$scratch"/pages/*; do
    is "$(misplaced "$page")" "" "${page##*/}: sections are in order"
done
done_testing
