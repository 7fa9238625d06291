//! A server that is a cluster of its own: all slots, no other node. Tests then check a cache on a
//! cluster, and what they do to the server works as on any server.
//!
//! `CACHE_ASIDE_TEST_CLUSTER=1 cargo test` runs them like this.

use std::{
    env, thread,
    time::{Duration, Instant},
};

use redis::{RedisResult, cmd};

use super::{Server, free_port};

/// Whether the servers of the tests are clusters.
pub fn is_on() -> bool {
    env::var("CACHE_ASIDE_TEST_CLUSTER").is_ok_and(|value| !value.is_empty())
}

/// The arguments of a server that must not be a cluster.
pub const NONE: [&str; 2] = ["--cluster-enabled", "no"];

/// The arguments of a server. The last value of an option counts.
pub(super) fn server_args(port: u16) -> Vec<String> {
    let (port, bus_port) = (port.to_string(), free_port().to_string());
    let words = [
        "--cluster-enabled",
        "yes",
        "--port",
        &port,
        "--cluster-port",
        &bus_port,
    ];
    words.map(str::to_owned).into()
}

/// Assigns all slots to the server, and waits until it reports a working cluster, which takes 2 s.
pub(super) fn wait_until_ready(server: &Server) -> Result<(), String> {
    if server.cluster_port.is_none() {
        return Ok(());
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match is_well(server) {
            Ok(true) => return Ok(()),
            Ok(false) if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
            Ok(false) => return Err("a server doesn't become a cluster".to_owned()),
            Err(error) => return Err(format!("a server doesn't become a cluster: {error}")),
        }
    }
}

fn is_well(server: &Server) -> RedisResult<bool> {
    let mut direct = server.try_connect()?;
    let info: String = cmd("CLUSTER").arg("INFO").query(&mut direct)?;
    if info.contains("cluster_slots_assigned:0") {
        let mut all = cmd("CLUSTER");
        all.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
        all.exec(&mut direct)?;
    }
    Ok(info.contains("cluster_state:ok"))
}

/// Makes a server announce this port instead of its own: that of a proxy before it.
pub fn announce(server: u16, port: u16) -> RedisResult<()> {
    let direct = redis::Client::open(format!("redis://127.0.0.1:{server}"))?;
    let mut set = cmd("CONFIG");
    set.arg("SET").arg("cluster-announce-port").arg(port);
    set.exec(&mut direct.get_connection()?)
}
