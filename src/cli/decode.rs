//! `tidegate decode`: captured bytes in, readings out, through the same decoders as the gateway's.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

use super::terminal::{complain, say};
use crate::adapter::ble::Written;
use crate::adapter::profiles;
use crate::device::ble::{self, Memory};
use crate::device::{Found, Library, Listener, Measurements, Options, ProblemKind, Profile, Request, hex};
use crate::route::render_value;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate decode --jsonl < vectors.jsonl
  tidegate decode --jsonl --profiles ./my-profiles < vectors.jsonl
  tidegate decode --profile ./my-profiles/acme-x1.toml")]
pub(super) struct Arguments {
    /// Reads one vector per line on stdin, writes one JSON object per line
    #[arg(long, required_unless_present = "profile")]
    jsonl: bool,
    /// A folder of profiles beside those in the program; may be repeated
    #[arg(long, value_name = "DIR")]
    profiles: Vec<PathBuf>,
    /// Checks one profile file: decodes its captures and compares
    #[arg(long, value_name = "FILE", conflicts_with = "jsonl")]
    profile: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Some(file) = &arguments.profile {
        return prove(file);
    }
    let (library, unreadable) = profiles::library(&arguments.profiles);
    for problem in unreadable {
        complain(problem);
    }
    let outcome = decode(&library, std::io::stdin().lock(), std::io::stdout().lock());
    match outcome {
        // Whoever read the answers has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        outcome => outcome.map(|()| ExitCode::SUCCESS).context("decode"),
    }
}

fn prove(file: &std::path::Path) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let id = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("profile");
    let profile = match Profile::parse(id, &file.display().to_string(), &text) {
        Ok(profile) => profile,
        Err(mistakes) => {
            mistakes.iter().for_each(complain);
            return Ok(ExitCode::from(super::USAGE));
        }
    };
    match profile.prove() {
        Ok(()) => {
            match profile.captures.len() {
                0 => {
                    say(format_args!("{id}: the file is sound; no [[capture]] proves yet that it is right"))?
                }
                1 => say(format_args!("{id}: its capture gives what it must"))?,
                count => say(format_args!("{id}: all {count} captures give what they must"))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(wrong) => {
            wrong.iter().for_each(complain);
            Ok(ExitCode::from(super::FAILED))
        }
    }
}

/// Answers each line of `input` with one line of `output`; a line that cannot be read gets its error.
fn decode(library: &Library, mut input: impl BufRead, mut output: impl Write) -> std::io::Result<()> {
    let mut decoder = VectorDecoder { library, profiles: HashMap::new() };
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        if !line.trim_ascii().is_empty() {
            serde_json::to_writer(&mut output, &decoder.answer(&line))?;
            output.write_all(b"\n")?;
        }
        line.clear();
    }
    output.flush()
}

/// Keeps the profiles that were asked for.
struct VectorDecoder<'a> {
    library: &'a Library,
    profiles: HashMap<String, Result<Profile, String>>,
}

/// What came of one vector.
#[derive(Default)]
struct Answer {
    readings: Vec<Value>,
    model: Option<String>,
    errors: Vec<Value>,
}

impl Answer {
    fn error(&mut self, kind: &str, detail: impl Into<String>) {
        self.errors.push(json!({ "kind": kind, "detail": detail.into() }));
    }
}

