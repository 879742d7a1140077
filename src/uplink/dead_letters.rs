//! The file of what a server will never take: one JSON object a line, for a person to look at and to try once more.
//!
//! Bounded: when it is full it becomes `.old`, and what was `.old` is gone; that is counted. Only its owner can read
//! it. Never reads a configuration and never decides what goes in.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use data_encoding::BASE64;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bridge::DeadLetter;
use crate::limits::DEAD_LETTER_BYTES;
use crate::mqtt::{QoS, TopicName};

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    id: String,
    topic: String,
    qos: u8,
    retain: bool,
    accepted_at: String,
    given_up_at: String,
    reason: String,
    detail: String,
    /// The payload, if it is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
    /// The payload, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

/// A message that is tried once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// What it is called here.
    pub topic: TopicName,
    /// Its quality of service.
    pub qos: QoS,
    /// Whether it is to be retained.
    pub retain: bool,
    /// What it says.
    pub payload: Bytes,
}

/// The dead letters of one uplink.
#[derive(Debug, Clone)]
pub struct DeadLetterFile {
    path: PathBuf,
    max_bytes: u64,
}

impl DeadLetterFile {
    /// Those of the uplink `name`, in `folder`.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> DeadLetterFile {
        DeadLetterFile {
            path: folder.join(format!("{name}.dead-letters.jsonl")),
            max_bytes: DEAD_LETTER_BYTES,
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn old(&self) -> PathBuf {
        let mut name = self.path.as_os_str().to_owned();
        name.push(".old");
        PathBuf::from(name)
    }

    /// Those that are tried once more, apart from what is laid aside meanwhile. What an earlier attempt did not get
    /// through with is given first.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn set_aside(&self) -> io::Result<DeadLetterFile> {
        let apart = DeadLetterFile { path: self.path.with_extension("replayed"), max_bytes: self.max_bytes };
        if apart.path.exists() || apart.old().exists() {
            return Ok(apart);
        }
        for (from, to) in [(self.old(), apart.old()), (self.path.clone(), apart.path.clone())] {
            match fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(apart)
    }

    /// Writes one down. Gives back how many older ones had to go for it.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn lay_aside(&self, letter: &DeadLetter) -> io::Result<u64> {
        let mut line = serde_json::to_vec(&Line::of(letter))?;
        line.push(b'\n');
        let mut gone = 0;
        let size = fs::metadata(&self.path).map_or(0, |found| found.len());
        let more = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if size > 0 && size.saturating_add(more) > self.max_bytes / 2 {
            gone = count(&self.old())?;
            fs::rename(&self.path, self.old())?;
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        file.write_all(&line)?;
        Ok(gone)
    }

    /// Every line, the oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn lines(&self) -> io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for path in [self.old(), self.path.clone()] {
            if let Some(file) = open(&path)? {
                lines.extend(BufReader::new(file).lines().map_while(Result::ok));
            }
        }
        Ok(lines)
    }

    /// Every message that can be tried once more, the oldest first, and how many lines cannot be read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn messages(&self) -> io::Result<(Vec<Replayed>, usize)> {
        let lines = self.lines()?;
        let all = lines.len();
        let read = |line: &String| serde_json::from_str::<Line>(line).ok()?.replayed();
        let messages: Vec<Replayed> = lines.iter().filter_map(read).collect();
        let unreadable = all - messages.len();
        Ok((messages, unreadable))
    }

    /// Forgets them all.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn clear(&self) -> io::Result<()> {
        for path in [self.old(), self.path.clone()] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Line {
    fn of(letter: &DeadLetter) -> Line {
        let text = std::str::from_utf8(&letter.payload).ok();
        Line {
            id: letter.id.to_string(),
            topic: letter.topic.as_str().to_owned(),
            qos: letter.qos.as_u8(),
            retain: letter.retain,
            accepted_at: time(letter.accepted_at.unix_ms),
            given_up_at: time(letter.given_up_at.unix_ms),
            reason: letter.reason.label().to_owned(),
            detail: letter.detail.clone(),
            payload: text.map(str::to_owned),
            payload_base64: text.is_none().then(|| BASE64.encode(&letter.payload)),
        }
    }

    fn replayed(self) -> Option<Replayed> {
        let payload = match (self.payload, self.payload_base64) {
            (Some(text), _) => Bytes::from(text),
            (None, Some(coded)) => Bytes::from(BASE64.decode(coded.as_bytes()).ok()?),
            (None, None) => Bytes::new(),
        };
        let topic = TopicName::parse(self.topic).ok()?;
        Some(Replayed { topic, qos: QoS::from_u8(self.qos)?, retain: self.retain, payload })
    }
}

