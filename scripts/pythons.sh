#!/usr/bin/env bash
# Bring CPython 3.14 and 3.15 to a Debian machine that has none, for the tests:
#
#   scripts/pythons.sh [VERSION...]        default: 3.14 3.15; also 3.13t, a free-threaded build
#
# They are Debian unstable's binary packages, with CPython's own test suite and headers, unpacked in a
# cache folder and not installed: ${GREENROOM_PYTHONS:-~/.cache/greenroom/pythons}, where scripts/test.py
# looks for bin/python3.14 and so on. A version with a "t" is built from the source package.
#
# The system's package lists, sources and packages stay as they are: apt is asked with lists and a
# cache of its own. Unstable's C library is newer than the machine's, so an interpreter gets unstable's
# loader and libraries (ELF interpreter and DT_RPATH, by patchelf); all else keeps the machine's.
#
# What is there and runs is left alone. Exit status 0: all that was asked for is there; 3: this is not
# Debian, or root is needed, or a source package cannot be had; 1: something failed.
set -euo pipefail

PREFIX=${GREENROOM_PYTHONS:-${XDG_CACHE_HOME:-$HOME/.cache}/greenroom/pythons}
WANTED=("$@")
[ ${#WANTED[@]} -gt 0 ] || WANTED=(3.14 3.15)

say() { printf 'pythons: %s\n' "$*"; }
works() { # python [code]
    "$1" -c "${2:-import ssl, ctypes, sqlite3, lzma, bz2, zlib, venv, ensurepip}" >/dev/null 2>&1
}
FREE_THREADED="import sysconfig, ssl, ctypes, sqlite3; assert sysconfig.get_config_var('Py_GIL_DISABLED')"
is_there() { # version
    case $1 in
        *t) works "$PREFIX/bin/python$1" "$FREE_THREADED" ;;
        *) works "$PREFIX/bin/python$1" ;;
    esac
}

missing=()
for version in "${WANTED[@]}"; do
    is_there "$version" || missing+=("$version")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    say "CPython ${missing[*]} cannot be brought: this is not Debian"
    exit 3
fi

mkdir -p "$PREFIX/bin"
PREFIX=$(realpath "$PREFIX")
ROOT=$PREFIX/root
exec 9>"$PREFIX/lock"
flock 9
# The mirror that this machine uses already.
MIRROR=$(grep -rhoE "https?://[^ ]+/debian/?( |$)" /etc/apt/sources.list /etc/apt/sources.list.d \
    2>/dev/null | head -n 1 | tr -d " " || true)
if [ -z "$MIRROR" ]; then
    say "CPython ${missing[*]} cannot be brought: no mirror of Debian is named below /etc/apt"
    exit 3
fi
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
TRIPLET=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || gcc -print-multiarch)

# --- apt, with everything of its own

