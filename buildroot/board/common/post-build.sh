#!/bin/sh
# Buildroot runs this on the finished root file system: post-build.sh TARGET_DIR BOARD
set -eu
target=$1
board=$2
here=$BR2_EXTERNAL_PERIGEE_PATH/board/common
boards=$BR2_EXTERNAL_PERIGEE_PATH/../board-configs

# What a new data partition starts with.
install -D -m 0644 "$boards/$board/moonraker.conf" "$target/usr/share/perigee/config/moonraker.conf"
install -d -m 0755 "$target/data"
echo "$board" > "$target/etc/perigee-board"

# On the printers that keep their own boot loader, the data partition is theirs to mount.
if ! grep -q '^boot = "vendor"$' "$boards/$board/board.toml"; then
	install -m 0755 "$here/S11data" "$here/S99slot" "$target/etc/init.d/"
fi
