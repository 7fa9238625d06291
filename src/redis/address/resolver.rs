//! Looks up the name of a host, within a bound of time.
//!
//! The resolver of the system has no timeout of its own. So a [`Resolver`] asks it on a separate
//! thread. Guarantees two things:
//!
//! - No caller waits for the resolver longer than it says.
//! - However long the resolver takes, one thread waits for it: callers share a lookup that is under
//!   way.
//!
//! A shared lookup may have begun before the caller came, so the address may have moved since. So
//! an answer carries the *stamp* of the caller that began the lookup: what was known then.
//!
//! Called by `opened.rs` and by the client of a Sentinel. It opens no connection, and knows no
//! servers. An address that is a number or a socket needs no resolver.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{ConnectionAddr, RedisError, RedisResult};

use crate::redis::error::LookupTimeout;
use crate::util::{
    sync::{Condvar, Mutex},
    worker::{Next, NoThread, Worker, WorkerContext},
};

/// How long an answer that came too late for every caller is kept for the next one. Longer than any
/// usual pause between two attempts to connect. So a cache also works with a resolver that is
/// slower than `connect_timeout`.
const KEPT: Duration = Duration::from_secs(10);

/// Looks up one host name.
pub(crate) struct Resolver<T> {
    pub(crate) host: String,
    /// The state is whether a lookup is due.
    worker: Worker<bool>,
    answers: Arc<SharedLookups<T>>,
}

/// The addresses of a host, and the stamp of the caller that began the lookup.
type Resolved<T> = (Vec<SocketAddr>, T);

struct SharedLookups<T> {
    /// Locked before the state of the worker.
    lookups: Mutex<Lookups<T>>,
    /// Notified when a lookup has ended.
    ended: Condvar,
}

struct Lookups<T> {
    /// The stamp of the lookup that is under way.
    under_way: Option<T>,
    /// How many lookups have ended.
    ended: u64,
    latest: Option<LatestLookup<T>>,
}

struct LatestLookup<T> {
    at: Instant,
    is_used: bool,
    resolved: RedisResult<Resolved<T>>,
}

impl<T: Copy + Send + 'static> Resolver<T> {
    /// The resolver of the name in an address. `None`: the address contains no name.
    pub(crate) fn of(address: &ConnectionAddr) -> Option<Resolver<T>> {
        let (ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. }) = address else {
            return None;
        };
        host.parse::<IpAddr>()
            .is_err()
            .then(|| Resolver::new(host, look_up))
    }

    fn new(
        host: &str,
        look_up: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Resolver<T> {
        let answers = Arc::new(SharedLookups {
            lookups: Mutex::new(Lookups {
                under_way: None,
                ended: 0,
                latest: None,
            }),
            ended: Condvar::new(),
        });
        let (asked, answered) = (host.to_owned(), Arc::clone(&answers));
        let run = move |context: &WorkerContext<bool>| {
            let next = |is_due: &mut bool| {
                if std::mem::take(is_due) {
                    Next::Run(())
                } else {
                    Next::Wait
                }
            };
            while context.wait_for(next).is_some() {
                answered.end(look_up(&asked));
            }
        };
        Resolver {
            host: host.to_owned(),
            worker: Worker::new("cache-aside-resolver", run),
            answers,
        }
    }

    /// The addresses of the host, without a port. Waits no longer than `within`.
    pub(crate) fn look_up(&self, stamp: T, within: Duration) -> RedisResult<Resolved<T>> {
        let deadline = Instant::now() + within;
        let mut lookups = self.answers.lookups.lock();
        if let Some(late) = lookups.late_answer() {
            return late;
        }
        if lookups.under_way.is_none() {
            let begun = self.worker.update(|is_due| {
                *is_due = true;
                true
            });
            begun.map_err(|error| {
                let purpose = "look up the host name";
                io::Error::new(error.kind(), NoThread { purpose, error })
            })?;
            lookups.under_way = Some(stamp);
        }
        let before = lookups.ended;
        // No wake-up is lost: a lookup records its end under the lock that this wait releases.
        while lookups.ended == before {
            if Instant::now() >= deadline {
                return Err(too_late(within));
            }
            lookups = self.answers.ended.wait_until(lookups, deadline);
        }
        lookups
            .use_latest()
            .unwrap_or_else(|| Err(too_late(within)))
    }
}

