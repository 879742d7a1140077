//! `tidegate passwd`: users of the embedded broker, which come with its access rights.

use std::path::PathBuf;
use std::process::ExitCode;

use super::USAGE;
use super::terminal::complain;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  tidegate passwd --file users dashboard

Not available in this version yet.")]
pub(super) struct Arguments {
    /// The file of users, as in password_file of the configuration
    #[arg(long, default_value = "users")]
    file: PathBuf,
    /// The user to make or to change
    user: String,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    complain(format_args!(
        "not available in this version yet: users arrive with the broker's access rights; {} is not touched, {} not added",
        arguments.file.display(),
        arguments.user
    ));
    Ok(ExitCode::from(USAGE))
}
