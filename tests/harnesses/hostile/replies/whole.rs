//! A reply of each type of RESP2 and RESP3, whatever the right one is.

use super::Wrong;

pub(super) fn all() -> Vec<Wrong> {
    let replies: [(&str, &str); 44] = [
        ("simple", "+text\r\n"),
        ("ok", "+OK\r\n"),
        ("queued", "+QUEUED\r\n"),
        ("simple-empty", "+\r\n"),
        ("pong", "+PONG\r\n"),
        ("int-0", ":0\r\n"),
        ("int-1", ":1\r\n"),
        ("int-minus-1", ":-1\r\n"),
        ("int-minus-2", ":-2\r\n"),
        ("int-max", ":9223372036854775807\r\n"),
        ("int-min", ":-9223372036854775808\r\n"),
        ("bulk-nil", "$-1\r\n"),
        ("bulk-empty", "$0\r\n\r\n"),
        ("bulk", "$4\r\ntext\r\n"),
        ("bulk-binary", "$4\r\n\0\u{7f}\r\n\r\n"),
        ("array-nil", "*-1\r\n"),
        ("array-empty", "*0\r\n"),
        ("array-of-nil", "*2\r\n$-1\r\n$-1\r\n"),
        ("array-of-int", "*2\r\n:1\r\n:2\r\n"),
        ("array-of-bulk", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("array-of-array", "*2\r\n*1\r\n:1\r\n*0\r\n"),
        ("array-of-error", "*2\r\n-ERR no\r\n-ERR no\r\n"),
        ("null", "_\r\n"),
        ("true", "#t\r\n"),
        ("false", "#f\r\n"),
        ("boolean-other", "#x\r\n"),
        ("double", ",1.5\r\n"),
        ("double-nan", ",nan\r\n"),
        ("double-infinite", ",inf\r\n"),
        ("double-text", ",text\r\n"),
        ("big-number", "(340282366920938463463374607431768211456\r\n"),
        ("big-number-text", "(text\r\n"),
        ("blob-error", "!6\r\nERR no\r\n"),
        ("verbatim", "=8\r\ntxt:text\r\n"),
        ("verbatim-short", "=1\r\nt\r\n"),
        ("map-empty", "%0\r\n"),
        ("map", "%1\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("map-of-maps", "%1\r\n%0\r\n%0\r\n"),
        ("set", "~2\r\n$1\r\na\r\n$1\r\na\r\n"),
        ("attribute", "|1\r\n+ttl\r\n:1\r\n+OK\r\n"),
        ("push-instead", ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n"),
        ("push-unknown", ">1\r\n+text\r\n"),
        ("unknown-type", "?text\r\n"),
        ("http", "HTTP/1.1 400 Bad Request\r\n\r\n"),
    ];
    let replies = replies
        .into_iter()
        .map(|(name, reply)| Wrong::bytes(name, reply));
    replies.collect()
}
