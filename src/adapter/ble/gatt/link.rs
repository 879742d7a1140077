//! A connection as sensors need it, whoever makes it: btleplug on a machine, a stand-in in tests.

use crate::device::ble::{Address, Uuid};

/// Makes connections.
pub trait Central: Send + Sync + 'static {
    /// What a connection is.
    type Link: Link;

    /// Connects to a device that this radio has heard, and finds out what it has.
    fn connect(
        &self,
        address: Address,
        radio: &str,
    ) -> impl Future<Output = Result<Self::Link, Unconnected>> + Send;

    /// The radio on which the device is connected already, as one is that an earlier run left so: it does not
    /// advertise.
    fn connected_on(&self, address: Address) -> impl Future<Output = Option<String>> + Send;
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unconnected {
    /// The radio, bluetoothd or the bus: the device is not to blame.
    #[error("{0}")]
    Radio(String),
    /// The device did not answer, or refused.
    #[error("{0}")]
    Device(String),
}

/// Why something over a connection failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The connection is gone.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The device does not want to.
    #[error("the device refused: {0}")]
    Refused(String),
}

/// What can be done with a characteristic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// It can be read.
    pub read: bool,
    /// It notifies or indicates.
    pub notify: bool,
}

/// A connection. Ends when it is dropped; [`Link::close`] waits for that.
pub trait Link: Send + 'static {
    /// What can be done with a characteristic; `None`: the device does not have it.
    fn abilities(&self, uuid: Uuid) -> Option<Abilities>;

    /// Reads a value.
    fn read(&mut self, uuid: Uuid) -> impl Future<Output = Result<Vec<u8>, LinkError>> + Send;

    /// Writes a value, with a response where the device gives one.
    fn write(&mut self, uuid: Uuid, value: &[u8]) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Asks for notifications.
    fn listen(&mut self, uuid: Uuid) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// The next notification; an error when the connection is gone. May be given up and asked again.
    fn next(&mut self) -> impl Future<Output = Result<(Uuid, Vec<u8>), LinkError>> + Send;

    /// Ends the connection.
    fn close(self) -> impl Future<Output = ()> + Send;
}
