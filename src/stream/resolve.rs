//! From a name and a port to a connected socket: looked up anew, IPv4 and IPv6 raced (RFC 8305).
//!
//! The system's order of addresses is kept within a family, the families take turns, and each address gets a head
//! start before the next is tried beside it. The first that answers wins, the others are dropped.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::limits::UPLINK_ADDRESS_DEADLINE;

/// The head start of an address ("Connection Attempt Delay", RFC 8305, section 8).
const HEAD_START: Duration = Duration::from_millis(250);
/// How long looking a name up may take: the system asks several servers in turn, each for seconds.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(10);
/// Addresses that are tried for one name.
const ADDRESSES: usize = 16;

/// Connects to the first address of a name that answers.
pub(super) async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let looked_up = timeout(LOOKUP_DEADLINE, lookup_host((host, port))).await;
    let addresses: Vec<SocketAddr> = match looked_up {
        Ok(Ok(addresses)) => addresses.take(ADDRESSES).collect(),
        Ok(Err(error)) => return Err(format!("the name {host:?} cannot be looked up: {}", plain(&error))),
        Err(_) => {
            let seconds = LOOKUP_DEADLINE.as_secs();
            return Err(format!("the name {host:?} cannot be looked up: no answer within {seconds} s"));
        }
    };
    if addresses.is_empty() {
        return Err(format!("the name {host:?} has no address"));
    }
    race(in_turn(addresses)).await
}

/// The words of the resolver without its prefix.
fn plain(error: &io::Error) -> String {
    error.to_string().trim_start_matches("failed to lookup address information: ").to_owned()
}

/// The families take turns, beginning with that of the first address.
fn in_turn(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let begins_with_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == begins_with_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut ordered = VecDeque::new();
    loop {
        match (first.next(), second.next()) {
            (None, None) => return ordered,
            (one, other) => ordered.extend(one.into_iter().chain(other)),
        }
    }
}

async fn race(mut waiting: VecDeque<SocketAddr>) -> Result<TcpStream, String> {
    // Dropping the set ends the attempts that lost.
    let mut running = JoinSet::new();
    let mut failures = String::new();
    loop {
        if let Some(address) = waiting.pop_front() {
            running.spawn(async move { (address, attempt(address).await) });
        }
        let finished = tokio::select! {
            finished = running.join_next() => finished,
            () = sleep(HEAD_START), if !waiting.is_empty() => continue,
        };
        match finished {
            None => return Err(failures),
            Some(Err(_)) => {}
            Some(Ok((_, Ok(stream)))) => return Ok(stream),
            Some(Ok((address, Err(error)))) => {
                let separator = if failures.is_empty() { "" } else { "; " };
                let _ = write!(failures, "{separator}{address}: {}", super::in_words(&error));
            }
        }
    }
}

async fn attempt(address: SocketAddr) -> io::Result<TcpStream> {
    timeout(UPLINK_ADDRESS_DEADLINE, TcpStream::connect(address)).await.unwrap_or_else(|_| {
        let seconds = UPLINK_ADDRESS_DEADLINE.as_secs();
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {seconds} s")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns_and_keep_their_order() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let given = ["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1", "2.2.2.2:1"].map(address).to_vec();
        let expected = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"].map(address);
        assert_eq!(in_turn(given), expected);
    }

    /// A first address that swallows everything costs its head start, not its deadline.
    #[tokio::test(start_paused = true)]
    async fn a_silent_address_holds_nobody_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // A listener whose queue is full does not answer: the system drops what comes.
        let silent = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        silent.bind(&"127.0.0.2:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        silent.listen(0).unwrap();
        let silent_address = silent.local_addr().unwrap().as_socket().unwrap();
        let filler = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        filler.connect(&silent_address.into()).unwrap();
        let started = tokio::time::Instant::now();
        let stream = race([silent_address, listener.local_addr().unwrap()].into()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert!(started.elapsed() < UPLINK_ADDRESS_DEADLINE, "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn every_address_that_failed_is_named() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let words = race([free].into()).await.unwrap_err();
        assert!(words.contains(&free.to_string()) && words.contains("refused"), "{words}");
        let words = connect("no-such-host.invalid", 1).await.unwrap_err();
        assert!(words.contains("cannot be looked up"), "{words}");
    }
}
