//! From the bytes of a sensor to the cloud's acknowledgement, through a pty, the journal and the uplink.

use std::fs;
use std::time::{Duration, Instant};

use crate::cloud::Cloud;
use crate::process::Process;
use crate::rig::{free_port, wait_for};
use crate::sensor::Sensor;
use crate::usage;

const READINGS: u64 = 50_000;

pub fn print() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = Cloud::start();
    let mut sensor = Sensor::new().patient();
    let configuration = folder.path().join("tidegate.toml");
    let text = format!(
        "[gateway]\nid = \"bench\"\ndata_dir = \"data\"\n[[listener]]\naddress = \"127.0.0.1:{}\"\n\
         [journal]\ncommit_interval_ms = 10\n[sensor.s]\nserial = \"{}\"\nprofile = \"json-lines\"\n\
         [uplink.cloud]\nurl = \"mqtt://127.0.0.1:{}\"\nforward = [\"tidegate/#\"]\n",
        free_port(),
        sensor.path(),
        cloud.port,
    );
    fs::write(&configuration, text).unwrap();
    let binary = env!("CARGO_BIN_EXE_tidegate");
    let command = [binary, "run", "--config", configuration.to_str().unwrap()];
    let process = Process::start("tidegate", &command, folder.path());
    wait_for("the first reading upstream", Duration::from_secs(20), || {
        sensor.say(0);
        (cloud.messages() > 0).then_some(())
    });
    let (idle, _) = usage::memory_kib(process.id());
    let (start, before, first) = (Instant::now(), usage::cpu(process.id()), cloud.messages());
    for n in 1..=READINGS {
        sensor.say(n);
    }
    wait_for("all readings upstream", Duration::from_secs(20), || {
        (cloud.messages() >= first + READINGS).then_some(())
    });
    let (took, cpu) = (start.elapsed(), usage::cpu(process.id()) - before);
    let (now, most) = usage::memory_kib(process.id());
    println!("\nreadings, from a pty to the cloud's PUBACK, each through the journal");
    println!("rate             {:8.0} readings/s", READINGS as f64 / took.as_secs_f64());
    println!("CPU              {:8.1} us per reading", cpu.as_secs_f64() * 1e6 / READINGS as f64);
    println!("memory           {idle} KiB idle, {now} KiB after, {most} KiB at most");
    println!("binary           {} KiB", fs::metadata(binary).unwrap().len() / 1024);
}
