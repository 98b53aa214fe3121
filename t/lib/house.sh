# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh disable=SC2154
# house.sh - the rules of the house as functions. Each takes the root of a source tree, prints one
# line for each breach, and prints nothing when the rule is kept. They write only to $scratch.

# The files of the tree: what git knows or would add, in a checkout; everything, in a released tree.
house_files() {
    if [ -e "$1/.git" ] && command -v git >/dev/null 2>&1; then
        (cd "$1" && git -c safe.directory='*' ls-files --cached --others --exclude-standard |
            tr '\n' '\000' | xargs -0r sh -c 'for file; do [ ! -f "$file" ] || printf "%s\n" "$file"; done' sh)
    else
        (cd "$1" && find . -type f | sed 's,^\./,,' |
            grep -Ev '^(build[^/]*|_build|_inst|autom4te\.cache|core/build-aux)/|^core/m4/(l.*|pkg)\.m4$' |
            grep -Ev '^(configure|aclocal\.m4|Makefile\.in|config\.h\.in)$')
    fi | sort
}

house_sources() {
    house_files "$1" | grep -E '\.(c|h|def|sh|bash|t|am|ac|m4|sql|awk|[13578])$|^(bootstrap|\.ci/run)$'
}

# house_each ROOT AWK-PROGRAM: over the files that are named on standard input, in a single process.
house_each() {
    (cd "$1" && tr '\n' '\000' | xargs -0r awk "$2")
}

house_spdx() {
    house_sources "$1" | house_each "$1" '
        function judge() { if (name != "" && !marked) print name ": no SPDX line among its first five" }
        FNR == 1 { judge(); name = FILENAME; marked = 0 }
        FNR <= 5 && /SPDX-License-Identifier: Apache-2\.0/ { marked = 1 }
        FNR > 5 { nextfile }
        END { judge() }'
}

house_length() {
    house_sources "$1" | house_each "$1" '
        function judge() { if (lines > 1000) print name ": " lines " lines, more than 1000" }
        FNR == 1 { judge(); name = FILENAME }
        { lines = FNR }
        END { judge() }'
}

# A header says in its first comment what it owns.
house_headers() {
    house_files "$1" | grep -E '^(core|drivers|include)/.*\.h$' | house_each "$1" '
        function judge() { if (name != "" && !said) print name ": does not begin with \"" base " - what it is\"" }
        FNR == 1 { judge(); name = base = FILENAME; sub(/.*\//, "", base); said = 0 }
        FNR <= 5 && index($0, " * " base " - ") > 0 { said = 1 }
        FNR > 5 { nextfile }
        END { judge() }'
}

# Every C file is named in a Makemodule.am (or in Makefile.am), or make dist would forget it.
house_listed() {
    cat "$1"/Makefile.am "$1"/*/Makemodule.am "$1"/*/*/Makemodule.am 2>/dev/null |
        grep -v '^#' | tr -s ' \t\\=' '[\n*]' | sort -u >"$scratch/.listed"
    house_files "$1" | grep -E '\.(c|h|def)$' | grep -Fxv -f "$scratch/.listed" | sed 's/$/: in no Makemodule.am/'
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

# Includes point down. A directory of core may include from itself and from those listed below it here;
# a driver <billet/...>, its own and common/ files.
house_arrows() {
    house_files "$1" | grep -E '^(core|drivers|include)/.*\.(c|h|def)$' | house_each "$1" '
        BEGIN {
            below["base"] = ""
            below["config"] = " base "
            below["store"] = below["driver"] = " base config "
            below["secret"] = " base config store "
            below["lease"] = " base config store secret driver "
            below["workspace"] = below["bridge"] = below["lease"]
            below["guest"] = " base workspace "
            below["run"] = below["lease"] "lease workspace bridge "
            below["cli"] = below["run"] "run guest "
        }
        function exists(path,   line, got) { got = (getline line < path) >= 0; close(path); return got }
        function allowed(include,   directory) {
            if (top == "include") return 0
            if (include == "config.h") return 1
            if (top == "drivers") {
                if (include ~ /^\.\.\/common\//) return 1
                if (include ~ /_bytes\.h$/) return 1 # made by the build, in the directory of the driver
                if (include ~ /\.\./) return 0
                if (include ~ /^common\// || index(include, part "/") == 1) return 1
            } else if (include ~ /\//) {
                if (index(include, part "/") == 1) return 1
                return index(below[part], " " substr(include, 1, index(include, "/") - 1) " ") > 0
            }
            directory = FILENAME
            sub(/\/[^\/]*$/, "", directory)
            return exists(directory "/" include)
        }
        FNR == 1 {
            split(FILENAME, path, "/"); top = path[1]; part = path[2]
            if (top == "core" && !(part in below)) print "unknown directory core/" part
        }
        /^[ \t]*#[ \t]*include[ \t]*"/ {
            split($0, quoted, "\"")
            if (!allowed(quoted[2])) print FILENAME ": may not include \"" quoted[2] "\""
        }'
}

# Ids that the table of errors declares, one a line.
house_error_table() {
    sed -n 's/^ERROR_ID(\([a-z0-9_]*\),.*/\1/p' "$1/core/base/error_ids.def"
}

# Ids that the code gives to the functions that take one: "ID FILE". The code is the first string
# literal of such a call that looks like an id; a code passed in a variable has been written
# literally somewhere else, where the same holds.
house_error_uses() {
    house_files "$1" | grep -E '^(core|drivers)/.*\.(c|h)$' | house_each "$1" '
        function look(   call) {
            while (match(text, /(^|[^a-z_])(billet_error_(set|errno|recode)|billet_diagnostics_add|(billet_)?fail(_errno)?) *\([^;"]*"[^"]*"/)) {
                call = substr(text, RSTART, RLENGTH)
                text = substr(text, RSTART + RLENGTH)
                sub(/"$/, "", call); sub(/.*"/, "", call)
                if (call ~ /^[a-z][a-z0-9_]*$/) print call, name
            }
        }
        FNR == 1 { look(); name = FILENAME; text = "" }
        { text = text $0 " " }
        END { look() }' | sort -u
}

house_errors_unknown() {
    house_error_table "$1" >"$scratch/.ids"
    house_error_uses "$1" | awk -v table="$scratch/.ids" '
        BEGIN { while ((getline id < table) > 0) known[id] }
        !($1 in known) { print $2 ": error id " $1 " is not in core/base/error_ids.def" }'
    sort "$scratch/.ids" | uniq -d | sed 's/^/declared twice: /'
}

house_errors_unused() {
    house_files "$1" | grep -E '^(core|drivers)/.*\.(c|h)$' | (cd "$1" && tr '\n' '\000' |
        xargs -0r grep -Eho '"[a-z][a-z0-9_]*"') | tr -d '"' | sort -u >"$scratch/.used"
    house_error_table "$1" | grep -Fxv -f "$scratch/.used" | sed 's/\(.*\)/error id \1 is used nowhere/'
}
