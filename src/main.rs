//! The `tidegate` program: hands its arguments to the library and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidegate::cli::main()
}
