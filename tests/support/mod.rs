//! Private Redis servers, for tests, benchmarks and examples. Never the one on port 6379.

#![allow(dead_code, unreachable_pub, reason = "each user takes its own part")]
#![allow(
    clippy::unnecessary_wraps,
    clippy::must_use_candidate,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    reason = "this is no library"
)]

pub mod acl;
pub mod alone;
mod clock;

use std::{
    convert::Infallible,
    env,
    error::Error as StdError,
    fs,
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, CacheBuilder, Record, Redis};
use redis::{Client, IntoConnectionInfo};

use self::clock::Clock;

/// What to type where there is no server.
const HOW_TO_INSTALL: &str =
    "`redis-server` is not installed. Type:  sudo apt-get install redis-server";

/// A `redis-server` of this process alone, in a folder of its own, that ends with this value.
pub struct Server {
    child: Child,
    folder: PathBuf,
    address: Address,
    /// Where caches reach it, of one that is a cluster.
    cluster_port: Option<u16>,
    args: Vec<String>,
    /// Of one whose clock can be stepped.
    clock: Option<Clock>,
    /// Whether the test expects denials, which are otherwise an error.
    may_deny: AtomicBool,
}

#[derive(Clone)]
enum Address {
    Socket(PathBuf),
    Port(u16),
}

impl Server {
    /// Starts one on a unix socket.
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// Starts one on a unix socket, with further arguments.
    pub fn start_with(args: &[&str]) -> Server {
        let folder = new_folder();
        let address = Address::Socket(folder.join("redis.sock"));
        Server::run(folder, address, args, None).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Starts one on a free port of the loopback interface.
    pub fn start_on_port() -> Server {
        Server::try_start_on_port().unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// The same, with further arguments.
    pub fn start_on_port_with(args: &[&str]) -> Server {
        Server::try_start_on_port_with(args).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// The same, for programs that want to say themselves what is missing.
    pub fn try_start_on_port() -> Result<Server, String> {
        Server::try_start_on_port_with(&[])
    }

    pub fn try_start_on_port_with(args: &[&str]) -> Result<Server, String> {
        Server::run(new_folder(), Address::Port(free_port()), args, None)
    }

    /// Starts one on a free port, whose [clock](Server::step_clock) can be stepped.
    pub fn try_start_with_clock() -> Result<Server, String> {
        let folder = new_folder();
        let clock = Clock::new(&folder)?;
        Server::run(folder, Address::Port(free_port()), &[], Some(clock))
    }

    /// The same, for tests.
    pub fn start_with_clock() -> Server {
        Server::try_start_with_clock().unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn run(
        folder: PathBuf,
        address: Address,
        args: &[&str],
        clock: Option<Clock>,
    ) -> Result<Server, String> {
        let mut args: Vec<_> = args.iter().map(ToString::to_string).collect();
        let is_node = args.iter().any(|arg| arg == "--cluster-enabled");
        let mut cluster_port = None;
        if alone::is_on() && !is_node {
            let port = match address {
                Address::Port(port) => port,
                Address::Socket(_) => free_port(),
            };
            args.extend(alone::server_args(port));
            cluster_port = Some(port);
        }
        args.extend(acl::server_args(is_node || alone::is_on()));
        let child = spawn(&folder, &address, &args, clock.as_ref())?;
        let mut server = Server {
            child,
            folder,
            address,
            cluster_port,
            args,
            clock,
            may_deny: AtomicBool::new(false),
        };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                return Err(format!("redis-server ended with {status}:\n{log}"));
            }
            let answer = Client::open(self.admin_url())
                .and_then(|client| client.get_connection_with_timeout(Duration::from_secs(1)))
                .and_then(|mut direct| {
                    let mut question = redis::cmd("CONFIG");
                    question
                        .arg("GET")
                        .arg("dir")
                        .query::<[String; 2]>(&mut direct)
                });
            match answer {
                // Another process was quicker to take the port; ours will report it.
                Ok([_, dir]) if !self.is_at_home_in(&dir) => {
                    thread::sleep(Duration::from_millis(3));
                }
                Ok(_) => return alone::wait_until_ready(self),
                // It answers with an error, which the test is about.
                Err(error) if error.code().is_some() => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(format!("redis-server does not answer: {error}"));
                }
                // The only way to learn that another process is ready is to ask it.
                Err(_) => thread::sleep(Duration::from_millis(3)),
            }
        }
    }

    fn is_at_home_in(&self, dir: &str) -> bool {
        let real = |path: &Path| fs::canonicalize(path).ok();
        real(Path::new(dir)) == real(&self.folder)
    }

    /// The port, of a server that was started on one.
    pub fn port(&self) -> u16 {
        match self.address {
            Address::Port(port) => port,
            Address::Socket(_) => panic!("this server listens on a socket"),
        }
    }

    /// A plain connection, to look at what the cache does.
    pub fn connect(&self) -> redis::Connection {
        self.try_connect().expect("the private server answers")
    }

    /// The same, to one that may be away.
    pub fn try_connect(&self) -> redis::RedisResult<redis::Connection> {
        let info = self.admin_url().into_connection_info()?;
        // Newer servers would count, and show, that the client library sends its name.
        let login = info.redis_settings().clone().set_skip_set_lib_name();
        let client = Client::open(info.set_redis_settings(login))?;
        client.get_connection_with_timeout(Duration::from_secs(5))
    }

    /// A cache of strings on this server, with the prefix `test:`.
    pub fn cache(&self) -> Cache {
        self.builder().build().expect("the private server answers")
    }

    /// Its timeouts suit a busy machine: for tests that are not about timeouts.
    pub fn builder<R>(&self) -> CacheBuilder<R> {
        let patient = Duration::from_secs(3);
        let redis = Redis::builder(self.url()).connect_timeout(patient);
        Cache::builder(redis.io_timeout(patient).checkout_timeout(patient)).prefix("test:")
    }

    /// Kills the server, as `kill -9` does. Its data is lost.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server is ours");
        self.child.wait().expect("the server is ours");
    }

