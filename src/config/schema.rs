//! Every key of the configuration, as data: what may stand behind it, its default, what it is for.
//!
//! Unknown keys, wrong types and ranges ([`super::check`]), overrides ([`super::overrides`]) and the reference in
//! `docs/configuration.md` ([`super::reference`]) all follow from these tables.

use super::kind::{self, Kind};
use super::schema_uplink::{FORWARD, RECEIVE, UPLINK_TLS};

/// The keys of one table.
pub(super) struct Table {
    /// Its own.
    pub(super) keys: &'static [Key],
    /// The keys of this table may stand here too.
    also: Option<&'static Table>,
}

/// One key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The default, in Markdown: as it is written between backticks, or in words; empty: there is none.
    pub(super) default: &'static str,
    pub(super) about: &'static str,
}

pub(super) const fn key(name: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { name, kind, default, about }
}

pub(super) const fn table(keys: &'static [Key]) -> Table {
    Table { keys, also: None }
}

impl Table {
    /// Every key that may stand here.
    pub(super) fn all_keys(&self) -> impl Iterator<Item = &'static Key> {
        self.keys.iter().chain(self.also.map_or(&[][..], |also| also.keys))
    }

    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.all_keys().find(|key| key.name == name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.all_keys().map(|key| key.name)
    }
}

/// The whole file.
pub(super) static ROOT: Table = table(&[
    key("gateway", Kind::Table(&GATEWAY), "", "The gateway itself."),
    key(
        "broker",
        Kind::Table(&BROKER),
        "",
        "The embedded MQTT broker: who may come, and every bound that may be turned.",
    ),
    key(
        "listener",
        Kind::Tables(&LISTENER),
        "one, on 127.0.0.1:1883",
        "Where the broker listens. The keys of `[broker]` may stand here too, for this listener alone.",
    ),
    key("acl", Kind::Tables(&ACL), "", "Who may publish and subscribe what. The first that matches decides."),
    key("journal", Kind::Table(&JOURNAL), "", "What is kept on disk, and for how long."),
    key("sensor", Kind::Named(&SENSOR), "", "A sensor: exactly one of `serial`, `modbus` and `ble`."),
    key("uplink", Kind::Named(&UPLINK), "", "A cloud broker, to which messages are relayed."),
    key("ble", Kind::Table(&BLE), "", "Bluetooth Low Energy, for all sensors."),
    key("http", Kind::Table(&HTTP), "", "The dashboard, health and metrics."),
]);

static GATEWAY: Table = table(&[
    key("id", Kind::Text(&kind::NAME), "the host name", "The gateway's name in topics."),
    key(
        "data_dir",
        Kind::Text(&kind::PATH),
        "`$STATE_DIRECTORY`, else `./tidegate-data`",
        "The folder of the journal.",
    ),
    key(
        "profile_dirs",
        Kind::Texts(&kind::PATH),
        "`[]`",
        "Folders with device profiles, which add to those in the program or replace them; the last wins.",
    ),
    key(
        "report_interval_seconds",
        Kind::Number(0, 86_400),
        "`60`",
        "How often the gateway's own figures are published as `tidegate/<id>/metrics`, here and upstream; 0: never.",
    ),
]);

const SECONDS_MAX: u64 = 4_294_967_295;
const PACKET_BYTES_MAX: u64 = 268_435_460;
const MESSAGES: Kind = Kind::Number(1, 4_294_967_295);
const BYTES: Kind = Kind::Size(1024, 1 << 40);

