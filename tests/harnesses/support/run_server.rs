//! The Redis server of a run, private or given, and the run's own keys.
//!
//! Guarantees that nothing remains, even after Ctrl-C. First the child processes are ended. Then a
//! private server is ended too, or the keys in a given server are removed.

use std::{
    mem, process,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use cache_aside::{Cache, Record, Redis};
use parking_lot::Mutex;
use redis::Client;

use crate::parent::Processes;

#[path = "../../support/mod.rs"]
mod support;

/// The server and the run's keys in it.
pub(crate) struct RunServer {
    /// The URL for caches. It may contain a password.
    pub(crate) url: String,
    /// The prefix of the run's keys.
    pub(crate) prefix: String,
    /// For display.
    pub(crate) description: String,
    /// For a harness that observes the server from outside.
    #[allow(dead_code, reason = "not every harness does")]
    pub(crate) admin: Client,
    mess: Arc<Mutex<Option<Mess>>>,
}

/// Everything that must be removed. Dropping it removes it.
struct Mess {
    processes: Processes,
    private: Option<support::Server>,
    cache: Cache,
    ids: Vec<String>,
}

impl RunServer {
    /// Starts a private server, or connects to the given one. `name` begins the prefix. `ids`: the
    /// ids that the run will cache.
    pub(crate) fn prepare(
        name: &str,
        given: Option<&str>,
        ids: Vec<String>,
    ) -> Result<RunServer, String> {
        // Set first: a private server must not outlive an early Ctrl-C.
        let mess = Arc::new(Mutex::new(None));
        tidy_on_ctrl_c(Arc::clone(&mess))?;

        let (private, url, admin_url) = if let Some(url) = given {
            if url.contains("+cluster://") || url.contains("+sentinel://") {
                return Err(
                    "--redis-url: write `redis://host:port`; this counts the commands of one server"
                        .to_owned(),
                );
            }
            (None, url.to_owned(), url.to_owned())
        } else {
            let server = support::Server::try_start_on_port()?;
            let (url, admin_url) = (server.url(), server.admin_url());
            (Some(server), url, admin_url)
        };
        let admin = Client::open(admin_url).map_err(|error| format!("--redis-url: {error}"))?;
        // Without the password that the full address may contain.
        let address = admin.get_connection_info().addr().to_string();
        let prefix = prefix(name);
        let redis = Redis::builder(&url).require_connection(true);
        let cache: Cache<Record> = Cache::builder(redis)
            .prefix(&prefix)
            .build()
            .map_err(|error| format!("{error:#}"))?;
        let description = match &private {
            Some(_) => format!("a private server on {address}, ended after the run"),
            None => format!("the server at {address}; keys {prefix}*, removed after the run"),
        };
        *mess.lock() = Some(Mess {
            processes: Processes::default(),
            private,
            cache,
            ids,
        });
        Ok(RunServer {
            url,
            prefix,
            description,
            admin,
            mess,
        })
    }

    /// Takes over the child processes of this run.
    pub(crate) fn keep(&self, processes: Processes) {
        if let Some(mess) = &mut *self.mess.lock() {
            mess.processes = processes;
        }
    }
}

impl Drop for RunServer {
    fn drop(&mut self) {
        self.mess.lock().take();
    }
}

impl Drop for Mess {
    fn drop(&mut self) {
        // First, because waiting children would take the lease again.
        drop(mem::take(&mut self.processes));
        if self.private.is_none() {
            for id in &self.ids {
                // This also removes the lease. Other keys expire.
                let _ = self.cache.invalidate(id);
            }
        }
    }
}

/// The prefix of the keys. No other process on any machine has this id at this nanosecond.
fn prefix(name: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("{name}:{}-{}:", process::id(), now.as_nanos())
}

fn tidy_on_ctrl_c(mess: Arc<Mutex<Option<Mess>>>) -> Result<(), String> {
    ctrlc::set_handler(move || {
        // Held until the end, so that the main thread neither cleans up again nor exits first.
        let mut mess = mess.lock();
        mess.take();
        // The exit status that a shell reports for a program ended by SIGINT.
        process::exit(130);
    })
    .map_err(|error| error.to_string())
}
