# SPDX-License-Identifier: Apache-2.0
# options.awk - prints a page with its lists of options as they are now: what stands between
#     .\" options of driver NAME       (or: options of section KIND)
#     .\" end of options
# is replaced by the output of the command driver (or section) with that name.
/^\.\\" options of (driver|section) [a-z]+$/ {
    print
    command = ($4 == "driver" ? driver : section) " " $5
    lines = 0
    while ((command | getline line) > 0) {
        print line
        lines++
    }
    if (close(command) != 0 || lines == 0) {
        print "options.awk: " command " says nothing" > "/dev/stderr"
        exit 1
    }
    inside = 1
    next
}

/^\.\\" end of options$/ {
    inside = 0
}

!inside
