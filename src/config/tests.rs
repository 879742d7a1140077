//! Each kind of mistake is found, where it stands, with what was probably meant; and what is right loads.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::adapter::serial::LineOptions;
use crate::bridge::{DayWindow, Durability, Target};
use crate::journal::WhenFull;
use crate::limits::{Limits, PACKET_BYTES_MAX};
use crate::mqtt::{ProtocolVersion, QoS};

fn read(text: &str) -> Result<Loaded, Problems> {
    parse(text, Path::new("/etc/tidegate/tidegate.toml"), &Overrides::default())
}

fn problems(text: &str) -> Vec<Problem> {
    match read(text) {
        Ok(loaded) => loaded.warnings.list().to_vec(),
        Err(problems) => problems.list().to_vec(),
    }
}

/// Asserts that there is one problem, of this severity and key, at this text, and that it says these words.
#[track_caller]
fn one(severity: Severity, key: &str, at: &str, words: &str, text: &str) {
    let found = problems(text);
    let [problem] = found.as_slice() else { panic!("not one problem: {found:#?}") };
    assert_eq!((problem.severity, problem.key.as_str()), (severity, key), "{problem:#?}");
    let said = format!("{} | {}", problem.message, problem.help.as_deref().unwrap_or_default());
    assert!(said.contains(words), "{said:?} does not say {words:?}");
    match &problem.place {
        Place::Span(span) => assert_eq!(&text[span.clone()], at),
        place => assert_eq!(at, "", "{place:?}"),
    }
}

#[track_caller]
fn error(key: &str, at: &str, words: &str, text: &str) {
    one(Severity::Error, key, at, words, text);
}

#[track_caller]
fn warning(key: &str, at: &str, words: &str, text: &str) {
    one(Severity::Warning, key, at, words, text);
}

const SENSOR: &str = "[sensor.air]\nserial = '/dev/null'\nprofile = 'nova-sds011'\n";
const UPLINK: &str = "[uplink.cloud]\nurl = 'mqtt://localhost'\n";

#[test]
fn an_empty_file_gives_the_defaults() {
    let config = read("").unwrap().config;
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:1883");
    assert!(config.listeners[0].allow_anonymous);
    assert_eq!(config.journal.commit_interval, Duration::from_secs(1));
    assert_eq!(config.journal.max_age, Duration::from_secs(30 * 86_400));
    assert_eq!((config.journal.max_bytes, config.journal.when_full), (None, WhenFull::DropOldest));
    assert!(config.sensors.is_empty() && config.uplinks.is_empty() && config.http.is_none());
}

#[test]
fn sensors_and_uplinks_keep_the_order_of_the_file() {
    let text = format!(
        "[sensor.z]\nserial = '/dev/zero'\nprofile = 'json-lines'\nbaud = 9600\nformat = '7E1'\n{SENSOR}"
    );
    let config = read(&text).unwrap().config;
    let names: Vec<&str> = config.sensors.iter().map(|sensor| sensor.name.as_str()).collect();
    assert_eq!(names, ["z", "air"]);
    assert_eq!(
        config.sensors[0].source,
        Source::Serial {
            port: PathBuf::from("/dev/zero").into(),
            line: LineOptions::default(),
            keys: [None, None]
        }
    );
    assert_eq!(
        (config.sensors[0].options.baud, config.sensors[0].options.format.as_deref()),
        (Some(9600), Some("7E1"))
    );
}

#[test]
fn an_uplink_is_read_whole() {
    let text = "[gateway]\nid = 'barn'\n[uplink.cloud]\nurl = 'mqtt://h:1884'\nversion = '3.1.1'\nusername = 'gw'\n\
        password = 'credential:cloud'\nforward = ['a/#', { filter = 'b/#', to = 'c/#', qos = 2 }]\nreceive = ['d/+']\n";
    let config = read(text).unwrap().config;
    let uplink = &config.uplinks[0];
    assert_eq!(uplink.server.urls[0].to_string(), "mqtt://h:1884");
    assert_eq!((uplink.version, &*uplink.client_id), (ProtocolVersion::V3_1_1, "barn"));
    assert_eq!(uplink.password, Some(Secret::Credential("cloud".into())));
    assert_eq!(uplink.forward[0].maximum_qos, QoS::AtLeastOnce);
    assert_eq!(
        (uplink.forward[1].maximum_qos, &uplink.forward[1].to),
        (QoS::ExactlyOnce, &Target::parse("c/#").unwrap())
    );
    assert_eq!(uplink.receive[0].filter.as_str(), "d/+");
}

