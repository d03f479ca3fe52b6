################################################################################
#
# perigee features: made by board-configs/generate from Cargo.toml
#
################################################################################

PERIGEE_FEATURES_ALL = \
	can \
	dbus \
	extensions \
	http_client \
	https \
	octoprint_compat \
	templates \
	webcam
