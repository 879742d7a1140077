//! The tables inside `[uplink.NAME]`, as data: encryption, what goes up, what comes down. Checks nothing itself.

use super::kind::{self, Kind};
use super::schema::{Table, key, table};

pub(super) static UPLINK_TLS: Table = table(&[
    key("ca", Kind::Text(&kind::PATH), "the system's", "Who may have signed the server's certificate, PEM."),
    key("cert", Kind::Text(&kind::PATH), "", "Our certificate chain, PEM."),
    key("key", Kind::Text(&kind::PATH), "", "Its private key, PEM."),
    key(
        "alpn",
        Kind::Texts(&kind::ALPN),
        "`[]`",
        "Protocols to offer; AWS IoT wants `\"x-amzn-mqtt-ca\"` on port 443 and gets it by itself.",
    ),
    key(
        "server_name",
        Kind::Text(&kind::TEXT),
        "the host of `url`",
        "The name that the server's certificate must have, and that is asked for (SNI).",
    ),
]);

pub(super) static FORWARD: Table = table(&[
    key("filter", Kind::Text(&kind::TOPIC_FILTER), "", "Which messages."),
    key(
        "to",
        Kind::Text(&kind::TOPIC),
        "their own topic",
        "Where they go: a topic; `PREFIX/#`, which replaces the filter's levels ahead of its first wildcard; or a template: `{2}` is the second level of the old topic, `{2..}` that and all behind it, `{gateway}` the gateway's id, `{client_id}` the uplink's.",
    ),
    key("qos", Kind::Number(0, 2), "`1`", "The highest quality of service upstream."),
    key(
        "priority",
        Kind::Choice(&["alarm", "normal", "bulk"]),
        "`\"normal\"`",
        "Which goes first: an alarm before everything else, bulk when nothing else waits.",
    ),
    key(
        "retain",
        Kind::Choice(&["keep", "always", "never"]),
        "`\"keep\"`",
        "Whether the server is to retain them: as the publisher said, always, or never.",
    ),
    key(
        "rate",
        Kind::Text(&kind::RATE),
        "",
        "How many may be sent; the rest waits, and holds nothing else back.",
    ),
    key(
        "batch",
        Kind::Table(&BATCH),
        "",
        "Puts many readings into one publish: a JSON array, or as `payload` says.",
    ),
]);

static BATCH: Table = table(&[
    key("messages", Kind::Number(2, 10_000), "`100`", "How many at most."),
    key("bytes", Kind::Size(256, 16 << 20), "`\"64KiB\"`", "How many bytes at most, about."),
    key("linger", Kind::Duration, "`\"1min\"`", "How long the first may wait for the others."),
]);

pub(super) static RECEIVE: Table = table(&[
    key("filter", Kind::Text(&kind::TOPIC_FILTER), "", "Which messages of the server."),
    key(
        "to",
        Kind::Text(&kind::TOPIC),
        "their own topic",
        "What they are called here, written as in `forward`.",
    ),
    key("qos", Kind::Number(0, 2), "`1`", "The highest quality of service."),
    key(
        "max_age",
        Kind::Duration,
        "",
        "Commands that waited longer than this at the server while the link was down are dropped and counted.",
    ),
]);