#[test]
fn relative_paths_belong_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mine")).unwrap();
    let text = "[gateway]\ndata_dir = 'data'\nprofile_dirs = ['mine', '/usr']\n";
    let loaded = parse(text, &folder.path().join("x.toml"), &Overrides::default()).unwrap();
    assert_eq!(loaded.config.gateway.data_dir, folder.path().join("data"));
    assert_eq!(loaded.config.gateway.profile_dirs, [folder.path().join("mine"), "/usr".into()]);
}

#[test]
fn unknown_keys_and_wrong_values() {
    error("gatway", "gatway", "did you mean `gateway`?", "[gatway]\n");
    error(
        "broker.max_paket_bytes",
        "max_paket_bytes",
        "did you mean `max_packet_bytes`?",
        "[broker]\nmax_paket_bytes = 1\n",
    );
    error("gateway.colour", "colour", "the keys here are id, data_dir", "[gateway]\ncolour = 1\n");
    error("broker.receive_maximum", "0", "out of range: 1 to 65535", "[broker]\nreceive_maximum = 0\n");
    error("broker.max_sessions", "'9'", "without quotes", "[broker]\nmax_sessions = '9'\n");
    error("broker.max_packet_bytes", "'1XB'", "64KiB", "[broker]\nmax_packet_bytes = '1XB'\n");
    error("broker.allow_anonymous", "1", "expected true or false", "[broker]\nallow_anonymous = 1\n");
    error("journal.max_age", "30", "a duration in quotes", "[journal]\nmax_age = 30\n");
    error(
        "journal.when_full",
        "'drop_oldest'",
        "did you mean \"drop-oldest\"?",
        "[journal]\nwhen_full = 'drop_oldest'\n",
    );
    error("gateway.id", "'a/b'", "it stands in topics", "[gateway]\nid = 'a/b'\n");
    error(
        "sensor.a b",
        "\"a b\"",
        "is no name",
        "[sensor.\"a b\"]\nserial = '/dev/null'\nprofile = 'json-lines'\n",
    );
    error("listener.1.address", "'127.0.0.1'", "port is missing", "[[listener]]\naddress = '127.0.0.1'\n");
    error("listener", "[listener]", "[[listener]]", "[listener]\n");
    error("sensor.serial", "serial", "[sensor.serial]", "[sensor]\nserial = '/dev/null'\n");
    error("broker", "1", "[broker]", "broker = 1\n");
}

#[test]
fn what_is_not_toml_does_not_hide_other_problems() {
    let found = problems("[gateway]\nid = attic\n[broker]\nmax_sesions = 1\n[journal\n");
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].help.as_deref().unwrap().contains("quotes"));
    assert_eq!(found[1].key, "broker.max_sesions");
    assert!(found[2].message.contains("not TOML"));
    error("", "id", "keep one of the two", "[gateway]\nid = 'a'\nid = 'b'\n");
}

