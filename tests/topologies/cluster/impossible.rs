//! A node with impossible replies: a slot that no cluster has, an address without a port.
//!
//! No real server does that, so a thread acts as the node. It answers all other commands correctly.

use std::{
    collections::HashMap,
    convert::Infallible,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Error, Record, Redis, Source};

use crate::support::{chain, until_recovered};

/// The replies of the node to these commands, instead of the correct ones.
type Answers = Arc<Mutex<HashMap<&'static str, String>>>;

struct Node {
    port: u16,
    answers: Answers,
}

impl Node {
    fn start() -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answers = Answers::default();
        let shared = Arc::clone(&answers);
        // It ends with the process.
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (connection, answers) = (connection.unwrap(), Arc::clone(&shared));
                thread::spawn(move || serve(port, connection, &answers));
            }
        });
        Node { port, answers }
    }

    fn says(&self, command: &'static str, answer: impl Into<String>) {
        self.answers.lock().unwrap().insert(command, answer.into());
    }

    fn is_well(&self) {
        self.answers.lock().unwrap().clear();
    }

    fn redis(&self) -> cache_aside::RedisBuilder {
        Redis::builder(format!("redis+cluster://127.0.0.1:{}", self.port))
    }

    fn cache(&self) -> Cache {
        let builder = Cache::builder(self.redis()).prefix("test:");
        builder.build().unwrap()
    }
}

