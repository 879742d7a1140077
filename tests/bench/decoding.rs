//! From the bytes of a sensor to a reading, and from a reading to its JSON: CPU time of one thread, no port, no
//! broker; and the same frames read by the Python packages that others use, in the same run.

use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::sync::Arc;

use serde_json::Value;
use tidegate::adapter::simulated::Kind;
use tidegate::device::{Library, Listener, Measurements, Options, Profile, Request, hex};
use tidegate::durable::Boots;
use tidegate::reading::{Reading, Render as _, SensorName};
use tidegate::route::Json;
use tidegate::time::Moment;

use crate::packages::{PACKAGES, made_by, profiles, python};

const FRAMES: u64 = 200_000;
/// What a USB adapter hands over at once.
const PIECE: usize = 62;
/// Bytes per second of the fastest common line, 921600 baud at 10 bits per byte.
const FASTEST_LINE: f64 = 92_160.0;

pub fn print() {
    println!("\nframes, from bytes in pieces of {PIECE} to readings, and readings to JSON");
    println!("profile             frames/s  ns/frame  ns/JSON  CPU at 921600 baud");
    for kind in Kind::ALL {
        let stream: Vec<u8> = (0..FRAMES).flat_map(|number| kind.frame(number)).collect();
        let profile = Library::shipped().profile(kind.profile()).unwrap();
        let mut listener = Listener::new(Arc::new(profile));
        let mut last = Measurements::new();
        let mut count = 0;
        let start = cpu_seconds();
        for piece in stream.chunks(PIECE) {
            listener.push(piece, &mut |found| {
                last = found.unwrap();
                count += 1;
            });
        }
        let per_frame = (cpu_seconds() - start) / FRAMES as f64;
        assert_eq!(count, FRAMES);
        let share = per_frame * FASTEST_LINE / (stream.len() as f64 / FRAMES as f64) * 100.0;
        println!(
            "{:18} {:9.0} {:9.0} {:8.0} {:9.2} %",
            kind.profile(),
            1.0 / per_frame,
            per_frame * 1e9,
            json(last) * 1e9,
            share
        );
    }
}

/// Frames of each package, and how often they are read.
const OF_A_PACKAGE: &str = "2000";
const ROUNDS: u32 = 20;

/// The frames of each package, read by it and by us: both in CPU time of one thread, without a port.
pub fn print_beside_packages() {
    let Some(python) = python() else {
        return println!("\nthe Python packages cannot be installed here: nothing to compare with");
    };
    let folder = profiles();
    println!(
        "\nthe same frames, in the same run, read by Python packages and by us; CPU of one core at 921600 baud"
    );
    println!(
        "package         bytes/frame  its frames/s  its µs  its CPU |  our frames/s  our µs  our CPU | ratio"
    );
    for package in PACKAGES {
        let theirs = made_by(python, package, OF_A_PACKAGE, "1", &["--time"]);
        let theirs = 1.0 / theirs.trim().parse::<f64>().unwrap();
        let vectors = made_by(python, package, OF_A_PACKAGE, "1", &["--clean"]);
        let mut work: Vec<(Vec<u8>, Option<Request>, Listener)> =
            vectors.lines().map(|vector| stream(vector, folder.path())).collect();
        let bytes: usize = work.iter().map(|(stream, ..)| stream.len()).sum();
        let (per_vector, mut frames) = (bytes as f64 / work.len() as f64, 0);
        let start = cpu_seconds();
        for _ in 0..ROUNDS {
            for (stream, request, listener) in &mut work {
                if let Some(request) = request {
                    listener.ask(request.clone());
                }
                listener.push(stream, &mut |found| frames += usize::from(black_box(found).is_ok()));
            }
        }
        let ours = (cpu_seconds() - start) / frames as f64;
        assert_eq!(frames, vectors.lines().count() * ROUNDS as usize, "{package}: a frame was not read");
        let share = |seconds: f64| seconds * FASTEST_LINE / per_vector * 100.0;
        println!(
            "{package:15} {per_vector:11.0} {:13.0} {:7.1} {:6.1} % | {:13.0} {:7.2} {:6.2} % | {:5.0}",
            1.0 / theirs,
            theirs * 1e6,
            share(theirs),
            1.0 / ours,
            ours * 1e6,
            share(ours),
            theirs / ours
        );
    }
}

/// A vector's stream with what was asked and the listener that reads it.
fn stream(vector: &str, folder: &std::path::Path) -> (Vec<u8>, Option<Request>, Listener) {
    let vector: Value = serde_json::from_str(vector).unwrap();
    let mut options = vector["sensor"].as_object().unwrap().clone();
    let id = options.remove("profile").unwrap().as_str().unwrap().to_owned();
    let profile = Library::shipped().profile(&id).unwrap_or_else(|_| {
        let text = std::fs::read_to_string(folder.join(format!("{id}.toml"))).unwrap();
        Profile::parse(&id, &id, &text).unwrap()
    });
    let options: Options = serde_json::from_value(Value::Object(options)).unwrap();
    let profile = profile.with_options(&options).unwrap();
    let request =
        vector["request_hex"].as_str().map(|request| Request::parse(&hex(request).unwrap()).unwrap());
    (hex(vector["stream_hex"].as_str().unwrap()).unwrap(), request, Listener::new(Arc::new(profile)))
}

/// Seconds per reading.
fn json(measurements: Measurements) -> f64 {
    let sensor = SensorName::parse("bench").unwrap();
    let reading = Reading { sensor, taken_at: Moment::default(), rssi: None, measurements };
    let boots = Boots::default();
    let start = cpu_seconds();
    for _ in 0..FRAMES {
        black_box(Json.render(black_box(&reading), &boots));
    }
    (cpu_seconds() - start) / FRAMES as f64
}

/// What this thread has used: a busy machine around it does not count.
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}