    /// Starts it again at the same address, with what it has saved: nothing, unless it was told to.
    pub fn start_again(&mut self) {
        self.start_again_with(&[]);
    }

    /// The same, with further arguments.
    pub fn start_again_with(&mut self, args: &[&str]) {
        self.try_start_again_with(args)
            .unwrap_or_else(|failure| panic!("{failure}"));
    }

    /// The same, for programs that report themselves what failed.
    pub fn try_start_again(&mut self) -> Result<(), String> {
        self.try_start_again_with(&[])
    }

    fn try_start_again_with(&mut self, args: &[&str]) -> Result<(), String> {
        if let Address::Socket(path) = &self.address {
            let _ = fs::remove_file(path);
        }
        let args: Vec<_> = args.iter().map(ToString::to_string).collect();
        let args = [&*self.args, &*args].concat();
        self.child = spawn(&self.folder, &self.address, &args, self.clock.as_ref())?;
        self.wait_until_ready()
    }

    /// Bounded staleness: every key in the server has a TTL.
    pub fn assert_every_key_expires(&self) {
        let mut direct = self.connect();
        let mut cursor = 0;
        loop {
            let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg(&["COUNT", "1000"])
                .query(&mut direct)
                .expect("the private server answers");
            for key in keys {
                let left: i64 = redis::cmd("PTTL")
                    .arg(&key)
                    .query(&mut direct)
                    .expect("the private server answers");
                assert_ne!(left, -1, "{key} has no TTL");
            }
            if next == 0 {
                return;
            }
            cursor = next;
        }
    }

