# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # the parts of the build share their variables
# The package snapshot: the exact .debs that an image is made of, with their hashes, and an index of
# them. apt fetches them, in a folder of its own with its own checks of signatures; a build from a
# snapshot needs no network. A snapshot is kept for 30 days, then looked up again.

snapshot_days=30

# apt_here FOLDER PROGRAM ARGUMENT...: apt as if nothing were installed, on the image's sources alone.
apt_here() {
    local folder=$1 program=$2
    shift 2
    "$program" -q -o Dir::Etc::SourceList="$folder/sources" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$folder" -o Dir::State::Lists="$folder/lists" -o Dir::State::status="$folder/status" \
        -o Dir::Cache="$folder" -o Dir::Cache::Archives="$folder/debs" -o Acquire::Languages=none \
        -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o APT::Sandbox::User=root \
        -o APT::Install-Recommends=false -o Debug::NoLocking=1 "$@" </dev/null
}

snapshot_make() { # FOLDER
    local folder=$1
    mkdir -p "$folder/lists/partial" "$folder/debs/partial"
    : >"$folder/status"
    sources >"$folder/sources"
    apt_here "$folder" apt-get -qq update >&2
    # Two lookups: what is only unpacked must not pull in what it would need to be installed.
    # shellcheck disable=SC2046 # lists of words
    apt_here "$folder" apt-get -qq -y install --download-only \
        '?narrow(?archive(^stable$),?essential)' $(words root) >&2
    # shellcheck disable=SC2046 # the same
    (cd "$folder/debs" && apt_here "$folder" apt-get -qq download $(words boot) $(boot_needs "$folder") >&2)
    rm -rf "$folder/lists" "$folder/status" "$folder/sources" "$folder"/*.bin "$folder/debs/partial" "$folder/debs/lock"
}

# boot_needs FOLDER: the kernel that linux-image-amd64 stands for.
boot_needs() {
    apt_here "$1" apt-cache depends linux-image-amd64 | awk '/Depends: linux-image-[0-9]/ { print $2 }'
}

# debs_need: sets $debs, a folder with the .debs, Packages and SHA256SUMS.
debs_need() {
    local folder package
    folder=$cache/image-debs-$( (echo "$suite"; words root; words boot; declare -f snapshot_make) | recipe_hash)
    debs=$folder/debs
    if [ -z "$(find "$folder/.complete" -mtime "-$snapshot_days" 2>/dev/null)" ]; then
        say "fetching the packages of the image, about a minute, once in $snapshot_days days"
        rm -rf "$folder.new"
        snapshot_make "$folder.new"
        rm -rf "$folder"
        mv "$folder.new" "$folder"
        (cd "$debs" && sha256sum -- *.deb >SHA256SUMS)
        in_tools sh -ec "cd '$debs'; apt-ftparchive packages . >Packages
            apt-ftparchive -o APT::FTPArchive::Release::Codename=$suite -o APT::FTPArchive::Release::Suite=$suite \\
                release . >/tmp/Release; mv /tmp/Release ."
        # When the newest of them was built: in the header of the archive's first member.
        for package in "$debs"/*.deb; do head -c 36 "$package" | tail -c 12; echo; done | sort -n | tail -n 1 >"$folder/date"
        touch "$folder/.complete"
    fi
    cache_use "$folder"
    (cd "$debs" && sha256sum --quiet -c SHA256SUMS >&2) || die "a package in $debs is damaged: remove that folder"
}
