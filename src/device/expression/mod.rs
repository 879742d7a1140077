//! Conditions and arithmetic of profiles over the bytes of a frame: `u8(6) == 1 && length > 20`, `(raw - 32) * 5 / 9`.
//!
//! Bytes that are not there, a division by zero and what does not fit give no value, never a wrong one. An
//! expression is read once, with the profile, and cannot loop: its work is bounded by its text.

mod evaluate;
mod parse;

pub(super) use evaluate::Scope;
pub(super) use parse::Mistake;

use super::number::NumberType;

/// The longest expression, and so the deepest, that a profile may have.
const LONGEST: usize = 512;

/// A number on its way: whole numbers stay exact.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// A whole number.
    Whole(i64),
    /// Any other.
    Real(f64),
}

/// A condition or a piece of arithmetic, ready to be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expression(Node);

impl Expression {
    /// Reads an expression; `names` are the intermediates that it may use, [`Scope`] gives their values in the same
    /// order.
    pub(super) fn parse(text: &str, names: &[&str]) -> Result<Expression, Mistake> {
        parse::parse(text, names).map(Expression)
    }

    /// Its value; `None` where it has none.
    pub(super) fn evaluate(&self, scope: &Scope<'_>) -> Option<Number> {
        self.0.evaluate(scope)
    }

    /// Whether it holds; what has no value does not.
    pub(super) fn holds(&self, scope: &Scope<'_>) -> bool {
        self.evaluate(scope).is_some_and(Number::is_true)
    }
}

/// One part of an expression.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Constant(Number),
    /// How many bytes there are.
    Length,
    /// What stands at the field's own place.
    Raw,
    /// A named intermediate, by its place among them.
    Name(usize),
    /// A number of the frame.
    Read(NumberType, Box<Node>),
    Call(Function, Vec<Node>),
    Not(Box<Node>),
    Negative(Box<Node>),
    Pair(Operator, Box<Node>, Box<Node>),
    /// Condition, value if it holds, value if not.
    Choice(Box<(Node, Node, Node)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Bit,
    Abs,
    Floor,
    Round,
    Min,
    Max,
    /// Ten to the power of it: floats of IEEE 11073 are a mantissa and such an exponent.
    Exp10,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    BitOr,
    BitXor,
    BitAnd,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    Divide,
    DivideWhole,
    Remainder,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, bytes: &[u8]) -> Option<f64> {
        let expression =
            Expression::parse(text, &["a"]).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"));
        let intermediates = [Some(Number::Whole(7))];
        expression
            .evaluate(&Scope { bytes, raw: Some(Number::Real(68.0)), intermediates: &intermediates })
            .map(Number::as_f64)
    }

    #[test]
    fn arithmetic_follows_the_usual_order_and_whole_numbers_stay_whole() {
        for (text, expected) in [
            ("1 + 2 * 3", 7.0),
            ("(1 + 2) * 3", 9.0),
            ("7 / 2", 3.5),
            ("7 // 2", 3.0),
            ("-7 // 2", -4.0),
            ("-7 % 3", 2.0),
            ("0x1F & 0b110", 6.0),
            ("1 << 4 | 3", 19.0),
            ("0xFF ^ 0x0F", 240.0),
            ("10 - 2 - 3", 5.0),
            ("(raw - 32) * 5 / 9", 20.0),
            ("a * 2", 14.0),
            ("1 < 2 && 3 >= 3", 1.0),
            ("!(1 == 2) || 1 / 0", 1.0),
            ("1 > 2 ? 10 : 20", 20.0),
            ("365 * exp10(-1) + exp10(2)", 136.5),
            ("min(3, 1.5) + max(2, 4) + abs(-1) + round(2.5) + floor(-0.5)", 8.5),
        ] {
            assert_eq!(value(text, &[]), Some(expected), "{text}");
        }
    }

    #[test]
    fn bytes_are_read_at_places_and_what_is_not_there_has_no_value() {
        let bytes = [0x01, 0xFF, 0x80, 0x05];
        assert_eq!(value("length", &bytes), Some(4.0));
        assert_eq!(value("u16be(1)", &bytes), Some(65408.0));
        assert_eq!(value("i16be(-2 - 1)", &bytes), Some(-128.0));
        assert_eq!(value("u8(-1) + bit(2, 7)", &bytes), Some(6.0));
        assert_eq!(value("u8(u8(3) - 5)", &bytes), Some(1.0));
        for nothing in
            ["u8(4)", "u16be(-1)", "1 / 0", "1 // 0", "5 % 0", "1 << 64", "9223372036854775807 + 1"]
        {
            assert_eq!(value(nothing, &bytes), None, "{nothing}");
        }
        assert_eq!(
            value("u8(9) == 1 || u8(0) == 1", &bytes),
            Some(1.0),
            "a gate on a missing byte does not hold"
        );
    }

    #[test]
    fn a_mistake_has_its_place() {
        for (text, at, said) in [
            ("1 +", 3, "something is missing"),
            ("u8(1", 4, "`)`"),
            ("u9(1)", 0, "\"u9\""),
            ("b + 1", 0, "\"b\""),
            ("1 $ 2", 2, "`$`"),
            ("1 2", 2, "ends here"),
            ("min(1)", 0, "2 values"),
            ("0x", 0, "number"),
        ] {
            let mistake = Expression::parse(text, &["a"]).unwrap_err();
            assert_eq!(mistake.at, at, "{text}: {mistake:?}");
            assert!(mistake.message.contains(said), "{text}: {mistake:?}");
        }
        assert!(Expression::parse(&"(".repeat(513), &[]).is_err());
    }
}
