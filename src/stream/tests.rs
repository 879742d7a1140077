//! Streams over real sockets and over memory: certificates of all kinds, frames in all pieces, peers that misbehave.

#[path = "../../tests/end_to_end/authority.rs"]
mod authority;

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::time::timeout;

use self::authority::{Authority, Identity};
use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn server(identity: &Identity, clients: Option<ClientAuthentication>) -> ServerTls {
    ServerTls { cert: identity.cert.clone(), key: identity.key.clone(), clients }
}

/// Serves one TLS connection, echoing what comes; the name that its client's certificate has.
async fn serve(tls: ServerTls) -> (u16, tokio::task::JoinHandle<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = tls.load().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut tls = Stream::accept_tls(stream.into(), config).await.ok()?;
        let shown = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
        let mut bytes = [0; 5];
        tls.read_exact(&mut bytes).await.ok()?;
        tls.write_all(&bytes).await.ok()?;
        tls.flush().await.ok()?;
        Some(shown.and_then(|certificate| common_name(&certificate)).unwrap_or_default())
    });
    (port, task)
}

fn route(ca: &Path, identity: Option<&Identity>) -> Route {
    let identity = identity.map(|identity| (identity.cert.clone(), identity.key.clone()));
    let tls = ClientTls { ca: Some(ca.to_owned()), identity, ..ClientTls::default() };
    Route { tls, ..Route::default() }
}

fn url(host: &str, port: u16) -> Url {
    Url::parse(&format!("mqtts://{host}:{port}")).unwrap()
}

async fn echo(stream: &mut Stream) -> io::Result<()> {
    stream.write_all(b"hello").await?;
    stream.flush().await?;
    let mut bytes = [0; 5];
    timeout(PATIENCE, stream.read_exact(&mut bytes)).await.expect("nothing came back")?;
    assert_eq!(&bytes, b"hello");
    Ok(())
}

fn folder() -> (TempDir, Authority) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "ours");
    (folder, authority)
}

#[tokio::test]
async fn tls_carries_bytes_and_the_name_of_the_client() {
    let (_folder, authority) = folder();
    let identity = authority.sign("localhost", &["localhost"]);
    let client = authority.sign("greenhouse", &["client.invalid"]);
    let clients = ClientAuthentication { ca: authority.ca.clone(), required: true, names_user: true };
    let (port, served) = serve(server(&identity, Some(clients))).await;
    let mut stream = route(&authority.ca, Some(&client)).open(&url("localhost", port)).await.unwrap();
    echo(&mut stream).await.unwrap();
    assert_eq!(served.await.unwrap().as_deref(), Some("greenhouse"));
}

