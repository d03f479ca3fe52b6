################################################################################
#
# perigee features: made by board-configs/generate from Cargo.toml
#
################################################################################

PERIGEE_FEATURES_ALL = \
	announcements \
	can \
	dbus \
	extensions \
	history \
	http_client \
	https \
	import \
	job_queue \
	ldap \
	octoprint_compat \
	templates \
	tls \
	webcam