#[test]
fn a_secret_is_not_shown_even_where_it_is_wrong() {
    for text in ["password = hunter2\n", "password = ['hunter2']\n", "pasword = 'x'\npassword = 'hunter2'\n"]
    {
        let text = format!("{UPLINK}{text}");
        let problems = read(&text).map_or_else(|problems| problems, |loaded| loaded.warnings);
        let shown = format!("{}{}{problems:?}", problems.render(false), problems.to_json());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let config = read(&format!("{UPLINK}password = 'hunter2'\n")).unwrap().config;
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn listeners_let_strangers_in_only_when_they_say_so() {
    let everywhere = "[[listener]]\naddress = '0.0.0.0:1883'\n";
    error("listener.1.allow_anonymous", "'0.0.0.0:1883'", "not loopback", everywhere);
    let by_broker = format!("[broker]\nallow_anonymous = true\n{everywhere}");
    error("listener.1.allow_anonymous", "'0.0.0.0:1883'", "in this [[listener]]", &by_broker);
    let config = read(&format!("{everywhere}allow_anonymous = true\n")).unwrap().config;
    assert!(config.listeners[0].allow_anonymous);
    let closed = "[[listener]]\naddress = '127.0.0.1:1883'\nallow_anonymous = false\n";
    error("listener.1.allow_anonymous", "'127.0.0.1:1883'", "nobody could connect", closed);
    let twice = "[[listener]]\naddress = '127.0.0.1:1883'\n[[listener]]\naddress = \"127.0.0.1:1883\"\n";
    error("listener.2.address", "\"127.0.0.1:1883\"", "two listeners on one address", twice);
}

#[test]
fn what_a_listener_needs_beside_other_keys() {
    error(
        "listener.1.tls.key",
        "{ cert = 'a' }",
        "its private key",
        "[[listener]]\naddress = '127.0.0.1:1'\ntls = { cert = 'a' }\n",
    );
    error(
        "listener.1.tls.cert",
        "'a'",
        "cannot read",
        "[[listener]]\naddress = '127.0.0.1:1'\ntls = { cert = 'a', key = 'b' }\n",
    );
    error("listener.1.mode", "'600'", "a Unix socket", "[[listener]]\nmode = '600'\n");
    error("listener.1.allowed_origins", "['*']", "websocket", "[[listener]]\nallowed_origins = ['*']\n");
    error(
        "listener.1.allow_anonymous",
        "'127.0.0.1:1'",
        "is not loopback",
        "[[listener]]\naddress = '127.0.0.1:1'\nproxy_protocol = true\n",
    );
    let config = read("[[listener]]\naddress = 'unix:mqtt.sock'\nmode = '600'\n").unwrap().config;
    let address = config.listeners[0].address.to_string();
    assert!(address.starts_with("unix:") && address.ends_with("/mqtt.sock"), "{address}");
    assert!(config.listeners[0].allow_anonymous, "only this machine gets there");
}

#[test]
fn how_a_server_is_reached() {
    let text = "[uplink.c]\nurl = ['wss://a/x', 'mqtts://b:443']\nproxy = 'http://p'\nprovider = 'aws-iot'\n\
                tls = { server_name = 'n', ca = 'ca.pem' }\n";
    // The CA is not there, which is the only error.
    error("uplink.c.tls.ca", "'ca.pem'", "cannot read", &text.replace("provider = 'aws-iot'\n", ""));
    let without = text.replace(", ca = 'ca.pem'", "");
    let server = read(&without).unwrap().config.uplinks.remove(0).server;
    let urls: Vec<String> = server.urls.iter().map(ToString::to_string).collect();
    assert_eq!(urls, ["wss://a/x", "mqtts://b:443"]);
    assert_eq!(
        (server.tls.alpn, server.tls.server_name.as_deref()),
        (vec!["x-amzn-mqtt-ca".into()], Some("n"))
    );
    assert_eq!(server.proxy.map(|proxy| (proxy.host, proxy.port)), Some(("p".into(), 3128)));
    error("uplink.c.url", "[]", "empty", "[uplink.c]\nurl = []\n");
    error("uplink.c.url", "'http://b'", "no scheme", "[uplink.c]\nurl = ['mqtt://a', 'http://b']\n");
    let plain = "[uplink.c]\nurl = 'mqtt://h'\ntls = { alpn = ['mqtt'] }\n";
    error("uplink.c.tls", "{ alpn = ['mqtt'] }", "not encrypted", plain);
    let half = "[uplink.c]\nurl = 'mqtts://h'\ntls = { cert = 'c.pem' }\n";
    error("uplink.c.tls.key", "{ cert = 'c.pem' }", "belong together", half);
    let lost = "[uplink.c]\nurl = 'mqtts://h'\nproxy_username = 'u'\n";
    error("uplink.c.proxy_username", "'u'", "no `proxy`", lost);
}

/// What goes up before it is on disk goes up at QoS 1.
#[test]
fn what_goes_up_at_qos_2_is_on_disk_first() {
    let either = format!("{UPLINK}durability = 'either'\n");
    let uplink = read(&either).unwrap().config.uplinks.remove(0);
    assert_eq!(uplink.durability, Durability::Either);
    let twice = format!("{either}forward = [{{ filter = 'a/#', qos = 2 }}]\n");
    warning("uplink.cloud.durability", "'either'", "at QoS 2", &twice);
}

#[test]
fn bluetooth_families_exist_and_keys_can_be_some() {
    error("ble.auto.1", "'bthom'", "no family", "[ble]\nauto = ['bthom']\n");
    let sensor = |key: &str| format!("[sensor.k]\nble = 'A4:C1:38:12:34:56'\nkey = '{key}'\n");
    error("sensor.k.key", "'12'", "32 hexadecimal digits", &sensor("12"));
    let text = sensor("231d39c1d7cc1ab1aee224cd096db932") + "[ble]\nauto = ['bthome', 'ruuvi']\n";
    assert_eq!(read(&text).unwrap().config.ble.auto, ["bthome", "ruuvi"]);
}

/// A rule says one thing, somewhere, about somebody who can be.
#[test]
fn access_rules_that_say_nothing_or_too_much() {
    let rule = |text: &str| format!("[[acl]]\n{text}\n");
    error("acl.1.allow", "[[acl]]", "`allow` is missing", &rule("topic = '#'"));
    error("acl.1.topic", "[[acl]]", "`topic` is missing", &rule("allow = 'both'"));
    let both = rule("allow = 'both'\ndeny = 'publish'\ntopic = '#'");
    error("acl.1.deny", "'publish'", "either allows or denies", &both);
    let shared = rule("allow = 'both'\ntopic = '$share/g/a'");
    error("acl.1.topic", "'$share/g/a'", "shared subscription", &shared);
    let named = rule("user = 'a'\nanonymous = true\nallow = 'both'\ntopic = '#'");
    error("acl.1.anonymous", "true", "not anonymous", &named);
    let nobody = rule("user = 'a'\nallow = 'both'\ntopic = '#'");
    warning("acl.1.user", "'a'", "there is no password_file", &nobody);
    let nameless = rule("anonymous = true\nallow = 'both'\ntopic = 'u/%u'");
    warning("acl.1.topic", "'u/%u'", "about nobody", &nameless);
    let star = rule("client = '*'\nallow = 'both'\ntopic = '#'");
    warning("acl.1.client", "'*'", "a client like any other", &star);
    error("acl.1.allow", "'read'", "none of", &rule("allow = 'read'\ntopic = '#'"));
}

/// Nobody is let in by a file that cannot be read: the gateway does not start with it.
#[test]
fn a_password_file_that_cannot_be_used_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    let text = format!("[broker]\npassword_file = '{}'\n", path.display());
    let place = format!("'{}'", path.display());
    error("broker.password_file", &place, "tidegate passwd --file", &text);
    std::fs::write(&path, "anna:nonsense\n").unwrap();
    error("broker.password_file", &place, "line 1: no argon2id hash", &text);
    std::fs::write(&path, "# nobody yet\n").unwrap();
    warning("broker.password_file", &place, "there is no user", &text);
    let hash = crate::users::StoredHash::of_password(b"x").unwrap();
    std::fs::write(&path, format!("anna:{}\n", hash.as_str())).unwrap();
    let listeners = "[[listener]]\naddress = '127.0.0.1:1'\n\
                     [[listener]]\naddress = '0.0.0.0:2'\nmax_connections = 7\n";
    let text = format!("{text}{listeners}");
    let config = read(&text).unwrap().config;
    let [local, open] = config.listeners.as_slice() else { panic!("two listeners") };
    assert!(local.allow_anonymous && !open.allow_anonymous);
    assert_eq!((&local.password_file, &open.password_file), (&Some(path.clone()), &Some(path)));
    assert_eq!((local.limits.max_connections, open.limits.max_connections), (10_000, 7));
    let misspelt = format!("{text}[[acl]]\nuser = 'ana'\nallow = 'both'\ntopic = '#'\n");
    warning("acl.1.user", "'ana'", "there is no user", &misspelt);
    let many = "[broker]\nmax_connections = 5\n[[listener]]\naddress = '127.0.0.1:1'\nmax_connections = 6\n";
    warning("listener.1.max_connections", "6", "5 of all listeners together", many);
}

#[test]
fn sensors_that_contradict_themselves_or_each_other() {
    error("sensor.x", "x", "none of `serial`", "[sensor.x]\n");
    error("sensor.x.profile", "x", "`profile` is missing", "[sensor.x]\nserial = '/dev/null'\n");
    error(
        "sensor.air.profile",
        "'nova-sds01'",
        "did you mean \"nova-sds011\"?",
        "[sensor.air]\nserial = '/dev/null'\nprofile = 'nova-sds01'\n",
    );
    error("sensor.air.unit", "1", "belongs to modbus", &format!("{SENSOR}unit = 1\n"));
    error(
        "sensor.b.serial",
        "\"/dev/null\"",
        "the same port",
        &format!("{SENSOR}[sensor.b]\nserial = \"/dev/null\"\nprofile = 'json-lines'\n"),
    );
    let speeds = format!(
        "{SENSOR}baud = 9600\n[sensor.b]\nserial = \"/dev/null\"\nprofile = 'json-lines'\nbaud = 4800\n"
    );
    error("sensor.b.serial", "\"/dev/null\"", "different speeds", &speeds);
    warning(
        "sensor.x.serial",
        "'/dev/ttyUSB7'",
        "by-id",
        "[sensor.x]\nserial = '/dev/ttyUSB7'\nprofile = 'json-lines'\n",
    );
    warning(
        "sensor.x.serial",
        "'/dev/no-such-port'",
        "not there now",
        "[sensor.x]\nserial = '/dev/no-such-port'\nprofile = 'json-lines'\n",
    );
    let both = problems(&format!("{SENSOR}ble = 'A4:C1:38:12:34:56'\n"));
    assert!(
        both.iter().any(|problem| problem.message.contains("contradict") && problem.also.len() == 1),
        "{both:#?}"
    );
}

#[test]
fn profiles_and_their_options() {
    let csv = "[sensor.x]\nserial = '/dev/null'\nprofile = 'csv'\n";
    error("sensor.x.columns", "x", "the columns have no names", csv);
    assert_eq!(problems(&format!("{csv}columns = ['temperature', '']\nseparator = ';'\n")), []);
    error("sensor.air.map", "{ T = 't' }", "no keys to map", &format!("{SENSOR}map = {{ T = 't' }}\n"));
    error("sensor.air.interval_ms", "500", "it is not asked", &format!("{SENSOR}interval_ms = 500\n"));

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.toml"), "[device]\nmodle = 'x'\n").unwrap();
    let text = format!(
        "[gateway]\nprofile_dirs = ['{}']\n[sensor.x]\nserial = '/dev/null'\nprofile = 'mine'\n",
        folder.path().display()
    );
    let found = problems(&text);
    assert!(found.iter().all(|problem| problem.key == "sensor.x.profile"), "{found:#?}");
    assert!(found[0].message.contains("mine.toml:2:1"), "{found:#?}");
    error(
        "gateway.profile_dirs",
        "['no-such-folder']",
        "no-such-folder",
        "[gateway]\nprofile_dirs = ['no-such-folder']\n",
    );
}

#[test]
fn modbus_lines_are_shared_by_those_who_agree() {
    let line = |second: &str| {
        let text = format!(
            "[sensor.a]\nmodbus = '/dev/null'\nunit = 1\nbaud = 9600\nprofile = 'xy-md02'\n[sensor.b]\nmodbus = '/dev/null'\nprofile = 'xy-md02'\n{second}"
        );
        let errors = problems(&text).into_iter().filter(|problem| problem.severity == Severity::Error);
        errors.map(|problem| problem.message).collect::<Vec<_>>()
    };
    assert_eq!(line("unit = 2\nbaud = 9600\n"), [""; 0]);
    assert!(line("unit = 1\n")[0].contains("both unit 1"));
    assert!(line("unit = 2\nbaud = 19200\n")[0].contains("`baud` differs"));
    assert_eq!(
        line(""),
        [""; 0],
        "the maker's number is 1, and so is that of the other: both are as delivered"
    );
    let wrong = "[sensor.a]\nmodbus = '/dev/null'\nunit = 1\nprofile = 'nova-sds011'\n";
    assert!(problems(wrong)[0].message.contains("speaks no Modbus"));
}

#[test]
fn uplinks_that_cannot_work() {
    error("uplink.c.url", "c", "`url` is missing", "[uplink.c]\n");
    error("uplink.c.url", "'broker'", "mqtt://broker", "[uplink.c]\nurl = 'broker'\n");
    error("uplink.cloud.receive", "'#'", "come back down", &format!("{UPLINK}receive = ['#']\n"));
    error(
        "uplink.cloud.forward.1.filter",
        "{ qos = 1 }",
        "`filter` is missing",
        &format!("{UPLINK}forward = [{{ qos = 1 }}]\n"),
    );
    error(
        "uplink.cloud.password",
        "'file:no-such'",
        "cannot read the secret",
        &format!("{UPLINK}password = 'file:no-such'\n"),
    );
    error(
        "uplink.two.client_id",
        "two",
        "throw each other out",
        &format!("{UPLINK}[uplink.two]\nurl = 'mqtt://localhost'\n"),
    );
    let commands = "forward = ['tidegate/#']\nreceive = ['tidegate/greenhouse/+/set']\n";
    assert_eq!(problems(&format!("{UPLINK}{commands}")), []);
    error(
        "uplink.cloud.receive",
        "'tidegate/greenhouse/+/set'",
        "for ever",
        &format!("{UPLINK}version = '3.1.1'\n{commands}"),
    );
}

fn overridden(text: &str, environment: &[(&str, &str)], settings: &[&str]) -> Result<Loaded, Problems> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let settings = settings.iter().map(|setting| (*setting).to_owned());
    let overrides = Overrides { environment: environment.collect(), settings: settings.collect() };
    parse(text, Path::new("/etc/tidegate/tidegate.toml"), &overrides)
}

