//! From text to an [`Expression`](super::Expression): precedence as in C, places of mistakes in bytes of the text.

use super::{Function, LONGEST, Node, Number, Operator};
use crate::device::number::NumberType;

/// What is wrong with the text of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::device) struct Mistake {
    /// Where, in bytes of the text.
    pub(in crate::device) at: usize,
    /// What.
    pub(in crate::device) message: String,
}

/// Operators from the loosest to the tightest; longer ones go before those that they begin with.
const LEVELS: [&[(&str, Operator)]; 9] = [
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[("==", Operator::Equal), ("!=", Operator::Unequal)],
    &[
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("|", Operator::BitOr), ("^", Operator::BitXor)],
    &[("&", Operator::BitAnd)],
    &[("<<", Operator::ShiftLeft), (">>", Operator::ShiftRight)],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[
        ("*", Operator::Multiply),
        ("//", Operator::DivideWhole),
        ("/", Operator::Divide),
        ("%", Operator::Remainder),
    ],
];

/// What must not be taken for the shorter operator that it begins with.
const LONGER: [&str; 4] = ["||", "&&", "<<", ">>"];

pub(super) fn parse(text: &str, names: &[&str]) -> Result<Node, Mistake> {
    if text.len() > LONGEST {
        return Err(Mistake { at: 0, message: format!("an expression has at most {LONGEST} characters") });
    }
    let mut parser = Parser { text, at: 0, names };
    let node = parser.choice()?;
    parser.skip_blanks();
    if parser.rest().is_empty() {
        return Ok(node);
    }
    let next: String = parser.rest().chars().take(1).collect();
    Err(parser.mistake(format!("the expression ends here, before `{next}`")))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    names: &'a [&'a str],
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake { at: self.at, message: message.into() }
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Goes behind `symbol`, if it comes next.
    fn take(&mut self, symbol: &str) -> bool {
        self.skip_blanks();
        let is_next = self.rest().starts_with(symbol);
        if is_next {
            self.at += symbol.len();
        }
        is_next
    }

    fn expect(&mut self, symbol: &str) -> Result<(), Mistake> {
        if self.take(symbol) { Ok(()) } else { Err(self.mistake(format!("`{symbol}` is missing here"))) }
    }

    fn choice(&mut self) -> Result<Node, Mistake> {
        let condition = self.pair(0)?;
        if !self.take("?") {
            return Ok(condition);
        }
        let yes = self.choice()?;
        self.expect(":")?;
        let no = self.choice()?;
        Ok(Node::Choice(Box::new((condition, yes, no))))
    }

    fn pair(&mut self, level: usize) -> Result<Node, Mistake> {
        let Some(operators) = LEVELS.get(level) else {
            return self.single();
        };
        let mut left = self.pair(level + 1)?;
        loop {
            self.skip_blanks();
            let rest = self.rest();
            let found = operators.iter().find(|(symbol, _)| {
                let longer = |known: &&&str| known.len() > symbol.len() && rest.starts_with(**known);
                rest.starts_with(symbol) && !LONGER.iter().any(|known| longer(&known))
            });
            let Some((symbol, operator)) = found else {
                return Ok(left);
            };
            self.at += symbol.len();
            let right = self.pair(level + 1)?;
            left = Node::Pair(*operator, Box::new(left), Box::new(right));
        }
    }

    fn single(&mut self) -> Result<Node, Mistake> {
        if self.take("!") {
            return Ok(Node::Not(Box::new(self.single()?)));
        }
        if self.take("-") {
            return Ok(Node::Negative(Box::new(self.single()?)));
        }
        if self.take("(") {
            let inner = self.choice()?;
            self.expect(")")?;
            return Ok(inner);
        }
        self.skip_blanks();
        let part_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let word = self.rest().split(|c| !part_of_word(c)).next().unwrap_or_default();
        match word.chars().next() {
            Some(first) if first.is_ascii_digit() => self.number(word),
            Some(_) => self.name(word),
            None => match self.rest().chars().next() {
                None => Err(self.mistake("something is missing at the end of the expression")),
                Some(other) => Err(self.mistake(format!("`{other}` is no part of an expression"))),
            },
        }
    }

    fn number(&mut self, word: &str) -> Result<Node, Mistake> {
        let whole = match word.get(..2) {
            Some("0x") => i64::from_str_radix(word.get(2..).unwrap_or_default(), 16).ok(),
            Some("0b") => i64::from_str_radix(word.get(2..).unwrap_or_default(), 2).ok(),
            _ => word.parse().ok(),
        };
        let real = || word.parse::<f64>().ok().filter(|real| real.is_finite()).map(Number::Real);
        let Some(number) = whole.map(Number::Whole).or_else(real) else {
            return Err(self.mistake(format!("{word:?} is no number")));
        };
        self.at += word.len();
        Ok(Node::Constant(number))
    }

    fn name(&mut self, word: &str) -> Result<Node, Mistake> {
        let start = self.at;
        self.at += word.len();
        if let Some(index) = self.names.iter().position(|name| *name == word) {
            return Ok(Node::Name(index));
        }
        match word {
            "length" => return Ok(Node::Length),
            "raw" => return Ok(Node::Raw),
            _ => {}
        }
        if let Some(number) = NumberType::parse(word) {
            self.expect("(")?;
            let at = self.choice()?;
            self.expect(")")?;
            return Ok(Node::Read(number, Box::new(at)));
        }
        let (function, count) = match word {
            "bit" => (Function::Bit, 2),
            "abs" => (Function::Abs, 1),
            "floor" => (Function::Floor, 1),
            "round" => (Function::Round, 1),
            "min" => (Function::Min, 2),
            "max" => (Function::Max, 2),
            "exp10" => (Function::Exp10, 1),
            _ => {
                let message = format!(
                    "{word:?} is nothing known; a number of the frame is u8(2) or i16le(4), an intermediate is \
                     named in [[let]]"
                );
                return Err(Mistake { at: start, message });
            }
        };
        self.expect("(")?;
        let mut arguments = vec![self.choice()?];
        while self.take(",") {
            arguments.push(self.choice()?);
        }
        self.expect(")")?;
        if arguments.len() != count {
            return Err(Mistake { at: start, message: format!("{word} takes {count} values") });
        }
        Ok(Node::Call(function, arguments))
    }
}