impl VectorDecoder<'_> {
    fn answer(&mut self, line: &[u8]) -> Value {
        let mut answer = Answer::default();
        let mut id = Value::Null;
        match serde_json::from_slice::<Map<String, Value>>(line) {
            Ok(vector) => {
                id = vector.get("id").cloned().unwrap_or_default();
                if let Err((kind, detail)) = self.fill(&vector, &mut answer) {
                    answer.error(kind, detail);
                }
            }
            Err(error) => answer.error("input", format!("the line is not a JSON object: {error}")),
        }
        json!({ "id": id, "readings": answer.readings, "model": answer.model, "errors": answer.errors })
    }

    fn fill(
        &mut self,
        vector: &Map<String, Value>,
        answer: &mut Answer,
    ) -> Result<(), (&'static str, String)> {
        if Written::is_one(vector) {
            return advertisement(vector, answer);
        }
        let stream = vector.get("stream_hex").and_then(Value::as_str);
        let stream = stream.ok_or(("input", "the vector has no stream_hex".to_owned()))?;
        let stream = hex(stream).ok_or(("input", "stream_hex is not hexadecimal".to_owned()))?;
        let profile = self.profile_of(vector)?;
        let request = request_of(vector, &profile)?;
        answer.model = Some(format!("{} {}", profile.vendor, profile.model).trim().to_owned());
        let mut take = |found: Found| match found {
            Ok(measurements) => answer.readings.push(named(&measurements)),
            Err(problem) => answer.error(problem.kind.label(), problem.to_string()),
        };
        let mut listener = Listener::new(Arc::new(profile));
        let was_asked = request.is_some();
        if let Some(request) = request {
            listener.ask(request);
        }
        for piece in pieces(&stream, vector.get("chunks")) {
            listener.push(piece, &mut take);
        }
        listener.silence(&mut take);
        if was_asked && listener.frames() == 0 && answer.errors.is_empty() {
            answer.error(ProblemKind::NoAnswer.label(), "nothing in the stream answers the request");
        }
        Ok(())
    }

    /// The profile of the vector's sensor, completed by its options.
    fn profile_of(&mut self, vector: &Map<String, Value>) -> Result<Profile, (&'static str, String)> {
        let mut sensor = match vector.get("sensor") {
            Some(Value::Object(sensor)) => sensor.clone(),
            Some(_) => return Err(("input", "sensor is not an object".to_owned())),
            None => Map::new(),
        };
        let name = sensor.shift_remove("profile").or_else(|| vector.get("device").cloned());
        let name = name.as_ref().and_then(Value::as_str);
        let name = name.ok_or(("input", "the vector names no profile".to_owned()))?;
        let profile = self
            .profiles
            .entry(name.to_owned())
            .or_insert_with(|| self.library.profile(name).map_err(|error| error.to_string()));
        let profile = profile.clone().map_err(|error| ("profile", error))?;
        let options: Options = serde_json::from_value(Value::Object(sensor))
            .map_err(|error| ("options", format!("the sensor's options: {error}")))?;
        profile.with_options(&options).map_err(|error| ("options", error.to_string()))
    }
}

/// What an advertisement says. Each is its device's first: nothing is remembered from one vector to the next.
fn advertisement(vector: &Map<String, Value>, answer: &mut Answer) -> Result<(), (&'static str, String)> {
    let written = Written::read(vector).map_err(|error| ("input", error.to_string()))?;
    let mut memory = Memory::default();
    let problems = match ble::decode(&written.advertisement, written.key.as_ref(), &mut memory) {
        Ok(sighting) => {
            if !sighting.measurements.is_empty() {
                answer.readings.push(named(&sighting.measurements));
            }
            answer.model = Some(sighting.model.into_owned());
            sighting.problems
        }
        Err(problem) => vec![problem],
    };
    for problem in problems {
        answer.error(problem.kind.label(), problem.to_string());
    }
    Ok(())
}

/// Measurements as an object.
fn named(measurements: &Measurements) -> Value {
    let named = measurements.iter().map(|one| (one.name.as_str().to_owned(), render_value(&one.value)));
    Value::Object(named.collect())
}

/// What was asked, of a device whose answers mean nothing without it.
fn request_of(
    vector: &Map<String, Value>,
    profile: &Profile,
) -> Result<Option<Request>, (&'static str, String)> {
    let Some(written) =
        vector.get("request_hex").and_then(Value::as_str).filter(|_| profile.modbus.is_some())
    else {
        return Ok(None);
    };
    let request = hex(written).and_then(|bytes| Request::parse(&bytes));
    let wrong = || ("input", "request_hex is no Modbus request, or its CRC does not hold".to_owned());
    request.map(Some).ok_or_else(wrong)
}

/// The stream in the sizes in which it arrived; what the sizes do not count comes at the end.
fn pieces<'a>(stream: &'a [u8], chunks: Option<&Value>) -> Vec<&'a [u8]> {
    let sizes = chunks.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut rest = stream;
    let mut pieces = Vec::new();
    for size in sizes.iter().filter_map(Value::as_u64) {
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
        let (piece, behind) = rest.split_at(size);
        pieces.push(piece);
        rest = behind;
    }
    pieces.push(rest);
    pieces
}
