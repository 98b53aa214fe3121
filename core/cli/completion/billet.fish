# SPDX-License-Identifier: Apache-2.0
# Completion of billet for fish; what billet complete prints is described in the one for bash.
function __billet_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] complete -- $words[2..-1] 2>/dev/null </dev/null)
    switch "$lines[1]"
        case ':files'
            __fish_complete_path (commandline -ct)
        case ':directories'
            __fish_complete_directories (commandline -ct)
        case ':command *'
            set -l first (math (string split ' ' -- $lines[1])[2] + 2)
            complete -C (string join ' ' -- (string escape -- $words[$first..-2]) $words[-1])
        case '*'
            printf '%s\n' $lines
    end
end
complete -c billet -f -a '(__billet_complete)'
