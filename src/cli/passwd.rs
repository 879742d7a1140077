//! `tidegate passwd`: makes, changes, removes and lists users of the embedded broker.

use std::io::{IsTerminal, Read, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;

use super::terminal::{ask_secret, complain, say};
use super::{FAILED, USAGE};
use crate::users::{PasswordFile, StoredHash, UserName};

/// A longer secret is no password but a file given by mistake; MQTT carries no longer one either.
const MAX_SECRET_BYTES: usize = 65_535;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate passwd --file /etc/tidegate/users dashboard
  pass show site/dashboard | tidegate passwd --file users dashboard
  tidegate passwd --file users --delete dashboard
  tidegate passwd --file users --list

The password is asked for without being shown, or read from stdin: its first line. It is never an argument, which
others could see. The file keeps an argon2id hash. A running gateway takes changes over when it reads its
configuration anew: systemctl reload tidegate, or SIGHUP.

Ends with 0 when it is done, 1 when the file cannot be read or written or the user is not in it, 2 when the name or
the password cannot be one.")]
pub(super) struct Arguments {
    /// The file of users, as in password_file of the configuration; made when it is not there
    #[arg(short, long, default_value = "users")]
    file: PathBuf,
    /// Removes the user
    #[arg(short, long, alias = "remove", conflicts_with = "list")]
    delete: bool,
    /// Lists the users
    #[arg(short, long, conflicts_with = "user")]
    list: bool,
    /// The user to make or to change
    #[arg(required_unless_present = "list")]
    user: Option<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let path = &arguments.file;
    let Some(user) = &arguments.user else { return list(path) };
    let name = match UserName::parse(user) {
        Ok(name) => name,
        Err(problem) => {
            complain(format_args!("{user:?}: {problem}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    if arguments.delete { delete(path, &name) } else { set(path, name) }
}

fn list(path: &Path) -> anyhow::Result<ExitCode> {
    for name in PasswordFile::load(path)?.names() {
        say(name)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn delete(path: &Path, name: &UserName) -> anyhow::Result<ExitCode> {
    let removed = PasswordFile::edit(path, |file| file.remove(name).then_some(()))?;
    if removed.is_none() {
        complain(format_args!("there is no user {name} in {}", path.display()));
        return Ok(ExitCode::from(FAILED));
    }
    complain(format_args!("user {name} is removed from {}", path.display()));
    Ok(ExitCode::SUCCESS)
}

fn set(path: &Path, name: UserName) -> anyhow::Result<ExitCode> {
    // Better before the password is asked for than after.
    let is_new_file = match PasswordFile::load(path) {
        Ok(_) => false,
        Err(crate::users::FileError::Missing(_)) => true,
        Err(other) => return Err(other.into()),
    };
    let secret = match secret(&name)? {
        Ok(secret) => secret,
        Err(problem) => {
            complain(problem);
            return Ok(ExitCode::from(USAGE));
        }
    };
    let hash = StoredHash::of_password(secret.as_bytes())?;
    let is_new = PasswordFile::edit(path, |file| Some(file.set(name.clone(), hash)))? == Some(true);
    let done = if is_new { "is added to" } else { "has a new password in" };
    complain(format_args!("user {name} {done} {}", path.display()));
    if is_new_file && rustix::process::geteuid().is_root() {
        complain(
            "root alone may read the new file: give it to the user that the gateway runs as, with chown",
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// The new password: typed twice, or the first line of stdin. The inner error says why it cannot be one.
fn secret(name: &UserName) -> anyhow::Result<Result<String, &'static str>> {
    if !stdin().is_terminal() {
        return piped();
    }
    let secret = ask_secret(&format!("New password for {name}: "))?;
    if let Some(problem) = problem_of(&secret) {
        return Ok(Err(problem));
    }
    if ask_secret("Once more: ")? != secret {
        return Ok(Err("the two passwords are not the same: nothing is changed"));
    }
    Ok(Ok(secret))
}

fn piped() -> anyhow::Result<Result<String, &'static str>> {
    let mut bytes = Vec::new();
    let bound = u64::try_from(MAX_SECRET_BYTES + 2).unwrap_or(u64::MAX);
    stdin().take(bound + 1).read_to_end(&mut bytes).context("stdin")?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Ok(secret) = String::from_utf8(line.to_vec()) else {
        return Ok(Err("the password is no text in UTF-8"));
    };
    Ok(match problem_of(&secret) {
        Some(problem) => Err(problem),
        None => Ok(secret),
    })
}

fn problem_of(secret: &str) -> Option<&'static str> {
    if secret.is_empty() {
        return Some("the password is empty: nothing is changed");
    }
    (secret.len() > MAX_SECRET_BYTES).then_some("the password has more than 65535 bytes: nothing is changed")
}
