//! Shared access signatures of Azure IoT Hub: a password that is valid for some time, made from the device's key.
//!
//! `SharedAccessSignature sr={resource}&sig={signature}&se={expiry}`, the signature being HMAC-SHA256 over the
//! resource, a line feed and the expiry in seconds since 1970 (Microsoft Learn, "Control access to IoT Hub with
//! shared access signatures"). Never reads a clock: it is told the time.

use std::fmt::Write as _;
use std::time::Duration;

use data_encoding::BASE64;
use ring::hmac;

/// A key that makes passwords.
#[derive(Clone)]
pub struct SharedAccessKey(hmac::Key);

/// The text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the shared access key is not Base64")]
pub struct NotBase64;

impl SharedAccessKey {
    /// Reads a key as the portal shows it.
    ///
    /// # Errors
    /// When it is not Base64.
    pub fn parse(text: &str) -> Result<SharedAccessKey, NotBase64> {
        let bytes = BASE64.decode(text.trim().as_bytes()).map_err(|_| NotBase64)?;
        Ok(SharedAccessKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The password of `device` at `hub`, from `unix_seconds` on for `lifetime`.
    #[must_use]
    pub fn password(&self, hub: &str, device: &str, unix_seconds: i64, lifetime: Duration) -> String {
        let resource = percent_encoded(&format!("{hub}/devices/{device}"));
        let lifetime = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        let expiry = unix_seconds.saturating_add(lifetime);
        let signature = hmac::sign(&self.0, format!("{resource}\n{expiry}").as_bytes());
        let signature = percent_encoded(&BASE64.encode(signature.as_ref()));
        format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}")
    }
}

/// Never shows the key.
impl std::fmt::Debug for SharedAccessKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SharedAccessKey(...)")
    }
}

/// The user name of `device` at `hub`.
#[must_use]
pub fn username(hub: &str, device: &str) -> String {
    format!("{hub}/{device}/?api-version=2021-04-12")
}

/// Everything but the unreserved characters of RFC 3986 as `%XX`.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature was computed by another program (Python's hmac, hashlib, base64 and urllib.parse).
    #[test]
    fn a_password_is_the_one_that_others_compute() {
        let key = SharedAccessKey::parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").unwrap();
        let password =
            key.password("hub.azure-devices.net", "green house/7", 1_795_408_169, Duration::from_secs(3600));
        assert_eq!(password, EXPECTED);
        assert_eq!(
            username("hub.azure-devices.net", "gw"),
            "hub.azure-devices.net/gw/?api-version=2021-04-12"
        );
    }

    const EXPECTED: &str = "SharedAccessSignature sr=hub.azure-devices.net%2Fdevices%2Fgreen%20house%2F7&sig=PKHt5doH%2BdbRLqRWH120mxGxR6kU0sD4Ac0Y65bRg2o%3D&se=1795411769";

    #[test]
    fn what_is_no_key_is_said_and_a_key_is_never_shown() {
        assert_eq!(SharedAccessKey::parse("not a key!").err(), Some(NotBase64));
        let key = SharedAccessKey::parse("c2VjcmV0").unwrap();
        assert!(!format!("{key:?}").contains("secret"));
    }
}
