//! From the bytes of a sensor to a reading, and from a reading to its JSON: CPU time of one thread, no port, no
//! broker.

use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::sync::Arc;
use tidegate::adapter::simulated::Kind;
use tidegate::device::{Library, Listener, Measurements};
use tidegate::durable::Boots;
use tidegate::reading::{Reading, Render as _, SensorName};
use tidegate::route::Json;
use tidegate::time::Moment;

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
