//! A line of columns.

use super::{Decoded, Meaning};
use crate::device::problem::{Problem, ProblemKind};

/// The columns of a line.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct Csv {
    /// What stands between two columns.
    pub(in crate::device) separator: char,
    /// What each column means; `None`: it is passed over.
    pub(in crate::device) columns: Vec<Option<Meaning>>,
}

impl Csv {
    /// A line with another number of columns was cut or joined: no part of it can be trusted. One separator too
    /// many at the end is a habit of small sketches.
    pub(super) fn decode(&self, line: &str, to: &mut Decoded) -> Result<(), Problem> {
        let count = line.split(self.separator).count();
        let wanted = self.columns.len();
        let one_more = count == wanted + 1 && line.ends_with(self.separator);
        if count != wanted && !one_more {
            let detail = format!("the line has {count} columns, {wanted} are named");
            return Err(Problem::new(ProblemKind::Syntax, detail));
        }
        for (column, text) in self.columns.iter().zip(line.split(self.separator)) {
            if let Some(meaning) = column {
                meaning.text(text.trim().trim_matches('"'), to);
            }
        }
        Ok(())
    }
}
