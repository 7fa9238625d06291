//! Two servers behind one address that can be moved from the one to the other.

use std::{thread, time::Duration};

use cache_aside::{Cache, CacheBuilder, Redis};
use redis::cmd;

use crate::{
    relay::Relay,
    support::{Server, acl, until},
};

pub(crate) struct Pair {
    pub(crate) servers: [Server; 2],
    pub(crate) relay: Relay,
}

/// The state of the former server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Former {
    /// It is a replica of the new one.
    Replica,
    /// It is a replica, and doesn't reach the new one.
    ReplicaCutOff,
    /// It still considers itself a master.
    Master,
}

impl Pair {
    /// The second is a replica of the first, to which the address leads.
    pub(crate) fn start() -> Pair {
        let servers = [(); 2].map(|()| start_server());
        replicate(&servers[1], servers[0].port());
        let relay = Relay::to(servers[0].port());
        let pair = Pair { servers, relay };
        pair.wait_until_linked(1);
        pair
    }

    pub(crate) fn redis(&self) -> cache_aside::RedisBuilder {
        Redis::builder(self.relay.url())
    }

    /// A cache on a pool of its own, as another process has it.
    pub(crate) fn builder<R>(&self) -> CacheBuilder<R> {
        Cache::builder(self.relay.url()).prefix("test:")
    }

    pub(crate) fn cache(&self) -> Cache {
        self.builder().build().unwrap()
    }

    /// Moves the address to server `to` as a careful operator does: the new master has every
    /// acknowledged write.
    pub(crate) fn move_to(&self, to: usize, former: Former) {
        let (new, old) = (&self.servers[to], &self.servers[1 - to]);
        let mut direct = old.connect();
        let mut pause = cmd("CLIENT");
        pause.arg("PAUSE").arg(10_000).arg("WRITE");
        pause.exec(&mut direct).unwrap();
        until(|| offset(new) == offset(old));
        cmd("REPLICAOF")
            .arg(&["NO", "ONE"])
            .exec(&mut new.connect())
            .unwrap();
        self.relay.move_to(new.port());
        match former {
            Former::Replica => replicate(old, new.port()),
            // No server listens there.
            Former::ReplicaCutOff => replicate(old, 1),
            Former::Master => {}
        }
        let mut unpause = cmd("CLIENT");
        unpause.arg("UNPAUSE").exec(&mut direct).unwrap();
    }

    /// Server `replica` follows the other and has all it has.
    pub(crate) fn wait_until_linked(&self, replica: usize) {
        let linked =
            || info(&self.servers[replica], "replication").contains("master_link_status:up");
        until(linked);
    }
}

/// A server that starts the sync of a replica without delay.
pub(crate) fn start_server() -> Server {
    Server::start_on_port_with(&["--repl-diskless-sync-delay", "0"])
}

pub(crate) fn replicate(server: &Server, master: u16) {
    let mut replicate = cmd("REPLICAOF");
    replicate.arg("127.0.0.1").arg(master);
    replicate.exec(&mut server.connect()).unwrap();
}

fn info(server: &Server, section: &str) -> String {
    let mut info = cmd("INFO");
    info.arg(section).query(&mut server.connect()).unwrap()
}

fn offset(server: &Server) -> String {
    let said = info(server, "replication");
    let line = |name: &str| {
        let mut lines = said.lines();
        lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
    };
    let offset = line("slave_repl_offset:").or_else(|| line("master_repl_offset:"));
    thread::sleep(Duration::from_millis(1));
    offset.unwrap()
}

/// Adds a user to both servers who may do what the rule says, without these words of it.
pub(crate) fn add_user(pair: &Pair, name: &str, without: &[&str]) -> String {
    for server in &pair.servers {
        add_user_to(server, name, without);
    }
    url_of(pair, name)
}

/// The same on one server.
pub(crate) fn add_user_to(server: &Server, name: &str, without: &[&str]) {
    server.expect_denials();
    let mut words = acl::words(&["test:"]);
    words.retain(|word| !without.contains(&&**word));
    let mut user = cmd("ACL");
    user.arg("SETUSER").arg(name).arg("on").arg(">pw");
    user.arg(words).exec(&mut server.connect()).unwrap();
}

/// The address, with the login of that user.
pub(crate) fn url_of(pair: &Pair, name: &str) -> String {
    format!("redis://{name}:pw@127.0.0.1:{}", pair.relay.port())
}
