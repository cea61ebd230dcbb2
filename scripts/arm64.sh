#!/usr/bin/env bash
# Unpack Debian's arm64 packages of a CPython, to be run by qemu:
#
#   arm64.sh PREFIX VERSION        makes PREFIX/pythonVERSION
#
# apt is asked with lists, a cache and an architecture of its own, so the system's stay as they are;
# nothing is installed. Needs: apt, dpkg-deb, qemu-aarch64-static (package qemu-user-static). The suites
# are tried from the oldest to the newest: a CPython is in some of them.
set -euo pipefail
PREFIX=$(realpath -m "${1:?usage: $0 PREFIX VERSION}")
VERSION=${2:?usage: $0 PREFIX VERSION}
command -v qemu-aarch64-static >/dev/null || { echo "no qemu-aarch64-static: install qemu-user-static"; exit 1; }
[ ! -x "$PREFIX/python$VERSION" ] || exit 0
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
MIRROR=$(grep -rhoE "https?://[^ ]+/debian/?( |$)" /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
    head -n 1 | tr -d " " || true)
[ -n "$MIRROR" ] || { echo "no mirror of Debian is named below /etc/apt"; exit 1; }
LIBRARIES="libc6 libgcc-s1 libstdc++6 libexpat1 zlib1g libssl3t64 libssl3 libbz2-1.0 libffi8 liblzma5
    libsqlite3-0 libuuid1 libzstd1 libncursesw6 libtinfo6 libreadline8t64 libreadline8 media-types tzdata"

apt_of() { # suite command...
    local dir=$PREFIX/apt/$1 command=$2; shift 2
    "$command" -q -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" -o Dir::State::status="$dir/status" \
        -o Dir::Etc::preferencesparts=/dev/null -o APT::Sandbox::User=root "$@"
}
has() { # suite package
    local answer
    answer=$(apt_of "$1" apt-cache policy "$2" 2>/dev/null)
    [[ $answer == *"Candidate: "[0-9]* ]]
}

for suite in bookworm trixie forky sid; do
    dir=$PREFIX/apt/$suite
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
    echo "deb [arch=arm64 signed-by=$KEYS] $MIRROR $suite main" >"$dir/sources.list"
    : >"$dir/status"
    [ -n "$(find "$dir/lists" -name '*_Packages*' -mtime -1)" ] ||
        apt_of "$suite" apt-get update >"$dir/log" 2>&1 || continue
    has "$suite" "python$VERSION" || continue
    root=$PREFIX/root-$suite
    mkdir -p "$root"/usr/{bin,sbin,lib,lib64} "$dir/debs"
    for one in bin sbin lib lib64; do [ -e "$root/$one" ] || ln -s "usr/$one" "$root/$one"; done
    names=("python$VERSION" "python$VERSION-minimal" "libpython$VERSION-minimal" "libpython$VERSION-stdlib")
    for name in $LIBRARIES; do if has "$suite" "$name"; then names+=("$name"); fi; done
    (cd "$dir/debs" && apt_of "$suite" apt-get download "${names[@]}" >"$dir/log" 2>&1) ||
        { tail -n 3 "$dir/log"; exit 1; }
    for deb in "$dir"/debs/*.deb; do dpkg-deb -x "$deb" "$root"; rm "$deb"; done
    printf '#!/bin/sh\nexec qemu-aarch64-static -L "%s" "%s" "$@"\n' \
        "$root" "$root/usr/bin/python$VERSION" >"$PREFIX/python$VERSION"
    chmod +x "$PREFIX/python$VERSION"
    "$PREFIX/python$VERSION" -c "import ssl, _ctypes"
    exit 0
done
echo "no suite of Debian has python$VERSION for arm64"
exit 1
