//! Reads the values of one table, as their notations say.
//!
//! What does not fit its key reads as if it were not there: [`super::check`] has reported it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::check::join;
use super::kind;
use super::report::Place;
use super::tree::{Node, Table, Value};
use crate::adapter::serial::PortAddress;

/// One table of the configuration, at its path.
#[derive(Clone)]
pub(super) struct Section<'a> {
    /// `uplink.cloud`
    pub(super) path: String,
    /// Its name, where it has one: `cloud`.
    pub(super) name: &'a str,
    /// Where it begins.
    pub(super) place: Place,
    table: Option<&'a Table>,
}

impl<'a> Section<'a> {
    /// The table behind a key of the root, which may be missing.
    pub(super) fn of_root(root: &'a Table, key: &'static str) -> Section<'a> {
        let entry = root.entry(key);
        Section {
            path: key.to_owned(),
            name: key,
            place: entry.map_or(Place::File, |entry| entry.key_place.clone()),
            table: entry.and_then(|entry| entry.node.as_table()),
        }
    }

    /// The tables behind `[key.NAME]`.
    pub(super) fn named(root: &'a Table, key: &'static str) -> Vec<Section<'a>> {
        let Some(table) = root.get(key).and_then(Node::as_table) else { return Vec::new() };
        let section = |entry: &'a super::tree::Entry| Section {
            path: join(key, &entry.key),
            name: &entry.key,
            place: entry.key_place.clone(),
            table: entry.node.as_table(),
        };
        table.entries.iter().filter(|entry| entry.node.as_table().is_some()).map(section).collect()
    }

    /// The tables behind `[[key]]`, and those in a list.
    pub(super) fn all(nodes: &'a [Node], path: &str) -> Vec<Section<'a>> {
        let section = |(at, node): (usize, &'a Node)| Section {
            path: join(path, &(at + 1).to_string()),
            name: "",
            place: node.place.clone(),
            table: node.as_table(),
        };
        nodes.iter().enumerate().map(section).collect()
    }

    /// The path of a key in here.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    pub(super) fn node(&self, key: &str) -> Option<&'a Node> {
        self.table?.get(key)
    }

    /// Where a key's value is, else where its table begins.
    pub(super) fn place_of(&self, key: &str) -> Place {
        self.node(key).map_or_else(|| self.place.clone(), |node| node.place.clone())
    }

    /// A table inside this one.
    pub(super) fn table(&self, key: &str) -> Option<Section<'a>> {
        let node = self.node(key)?;
        let table = Some(node.as_table()?);
        Some(Section { path: self.path_of(key), name: self.name, place: node.place.clone(), table })
    }

    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.node(key)?.as_text()
    }

    pub(super) fn switch(&self, key: &str) -> Option<bool> {
        match self.node(key)?.value {
            Value::Switch(switch) => Some(switch),
            _ => None,
        }
    }

    pub(super) fn number<N: TryFrom<i128>>(&self, key: &str) -> Option<N> {
        match self.node(key)?.value {
            Value::Integer(number) => N::try_from(number).ok(),
            _ => None,
        }
    }

    pub(super) fn size(&self, key: &str) -> Option<u64> {
        match &self.node(key)?.value {
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            Value::Text(text) => kind::size(text).ok(),
            _ => None,
        }
    }

    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        kind::duration(self.text(key)?).ok()
    }

    /// A path, relative to the folder of the file.
    pub(super) fn path(&self, key: &str, folder: &Path) -> Option<PathBuf> {
        Some(folder.join(self.text(key)?))
    }

    /// A serial port: a path, or another way to one.
    pub(super) fn port(&self, key: &str, folder: &Path) -> Option<PortAddress> {
        PortAddress::parse(self.text(key)?, folder).ok()
    }

    /// The texts of a list with their places.
    pub(super) fn texts(&self, key: &str) -> Vec<(&'a str, Place)> {
        let nodes = self.node(key).map_or(&[][..], Node::elements);
        nodes.iter().filter_map(|node| Some((node.as_text()?, node.place.clone()))).collect()
    }

    /// The text, or the texts of a list, with their places.
    pub(super) fn one_or_more(&self, key: &str) -> Vec<(&'a str, Place)> {
        match self.node(key).and_then(|node| Some((node.as_text()?, node.place.clone()))) {
            Some(one) => vec![one],
            None => self.texts(key),
        }
    }

    /// The pairs of a table from texts to texts.
    pub(super) fn map(&self, key: &str) -> Vec<(String, String)> {
        let Some(table) = self.node(key).and_then(Node::as_table) else { return Vec::new() };
        let pair = |entry: &super::tree::Entry| Some((entry.key.clone(), entry.node.as_text()?.to_owned()));
        table.entries.iter().filter_map(pair).collect()
    }
}
