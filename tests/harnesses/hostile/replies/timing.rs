//! Trickles, floods, and replies that come twice, late, in part or not at all.

use std::time::Duration;

use super::Wrong;
use crate::{
    proxy::Asked,
    steps::Step::{self, Cut, Drip, Flood, Pause, Send, Silence, Trickle},
};

/// A push as the server sends it to a listener.
const PUSH: &[u8] = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nothers\r\n";

/// Longer than the time between two calls, shorter than any timeout.
const SHORTLY: Duration = Duration::from_millis(30);

pub(super) fn all() -> Vec<Wrong> {
    vec![
        // Trickles.
        Wrong::steps("drip", |asked| vec![Drip(asked.right.to_vec())]),
        Wrong::steps("drip-line", |_| {
            vec![Send(b"+".to_vec()), Trickle(b"a".to_vec())]
        }),
        Wrong::steps("drip-bulk", |_| {
            vec![Send(b"$900000\r\n".to_vec()), Trickle(b"a".to_vec())]
        }),
        Wrong::steps("drip-elements", |_| {
            vec![Send(b"*9000\r\n".to_vec()), Trickle(b":1\r\n".to_vec())]
        }),
        Wrong::steps("drip-pushes", |_| vec![Trickle(PUSH.to_vec())]),
        Wrong::steps("drip-pushes-behind", |asked| {
            vec![Send(asked.right.to_vec()), Trickle(PUSH.to_vec())]
        }),
        Wrong::steps("drip-attributes", |_| {
            vec![Trickle(b"|1\r\n+a\r\n:1\r\n".to_vec())]
        }),
        // Floods.
        Wrong::steps("flood-line", |_| {
            vec![Send(b"+".to_vec()), Flood(b"a".to_vec())]
        }),
        Wrong::steps("flood-bulk", |_| {
            vec![Send(b"$9000000000000\r\n".to_vec()), Flood(b"a".to_vec())]
        }),
        Wrong::steps("flood-elements", |_| {
            vec![Send(b"*1000000000\r\n".to_vec()), Flood(b":1\r\n".to_vec())]
        }),
        Wrong::steps("flood-empty-arrays", |_| {
            vec![Send(b"*1000000000\r\n".to_vec()), Flood(b"*0\r\n".to_vec())]
        }),
        Wrong::steps("flood-nesting", |_| vec![Flood(b"*1\r\n".to_vec())]),
        Wrong::steps("flood-pushes", |_| vec![Flood(PUSH.to_vec())]),
        Wrong::steps("flood-attributes", |_| {
            vec![Flood(b"|1\r\n+a\r\n:1\r\n".to_vec())]
        }),
        Wrong::steps("flood-replies", |asked| vec![Flood(asked.right.to_vec())]),
        Wrong::steps("flood-zeros", |_| vec![Flood(b"\0".to_vec())]),
        Wrong::steps("announces-64-mb", |_| {
            vec![Send(b"$67108864\r\n".to_vec()), Silence]
        }),
        Wrong::steps("sends-64-mb", |_| {
            vec![Send(b"$67108864\r\n".to_vec()), Flood(b"a".to_vec())]
        }),
        // Too much.
        Wrong::made("twice", |asked| [asked.right, asked.right].concat()),
        Wrong::made("three-times", |asked| asked.right.repeat(3)),
        Wrong::made("ok-behind", |asked| [asked.right, b"+OK\r\n"].concat()),
        Wrong::made("push-behind", |asked| [asked.right, PUSH].concat()),
        Wrong::made("push-before", |asked| [PUSH, asked.right].concat()),
        Wrong::made("push-and-again-behind", |asked| {
            [asked.right, PUSH, asked.right].concat()
        }),
        Wrong::made("half-behind", |asked| {
            [asked.right, &asked.right[..asked.right.len() / 2]].concat()
        }),
        Wrong::made("line-end-behind", |asked| [asked.right, b"\r\n"].concat()),
        Wrong::steps("again-late", |asked| behind(asked, asked.right)),
        Wrong::steps("half-again-late", |asked| {
            behind(asked, &asked.right[..asked.right.len() / 2])
        }),
        // Too little.
        Wrong::steps("silence", |_| vec![Silence]),
        Wrong::steps("half-and-silence", |asked| {
            vec![Send(asked.right[..asked.right.len() / 2].to_vec()), Silence]
        }),
        Wrong::steps("cut", |_| vec![Cut]),
        Wrong::steps("half-and-cut", |asked| {
            vec![Send(asked.right[..asked.right.len() / 2].to_vec()), Cut]
        }),
        Wrong::steps("cut-at-last-byte", |asked| {
            vec![Send(asked.right[..asked.right.len() - 1].to_vec()), Cut]
        }),
        Wrong::steps("right-and-cut", |asked| {
            vec![Send(asked.right.to_vec()), Cut]
        }),
        Wrong::steps("late", |asked| {
            vec![Pause(SHORTLY), Send(asked.right.to_vec())]
        }),
        Wrong::steps("too-late", |asked| {
            vec![Pause(SHORTLY * 4), Send(asked.right.to_vec())]
        }),
    ]
}

/// The right reply, and these bytes when the client waits for nothing. Within a pipeline they would
/// come while it waits for the next reply.
fn behind(asked: &Asked<'_>, late: &[u8]) -> Vec<Step> {
    let right = Send(asked.right.to_vec());
    if asked.is_last {
        vec![right, Pause(SHORTLY), Send(late.to_vec())]
    } else {
        vec![right]
    }
}
