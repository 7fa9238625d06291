//! The order of the lines, their loss, and the end of a log.

use std::{
    io,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
};

use super::*;
use crate::util::worker::tests::without_threads;

/// What was written.
#[derive(Default, Clone)]
struct Written(Arc<Mutex<String>>);

impl Written {
    fn add(&self, bytes: &[u8]) {
        let text = std::str::from_utf8(bytes).unwrap();
        self.0.lock().unwrap().push_str(text);
    }

    /// The kinds of events, in order.
    fn kinds(&self) -> Vec<String> {
        let text = self.0.lock().unwrap();
        let lines = text.lines().filter(|line| !line.is_empty());
        let events = lines.map(|line| serde_json::from_str(line).unwrap());
        events
            .map(|event: serde_json::Value| event["e"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_last_handle_closes_the_log_and_its_lines_are_in_the_order_of_their_instants() {
    let written = Written::default();
    let log = EventLog::to(written.clone()).unwrap();
    let clone = log.clone();
    for _ in 0..100 {
        clone.add("\"e\":\"fill\"");
    }
    drop(log);
    clone.add("\"e\":\"fill\"");
    drop(clone);
    let kinds = written.kinds();
    assert_eq!(kinds.first().map(String::as_str), Some("open"));
    assert_eq!(kinds.last().map(String::as_str), Some("close"));
    assert_eq!(kinds.iter().filter(|kind| *kind == "fill").count(), 101);
    let text = written.0.lock().unwrap();
    let instants = text.lines().filter_map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event["at"].as_u64()
    });
    assert!(instants.collect::<Vec<_>>().is_sorted());
}

#[test]
fn a_closed_log_takes_no_events_and_reports_that_there_were_some() {
    let written = Written::default();
    let log = EventLog::to(written.clone()).unwrap();
    log.close();
    log.add("\"e\":\"fill\"");
    log.close();
    let kinds = written.kinds();
    assert!(kinds.ends_with(&["close".to_owned(), "lost".to_owned()]));
    assert!(!kinds.contains(&"fill".to_owned()));
    // The drop reports them too.
    log.add("\"e\":\"fill\"");
    drop(log);
    assert_eq!(written.kinds().len(), kinds.len() + 1);
}

#[test]
fn a_log_that_gets_no_thread_writes_nothing_and_one_of_a_child_is_never_closed() {
    let written = Written::default();
    assert!(without_threads(|| EventLog::to(written.clone())).is_err());
    assert_eq!(written.kinds().len(), 0);
    let sink = Sink::unclosed(Box::new(written.clone()));
    sink.add("\"e\":\"fill\"");
    drop(sink);
    assert_eq!(written.kinds(), ["open", "alive"]);
}

/// Longer than the limits of an open and of a close together.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_disk_that_hangs_delays_the_open_and_the_close_for_a_limited_time() {
    // Hangs at the first write, or at the second one.
    let ends = [false, true].map(|writes| {
        let (go_on, told) = channel();
        let (done, is_done) = channel();
        thread::spawn(move || {
            let log = EventLog::to(Hanging(Written::default(), Some(told), !writes)).unwrap();
            log.add("\"e\":\"fill\"");
            log.close();
            drop(log);
            done.send(()).unwrap();
        });
        (go_on, is_done)
    });
    for (_go_on, is_done) in ends {
        is_done.recv_timeout(PATIENCE).unwrap();
    }
}

/// Writes the first line, and then nothing until it is told to go on.
struct Hanging(Written, Option<Receiver<()>>, bool);

impl Write for Hanging {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::replace(&mut self.2, true)
            && let Some(go_on) = self.1.take()
        {
            let _ = go_on.recv();
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_hangs_delays_no_caller_and_what_has_no_room_is_reported() {
    let written = Written::default();
    let (go_on, told) = channel();
    let log = EventLog::to(Hanging(written.clone(), Some(told), false)).unwrap();
    let rest = format!("\"e\":\"fill\",\"key\":\"{}\"", "x".repeat(1_000));
    // Each of them returns, although nothing can be written.
    for _ in 0..20_000 {
        log.add(&rest);
    }
    go_on.send(()).unwrap();
    log.close();
    let kinds = written.kinds();
    assert!(kinds.contains(&"lost".to_owned()));
    assert_eq!(kinds.last().map(String::as_str), Some("close"));
}

/// Fails for as long as it is told to.
struct Full(Written, Arc<Mutex<bool>>);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if *self.1.lock().unwrap() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_log_that_cannot_be_written_to_the_end_has_no_close() {
    let (written, is_full) = (Written::default(), Arc::new(Mutex::new(false)));
    let log = EventLog::to(Full(written.clone(), Arc::clone(&is_full))).unwrap();
    *is_full.lock().unwrap() = true;
    log.add("\"e\":\"fill\"");
    log.close();
    assert!(!written.kinds().contains(&"close".to_owned()));
}

#[test]
fn a_writer_that_panics_is_one_that_fails() {
    struct Panicking(bool);
    impl Write for Panicking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            assert!(!std::mem::replace(&mut self.0, true), "a test panics here");
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let log = EventLog::to(Panicking(false)).unwrap();
    log.add("\"e\":\"fill\"");
    log.close();
}
