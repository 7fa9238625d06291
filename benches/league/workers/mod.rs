//! The workers in Rust, one file each. `league worker NAME` runs one: the judge starts its own
//! program.

mod amalgam;
mod cached;
mod helper;
mod moka;
mod ours;
mod plain_redis;
mod serve;

use self::serve::{Setup, serve};

/// Answers the judge until stdin ends.
pub(crate) fn run(name: &str) -> Result<(), String> {
    let setup = Setup::read();
    match name {
        "cache-aside" => serve(&ours::Ours::new(&setup, false)?, &setup),
        "cache-aside-near" => serve(&ours::Ours::new(&setup, true)?, &setup),
        "helper" => serve(&helper::Helper::new(&setup)?, &setup),
        "cached" => serve(&cached::Cached::new(&setup)?, &setup),
        "amalgam" => serve(&amalgam::Amalgam::new(&setup, false)?, &setup),
        "amalgam-strict" => serve(&amalgam::Amalgam::new(&setup, true)?, &setup),
        "moka" => serve(&moka::Moka::new(&setup)?, &setup),
        _ => Err(format!("there is no worker {name}")),
    }
}
