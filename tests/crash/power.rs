//! Real power cuts: a writer on a file system of its own in a file; the file is copied while it writes, and the copy is
//! what a power cut would have left. Needs root and loop devices; says so where they are not.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::skips::skip;
use crate::writer;

const CUTS: u64 = 50;

/// A mounted image; dropped, it is unmounted.
struct Mounted(PathBuf);

impl Mounted {
    fn mount(image: &Path, at: &Path) -> Option<Mounted> {
        fs::create_dir(at).ok()?;
        run(&["mount", "-o", "loop", image.to_str()?, at.to_str()?]).then(|| Mounted(at.to_owned()))
    }

    /// Flushes that the device was asked for so far.
    fn flushes(&self) -> u64 {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == self.0.to_str()).unwrap();
        let device = line.split(' ').next().unwrap().trim_start_matches("/dev/");
        let stat = fs::read_to_string(format!("/sys/block/{device}/stat")).unwrap();
        stat.split_whitespace().nth(15).unwrap().parse().unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Busy for somebody who only looks: then it goes as soon as he has looked.
        let at = self.0.to_str().unwrap();
        let _ = run(&["umount", at]) || run(&["umount", "-l", at]);
    }
}

fn run(command: &[&str]) -> bool {
    let mut run = Command::new(command[0]);
    run.args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null());
    run.status().is_ok_and(|status| status.success())
}

/// At any moment: what was said to be committed is on the disk as it is. And each commit that was acknowledged has
/// asked the device for a flush, without which a real disk might still have held it in its own memory.
#[test]
fn what_was_committed_survives_real_power_cuts() {
    let folder = tempfile::tempdir().unwrap();
    // Each image is mounted once only: whoever copied our mounts meanwhile may hold on to the one before.
    let image = |round: u64| folder.path().join(format!("disk-{round}.img"));
    let at = |round: u64| folder.path().join(format!("mounted-{round}"));
    fs::File::create(image(0)).unwrap().set_len(48 << 20).unwrap();
    let made = run(&["mke2fs", "-q", "-F", "-t", "ext4", image(0).to_str().unwrap()]);
    let Some(mut mounted) = made.then(|| Mounted::mount(&image(0), &at(0))).flatten() else {
        return skip("needs root, mke2fs and loop devices");
    };
    let (mut promised, mut acknowledged, mut flushes) = (0, 0, 0);
    for round in 0..CUTS {
        let before = mounted.flushes();
        let mut child = writer::start(&[], &at(round).join("journal"), u64::MAX);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let commits = 3 + 7 * (round % 11);
        let last = lines.by_ref().filter_map(|line| writer::committed(&line)).nth(commits as usize);
        promised = last.expect("it goes on until it is killed");
        let id = Pid::from_raw(child.id().cast_signed()).unwrap();
        kill_process(id, Signal::STOP).unwrap();
        let (from, to) = (image(round), image(round + 1));
        let copied = run(&["cp", "--sparse=always", from.to_str().unwrap(), to.to_str().unwrap()]);
        assert!(copied, "the image cannot be copied");
        flushes += mounted.flushes() - before;
        acknowledged += commits + 1;
        child.kill().unwrap();
        child.wait().unwrap();
        drop(mounted);
        fs::remove_file(from).unwrap();
        mounted = Mounted::mount(&to, &at(round + 1)).expect("the file system repairs itself");
        writer::check(&at(round + 1).join("journal"), promised);
    }
    assert!(flushes >= acknowledged, "{flushes} flushes for {acknowledged} commits");
    let summary =
        format!("{CUTS} power cuts, {promised} messages, {acknowledged} commits, {flushes} flushes");
    writeln!(std::io::stderr(), "{summary}").unwrap();
}