static BROKER: Table = table(&[
    key(
        "allow_anonymous",
        Kind::Switch,
        "true on loopback, else false",
        "Whether clients may come without a user name. Opens a listener that is not loopback only if it stands in that `[[listener]]` itself.",
    ),
    key(
        "password_file",
        Kind::Text(&kind::PATH),
        "",
        "Users and their passwords, made by `tidegate passwd`.",
    ),
    key(
        "max_packet_bytes",
        Kind::Size(128, PACKET_BYTES_MAX),
        "`1048576`",
        "The largest packet that a client may send or receive.",
    ),
    key(
        "max_connect_packet_bytes",
        Kind::Size(128, PACKET_BYTES_MAX),
        "`65536`",
        "The largest CONNECT, before it is known who comes.",
    ),
    key(
        "max_topic_levels",
        Kind::Number(1, 200),
        "`200`",
        "Levels of a topic that clients publish or subscribe to.",
    ),
    key(
        "max_topic_bytes",
        Kind::Size(1, 65_535),
        "`65535`",
        "Bytes of a topic that clients publish or subscribe to.",
    ),
    key(
        "max_user_properties",
        Kind::Number(0, 1024),
        "`1024`",
        "User properties of one message of an MQTT 5 client.",
    ),
    key("max_queued_messages", MESSAGES, "`100000`", "Messages that wait for one session."),
    key("max_queued_bytes", BYTES, "`67108864`", "Bytes that wait for one session."),
    key(
        "receive_maximum",
        Kind::Number(1, 65_535),
        "`100`",
        "Unacknowledged QoS 1 and 2 messages at once, in each direction.",
    ),
    key("max_connections", Kind::Number(1, 1_000_000), "`10000`", "Connections at once."),
    key(
        "max_connections_per_address",
        Kind::Number(1, 1_000_000),
        "`10000`",
        "Connections at once from one address; of IPv6, from one /64 network.",
    ),
    key(
        "max_connects_per_second",
        Kind::Number(1, 1_000_000),
        "`10000`",
        "Clients that may connect within a second; others are told to come later.",
    ),
    key(
        "connect_timeout_seconds",
        Kind::Number(1, 3600),
        "`10`",
        "How long a new connection may take to introduce itself.",
    ),
    key("max_sessions", Kind::Number(1, 1_000_000), "`10000`", "Sessions, connected or not."),
    key("max_subscriptions", Kind::Number(1, 1_000_000), "`1000`", "Subscriptions of one session."),
    key("max_retained_messages", MESSAGES, "`100000`", "Retained messages."),
    key("max_retained_bytes", BYTES, "`67108864`", "Bytes of retained messages."),
    key(
        "topic_alias_maximum",
        Kind::Number(0, 65_535),
        "`16`",
        "Topic aliases that an MQTT 5 client may use.",
    ),
    key(
        "server_keep_alive_seconds",
        Kind::Number(0, 65_535),
        "`0`",
        "The longest keep-alive of an MQTT 5 client: who wants a longer one, or none, is told this. 0 takes the client's own.",
    ),
    key(
        "max_session_expiry_seconds",
        Kind::Number(0, SECONDS_MAX),
        "`4294967295`",
        "How long a session may outlive its connection; 4294967295: for ever.",
    ),
    key(
        "sys_interval_seconds",
        Kind::Number(0, 3600),
        "`10`",
        "How often the figures below `$SYS` are looked at, for all listeners; 0: there are none.",
    ),
    key(
        "max_outbox_bytes",
        BYTES,
        "`1048576`",
        "Bytes waiting for one slow connection, above which QoS 0 is dropped and the rest waits.",
    ),
]);

static LISTENER: Table = Table {
    keys: &[
        key(
            "address",
            Kind::Text(&kind::LISTEN),
            "`\"127.0.0.1:1883\"`",
            "Address and port, where port 0 lets the system choose; or `unix:PATH`, a Unix socket; or `systemd`, `systemd:NAME`, a socket that systemd hands over.",
        ),
        key(
            "mode",
            Kind::Text(&kind::MODE),
            "`\"0660\"`",
            "Who may connect to a Unix socket: the mode of its file.",
        ),
        key(
            "protocol",
            Kind::Choice(&["mqtt", "websocket"]),
            "`\"mqtt\"`",
            "MQTT over TCP, or over WebSocket.",
        ),
        key(
            "allowed_origins",
            Kind::Texts(&kind::ORIGIN),
            "`[]`",
            "For `websocket`: the web pages from which browsers may connect; `*`: all. Programs that are no browsers always may.",
        ),
        key(
            "proxy_protocol",
            Kind::Switch,
            "`false`",
            "Every connection begins with a PROXY protocol header, version 2, of the load balancer in front.",
        ),
        key("tls", Kind::Table(&LISTENER_TLS), "", "Encryption. Renewed files are noticed by themselves."),
    ],
    also: Some(&BROKER),
};

