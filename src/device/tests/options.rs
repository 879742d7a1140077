//! Options of a sensor that do not fit its profile.

use super::*;

#[test]
fn options_that_do_not_fit_name_their_key() {
    let library = Library::shipped();
    let wrong = |id: &str, options: Options| library.profile(id).unwrap().with_options(&options).unwrap_err();
    let pattern = Some("(?<a".to_owned());
    assert_eq!(wrong("regex", Options::default()).key, "pattern");
    assert_eq!(wrong("regex", Options { pattern, ..Options::default() }).key, "pattern");
    let map = Some([("T".to_owned(), "temperature".to_owned())].into());
    let columns = Some(vec!["a".to_owned(), "a".to_owned()]);
    assert_eq!(wrong("csv", Options::default()).key, "columns");
    assert_eq!(wrong("csv", Options { columns: columns.clone(), ..Options::default() }).key, "columns");
    assert_eq!(wrong("json-lines", Options { columns, ..Options::default() }).key, "columns");
    assert_eq!(wrong("nova-sds011", Options { map, ..Options::default() }).key, "map");
    assert_eq!(
        wrong("nova-sds011", Options { interval_ms: Some(1), ..Options::default() }).key,
        "interval_ms"
    );
    assert_eq!(wrong("csv", Options { format: Some("9N1".into()), ..Options::default() }).key, "format");
    assert!(library.profile("nova-sds01").unwrap_err().to_string().contains("did you mean \"nova-sds011\"?"));
}
