#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# users.sh ROOT: puts the users and groups of the list beside it into a root that has no packages yet.
set -eu

etc=$1/etc
day=$((SOURCE_DATE_EPOCH / 86400))
grep -v -e '^#' -e '^$' "$(dirname "$0")/users" | while read -r name number home; do
    echo "$name:x:$number:" >>"$etc/group"
    [ "$home" != - ] || continue
    echo "$name:x:$number:$number::$home:/usr/sbin/nologin" >>"$etc/passwd"
    echo "$name:!*:$day::::::" >>"$etc/shadow"
done
