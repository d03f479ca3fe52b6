# U-Boot: start the first slot that has tries left, with the names that RAUC uses for them. The system, once it is up,
# gives its slot its tries back (see S99slot).
test -n "${BOOT_ORDER}" || setenv BOOT_ORDER "A B"
test -n "${BOOT_A_LEFT}" || setenv BOOT_A_LEFT 3
test -n "${BOOT_B_LEFT}" || setenv BOOT_B_LEFT 3
setenv slot
for candidate in ${BOOT_ORDER}; do
	if test -n "${slot}"; then
		true
	elif test "${candidate}" = A && test ${BOOT_A_LEFT} -gt 0; then
		setexpr BOOT_A_LEFT ${BOOT_A_LEFT} - 1
		setenv slot A
		setenv part 2
	elif test "${candidate}" = B && test ${BOOT_B_LEFT} -gt 0; then
		setexpr BOOT_B_LEFT ${BOOT_B_LEFT} - 1
		setenv slot B
		setenv part 3
	fi
done
if test -z "${slot}"; then
	echo "No slot has a try left; all get theirs back."
	setenv BOOT_A_LEFT 3
	setenv BOOT_B_LEFT 3
	saveenv
	reset
fi
saveenv
setenv bootargs "root=PARTLABEL=root-${slot} rootfstype=squashfs ro rootwait panic=10 rauc.slot=${slot}"
load ${devtype} ${devnum}:${part} ${kernel_addr_r} /boot/Image
load ${devtype} ${devnum}:${part} ${fdt_addr_r} /boot/${fdtfile}
booti ${kernel_addr_r} - ${fdt_addr_r}
reset