/// Each refusal says what is wrong in words that lead to what to do.
#[tokio::test]
async fn a_server_that_cannot_be_trusted_is_refused_in_plain_words() {
    let (folder, authority) = folder();
    let others = Authority::new(folder.path(), "theirs");
    let good = authority.sign("localhost", &["localhost"]);
    let expired = authority.sign_expired("expired", &["localhost"]);
    let elsewhere = authority.sign("elsewhere", &["elsewhere.example.com"]);
    for (identity, ca, words) in [
        (&expired, &authority.ca, "has expired"),
        (&elsewhere, &authority.ca, "another host name: it names elsewhere.example.com, not localhost"),
        (&good, &others.ca, "unknown CA"),
    ] {
        let (port, served) = serve(server(identity, None)).await;
        let refusal = route(ca, None).open(&url("localhost", port)).await.err().unwrap();
        assert!(refusal.contains(words), "{refusal:?} does not say {words:?}");
        assert_eq!(served.await.unwrap(), None);
    }
    // The name to be proved may be another than the one that is looked up.
    let (port, _served) = serve(server(&elsewhere, None)).await;
    let mut route = route(&authority.ca, None);
    route.tls.server_name = Some("elsewhere.example.com".to_owned());
    echo(&mut route.open(&url("localhost", port)).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_shows_nothing_or_something_wrong_does_not_get_in() {
    let (folder, authority) = folder();
    let others = Authority::new(folder.path(), "theirs");
    let identity = authority.sign("localhost", &["localhost"]);
    let stranger = others.sign("stranger", &["client.invalid"]);
    let late = authority.sign_expired("late", &["client.invalid"]);
    for (client, words) in [
        (None, "wants a certificate from us"),
        (Some(&stranger), "our certificate"),
        (Some(&late), "our certificate has expired"),
    ] {
        let clients = ClientAuthentication { ca: authority.ca.clone(), required: true, names_user: true };
        let (port, served) = serve(server(&identity, Some(clients))).await;
        // With TLS 1.3 the client learns of it only when it reads.
        let refusal = match route(&authority.ca, client).open(&url("localhost", port)).await {
            Err(words) => words,
            Ok(mut stream) => in_words(&echo(&mut stream).await.unwrap_err()),
        };
        assert!(refusal.contains(words), "{refusal:?} does not say {words:?}");
        assert_eq!(served.await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_does_not_speak_tls_is_told_from_what_is_silent() {
    let (_folder, authority) = folder();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await;
        let (stream, _) = listener.accept().await.unwrap();
        drop(stream);
    });
    let route = route(&authority.ca, None);
    let words = route.open(&url("localhost", port)).await.err().unwrap();
    assert!(words.contains("does not speak TLS"), "{words}");
    let words = route.open(&url("localhost", port)).await.err().unwrap();
    assert!(words.contains("is it the right port"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_go_on_is_given_up() {
    let (_folder, authority) = folder();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let words = route(&authority.ca, None).open(&url("127.0.0.1", port)).await.err().unwrap();
    assert!(words.contains("TLS handshake did not come to its end"), "{words}");
    let ws = Url::parse(&format!("ws://127.0.0.1:{port}")).unwrap();
    let words = Route::default().open(&ws).await.err().unwrap();
    assert!(words.contains("WebSocket handshake did not come to its end"), "{words}");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let (folder, authority) = folder();
    let (one, other) = (authority.sign("one", &["one"]), authority.sign("other", &["other"]));
    let garbage = folder.path().join("garbage.pem");
    std::fs::write(&garbage, "not PEM").unwrap();
    let words = |cert: &Path, key: &Path| {
        let tls = ServerTls { cert: cert.to_owned(), key: key.to_owned(), clients: None };
        tls.load().unwrap_err().to_string()
    };
    assert!(words(&one.cert, &other.key).contains("is not the private key of"));
    assert!(words(&garbage, &one.key).contains("garbage.pem holds no certificate"));
    assert!(words(&one.cert, &garbage).contains("garbage.pem holds no private key"));
    assert!(words(&folder.path().join("nowhere"), &one.key).contains("cannot read"));
}

/// A WebSocket over memory: ours, and the raw bytes of the other side, its handshake done.
async fn websocket() -> (WebSocket<DuplexStream>, DuplexStream) {
    let (ours, mut theirs) = duplex(1 << 20);
    let request = "GET /mqtt HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: chat, mqtt\r\n\r\n";
    theirs.write_all(request.as_bytes()).await.unwrap();
    let accepted = accept_websocket(ours, &AllowedOrigins::default(), false).await.unwrap();
    let mut answer = vec![0; 1024];
    let length = theirs.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    // The example of RFC 6455, section 1.3.
    assert!(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{answer}");
    assert!(answer.contains("Sec-WebSocket-Protocol: mqtt\r\n"), "{answer}");
    (accepted, theirs)
}

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A frame of a client, by the letter of RFC 6455, section 5.2.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend(u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    bytes.extend(KEY);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// [MQTT-6.0.0-2]: packets may span frames and share them; control frames may stand between the parts of a message.
#[tokio::test]
async fn bytes_come_through_however_they_are_framed_and_split() {
    let data: Vec<u8> = (0..200_000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    let (small, rest) = data.split_at(125);
    let (middle, large) = rest.split_at(70_000);
    let (begun, ended) = large.split_at(60_000);
    let bytes = [
        frame(0x82, small),
        frame(0x89, b"are you there"),
        frame(0x82, &[]),
        frame(0x82, middle),
        frame(0x02, begun),
        frame(0x8A, b"unasked"),
        frame(0x00, &[]),
        frame(0x80, ended),
        frame(0x88, &[0x03, 0xE8]),
    ]
    .concat();
    for step in [1, 7, 4096, bytes.len()] {
        let (mut ours, theirs) = websocket().await;
        let (mut read, mut write) = tokio::io::split(theirs);
        let sent = bytes.clone();
        let sending = tokio::spawn(async move {
            for part in sent.chunks(step) {
                write.write_all(part).await.unwrap();
            }
            write
        });
        let mut found = Vec::new();
        timeout(PATIENCE, ours.read_to_end(&mut found)).await.unwrap().unwrap();
        assert!(found == data, "in steps of {step}");
        let _write = sending.await.unwrap();
        let expected = [&[0x8A, 13][..], b"are you there", &[0x88, 2, 0x03, 0xE8]].concat();
        let mut answers = vec![0; expected.len()];
        timeout(PATIENCE, read.read_exact(&mut answers)).await.unwrap().unwrap();
        assert_eq!(answers, expected, "a pong with the same payload, and Close back");
    }
}

/// [MQTT-6.0.0-1], and what RFC 6455 forbids: the connection ends, with the code that says why.
#[tokio::test]
async fn frames_that_must_not_be_end_the_connection() {
    let unmasked = vec![0x82, 1, 0];
    let long_way = [&[0x82, 0x80 | 126, 0, 5][..], &KEY, &[0; 5]].concat();
    let endless = [&[0x82, 0x80 | 127][..], &[0xFF; 8], &KEY].concat();
    for (bytes, code, what) in [
        (frame(0x81, b"text"), 1003_u16, "text"),
        (frame(0x80, b"x"), 1002, "a continuation of nothing"),
        ([frame(0x02, b"x"), frame(0x82, b"y")].concat(), 1002, "a message inside another"),
        (frame(0xC2, b"x"), 1002, "a reserved bit"),
        (frame(0x83, b"x"), 1002, "an unknown kind"),
        (frame(0x8B, b"x"), 1002, "an unknown control frame"),
        (frame(0x09, b"x"), 1002, "a ping in pieces"),
        (frame(0x89, &[0; 126]), 1002, "a long ping"),
        (unmasked, 1002, "no mask"),
        (long_way, 1002, "a length that is not written the short way"),
        (endless, 1002, "a length with its first bit set"),
    ] {
        let (mut ours, mut theirs) = websocket().await;
        theirs.write_all(&bytes).await.unwrap();
        let mut found = Vec::new();
        let error = timeout(PATIENCE, ours.read_to_end(&mut found)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{what}");
        let mut farewell = [0; 4];
        timeout(PATIENCE, theirs.read_exact(&mut farewell)).await.unwrap().unwrap();
        assert_eq!(farewell, [[0x88, 2], code.to_be_bytes()].concat()[..], "{what}");
    }
}

#[tokio::test]
async fn pings_of_who_does_not_read_cost_nothing() {
    let (ours, mut theirs) = duplex(1 << 20);
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: mqtt\r\n\r\n";
    let pings = frame(0x89, &[7; 125]).repeat(1000);
    theirs.write_all(request.as_bytes()).await.unwrap();
    let mut ours = accept_websocket(ours, &AllowedOrigins::default(), false).await.unwrap();
    let writing = tokio::spawn(async move {
        for _ in 0..100 {
            theirs.write_all(&pings).await.unwrap();
        }
        theirs
    });
    let mut buffer = [0; 4096];
    let _theirs = tokio::select! {
        _ = ours.read(&mut buffer) => panic!("pings are no data"),
        theirs = timeout(PATIENCE, writing) => theirs.unwrap().unwrap(),
    };
    assert!(ours.buffered_bytes() < 8 * 1024, "{}", ours.buffered_bytes());
}

#[tokio::test]
async fn a_browser_needs_an_allowed_page_and_everybody_needs_the_subprotocol() {
    let request = |extra: &str| {
        format!(
            "GET /mqtt HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
        )
    };
    let mqtt = "Sec-WebSocket-Protocol: mqtt\r\n";
    let page = "Origin: https://app.example.com\r\n";
    let ours = AllowedOrigins::new(vec!["https://app.example.com".to_owned()]);
    let all = AllowedOrigins::new(vec!["*".to_owned()]);
    for (head, origins, status) in [
        (request(mqtt), AllowedOrigins::default(), "101"),
        (request(&[mqtt, page].concat()), AllowedOrigins::default(), "403"),
        (request(&[mqtt, page].concat()), ours.clone(), "101"),
        (request(&[mqtt, page].concat()), all, "101"),
        (request(&[mqtt, "Origin: https://app.example.com.evil\r\n"].concat()), ours.clone(), "403"),
        (request(&[mqtt, "Origin: null\r\n"].concat()), ours, "403"),
        (request("Sec-WebSocket-Protocol: mqttv3.1\r\n"), AllowedOrigins::default(), "101"),
        (request("Sec-WebSocket-Protocol: chat\r\n"), AllowedOrigins::default(), "400"),
        (request(""), AllowedOrigins::default(), "400"),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), AllowedOrigins::default(), "426"),
        ("\x10\x0D\0\x04MQTT\x04\x02\0\0\0\x01a".to_owned(), AllowedOrigins::default(), "426"),
        ("GET /".to_owned() + &"x".repeat(20_000), AllowedOrigins::default(), "400"),
    ] {
        let (server, mut client) = duplex(1 << 16);
        client.write_all(head.as_bytes()).await.unwrap();
        let accepted = timeout(PATIENCE, accept_websocket(server, &origins, false)).await.unwrap();
        assert_eq!(accepted.is_ok(), status == "101", "{head}");
        let mut answer = [0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{head}");
    }
}

/// Some programs name the server itself as their origin. So does a page whose owner has turned its name towards us,
/// which TLS would find out.
#[tokio::test]
async fn our_own_origin_counts_where_it_cannot_be_pretended() {
    for (origin, host, encrypted, good) in [
        ("https://127.0.0.1:9001", "127.0.0.1:9001", false, true),
        ("http://[::1]:9001", "[::1]:9001", false, true),
        ("https://localhost:9001", "localhost:9001", false, true),
        ("http://localhost:8080", "localhost:9001", false, false),
        ("http://evil.example:9001", "evil.example:9001", false, false),
        ("https://gw.example:9001", "gw.example:9001", true, true),
        ("https://evil.example:9001", "gw.example:9001", true, false),
        ("null", "127.0.0.1:9001", true, false),
        ("https://", "", true, false),
    ] {
        let (server, mut client) = duplex(1 << 16);
        let request = format!(
            "GET /mqtt HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let accepted = accept_websocket(server, &AllowedOrigins::default(), encrypted).await;
        assert_eq!(accepted.is_ok(), good, "{origin} to {host}, encrypted: {encrypted}");
    }
}

/// Both of our sides against each other, through a pipe that takes little at a time.
#[tokio::test]
async fn client_and_server_understand_each_other_under_pressure() {
    let (one, other) = duplex(1000);
    let origins = AllowedOrigins::default();
    let (server, client) =
        tokio::join!(accept_websocket(one, &origins, false), websocket::connect(other, "h:80", "/mqtt"));
    let (mut server, mut client) = (server.unwrap(), client.unwrap());
    let data = vec![b'x'; 300_000];
    let sent = data.clone();
    let sending = tokio::spawn(async move {
        client.write_all(&sent).await.unwrap();
        client.shutdown().await.unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).await.unwrap();
        back
    });
    let mut found = Vec::new();
    timeout(PATIENCE, server.read_to_end(&mut found)).await.unwrap().unwrap();
    assert!(found == data);
    assert!(server.write_all(b"too late").await.is_err(), "after Close nothing is sent");
    drop(server);
    assert!(timeout(PATIENCE, sending).await.unwrap().unwrap().is_empty());
}

#[tokio::test]
async fn a_proxy_passes_on_or_says_why_not() {
    for (answer, outcome) in [
        ("HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello", Ok(())),
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", Err("another login")),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", Err("does not let us through to broker.example.com:1883")),
        ("SSH-2.0-OpenSSH\r\n\r\n", Err("does not let us through")),
        ("HTTP/1.1 200", Err("closed the connection")),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        let mut proxy = Proxy::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        proxy.login = Some(("user".to_owned(), "secret".to_owned()));
        let route = Route { proxy: Some(proxy), ..Route::default() };
        let opened = route.open(&Url::parse("mqtt://broker.example.com").unwrap()).await;
        let request = asked.await.unwrap();
        assert!(request.starts_with("CONNECT broker.example.com:1883 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n"), "{request}");
        match (opened, outcome) {
            (Ok(mut stream), Ok(())) => {
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).await.unwrap();
                assert_eq!(bytes, b"hello", "nothing of the server's is swallowed");
            }
            (Err(words), Err(expected)) => {
                assert!(words.contains(expected) && !words.contains("secret"), "{words}");
            }
            (opened, _) => panic!("{answer}: {opened:?}"),
        }
    }
}
