//! Why there is no connection to the server, in plain words.

use std::time::Duration;

use crate::mqtt::ReasonCode;

/// Why an attempt failed or a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No connection could be opened.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// Opening took too long.
    #[error("no connection within {} s: the server, or what is on the way to it, does not answer", .0.as_secs())]
    OpenTimeout(Duration),
    /// The server took the connection and did not answer CONNECT.
    #[error("connected, but no answer to CONNECT within {} s: is this an MQTT server?", .0.as_secs())]
    GreetingTimeout(Duration),
    /// CONNACK said no.
    #[error("the server refuses the login: {}", plain(*.0))]
    Refused(ReasonCode),
    /// The connection broke, or its bytes made no sense.
    #[error("the connection ended: {0}")]
    Closed(String),
    /// The server said DISCONNECT.
    #[error("the server closed the connection: {}", plain(*.0))]
    Disconnected(ReasonCode),
    /// PINGREQ was not answered.
    #[error("the link is dead: no answer to a ping within {} s", .0.as_secs())]
    PingTimeout(Duration),
    /// Messages were sent and not acknowledged.
    #[error("the link is dead, or the server is stuck: nothing acknowledged within {} s", .0.as_secs())]
    AcknowledgementTimeout(Duration),
    /// Bytes could not be written.
    #[error("the link is dead: nothing could be sent for {} s", .0.as_secs())]
    WriteTimeout(Duration),
    /// The server broke the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(&'static str),
    /// The server keeps a session under this client identifier that is not ours: it is cleared by connecting
    /// anew (section 3.2.2.1.1 of 5.0).
    #[error("the server had an old session of this client identifier; it is cleared")]
    StaleSession,
    /// The login is valid for some time only: it is renewed by connecting anew.
    #[error("the login is renewed")]
    Renewal,
    /// Another server of several is to be preferred.
    #[error("the first server of `url` is there again: going back to it")]
    Preferred,
    /// A person paused the uplink.
    #[error("paused by command; `tidegate uplink NAME resume` goes on")]
    Paused,
    /// The gateway stops.
    #[error("the gateway stops")]
    Stopped,
}

impl Fault {
    /// Whether the server asks to be left alone for a while.
    pub(super) const fn wants_rest(&self) -> bool {
        let (Fault::Refused(reason) | Fault::Disconnected(reason)) = self else { return false };
        matches!(
            reason,
            ReasonCode::ServerBusy
                | ReasonCode::QuotaExceeded
                | ReasonCode::MessageRateTooHigh
                | ReasonCode::ConnectionRateExceeded
                | ReasonCode::ReceiveMaximumExceeded
        )
    }
}

/// A reason code as a sentence part for the user.
pub(super) fn plain(reason: ReasonCode) -> String {
    let words = match reason {
        ReasonCode::Success => "no reason given",
        ReasonCode::ClientIdentifierNotValid => "it does not accept this client_id",
        ReasonCode::BadUserNameOrPassword => "user name or password is wrong",
        ReasonCode::NotAuthorized => "this user may not connect, or not do this",
        ReasonCode::UnsupportedProtocolVersion => {
            "it does not speak this version of MQTT; try version = \"3.1.1\""
        }
        ReasonCode::ServerUnavailable => "it is not available now",
        ReasonCode::ServerBusy => "it is busy",
        ReasonCode::ServerShuttingDown => "it is shutting down",
        ReasonCode::Banned => "this client is banned",
        ReasonCode::SessionTakenOver => "another client connected with the same client_id",
        ReasonCode::KeepAliveTimeout => "it heard nothing from us in time",
        ReasonCode::QuotaExceeded | ReasonCode::MessageRateTooHigh => "we send more than it allows",
        ReasonCode::ConnectionRateExceeded => "we connect too often",
        ReasonCode::ReceiveMaximumExceeded => "too many messages were open at once",
        ReasonCode::PacketTooLarge => "a message was too large for it",
        other => return format!("{other:?} (0x{:02X})", other.as_u8()),
    };
    words.to_owned()
}
