//! The file keeps what it does not understand, passwords are told apart, floods stay within their share.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use bytes::Bytes;

use super::*;
use crate::limits::{LOGINS_WAITING, LOGINS_WAITING_PER_ADDRESS, REMEMBERED_LOGINS, REMEMBERED_LOGINS_FOR};

/// A hash that costs next to nothing.
pub(crate) fn cheap(password: &str) -> StoredHash {
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    StoredHash::parse(&argon2.hash_password(password.as_bytes()).unwrap().to_string()).unwrap()
}

fn name(text: &str) -> UserName {
    UserName::parse(text).unwrap()
}

fn users(all: &[(&str, &str)]) -> Users {
    all.iter().map(|(user, password)| (name(user), cheap(password))).collect()
}

fn localhost() -> Option<IpAddr> {
    Some(Ipv4Addr::LOCALHOST.into())
}

#[test]
fn comments_order_and_other_users_survive_a_change() {
    let (one, two, new) = (cheap("1"), cheap("2"), cheap("3"));
    let text = format!("# people\nanna:{}\n\n# machines\npump:{}\n", one.as_str(), two.as_str());
    let mut file = PasswordFile::parse(&text).unwrap();
    assert_eq!(file.to_text(), text);
    assert!(!file.set(name("anna"), new.clone()));
    assert!(file.set(name("bert"), one.clone()));
    let expected = format!(
        "# people\nanna:{}\n\n# machines\npump:{}\nbert:{}\n",
        new.as_str(),
        two.as_str(),
        one.as_str()
    );
    assert_eq!(file.to_text(), expected);
    assert!(file.remove(&name("pump")) && !file.remove(&name("pump")));
    let left: Vec<&str> = file.names().map(UserName::as_str).collect();
    assert_eq!(left, ["anna", "bert"]);
}

/// One line that is not understood makes the whole file unusable, and the message shows nothing of it.
#[test]
fn a_line_that_is_not_understood_is_named_and_not_shown() {
    let good = cheap("x");
    let good = good.as_str();
    let cases = [
        ("anna", LineError::Form),
        ("anna:plaintext", LineError::Hash(HashError::Form)),
        ("anna:", LineError::Hash(HashError::Form)),
        (":hash", LineError::Name(NameError::Empty)),
        ("a/b:hash", LineError::Name(NameError::Character('/'))),
        ("a+:hash", LineError::Name(NameError::Character('+'))),
        (" anna:hash", LineError::Name(NameError::Space)),
        ("$SYS:hash", LineError::Name(NameError::Dollar)),
        ("anna:$2b$12$abcdefghijklmnopqrstuv", LineError::Hash(HashError::Form)),
        (
            "anna:$argon2i$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            LineError::Hash(HashError::Algorithm),
        ),
        (
            "anna:$argon2id$v=19$m=1048576,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            LineError::Hash(HashError::Cost),
        ),
        ("anna:$argon2id$v=19$m=19456,t=2,p=1", LineError::Hash(HashError::Form)),
    ];
    for (line, problem) in cases {
        let text = format!("bert:{good}\n{line}\n");
        assert_eq!(PasswordFile::parse(&text), Err((2, problem)), "{line}");
        assert!(!problem.to_string().contains("hash:") && !problem.to_string().contains("plaintext"));
    }
    let twice = format!("anna:{good}\n#\nanna:{good}\n");
    assert_eq!(PasswordFile::parse(&twice), Err((3, LineError::Twice(1))));
}

#[test]
fn a_new_file_is_its_owners_alone_and_a_replaced_one_is_never_opened_wider() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let change = |path: &Path| {
        PasswordFile::edit(path, |file| Some(file.set(name("anna"), cheap("x")))).unwrap().unwrap()
    };
    assert!(change(&path));
    assert_eq!(mode(&path), 0o600);
    for (before, after) in [(0o644, 0o600), (0o640, 0o640), (0o600, 0o600), (0o660, 0o640), (0o400, 0o600)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(before)).unwrap();
        assert!(!change(&path));
        assert_eq!(mode(&path), after, "{before:o}");
    }
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    change(&link);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    // Nothing else is left behind.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// Everybody's change is there in the end, however many make one at once.
#[test]
fn changes_at_once_do_not_undo_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    let hash = cheap("x");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (path, hash) = (&path, hash.clone());
            scope.spawn(move || {
                PasswordFile::edit(path, |file| Some(file.set(name(&format!("user{number}")), hash))).unwrap()
            });
        }
    });
    assert_eq!(Users::load(&path).unwrap().len(), 8);
}

#[test]
fn a_file_that_is_not_understood_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    std::fs::write(&path, "nonsense\n").unwrap();
    let failed = PasswordFile::edit(&path, |file| Some(file.set(name("anna"), cheap("x"))));
    assert!(matches!(failed, Err(FileError::Line { line: 1, problem: LineError::Form, .. })));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "nonsense\n");
}

