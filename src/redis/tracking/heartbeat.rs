//! The heartbeat on a connection that else only hears: which `PING` was answered, and when it had been sent.
//!
//! Every reply carries the number of its `PING`. That would be all, were it not for a habit of redis-rs: after a read that
//! timed out it takes the next reply that is no push for the late answer to an earlier question, and drops it
//! (`Connection::read`, `messages_to_skip`). So after `n` reads without anything to read, `n + 1` are sent, and the last
//! one's reply is delivered.
//!
//! # What an answer proves
//!
//! That every change has been heard which the server had made before **the `PING` before** was sent: the latest that had
//! been answered when this one was sent. Redis puts pushes into a listener's buffer at the end of each turn of its event
//! loop (`trackingBroadcastInvalidationMessages` in `beforeSleep`), and replies to `PING`s as it comes to them; so of a
//! change and a `PING` that are dealt with in the same turn, the answer to the `PING` comes first. But two `PING`s of which
//! the second was sent when the first had been answered are dealt with in two turns. So what the server had done before
//! it came to the first one was pushed at the end of that turn, or before, and so in front of the answer to the second.
//! That holds with one thread for all connections, and where threads of their own read and write them (`io-threads`), by
//! which a `PING` can come into a turn that has begun before it was sent.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use redis::{Value, cmd};

pub(crate) struct Heartbeat {
    period: Duration,
    /// When to send the next.
    due: Instant,
    /// The number of the latest.
    sent: u64,
    /// Replies that redis-rs will drop.
    skips: u64,
    /// When the latest one that has been answered was sent.
    answered: Instant,
    under_way: VecDeque<PendingPing>,
    /// Sent before each `PING`.
    question: Vec<u8>,
}

/// A `PING` on its way.
struct PendingPing {
    number: u64,
    sent: Instant,
    /// What had been done by then has been heard when the answer comes.
    confirms_up_to: Instant,
}

impl Heartbeat {
    /// Due at once. What changes from now on is pushed.
    pub(crate) fn new(period: Duration, now: Instant) -> Heartbeat {
        Heartbeat {
            period,
            due: now,
            sent: 0,
            skips: 0,
            answered: now,
            under_way: VecDeque::new(),
            question: Vec::new(),
        }
    }

    /// With another question before each `PING`. Its answer comes before that to the `PING`, also where redis-rs drops some:
    /// it never drops as many as are sent.
    pub(crate) fn asking(self, question: Vec<u8>) -> Heartbeat {
        Heartbeat { question, ..self }
    }

    /// What is to be sent now, if anything is.
    pub(crate) fn next_request(&mut self, now: Instant) -> Option<Vec<u8>> {
        if now < self.due {
            return None;
        }
        self.due = now + self.period;
        let confirms_up_to = self.answered;
        let mut request = Vec::new();
        while (self.under_way.len() as u64) <= self.skips {
            self.sent += 1;
            self.under_way.push_back(PendingPing {
                number: self.sent,
                sent: now,
                confirms_up_to,
            });
            request.extend_from_slice(&self.question);
            request.extend(cmd("PING").arg(self.sent).get_packed_command());
        }
        (!request.is_empty()).then_some(request)
    }

    /// A read ended without a reply.
    pub(crate) fn timed_out(&mut self) {
        self.skips += 1;
    }

    /// Something came that is no push. Returns the instant up to which every change has been heard; `None` where it is
    /// no answer to a `PING`.
    pub(crate) fn answered(&mut self, reply: &Value) -> Option<Instant> {
        let Value::BulkString(number) = reply else {
            return None;
        };
        let number: u64 = std::str::from_utf8(number).ok()?.parse().ok()?;
        let place = self
            .under_way
            .iter()
            .position(|ping| ping.number == number)?;
        let answered = self.under_way.drain(..=place).next_back()?;
        // Whatever was to be dropped came before this.
        self.skips = 0;
        self.answered = answered.sent;
        Some(answered.confirms_up_to)
    }

    /// When the first of those on their way was sent.
    pub(crate) fn unanswered_since(&self) -> Option<Instant> {
        self.under_way.front().map(|ping| ping.sent)
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
    fn an_answer_vouches_for_what_was_before_the_ping_before_was_sent() {
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
    fn after_reads_that_timed_out_so_many_more_are_sent() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(PERIOD, start);
        heartbeat.next_request(start);
        heartbeat.answered(&pong(1));
        heartbeat.timed_out();
        heartbeat.timed_out();
        // The replies to 2 and 3 are dropped.
        assert_eq!(pings(heartbeat.next_request(start + PERIOD).as_ref()), 3);
        assert_eq!(heartbeat.answered(&pong(4)), Some(start));
        assert_eq!(
            pings(heartbeat.next_request(start + 2 * PERIOD).as_ref()),
            1
        );
    }

    /// Server: [1 read] [a change, acknowledged] — client: 2 sent — server: [2 read, in the same turn] [the turn ends, and
    /// the change is pushed]. The answer to 2 comes before the push.
    #[test]
    fn a_ping_behind_another_vouches_for_no_more_than_that() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(PERIOD, start);
        heartbeat.next_request(start);
        heartbeat.timed_out();
        assert_eq!(pings(heartbeat.next_request(start + PERIOD).as_ref()), 1);
        assert_eq!(heartbeat.answered(&pong(2)), Some(start));
        // All have been answered: from here on they count again.
        heartbeat.next_request(start + 2 * PERIOD);
        assert_eq!(heartbeat.answered(&pong(3)), Some(start + PERIOD));
    }

    #[test]
    fn what_is_no_answer_to_a_ping_vouches_for_nothing() {
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
