//! A printer to try Perigee on: a simulated Klippy, and the command that starts it with a server.

pub mod klippy;