static LISTENER_TLS: Table = table(&[
    key("cert", Kind::Text(&kind::PATH), "", "The server's certificate chain, PEM."),
    key("key", Kind::Text(&kind::PATH), "", "Its private key, PEM."),
    key(
        "client_ca",
        Kind::Text(&kind::PATH),
        "",
        "Clients must show a certificate signed by one of these, PEM.",
    ),
    key(
        "client_certificate",
        Kind::Choice(&["required", "optional"]),
        "`\"required\"`",
        "Whether a client without a certificate is turned away, where there is a `client_ca`.",
    ),
    key(
        "user_from_certificate",
        Kind::Switch,
        "`true`",
        "Whether the common name (CN) of a client's certificate is its user name; it then needs no password.",
    ),
]);

const RIGHT: Kind = Kind::Choice(&["publish", "subscribe", "both"]);

static ACL: Table = table(&[
    key("user", Kind::Text(&kind::TEXT), "everybody", "The user that it is about."),
    key("client", Kind::Text(&kind::TEXT), "everybody", "The client identifier that it is about."),
    key(
        "anonymous",
        Kind::Switch,
        "both",
        "`true`: it is about clients without a user name only; `false`: about those with one only.",
    ),
    key("allow", RIGHT, "", "What is allowed."),
    key("deny", RIGHT, "", "What is forbidden."),
    key(
        "topic",
        Kind::Text(&kind::TOPIC_FILTER),
        "",
        "Where; `%u` stands for the user, `%c` for the client.",
    ),
]);

static JOURNAL: Table = table(&[
    key(
        "commit_interval_ms",
        Kind::Number(0, 3_600_000),
        "`1000`",
        "How long a reading may wait for its place on disk, so that an SD card sees few writes. Acknowledgements never wait for it.",
    ),
    key(
        "max_bytes",
        Kind::Size(1 << 20, 1 << 44),
        "the smaller of 1 GiB and 10 % of what is free",
        "How large the journal may grow on disk.",
    ),
    key("max_age", Kind::Duration, "`\"30d\"`", "Older messages are dropped, and counted."),
    key(
        "when_full",
        Kind::Choice(&["drop-oldest", "drop-newest", "block", "keep-latest"]),
        "`\"drop-oldest\"`",
        "What happens at `max_bytes`: the oldest go, the newest are refused, publishers wait, or the latest of each topic is kept.",
    ),
]);

