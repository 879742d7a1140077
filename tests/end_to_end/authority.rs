//! A certificate authority that lives as long as a test: nothing in the repository expires.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Signs certificates and writes them into a folder.
pub(crate) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) ca: PathBuf,
}

/// The files of a certificate and its key.
pub(crate) struct Identity {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Authority {
    /// Makes one; `NAME.ca.pem` in the folder is its certificate.
    pub(crate) fn new(folder: &Path, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let ca = folder.join(format!("{name}.ca.pem"));
        std::fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { folder: folder.to_owned(), issuer: Issuer::new(params, key), ca }
    }

    /// A certificate for these host names and this common name, good for thirty days.
    pub(crate) fn sign(&self, name: &str, hosts: &[&str]) -> Identity {
        self.sign_until(name, hosts, SystemTime::now() + 30 * DAY)
    }

    /// One that has expired yesterday.
    pub(crate) fn sign_expired(&self, name: &str, hosts: &[&str]) -> Identity {
        self.sign_until(name, hosts, SystemTime::now() - DAY)
    }

    fn sign_until(&self, name: &str, hosts: &[&str], end: SystemTime) -> Identity {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = (SystemTime::now() - 60 * DAY).into();
        params.not_after = end.into();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let identity = Identity {
            cert: self.folder.join(format!("{name}.pem")),
            key: self.folder.join(format!("{name}.key")),
        };
        std::fs::write(&identity.cert, certificate.pem()).unwrap();
        std::fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }
}
