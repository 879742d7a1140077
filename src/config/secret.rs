//! Secrets: named in the configuration, read when they are needed, never shown.

use std::fmt;
use std::path::PathBuf;

/// Where a secret is, or, for the careless, the secret itself. `Debug` never shows one.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// It stands in the configuration itself.
    Plain(String),
    /// `file:PATH`: the first line of a file.
    File(PathBuf),
    /// `env:NAME`: an environment variable.
    Environment(String),
    /// `credential:NAME`: a credential that systemd hands to the service.
    Credential(String),
}

/// Why a secret could not be read. Names where it was looked for, never what it is.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret from {path}: {source}", path = .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The environment variable is not set, or is not text.
    #[error("the environment variable {0} is not set")]
    Environment(String),
    /// The program does not run under systemd, or its unit names no credentials.
    #[error("credential {0}: $CREDENTIALS_DIRECTORY is not set; LoadCredential= in the unit sets it")]
    NoCredentials(String),
    /// The file's first line is empty.
    #[error("the secret in {0} is empty")]
    Empty(String),
}

impl Secret {
    /// Reads the notation of the configuration; paths stay as they are written.
    #[must_use]
    pub fn parse(text: &str) -> Secret {
        match text.split_once(':') {
            Some(("file", path)) => Secret::File(PathBuf::from(path)),
            Some(("env", name)) => Secret::Environment(name.to_owned()),
            Some(("credential", name)) => Secret::Credential(name.to_owned()),
            _ => Secret::Plain(text.to_owned()),
        }
    }

    /// The secret itself. Read anew each time, so that a changed file counts at the next connection.
    ///
    /// # Errors
    /// When the file, variable or credential cannot be read or is empty.
    pub fn reveal(&self) -> Result<String, SecretError> {
        match self {
            Secret::Plain(secret) => Ok(secret.clone()),
            Secret::File(path) => first_line(path.clone()),
            Secret::Environment(name) => {
                std::env::var(name).map_err(|_| SecretError::Environment(name.clone()))
            }
            Secret::Credential(name) => match std::env::var_os("CREDENTIALS_DIRECTORY") {
                Some(directory) => first_line(PathBuf::from(directory).join(name)),
                None => Err(SecretError::NoCredentials(name.clone())),
            },
        }
    }
}

fn first_line(path: PathBuf) -> Result<String, SecretError> {
    let text =
        std::fs::read_to_string(&path).map_err(|source| SecretError::File { path: path.clone(), source })?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(SecretError::Empty(path.display().to_string())),
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Plain(_) => formatter.write_str("Plain(<redacted>)"),
            Secret::File(path) => formatter.debug_tuple("File").field(path).finish(),
            Secret::Environment(name) => formatter.debug_tuple("Environment").field(name).finish(),
            Secret::Credential(name) => formatter.debug_tuple("Credential").field(name).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", Secret::parse("hunter2")), "Plain(<redacted>)");
        assert_eq!(format!("{:?}", Secret::parse("env:PASSWORD")), "Environment(\"PASSWORD\")");
    }

    #[test]
    fn a_file_gives_its_first_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "s3cret\nsecond line\n").unwrap();
        assert_eq!(Secret::File(path.clone()).reveal().unwrap(), "s3cret");
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(Secret::File(path).reveal(), Err(SecretError::Empty(_))));
    }
}