static SENSOR: Table = table(&[
    key(
        "serial",
        Kind::Text(&kind::PORT),
        "",
        "A serial port: best one of `/dev/serial/by-id`, which keeps its name; or `usb:VENDOR:PRODUCT[:SERIAL]`, `tcp://HOST:PORT` (bytes as they are), `rfc2217://HOST:PORT`. Sensors of one profile may share it.",
    ),
    key(
        "modbus",
        Kind::Text(&kind::PORT),
        "",
        "The port of a Modbus line, which several sensors may share; `tcp://HOST:PORT` is Modbus TCP, `rtu+tcp://HOST:PORT` Modbus RTU over TCP.",
    ),
    key("unit", Kind::Number(1, 254), "the profile's", "Its number on the Modbus line."),
    key("flow", Kind::Choice(&["none", "hardware", "software"]), "`\"none\"`", "Flow control of the port."),
    key("exclusive", Kind::Switch, "`true`", "Whether no other program may open the port meanwhile."),
    key(
        "dtr",
        Kind::Switch,
        "the driver's",
        "The line DTR once the port is open; boards that reset by it want `false`.",
    ),
    key("rts", Kind::Switch, "the driver's", "The line RTS once the port is open."),
    key(
        "rs485",
        Kind::Switch,
        "`false`",
        "Whether the kernel turns the direction of RS-485, where the port's driver can.",
    ),
    key("low_latency", Kind::Switch, "`true`", "Whether an FTDI adapter hands bytes on at once."),
    key("ble", Kind::Text(&kind::BLE_ADDRESS), "", "Its Bluetooth address."),
    key(
        "key",
        Kind::Text(&kind::SECRET),
        "",
        "What its advertisements, or the telegrams of its port P1, are encrypted with: 32 hexadecimal digits, or where they are.",
    ),
    key(
        "authentication_key",
        Kind::Text(&kind::SECRET),
        "that of Luxembourg's meters",
        "The other key of a meter whose port P1 is encrypted, where it has one of its own.",
    ),
    key(
        "profile",
        Kind::Text(&kind::NAME),
        "",
        "What kind of device it is: a file of `hardware/profiles` or of `profile_dirs`, without `.toml`.",
    ),
    key("baud", Kind::Number(50, 4_000_000), "the profile's", "Bits per second."),
    key("format", Kind::Text(&kind::SERIAL_FORMAT), "the profile's", "Data bits, parity, stop bits."),
    key(
        "interval_ms",
        Kind::Number(10, 86_400_000),
        "the profile's",
        "How often a device is asked that speaks only when it is asked.",
    ),
    key(
        "columns",
        Kind::Texts(&kind::MEASUREMENT),
        "",
        "For `csv`: the measurement of each column; `\"\"` passes one over.",
    ),
    key("separator", Kind::Text(&kind::TEXT), "a comma", "For `csv`: what stands between two columns."),
    key(
        "map",
        Kind::Map(&kind::MEASUREMENT),
        "",
        "For `json-lines` and `key-value`: from the device's key to the measurement. With a map nothing else is taken.",
    ),
    key(
        "eep",
        Kind::Map(&kind::TEXT),
        "",
        "For `enocean-esp3`: from a sender's eight hexadecimal digits to its equipment profile, `A5-02-05`.",
    ),
    key(
        "meter",
        Kind::Text(&kind::TEXT),
        "the one that answers",
        "For `m-bus`: the meter's address, `\"1\"` to `\"250\"`, or its number of eight digits, F for any digit.",
    ),
    key("pattern", Kind::Text(&kind::PATTERN), "", "For `regex`: a group of each measurement's name."),
]);

