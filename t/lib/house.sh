# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# house.sh - the rules of the house as functions. Each takes the root of a source tree, prints one
# line for each breach, and prints nothing when the rule is kept. They write only to $scratch.

# The files of the tree: what git knows or would add, in a checkout; everything, in a released tree.
house_files() {
    if [ -e "$1/.git" ] && command -v git >/dev/null 2>&1; then
        (cd "$1" && git -c safe.directory='*' ls-files --cached --others --exclude-standard |
            while IFS= read -r house_file; do
                [ ! -f "$house_file" ] || printf '%s\n' "$house_file"
            done)
    else
        (cd "$1" && find . -type f | sed 's,^\./,,' |
            grep -Ev '^(build[^/]*|_build|_inst|autom4te\.cache|core/build-aux)/|^core/m4/(l.*|pkg)\.m4$' |
            grep -Ev '^(configure|aclocal\.m4|Makefile\.in|config\.h\.in)$')
    fi | sort
}

house_sources() {
    house_files "$1" | grep -E '\.(c|h|def|sh|bash|t|am|ac|m4|sql|awk|[13578])$|^(bootstrap|\.ci/run)$'
}

house_spdx() {
    house_sources "$1" | while IFS= read -r house_file; do
        head -n 5 "$1/$house_file" | grep -q 'SPDX-License-Identifier: Apache-2\.0' ||
            echo "$house_file: no SPDX line among its first five"
    done
}

house_length() {
    house_sources "$1" | while IFS= read -r house_file; do
        house_lines=$(wc -l <"$1/$house_file")
        [ "$house_lines" -le 1000 ] || echo "$house_file: $house_lines lines, more than 1000"
    done
}

# A header says in its first comment what it owns.
house_headers() {
    house_files "$1" | grep -E '^(core|drivers|include)/.*\.h$' | while IFS= read -r house_file; do
        head -n 5 "$1/$house_file" | grep -q " \* $(basename "$house_file") - " ||
            echo "$house_file: does not begin with '$(basename "$house_file") - what it is'"
    done
}

# Every C file is named in a Makemodule.am (or in Makefile.am), or make dist would forget it.
house_listed() {
    cat "$1"/Makefile.am "$1"/*/Makemodule.am "$1"/*/*/Makemodule.am 2>/dev/null |
        grep -v '^#' | tr -s ' \t\\=' '[\n*]' | sort -u >"$scratch/.listed"
    house_files "$1" | grep -E '\.(c|h|def)$' | while IFS= read -r house_file; do
        grep -Fxq "$house_file" "$scratch/.listed" || echo "$house_file: in no Makemodule.am"
    done
}

house_generated() {
    (cd "$1" && git -c safe.directory='*' ls-files) |
        grep -E '(^|/)(Makefile\.in|configure|aclocal\.m4|config\.h(\.in)?|config\.status|libtool|ltmain\.sh|stamp-h1)$|^Makefile$|^core/build-aux/|^autom4te\.cache/|\.(o|lo|la|so|a|trs|gcda|gcno|orig|rej|pyc)$' |
        sed 's/$/: generated, and tracked by git/'
}

house_top() {
    house_files "$1" | cut -d/ -f1 | sort -u | while IFS= read -r house_entry; do
        case $house_entry in
        configure.ac | Makefile.am | README.md | COPYING | bootstrap) ;;
        .ci | .clang-format | .gitignore) ;;
        core | drivers | include | sql | t | man) ;;
        *) echo "$house_entry: not an entry of the top directory" ;;
        esac
    done
}

# Which directories of core a directory of core may include from, besides its own.
house_below() {
    case $1 in
    base) ;;
    config) echo base ;;
    store | driver) echo base config ;;
    secret) echo base config store ;;
    lease) echo base config store secret driver ;;
    workspace | bridge) echo base config store secret driver ;;
    guest) echo base workspace ;;
    run) echo base config store secret driver lease workspace bridge ;;
    cli) echo base config store secret driver lease workspace bridge run guest ;;
    *) echo "unknown directory core/$1" >&2 ;;
    esac
}

# Includes point down: see house_below. A driver includes <billet/...>, its own and common/ files.
house_arrows() {
    house_files "$1" | grep -E '^(core|drivers|include)/.*\.(c|h|def)$' | while IFS= read -r house_file; do
        house_part=$(echo "$house_file" | cut -d/ -f2)
        sed -n 's/^[ \t]*#[ \t]*include[ \t]*"\([^"]*\)".*/\1/p' "$1/$house_file" |
            while IFS= read -r house_include; do
                house_good=no
                case $house_file:$house_include in
                include/*) ;;
                core/base/*:config.h | core/*:config.h | drivers/*:config.h) house_good=yes ;;
                drivers/*:../common/*) house_good=yes ;;
                drivers/*:*_bytes.h) house_good=yes ;; # made by the build, in the driver's own directory
                drivers/*:*..*) ;;
                drivers/*:common/* | drivers/*:"$house_part"/*) house_good=yes ;;
                core/*:"$house_part"/*) house_good=yes ;;
                core/*:*/*)
                    for house_target in $(house_below "$house_part"); do
                        [ "${house_include%%/*}" != "$house_target" ] || house_good=yes
                    done
                    ;;
                *) [ ! -e "$1/$(dirname "$house_file")/$house_include" ] || house_good=yes ;;
                esac
                [ "$house_good" = yes ] ||
                    echo "$house_file: may not include \"$house_include\""
            done
    done
}

# Ids that the table of errors declares, one a line.
house_error_table() {
    sed -n 's/^ERROR_ID(\([a-z0-9_]*\),.*/\1/p' "$1/core/base/error_ids.def"
}

# Ids that the code gives to the functions that take one: "ID FILE". The code is the first string
# literal of such a call that looks like an id; a code passed in a variable has been written
# literally somewhere else, where the same holds.
house_error_uses() {
    house_files "$1" | grep -E '^(core|drivers)/.*\.(c|h)$' | while IFS= read -r house_file; do
        tr '\n' ' ' <"$1/$house_file" |
            grep -Eo '(^|[^a-z_])(billet_error_(set|errno|recode)|billet_diagnostics_add|(billet_)?fail(_errno)?) *\([^;"]*"[^"]*"' |
            sed -n 's/.*"\([a-z][a-z0-9_]*\)"$/\1/p' | sed "s,\$, $house_file,"
    done | sort -u
}

house_errors_unknown() {
    house_error_table "$1" >"$scratch/.ids"
    house_error_uses "$1" | while read -r house_id house_file; do
        grep -Fxq "$house_id" "$scratch/.ids" ||
            echo "$house_file: error id $house_id is not in core/base/error_ids.def"
    done
    sort "$scratch/.ids" | uniq -d | sed 's/^/declared twice: /'
}

house_errors_unused() {
    house_files "$1" | grep -E '^(core|drivers)/.*\.(c|h)$' | while IFS= read -r house_file; do
        grep -Eo '"[a-z][a-z0-9_]*"' "$1/$house_file"
    done | tr -d '"' | sort -u >"$scratch/.used"
    house_error_table "$1" | while IFS= read -r house_id; do
        grep -Fxq "$house_id" "$scratch/.used" || echo "error id $house_id is used nowhere"
    done
}
