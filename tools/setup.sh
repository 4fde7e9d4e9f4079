# setup.sh: what ./start and ./check share; sourced by them, from the root.
#
# Steps print one line each and keep their output in build/log/; the end of
# it is shown when a step fails. Everything can be repeated: what is done
# already takes no time.
# shellcheck shell=sh disable=SC2034

# What each set of packages is for (names are those of Debian 12 and 13 and of
# Ubuntu 24.04). `libjansson-dev` brings JSON, `libpcre2-dev` and `libutf8proc-dev`
# the tokenizers' regular expressions and Unicode, `libedit-dev` the chat line,
# libcurl (of whichever build) and `nettle-dev` downloads and their checksums.
# `libmicrohttpd-dev` and `libgnutls28-dev` the server. Tests that run what the
# pages say want `curl` and `python3`.
# a|b: one of them; the first is installed if none is there.
packages_build='gcc libc6-dev cmake ninja-build pkg-config
    libjansson-dev libpcre2-dev libutf8proc-dev libedit-dev
    libcurl4-openssl-dev|libcurl4-gnutls-dev|libcurl4-nss-dev nettle-dev
    libmicrohttpd-dev libgnutls28-dev'
packages_test='libcmocka-dev python3 curl'

log_dir=build/log
mkdir -p "$log_dir"

die() {
    echo "$*" >&2
    exit 1
}

# step <name> <text> <command...>: runs it quietly.
step() {
    _log=$log_dir/$1.txt
    _text=$2
    shift 2
    _from=$(date +%s)
    printf '%s ... ' "$_text"
    if "$@" >"$_log" 2>&1 </dev/null; then
        echo "done ($(($(date +%s) - _from)) s)"
    else
        echo "FAILED"
        tail -n 40 "$_log"
        die "The whole output is in $_log"
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
    else
        sudo env DEBIAN_FRONTEND=noninteractive LC_ALL=C "$@"
    fi
}

# need_packages <why> <package...>: installs those that are missing.
need_packages() {
    _why=$1
    shift
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null
    then
        echo "Not a Debian or Ubuntu system: expecting $* by other names"
        return
    fi
    _missing=
    for _p in "$@"; do
        # shellcheck disable=SC2046 # alternatives are words
        case $(dpkg-query -W -f '${db:Status-Status} ' \
            $(echo "$_p" | tr '|' ' ') 2>/dev/null) in
        installed* | *' installed'*) ;;
        *) _missing="$_missing ${_p%%|*}" ;;
        esac
    done
    [ -n "$_missing" ] || return 0
    echo "Missing packages $_why:$_missing"
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null ||
            die "Neither root nor sudo here. As root: apt-get install$_missing"
        sudo -v || die "sudo was refused. As root: apt-get install$_missing"
    fi
    step apt-update "Updating the package lists" as_root apt-get update -qq
    # shellcheck disable=SC2086 # package names are words
    (step apt-install "Installing them" as_root apt-get install -y -qq \
        --no-install-recommends $_missing) && return 0
    # English in whatever language it is: that of as_root.
    grep -Eq 'Unable to locate|has no installation candidate' \
        "$log_dir/apt-install.txt" || exit 1
    die "Ubuntu has some of these packages in its component 'universe', which is
not enabled here if one is not found: sudo add-apt-repository universe (of the
package software-properties-common), then again."
}

# build <preset> <target...>: configures and builds. A warning stops .ci/run,
# but not somebody whose compiler is newer than any we know.
build() {
    _preset=$1
    shift
    step "$_preset-configure" "Configuring ($_preset)" \
        cmake --preset "$_preset" -DQUERN_WERROR="${QUERN_WERROR:-OFF}" \
        -DQUERN_KERNELS="${kernels-}"
    step "$_preset-build" "Building ($_preset)" \
        cmake --build --preset "$_preset" --target "$@"
}
