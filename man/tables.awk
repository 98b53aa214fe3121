# SPDX-License-Identifier: Apache-2.0
# tables.awk - fills a page.in: each line .\"= TABLE becomes what the code's table says, so that page
# and code cannot disagree. Reads source files only, so a cross build makes the same pages.
#     awk -v top_srcdir=DIRECTORY -f tables.awk page.in
# TABLE is errors, actions, capabilities, operations, or source FILE for the file itself.

# The whole file as one line, without comments, as a compiler joins lines.
function read_source(path,    line, text, found, at) {
    text = ""
    found = 0
    while ((getline line < (top_srcdir "/" path)) > 0) {
        found = 1
        text = text line "\n"
    }
    close(top_srcdir "/" path)
    if (!found)
        fail("cannot read " path)
    while ((at = index(text, "/*")) > 0) {
        line = substr(text, at)
        text = substr(text, 1, at - 1) " " substr(line, index(line, "*/") + 2)
    }
    return text
}

function fail(why) {
    print "tables.awk: " why > "/dev/stderr"
    failed = 1
    exit 1
}

# Take the fields of one entry from rest (which begins behind its opening bracket) into fields[1..];
# rest is left behind its closing one. Strings that follow each other are one.
function take_entry(closing,    count, c, word, length_of, string) {
    count = 1
    fields[1] = ""
    string = 0
    while (rest != "") {
        c = substr(rest, 1, 1)
        if (string) {
            if (c == "\\") {
                c = substr(rest, 2, 1)
                fields[count] = fields[count] (c == "n" ? "\n" : c)
                rest = substr(rest, 3)
                continue
            }
            if (c == "\"")
                string = 0
            else
                fields[count] = fields[count] c
        } else if (c == "\"") {
            string = 1
        } else if (c == closing) {
            rest = substr(rest, 2)
            return count
        } else if (c == ",") {
            fields[++count] = ""
        } else if (c !~ /[ \t\n]/) {
            fields[count] = fields[count] c
        }
        rest = substr(rest, 2)
    }
    fail("an entry does not end")
}

# Move rest behind the next opening; 0 when there is none.
function next_entry(opening,    at) {
    at = index(rest, opening)
    if (at == 0)
        return 0
    rest = substr(rest, at + length(opening))
    return 1
}

# A line of text: nothing in it is taken for a request or an escape.
function plain(text) {
    gsub(/\\/, "\\e", text)
    if (text ~ /^[.']/)
        text = "\\\\&" text
    return text
}

function sentence(text) {
    text = toupper(substr(text, 1, 1)) substr(text, 2)
    if (text !~ /[.?]$/)
        text = text "."
    return plain(text)
}

function print_errors(    count, i, j, id, meaning, remedy, order, swap) {
    rest = read_source("core/base/error_ids.def")
    count = 0
    while (next_entry("ERROR_ID(")) {
        if (take_entry(")") != 3)
            fail("an error id has not three fields: " fields[1])
        id[++count] = fields[1]
        meaning[count] = fields[2]
        remedy[count] = fields[3]
        order[count] = count
    }
    if (count == 0)
        fail("there are no error ids")
    for (i = 2; i <= count; i++)
        for (j = i; j > 1 && id[order[j]] < id[order[j - 1]]; j--) {
            swap = order[j]
            order[j] = order[j - 1]
            order[j - 1] = swap
        }
    print ".Bl -tag -width Ds"
    for (i = 1; i <= count; i++) {
        print ".It Cm " id[order[i]]
        print sentence(meaning[order[i]])
        print ".br"
        print "To do: " plain(remedy[order[i]]) "."
    }
    print ".El"
}

function print_actions(    count) {
    rest = read_source("core/lease/action.def")
    print ".Bl -tag -width \"workspace.return_failed\""
    for (count = 0; next_entry("ACTION("); count++) {
        if (take_entry(")") != 2)
            fail("an action has not two fields: " fields[1])
        print ".It Cm " fields[1]
        print sentence(fields[2])
    }
    print ".El"
    if (count == 0)
        fail("there are no actions")
}

function print_capabilities(    count, threads) {
    rest = read_source("core/driver/capability.c")
    print ".Bl -tag -width \"concurrent_exec\""
    for (count = 0; next_entry("{BILLET_CAN_"); count++) {
        if (take_entry("}") != 5)
            fail("a capability has not five fields: " fields[1])
        print ".It Cm " fields[2] " Pq Dv BILLET_CAN_" fields[1]
        print sentence(fields[5])
        threads = fields[4] == "0" ? "" : fields[4]
        sub(/^BILLET_THREADS_/, "", threads)
        if (fields[3] != "")
            print "Goes with the function\n.Fn " fields[3] " :\nneither is accepted without the other."
        if (threads != "")
            print "Needs thread model\n.Dv " threads "\nor above."
    }
    print ".El"
    if (count == 0)
        fail("there are no capabilities")
}

function print_operations(    count) {
    rest = read_source("core/driver/operation.def")
    sub(/^[^\n]*OPERATION\(name[^\n]*\n/, "", rest)
    print ".Bl -column \"check_config\" \"120 seconds\" \"required\" \"resume\""
    print ".It Em function Ta Em deadline Ta Em presence Ta Em capability"
    for (count = 0; next_entry("OPERATION("); count++) {
        if (take_entry(")") != 5)
            fail("an operation has not five fields: " fields[1])
        sub(/^BILLET_CAN_/, "", fields[5])
        print ".It Fn " fields[2] " Ta " (fields[3] == "0" ? "its own" : fields[3] " seconds") \
            " Ta " (fields[4] == "true" ? "required" : "optional") \
            " Ta " (fields[5] == "0" ? "\\(em" : tolower(fields[5]))
    }
    print ".El"
    if (count == 0)
        fail("there are no operations")
}

# A source file as it is, without its licence line.
function print_source(path,    line, found) {
    found = 0
    while ((getline line < (top_srcdir "/" path)) > 0) {
        if (++found > 1 || line !~ /SPDX/)
            print plain(line)
    }
    if (!found)
        fail("cannot read " path)
}

/^\.\\"= / {
    table = substr($0, 6)
    if (table == "errors")
        print_errors()
    else if (table == "actions")
        print_actions()
    else if (table == "capabilities")
        print_capabilities()
    else if (table == "operations")
        print_operations()
    else if (table ~ /^source /)
        print_source(substr(table, 8))
    else
        fail("there is no table " table)
    next
}

{ print }

END { exit failed }
