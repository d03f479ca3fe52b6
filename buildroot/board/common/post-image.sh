#!/bin/sh
# Buildroot runs this last: post-image.sh BINARIES_DIR BOARD. It makes sdcard.img from the parts.
set -eu
board=$2
here=$BR2_EXTERNAL_PERIGEE_PATH/board
config=$BR2_EXTERNAL_PERIGEE_PATH/../board-configs/$board/board.toml
value() { sed -n "s/^$1 = \"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" "$config" | head -1; }
boot=$(value boot)
slots=$(value slots)

# images FOLDER: the files in it, as genimage lists them
images() { (cd "$1" && find . -type f | sort | sed 's|^\./\(.*\)$|\t\t\t"'"$2"'\1",|'); }

case $boot in
qemu)
	layout=$here/qemu/genimage.cfg
	;;
raspberrypi)
	layout=$here/raspberrypi/genimage-$slots.cfg
	firmware=$BINARIES_DIR/rpi-firmware
	cp "$BINARIES_DIR"/*.dtb "$firmware/"
	for kernel in Image zImage; do
		[ ! -e "$BINARIES_DIR/$kernel" ] || cp "$BINARIES_DIR/$kernel" "$firmware/"
	done
	for slot in A B; do
		rm -rf "$BINARIES_DIR/boot-$slot"
		cp -r "$firmware" "$BINARIES_DIR/boot-$slot"
		if [ "$slots" = 2 ]; then root=PARTLABEL=root-$slot; else root=/dev/mmcblk0p2; fi
		echo "root=$root rootfstype=squashfs ro rootwait panic=10 rauc.slot=$slot console=tty1 console=serial0,115200" \
			> "$BINARIES_DIR/boot-$slot/cmdline.txt"
	done
	cp "$here/raspberrypi/autoboot.txt" "$BINARIES_DIR/"
	;;
u-boot)
	case $(value soc) in
	RK*) layout=$here/rk3566/genimage.cfg ;;
	*) layout=$here/h616/genimage.cfg ;;
	esac
	;;
*)
	echo "post-image.sh: nothing to make for boot = $boot" >&2
	exit 1
	;;
esac

generated=$BINARIES_DIR/genimage.cfg
while IFS= read -r line; do
	case $line in
	*'#BOOT_A#'*) images "$BINARIES_DIR/boot-A" boot-A/ ;;
	*'#BOOT_B#'*) images "$BINARIES_DIR/boot-B" boot-B/ ;;
	*) printf '%s\n' "$line" ;;
	esac
done < "$layout" > "$generated"
exec support/scripts/genimage.sh -c "$generated"
