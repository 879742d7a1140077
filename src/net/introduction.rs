//! How a connection begins: a task until its CONNECT was read and the door has said who it is.
//!
//! Little is read and nothing is remembered before. After that a plain connection takes its seat at the switchboard,
//! and the task is over; one with TLS or WebSocket goes on in it. Never judges what only the broker may.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use tokio::time::timeout;

use super::admission::Admission;
use super::connection::{Connection, End, Shared, Step};
use super::door::Entry;
use super::gate::{Caller, name_of};
use super::inbox::Batch;
use super::{Counters, Refusal};
use crate::broker::{CloseReason, ConnectionId, Input, Peer};
use crate::limits::LOGIN_DEADLINE;
use crate::mqtt::{ConnAck, ConnAckProperties, Connect, DecodeError, Packet, ReasonCode};

/// Serves one accepted connection: until it has a seat at the switchboard, or to its end.
pub(super) fn serve(
    id: ConnectionId,
    caller: Caller,
    shared: Arc<Shared>,
    admission: Admission,
) -> impl Future<Output = ()> + Send {
    let Caller { stream, address, user } = caller;
    let patience = Duration::from_secs(shared.limits.connect_timeout_seconds.into());
    let mut connection = Box::new(Connection::new(id, stream, Arc::clone(&shared), admission));
    connection.set_deadline(patience);
    // Boxed: what is needed only while it is introduced is not held by those that go on in this task.
    let introduction = Box::pin(async move {
        match introduce(&mut connection, address, user).await {
            Ok(()) => Some(connection),
            Err(end) => {
                connection.note_end(&end);
                None
            }
        }
    });
    async move {
        let Some(connection) = introduction.await else { return };
        if connection.is_plain() {
            shared.switchboard.seat(connection);
        } else {
            drop(shared);
            connection.run().await;
        }
    }
}

/// Reads CONNECT and hands it to the broker, with whatever came behind it.
async fn introduce(
    connection: &mut Connection,
    address: Option<SocketAddr>,
    certified: Option<ByteString>,
) -> Result<(), End> {
    let mut connect = first_packet(connection, address).await?;
    connection.version = connect.version;
    connection.deadline = None;
    let shared = Arc::clone(&connection.shared);
    let entry = match ask_at_the_door(&shared, &connect, certified, address).await {
        Ok(entry) => entry,
        Err(reason) => {
            turn_away(connection, reason, address);
            return Ok(());
        }
    };
    // The broker has no use for it.
    connect.password = None;
    connection.reader.set_max_packet_bytes(shared.limits.max_packet_bytes);
    let id = connection.id;
    let limits = Some(Arc::clone(&shared.limits));
    let peer = Peer { user: entry.user.clone(), address: name_of(address), limits };
    let mut inputs = vec![Input::Connect { connection: id, connect, peer }];
    connection.decode_into(&mut inputs);
    let opened = Some((id, Arc::clone(&connection.outbox)));
    shared.inbox.send(Batch { opened, inputs }).await?;
    connection.is_known = true;
    match shared.door.stay(id, entry) {
        Ok(()) => connection.stays = true,
        Err(reason) => {
            let inputs = vec![Input::Expel { connection: id, reason }];
            shared.inbox.send(Batch { opened: None, inputs }).await?;
        }
    }
    connection.hand_over_rest()
}

async fn first_packet(connection: &mut Connection, address: Option<SocketAddr>) -> Result<Box<Connect>, End> {
    loop {
        match poll_fn(|context| connection.poll_step(context)).await {
            Step::Read(Ok(0)) => return Err(End::ClosedByPeer),
            Step::Read(Ok(_)) => {}
            Step::Read(Err(error)) => return Err(End::Io(error)),
            Step::Deadline => {
                refused(&connection.shared.counters, Refusal::TooLate, address);
                return Err(End::TooLate);
            }
            Step::Outgoing(_) | Step::Writable | Step::Stopped => continue,
        }
        match connection.reader.next_packet() {
            Ok(None) => {}
            Ok(Some(Packet::Connect(connect))) => return Ok(connect),
            Ok(Some(_)) => {
                refused(&connection.shared.counters, Refusal::NoConnect, address);
                return Err(End::Done);
            }
            Err(error) => {
                refused(&connection.shared.counters, Refusal::NoConnect, address);
                return Err(refuse(connection, &error));
            }
        }
    }
}

/// Waits for the verdict on who the client is; nothing is read meanwhile.
async fn ask_at_the_door(
    shared: &Shared,
    connect: &Connect,
    certified: Option<ByteString>,
    address: Option<SocketAddr>,
) -> Result<Entry, ReasonCode> {
    if !shared.connects.admit(std::time::Instant::now()) {
        return Err(ReasonCode::ConnectionRateExceeded);
    }
    let address = address.map(|address| address.ip());
    let verdict = shared.door.enter(connect, certified, address);
    timeout(LOGIN_DEADLINE, verdict).await.unwrap_or(Err(ReasonCode::ServerBusy))
}

/// The client is not let in: it is told why, and the connection closed.
fn turn_away(connection: &mut Connection, reason: ReasonCode, address: Option<SocketAddr>) {
    let refusal = match reason {
        ReasonCode::BadUserNameOrPassword => Refusal::BadUserNameOrPassword,
        ReasonCode::ServerBusy => Refusal::ServerBusy,
        ReasonCode::ConnectionRateExceeded => Refusal::TooFast,
        _ => Refusal::NotAuthorized,
    };
    refused(&connection.shared.counters, refusal, address);
    let properties = ConnAckProperties::default();
    let answer = ConnAck { session_present: false, reason, properties };
    connection.put(&Packet::ConnAck(Box::new(answer)));
    connection.start_close(CloseReason::Refused(reason));
}

/// The first packet was not an acceptable CONNECT: the answer that the standard allows, then the end.
fn refuse(connection: &mut Connection, error: &DecodeError) -> End {
    tracing::debug!(%error, "refused before CONNECT");
    if let Some(version) = connection.reader.version()
        && (version.is_v5() || error.reason == ReasonCode::UnsupportedProtocolVersion)
    {
        let reason = error.reason;
        let answer = ConnAck { session_present: false, reason, properties: ConnAckProperties::default() };
        connection.version = version;
        // [MQTT-3.1.2-2]; one write: who does not take it does not get it.
        connection.put(&Packet::ConnAck(Box::new(answer)));
        let _ = connection.write();
    }
    End::Done
}

/// Counts a refusal, and says so now and then.
fn refused(counters: &Counters, refusal: Refusal, address: Option<SocketAddr>) {
    if let Some(count) = counters.count_refused(refusal) {
        let (label, from) = (refusal.label(), name_of(address));
        tracing::info!("{count} connections were refused, the last from {from}: {label}");
    }
}
