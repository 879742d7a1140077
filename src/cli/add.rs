//! `tidegate add`: writes one more sensor into the configuration, which keeps its comments and its order.
//!
//! The file is taken over only if it is good with the new sensor; it is replaced in one step.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::terminal::{colours, say};
use super::{Configuration, USAGE};
use crate::config::{self, Overrides};
use crate::device::ble::Address;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidegate add ble:A4:C1:38:12:34:56 --name kitchen
  tidegate add ble:54:48:E6:8F:80:A5 --name meter --key file:meter.key
  tidegate add ble:98:07:2D:12:34:56 --name radon --profile airthings-wave --config my.toml")]
pub(super) struct Arguments {
    /// What `tidegate scan` shows: ble:ADDRESS, or serial:PATH with --profile
    what: String,
    /// What it is called
    #[arg(short, long)]
    name: String,
    /// Where its key is: file:PATH, env:NAME or credential:NAME
    #[arg(long, value_name = "WHERE")]
    key: Option<String>,
    /// What kind of device it is, where it does not say so itself
    #[arg(long)]
    profile: Option<String>,
    #[command(flatten)]
    configuration: Configuration,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let file = &arguments.configuration.config;
    let before = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let section = section(arguments)?;
    let text = joined(&before, &section);
    // As it will be read by everybody: without what only this call says.
    if let Err(problems) = config::parse(&text, file, &Overrides::default()) {
        say(problems.render(colours(&std::io::stdout())))?;
        say(format_args!("{} is left as it was", file.display()))?;
        return Ok(ExitCode::from(USAGE));
    }
    replace(file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    say(format_args!("{section}\nis in {}; a running gateway takes it over at SIGHUP", file.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The sensor as TOML.
fn section(arguments: &Arguments) -> anyhow::Result<String> {
    let Some((way, place)) = arguments.what.split_once(':') else {
        bail!("{:?} does not say how it is reached: ble:ADDRESS or serial:PATH", arguments.what);
    };
    let place = match way {
        "ble" => Address::parse(place)
            .with_context(|| format!("{place:?} is no Bluetooth address: ble:A4:C1:38:12:34:56"))?
            .to_string(),
        "serial" | "modbus" => place.to_owned(),
        other => bail!("{other:?} is no way to reach a sensor: ble, serial or modbus"),
    };
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    let name = if plain(&arguments.name) { arguments.name.clone() } else { quoted(&arguments.name) };
    let mut section = format!("[sensor.{name}]\n{way} = {}\n", quoted(&place));
    for (key, value) in [("key", &arguments.key), ("profile", &arguments.profile)] {
        let Some(value) = value else { continue };
        if key == "key" && !["file:", "env:", "credential:"].iter().any(|known| value.starts_with(known)) {
            bail!("a key on the command line is seen by others: write it to a file, and --key file:PATH");
        }
        // Writing to a String cannot fail.
        let _ = writeln!(section, "{key} = {}", quoted(value));
    }
    Ok(section)
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A blank line between what was there and what comes.
fn joined(before: &str, section: &str) -> String {
    match before.trim_end() {
        "" => section.to_owned(),
        before => format!("{before}\n\n{section}"),
    }
}

/// The whole file or none of it, with the rights that it had.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    // Not the link, but what it leads to.
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let beside = file.with_file_name(format!(".{name}.new"));
    let mut new = fs::File::create(&beside)?;
    if let Ok(known) = fs::metadata(&file) {
        new.set_permissions(known.permissions())?;
    }
    new.write_all(text.as_bytes())?;
    new.sync_all()?;
    fs::rename(&beside, &file)
}
