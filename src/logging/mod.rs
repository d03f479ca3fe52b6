//! `moonraker.log`: lines, rotation, the start-up header.
