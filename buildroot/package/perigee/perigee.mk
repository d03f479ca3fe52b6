################################################################################
#
# perigee
#
################################################################################

PERIGEE_VERSION = 0.1.0
PERIGEE_SITE = $(BR2_EXTERNAL_PERIGEE_PATH)/..
PERIGEE_SITE_METHOD = local
PERIGEE_LICENSE = GPL-3.0+
PERIGEE_LICENSE_FILES = LICENSE
PERIGEE_DEPENDENCIES = perigee-service
PERIGEE_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--exclude /target --exclude /buildroot --exclude /yocto-layer

# perigee-features.mk has the names of all of them.
PERIGEE_FEATURES = minimal \
	$(foreach feature,$(PERIGEE_FEATURES_ALL),\
		$(if $(BR2_PACKAGE_PERIGEE_FEATURE_$(call UPPERCASE,$(feature))),$(feature)))

# The package infrastructure builds with the options of the whole image, which
# makes this binary half as large again as its own release profile does.
PERIGEE_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_OPT_LEVEL="s" \
	CARGO_PROFILE_RELEASE_LTO="fat" \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS="1"
PERIGEE_CARGO_OPTS = \
	--bin perigee \
	--no-default-features \
	--features $(subst $(space),$(comma),$(strip $(PERIGEE_FEATURES)))
PERIGEE_CARGO_BUILD_OPTS = $(PERIGEE_CARGO_OPTS)
PERIGEE_CARGO_INSTALL_OPTS = $(PERIGEE_CARGO_OPTS)

# A local source is not vendored by the download step. Cargo.lock has the
# checksum of every crate.
define PERIGEE_FETCH_CRATES
	cd $(@D) && \
	$(TARGET_MAKE_ENV) $(PKG_COMMON_CARGO_ENV) \
		cargo fetch --locked --target $(RUSTC_TARGET_NAME)
endef
PERIGEE_PRE_BUILD_HOOKS += PERIGEE_FETCH_CRATES

$(eval $(cargo-package))
