//! `moonraker.conf`: reading, typed options, warnings. Knows no component.
