//! The profiles at hand: those in the program, and those in folders of the user's.

use std::path::{Path, PathBuf};

use crate::device::Library;

/// The shipped profiles with those of `folders` added or put in their place; the later folders win. What cannot
/// be read is told in the second part, and stops nothing.
#[must_use]
pub fn library(folders: &[PathBuf]) -> (Library, Vec<String>) {
    let mut library = Library::shipped();
    let mut unreadable = Vec::new();
    for folder in folders {
        if let Err(error) = add_folder(&mut library, folder, &mut unreadable) {
            unreadable.push(format!("{}: {error}", folder.display()));
        }
    }
    (library, unreadable)
}

fn add_folder(library: &mut Library, folder: &Path, unreadable: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let id = path.file_stem().and_then(|stem| stem.to_str());
        let Some(id) = id.filter(|_| path.extension().is_some_and(|extension| extension == "toml")) else {
            continue;
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => library.add(id, path.display().to_string(), text),
            Err(error) => unreadable.push(format!("{}: {error}", path.display())),
        }
    }
    Ok(())
}
