//! What went wrong with a connection, in words for a person. Never what was sent over it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// An error of a stream as a sentence part.
#[must_use]
pub fn in_words(error: &io::Error) -> String {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        return tls_in_words(tls);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused: nothing listens there".to_owned(),
        io::ErrorKind::ConnectionReset => "the other side reset the connection".to_owned(),
        io::ErrorKind::UnexpectedEof => "the other side closed the connection".to_owned(),
        io::ErrorKind::NetworkUnreachable => "there is no way to its network".to_owned(),
        io::ErrorKind::HostUnreachable => "there is no way to its machine".to_owned(),
        io::ErrorKind::TimedOut if error.raw_os_error().is_some() => {
            "no answer: the link is dead, or a firewall swallows it".to_owned()
        }
        _ => error.to_string(),
    }
}

fn tls_in_words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate_in_words(error),
        Error::AlertReceived(alert) => alert_in_words(*alert),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "what answers there does not speak TLS: is it the right port?".to_owned(),
        Error::NoCertificatesPresented => "no certificate was shown".to_owned(),
        Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            "TLS 1.2 or newer is needed, the other side only has older versions".to_owned()
        }
        other => format!("TLS: {other}"),
    }
}

fn certificate_in_words(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "the certificate has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!(
                "the certificate has expired, on {}; or the clock of this machine is wrong",
                day(not_after.as_secs())
            )
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet: is the clock of this machine right?".to_owned()
        }
        CertificateError::Revoked => "the certificate was revoked".to_owned(),
        CertificateError::UnknownIssuer => {
            "the certificate is signed by an authority that is not trusted here (unknown CA): for one of your own, \
             set `tls.ca`"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "the certificate is not signed by the authority that it names (unknown CA)".to_owned()
        }
        CertificateError::NotValidForName => "the certificate is for another host name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = match presented.as_slice() {
                [] => "nothing that counts as a host name (subjectAltName)".to_owned(),
                // As in `DnsName("example.com")`.
                names => {
                    let bare = names.iter().map(|name| name.split('"').nth(1).unwrap_or(name));
                    bare.collect::<Vec<_>>().join(", ")
                }
            };
            format!("the certificate is for another host name: it names {names}, not {}", expected.to_str())
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not meant for this purpose (extendedKeyUsage)".to_owned()
        }
        CertificateError::BadEncoding => "the certificate is damaged".to_owned(),
        // webpki's own words, for what rustls has none: a CA's certificate used as a server's, for example.
        other => match format!("{other:?}") {
            words if words.contains("CaUsedAsEndEntity") => {
                "the server shows a certificate of an authority, not one of its own (self-signed with CA:TRUE?)"
                    .to_owned()
            }
            _ => format!("the certificate cannot be used: {other}"),
        },
    }
}

/// What the other side thinks of us.
fn alert_in_words(alert: AlertDescription) -> String {
    let words = match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            "the other side wants a certificate from us (`tls.cert`, `tls.key`)"
        }
        AlertDescription::UnknownCA => {
            "the other side does not trust the authority of our certificate (unknown CA)"
        }
        AlertDescription::CertificateExpired => "the other side says that our certificate has expired",
        AlertDescription::CertificateRevoked => "the other side says that our certificate was revoked",
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => "the other side does not accept our certificate",
        AlertDescription::HandshakeFailure => {
            "the other side breaks off the TLS handshake: nothing in common, or it wants a certificate from us"
        }
        AlertDescription::ProtocolVersion => "no version of TLS in common: 1.2 or newer is needed",
        AlertDescription::UnrecognisedName => "the server does not know the host name that we ask for (SNI)",
        AlertDescription::NoApplicationProtocol => "the server speaks none of our protocols (`tls.alpn`)",
        other => return format!("the other side breaks off TLS: {other:?}"),
    };
    words.to_owned()
}

/// The day of a time in seconds since 1970, in UTC.
#[must_use]
pub fn day(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    match time {
        Some(time) => time.to_string().chars().take(10).collect(),
        None => "a day that no calendar has".to_owned(),
    }
}
