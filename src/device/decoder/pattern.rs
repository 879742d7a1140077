//! A line that a regular expression takes apart.

use regex::Regex;

use super::{Decoded, Meaning};
use crate::device::problem::{Problem, ProblemKind};

/// How a line is taken apart.
#[derive(Debug, Clone)]
pub(in crate::device) struct Pattern {
    /// With named groups; `None`: the sensor's options must bring it.
    pub(in crate::device) expression: Option<Regex>,
    /// What the groups mean.
    pub(in crate::device) fields: Vec<PatternField>,
}

/// One group of the expression.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct PatternField {
    /// Its number in the expression.
    pub(in crate::device) group: usize,
    /// What its text means.
    pub(in crate::device) meaning: Meaning,
}

impl Pattern {
    pub(super) fn decode(&self, line: &str, to: &mut Decoded) -> Result<(), Problem> {
        let Some(groups) = self.expression.as_ref().and_then(|expression| expression.captures(line)) else {
            return Err(Problem::new(ProblemKind::Syntax, "the line does not match the profile's pattern"));
        };
        for field in &self.fields {
            if let Some(group) = groups.get(field.group) {
                field.meaning.text(group.as_str(), to);
            }
        }
        Ok(())
    }
}
