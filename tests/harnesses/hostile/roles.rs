//! What the proxy answers itself, so that one server has all points of the protocol: those of a
//! cluster of one node, of a Sentinel, of a server before `HELLO`, and of a master with a replica.

use std::{collections::HashMap, sync::OnceLock};

use cache_aside::scripts;
use redis::Script;

use crate::scanner::texts;

/// What the server is.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a role of its own")]
pub(crate) struct Roles {
    /// The only node of a cluster.
    pub(crate) cluster: bool,
    /// A server that does not know `HELLO`.
    pub(crate) without_hello: bool,
    /// It has one replica.
    pub(crate) replica: bool,
    /// It is handing all slots over: requests for two keys are refused.
    pub(crate) migrating: bool,
    /// It redirects each read to itself, for that request only.
    pub(crate) asking: bool,
}

/// What was said on one connection.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    pub(crate) is_tracking: bool,
    is_in_multi: bool,
    has_asked: bool,
}

/// The names of the scripts, by their hashes.
fn scripts() -> &'static HashMap<String, &'static str> {
    static SCRIPTS: OnceLock<HashMap<String, &str>> = OnceLock::new();
    SCRIPTS.get_or_init(|| {
        let all = [
            ("acquire", scripts::ACQUIRE),
            ("refresh", scripts::REFRESH),
            ("fill", scripts::FILL),
            ("release", scripts::RELEASE),
            ("back-off", scripts::BACK_OFF),
            ("renew", scripts::RENEW),
            ("invalidate", scripts::INVALIDATE),
            ("delete-key", scripts::DELETE_KEY),
            ("expire", scripts::EXPIRE),
            ("guard", scripts::GUARD),
            ("unguard", scripts::UNGUARD),
        ];
        let hash = |source| Script::new(source).get_hash().to_owned();
        all.into_iter()
            .map(|(name, source)| (hash(source), name))
            .collect()
    })
}

fn word(words: &[Vec<u8>], at: usize) -> String {
    let word = words.get(at).map(Vec::as_slice).unwrap_or_default();
    String::from_utf8_lossy(word).to_ascii_lowercase()
}

impl Conversation {
    /// The point of the protocol that a command is at: the name of a script, the words of a
    /// command, or what it is within a transaction.
    pub(crate) fn point(&self, words: &[Vec<u8>]) -> String {
        let (first, second) = (word(words, 0), word(words, 1));
        match first.as_str() {
            "exec" => first,
            _ if self.is_in_multi => "queued".to_owned(),
            "evalsha" => scripts().get(&second).unwrap_or(&"no-script").to_string(),
            "script" | "client" | "cluster" => format!("{first}-{second}"),
            "sentinel" if second == "master" => "sentinel-master".to_owned(),
            "sentinel" => "sentinel-address".to_owned(),
            "ping" if self.is_tracking => "heartbeat".to_owned(),
            _ => first,
        }
    }

    /// Notes what the command has changed.
    pub(crate) fn answered(&mut self, point: &str) {
        match point {
            "client-tracking" => self.is_tracking = true,
            "multi" => self.is_in_multi = true,
            "exec" => self.is_in_multi = false,
            _ => {}
        }
        self.has_asked = point == "asking";
    }
}

impl Roles {
    /// The reply to a command that the server behind the proxy must not get. `None`: it may.
    pub(crate) fn answer(
        self,
        talk: &Conversation,
        words: &[Vec<u8>],
        port: u16,
    ) -> Option<Vec<u8>> {
        let point = talk.point(words);
        let is_read = ["hgetall", "pttl"].contains(&point.as_str());
        let has_two_keys = word(words, 0) == "evalsha" && word(words, 2) == "2";
        let reply = match point.as_str() {
            "hello" if self.without_hello => "-ERR unknown command 'HELLO'\r\n".to_owned(),
            "wait" if self.replica => ":1\r\n".to_owned(),
            "sentinel-address" => bulks(&["127.0.0.1", &port.to_string()]),
            "sentinel-master" => master(port),
            "cluster-slots" if self.cluster => {
                let id = "a".repeat(40);
                format!(
                    "*1\r\n*3\r\n:0\r\n:16383\r\n\
                     *3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$40\r\n{id}\r\n"
                )
            }
            "cluster-info" if self.cluster => {
                bulk("cluster_state:ok\r\ncluster_slots_assigned:16384\r\n")
            }
            "cluster-nodes" if self.cluster => {
                let id = "a".repeat(40);
                bulk(&format!(
                    "{id} 127.0.0.1:{port}@1 myself,master - 0 0 1 connected 0-16383\n"
                ))
            }
            "asking" => "+OK\r\n".to_owned(),
            _ if self.migrating && has_two_keys => {
                "-TRYAGAIN Multiple keys request during rehashing of slot\r\n".to_owned()
            }
            _ if self.asking && is_read && !talk.has_asked => {
                format!("-ASK 7 127.0.0.1:{port}\r\n")
            }
            _ => return None,
        };
        Some(reply.into_bytes())
    }

    /// The reply of the server behind the proxy, as one in these roles would write it.
    pub(crate) fn rewritten(self, point: &str, reply: Vec<u8>) -> Vec<u8> {
        let says_mode = ["hello", "info"].contains(&point);
        if !self.cluster || !says_mode {
            return reply;
        }
        if point == "hello" {
            let texts = String::from_utf8_lossy(&reply);
            let cluster = texts.replace("$10\r\nstandalone\r\n", "$7\r\ncluster\r\n");
            return cluster.into_bytes();
        }
        match texts(&reply).first() {
            Some(info) => {
                let info = String::from_utf8_lossy(info);
                let info = info.replace("redis_mode:standalone", "redis_mode:cluster");
                bulk(&info).into_bytes()
            }
            None => reply,
        }
    }
}

pub(crate) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

pub(crate) fn bulks(texts: &[&str]) -> String {
    let bulks: Vec<_> = texts.iter().map(|text| bulk(text)).collect();
    format!("*{}\r\n{}", texts.len(), bulks.concat())
}

fn master(port: u16) -> String {
    let port = port.to_string();
    bulks(&[
        "name",
        "main",
        "ip",
        "127.0.0.1",
        "port",
        &port,
        "flags",
        "master",
        "config-epoch",
        "1",
    ])
}
