//! The heartbeat on a connection that otherwise only receives. It records which `PING` was
//! answered, and when that `PING` was sent.
//!
//! Called by the listener. Sends nothing itself.
//!
//! One `PING` at a time is under way. Every reply carries the number of its `PING`.
//!
//! # What an answer proves
//!
//! An answer proves that all changes have been received that the server made before **the previous
//! `PING`** was sent. The previous `PING` is the latest one that had been answered when this one
//! was sent.
//!
//! Redis puts pushes into the buffer of a listener at the end of each turn of its event loop
//! (`trackingBroadcastInvalidationMessages` in `beforeSleep`). It replies to a `PING` during the
//! turn. So if a change and a `PING` fall into the same turn, the answer to the `PING` comes first.
//!
//! But two `PING`s belong to two turns if the second was sent after the first had been answered.
//! All changes before the first `PING` were pushed by the end of its turn, and so before the answer
//! to the second. That holds if one thread serves all connections. It also holds with `io-threads`,
//! where a `PING` can enter a turn that began before the `PING` was sent.

use std::time::{Duration, Instant};

use redis::{Value, cmd};

pub(crate) struct Heartbeat {
    period: Duration,
    /// When the next `PING` is due.
    due: Instant,
    /// The number of the latest `PING`.
    sent: u64,
    /// When the latest answered `PING` was sent.
    answered: Instant,
    under_way: Option<PendingPing>,
    /// A request that precedes each `PING`.
    question: Vec<u8>,
    /// A request that precedes the next `PING` only.
    once: Vec<u8>,
}

/// A `PING` that has not been answered yet.
struct PendingPing {
    number: u64,
    sent: Instant,
    /// The answer proves that every change before this instant has been received.
    confirms_up_to: Instant,
}

impl Heartbeat {
    /// Call this when the server pushes every change from now on. The first `PING` is due at once.
    pub(crate) fn new(period: Duration, now: Instant) -> Heartbeat {
        Heartbeat {
            period,
            due: now,
            sent: 0,
            answered: now,
            under_way: None,
            question: Vec::new(),
            once: Vec::new(),
        }
    }

    /// Sends another request before each `PING`. Its reply arrives before the reply to the `PING`.
    pub(crate) fn asking(self, question: Vec<u8>) -> Heartbeat {
        Heartbeat { question, ..self }
    }

    /// Sends another request before the next `PING` only.
    pub(crate) fn ask_once(&mut self, question: Vec<u8>) {
        self.once = question;
    }

    /// The requests to send now, if any are due.
    pub(crate) fn next_request(&mut self, now: Instant) -> Option<Vec<u8>> {
        if now < self.due {
            return None;
        }
        self.due = now + self.period;
        if self.under_way.is_some() {
            return None;
        }
        self.sent += 1;
        self.under_way = Some(PendingPing {
            number: self.sent,
            sent: now,
            confirms_up_to: self.answered,
        });
        let mut request = self.question.clone();
        request.append(&mut self.once);
        request.extend(cmd("PING").arg(self.sent).get_packed_command());
        Some(request)
    }

    /// Records a reply that is not a push. Returns the instant up to which every change has been
    /// received. `None`: the reply is not an answer to a `PING`.
    pub(crate) fn answered(&mut self, reply: &Value) -> Option<Instant> {
        let Value::BulkString(number) = reply else {
            return None;
        };
        let number: u64 = std::str::from_utf8(number).ok()?.parse().ok()?;
        let answered = self.under_way.take_if(|ping| ping.number == number)?;
        self.answered = answered.sent;
        Some(answered.confirms_up_to)
    }

    /// When the unanswered `PING` was sent.
    pub(crate) fn unanswered_since(&self) -> Option<Instant> {
        self.under_way.as_ref().map(|ping| ping.sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(10);

    fn pong(number: u64) -> Value {
        Value::BulkString(number.to_string().into_bytes())
    }

    fn pings(request: Option<&Vec<u8>>) -> usize {
        request.map_or(0, |bytes| {
            String::from_utf8_lossy(bytes).matches("PING").count()
        })
    }

    #[test]
    fn an_answer_confirms_the_changes_before_the_previous_ping() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(PERIOD, start);
        assert_eq!(pings(heartbeat.next_request(start).as_ref()), 1);
        assert_eq!(heartbeat.unanswered_since(), Some(start));
        assert!(heartbeat.next_request(start).is_none(), "not due yet");
        assert_eq!(heartbeat.answered(&pong(1)), Some(start));
        assert_eq!(heartbeat.unanswered_since(), None);
        heartbeat.next_request(start + PERIOD);
        assert_eq!(heartbeat.answered(&pong(2)), Some(start));
        heartbeat.next_request(start + 2 * PERIOD);
        assert_eq!(heartbeat.answered(&pong(3)), Some(start + PERIOD));
    }

    #[test]
    fn a_request_for_once_goes_with_the_next_pings_only() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(PERIOD, start);
        let asks = |request: Option<Vec<u8>>| {
            request.map(|bytes| String::from_utf8_lossy(&bytes).matches("HELLO").count())
        };
        heartbeat.ask_once(b"HELLO".to_vec());
        assert_eq!(asks(heartbeat.next_request(start)), Some(1));
        heartbeat.ask_once(b"HELLO".to_vec());
        // The first `PING` is not answered yet, so nothing is sent.
        assert_eq!(asks(heartbeat.next_request(start + PERIOD)), None);
        heartbeat.answered(&pong(1));
        assert_eq!(asks(heartbeat.next_request(start + 2 * PERIOD)), Some(1));
        heartbeat.answered(&pong(2));
        assert_eq!(asks(heartbeat.next_request(start + 3 * PERIOD)), Some(0));
    }

    /// Server: \[reads 2] \[makes a change, acknowledges it, in the same turn] \[ends the turn, and
    /// pushes the change]. So the answer to 2 comes before the push.
    #[test]
    fn no_ping_is_sent_behind_an_unanswered_one() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(PERIOD, start);
        heartbeat.next_request(start);
        assert!(heartbeat.next_request(start + PERIOD).is_none());
        assert_eq!(heartbeat.unanswered_since(), Some(start));
        assert_eq!(heartbeat.answered(&pong(1)), Some(start));
        assert_eq!(
            pings(heartbeat.next_request(start + 2 * PERIOD).as_ref()),
            1
        );
        assert_eq!(
            heartbeat.answered(&pong(1)),
            None,
            "an answer to an older one"
        );
        assert_eq!(heartbeat.answered(&pong(2)), Some(start));
    }

    #[test]
    fn a_reply_to_no_ping_confirms_nothing() {
        let mut heartbeat = Heartbeat::new(PERIOD, Instant::now());
        heartbeat.next_request(Instant::now());
        assert_eq!(heartbeat.answered(&pong(7)), None);
        assert_eq!(heartbeat.answered(&Value::Okay), None);
        assert_eq!(
            heartbeat.answered(&Value::BulkString(b"BUSY".to_vec())),
            None
        );
    }
}
