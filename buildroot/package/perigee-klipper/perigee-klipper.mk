################################################################################
#
# perigee-klipper
#
################################################################################

# Without a folder the package is off, but its site must have a value.
PERIGEE_KLIPPER_SITE = $(or $(call qstrip,$(BR2_PACKAGE_PERIGEE_KLIPPER_SOURCE)),none)
PERIGEE_KLIPPER_SITE_METHOD = local
PERIGEE_KLIPPER_LICENSE = GPL-3.0
PERIGEE_KLIPPER_LICENSE_FILES = COPYING
PERIGEE_KLIPPER_DEPENDENCIES = python3 perigee-service

# Its primary group is the API server's, so that both may write the data folder.
define PERIGEE_KLIPPER_USERS
	klipper 951 perigee 950 * - - dialout Klipper host software
endef

# Klipper compiles this at its start if it is older than its sources, which a
# board without a compiler could not do.
define PERIGEE_KLIPPER_BUILD_CMDS
	$(TARGET_CC) $(TARGET_CFLAGS) $(TARGET_LDFLAGS) -shared -fPIC \
		-o $(@D)/klippy/chelper/c_helper.so \
		$(@D)/klippy/chelper/*.c -lm
endef

define PERIGEE_KLIPPER_INSTALL_TARGET_CMDS
	mkdir -p $(TARGET_DIR)/usr/lib/klipper
	cp -dpfr $(@D)/klippy $(TARGET_DIR)/usr/lib/klipper/
	touch $(TARGET_DIR)/usr/lib/klipper/klippy/chelper/c_helper.so
endef

define PERIGEE_KLIPPER_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 \
		$(BR2_EXTERNAL_PERIGEE_PATH)/package/perigee-klipper/S58klipper \
		$(TARGET_DIR)/etc/init.d/S58klipper
endef

define PERIGEE_KLIPPER_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 \
		$(BR2_EXTERNAL_PERIGEE_PATH)/package/perigee-klipper/klipper.service \
		$(TARGET_DIR)/usr/lib/systemd/system/klipper.service
endef

$(eval $(generic-package))
