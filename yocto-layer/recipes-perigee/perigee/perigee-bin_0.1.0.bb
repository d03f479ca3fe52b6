SUMMARY = "API server of a Klipper 3D printer, as a binary built before"
DESCRIPTION = "What cross/build of Perigee's source tree made: a static binary, for series whose Rust is older than the \
1.88 that Perigee needs (scarthgap), and for 32-bit boards that shall live past 2038."
SECTION = "net"
LICENSE = "GPL-3.0-or-later"
LIC_FILES_CHKSUM = "file://${PERIGEE_SOURCE}/LICENSE;md5=1ebbd3e34237af26da5dc08a4e440464"

# Where cross/build left it.
PERIGEE_TARGET:aarch64 = "aarch64-unknown-linux-musl"
PERIGEE_TARGET:armv7a = "armv7-unknown-linux-musleabihf"
PERIGEE_TARGET:armv7ve = "armv7-unknown-linux-musleabihf"
PERIGEE_TARGET:x86-64 = "x86_64-unknown-linux-musl"
PERIGEE_TARGET:mipsel = "mipsel-unknown-linux-musl"
PERIGEE_TARGET ??= ""
PERIGEE_SET ??= "default"
PERIGEE_BINARY ??= "${PERIGEE_SOURCE}/target/dist/${PERIGEE_TARGET}/${PERIGEE_SET}/perigee"

S = "${PERIGEE_FILES}"

require perigee-service.inc

RCONFLICTS:${PN} = "perigee"
RPROVIDES:${PN} = "perigee"

do_configure[noexec] = "1"
do_compile[noexec] = "1"
do_install() {
    [ -f "${PERIGEE_BINARY}" ] || bbfatal "${PERIGEE_BINARY} is not there: build it with cross/build first"
    install -D -m 0755 "${PERIGEE_BINARY}" ${D}${bindir}/perigee
}
do_install[file-checksums] += "${PERIGEE_BINARY}:True"

# It is stripped, static, and needs nothing of the image.
INSANE_SKIP:${PN} += "already-stripped ldflags"
INHIBIT_PACKAGE_STRIP = "1"
INHIBIT_PACKAGE_DEBUG_SPLIT = "1"
