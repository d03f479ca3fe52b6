//! Black-box tests: the real binary over real sockets, with a simulated printer.
//!
//! One program for all of them, because linking takes longer than running. `harness` drives the server,
//! `cases/*.json` holds what can be said as data, and each other module is one subject.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

mod harness;
mod sim;

mod access;
mod access_table;
mod announcements;
mod attacks;
mod bad_input;
mod browser;
mod cases;
mod clients;
mod command_line;
mod config;
mod crash;
mod demo;
mod description;
mod disk;
mod download;
mod end_to_end;
mod files;
mod history;
mod job_queue;
mod klippy_link;
mod klippy_trouble;
#[cfg(feature = "ldap")]
mod ldap;
mod limits;
mod moving;
mod notifications;
mod objects;
#[cfg(all(feature = "dbus", feature = "history"))]
mod power;
mod printer;
mod restart;
mod service_manager;
mod stores;
mod subscriptions;
mod sudo;
#[cfg(feature = "tls")]
mod tls;
mod transport_http;
mod unix_socket;
mod upload;
mod websocket;
