# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of billet for bash. billet itself knows the candidates (live names included):
#     billet complete -- WORD...
# gets the words of the line after "billet" up to the cursor, the last one being completed and maybe
# empty. It prints one candidate a line, a description after a tab; or one line alone that begins
# with a colon: ":files", ":directories", or ":command N", a command line of its own from word N on.
_billet() {
    local word=${COMP_WORDS[COMP_CWORD]} line offset
    COMPREPLY=()
    # bash parts words at '=': behind one, a new word begins.
    [[ $word != = ]] || word=
    while IFS= read -r line; do
        case $line in
        :files)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
            ;;
        :directories)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -d -- "$word")
            return
            ;;
        ':command '[0-9]*)
            offset=$((${line#:command } + 1))
            if declare -F _comp_command_offset >/dev/null; then
                _comp_command_offset "$offset"
            elif declare -F _command_offset >/dev/null; then
                _command_offset "$offset"
            else
                mapfile -t COMPREPLY < <(compgen -o default -A command -- "$word")
            fi
            return
            ;;
        *)
            line=${line%%$'\t'*}
            [[ $line != "$word"* ]] || COMPREPLY+=("$line")
            ;;
        esac
    done < <("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null </dev/null)
    # An option that takes its value after '=' is not finished by a blank.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace
    fi
}
complete -F _billet billet
