//! Every bound of the program, in one place.
//!
//! What a peer, a device or a disk could make grow is bounded here, by count and by bytes. What a user may turn is
//! a field of [`Limits`]; the others are constants. What overflows is counted by reason, see
//! [`crate::durable::DropReason`].

use std::time::Duration;

/// Bytes of a packet accepted before CONNECT succeeded, unless the configuration says otherwise: enough for a will and
/// long credentials.
pub const PACKET_BYTES_BEFORE_CONNECT: usize = 64 * 1024;
/// The largest packet that the standard can express (section 2.1.4).
pub const PACKET_BYTES_MAX: usize = 268_435_460;
/// Logins that wait for the verdict on their password, each with its CONNECT; more are told that the server is busy.
pub const LOGINS_WAITING: usize = 256;
/// How many of them may come from one address.
pub const LOGINS_WAITING_PER_ADDRESS: usize = 64;
/// How long a login may take, waiting included.
pub const LOGIN_DEADLINE: Duration = Duration::from_secs(20);
/// Threads that hash passwords, at most; each takes the memory of one hash, 19 MiB as we make them.
pub const PASSWORD_THREADS: usize = 4;
/// Logins that were right and are remembered, so that a whole site may come back without being hashed anew.
pub const REMEMBERED_LOGINS: usize = 1024;
/// How long they are remembered.
pub const REMEMBERED_LOGINS_FOR: Duration = Duration::from_secs(60 * 60);
/// How long a connection that is being closed may take to read what was sent.
pub const CLOSE_DEADLINE: Duration = Duration::from_secs(5);
/// How long a new connection may take with everything ahead of MQTT: a proxy's header, TLS, WebSocket.
pub const GATE_DEADLINE: Duration = Duration::from_secs(10);
/// Bytes read from a socket at once.
pub const READ_BUFFER_BYTES: usize = 16 * 1024;
/// Batches that wait for the broker.
pub const INBOX_BATCHES: usize = 256;
/// Packets of one connection in one batch.
pub const BATCH_PACKETS: usize = 256;
/// Batches that wait for one connection's socket.
pub const OUTBOX_BATCHES: usize = 1024;
/// User properties of one packet (5.0): each costs the reader more memory than the sender bytes.
pub const USER_PROPERTIES: usize = 1024;
/// Filters of one SUBSCRIBE or UNSUBSCRIBE, for the same reason.
pub const PACKET_FILTERS: usize = 16 * 1024;
/// Topic aliases that are remembered for one connection towards its client (5.0).
pub const OUTGOING_TOPIC_ALIASES: u16 = 64;
/// Topic levels of a name or a filter, at most.
pub const TOPIC_LEVELS: usize = 200;
/// Bytes of a name or a filter, at most: what the standard can express (section 1.5.4).
pub const TOPIC_BYTES: usize = 65_535;
/// Bytes handed to the journal and not yet committed, above which durable publishers wait.
pub const UNCOMMITTED_BYTES: usize = 8 * 1024 * 1024;
/// Topics, for each consumer anew, of which the journal knows the latest message (`keep-latest`).
pub const LATEST_TOPICS: usize = 64 * 1024;
/// Requests that wait for the journal's thread; each may be a batch.
pub const JOURNAL_REQUESTS: usize = 256;
/// Bytes of deliveries loaded from the journal at once for one consumer.
pub const LOAD_BYTES: usize = 256 * 1024;
/// Bytes in one commit after which it is not delayed any more.
pub const COMMIT_BYTES: usize = 256 * 1024;
/// Entries in one commit after which it is not delayed any more: acknowledgements are small on disk, and not so small
/// in memory while they wait.
pub const COMMIT_ENTRIES: usize = 8 * 1024;
/// Messages whose places in the journal are kept in memory, those of two segments aside.
pub const JOURNAL_PLACES: usize = 128 * 1024;
/// Bytes of a frame or line from a serial device.
pub const FRAME_BYTES: usize = 4096;
/// Advertisements of one device that wait to be decoded.
pub const BLE_UNREAD: usize = 64;
/// Devices of which a radio's last words are remembered.
pub const BLE_DEVICES: usize = 4096;
/// Devices that are published of themselves, by their family.
pub const BLE_AUTOMATIC: usize = 256;
/// Bytes of the value of a Bluetooth characteristic (Core Specification, Vol 3, Part F, 3.2.9).
pub const GATT_VALUE: usize = 512;
/// Measurements of one reading.
pub const MEASUREMENTS: usize = 256;

