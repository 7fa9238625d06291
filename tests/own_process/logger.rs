//! A logger that reads the cache whose lines it gets: no line is logged under a lock.

use std::{
    fmt::{self, Write},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use cache_aside::{Cache, Redis, RedisBuilder, Source};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry,
};

use crate::{
    fake,
    support::{Server, acl, free_port, load_loaf, until},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// More than all timeouts of a lookup together.
const LONG: Duration = Duration::from_secs(20);

/// What the logger reads. It is never dropped: the drop would wait for a thread that hangs.
static CACHE: OnceLock<Cache> = OnceLock::new();

/// Uses a cache once, at the first line that contains some words, and sends what it finds.
struct Reads<T> {
    words: &'static str,
    has_read: AtomicBool,
    read: fn() -> T,
    found: Mutex<Sender<T>>,
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            write!(self.0, "{value:?}").expect("a string takes all");
        }
    }
}

impl<T: Send + 'static, S: Subscriber> Layer<S> for Reads<T> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        if line.0.contains(self.words) && !self.has_read.swap(true, SeqCst) {
            let found = (self.read)();
            self.found.lock().unwrap().send(found).unwrap();
        }
    }
}

/// Installs the logger. What it finds is received.
fn at_line<T: Send + 'static>(words: &'static str, read: fn() -> T) -> Receiver<T> {
    let (sender, found) = mpsc::channel();
    let reads = Reads {
        words,
        has_read: AtomicBool::new(false),
        read,
        found: Mutex::new(sender),
    };
    tracing::subscriber::set_global_default(registry().with(reads)).unwrap();
    found
}

fn find() -> Source {
    let cache = CACHE.get().expect("the line comes after the cache");
    cache.get("p-002", load_loaf).unwrap().source()
}

fn cache(redis: RedisBuilder) -> Cache {
    let redis = redis
        .io_timeout(MS(1_000))
        .checkout_timeout(MS(3_000))
        .connect_timeout(MS(1_000))
        .breaker_threshold(1_000);
    let cache: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    until(|| cache.get("p-001", load_loaf).unwrap().is_hit());
    CACHE.set(cache.clone()).unwrap();
    cache
}

/// A lookup by another thread, which does not wait for the logger.
fn another_finds(id: String) -> Source {
    let (sender, found) = mpsc::channel();
    thread::spawn(move || {
        let cache = CACHE.get().unwrap();
        sender
            .send(cache.get(id, load_loaf).unwrap().source())
            .unwrap();
    });
    found.recv_timeout(LONG).expect("the lookup ends")
}

/// What a server has to say to the requests of a cache. Each record is there.
fn server(words: &[String], mode: &str) -> String {
    match &*words[0] {
        "HELLO" => {
            let (version, role) = (["version", "7.0.15"], ["role", "master"]);
            fake::texts(&[&["server", "redis", "mode", mode], &version[..], &role].concat())
        }
        "HGETALL" => fake::texts(&["name", "Loaf"]),
        "EVALSHA" => "-NOSCRIPT No matching script\r\n".to_owned(),
        "INFO" => "$-1\r\n".to_owned(),
        _ => "+OK\r\n".to_owned(),
    }
}

#[test]
fn a_logger_may_read_the_cache_when_sentinels_name_another_master() {
    own_process!();
    let (sentinel, old, new) = (free_port(), free_port(), free_port());
    let is_over = Arc::new(AtomicBool::new(false));
    let is_new = Arc::clone(&is_over);
    fake::answer(sentinel, move |words| {
        let (port, epoch) = if is_new.load(SeqCst) {
            (new, "2")
        } else {
            (old, "1")
        };
        match words.get(1).map(|word| &**word) {
            Some("get-master-addr-by-name") => fake::texts(&["127.0.0.1", &port.to_string()]),
            Some("MASTER") => fake::texts(&["config-epoch", epoch]),
            _ => server(words, "sentinel"),
        }
    });
    let is_gone = Arc::clone(&is_over);
    fake::answer(old, move |words| {
        // The former master falls silent, so that the logger needs another connection.
        while is_gone.load(SeqCst) {
            thread::park();
        }
        server(words, "standalone")
    });
    fake::answer(new, |words| server(words, "standalone"));
    let url = format!("redis+sentinel://127.0.0.1:{sentinel}/shop");
    let _cache = cache(Redis::builder(url));
    let found = at_line("the master `shop` is at", find);
    is_over.store(true, SeqCst);
    assert_eq!(
        found.recv_timeout(LONG).expect("the logger ends"),
        Source::Hit
    );
    assert_eq!(another_finds("p-003".to_owned()), Source::Hit);
}

