//! The workers in Rust, one file each. `league worker NAME` runs one: the judge starts its own
//! program.

#[cfg(feature = "peers")]
mod amalgam;
#[cfg(feature = "peers")]
mod cached;
mod helper;
#[cfg(feature = "peers")]
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
        #[cfg(feature = "peers")]
        "cached" => serve(&cached::Cached::new(&setup)?, &setup),
        #[cfg(feature = "peers")]
        "amalgam" => serve(&amalgam::Amalgam::new(&setup, false)?, &setup),
        #[cfg(feature = "peers")]
        "amalgam-strict" => serve(&amalgam::Amalgam::new(&setup, true)?, &setup),
        #[cfg(feature = "peers")]
        "moka" => serve(&moka::Moka::new(&setup)?, &setup),
        _ => Err(format!("there is no worker {name}")),
    }
}