#[test]
fn the_environment_overrides_the_file_and_settings_override_both() {
    let environment = [
        ("TIDEGATE_GATEWAY_ID", "attic"),
        ("TIDEGATE_BROKER_MAX_PACKET_BYTES", "64KiB"),
        ("TIDEGATE_UPLINK_CLOUD_PASSWORD", "env:HOME"),
        ("TIDEGATE_UPLINK_CLOUD_FORWARD", "a/#, b/#"),
        ("TIDEGATE_LISTENER_1_ADDRESS", "127.0.0.1:0"),
        ("TIDEGATE_LOG", "debug"),
        ("PATH", "/bin"),
    ];
    let text = format!("[gateway]\nid = 'cellar'\n{UPLINK}password = 'p'\n");
    let Loaded { config, warnings, .. } =
        overridden(&text, &environment, &["gateway.id=roof", "broker.receive_maximum=7"]).unwrap();
    assert!(warnings.is_empty(), "{warnings:#?}");
    assert_eq!(config.gateway.id, "roof");
    assert_eq!((config.limits.max_packet_bytes, config.limits.receive_maximum), (65_536, 7));
    assert_eq!(config.uplinks[0].password, Some(Secret::Environment("HOME".into())));
    assert_eq!(config.uplinks[0].forward.len(), 2);
    assert_eq!(config.listeners[0].address.to_string(), "127.0.0.1:0");
}