    /// Stops the process without ending it: connections stay open and get no answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Steps the wall clock of the server: back if `seconds` is negative. Only for a server that
    /// was started with a clock.
    pub fn step_clock(&self, seconds: i64) {
        let clock = self.clock.as_ref().expect("it was started with a clock");
        let mut direct = self.connect();
        let mut now = || -> i64 {
            let now = redis::cmd("TIME").query::<(i64, i64)>(&mut direct);
            now.expect("the private server answers").0
        };
        let before = now();
        clock.step(seconds).expect("the file is writable");
        let stepped = now() - before;
        // A server without a C library of the system cannot be shifted.
        assert!((seconds..seconds + 60).contains(&stepped), "{stepped} s");
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .expect("`kill` is there");
        assert!(status.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let denied = acl::denied(self);
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
        // During a panic, the panic is the failure to report.
        assert!(
            denied.is_empty() || thread::panicking(),
            "denied to a cache: {denied:?}"
        );
    }
}

fn spawn(
    folder: &PathBuf,
    address: &Address,
    args: &[String],
    clock: Option<&Clock>,
) -> Result<Child, String> {
    let binary = env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(binary);
    match address {
        Address::Socket(path) => command
            .args(["--bind", "127.0.0.1", "--port", "0", "--unixsocket"])
            .arg(path),
        Address::Port(port) => command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]),
    };
    command
        .args([
            "--save",
            "",
            "--appendonly",
            "no",
            "--logfile",
            "log",
            "--dir",
        ])
        .arg(folder)
        .args(args)
        .envs(clock.into_iter().flat_map(Clock::environment))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => HOW_TO_INSTALL.to_owned(),
            _ => format!("redis-server does not start: {error}"),
        })
}

/// Reserves a port until this process ends: no other process of the tests gets it, even while its
/// server is down. The port 10,000 above it, where a node of a cluster listens to other nodes, is
/// free now. Both are below the range of outgoing connections.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 10_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    // A process reserves a TCP port by holding the UDP port of the same number, which nobody uses.
    static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    // Processes that run at the same time start at different places.
    let start = process::id().wrapping_mul(97);
    let mut candidates = (0..COUNT).map(|_| {
        let place = start.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT;
        u16::try_from(FIRST + place).expect("it is below 20,000")
    });
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let found = candidates.find_map(|port| {
        let held = UdpSocket::bind(("127.0.0.1", port)).ok()?;
        (is_free(port) && is_free(port + 10_000)).then_some((port, held))
    });
    let (port, held) = found.expect("the loopback interface has a free port");
    HELD.lock().expect("nothing panics under it").push(held);
    port
}

/// A new empty folder. Short, since the path of a unix socket must be.
fn new_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = env::temp_dir().join(format!("cache-aside-{}-{count}", process::id()));
    fs::create_dir_all(&folder).expect("the folder for temporary files is writable");
    folder
}

/// A small record, as a primary would hold it.
pub fn loaf() -> Record {
    Record::from([
        ("id", "p-001"),
        ("name", "Sourdough Loaf"),
        ("price_cents", "650"),
        ("stock", "42"),
    ])
}

/// A loader that finds it.
pub fn load_loaf(_: &str) -> Result<Option<Record>, Infallible> {
    Ok(Some(loaf()))
}

/// A loader that finds nothing.
pub fn load_nothing(_: &str) -> Result<Option<Record>, Infallible> {
    Ok(None)
}

/// Waits until another thread or process has reached this point.
pub fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited for 20 s");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether the cache has recovered: no invalidation is pending, and the breaker is closed. It closes
/// after the last invalidation is replayed, so neither tells of the other.
pub fn has_recovered<R>(cache: &Cache<R>) -> bool {
    let stats = cache.stats();
    stats.invalidations_pending == 0 && !stats.breaker_open
}

/// Waits until the cache has recovered.
pub fn until_recovered<R>(cache: &Cache<R>) {
    until(|| has_recovered(cache));
}

/// An error and all its causes, as `anyhow` prints them with `{:#}`. It leaves nothing out: what an
/// error and its source both print is there twice.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