#[test]
fn a_logger_may_read_the_cache_when_a_cluster_has_other_masters() {
    own_process!();
    let [old, low, high] = [(); 3].map(|()| free_port());
    let is_over = Arc::new(AtomicBool::new(false));
    for port in [old, low, high] {
        let is_over = Arc::clone(&is_over);
        fake::answer(port, move |words| {
            match (&*words[0], is_over.load(SeqCst)) {
                ("CLUSTER", false) => slots(&[(0, 16_383, old)]),
                ("CLUSTER", true) => slots(&[(0, 8_191, low), (8_192, 16_383, high)]),
                ("HGETALL", true) if port == old => {
                    let slot = slot(&words[1]);
                    let to = if slot < 8_192 { low } else { high };
                    format!("-MOVED {slot} 127.0.0.1:{to}\r\n")
                }
                _ => server(words, "cluster"),
            }
        });
    }
    let cache = cache(Redis::builder(format!("redis+cluster://127.0.0.1:{old}")));
    let is_low = |id: &String| slot(&format!("test:{id}")) < 8_192;
    let is_like_the_loggers = |id: &String| is_low(id) == is_low(&"p-002".to_owned());
    let mut ids = (0..).map(|number| format!("x-{number}"));
    // The other half of the slots. The master of this half is not known when the line comes.
    let other = ids.find(|id| !is_like_the_loggers(id)).unwrap();
    let like = ids.find(is_like_the_loggers).unwrap();
    let found = at_line("the masters of the cluster are", find);
    is_over.store(true, SeqCst);
    assert!(cache.get(other, load_loaf).unwrap().is_hit());
    assert_eq!(
        found.recv_timeout(LONG).expect("the logger ends"),
        Source::Hit
    );
    assert_eq!(another_finds(like), Source::Hit);
}

/// The logger subscribes to the same cluster, while the cache that logs is subscribed.
#[cfg(target_os = "linux")]
#[test]
fn a_logger_may_build_a_near_cache_when_no_thread_can_be_started_for_another() {
    static REDIS: OnceLock<Redis> = OnceLock::new();
    fn near_cache() -> Cache {
        let redis = REDIS.get().expect("the line comes after the pool");
        let cache = Cache::builder(redis).prefix("test:").near_cache(10);
        cache.build().unwrap()
    }
    own_process!();
    let server = Server::start_on_port_with(&["--cluster-enabled", "yes"]);
    let mut add = redis::cmd("CLUSTER");
    add.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    add.exec(&mut server.connect()).unwrap();
    let url = acl::url_at(server.port()).replace("redis:", "redis+cluster:");
    let redis = REDIS.get_or_init(|| Redis::builder(url).build().unwrap());
    let before: Cache = Cache::builder(redis).prefix("test:").build().unwrap();
    until(|| before.get("p-001", load_loaf).unwrap().is_hit());
    let found = at_line("no thread to receive changes could be started", near_cache);
    let (sender, built) = mpsc::channel();
    let builder = thread::spawn(move || {
        let cache = without_threads(near_cache);
        sender.send(cache).unwrap();
    });
    built.recv_timeout(LONG).expect("the cache is built");
    builder.join().unwrap();
    assert!(found.try_recv().is_ok(), "the logger has built another one");
}

/// Calls `run` while the memory of this process is too small for the stack of another thread.
#[cfg(target_os = "linux")]
fn without_threads<T>(run: impl FnOnce() -> T) -> T {
    use std::{
        io::Read,
        process::{self, Command, Stdio},
    };
    // Lifts the limit at the end of its input, because this process cannot start a program then.
    let script = "prlimit --pid $0 --as=$1: && echo && read _; prlimit --pid $0 --as=unlimited:";
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split(' ').next().unwrap().parse().unwrap();
    let limit = pages * 4096 + 256 * 1024;
    let mut shell = Command::new("sh")
        .args(["-c", script, &process::id().to_string(), &limit.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = [0];
    shell
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut said)
        .unwrap();
    let done = run();
    drop(shell.stdin.take());
    assert!(shell.wait().unwrap().success());
    done
}

/// The slot of a key without a hash tag.
fn slot(key: &str) -> u16 {
    let shifted = |crc: u16, _| (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 };
    let with_byte = |crc: u16, byte| (0..8).fold(crc ^ (u16::from(byte) << 8), shifted);
    key.bytes().fold(0, with_byte) % 16_384
}

/// The reply to `CLUSTER SLOTS`: the first slot, the last one, and the port of their master.
fn slots(ranges: &[(u16, u16, u16)]) -> String {
    let mut reply = format!("*{}\r\n", ranges.len());
    for (first, last, port) in ranges {
        let name = format!("{port:040}");
        write!(
            reply,
            "*3\r\n:{first}\r\n:{last}\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$40\r\n{name}\r\n"
        )
        .expect("a string takes all");
    }
    reply
}
