//! TLS: the certificates that a program sets, and clear messages if a server's certificate is
//! refused.
//!
//! The handshake is done by rustls, with the cryptography provider that the process has chosen.
//! rustls panics if none was chosen and the dependencies bring more or fewer than one. So
//! this file chooses one before the first connection.

use std::{io, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error as TlsError, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};

use super::address::server_address::Tls;
use crate::{
    error::Error,
    util::limits::{failed, refuse},
};

const ROOT: &str = "tls_root_certificate";
const CLIENT: &str = "tls_client_certificate";

/// The certificates that a program sets. Without a root certificate, those of the system are used.
#[derive(Clone, Default)]
pub(crate) struct Certificates {
    pub(crate) root: Option<Vec<u8>>,
    /// The client's certificate and its key.
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    /// The configuration of TLS for all connections to an address. Empty if the address is not one
    /// for TLS.
    pub(crate) fn config(&self, is_tls: bool) -> Result<Tls, Error> {
        let given = [(ROOT, self.root.is_some()), (CLIENT, self.client.is_some())];
        if let (false, Some((setting, _))) = (is_tls, given.iter().find(|(_, is_given)| *is_given))
        {
            return refuse(
                setting,
                "the address is not one for TLS, which begins with `rediss://`",
            );
        }
        if !is_tls {
            return Ok(Tls::default());
        }
        choose_provider();
        let config = ClientConfig::builder().with_root_certificates(self.roots()?);
        let Some((pem, key)) = &self.client else {
            return Ok(Tls(Some(Arc::new(config.with_no_client_auth()))));
        };
        let chain = certificates(CLIENT, pem)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| failed(CLIENT, &format!("the key: {error}")))?;
        let config = config
            .with_client_auth_cert(chain, key)
            .map_err(|error| failed(CLIENT, &error))?;
        Ok(Tls(Some(Arc::new(config))))
    }

    /// The certificates that may sign that of a server.
    fn roots(&self) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        let Some(pem) = &self.root else {
            // A certificate of the system that cannot be read or parsed is left out.
            let system = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(system.certs);
            return match (added, system.errors.first()) {
                (0, Some(error)) => Err(failed("address", error)),
                _ => Ok(roots),
            };
        };
        for certificate in certificates(ROOT, pem)? {
            roots
                .add(certificate)
                .map_err(|error| failed(ROOT, &error))?;
        }
        Ok(roots)
    }
}

/// Chooses the provider of this crate, if the process has none yet.
fn choose_provider() {
    if CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster. Then there is a provider.
        let _ = ring::default_provider().install_default();
    }
}

fn certificates(setting: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| failed(setting, &error))?;
    if certificates.is_empty() {
        return refuse(setting, "it contains no certificate; it must be PEM");
    }
    Ok(certificates)
}

/// Why a handshake failed. `None` if the failure is not about a handshake.
pub(crate) fn explained(error: &io::Error) -> Option<String> {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked,
        CertificateUnknown, HandshakeFailure, UnknownCA, UnsupportedCertificate,
    };
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    let tls: &TlsError = error.get_ref()?.downcast_ref()?;
    Some(match tls {
        TlsError::InvalidCertificate(UnknownIssuer) => format!(
            "the server's certificate is signed by an issuer that is not trusted here; if it is the \
             right server, give the issuer's certificate as `{ROOT}`"
        ),
        TlsError::InvalidCertificate(why @ (NotValidForName | NotValidForNameContext { .. })) => {
            let by_name = if matches!(
                why,
                NotValidForNameContext {
                    expected: ServerName::IpAddress(_),
                    ..
                }
            ) {
                "; connect by its name, which a node of a cluster announces with `cluster-announce-hostname`"
            } else {
                ""
            };
            format!("the server's certificate is for another host{by_name}")
        }
        TlsError::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => "the server's certificate is not valid now".to_owned(),
        // rustls has a variant for it but does not export its type.
        TlsError::InvalidCertificate(why) if format!("{why:?}").contains("CaUsedAsEndEntity") => {
            "the server's certificate is a CA certificate (`CA:TRUE`); it must sign another one for the server"
                .to_owned()
        }
        TlsError::InvalidCertificate(_) => "the server's certificate is not accepted".to_owned(),
        TlsError::InvalidMessage(_) => {
            "the server does not speak TLS; without TLS, the address begins with `redis://`"
                .to_owned()
        }
        TlsError::AlertReceived(
            CertificateRequired
            | BadCertificate
            | CertificateExpired
            | CertificateRevoked
            | CertificateUnknown
            | UnsupportedCertificate
            | UnknownCA
            | AccessDenied
            | HandshakeFailure,
        ) => format!("the server requires a client certificate, or another one (`{CLIENT}`)"),
        _ => "the TLS handshake failed".to_owned(),
    })
}