#[test]
fn a_wrong_override_is_named() {
    let problems = overridden("", &[("TIDEGATE_BROKER_MAX_SESSIONS", "many")], &[]).unwrap_err();
    let json = problems.to_json();
    assert!(json[0]["line"].is_null());
    assert!(
        json[0]["message"]
            .as_str()
            .unwrap()
            .starts_with("TIDEGATE_BROKER_MAX_SESSIONS: expected a whole number")
    );
    let warnings = overridden("", &[("TIDEGATE_GATEWAY_IDD", "x")], &[]).unwrap().warnings;
    assert!(warnings.render(false).contains("did you mean TIDEGATE_GATEWAY_ID?"));
    let problems = overridden("", &[], &["gateway.idd=x"]).unwrap_err();
    assert!(problems.render(false).contains("did you mean `gateway.id`?"));
}

#[test]
fn a_report_shows_the_line_and_the_caret() {
    let text = "[broker]\n# bounds\nmax_paket_bytes = 1\n";
    let shown = read(text).unwrap_err().render(false);
    for part in [
        "error: unknown key `max_paket_bytes`",
        "/etc/tidegate/tidegate.toml:3:1",
        "3 | max_paket_bytes = 1\n  | ^^^^^^^^^^^^^^^\n",
        "help: did you mean `max_packet_bytes`?",
    ] {
        assert!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
}

#[test]
fn the_schema_agrees_with_the_limits_of_the_program() {
    let file = format!("[broker]\nmax_packet_bytes = {}\n", PACKET_BYTES_MAX + 1);
    error("broker.max_packet_bytes", &(PACKET_BYTES_MAX + 1).to_string(), "out of range", &file);
    assert_eq!(problems(&format!("[broker]\nmax_packet_bytes = {PACKET_BYTES_MAX}\n")), []);
}

/// The defaults that the schema states as code, between backticks.
fn stated_defaults(table: &schema::Table) -> impl Iterator<Item = (&'static str, &'static str)> {
    let code = |default: &'static str| {
        default.strip_prefix('`')?.strip_suffix('`').filter(|code| !code.contains('`'))
    };
    table.keys.iter().filter_map(move |key| Some((key.name, code(key.default)?)))
}

