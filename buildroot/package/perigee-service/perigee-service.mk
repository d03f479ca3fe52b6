################################################################################
#
# perigee-service
#
################################################################################

# One source for all image builders.
PERIGEE_SERVICE_COMMON = $(BR2_EXTERNAL_PERIGEE_PATH)/../board-configs/common
PERIGEE_SERVICE_LICENSE = GPL-3.0+

# The numbers are fixed: files on the data partition outlive the image.
define PERIGEE_SERVICE_USERS
	perigee 950 perigee 950 * - - video,dialout Perigee API server
endef

define PERIGEE_SERVICE_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(PERIGEE_SERVICE_COMMON)/prepare \
		$(TARGET_DIR)/usr/libexec/perigee/prepare
	$(INSTALL) -D -m 0644 $(PERIGEE_SERVICE_COMMON)/base.conf \
		$(TARGET_DIR)/usr/share/perigee/base.conf
	$(INSTALL) -D -m 0644 $(PERIGEE_SERVICE_COMMON)/perigee.default \
		$(TARGET_DIR)/etc/default/perigee
	$(INSTALL) -D -m 0644 $(PERIGEE_SERVICE_COMMON)/perigee.sysctl \
		$(TARGET_DIR)/etc/sysctl.d/perigee.conf
endef

define PERIGEE_SERVICE_INSTALL_UDEV
	$(INSTALL) -D -m 0644 $(PERIGEE_SERVICE_COMMON)/60-perigee.rules \
		$(TARGET_DIR)/usr/lib/udev/rules.d/60-perigee.rules
endef
ifeq ($(BR2_PACKAGE_HAS_UDEV),y)
PERIGEE_SERVICE_POST_INSTALL_TARGET_HOOKS += PERIGEE_SERVICE_INSTALL_UDEV
endif

define PERIGEE_SERVICE_INSTALL_DBUS
	$(INSTALL) -D -m 0644 $(PERIGEE_SERVICE_COMMON)/perigee.dbus.conf \
		$(TARGET_DIR)/usr/share/dbus-1/system.d/perigee.conf
endef
ifeq ($(BR2_PACKAGE_DBUS),y)
PERIGEE_SERVICE_POST_INSTALL_TARGET_HOOKS += PERIGEE_SERVICE_INSTALL_DBUS
endif

define PERIGEE_SERVICE_INSTALL_POLKIT
	$(INSTALL) -D -m 0644 $(PERIGEE_SERVICE_COMMON)/perigee.polkit.rules \
		$(TARGET_DIR)/usr/share/polkit-1/rules.d/perigee.rules
endef
ifeq ($(BR2_PACKAGE_POLKIT),y)
PERIGEE_SERVICE_POST_INSTALL_TARGET_HOOKS += PERIGEE_SERVICE_INSTALL_POLKIT
endif

define PERIGEE_SERVICE_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(PERIGEE_SERVICE_COMMON)/supervise \
		$(TARGET_DIR)/usr/libexec/perigee/supervise
	$(INSTALL) -D -m 0755 $(PERIGEE_SERVICE_COMMON)/perigee.init \
		$(TARGET_DIR)/etc/init.d/S60perigee
endef

define PERIGEE_SERVICE_INSTALL_INIT_OPENRC
	$(INSTALL) -D -m 0755 $(PERIGEE_SERVICE_COMMON)/perigee.openrc \
		$(TARGET_DIR)/etc/init.d/perigee
	$(INSTALL) -D -m 0644 $(PERIGEE_SERVICE_COMMON)/perigee.default \
		$(TARGET_DIR)/etc/conf.d/perigee
endef

define PERIGEE_SERVICE_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(PERIGEE_SERVICE_COMMON)/perigee.service \
		$(TARGET_DIR)/usr/lib/systemd/system/perigee.service
endef

$(eval $(generic-package))