#[tokio::test]
async fn a_password_is_right_for_its_own_user_only() {
    let users = users(&[("anna", "secret"), ("bert", "other")]);
    let verifier = Verifier::start().unwrap();
    let cases = [
        ("anna", Some("secret"), true),
        ("anna", Some("secret"), true),
        ("anna", Some("other"), false),
        ("anna", Some("Secret"), false),
        ("anna", Some("secret "), false),
        ("anna", Some(""), false),
        ("anna", None, false),
        ("bert", Some("other"), true),
        ("nobody", Some("secret"), false),
        ("nobody", Some("other"), false),
        ("", Some("secret"), false),
    ];
    for (user, password, expected) in cases {
        let password = password.map(|text| Bytes::from(text.to_owned()));
        let verdict = verifier.verify(&users, user, password.clone(), localhost()).await;
        assert_eq!(verdict, Ok(expected), "{user} {password:?}");
    }
    let nobody = Users::default();
    let anything = Some(Bytes::from_static(b"x"));
    assert_eq!(verifier.verify(&nobody, "anna", anything, None).await, Ok(false));
}

/// What was remembered does not outlive the password that it was right for.
#[tokio::test]
async fn a_changed_password_is_not_remembered() {
    let verifier = Verifier::start().unwrap();
    let password = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let before = users(&[("anna", "old")]);
    assert_eq!(verifier.verify(&before, "anna", password("old"), None).await, Ok(true));
    let after = users(&[("anna", "new")]);
    assert_eq!(verifier.verify(&after, "anna", password("old"), None).await, Ok(false));
    assert_eq!(verifier.verify(&after, "anna", password("new"), None).await, Ok(true));
    assert_eq!(verifier.verify(&Users::default(), "anna", password("new"), None).await, Ok(false));
}

#[test]
fn what_is_remembered_is_bounded_in_number_and_in_time() {
    use super::cache::Cache;
    let mut cache = Cache::new().unwrap();
    let stored = cheap("x");
    let start = std::time::Instant::now();
    let mark = |cache: &Cache, number: usize| cache.mark(&number.to_string(), b"x", &stored).unwrap();
    for number in 0..=REMEMBERED_LOGINS {
        let mark = mark(&cache, number);
        cache.remember(mark, start);
    }
    assert!(!cache.knows(&mark(&cache, 0), start));
    let last = mark(&cache, REMEMBERED_LOGINS);
    assert!(cache.knows(&last, start + REMEMBERED_LOGINS_FOR - Duration::from_secs(1)));
    assert!(!cache.knows(&last, start + REMEMBERED_LOGINS_FOR));
    // Where a name ends and a password begins makes a difference.
    assert_ne!(cache.mark("ab", b"c", &stored), cache.mark("a", b"bc", &stored));
    assert_ne!(cache.mark("ab", b"c", &stored), Cache::new().unwrap().mark("ab", b"c", &stored));
}

/// A flood from one address is refused beyond its share; others find room, and who goes away is not hashed for.
#[tokio::test]
async fn a_flood_from_one_address_leaves_room_for_others() {
    let stored = StoredHash::of_password(b"secret").unwrap();
    let users: Users = [(name("anna"), stored)].into_iter().collect();
    let verifier = Verifier::start().unwrap();
    let flooder = Some(Ipv4Addr::new(192, 0, 2, 1).into());
    let mut refused = 0;
    let mut waiting = Vec::new();
    // Each of them is a whole hash of 19 MiB: a thread does a handful of them while these are asked for.
    for _ in 0..LOGINS_WAITING {
        let wrong = Some(Bytes::from_static(b"wrong"));
        let mut attempt = Box::pin(verifier.verify(&users, "nobody", wrong, flooder));
        match attempt.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => waiting.push(attempt),
            Poll::Ready(verdict) => {
                assert_eq!(verdict, Err(Overloaded));
                refused += 1;
            }
        }
    }
    assert!(waiting.len() >= LOGINS_WAITING_PER_ADDRESS && refused > LOGINS_WAITING / 2, "{refused} refused");
    let right = || Some(Bytes::from_static(b"secret"));
    let mut other = Box::pin(verifier.verify(&users, "anna", right(), localhost()));
    assert!(other.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(waiting);
    assert_eq!(other.await, Ok(true));
    assert_eq!(verifier.verify(&users, "anna", right(), flooder).await, Ok(true), "its share is free again");
}

/// The cost is in the file for everybody to read: 19 MiB and two passes.
#[test]
fn a_new_hash_is_argon2id_of_the_cost_that_is_recommended() {
    let stored = StoredHash::of_password("pässword".as_bytes()).unwrap();
    assert!(stored.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", stored.as_str());
    assert_ne!(stored, StoredHash::of_password("pässword".as_bytes()).unwrap(), "each has a salt of its own");
    assert!(stored.verify("pässword".as_bytes()) && !stored.verify(b"password"));
    assert!(!format!("{stored:?}").contains("argon2"));
    assert!(!StoredHash::of_nobody().verify(b""));
    assert_eq!(StoredHash::parse(StoredHash::of_nobody().as_str()), Ok(StoredHash::of_nobody()));
}
