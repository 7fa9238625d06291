//! A private server that speaks TLS, with certificates made for it.

#![allow(dead_code, reason = "each user takes its own part")]

use std::{fs, time::Duration};

use cache_aside::{Cache, Redis, RedisBuilder};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::support::{Server, acl, free_port};

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        // Its own name for each authority.
        let name = format!("authority {:?}", &key.public_key_raw()[..8]);
        params.distinguished_name.push(DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn sign(&self, names: &[&str]) -> Pair {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let name = names.join(" ");
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A server with TLS on a port, and without TLS on a socket for the tests.
pub(crate) struct Secure {
    pub(crate) server: Server,
    pub(crate) authority: Authority,
    pub(crate) port: u16,
    files: TempDir,
}

impl Secure {
    pub(crate) fn start() -> Secure {
        Secure::start_with(&["--tls-auth-clients", "no"])
    }

    pub(crate) fn start_with(args: &[&str]) -> Secure {
        Secure::start_as(&["localhost", "127.0.0.1"], args)
    }

    pub(crate) fn start_as(names: &[&str], args: &[&str]) -> Secure {
        let authority = Authority::new();
        let pair = authority.sign(names);
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = files.path().join(name);
            fs::write(&path, content).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let port = free_port();
        let (number, root) = (port.to_string(), file("root", &authority.pem()));
        let (certificate, key) = (file("own", &pair.certificate), file("key", &pair.key));
        let tls = [
            ["--tls-port", &*number],
            ["--tls-cert-file", &*certificate],
            ["--tls-key-file", &*key],
            ["--tls-ca-cert-file", &*root],
            ["--bind", "127.0.0.1"],
        ];
        let args = [tls.as_flattened(), args].concat();
        Secure {
            server: Server::start_with(&args),
            authority,
            port,
            files,
        }
    }

    /// The configuration lines of another server that only speaks TLS.
    pub(crate) fn config(&self, port: u16) -> String {
        let file = |name: &str| self.files.path().join(name).display().to_string();
        format!(
            "port 0\ntls-port {port}\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
             tls-auth-clients no\ntls-replication yes\n",
            file("own"),
            file("key"),
            file("root")
        )
    }

    pub(crate) fn url_of(&self, host: &str) -> String {
        let plain = acl::url_at(self.port).replace("127.0.0.1", host);
        plain.replace("redis://", "rediss://")
    }

    pub(crate) fn redis(&self) -> RedisBuilder {
        // Long timeouts: without optimization a handshake sometimes takes a busy machine half a
        // second.
        Redis::builder(self.url_of("localhost"))
            .tls_root_certificate(self.authority.pem())
            .connect_timeout(Duration::from_secs(3))
            .io_timeout(Duration::from_secs(5))
            .checkout_timeout(Duration::from_secs(5))
    }

    pub(crate) fn cache(&self) -> Cache {
        let redis = self.redis().build().unwrap();
        Cache::builder(&redis).prefix("test:").build().unwrap()
    }
}
