# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debian's archive as this machine itself reaches it: no name of a mirror is written down here.

archive_suite() { # this machine's release
    # shellcheck source=/dev/null
    (. /etc/os-release && echo "$VERSION_CODENAME")
}

archive_mirror() { # the archive that this machine installs from
    # shellcheck disable=SC2016 # apt's own words, not the shell's
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        awk -v suite="$(archive_suite)" '$2 == suite { print $1; exit }'
}

# descriptors_close: what the caller left open. mmdebstrap opens pipes that it names to sh, and dash, which
# is sh here, knows no descriptor of two digits.
descriptors_close() {
    local open
    for open in "/proc/$BASHPID/fd/"*; do
        open=${open##*/}
        # The last is what bash reads the script from.
        if [ "$open" -gt 2 ] && [ "$open" != 255 ]; then eval "exec $open>&-"; fi
    done
}
