#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Simple mistakes that a compiler does not see. Each check prints what it finds and is one TAP line.
set -u
cd "$(dirname "$(readlink -f "$0")")/../.." || exit 1

mapfile -t tracked < <(git ls-files --cached --others --exclude-standard 2>/dev/null || true)
if [ "${#tracked[@]}" = 0 ]; then # an unpacked archive
    mapfile -t tracked < <(find . -name build\* -prune -o -name .git -prune -o -type f -printf '%P\n')
fi

# files REGEX: those tracked files, still there, whose name matches.
files() {
    local file
    for file in "${tracked[@]}"; do
        if [[ $file =~ $1 ]] && [ -f "$file" ] && [ ! -L "$file" ]; then printf '%s\n' "$file"; fi
    done
}
search() { # PATTERN, names of files on stdin
    xargs -d '\n' -r grep -nE -- "$1" /dev/null
}

number=0 failed=0
check() { # NAME FUNCTION
    local found
    number=$((number + 1))
    found=$("$2" 2>&1)
    case $found in
    "") echo "ok $number - $1" ;;
    SKIP*) echo "ok $number - $1 # $found" ;;
    *)
        echo "not ok $number - $1"
        printf '%s\n' "$found" | head -n 40 | sed 's/^/#   /'
        failed=1
        ;;
    esac
}

format() {
    case $(clang-format --version 2>/dev/null) in
    # Headers lay out their tables by hand.
    *"version 14."*) files '\.c$' | xargs -r -d '\n' clang-format --dry-run 2>&1 | grep 'warning:' ;;
    *) echo "SKIP needs clang-format 14, whose output the tree has" ;;
    esac
}
dangerous() {
    # Bounded relatives exist for each (base/span.h, base/buf.h, snprintf, strtoul).
    files '\.(c|h)$' | search '(^|[^A-Za-z0-9_])(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|alloca|mktemp|tmpnam)[[:space:]]*\('
}
libc_assert() { # ours stay compiled in (base/assertion.h)
    files '\.(c|h)$' | grep -v '^tests/' | search '(^|[^A-Za-z0-9_])assert[[:space:]]*\(|<assert\.h>'
}
left_open() {
    printf '%s\n' "${tracked[@]}" | grep -vE '^(LICENSE|tests/lint/|tests/fuzz/corpus/)' | while read -r f; do
        if [ -f "$f" ]; then echo "$f"; fi
    done | search '(^|[^A-Za-z])(TODO|FIXME|XXX)([^A-Za-z]|$)|not implemented|for now[^a-z]'
}
spdx() {
    files '(\.(c|h|def|sh|py|session|options)|meson\.build|^dev|^\.ci/run)$' | while read -r f; do
        head -n 3 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$f: no SPDX line"
    done
}
machine() { # paths of somebody's machine, mirrors
    printf '%s\n' "${tracked[@]}" | grep -vE '^(LICENSE|tests/lint/)' | while read -r f; do
        if [ -f "$f" ]; then echo "$f"; fi
    done | search '/(work|home|root)/[a-z]|https?://[a-z.]*debian\.org/debian'
}
# Lower floors know nothing of higher ones: the folder of each header that is included must be
# among those that the includer's floor may see.
upward() {
    files '\.(c|h|def)$' | awk '
        BEGIN {
            sees["base"] = " base "
            sees["crypto"] = " base crypto "
            sees["firmware"] = " base firmware "
            sees["dataplane"] = " base crypto firmware dataplane "
            sees["control/pure"] = " base crypto control/pure "
            sees["control/acts"] = " base crypto firmware dataplane control/pure control/acts "
            sees["control/ctl"] = sees["control/acts"] "control/ctl "
            sees["control/appliance"] = sees["control/ctl"] "control/appliance "
        }
        function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
        { all[NR] = $0; name = $0; sub(/.*\//, "", name); if ($0 ~ /^(base|crypto|firmware|dataplane|control)\//) home[name] = folder($0) }
        END {
            for (i = 1; i in all; i++) {
                at = folder(all[i])
                if (!(at in sees)) continue
                line = 0
                while ((getline text < all[i]) > 0) {
                    line++
                    if (text !~ /^#include "/) continue
                    split(text, part, "\"")
                    if ((part[2] in home) && index(sees[at], " " home[part[2]] " ") == 0)
                        print all[i] ":" line ": " at " includes " home[part[2]] "/" part[2]
                }
                close(all[i])
            }
        }'
}
long_functions() {
    files '\.c$' | xargs -d '\n' -r awk '
        FNR == 1 { inside = 0 }
        /^[A-Za-z_].*\)[[:space:]]*\{?[[:space:]]*$/ { name = $0 }
        /^\{/ || /^[A-Za-z_].*\)[[:space:]]*\{[[:space:]]*$/ { start = FNR; inside = 1 }
        /^\}/ && inside { if (FNR - start > 70) print FILENAME ":" start ": " FNR - start " lines: " name; inside = 0 }'
}
long_files() {
    files '\.(c|h)$' | xargs -d '\n' -r wc -l | awk '$2 != "total" && $1 > 800 { print $2 ": " $1 " lines" }'
}
shell() {
    files '(\.sh|^dev|^\.ci/run|^bench/run)$' | while read -r f; do
        if head -n 1 "$f" | grep -qE '^#!.*(bash|/sh)'; then shellcheck -S warning "$f"; fi
    done
}
python() {
    files '\.py$' | while read -r f; do
        /usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$f"
    done
}
manuals() {
    files '\.[158]$' | xargs -d '\n' -r mandoc -Tlint -W warning
    if [ -d build/docs ]; then find build/docs -name '*.[158]' -exec mandoc -Tlint -W warning {} +; fi
}
rules() { # each session script names the rule that it proves
    files '\.session$' | while read -r f; do
        grep -q '^# rule: ' "$f" || echo "$f: names no rule"
    done
}

check "the sources are formatted" format
check "no unbounded C string function" dangerous
check "no assert of libc" libc_assert
check "nothing is left open" left_open
check "each file has its SPDX line" spdx
check "no path of a machine" machine
check "no floor includes a higher one" upward
check "no function over 70 lines" long_functions
check "no file over 800 lines" long_files
check "shellcheck finds nothing" shell
check "the Python parses" python
check "the manual pages are well formed" manuals
check "each session script names its rule" rules
echo "1..$number"
exit $failed
