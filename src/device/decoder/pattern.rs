//! A line that a regular expression takes apart.

use regex::Regex;

use super::{Arithmetic, Decoded, Meaning};
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
    /// Another group that says by how much the number is multiplied: its unit.
    pub(in crate::device) scale_by: Option<ScaleBy>,
}

/// A factor by what another group says.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct ScaleBy {
    /// The group's number in the expression.
    pub(in crate::device) group: usize,
    /// Its texts, and what they multiply by.
    pub(in crate::device) factors: Vec<(String, Arithmetic)>,
}

impl Pattern {
    pub(super) fn decode(&self, line: &str, to: &mut Decoded) -> Result<(), Problem> {
        let Some(groups) = self.expression.as_ref().and_then(|expression| expression.captures(line)) else {
            return Err(Problem::new(ProblemKind::Syntax, "the line does not match the profile's pattern"));
        };
        for field in &self.fields {
            let Some(group) = groups.get(field.group) else { continue };
            let text = group.as_str();
            match &field.scale_by {
                None => field.meaning.text(text, to),
                Some(by) => {
                    let unit = groups.get(by.group).map_or("", |group| group.as_str());
                    field.scaled(text, unit, by, to)?;
                }
            }
        }
        Ok(())
    }
}

impl PatternField {
    /// A line in a unit that nobody knows says nothing at all.
    fn scaled(&self, text: &str, unit: &str, by: &ScaleBy, to: &mut Decoded) -> Result<(), Problem> {
        let Some((_, factor)) = by.factors.iter().find(|(known, _)| known == unit) else {
            let shown: String = unit.chars().take(20).collect();
            let detail =
                format!("{} is in {shown:?}, which the profile does not know", self.meaning.name.as_str());
            return Err(Problem::new(ProblemKind::Unknown, detail));
        };
        // Some scales write blanks between sign and digits.
        let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        match digits.parse::<f64>() {
            Ok(raw) if raw.is_finite() => self.meaning.number(factor.apply_to_text(raw, &digits), to),
            _ => self.meaning.not_a_number("a number", text, to),
        }
        Ok(())
    }
}
