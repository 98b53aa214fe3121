# SPDX-License-Identifier: Apache-2.0
# Turn NNNN_name.sql files into the C table that a module applies, in the order given. -v engine=NAME
BEGIN { print "#include \"store/" engine ".h\"\n\nconst struct billet_migration " engine "_migrations[] = {" }
FNR == 1 {
    if (NR > 1) print "    },"
    name = FILENAME
    sub(/.*\//, "", name)
    sub(/\.sql$/, "", name)
    number = substr(name, 1, 4) + 0
    if (number != ++expected) {
        print "migration " FILENAME " does not follow number " expected - 1 > "/dev/stderr"
        failed = 1
        exit 1
    }
    printf "    {\n        .number = %d, .name = \"%s\",\n        .sql =\n", number, substr(name, 6)
}
{
    gsub(/\\/, "\\\\")
    gsub(/"/, "\\\"")
    print "            \"" $0 "\\n\""
}
END {
    if (failed) exit 1
    print "    },\n};\nconst size_t " engine "_migration_count = " expected ";"
}
