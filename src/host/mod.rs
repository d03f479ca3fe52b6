//! The Linux machine: proc, sysfs, network, USB, V4L2, CAN, services. Knows no API.
