SUMMARY = "API server of a Klipper 3D printer"
DESCRIPTION = "Speaks the API of Moonraker between a printer and its web front-ends, screens, slicers and phones: \
one small binary without an interpreter."
SECTION = "net"
LICENSE = "GPL-3.0-or-later"
LIC_FILES_CHKSUM = "file://LICENSE;md5=1ebbd3e34237af26da5dc08a4e440464"

# The checkout that this layer is a folder of; its crates are fetched, checked and kept like any other source.
inherit externalsrc
EXTERNALSRC = "${PERIGEE_SOURCE}"

require perigee-crates.inc
require perigee-features.inc
require perigee-service.inc

inherit cargo cargo-update-recipe-crates

# The set that the options start with: ${PERIGEE_FEATURES_MINIMAL}, _DEFAULT or _FULL.
PERIGEE_FEATURES ??= "${PERIGEE_FEATURES_DEFAULT}"
PACKAGECONFIG ??= "${PERIGEE_FEATURES}"
# Options that are chosen are named here because the class of scarthgap does not pass them on.
CARGO_BUILD_FLAGS:append = " --bin perigee --no-default-features --features minimal ${PACKAGECONFIG_CONFARGS}"

# The packaging strips, and keeps the symbols in the -dbg package.
export CARGO_PROFILE_RELEASE_STRIP = "false"
