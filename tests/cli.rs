//! The commands as a user runs them: exit codes, what is printed where.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.args(arguments).env_remove("RUNTIME_DIRECTORY");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEGATE_")) {
        command.env_remove(name);
    }
    command
}

fn tidegate(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

/// A gateway that runs until it is dropped.
struct Running {
    child: Child,
    port: String,
}

impl Running {
    /// Starts one, and waits until it is ready.
    fn start(configuration: &str) -> Running {
        let mut child = command(&["run", "--config", configuration]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.find(|line| line.contains("listening on ")).expect("it does not listen");
        let port = listening.rsplit(':').next().unwrap().to_owned();
        lines.find(|line| line.contains("is ready")).expect("it does not become ready");
        // Whatever else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Running { child, port }
    }

    fn terminate(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, as it should.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A folder with this configuration, and its path.
fn configuration(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn bad_usage_ends_with_2_and_names_what_was_meant() {
    let output = tidegate(&["chekc"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("check"), "{}", stderr(&output));
    assert_eq!(tidegate(&["check", "--colour"]).status.code(), Some(2));
    assert_eq!(tidegate(&[]).status.code(), Some(2));
}

#[test]
fn help_and_version_end_with_0() {
    let output = tidegate(&["--version"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output).trim(), concat!("tidegate ", env!("CARGO_PKG_VERSION")));
    for command in ["run", "check", "demo", "scan", "decode", "status", "pub", "sub", "journal", "passwd"] {
        let output = tidegate(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0), "{command}");
        assert!(stdout(&output).contains(&format!("  tidegate {command}")), "{command} shows no example");
    }
}

#[test]
fn check_ends_with_0_for_the_shipped_configuration() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/tidegate.toml");
    let output = tidegate(&["check", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).trim().ends_with("good"));
}

#[test]
fn check_names_every_problem_with_line_column_and_what_was_meant() {
    let (_folder, path) = configuration(
        "[gateway]\nid = \"greenhouse\"\n\n[broker]\nmax_paket_bytes = 1\nreceive_maximum = 0\n",
    );
    let output = tidegate(&["check", "--config", &path]);
    assert_eq!(output.status.code(), Some(2));
    for words in ["tidegate.toml:5:1", "did you mean `max_packet_bytes`?", "tidegate.toml:6:19", "2 errors"] {
        assert!(stdout(&output).contains(words), "{words:?} is not in\n{}", stdout(&output));
    }

    let output = tidegate(&["check", "--json", "--config", &path]);
    assert_eq!(output.status.code(), Some(2));
    let problems: Value = serde_json::from_slice(&output.stdout).unwrap();
    let first = &problems[0];
    assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(5), Some(1)));
    assert_eq!((&first["severity"], &first["key"]), (&"error".into(), &"broker.max_paket_bytes".into()));
    assert_eq!(first["help"], "did you mean `max_packet_bytes`?");
    assert_eq!(problems.as_array().unwrap().len(), 2);
}

#[test]
fn check_of_a_good_file_gives_an_empty_array() {
    let (_folder, path) = configuration("");
    let output = tidegate(&["check", "--json", "--config", &path]);
    assert_eq!((output.status.code(), stdout(&output).trim()), (Some(0), "[]"));
}

#[test]
fn a_file_that_is_not_there_is_a_problem_like_others() {
    let output = tidegate(&["check", "--config", "/no/such/file.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("/no/such/file.toml"));
}

#[test]
fn run_does_not_start_with_less_protection_than_was_asked_for() {
    let (_folder, path) =
        configuration("[[listener]]\naddress = \"127.0.0.1:0\"\ntls = { cert = \"a\", key = \"b\" }\n");
    let output = tidegate(&["run", "--config", &path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot read"), "{}", stderr(&output));
}

#[test]
fn check_online_tells_a_port_and_a_server_that_are_not_there() {
    let (_folder, path) = configuration(
        "[gateway]\ndata_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [sensor.x]\nserial = \"no-such-port\"\nprofile = \"json-lines\"\n\
         [uplink.u]\nurl = \"mqtt://127.0.0.1:1\"\n",
    );
    assert_eq!(tidegate(&["check", "--config", &path]).status.code(), Some(0));
    let output = tidegate(&["check", "--online", "--json", "--config", &path]);
    assert_eq!(output.status.code(), Some(2));
    let problems: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys: Vec<&str> =
        problems.as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["sensor.x.serial", "uplink.u.url"], "{problems:#}");
    assert!(problems[1]["message"].as_str().unwrap().contains("cannot be reached"));
}

#[test]
fn check_online_tries_ports_of_the_network_and_adapters_and_sends_nothing_to_their_lines() {
    let converter = TcpListener::bind("127.0.0.1:0").unwrap();
    let telnet = TcpListener::bind("127.0.0.1:0").unwrap();
    let (raw, polite) = (converter.local_addr().unwrap(), telnet.local_addr().unwrap());
    // Whoever agrees to RFC 2217, and then somebody who only passes bytes on and says something else.
    let other_end = std::thread::spawn(move || {
        let answer = |answer: &[u8]| {
            let (mut stream, _) = telnet.accept().unwrap();
            let mut offered = [0; 3];
            stream.read_exact(&mut offered).unwrap();
            stream.write_all(answer).unwrap();
            let mut more = Vec::new();
            let _ = stream.read_to_end(&mut more);
            assert_eq!((offered, more.len()), ([255, 251, 44], 0));
        };
        answer(&[255, 253, 44]);
        answer(b"hello");
    });
    let (_folder, path) = configuration(&format!(
        "[gateway]\ndata_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [sensor.raw]\nserial = \"tcp://{raw}\"\nprofile = \"json-lines\"\n\
         [sensor.good]\nserial = \"rfc2217://{polite}\"\nprofile = \"json-lines\"\n\
         [sensor.bad]\nserial = \"rfc2217://localhost:{}\"\nprofile = \"json-lines\"\n\
         [sensor.gone]\nmodbus = \"rtu+tcp://127.0.0.1:1\"\nprofile = \"xy-md02\"\n\
         [sensor.usb]\nserial = \"usb:dead:beef\"\nprofile = \"json-lines\"\n",
        polite.port()
    ));
    let output = tidegate(&["check", "--online", "--json", "--config", &path]);
    let problems: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = |key: &str, words: &str| {
        let problem = problems.as_array().unwrap().iter().find(|one| one["key"] == key);
        assert!(problem.is_some_and(|one| one["message"].as_str().unwrap().contains(words)), "{problems:#}");
    };
    told("sensor.bad.serial", "does not answer as RFC 2217 has it");
    told("sensor.gone.modbus", "nothing listens there");
    told("sensor.usb.serial", "is not plugged in; `tidegate scan`");
    assert_eq!(problems.as_array().unwrap().len(), 3, "{problems:#}");
    other_end.join().unwrap();
}

#[test]
fn a_message_that_nobody_takes_is_told_with_1() {
    let output = tidegate(&["pub", "a/b", "-m", "hello", "--url", "mqtt://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("127.0.0.1:1"), "{}", stderr(&output));
    let output = tidegate(&["pub", "a/#", "-m", "hello"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("wildcards"), "{}", stderr(&output));
}

#[test]
fn status_tells_healthy_degraded_and_not_running_apart() {
    let base = "[gateway]\ndata_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n";
    let (_folder, path) = configuration(base);
    let status = |path: &str| tidegate(&["status", "--json", "--config", path]);
    assert_eq!(status(&path).status.code(), Some(3));
    let running = Running::start(&path);
    let output = status(&path);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let snapshot: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&snapshot["health"], &snapshot["journal"]["health"]),
        (&"healthy".into(), &"accepting".into())
    );
    let screen = tidegate(&["status", "--config", &path]);
    assert!(stdout(&screen).contains("healthy, up "), "{}", stdout(&screen));
    assert_eq!(running.terminate(), Some(0));
    assert_eq!(status(&path).status.code(), Some(3));

    let (_folder, path) = configuration(&format!("{base}[uplink.u]\nurl = \"mqtt://127.0.0.1:1\"\n"));
    let running = Running::start(&path);
    let output = status(&path);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("\"connected\":false"), "{}", stdout(&output));
    assert_eq!(running.terminate(), Some(0));
}

#[test]
fn what_pub_publishes_sub_prints_in_both_versions() {
    let (_folder, path) =
        configuration("[gateway]\ndata_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n");
    let running = Running::start(&path);
    for (version, qos) in [("5", "1"), ("3.1.1", "2"), ("5", "0")] {
        let topic = format!("test/{qos}");
        let at = ["--port", &running.port, "--mqtt-version", version, "--qos", qos];
        let published = tidegate(&[&["pub", &topic, "-m", "grüße", "--retain"], &at[..]].concat());
        assert_eq!(published.status.code(), Some(0), "{}", stderr(&published));
        let arguments = ["sub", &topic, "--count", "1", "--timeout", "20", "--format", "json"];
        let output = tidegate(&[&arguments[..], &at[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let message: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&message["topic"], &message["payload"]), (&topic.as_str().into(), &"grüße".into()));
        assert_eq!(message["retain"], true);
    }
    let nothing = ["sub", "test/none", "--count", "1", "--timeout", "0", "--port", &running.port];
    assert_eq!(tidegate(&nothing).status.code(), Some(1), "a message that does not come is told");
    assert_eq!(running.terminate(), Some(0));
}

/// Every file of a folder, with its content.
fn content(folder: &Path) -> std::collections::BTreeMap<std::ffi::OsString, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn a_journal_is_looked_into_damage_is_found_and_nothing_is_changed() {
    let (folder, path) = configuration(
        "[gateway]\ndata_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [uplink.cloud]\nurl = \"mqtt://127.0.0.1:1\"\n",
    );
    let data = folder.path().join("data");
    let journal = |command: &str| tidegate(&["journal", command, data.to_str().unwrap()]);
    let running = Running::start(&path);
    for number in 1..=3 {
        let message = format!("message-{number}");
        let output = tidegate(&["pub", "tidegate/test", "-m", &message, "--port", &running.port]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
    let output = journal("verify");
    assert_eq!(output.status.code(), Some(2), "it is in use");
    assert!(stderr(&output).contains("in use"), "{}", stderr(&output));
    kill_process(Pid::from_child(&running.child), Signal::KILL).unwrap();
    drop(running);

    let files = content(&data.join("journal"));
    let output = journal("verify");
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&journal("inspect")).contains("uplink cloud: 3 messages wait"));
    let exported = stdout(&journal("export"));
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let payloads: Vec<&str> = lines.iter().map(|line| line["payload"].as_str().unwrap()).collect();
    assert_eq!(payloads, ["message-1", "message-2", "message-3"]);
    assert_eq!((&lines[0]["for"], &lines[0]["topic"]), (&"uplink cloud".into(), &"tidegate/test".into()));
    assert_eq!(content(&data.join("journal")), files, "looking changes nothing");

    let second = b"message-2";
    let (name, mut bytes) = files
        .into_iter()
        .find(|(_, bytes)| bytes.windows(second.len()).any(|window| window == second))
        .unwrap();
    let at = bytes.windows(second.len()).position(|window| window == second).unwrap();
    bytes[at] ^= 0xFF;
    fs::write(data.join("journal").join(name), bytes).unwrap();
    let files = content(&data.join("journal"));
    let output = journal("verify");
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("damaged; messages lost: 1"), "{}", stdout(&output));
    let output = journal("export");
    assert_eq!((output.status.code(), stdout(&output).lines().count()), (Some(1), 2));
    assert_eq!(content(&data.join("journal")), files, "looking changes nothing");
}

#[test]
fn a_journal_that_is_not_there_is_told_with_2() {
    assert_eq!(tidegate(&["journal", "verify", "/no/such/folder"]).status.code(), Some(2));
}

/// Runs `tidegate passwd` with something on stdin; its exit code and what it says.
fn passwd(folder: &Path, arguments: &[&str], typed: &str) -> (Option<i32>, String, String) {
    let mut child = command(&["passwd"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), typed.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Users are made, changed, listed and removed; the file is its owner's alone and holds no password.
#[test]
fn passwd_makes_changes_lists_and_removes_users() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    let read = || fs::read_to_string(&path).unwrap();
    assert_eq!(passwd(folder.path(), &["--list"], "").0, Some(1), "there is no file yet");
    assert_eq!(passwd(folder.path(), &["anna"], "first secret\nsecond line").0, Some(0));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(read().starts_with("anna:$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(!read().contains("secret") && read().lines().count() == 1);
    fs::write(&path, format!("# people\n{}", read())).unwrap();
    assert_eq!(passwd(folder.path(), &["-f", "users", "bert"], "other\r\n").0, Some(0));
    let before = read();
    let (code, _, said) = passwd(folder.path(), &["anna"], "new secret");
    assert!(code == Some(0) && said.contains("new password") && !said.contains("secret"), "{said}");
    assert!(read() != before && read().starts_with("# people\nanna:"));
    assert_eq!(passwd(folder.path(), &["--list"], "").1, "anna\nbert\n");
    assert_eq!(passwd(folder.path(), &["--delete", "anna"], "").0, Some(0));
    assert_eq!(passwd(folder.path(), &["--delete", "anna"], "").0, Some(1));
    assert!(read().starts_with("# people\nbert:"));
}

/// What cannot be a name or a password is said, and changes nothing.
#[test]
fn passwd_refuses_what_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    for (user, typed) in [
        ("a/b", "x"),
        ("a:b", "x"),
        ("#a", "x"),
        ("", "x"),
        ("+", "x"),
        ("$SYS", "x"),
        ("anna", ""),
        ("anna", "\nx"),
    ] {
        let (code, _, said) = passwd(folder.path(), &[user], typed);
        assert!(code == Some(2) && !said.is_empty(), "{user:?} {typed:?}: {said}");
    }
    assert_eq!(passwd(folder.path(), &[], "x").0, Some(2));
    assert_eq!(passwd(folder.path(), &["--file", "no/such/folder/users", "anna"], "x").0, Some(1));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// At a terminal the password is asked for twice, and nothing of it is shown.
#[test]
fn passwd_asks_at_a_terminal_and_shows_nothing() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::io::{Read, Write};
    use std::os::unix::fs::OpenOptionsExt;

    let folder = tempfile::tempdir().unwrap();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    // Not our own controlling terminal.
    let noctty = i32::try_from(OpenptFlags::NOCTTY.bits()).unwrap();
    let slave = || fs::OpenOptions::new().read(true).write(true).custom_flags(noctty).open(&name).unwrap();
    // `setsid` makes it the terminal of the command, which asks there and nowhere else.
    let mut child = Command::new("setsid")
        .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_tidegate"), "passwd", "anna"])
        .current_dir(folder.path())
        .stdin(slave())
        .stdout(slave())
        .stderr(slave())
        .spawn()
        .unwrap();
    let mut screen = fs::File::from(terminal);
    let mut shown = String::new();
    let mut wait_for = |screen: &mut fs::File, words: &str| {
        let mut bytes = [0; 256];
        while !shown.contains(words) {
            let count = screen.read(&mut bytes).unwrap();
            shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        shown.clone()
    };
    wait_for(&mut screen, "New password for anna: ");
    screen.write_all(b"a secret\n").unwrap();
    wait_for(&mut screen, "Once more: ");
    screen.write_all(b"a secret\n").unwrap();
    let shown = wait_for(&mut screen, "user anna is added");
    assert!(!shown.contains("secret"), "{shown}");
    assert!(child.wait().unwrap().success());
    assert_eq!(passwd(folder.path(), &["--list"], "").1, "anna\n");
}

#[test]
fn add_writes_a_sensor_and_keeps_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.toml");
    let before = "# my house\n[gateway]\nid = \"home\"   # its name\n";
    fs::write(&file, before).unwrap();
    let path = file.to_str().unwrap();
    let add = |arguments: &[&str]| tidegate(&[&["add"], arguments, &["--config", path]].concat());
    let added = add(&["ble:a4:c1:38:12:34:56", "--name", "kitchen", "--key", "file:kitchen.key"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let after = fs::read_to_string(&file).unwrap();
    let section = "[sensor.kitchen]\nble = \"A4:C1:38:12:34:56\"\nkey = \"file:kitchen.key\"\n";
    assert_eq!(after, format!("{before}\n{section}"));
    // The same address, the same name, no address, a secret for everybody to see, no such profile: nothing changes.
    for (arguments, code) in [
        (vec!["ble:A4:C1:38:12:34:56", "--name", "other"], 2),
        (vec!["ble:A4:C1:38:12:34:57", "--name", "kitchen"], 2),
        (vec!["ble:A4", "--name", "other"], 1),
        (vec!["ble:A4:C1:38:12:34:57", "--name", "other", "--key", "231d39c1d7cc1ab1aee224cd096db932"], 1),
        (vec!["ble:A4:C1:38:12:34:57", "--name", "other", "--profile", "airthing-wave"], 2),
    ] {
        let refused = add(&arguments);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), after, "{arguments:?}");
    }
    let added = add(&["ble:98:07:2D:12:34:56", "--name", "radon", "--profile", "airthings-wave"]);
    assert!(added.status.success() && tidegate(&["check", "--config", path]).status.success());
}
