//! Topic names and filters (section 4.7 of both standards, 4.8.2 of 5.0).

use proptest::prelude::*;
use tidegate::mqtt::{TopicError, TopicFilter, TopicName};

proptest! {
    #[test]
    fn names_are_refused_for_a_null_or_a_wildcard_wherever_it_stands(text in "[a\\x00+#\"*,$ -\u{ff}]{1,40}|[^\\x00+#]{1,40}") {
        let expected = if text.contains('\0') {
            Some(TopicError::Null)
        } else if text.contains(['+', '#']) {
            Some(TopicError::WildcardInName)
        } else {
            None
        };
        prop_assert_eq!(TopicName::parse(text).err(), expected);
    }
}

fn matches(filter: &'static str, name: &'static str) -> bool {
    TopicFilter::parse(filter).unwrap().matches(&TopicName::parse(name).unwrap())
}

#[test]
fn names_and_filters_have_the_form_of_section_4_7() {
    let long: String = "x".repeat(65_536);
    let neither = [
        ("", TopicError::Empty),      // [MQTT-4.7.3-1]
        ("a\0b", TopicError::Null),   // [MQTT-4.7.3-2]
        (&long, TopicError::TooLong), // [MQTT-4.7.3-3]
    ];
    for (text, error) in neither {
        assert_eq!(TopicName::parse(text), Err(error));
        assert_eq!(TopicFilter::parse(text), Err(error));
    }
    let both = ["/", "a", "//", "a b", "/finance", "sport/tennis", "$SYS/x", "ä/漢", &long[1..]];
    for text in both {
        assert_eq!(TopicName::parse(text).unwrap().as_str(), text);
        assert_eq!(TopicFilter::parse(text).unwrap().as_str(), text);
    }
    // [MQTT-4.7.0-1] [MQTT-3.3.2-2]
    for filter in ["#", "+", "+/+", "sport/#", "sport/+/player", "/+", "+/#", "$SYS/#"] {
        assert_eq!(TopicName::parse(filter), Err(TopicError::WildcardInName));
        assert!(TopicFilter::parse(filter).is_ok(), "{filter}");
    }
    let misplaced = [
        ("sport/tennis#", TopicError::MultiLevelMisplaced), // [MQTT-4.7.1-1]
        ("sport/#/ranking", TopicError::MultiLevelMisplaced),
        ("##", TopicError::MultiLevelMisplaced),
        ("sport+", TopicError::SingleLevelMisplaced), // [MQTT-4.7.1-2]
        ("a/+b/c", TopicError::SingleLevelMisplaced),
        ("++", TopicError::SingleLevelMisplaced),
    ];
    for (filter, error) in misplaced {
        assert_eq!(TopicFilter::parse(filter), Err(error), "{filter}");
    }
}

#[test]
fn shared_subscriptions_have_the_form_of_section_4_8_2() {
    // [MQTT-4.8.2-1] [MQTT-4.8.2-2]
    for bad in ["$share", "$share/", "$share/g", "$share/g/", "$share//t", "$share/g+/t", "$share/#/t"] {
        assert_eq!(TopicFilter::parse(bad), Err(TopicError::Share), "{bad}");
    }
    assert_eq!(TopicFilter::parse("$share/g/a+"), Err(TopicError::SingleLevelMisplaced));
    let shared = TopicFilter::parse("$share/group//+/#").unwrap();
    assert_eq!(shared.share_name(), Some("group"));
    assert_eq!(shared.matched(), "/+/#");
    assert!(shared.matches(&TopicName::parse("/a/b").unwrap()));
    assert_eq!(TopicFilter::parse("$shared/t").unwrap().share_name(), None);
}

#[test]
fn filters_match_as_the_examples_of_section_4_7_say() {
    let yes = [
        ("sport/tennis/player1/#", "sport/tennis/player1"),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking"),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"),
        ("sport/#", "sport"),
        ("#", "sport"),
        ("#", "/finance"),
        ("sport/tennis/+", "sport/tennis/player1"),
        ("sport/+", "sport/"),
        ("+/+", "/finance"),
        ("/+", "/finance"),
        ("+/tennis/#", "sport/tennis/x/y"),
        ("$SYS/#", "$SYS/broker"),
        ("$SYS/monitor/+", "$SYS/monitor/Clients"),
    ];
    for (filter, name) in yes {
        assert!(matches(filter, name), "{filter} {name}");
    }
    let no = [
        ("sport/tennis/+", "sport/tennis/player1/ranking"),
        ("sport/+", "sport"),
        ("+", "/finance"),
        ("Accounts", "accounts"), // [MQTT-4.7.3-4]: nothing is normalised
        ("a", "/a"),
        ("a", "a/"),
        ("#", "$SYS/broker"), // [MQTT-4.7.2-1]
        ("+/monitor/Clients", "$SYS/monitor/Clients"),
        ("sport/tennis/#", "sport/tenni"),
    ];
    for (filter, name) in no {
        assert!(!matches(filter, name), "{filter} {name}");
    }
}