static UPLINK: Table = table(&[
    key(
        "url",
        Kind::OneOrMore(&kind::URL),
        "",
        "The server: mqtt, mqtts, ws or wss, host and port, for ws and wss a path (`/mqtt` unless it is written). Of several servers in a list one is used at a time; the next when it does not answer or refuses.",
    ),
    key(
        "proxy",
        Kind::Text(&kind::PROXY),
        "",
        "A web proxy (HTTP CONNECT) that stands between the gateway and the server; port 3128 unless it is written.",
    ),
    key("proxy_username", Kind::Text(&kind::TEXT), "", "The user to log in at the proxy as."),
    key("proxy_password", Kind::Text(&kind::SECRET), "", "And the password."),
    key("version", Kind::Choice(&["5", "3.1.1"]), "`\"5\"`", "The MQTT version to speak."),
    key(
        "client_id",
        Kind::Text(&kind::CLIENT_ID),
        "the gateway's id",
        "Who the gateway is at that server; one client at a time may be it.",
    ),
    key("username", Kind::Text(&kind::TEXT), "", "The user to log in as."),
    key(
        "password",
        Kind::Text(&kind::SECRET),
        "",
        "The password: `file:PATH`, `env:NAME` or `credential:NAME`. Read anew for each connection.",
    ),
    key(
        "keep_alive_seconds",
        Kind::Number(0, 65_535),
        "`60`",
        "A dead link is found within 1.5 times this; 0 turns it off.",
    ),
    key("tls", Kind::Table(&UPLINK_TLS), "", "Encryption beyond what the URL says."),
    key(
        "provider",
        Kind::Choice(&[
            "aws-iot",
            "azure-iot-hub",
            "azure-event-grid",
            "emqx-serverless",
            "hivemq-cloud",
            "thingsboard",
            "adafruit-io",
            "rabbitmq",
            "nats",
        ]),
        "",
        "Respects the limits and habits of a known cloud.",
    ),
    key(
        "shared_access_key",
        Kind::Text(&kind::SECRET),
        "",
        "For Azure IoT Hub: the device's key, from which user name and passwords are made and renewed: `file:PATH`, `env:NAME` or `credential:NAME`.",
    ),
    key(
        "order",
        Kind::Choice(&["fifo", "live-first"]),
        "`\"fifo\"`",
        "Whether fresh messages pass the backlog after an outage.",
    ),
    key(
        "backlog_percent",
        Kind::Number(1, 100),
        "`50`",
        "With `live-first`: of a hundred messages sent while both wait, so many are of the backlog.",
    ),
    key(
        "rate",
        Kind::Text(&kind::RATE),
        "the provider's, else none",
        "How many messages may be sent; the rest waits.",
    ),
    key(
        "window",
        Kind::Number(1, 65_535),
        "the provider's, else `2000`",
        "Messages sent and not acknowledged at once; the server's Receive Maximum may be lower.",
    ),
    key(
        "message_id",
        Kind::Choice(&["property", "field", "off"]),
        "`\"property\"`",
        "Where a message carries a name that stays the same when it is sent again: the user property `tidegate-id` of MQTT 5; the field `message_id` of a JSON payload (and the property); or nowhere.",
    ),
    key(
        "payload",
        Kind::Choice(&["json", "senml", "thingsboard"]),
        "`\"json\"`; for ThingsBoard `\"thingsboard\"`",
        "What readings look like at that server: one JSON object each; a SenML pack (RFC 8428); what ThingsBoard wants from gateways.",
    ),
    key(
        "daily_budget",
        Kind::Size(1024, 1 << 50),
        "",
        "For links that cost: bytes of MQTT in a day, both ways. When they are used up, only alarms are sent until midnight.",
    ),
    key(
        "windows",
        Kind::Texts(&kind::WINDOW),
        "`[]`",
        "For links that cost: at which times of the day, in local time, they may be used, as `\"22:00-06:00\"`. Outside of them only alarms are sent. Empty: always.",
    ),
    key(
        "max_bytes",
        Kind::Size(64 << 10, 1 << 44),
        "",
        "How much of the journal may wait for this uplink; unless it is said, only `[journal]` bounds it.",
    ),
    key(
        "max_age",
        Kind::Duration,
        "that of `[journal]`",
        "Messages that waited longer for this uplink are dropped, and counted.",
    ),
    key(
        "when_full",
        Kind::Choice(&["drop-oldest", "drop-newest"]),
        "`\"drop-oldest\"`",
        "What happens at its own `max_bytes`: the oldest go, those of `bulk` rules first and alarms last, or what is new is not kept for it.",
    ),
    key(
        "durability",
        Kind::Choice(&["disk", "either"]),
        "`\"disk\"`",
        "`either`: readings go up at once, and what the server has acknowledged within `commit_interval_ms` is never written to disk.",
    ),
    key(
        "forward",
        Kind::Rules(&FORWARD),
        "`[\"tidegate/#\"]`",
        "What goes up. The first that matches a message decides.",
    ),
    key(
        "receive",
        Kind::Rules(&RECEIVE),
        "`[]`",
        "What comes down. The first that matches a message decides.",
    ),
]);

static BLE: Table = table(&[
    key(
        "auto",
        Kind::Texts(&kind::NAME),
        "`[]`",
        "Families of devices that are published without being named one by one.",
    ),
    key(
        "connections",
        Kind::Number(1, 7),
        "`1`",
        "Connections at once on each radio, for sensors whose profile has `[gatt]`; the others wait their turn.",
    ),
]);

static HTTP: Table =
    table(&[key("address", Kind::Text(&kind::ADDRESS), "", "Where it is served; best on loopback.")]);
