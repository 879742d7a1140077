//! Keep-alive: who is silent for 1.5 x its interval is gone (section 3.1.2.10).
//!
//! A packet only notes when it came; the deadline is looked at when it passes and moved if something was heard.

use crate::limits::UNCOMMITTED_BYTES;
use crate::mqtt::{Packet, ReasonCode};

use super::ending::Ending;
use super::sessions::{Attached, SessionKey};
use super::timers::Timer;
use super::{Broker, CloseReason, ConnectionId, Output, Turn};

impl Broker {
    /// Begins to watch a new connection.
    pub(super) fn watch(&mut self, turn: &Turn<'_>, key: SessionKey) {
        let Some(connection) = self.sessions.at(key).connection_mut() else { return };
        let Some(patience) = connection.patience() else { return };
        let until = turn.now.monotonic + patience;
        connection.watched_until = Some(until);
        self.timers.set(until, Timer::KeepAlive(connection.id));
    }

    /// A deadline has come: the connection is ended `[MQTT-3.1.2-22]`, or watched on if something was heard.
    pub(super) fn keep_alive_due(&mut self, turn: &mut Turn<'_>, connection: ConnectionId) {
        let Some(Attached::To(key)) = self.sessions.by_connection(connection) else {
            unreachable!("a connection is watched until its end");
        };
        let Some(link) = self.sessions.at(key).connection_mut() else { return };
        let Some(patience) = link.patience() else { return };
        let now = turn.now.monotonic;
        // While the disk is behind, publishers are not read: their silence is ours.
        let since = if self.ledger.uncommitted_bytes() > UNCOMMITTED_BYTES { now } else { link.last_heard };
        let until = since + patience;
        if until <= now {
            let ending = Ending::told(CloseReason::KeepAlive, ReasonCode::KeepAliveTimeout);
            link.watched_until = None;
            return self.end_connection(turn, key, ending);
        }
        link.watched_until = Some(until);
        self.timers.set(until, Timer::KeepAlive(connection));
    }

    /// PINGREQ. Its answer does not wait for the disk, but no packet comes before CONNACK.
    pub(super) fn pingreq(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        match self.sessions.get(key).connection() {
            Some(link) if link.greeted => {
                turn.out.push(Output::Send { connection: link.id, packet: Packet::PingResp });
            }
            _ => self.answer(turn, key, Packet::PingResp, None),
        }
    }

    /// Something whose deadline has come.
    pub(super) fn timeout(&mut self, turn: &mut Turn<'_>) {
        while let Some(timer) = self.timers.take_due(turn.now.monotonic) {
            match timer {
                Timer::KeepAlive(connection) => self.keep_alive_due(turn, connection),
                Timer::Session(key) => self.session_due(turn, key),
            }
        }
    }
}