fn serve(port: u16, connection: TcpStream, answers: &Answers) {
    let mut requests = BufReader::new(connection.try_clone().unwrap());
    let mut replies = connection;
    while let Some(words) = read(&mut requests) {
        let said = answers.lock().unwrap().get(&*words[0]).cloned();
        let answer = said.unwrap_or_else(|| match (&*words[0], words.get(1).map(|it| &**it)) {
            ("HELLO", _) => "*2\r\n$6\r\nserver\r\n$5\r\nredis\r\n".to_owned(),
            ("CLUSTER", Some("SLOTS")) => slots(0, 16_383, port),
            ("CLUSTER", Some("INFO")) => "$16\r\ncluster_state:ok\r\n".to_owned(),
            ("SCRIPT", _) => "$40\r\n0000000000000000000000000000000000000000\r\n".to_owned(),
            ("EVALSHA", Some(hash)) if hash.starts_with("0000") => "-NOSCRIPT x\r\n".to_owned(),
            ("PING", Some(number)) => format!("${}\r\n{number}\r\n", number.len()),
            ("EVALSHA", _) => ":1\r\n".to_owned(),
            // The old record.
            ("HGETALL", _) => "*2\r\n$7\r\nversion\r\n$1\r\n1\r\n".to_owned(),
            _ => "+OK\r\n".to_owned(),
        });
        if replies.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn slots(first: u32, last: u32, port: u16) -> String {
    format!("*1\r\n*3\r\n:{first}\r\n:{last}\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n")
}

fn read(requests: &mut impl BufRead) -> Option<Vec<String>> {
    let mut line = String::new();
    requests
        .read_line(&mut line)
        .ok()
        .filter(|read| *read > 0)?;
    let count: usize = line[1..].trim().parse().unwrap();
    let word = |_| {
        line.clear();
        requests.read_line(&mut line).ok()?;
        let mut word = vec![0; line[1..].trim().parse::<usize>().unwrap() + 2];
        requests.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        Some(String::from_utf8_lossy(&word).into_owned())
    };
    (0..count).map(word).collect()
}

/// A redirection with impossible contents.
fn impossible(kind: &str, port: u16) -> Vec<String> {
    let targets = [
        format!("16384 127.0.0.1:{port}"),
        format!("65535 127.0.0.1:{port}"),
        format!("65536 127.0.0.1:{port}"),
        format!("-1 127.0.0.1:{port}"),
        format!("99999999999999999999 127.0.0.1:{port}"),
        format!("x 127.0.0.1:{port}"),
        "5 127.0.0.1".to_owned(),
        "5 127.0.0.1:65536".to_owned(),
        "5 127.0.0.1:x".to_owned(),
        format!("5 127.0.0.1\u{1b}[2J:{port}"),
        "5".to_owned(),
        String::new(),
    ];
    targets.map(|to| format!("-{kind} {to}\r\n")).into()
}

fn get(cache: &Cache) -> (String, Source) {
    let load = |_: &str| Ok::<_, Infallible>(Some(Record::from([("version", "2")])));
    let found = cache.get("p-001", load).unwrap();
    let version = found.record().unwrap().get("version").unwrap().to_owned();
    (version, found.source())
}

fn is_invalid(error: &Error) -> bool {
    chain(error).contains("the reply is invalid")
}

#[test]
fn a_redirection_to_nowhere_is_an_invalid_reply_and_the_invalidation_is_remembered() {
    for kind in ["MOVED", "ASK"] {
        let node = Node::start();
        for redirection in impossible(kind, node.port) {
            let cache = node.cache();
            assert_eq!(get(&cache), ("1".to_owned(), Source::Hit));
            node.says("EVALSHA", &*redirection);
            let refused = cache.invalidate("p-001").unwrap_err();
            assert!(is_invalid(&refused), "{redirection}: {refused}");
            assert_eq!(get(&cache), ("2".to_owned(), Source::Degraded));
            assert!(cache.invalidate_many(["p-001", "p-002"]).is_err());
            assert_eq!(cache.stats().invalidations_pending, 2);
            node.is_well();
            until_recovered(&cache);
        }
    }
}

#[test]
fn a_lookup_that_is_redirected_to_nowhere_is_degraded() {
    for kind in ["MOVED", "ASK"] {
        let node = Node::start();
        for redirection in impossible(kind, node.port) {
            let cache = node.cache();
            node.says("HGETALL", &*redirection);
            assert_eq!(get(&cache), ("2".to_owned(), Source::Degraded));
            let load = |ids: &[&str]| {
                let row = |id: &&str| ((*id).to_owned(), Record::from([("version", "2")]));
                Ok::<_, Infallible>(ids.iter().map(row).collect::<Vec<_>>())
            };
            let found = cache.get_many(["p-001", "p-002"], load).unwrap();
            assert!(found.iter().all(|it| it.source() == Source::Degraded));
            node.is_well();
        }
    }
}

/// No connection is possible there, which is a failure like any other.
#[test]
fn a_redirection_to_port_0_fails_and_the_invalidation_is_remembered() {
    let node = Node::start();
    let cache = node.cache();
    node.says("EVALSHA", "-MOVED 5 127.0.0.1:0\r\n");
    assert!(cache.invalidate("p-001").is_err());
    assert_eq!(get(&cache), ("2".to_owned(), Source::Degraded));
    node.is_well();
    until_recovered(&cache);
}

#[test]
fn a_host_that_would_forge_a_line_of_the_log_is_an_invalid_reply_to_build() {
    let node = Node::start();
    let host = "10.0.0.1\r\nERROR forged";
    let said = slots(0, 16_383, node.port);
    let length = format!("${}\r\n{host}", host.len());
    node.says("CLUSTER", said.replace("$9\r\n127.0.0.1", &length));
    let refused = node.redis().build().unwrap_err();
    assert!(is_invalid(&refused), "{refused}");
}

#[test]
fn slots_that_no_cluster_has_are_an_invalid_reply_to_build() {
    let node = Node::start();
    let port = node.port;
    for (first, last) in [
        (0, 16_384),
        (16_384, 16_384),
        (0, 65_535),
        (0, 65_536),
        (5, 4),
    ] {
        node.says("CLUSTER", slots(first, last, port));
        let refused = node.redis().build().unwrap_err();
        assert!(is_invalid(&refused), "{first}-{last}: {refused}");
    }
}

/// A report of the slots in which each of these ports has one of them.
fn one_slot_each(ports: &[u16]) -> String {
    let range =
        |(slot, port)| format!("*3\r\n:{slot}\r\n:{slot}\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n");
    let ranges = ports.iter().enumerate().map(range);
    format!("*{}\r\n{}", ports.len(), ranges.collect::<String>())
}

#[test]
fn a_report_of_more_than_a_thousand_masters_is_an_invalid_reply_to_build() {
    let node = Node::start();
    let ports: Vec<u16> = (1..=1_001).collect();
    node.says("CLUSTER", one_slot_each(&ports));
    let refused = node.redis().build().unwrap_err();
    assert!(is_invalid(&refused), "{refused}");
}

#[test]
fn build_ends_in_time_though_a_hundred_masters_are_silent() {
    let node = Node::start();
    let silent: Vec<_> = (0..100)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let ports: Vec<u16> = silent.iter().map(port).collect();
    node.says("CLUSTER", one_slot_each(&ports));
    let second = Duration::from_secs(1);
    let redis = node
        .redis()
        .request_timeout(second)
        .require_connection(true);
    let start = Instant::now();
    let refused = chain(&redis.build().unwrap_err());
    assert!(refused.contains("`cluster-announce-port`"), "{refused}");
    // Eight at a time would take more than six seconds.
    assert!(start.elapsed() < 4 * second, "{:?}", start.elapsed());
}