apt_of() { # suite command...
    local dir=$PREFIX/apt/$1 command=$2
    shift 2
    "$command" -q -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$dir/lists" -o Dir::Cache="$dir/cache" \
        -o Dir::State::status="$dir/status" -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Sandbox::User=root "$@"
}
lists() { # suite: brought up to date once a day
    local suite=$1 dir=$PREFIX/apt/$1
    mkdir -p "$dir"/lists/partial "$dir"/cache/archives/partial
    printf '%s [signed-by=%s] %s %s main\n' deb "$KEYS" "$MIRROR" "$suite" \
        deb-src "$KEYS" "$MIRROR" "$suite" >"$dir/sources.list"
    : >"$dir/status"
    if [ -z "$(find "$dir/lists" -name '*_Packages*' -mtime -1 2>/dev/null | head -n 1)" ]; then
        apt_of "$suite" apt-get update >"$dir/update.log" 2>&1 || {
            tail -n 3 "$dir/update.log"
            return 1
        }
    fi
}
system_packages() { # package... : install with the machine's own apt what is missing
    local absent=()
    for one; do
        dpkg -s "$one" >/dev/null 2>&1 || absent+=("$one")
    done
    [ ${#absent[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        say "CPython ${missing[*]} cannot be brought: root is needed to install ${absent[*]}"
        exit 3
    fi
    local install=(apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends)
    export DEBIAN_FRONTEND=noninteractive
    "${install[@]}" "${absent[@]}" >"$PREFIX/install.log" 2>&1 || {
        apt-get update -q >/dev/null 2>&1
        "${install[@]}" "${absent[@]}" >"$PREFIX/install.log" 2>&1
    }
}

# --- a version of unstable's binary packages

LIBRARIES="libc6 libgcc-s1 libexpat1 zlib1g libssl3t64 libbz2-1.0 libffi8 liblzma5 libncursesw6 libtinfo6
    libreadline8t64 libsqlite3-0 libuuid1 libzstd1 libdb5.3t64 libgdbm6t64 python3-pip-whl
    python3-setuptools-whl netbase media-types tzdata"

unpack() { # package...
    mkdir -p "$PREFIX/debs"
    (cd "$PREFIX/debs" && apt_of sid apt-get download "$@" >download.log 2>&1) || {
        tail -n 3 "$PREFIX/debs/download.log"
        return 1
    }
    for deb in "$PREFIX"/debs/*.deb; do
        dpkg-deb -x "$deb" "$ROOT"
        rm "$deb"
    done
}
binary() { # version
    local v=$1 real=$ROOT/usr/bin/python$1 lib=$ROOT/usr/lib/$TRIPLET names=() loader
    system_packages patchelf
    lists sid
    # As base-files lays it out, so that packages of the old layout unpack into the same place.
    for dir in bin sbin lib lib64; do
        mkdir -p "$ROOT/usr/$dir"
        [ -e "$ROOT/$dir" ] || ln -s "usr/$dir" "$ROOT/$dir"
    done
    for name in $LIBRARIES; do
        if apt_of sid apt-cache show "$name" >/dev/null 2>&1; then names+=("$name"); fi
    done
    unpack "${names[@]}" "libpython$v-minimal" "python$v-minimal" "libpython$v-stdlib" "python$v" \
        "python$v-venv" "libpython$v" "libpython$v-dev" "python$v-dev" "libpython$v-testsuite"
    loader=$(find "$lib" -maxdepth 1 -name 'ld-linux*.so.*' | head -n 1)
    patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$lib" "$real"
    # Where ensurepip finds its wheels, and pyconfig.h without the machine's multiarch folder.
    sed -i "s|'WHEEL_PKG_DIR': '[^']*'|'WHEEL_PKG_DIR': '$ROOT/usr/share/python-wheels/'|" \
        "$ROOT"/usr/lib/python"$v"/_sysconfigdata_*.py
    cp "$ROOT/usr/include/$TRIPLET/python$v/pyconfig.h" "$ROOT/usr/include/python$v/pyconfig.h"
    rm -rf "$ROOT"/usr/lib/python"$v"/__pycache__/_sysconfigdata*
    # A link in bin/: Python follows it to find its home.
    ln -sfn "$real" "$PREFIX/bin/python$v"
}

# --- a free-threaded build of Debian's source package

free_threaded() { # version with a t
    local t=$1 v=${1%t} home=$PREFIX/$1 work=$PREFIX/source/$1 suite
    mkdir -p "$work"
    for suite in sid forky trixie ""; do
        [ -n "$suite" ] || break
        lists "$suite" || continue
        (cd "$work" && apt_of "$suite" apt-get source --download-only "python$v" >"$suite.log" 2>&1) && break
    done
    if [ -z "$suite" ]; then
        say "$t: no source package of python$v can be had"
        return 3
    fi
    system_packages build-essential pkg-config libssl-dev libffi-dev zlib1g-dev libsqlite3-dev \
        libbz2-dev liblzma-dev libreadline-dev uuid-dev
    tar -C "$work" -xf "$work"/python"$v"_*.orig.tar.xz
    (cd "$work"/Python-"$v"* && ./configure --prefix="$home" --disable-gil -q >"$work/configure.log" 2>&1 &&
        make -s -j"$(nproc)" >"$work/make.log" 2>&1 && make -s install >"$work/install.log" 2>&1) || {
        tail -n 5 "$work"/*.log
        return 1
    }
    rm -rf "$work"/Python-"$v"*
    ln -sfn "$home/bin/python$t" "$PREFIX/bin/python$t"
}

status=0
for version in "${missing[@]}"; do
    case $version in
        *t) free_threaded "$version" || { [ $? -eq 3 ] && status=3 && continue || exit 1; } ;;
        *) binary "$version" ;;
    esac
    is_there "$version" || {
        say "$version does not work:"
        "$PREFIX/bin/python$version" -c "import ssl, ctypes, sqlite3, venv, ensurepip"
        exit 1
    }
    say "$("$PREFIX/bin/python$version" -V), in $PREFIX/bin"
done
exit $status
