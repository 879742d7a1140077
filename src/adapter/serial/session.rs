//! One open port: reads it, writes what is due, and notices when it is gone.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::time::sleep;

use super::ears::Ears;
use super::units::Units;
use super::wire::Wire;
use super::{Line, SetCommand};
use crate::device::{GoOn, SerialSettings};
use crate::time::Instant;

/// Bytes read at once: what a port brings at 921600 baud in some 40 ms.
const READ_BYTES: usize = 4096;
/// How soon a full inbox is tried again.
const FLUSH_AGAIN: Duration = Duration::from_millis(200);
/// How long a meter may take to be ready for its acknowledgement (IEC 62056-21, 6.5.1: at least 200 ms).
const REACTION: Duration = Duration::from_millis(300);

/// Why a port is not open any more.
#[derive(Debug)]
pub(super) struct Lost {
    why: io::Error,
    /// Whether anything was heard while it was.
    pub(super) heard: bool,
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "port lost: {}", self.why)
    }
}

/// What is to be done with the port.
#[derive(Debug, Default)]
pub(super) struct Doing {
    /// Write these.
    pub(super) write: Vec<u8>,
    /// Tell the meter how to go on, and follow it.
    pub(super) go_on: Option<GoOn>,
    /// Back to the line's own speed.
    pub(super) reset: bool,
}

/// Who speaks on the line.
pub(super) enum Talk {
    /// Devices that speak by themselves, or answer a request of their own.
    Ears(Ears),
    /// The units of a Modbus line.
    Units(Units),
}

/// What happens first.
enum Next {
    Read(io::Result<usize>),
    Command(SetCommand),
    Timeout,
}

impl Line {
    /// Serves the line until the port is gone.
    pub(super) async fn session(&mut self, mut wire: Wire) -> Lost {
        let now = self.clock.monotonic();
        for member in &mut self.members {
            member.presence.listening(now);
        }
        let mut talk = if self.members.iter().any(|member| member.sensor.profile.modbus.is_some()) {
            Talk::Units(Units::new(&self.members, self.settings.baud, now))
        } else {
            Talk::Ears(Ears::new(&self.members, now))
        };
        let mut buffer = vec![0; READ_BYTES];
        let mut heard = false;
        loop {
            let deadline = self.next_timeout(&talk);
            let patience = deadline.map(|deadline| deadline.since(self.clock.monotonic()));
            let next = tokio::select! {
                read = wire.read(&mut buffer) => Next::Read(read),
                Some(command) = self.commands.recv() => Next::Command(command),
                () = wait(patience) => Next::Timeout,
            };
            let outcome = match next {
                // An adapter that is pulled out and a peer that closed both read as nothing.
                Next::Read(Ok(0)) => Err(io::Error::other("unplugged")),
                Next::Read(Ok(count)) => {
                    heard = true;
                    let doing = self.take(&mut talk, buffer.get(..count).unwrap_or_default());
                    self.carry_out(&mut wire, doing).await
                }
                Next::Read(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                Next::Read(Err(error)) => Err(error),
                Next::Command(command) => {
                    let doing = self.command(&mut talk, command);
                    self.carry_out(&mut wire, doing).await
                }
                Next::Timeout => {
                    let doing = self.timeout(&mut talk);
                    self.carry_out(&mut wire, doing).await
                }
            };
            self.members.iter_mut().for_each(|member| member.sink.flush());
            if let Err(why) = outcome {
                return Lost { why, heard };
            }
        }
    }

    /// When something is due though nothing is read.
    fn next_timeout(&self, talk: &Talk) -> Option<Instant> {
        let talks = match talk {
            Talk::Ears(ears) => ears.next_timeout(),
            Talk::Units(units) => units.next_timeout(),
        };
        let is_waiting = self.members.iter().any(|member| member.sink.is_waiting());
        let flush = is_waiting.then(|| self.clock.monotonic() + FLUSH_AGAIN);
        let presence = self.members.iter().filter_map(|member| member.presence.next_timeout()).min();
        [talks, flush, presence].into_iter().flatten().min()
    }

    fn take(&mut self, talk: &mut Talk, bytes: &[u8]) -> Doing {
        match talk {
            Talk::Ears(ears) => ears.take(bytes, &mut self.members, &self.clock),
            Talk::Units(units) => units.take(bytes, &mut self.members, &self.clock),
        }
    }

    fn timeout(&mut self, talk: &mut Talk) -> Doing {
        match talk {
            Talk::Ears(ears) => {
                let settings = format!("{} {}", self.settings.baud, self.settings.format);
                ears.timeout(&mut self.members, &self.clock, &settings)
            }
            Talk::Units(units) => units.timeout(&mut self.members, &self.clock),
        }
    }

    /// What somebody wants to be set.
    fn command(&mut self, talk: &mut Talk, command: SetCommand) -> Doing {
        let place = self.members.iter().position(|member| member.sensor.name == command.sensor);
        let Some((place, member)) = place.and_then(|place| Some((place, self.members.get_mut(place)?)))
        else {
            return Doing::default();
        };
        let order = match member.sensor.profile.command(&command.name) {
            Some(known) => known.order(&command.value),
            None => Err(format!("a {} has no such command", member.sensor.profile.id)),
        };
        let outcome = order.and_then(|order| match talk {
            Talk::Ears(ears) => ears.command(&order),
            Talk::Units(units) => units.command(place, &command.name, &order).map(|()| None),
        });
        match outcome {
            Ok(None) => Doing::default(),
            Ok(Some(write)) => {
                member.result(&command.name, None, &self.clock);
                Doing { write, ..Doing::default() }
            }
            Err(error) => {
                member.result(&command.name, Some(&error), &self.clock);
                Doing::default()
            }
        }
    }

    async fn carry_out(&mut self, wire: &mut Wire, doing: Doing) -> io::Result<()> {
        if doing.reset {
            wire.set(self.settings).await?;
        }
        if !doing.write.is_empty() {
            wire.write(&doing.write).await?;
        }
        if let Some(GoOn { acknowledge, baud }) = doing.go_on {
            sleep(REACTION).await;
            wire.write(&acknowledge).await?;
            wire.set(SerialSettings { baud, ..self.settings }).await?;
        }
        Ok(())
    }
}

async fn wait(patience: Option<Duration>) {
    match patience {
        Some(patience) => sleep(patience).await,
        None => std::future::pending().await,
    }
}