#[test]
fn the_defaults_that_the_schema_states_are_those_of_the_program() {
    for (base, path) in [
        ("[gateway]\n", "gateway"),
        ("[broker]\n", "broker"),
        ("[journal]\n", "journal"),
        (SENSOR, "sensor"),
        (UPLINK, "uplink"),
    ] {
        let key = schema::ROOT.key(path).unwrap();
        let (kind::Kind::Table(table) | kind::Kind::Named(table)) = &key.kind else { unreachable!("{path}") };
        let without = read(base).unwrap().config;
        for (name, default) in stated_defaults(table) {
            let with = read(&format!("{base}{name} = {default}\n")).unwrap().config;
            assert_eq!(with, without, "{path}.{name} = {default}");
        }
    }
}

#[test]
fn links_that_cost_and_what_readings_look_like() {
    let text = "[uplink.c]\nurl = 'mqtt://h'\ndaily_budget = '20MiB'\nwindows = ['22:00-06:00']\npayload = 'senml'\n";
    let uplink = read(text).unwrap().config.uplinks.remove(0);
    assert_eq!((uplink.daily_budget, uplink.payload), (Some(20 << 20), Payload::SenMl));
    assert_eq!(uplink.windows, [DayWindow { from: 22 * 60, to: 6 * 60 }]);
    let wrong = "[uplink.c]\nurl = 'mqtt://h'\nwindows = ['22-6']\n";
    error("uplink.c.windows", "'22-6'", "it is written", wrong);
    let board = "[uplink.c]\nurl = 'mqtt://h'\nprovider = 'thingsboard'\n\
                 forward = [{ filter = 'tidegate/+/+/state', to = 'v1/gateway/telemetry' }]\n";
    assert_eq!(read(board).unwrap().config.uplinks[0].payload, Payload::ThingsBoard);
}

#[test]
fn more_than_a_known_cloud_takes_is_warned_of() {
    let text = |more: &str| {
        format!("[uplink.c]\nurl = 'mqtts://h'\nprovider = 'aws-iot'\nforward = ['a/#']\n{more}\n")
    };
    warning("uplink.c.rate", "'200/s'", "takes 100 messages a second", &text("rate = '200/s'"));
    warning("uplink.c.window", "500", "takes 100 messages that are not acknowledged", &text("window = 500"));
    assert!(read(&text("rate = '100/s'\nwindow = 100")).unwrap().warnings.list().is_empty());
}