/// Deliveries of one uplink that are read ahead of its window; more is read when half of them are sent. At the pace of
/// a fast server they last for longer than a commit takes, or the look into another segment.
pub const UPLINK_LOAD_MESSAGES: usize = 4096;
/// Bytes of them.
pub const UPLINK_LOAD_BYTES: usize = 512 * 1024;
/// Bytes of payload that are open towards an uplink's server; one message may be larger.
pub const UPLINK_WINDOW_BYTES: usize = 4 * 1024 * 1024;
/// Unacknowledged QoS 1 and 2 publishes that an uplink's server may have open towards us (5.0 Receive Maximum).
pub const UPLINK_RECEIVE_MAXIMUM: u16 = 100;
/// Bytes of the largest packet that an uplink's server may send us.
pub const UPLINK_INCOMING_PACKET_BYTES: usize = 1024 * 1024;
/// Bytes that wait unsent in the kernel for an uplink's server, above which a write counts as blocked.
pub const UPLINK_UNSENT_BYTES: u32 = 128 * 1024;
/// How long one address of an uplink's server may take to answer before the next is tried.
pub const UPLINK_ADDRESS_DEADLINE: Duration = Duration::from_secs(5);
/// How long a handshake of TLS, WebSocket or a proxy may take, each.
pub const TLS_HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);
/// How long saying good-bye to an uplink's server may take.
pub const UPLINK_GOODBYE_DEADLINE: Duration = Duration::from_secs(1);
/// QoS 2 publishes open towards a server of 3.1.1, which cannot say how many it takes: mosquitto takes 20, and lets
/// more wait without a word.
pub const UPLINK_QOS_2_WINDOW_3_1_1: usize = 20;
/// How old a message may be that an uplink sends at QoS 0: what waited for a link is dropped.
pub const UPLINK_LIVE_FOR: Duration = Duration::from_secs(10);
/// Bytes of the file of what an uplink's server will never take.
pub const DEAD_LETTER_BYTES: u64 = 16 * 1024 * 1024;
/// Filters in one SUBSCRIBE of an uplink; some clouds refuse more.
pub const UPLINK_SUBSCRIBE_FILTERS: usize = 8;
/// Acknowledgements of an uplink that are handed to the journal together, when nobody waits for them.
pub const UPLINK_HANDOVER_RECORDS: usize = 256;
/// How long they may be kept for that.
pub const UPLINK_HANDOVER_DELAY: Duration = Duration::from_millis(20);
/// With so many messages open towards a server, its answers are gathered for a moment: one look at many instead of
/// many at one.
pub const UPLINK_GATHER_FROM: usize = 256;
/// For how long. Far shorter than what is open keeps the server busy.
pub const UPLINK_GATHER_FOR: Duration = Duration::from_millis(2);
/// How often an uplink that uses another than the first of its servers looks whether that is there again.
pub const UPLINK_RETURN_AFTER: Duration = Duration::from_secs(60);
/// How long opening a connection to an uplink's server may take, all its addresses together.
pub const UPLINK_OPEN_DEADLINE: Duration = Duration::from_secs(20);
/// How long an uplink's server may take to answer CONNECT.
pub const UPLINK_GREETING_DEADLINE: Duration = Duration::from_secs(10);
/// How long an uplink's server may take to answer anything, and a write to it to advance.
pub const UPLINK_ACKNOWLEDGEMENT_DEADLINE: Duration = Duration::from_secs(10);

/// The bounds that a user may turn, with their defaults. Keys of `[broker]` in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one packet, after CONNECT.
    pub max_packet_bytes: usize,
    /// Bytes of the first packet, CONNECT.
    pub max_connect_packet_bytes: usize,
    /// Topic levels of a name or a filter.
    pub max_topic_levels: usize,
    /// Bytes of a topic name or a filter.
    pub max_topic_bytes: usize,
    /// User properties of a PUBLISH or a will (5.0).
    pub max_user_properties: usize,
    /// Messages that wait for one session.
    pub max_queued_messages: usize,
    /// Bytes that wait for one session.
    pub max_queued_bytes: usize,
    /// Unacknowledged QoS 1 and 2 publishes that a client may have open (5.0 Receive Maximum), and that are
    /// open towards a client that does not say.
    pub receive_maximum: u16,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address; of IPv6, from one /64 network.
    pub max_connections_per_address: usize,
    /// Clients that may connect within a second, by one listener; as many may come at once after a pause.
    pub max_connects_per_second: u32,
    /// Seconds that a new connection may take to introduce itself.
    pub connect_timeout_seconds: u16,
    /// Sessions, connected or not.
    pub max_sessions: usize,
    /// Subscriptions of one session.
    pub max_subscriptions: usize,
    /// Retained messages.
    pub max_retained_messages: usize,
    /// Bytes of retained messages.
    pub max_retained_bytes: usize,
    /// Topic aliases that a client may use (5.0).
    pub topic_alias_maximum: u16,
    /// Seconds; 0 takes the client's own keep-alive.
    pub server_keep_alive_seconds: u16,
    /// Seconds that any session may outlive its connection.
    pub max_session_expiry_seconds: u32,
    /// Seconds between two looks at the broker's figures, which are published below `$SYS` when they have changed; 0:
    /// never.
    pub sys_interval_seconds: u16,
    /// Bytes waiting for a connection's socket above which QoS 0 is dropped and the rest waits.
    pub max_outbox_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_packet_bytes: 1024 * 1024,
            max_connect_packet_bytes: PACKET_BYTES_BEFORE_CONNECT,
            max_topic_levels: TOPIC_LEVELS,
            max_topic_bytes: TOPIC_BYTES,
            max_user_properties: USER_PROPERTIES,
            max_queued_messages: 100_000,
            max_queued_bytes: 64 * 1024 * 1024,
            receive_maximum: 100,
            max_connections: 10_000,
            max_connections_per_address: 10_000,
            max_connects_per_second: 10_000,
            connect_timeout_seconds: 10,
            max_sessions: 10_000,
            max_subscriptions: 1_000,
            max_retained_messages: 100_000,
            max_retained_bytes: 64 * 1024 * 1024,
            topic_alias_maximum: 16,
            server_keep_alive_seconds: 0,
            max_session_expiry_seconds: u32::MAX,
            sys_interval_seconds: 10,
            max_outbox_bytes: 1024 * 1024,
        }
    }
}
