//! What an expression is worth for the bytes at hand.

use super::{Function, Node, Number, Operator};
use crate::device::number::{self, Position};

/// What an expression can see.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::device) struct Scope<'a> {
    /// The frame, or the element of it.
    pub(in crate::device) bytes: &'a [u8],
    /// What stands at the field's own place.
    pub(in crate::device) raw: Option<Number>,
    /// The named intermediates, in the order of their names.
    pub(in crate::device) intermediates: &'a [Option<Number>],
}

impl Number {
    pub(in crate::device) fn as_f64(self) -> f64 {
        match self {
            Number::Whole(whole) => number::from_i64(whole),
            Number::Real(real) => real,
        }
    }

    pub(in crate::device) fn is_true(self) -> bool {
        self.as_f64() != 0.0
    }

    /// The whole number that it is, if it is one.
    pub(in crate::device) fn whole(self) -> Option<i64> {
        match self {
            Number::Whole(whole) => Some(whole),
            Number::Real(real) => number::to_i64(real),
        }
    }

    /// A real number; whole ones that fit exactly are kept as whole.
    pub(in crate::device) fn of(real: f64) -> Number {
        number::to_i64(real).map_or(Number::Real(real), Number::Whole)
    }

    fn of_bool(holds: bool) -> Number {
        Number::Whole(i64::from(holds))
    }
}

impl Node {
    pub(super) fn evaluate(&self, scope: &Scope<'_>) -> Option<Number> {
        let value = match self {
            Node::Constant(number) => *number,
            Node::Length => Number::Whole(i64::try_from(scope.bytes.len()).ok()?),
            Node::Raw => scope.raw?,
            Node::Name(index) => (*scope.intermediates.get(*index)?)?,
            Node::Read(number, at) => {
                let at =
                    Position(i32::try_from(at.evaluate(scope)?.whole()?).ok()?).within(scope.bytes.len())?;
                number.number(scope.bytes.get(at..at.checked_add(number.bytes)?)?)?
            }
            Node::Call(function, arguments) => function.call(arguments, scope)?,
            Node::Not(node) => Number::of_bool(!node.evaluate(scope).is_some_and(Number::is_true)),
            Node::Negative(node) => match node.evaluate(scope)? {
                Number::Whole(whole) => Number::Whole(whole.checked_neg()?),
                Number::Real(real) => Number::Real(-real),
            },
            Node::Pair(operator, left, right) => return operator.apply(left, right, scope),
            Node::Choice(choice) => {
                let (condition, yes, no) = &**choice;
                let chosen = if condition.evaluate(scope)?.is_true() { yes } else { no };
                chosen.evaluate(scope)?
            }
        };
        Some(value)
    }
}

impl Function {
    fn call(self, arguments: &[Node], scope: &Scope<'_>) -> Option<Number> {
        let argument = |index: usize| arguments.get(index)?.evaluate(scope);
        let first = argument(0)?;
        match self {
            Function::Bit => {
                let at = Position(i32::try_from(first.whole()?).ok()?).within(scope.bytes.len())?;
                let bit = u32::try_from(argument(1)?.whole()?).ok().filter(|bit| *bit < 8)?;
                Some(Number::Whole(i64::from(scope.bytes.get(at)? >> bit & 1)))
            }
            Function::Abs => Some(match first {
                Number::Whole(whole) => Number::Whole(whole.checked_abs()?),
                Number::Real(real) => Number::Real(real.abs()),
            }),
            Function::Floor => Some(Number::of(first.as_f64().floor())),
            Function::Round => Some(Number::of(first.as_f64().round())),
            Function::Exp10 => {
                let power = i32::try_from(first.whole()?).ok().filter(|power| power.abs() <= 127)?;
                Some(Number::of(10_f64.powi(power)))
            }
            Function::Min => {
                argument(1).map(|second| if second.as_f64() < first.as_f64() { second } else { first })
            }
            Function::Max => {
                argument(1).map(|second| if second.as_f64() > first.as_f64() { second } else { first })
            }
        }
    }
}

impl Operator {
    fn apply(self, left: &Node, right: &Node, scope: &Scope<'_>) -> Option<Number> {
        let holds = |node: &Node| node.evaluate(scope).is_some_and(Number::is_true);
        match self {
            Operator::Or => return Some(Number::of_bool(holds(left) || holds(right))),
            Operator::And => return Some(Number::of_bool(holds(left) && holds(right))),
            _ => {}
        }
        let (left, right) = (left.evaluate(scope)?, right.evaluate(scope)?);
        if let (Number::Whole(left), Number::Whole(right)) = (left, right)
            && self != Operator::Divide
        {
            return self.of_whole(left, right);
        }
        self.of_real(left.as_f64(), right.as_f64())
    }

    fn of_whole(self, left: i64, right: i64) -> Option<Number> {
        let shift = || u32::try_from(right).ok().filter(|shift| *shift < 63);
        let whole = match self {
            Operator::BitOr => left | right,
            Operator::BitXor => left ^ right,
            Operator::BitAnd => left & right,
            Operator::ShiftLeft => left.checked_mul(1_i64 << shift()?)?,
            Operator::ShiftRight => left >> shift()?,
            Operator::Add => left.checked_add(right)?,
            Operator::Subtract => left.checked_sub(right)?,
            Operator::Multiply => left.checked_mul(right)?,
            // Towards minus infinity, and a remainder with the divisor's sign: what people who read them expect.
            Operator::DivideWhole => {
                let quotient = left.checked_div(right)?;
                let exact = left.checked_rem(right)? == 0 || (left < 0) == (right < 0);
                if exact { quotient } else { quotient.checked_sub(1)? }
            }
            Operator::Remainder => {
                let rest = left.checked_rem(right)?;
                if rest == 0 || (rest < 0) == (right < 0) { rest } else { rest.checked_add(right)? }
            }
            comparison => return Some(Number::of_bool(comparison.compare(left.cmp(&right)))),
        };
        Some(Number::Whole(whole))
    }

    fn of_real(self, left: f64, right: f64) -> Option<Number> {
        let real = match self {
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
            Operator::Divide => left / right,
            Operator::DivideWhole => {
                return Some(Number::of((left / right).floor())).filter(|_| right != 0.0);
            }
            Operator::Remainder => left - right * (left / right).floor(),
            Operator::BitOr
            | Operator::BitXor
            | Operator::BitAnd
            | Operator::ShiftLeft
            | Operator::ShiftRight => {
                return self.of_whole(number::to_i64(left)?, number::to_i64(right)?);
            }
            comparison => return Some(Number::of_bool(comparison.compare(left.partial_cmp(&right)?))),
        };
        real.is_finite().then_some(Number::Real(real))
    }

    fn compare(self, order: std::cmp::Ordering) -> bool {
        match self {
            Operator::Equal => order.is_eq(),
            Operator::Unequal => order.is_ne(),
            Operator::Less => order.is_lt(),
            Operator::LessOrEqual => order.is_le(),
            Operator::Greater => order.is_gt(),
            Operator::GreaterOrEqual => order.is_ge(),
            _ => false,
        }
    }
}
