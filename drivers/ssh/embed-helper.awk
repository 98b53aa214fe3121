# SPDX-License-Identifier: Apache-2.0
# Turn helper.sh into the C string that the driver sends: without comments and indentation, as one
# line in which \001 stands for a newline.
BEGIN { print "#include \"keeper.h\"\n\nconst char ssh_helper_text[] =" }
/^[ \t]*#/ || /^[ \t]*$/ { next }
{
    sub(/^[ \t]+/, "")
    gsub(/\\/, "&&")
    gsub(/"/, "\\\"")
    print "    \"" $0 "\\001\""
}
END { print "    \"\";" }