impl<T: Copy> SharedLookups<T> {
    /// Records the result of the lookup that was under way.
    fn end(&self, addresses: io::Result<Vec<SocketAddr>>) {
        {
            let mut lookups = self.lookups.lock();
            let stamp = lookups.under_way.take();
            lookups.ended += 1;
            lookups.latest = stamp.map(|stamp| LatestLookup {
                at: Instant::now(),
                is_used: false,
                resolved: addresses
                    .map(|addresses| (addresses, stamp))
                    .map_err(RedisError::from),
            });
        }
        self.ended.notify_all();
    }
}

impl<T: Copy> Lookups<T> {
    /// The latest answer, if it came too late for every caller.
    fn late_answer(&mut self) -> Option<RedisResult<Resolved<T>>> {
        let latest = self.latest.as_ref()?;
        if latest.is_used || latest.at.elapsed() > KEPT {
            return None;
        }
        self.use_latest()
    }

    fn use_latest(&mut self) -> Option<RedisResult<Resolved<T>>> {
        let latest = self.latest.as_mut()?;
        latest.is_used = true;
        Some(latest.resolved.clone())
    }
}

fn look_up(host: &str) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = (host, 0).to_socket_addrs()?.collect();
    if addresses.is_empty() {
        let nothing = "the lookup of the host name gave no address";
        return Err(io::Error::new(io::ErrorKind::NotFound, nothing));
    }
    Ok(addresses)
}

/// The error of a lookup that took longer than this.
pub(crate) fn too_late(within: Duration) -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, LookupTimeout { within }).into()
}

impl<T> std::fmt::Debug for Resolver<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Resolver").field(&self.host).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Sender};

    use super::*;

    const SHORT: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_secs(20);

    /// A resolver whose lookups end when they are told the last number of an address. The receiver
    /// gets a message when a lookup begins.
    fn told() -> (Arc<Resolver<u32>>, Sender<u8>, mpsc::Receiver<()>) {
        let (tell, numbers) = mpsc::channel();
        let (begin, begins) = mpsc::channel();
        let numbers = Mutex::new(numbers);
        let resolver = Resolver::new("host", move |_| {
            begin.send(()).unwrap();
            let number = numbers.lock().recv().map_err(io::Error::other)?;
            Ok(vec![address(number)])
        });
        (Arc::new(resolver), tell, begins)
    }

    fn address(number: u8) -> SocketAddr {
        ([127, 0, 0, number], 0).into()
    }

    #[test]
    fn a_lookup_that_takes_too_long_is_not_waited_for_and_its_answer_is_used_once() {
        let (resolver, tell, begun) = told();
        let late = resolver.look_up(1, SHORT).unwrap_err();
        assert!(late.is_timeout());
        resolver.look_up(2, SHORT).unwrap_err();
        tell.send(1).unwrap();
        let ended = || resolver.answers.lookups.lock().ended;
        while ended() == 0 {
            std::thread::yield_now();
        }
        // The stamp is that of the caller that began the lookup.
        assert_eq!(resolver.look_up(3, LONG).unwrap(), (vec![address(1)], 1));
        tell.send(2).unwrap();
        assert_eq!(resolver.look_up(4, LONG).unwrap(), (vec![address(2)], 4));
        assert_eq!(begun.try_iter().count(), 2, "one lookup at a time");
    }

    #[test]
    fn callers_share_a_lookup_that_is_under_way_and_its_stamp() {
        let (resolver, tell, begun) = told();
        let shared = Arc::clone(&resolver);
        let first = std::thread::spawn(move || shared.look_up(1, LONG).unwrap());
        begun.recv_timeout(LONG).unwrap();
        let shared = Arc::clone(&resolver);
        let second = std::thread::spawn(move || shared.look_up(2, LONG).unwrap());
        // The second may come late. It then gets an answer of its own.
        tell.send(1).unwrap();
        tell.send(2).unwrap();
        assert_eq!(first.join().unwrap(), (vec![address(1)], 1));
        let (addresses, stamp) = second.join().unwrap();
        assert_eq!(addresses, vec![address(u8::try_from(stamp).unwrap())]);
    }

    #[test]
    fn only_names_are_looked_up() {
        let is_name = |host: &str| {
            let address = ConnectionAddr::Tcp(host.to_owned(), 6379);
            Resolver::<()>::of(&address).is_some()
        };
        assert!(is_name("localhost") && is_name("redis.test"));
        assert!(!is_name("127.0.0.1") && !is_name("::1"));
        assert!(Resolver::<()>::of(&ConnectionAddr::Unix("/socket".into())).is_none());
    }
}
