//! Batches in several processes. They are this very program, started again.

use std::{
    env,
    process::{Command, Stdio},
    thread,
};

use super::*;
use crate::support::{Server, until};

const PROCESSES: usize = 3;
const THREADS: usize = 3;
const IDS: usize = 120;

/// The environment variables of a child: the address for caches, the one for us, and its number.
const TOLD: [&str; 3] = ["BATCHES_SERVER", "BATCHES_ADMIN", "BATCHES_NUMBER"];

/// Reads all ids in batches that overlap with those of the others, in both orders, as soon as all
/// have started.
#[test]
#[ignore = "a role in the test below"]
fn reads_in_batches() {
    let Ok([url, admin, number]) = TOLD
        .map(env::var)
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map(|told| <[String; 3]>::try_from(told).unwrap())
    else {
        return;
    };
    let number: usize = number.parse().unwrap();
    let cache = cache(&*url);
    let connect = || {
        redis::Client::open(&*admin)
            .unwrap()
            .get_connection()
            .unwrap()
    };
    let mut direct = connect();
    redis::cmd("INCR").arg("ready").exec(&mut direct).unwrap();
    until(|| {
        let ready: usize = redis::cmd("GET")
            .arg("ready")
            .query(&mut connect())
            .unwrap();
        ready == PROCESSES
    });
    let load = |missing: &[&str]| {
        let mut direct = connect();
        for id in missing {
            redis::cmd("HINCRBY")
                .arg("loads")
                .arg(id)
                .arg(1)
                .exec(&mut direct)
                .unwrap();
        }
        thread::sleep(Duration::from_millis(3)); // the primary's latency
        rows("1")(missing)
    };
    let ids = names(IDS);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (cache, ids, load) = (&cache, &ids, &load);
            scope.spawn(move || {
                for step in 0..IDS / 4 {
                    let at = step * 4 + thread * 2;
                    let mut some: Vec<_> = (0..10).map(|next| &ids[(at + next) % IDS]).collect();
                    if number % 2 == 1 {
                        some.reverse();
                    }
                    assert_are(&cache.get_many(&some, load).unwrap(), &some);
                }
            });
        }
    });
    let stats = cache.stats();
    assert_eq!((stats.degraded, stats.refused_fills), (0, 0));
}

#[test]
fn every_record_is_loaded_once_among_the_batches_of_several_processes() {
    let server = Server::start();
    let children: Vec<_> = (0..PROCESSES)
        .map(|number| {
            Command::new(env::current_exe().unwrap())
                .args([
                    "--ignored",
                    "--exact",
                    "batches::processes::reads_in_batches",
                ])
                .envs(
                    TOLD.into_iter()
                        .zip([server.url(), server.admin_url(), number.to_string()]),
                )
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let loads: HashMap<String, u32> = redis::cmd("HGETALL")
        .arg("loads")
        .query(&mut server.connect())
        .unwrap();
    assert_eq!(loads.len(), IDS);
    assert!(loads.values().all(|loads| *loads == 1), "{loads:?}");
}
