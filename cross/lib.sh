# shellcheck shell=sh disable=SC2034 # what is set here is for those who read this file
# Shared by the scripts of cross/ and tests/: where things are kept, and the names each target goes by.
# The caller has set `root` to the top of the source tree.

# Everything that is downloaded or built once lives here, outside the source tree.
cache=${PERIGEE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/perigee}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: run it as root, or say which command to run
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif have sudo && sudo -n true 2>/dev/null; then sudo "$@"
    else die "needs root, run it yourself: $*"
    fi
}

# apt_install PACKAGE...: install what is missing, on systems with apt
apt_install() {
    have apt-get || die "no apt-get here; needed are the equivalents of the Debian packages: $*"
    say "installing $*"
    as_root apt-get update -qq ||
        say "apt-get update failed; trying with the lists that are there"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=900 \
        --no-install-recommends install "$@" >/dev/null
}

# describe TARGET [ROUTE]: set gnu (name of the distribution's gcc), deb (Debian's name of the architecture),
# musl (musl's name of it), code (compiler flags for small code, for the standard library and for the crates) and page
# (the largest memory page that its kernels use, to which the linker fills up the file).
# A program that aborts on panic has no use for tables of how to unwind.
describe() {
    code=-Cforce-unwind-tables=no page=4096
    case $1 in
    x86_64-unknown-linux-musl)      gnu=x86_64-linux-gnu    deb=amd64  musl=x86_64-linux-musl ;;
    aarch64-unknown-linux-musl)     gnu=aarch64-linux-gnu   deb=arm64  musl=aarch64-linux-musl ;;
    armv7-unknown-linux-musleabihf) gnu=arm-linux-gnueabihf deb=armhf  musl=arm-linux-musleabihf ;;
    mipsel-unknown-linux-musl)      gnu=mipsel-linux-gnu    deb=mipsel musl=mipsel-linux-musl ;;
    arm-unknown-linux-musleabihf)
        [ "${2:-}" = cross ] || die "$1 (Raspberry Pi Zero and 1, ARMv6): no distribution ships a musl for it; see cross/README.md, \"ARMv6\"" ;;
    *)
        die "unknown target $1; see cross/README.md for the list" ;;
    esac
    # Every ARMv7 application processor has Thumb-2, whose instructions are mostly half as long.
    case $1 in armv7-*) code="$code -Ctarget-feature=+thumb-mode" ;; esac
    # Rust's target leaves the FPU alone, Debian's gcc and musl pass numbers in its registers: linked together they
    # compute nonsense without a word. The processors in question have one. rustc warns of the name, which is LLVM's.
    case $1 in mipsel-*) code="$code -Ctarget-feature=-soft-float" ;; esac
    # The linker prepares for pages of 64 KiB; the Raspberry Pi 5 has some of 16 KiB, no board has larger ones.
    case $1 in aarch64-*) page=16384 ;; mipsel-*) page=65536 ;; esac
}

# upper TRIPLE: the form in which cargo names a target in its environment variables
upper() { printf %s "$1" | tr a-z- A-Z_; }
# lower TRIPLE: the form in which the cc crate does
lower() { printf %s "$1" | tr - _; }
