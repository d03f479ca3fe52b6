################################################################################
#
# perigee-frontend
#
################################################################################

PERIGEE_FRONTEND_FILES = $(call qstrip,$(BR2_PACKAGE_PERIGEE_FRONTEND_SOURCE))

define PERIGEE_FRONTEND_INSTALL_TARGET_CMDS
	test -f $(PERIGEE_FRONTEND_FILES)/index.html
	mkdir -p $(TARGET_DIR)/usr/share/perigee/www
	cp -dpfr $(PERIGEE_FRONTEND_FILES)/. $(TARGET_DIR)/usr/share/perigee/www/
endef

$(eval $(generic-package))
