################################################################################
#
# perigee-bin
#
################################################################################

PERIGEE_BIN_FILE = $(call qstrip,$(BR2_PACKAGE_PERIGEE_BIN_FILE))
PERIGEE_BIN_LICENSE = GPL-3.0+
PERIGEE_BIN_DEPENDENCIES = perigee-service

define PERIGEE_BIN_INSTALL_TARGET_CMDS
	test -f $(PERIGEE_BIN_FILE) || { \
		echo "$(PERIGEE_BIN_FILE): build it with cross/build first" >&2; \
		exit 1; \
	}
	$(INSTALL) -D -m 0755 $(PERIGEE_BIN_FILE) $(TARGET_DIR)/usr/bin/perigee
endef

$(eval $(generic-package))
