################################################################################
#
# perigee features: made by board-configs/generate from Cargo.toml
#
################################################################################

PERIGEE_FEATURES_ALL = \
	extensions \
	octoprint_compat \
	templates
