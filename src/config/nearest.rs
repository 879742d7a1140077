//! What was probably meant: the known word nearest to a misspelt one.

/// The nearest of `words`, when it is near enough to be a misspelling.
pub(super) fn nearest<'w>(wrong: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let wrong = wrong.to_lowercase();
    let allowed = (wrong.chars().count() / 3).max(1);
    words
        .into_iter()
        .map(|word| (distance(&wrong, &word.to_lowercase()), word))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, word)| *distance <= allowed || is_part(&wrong, word))
        .map(|(_, word)| word)
}

/// `queued_messages` for `max_queued_messages`, `packet` for `packets`.
fn is_part(wrong: &str, word: &str) -> bool {
    wrong.len() >= 4 && (word.contains(wrong) || (word.len() >= 4 && wrong.contains(word)))
}

/// How many characters must be inserted, removed, replaced or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut left_before = None;
    for (row, here) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, there) in right.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let replaced = cell(&last, column) + usize::from(here != *there);
            let mut best = replaced.min(cell(&last, column + 1) + 1).min(cell(&current, column) + 1);
            let swapped = column > 0 && left_before == Some(*there) && right.get(column - 1) == Some(&here);
            if swapped {
                best = best.min(cell(&before_last, column - 1) + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
        left_before = Some(here);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, expected) in [
            ("", "", 0),
            ("abc", "", 3),
            ("baud", "buad", 1),
            ("seral", "serial", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn a_misspelling_is_found_and_a_stranger_is_not() {
        let words = ["max_packet_bytes", "max_queued_messages", "baud"];
        assert_eq!(nearest("max_paket_byte", words), Some("max_packet_bytes"));
        assert_eq!(nearest("queued_messages", words), Some("max_queued_messages"));
        assert_eq!(nearest("Baud", words), Some("baud"));
        assert_eq!(nearest("colour", words), None);
    }
}
