//! The password file: one user a line, `name:hash`; lines that begin with `#`, and empty ones, are left alone.
//!
//! ```text
//! # the dashboard in the hall
//! dashboard:$argon2id$v=19$m=19456,t=2,p=1$...
//! ```
//!
//! It is replaced as a whole, never written in place: whoever reads it sees the old or the new one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::Users;
use super::hash::{HashError, StoredHash};
use super::name::{NameError, UserName};

/// Nobody but its owner reads a new file.
const MODE: u32 = 0o600;
/// What is kept of an existing file's permissions, if others have none: a group may be meant to read it.
const MODE_KEPT: u32 = 0o640;
const MODE_OF_OTHERS: u32 = 0o007;

/// Why a password file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there.
    #[error("there is no password file {}: `tidegate passwd --file {} NAME` makes one", .0.display(), .0.display())]
    Missing(PathBuf),
    /// The system refuses.
    #[error("the password file {}: {}", .0.display(), .1)]
    System(PathBuf, #[source] io::Error),
    /// A line is not understood.
    #[error("the password file {}, line {line}: {problem}", .path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: LineError,
    },
}

/// What is wrong with a line. Never shows what stands in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// There is no colon.
    #[error("no colon between a name and a hash")]
    Form,
    /// What stands before it is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What stands behind it is no hash.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The name stands on an earlier line too.
    #[error("this user stands on line {0} too")]
    Twice(usize),
}

/// The file, line by line, with everything that it says beside the users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PasswordFile(Vec<Line>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    User(UserName, StoredHash),
    /// A comment, or nothing.
    Other(String),
}

impl PasswordFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn load(path: &Path) -> Result<PasswordFile, FileError> {
        match fs::read_to_string(path) {
            Ok(text) => PasswordFile::parse(&text).map_err(|(line, problem)| FileError::Line {
                path: path.to_owned(),
                line,
                problem,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(FileError::Missing(path.to_owned())),
            Err(error) => Err(FileError::System(path.to_owned(), error)),
        }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// The number of a line that is not understood, from 1, and why.
    pub fn parse(text: &str) -> Result<PasswordFile, (usize, LineError)> {
        let mut lines: Vec<Line> = Vec::new();
        for (at, text) in text.lines().enumerate() {
            let line = Line::parse(text).map_err(|problem| (at + 1, problem))?;
            if let Some(name) = line.name()
                && let Some(earlier) = lines.iter().position(|line| line.name() == Some(name))
            {
                return Err((at + 1, LineError::Twice(earlier + 1)));
            }
            lines.push(line);
        }
        Ok(PasswordFile(lines))
    }

    /// The text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for line in &self.0 {
            match line {
                Line::User(name, hash) => {
                    text.push_str(name.as_str());
                    text.push(':');
                    text.push_str(hash.as_str());
                }
                Line::Other(other) => text.push_str(other),
            }
            text.push('\n');
        }
        text
    }

    /// The users, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &UserName> {
        self.0.iter().filter_map(Line::name)
    }

    /// The users with their hashes.
    #[must_use]
    pub fn users(&self) -> Users {
        let user = |line: &Line| match line {
            Line::User(name, hash) => Some((name.clone(), hash.clone())),
            Line::Other(_) => None,
        };
        self.0.iter().filter_map(user).collect()
    }

    /// Makes a user, or changes its hash where it stands; whether it is new.
    pub fn set(&mut self, name: UserName, hash: StoredHash) -> bool {
        match self.0.iter_mut().find(|line| line.name() == Some(&name)) {
            Some(line) => {
                *line = Line::User(name, hash);
                false
            }
            None => {
                self.0.push(Line::User(name, hash));
                true
            }
        }
    }

    /// Removes a user; whether there was one.
    pub fn remove(&mut self, name: &UserName) -> bool {
        let before = self.0.len();
        self.0.retain(|line| line.name() != Some(name));
        self.0.len() < before
    }

    /// Reads a file, lets `change` change it, and puts it back, all under a lock, so that two who change it at once
    /// do not undo each other's work. A file that is not there is empty. `None` from `change`: it stays as it is.
    ///
    /// # Errors
    /// When the file cannot be read, understood or replaced.
    pub fn edit<T>(
        path: &Path,
        change: impl FnOnce(&mut PasswordFile) -> Option<T>,
    ) -> Result<Option<T>, FileError> {
        let system = |error| FileError::System(path.to_owned(), error);
        // Where a link leads to: the link itself stays.
        let path_of_file = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let folder = folder_of(&path_of_file);
        let lock = File::open(folder).map_err(system)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| system(error.into()))?;
        let mut file = match PasswordFile::load(&path_of_file) {
            Err(FileError::Missing(_)) => PasswordFile::default(),
            other => other?,
        };
        let Some(outcome) = change(&mut file) else { return Ok(None) };
        store(&path_of_file, &file.to_text()).map_err(system)?;
        Ok(Some(outcome))
    }
}

impl Line {
    fn parse(text: &str) -> Result<Line, LineError> {
        if text.trim().is_empty() || text.starts_with('#') {
            return Ok(Line::Other(text.to_owned()));
        }
        let (name, hash) = text.split_once(':').ok_or(LineError::Form)?;
        Ok(Line::User(UserName::parse(name)?, StoredHash::parse(hash.trim_end())?))
    }

    fn name(&self) -> Option<&UserName> {
        match self {
            Line::User(name, _) => Some(name),
            Line::Other(_) => None,
        }
    }
}

/// Replaces a file by one with this text: on disk before it takes the old one's place, with the old one's owner, and
/// readable for nobody whom the old one kept out.
///
/// # Errors
/// When the system refuses; the old file is as it was then.
pub fn store(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = Temporary(path.with_file_name(name));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&temporary.0)?;
    match fs::metadata(path) {
        Ok(old) => {
            let own = file.metadata()?;
            if (old.uid(), old.gid()) != (own.uid(), own.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            let mode = if old.mode() & MODE_OF_OTHERS == 0 { old.mode() & MODE_KEPT } else { MODE };
            // After the owner: changing that takes permissions away. `MODE` again, whatever the umask left.
            file.set_permissions(Permissions::from_mode(mode | MODE))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            file.set_permissions(Permissions::from_mode(MODE))?;
        }
        Err(error) => return Err(error),
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary.0, path)?;
    std::mem::forget(temporary);
    File::open(folder_of(path))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A file that is removed unless it took its place.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nothing can be done about one that stays; it holds hashes that its owner alone may read.
        let _ = fs::remove_file(&self.0);
    }
}
