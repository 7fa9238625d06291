//! Where a run takes place: a Redis server, private or given, and keys of the run's own.
//!
//! Guarantees that nothing stays behind, also after Ctrl-C: further processes are ended, then a
//! private server too, or in a given one the keys are removed.

use std::{
    mem, process,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use cache_aside::{Cache, Record};
use parking_lot::Mutex;
use redis::Client;

use crate::parent::Processes;

#[path = "../../support/mod.rs"]
mod support;

/// The server and the run's keys in it.
pub(crate) struct RunServer {
    /// For caches. May hold a password.
    pub(crate) url: String,
    /// What the run's keys begin with.
    pub(crate) prefix: String,
    /// For people.
    pub(crate) description: String,
    /// For whoever looks at the server from outside.
    #[allow(dead_code, reason = "not every harness does")]
    pub(crate) admin: Client,
    mess: Arc<Mutex<Option<Mess>>>,
}

/// What must not stay behind. Dropped, it is gone.
struct Mess {
    processes: Processes,
    private: Option<support::Server>,
    cache: Cache,
    ids: Vec<String>,
}

impl RunServer {
    /// Starts a private server, or connects to the one that was given. `name` begins the prefix;
    /// `ids`: what the run will cache.
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
        // Without the password that the whole address may hold.
        let address = admin.get_connection_info().addr().to_string();
        let prefix = prefix(name);
        let cache: Cache<Record> = Cache::builder(&url)
            .prefix(&prefix)
            .build()
            .map_err(|error| error.to_string())?;
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

    /// Takes charge of the further processes of this run.
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
        // First: those who wait would take the lease again.
        drop(mem::take(&mut self.processes));
        if self.private.is_none() {
            for id in &self.ids {
                // It removes the lease as well. What can't be removed expires.
                let _ = self.cache.invalidate(id);
            }
        }
    }
}

/// No other process, on this machine or elsewhere, has this id at this nanosecond.
fn prefix(name: &str) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    format!("{name}:{}-{}:", process::id(), now.as_nanos())
}

fn tidy_on_ctrl_c(mess: Arc<Mutex<Option<Mess>>>) -> Result<(), String> {
    ctrlc::set_handler(move || {
        // Held until the end, so that the main thread neither tidies up twice nor leaves first.
        let mut mess = mess.lock();
        mess.take();
        // As the shell reports a program that SIGINT ended.
        process::exit(130);
    })
    .map_err(|error| error.to_string())
}