fn time(unix_ms: i64) -> String {
    format!("{:.3}", Timestamp::from_millisecond(unix_ms).unwrap_or_default())
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn count(path: &Path) -> io::Result<u64> {
    let Some(file) = open(path)? else { return Ok(0) };
    Ok(u64::try_from(BufReader::new(file).lines().map_while(Result::ok).count()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::durable::DropReason;
    use crate::time::Moment;

    fn letter(payload: &'static [u8]) -> DeadLetter {
        DeadLetter {
            id: "gw-1-0".into(),
            accepted_at: Moment { unix_ms: 1_795_408_169_007, ..Moment::default() },
            given_up_at: Moment::default(),
            topic: TopicName::parse("a/b").unwrap(),
            qos: QoS::AtLeastOnce,
            retain: true,
            payload: Bytes::from_static(payload),
            reason: DropReason::TopicNotAllowed,
            detail: "too deep".into(),
        }
    }

    #[test]
    fn what_is_laid_aside_can_be_read_and_tried_once_more_text_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = DeadLetterFile::new(folder.path(), "cloud");
        assert_eq!(file.messages().unwrap().0, []);
        for payload in [&b"{\"t\":1}"[..], b"\xff\x00", b""] {
            assert_eq!(file.lay_aside(&letter(payload)).unwrap(), 0);
        }
        let lines = file.lines().unwrap();
        assert!(
            lines[0].contains("\"reason\":\"topic_not_allowed\"")
                && lines[0].contains("2026-11-23T04:29:29.007Z")
        );
        let (messages, unreadable) = file.messages().unwrap();
        let payloads: Vec<_> = messages.iter().map(|message| message.payload.to_vec()).collect();
        assert_eq!((payloads, unreadable), (vec![b"{\"t\":1}".to_vec(), vec![255, 0], vec![]], 0));
        assert!(messages[0].retain && messages[0].topic.as_str() == "a/b");
        file.clear().unwrap();
        assert_eq!(file.lines().unwrap().len(), 0);
    }

    #[test]
    fn the_file_is_bounded_and_says_what_had_to_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = DeadLetterFile { max_bytes: 4000, ..DeadLetterFile::new(folder.path(), "cloud") };
        let mut gone = 0;
        for _ in 0..100 {
            gone += file.lay_aside(&letter(b"0123456789")).unwrap();
        }
        let bytes: u64 =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes <= 4000, "{bytes}");
        let kept = u64::try_from(file.lines().unwrap().len()).unwrap();
        assert_eq!(kept + gone, 100);
    }

    #[test]
    fn what_is_tried_once_more_is_kept_until_it_is_done_and_apart_from_what_comes_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let file = DeadLetterFile::new(folder.path(), "cloud");
        file.lay_aside(&letter(b"1")).unwrap();
        let apart = file.set_aside().unwrap();
        file.lay_aside(&letter(b"2")).unwrap();
        // A crash: the next attempt finds the first again.
        let apart_again = file.set_aside().unwrap();
        assert_eq!(apart_again.messages().unwrap().0, apart.messages().unwrap().0);
        assert_eq!(apart_again.messages().unwrap().0.len(), 1);
        apart_again.clear().unwrap();
        assert_eq!(file.messages().unwrap().0[0].payload, b"2"[..]);
    }

    #[test]
    fn a_line_that_was_torn_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = DeadLetterFile::new(folder.path(), "cloud");
        file.lay_aside(&letter(b"1")).unwrap();
        fs::write(file.path(), [fs::read(file.path()).unwrap(), b"{\"id\":\"gw".to_vec()].concat()).unwrap();
        let (messages, unreadable) = file.messages().unwrap();
        assert_eq!((messages.len(), unreadable), (1, 1));
    }
}
