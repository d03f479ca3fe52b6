SUMMARY = "A printer's image: the API server on a read-only root, with a data partition"
LICENSE = "GPL-3.0-or-later"

inherit core-image

IMAGE_FEATURES += "read-only-rootfs"
IMAGE_LINGUAS = ""
# PERIGEE_PACKAGE = "perigee-bin" takes the binary that cross/build made.
PERIGEE_PACKAGE ??= "perigee"
IMAGE_INSTALL = "packagegroup-core-boot ${PERIGEE_PACKAGE} ${CORE_IMAGE_EXTRA_INSTALL}"

# The mount point of the data partition, which the root file system could not make later.
perigee_data_folder() {
    install -d -m 0755 ${IMAGE_ROOTFS}/data
}
ROOTFS_POSTPROCESS_COMMAND += "perigee_data_folder;"
