//! An open port: bytes in, bytes out, whatever is in between.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_serial::{SerialPort as _, SerialStream};

use super::mbap::Mbap;
use super::telnet::Telnet;
use crate::device::SerialSettings;

/// A request of some bytes that is not written by then is written to nobody.
const WRITE_DEADLINE: Duration = Duration::from_secs(2);

/// An open port.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    translation: Translation,
    /// What was read and is not translated into anything that was taken.
    translated: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Serial(Box<SerialStream>),
    Tcp(TcpStream),
}

/// What stands between the bytes of the line and those of the stream.
#[derive(Debug)]
pub(super) enum Translation {
    /// Nothing.
    None,
    /// The commands of RFC 2217.
    Telnet(Box<Telnet>),
    /// The headers of Modbus TCP.
    Mbap(Mbap),
}

impl Wire {
    /// A serial port.
    pub(super) fn serial(stream: SerialStream) -> Wire {
        Wire {
            stream: Stream::Serial(Box::new(stream)),
            translation: Translation::None,
            translated: Vec::new(),
        }
    }

    /// A connection.
    pub(super) fn tcp(stream: TcpStream, translation: Translation) -> Wire {
        Wire { stream: Stream::Tcp(stream), translation, translated: Vec::new() }
    }

    /// Waits for bytes; 0 when there will be none any more. Nothing is lost when it is dropped.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.translated.is_empty() {
                let count = self.translated.len().min(buffer.len());
                for (to, from) in buffer.iter_mut().zip(self.translated.drain(..count)) {
                    *to = from;
                }
                return Ok(count);
            }
            let count = match &mut self.stream {
                Stream::Serial(port) => port.read(buffer).await,
                Stream::Tcp(connection) => connection.read(buffer).await,
            }?;
            let came = buffer.get(..count).unwrap_or_default();
            let answer = match &mut self.translation {
                Translation::None => return Ok(count),
                _ if count == 0 => return Ok(0),
                Translation::Telnet(telnet) => telnet.heard(came, &mut self.translated),
                Translation::Mbap(mbap) => {
                    mbap.heard(came, &mut self.translated);
                    Vec::new()
                }
            };
            if !answer.is_empty() {
                self.write_raw(&answer).await?;
            }
        }
    }

    /// Writes all of `bytes`, or fails within [`WRITE_DEADLINE`].
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.translation {
            Translation::None => self.write_raw(bytes).await,
            Translation::Telnet(_) => self.write_raw(&Telnet::escaped(bytes)).await,
            Translation::Mbap(mbap) => {
                let translated = mbap.wrapped(bytes);
                self.write_raw(&translated).await
            }
        }
    }

    /// Sets speed and format of a line that is open, once what was written is on its way.
    pub(super) async fn set(&mut self, settings: SerialSettings) -> io::Result<()> {
        match (&mut self.stream, &mut self.translation) {
            (Stream::Serial(port), _) => {
                port.flush().await?;
                port.set_baud_rate(settings.baud).map_err(io::Error::from)
            }
            (Stream::Tcp(_), Translation::Telnet(_)) => self.write_raw(&Telnet::settings(settings)).await,
            // Whoever is at the other end knows his line.
            (Stream::Tcp(_), _) => Ok(()),
        }
    }

    async fn write_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = match &mut self.stream {
            Stream::Serial(port) => timeout(WRITE_DEADLINE, port.write_all(bytes)).await,
            Stream::Tcp(connection) => timeout(WRITE_DEADLINE, connection.write_all(bytes)).await,
        };
        written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}
