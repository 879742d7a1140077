//! TLS by rustls, 1.2 and 1.3: from files to what a handshake needs, on both sides.
//!
//! Files are read whenever something is built from them: who wants a renewed certificate builds anew. Always
//! verifies; there is no switch to turn that off.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The longest name of a client that is taken from a certificate: user names are not longer (section 1.5.4).
const NAME_BYTES: usize = 65_535;

/// `tls = { ... }` of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// The server's certificate chain, PEM.
    pub cert: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Whether clients show certificates.
    pub clients: Option<ClientAuthentication>,
}

/// What a listener does with certificates of clients.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientAuthentication {
    /// Who may have signed them, PEM.
    pub ca: PathBuf,
    /// Whether a client without one is refused.
    pub required: bool,
    /// Whether the common name of its subject is the client's user name.
    pub names_user: bool,
}

/// `tls = { ... }` of an uplink, and the `--tls-*` of the commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Who may have signed the server's certificate, PEM; else those whom the system trusts.
    pub ca: Option<PathBuf>,
    /// Our certificate chain and its private key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Protocols to offer (RFC 7301).
    pub alpn: Vec<String>,
    /// The name that the server's certificate has to have, when it is not that of the URL; sent as SNI.
    pub server_name: Option<String>,
}

/// Why nothing could be built from the files. Names them; never shows what is in them.
#[derive(Debug, thiserror::Error)]
pub enum TlsFileError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{} {what}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The system trusts nobody.
    #[error(
        "this machine knows no certificate authorities: install the package ca-certificates, or set `tls.ca`"
    )]
    NoRoots,
    /// A name that is none.
    #[error("{0:?} is no name of a server")]
    ServerName(String),
    /// Something else that rustls does not like.
    #[error("{0}")]
    Refused(rustls::Error),
}

impl ServerTls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn load(&self) -> Result<Arc<ServerConfig>, TlsFileError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsFileError::Refused)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(roots_of(&clients.ca)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = if clients.required { verifier } else { verifier.allow_unauthenticated() };
                let built = verifier.build().map_err(|error| content(&clients.ca, error.to_string()))?;
                builder.with_client_cert_verifier(built)
            }
        };
        let (chain, key) = identity(&self.cert, &self.key)?;
        let config = builder.with_single_cert(chain, key);
        config.map(Arc::new).map_err(|error| mismatch(&self.cert, &self.key, error))
    }

    /// The files, to be watched.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let ca = self.clients.as_ref().map(|clients| clients.ca.as_path());
        [self.cert.as_path(), self.key.as_path()].into_iter().chain(ca)
    }
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub fn load(&self) -> Result<Arc<ClientConfig>, TlsFileError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsFileError::Refused)?;
        let roots = match &self.ca {
            Some(ca) => roots_of(ca)?,
            None => roots_of_the_system()?,
        };
        let builder = builder.with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let (chain, private) = identity(cert, key)?;
                let config = builder.with_client_auth_cert(chain, private);
                config.map_err(|error| mismatch(cert, key, error))?
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// The name that the server has to prove, when its URL has this host.
    ///
    /// # Errors
    /// When it is no name.
    pub(super) fn server_name(&self, host: &str) -> Result<ServerName<'static>, TlsFileError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        // An IPv6 address may name the interface that it is reached over; a certificate does not.
        let name = name.split('%').next().unwrap_or(name).to_owned();
        ServerName::try_from(name.clone()).map_err(|_| TlsFileError::ServerName(name))
    }
}

/// The common name of a certificate's subject, if it has one that can be shown.
#[must_use]
pub fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    let good = !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control);
    good.then(|| name.to_owned())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots_of(path: &Path) -> Result<RootCertStore, TlsFileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| content(path, format!("holds a certificate that is damaged: {error}")))?;
    }
    Ok(roots)
}

fn roots_of_the_system() -> Result<RootCertStore, TlsFileError> {
    let mut roots = RootCertStore::empty();
    // Some of the many may be odd: what can be used counts.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsFileError::NoRoots) } else { Ok(roots) }
}

fn identity(
    cert: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsFileError> {
    let chain = certificates(cert)?;
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|_| {
        let what = "holds no private key that can be read: PEM, not encrypted with a password";
        content(key, what.to_owned())
    })?;
    Ok((chain, private))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(content(path, "holds no certificate in PEM".to_owned())),
        Err(error) => Err(content(path, format!("is no PEM: {error}"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsFileError> {
    std::fs::read(path).map_err(|source| TlsFileError::Unreadable { path: path.to_owned(), source })
}

fn content(path: &Path, what: String) -> TlsFileError {
    TlsFileError::Content { path: path.to_owned(), what }
}

fn mismatch(cert: &Path, key: &Path, error: rustls::Error) -> TlsFileError {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            content(key, format!("is not the private key of {}", cert.display()))
        }
        rustls::Error::InvalidCertificate(error) => content(cert, format!("cannot be used: {error}")),
        rustls::Error::General(_) => content(key, "holds a kind of key that cannot be used".to_owned()),
        other => TlsFileError::Refused(other),
    }
}

/// How many seconds after 1970 a certificate of a PEM file ends; the first one's.
#[must_use]
pub fn ends_at(pem: &[u8]) -> Option<i64> {
    let first = CertificateDer::pem_slice_iter(pem).next()?.ok()?;
    let (_, certificate) = X509Certificate::from_der(&first).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

impl fmt::Display for ServerTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.cert.display())
    }
}
