//! MQTT over WebSocket (section 6): how the server takes a stream of packets out of frames.

use std::io::ErrorKind;

use tidegate::stream::{AllowedOrigins, WebSocket, accept_websocket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

const KEY: [u8; 4] = [1, 2, 3, 4];

/// The server's side of a connection that was opened with these subprotocols, what it answered, and the client's side.
async fn open(subprotocols: &str) -> (Option<WebSocket<DuplexStream>>, String, DuplexStream) {
    let (server, mut client) = duplex(1 << 16);
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: {subprotocols}\r\n\r\n"
    );
    client.write_all(request.as_bytes()).await.unwrap();
    let accepted = accept_websocket(server, &AllowedOrigins::default(), false).await.ok();
    let mut answer = vec![0; 4096];
    let length = client.read(&mut answer).await.unwrap();
    (accepted, String::from_utf8_lossy(&answer[..length]).into_owned(), client)
}

/// A masked frame, as clients send them.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The client offers `mqtt` among its subprotocols `[MQTT-6.0.0-3]`, the server takes it and says so
/// `[MQTT-6.0.0-4]`; without it there is no connection.
#[tokio::test]
async fn the_subprotocol_is_mqtt() {
    let (accepted, answer, _) = open("chat, mqtt").await;
    assert!(accepted.is_some() && answer.contains("\r\nSec-WebSocket-Protocol: mqtt\r\n"), "{answer}");
    let (accepted, answer, _) = open("chat").await;
    assert!(accepted.is_none() && answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

/// Any frame but a binary one closes the connection `[MQTT-6.0.0-1]`.
#[tokio::test]
async fn text_closes_the_connection() {
    let (accepted, _, mut client) = open("mqtt").await;
    client.write_all(&frame(0x81, b"\x10\x00")).await.unwrap();
    let error = accepted.unwrap().read(&mut [0; 16]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
}

/// Packets lie in frames as they come: several in one, one in several `[MQTT-6.0.0-2]`; so the bytes arrive complete
/// and in order `[MQTT-4.2-1]`.
#[tokio::test]
async fn packets_and_frames_are_not_aligned() {
    let (accepted, _, mut client) = open("mqtt").await;
    let mut accepted = accepted.unwrap();
    let packets = b"\xC0\x00\xC0\x00\x30\x05\x00\x01t\x00x";
    for piece in [&packets[..1], &packets[1..6], &packets[6..]] {
        client.write_all(&frame(0x82, piece)).await.unwrap();
    }
    let mut arrived = [0; 11];
    accepted.read_exact(&mut arrived).await.unwrap();
    assert_eq!(&arrived, packets);
}
