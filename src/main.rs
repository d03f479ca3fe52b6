//! The command line.

#[cfg(target_env = "musl")]
mod allocator;
mod command;

use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator::new();

fn main() -> ExitCode {
    command::main(std::env::args_os().skip(1))
}
