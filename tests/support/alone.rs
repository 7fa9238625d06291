//! A server that is a cluster of its own: all slots, no other node. Whatever a test asks of a cache is then asked of one on a
//! cluster, and whatever it does to the server works as it does on any.
//!
//! `CACHE_ASIDE_TEST_CLUSTER=1 cargo test` runs them so.

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

/// What a server is told that is none, whoever asks for clusters.
pub const NONE: [&str; 2] = ["--cluster-enabled", "no"];

/// What a server is told at its start. The last word counts where one is said twice.
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

/// Gives the server all slots, and waits until it thinks that it is a cluster: it takes its time, 2 s.
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

/// Has a server name this port in the place of its own: that of a proxy before it.
pub fn announce(server: u16, port: u16) -> RedisResult<()> {
    let direct = redis::Client::open(format!("redis://127.0.0.1:{server}"))?;
    let mut set = cmd("CONFIG");
    set.arg("SET").arg("cluster-announce-port").arg(port);
    set.exec(&mut direct.get_connection()?)
}
