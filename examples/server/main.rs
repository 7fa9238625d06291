//! A web page that demonstrates `cache-aside`: `cargo run --release --example server`.
//!
//! Its threads block, and each answers one request at a time, like the services for which the crate
//! is made. Keep it on this machine: `tiny_http` has no timeouts and no limits of its own.

mod args;
mod audit;
#[path = "../support/args.rs"]
mod command_line;
mod http;
mod list;
mod metrics;
mod origin;
mod page;
mod primary;
mod reads;
#[path = "../support/recording.rs"]
mod recording;
mod routes;
mod settings;
mod stampede;
#[path = "../support/store.rs"]
mod store;
mod updates;

use std::{
    io::{self, Write},
    mem,
    net::{SocketAddr, TcpListener, TcpStream},
    panic,
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use tiny_http::Server;

use args::Args;
use list::ProductList;
use metrics::Metrics;
use primary::MockPrimaryStore;
use recording::Recording;
use routes::{About, Shop};
use settings::InUse;
use store::Chosen;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // One line, even if the error of a server has several.
            eprintln!("server: {}", why.replace(['\r', '\n'], " "));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let args = command_line::read::<Args>()?;
    let metrics = Metrics::install()?;
    let Chosen {
        backend,
        kind,
        place,
        other,
    } = args.store.open()?;
    let primary = Arc::new(MockPrimaryStore::new(args.primary_latency()));
    recording::prepare(args.record.as_deref())?;
    let recording = Recording::start(args.record.as_deref())?;
    let list =
        ProductList::new(&backend, args.ttl(), &recording).map_err(|error| format!("{error:#}"))?;
    let in_use = InUse::new(backend, args.ttl(), Arc::clone(&primary), recording.clone());
    let in_use = in_use.map_err(|error| format!("{error:#}"))?;
    let shop = Shop {
        in_use,
        list,
        primary,
        metrics,
        about: About { kind, place, other },
    };
    let (server, address) = listen(&args)?;
    end_with_the_port(address)?;
    let server = Arc::new(server);
    let stopping = Arc::new(AtomicBool::new(false));
    stop_on_ctrl_c(&args, &server, &stopping)?;
    let About { place, other, .. } = &shop.about;
    say(&format!(
        "Open http://{address}/  Records are {place}. {other} Ctrl-C stops."
    ));

    let workers = Workers {
        shop,
        server,
        stopping,
        count: args.threads,
        forgotten: AtomicU32::new(0),
    };
    workers.run()?;
    recording.close();
    say("Stopped.");
    Ok(())
}

fn listen(args: &Args) -> Result<(Server, SocketAddr), String> {
    let wanted = SocketAddr::new(args.bind, args.port);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("{wanted} is in use by another program; choose another --port")
        }
        _ => format!("cannot listen on {wanted}: {error}"),
    };
    let listener = TcpListener::bind(wanted).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let server = Server::from_listener(listener, None)
        .map_err(|error| format!("cannot listen on {wanted}: {error}"))?;
    Ok((server, address))
}

/// Ends the process if the port is closed. `tiny_http` accepts connections on a thread that panics if
/// the process has too many open files. The port is closed then, and nothing else happens.
fn end_with_the_port(address: SocketAddr) -> Result<(), String> {
    let (panicked, has_panicked) = mpsc::channel();
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        print(panic);
        let _ = panicked.send(());
    }));
    let watch = move || {
        while has_panicked.recv().is_ok() {
            // The file that it takes to find out is the next to be free.
            while !is_open(address) {}
        }
    };
    let watching = thread::Builder::new().name("port".to_owned()).spawn(watch);
    watching
        .map(drop)
        .map_err(|error| format!("cannot start a thread: {error}"))
}

/// False: it cannot be found out now. If the port is closed, this ends the process.
fn is_open(address: SocketAddr) -> bool {
    // A thread that panics closes the port at the end of its unwinding.
    thread::sleep(Duration::from_millis(100));
    match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            eprintln!("server: cannot accept connections any more: there were too many at once");
            process::exit(1);
        }
        Err(_) => false,
    }
}

/// Lets each worker finish its request and end. A second Ctrl-C ends the process at once.
fn stop_on_ctrl_c(
    args: &Args,
    server: &Arc<Server>,
    stopping: &Arc<AtomicBool>,
) -> Result<(), String> {
    let (server, stopping, workers) = (Arc::clone(server), Arc::clone(stopping), args.threads);
    ctrlc::set_handler(move || {
        if stopping.swap(true, Ordering::SeqCst) {
            // The status that a shell reports after Ctrl-C: 128 and the number of the signal.
            process::exit(130);
        }
        unblock_all(&server, workers);
    })
    .map_err(|error| format!("cannot catch Ctrl-C: {error}"))
}

/// Each call ends one worker, now or when it next asks for a request.
fn unblock_all(server: &Server, workers: u16) {
    for _ in 0..workers {
        server.unblock();
    }
}

struct Workers {
    shop: Shop,
    server: Arc<Server>,
    stopping: Arc<AtomicBool>,
    count: u16,
    /// The number of forgotten requests. Each keeps its connection open, and a thread busy.
    forgotten: AtomicU32,
}

/// The server ends at the next request that must be forgotten.
const MOST_FORGOTTEN: u32 = 20;

impl Workers {
    /// Answers requests until Ctrl-C.
    fn run(&self) -> Result<(), String> {
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.count)
                .map(|_| scope.spawn(|| self.work()))
                .collect();
            // All are joined before their results are checked: the scope panics for a thread that
            // panicked and was not joined.
            let ended: Vec<_> = workers.into_iter().map(ScopedJoinHandle::join).collect();
            ended
                .into_iter()
                .try_for_each(|worker| worker.unwrap_or_else(|_| Err("a worker panicked".into())))
        })
    }

    fn work(&self) -> Result<(), String> {
        loop {
            match self.server.recv() {
                Ok(request) if http::is_absurd(&request) => {
                    mem::forget(request);
                    if self.forgotten.fetch_add(1, Ordering::SeqCst) >= MOST_FORGOTTEN {
                        return self.stop("too many requests claimed a body of over a gigabyte");
                    }
                }
                Ok(mut request) => {
                    let answer = routes::answer(&self.shop, &mut request);
                    // A client that has closed the connection does not want its answer.
                    let _ = answer.send(request);
                }
                Err(_) if self.stopping.load(Ordering::SeqCst) => return Ok(()),
                // No more connections are accepted, and only one worker gets the error.
                Err(error) => {
                    return self.stop(&format!("cannot accept connections any more: {error}"));
                }
            }
        }
    }

    /// Ends all workers, this one with an error.
    fn stop(&self, why: &str) -> Result<(), String> {
        self.stopping.store(true, Ordering::SeqCst);
        unblock_all(&self.server, self.count);
        Err(why.to_owned())
    }
}

/// Prints a line. A closed output is not an error.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Milliseconds for the JSON, to the microsecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
