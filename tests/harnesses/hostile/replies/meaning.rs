//! Valid replies that say what cannot be: about leases, about slots, about masters, about servers.

use super::Wrong;
use crate::{
    proxy::Asked,
    roles::{bulk, bulks},
};

/// A token that nobody has.
const OTHER: &str = "00112233445566778899aabbccddeeff";

pub(super) fn all() -> Vec<Wrong> {
    [leases(), slots(), masters(), servers()]
        .into_iter()
        .flatten()
        .collect()
}

/// The token in a call of a script.
fn own(asked: &Asked<'_>) -> String {
    let token = asked.words.get(5).map(Vec::as_slice).unwrap_or_default();
    String::from_utf8_lossy(token).into_owned()
}

fn held(token: &str, left: &str) -> Vec<u8> {
    format!("*3\r\n$4\r\nheld\r\n{}:{left}\r\n", bulk(token)).into()
}

fn leases() -> Vec<Wrong> {
    let mut all = vec![
        Wrong::made("held-own-token", |asked| held(&own(asked), "100")),
        Wrong::made("held-token-of-10-mb", |_| {
            held(&"a".repeat(10 << 20), "100")
        }),
        Wrong::made("guarded-own-token", |asked| {
            bulks(&["guarded", &own(asked)]).into()
        }),
        Wrong::made("record-not-decodable", |_| {
            bulks(&["record", "id", "x"]).into()
        }),
        Wrong::made("record-of-10000-fields", |_| {
            let names: Vec<_> = (0..20_000).map(|number| number.to_string()).collect();
            let fields = names.iter().map(String::as_str);
            let words: Vec<_> = ["record"].into_iter().chain(fields).collect();
            bulks(&words).into()
        }),
        Wrong::bytes(
            "record-not-utf-8",
            &b"*3\r\n$6\r\nrecord\r\n$1\r\n\xff\r\n$1\r\n\xfe\r\n"[..],
        ),
        Wrong::bytes(
            "fields-not-utf-8",
            &b"*2\r\n$1\r\n\xff\r\n$1\r\n\xfe\r\n"[..],
        ),
    ];
    let texts: [(&str, &[&str]); 13] = [
        ("acquired", &["acquired"]),
        ("acquired-and-more", &["acquired", "more"]),
        ("taken", &["taken"]),
        ("held-alone", &["held"]),
        ("held-text", &["held", OTHER, "100"]),
        ("guarded-alone", &["guarded"]),
        ("guarded-other-token", &["guarded", OTHER]),
        ("guarded-empty-token", &["guarded", ""]),
        ("guarded-short-token", &["guarded", "00"]),
        ("record-empty", &["record"]),
        ("record-odd", &["record", "id"]),
        ("absent-record", &["record", "__cache_aside_not_found", ""]),
        ("marker-of-tomorrow", &["__cache_aside_tomorrow", "1"]),
    ];
    all.extend(texts.map(|(name, words)| Wrong::bytes(name, bulks(words))));
    let tokens = [
        ("held-other-token", OTHER, "100"),
        ("held-empty-token", "", "100"),
        ("held-short-token", "00", "100"),
        ("held-0-ms", OTHER, "0"),
        ("held-minus-1-ms", OTHER, "-1"),
        ("held-for-ever", OTHER, "9223372036854775807"),
    ];
    all.extend(tokens.map(|(name, token, left)| Wrong::bytes(name, held(token, left))));
    all
}

fn slots() -> Vec<Wrong> {
    let slots =
        |first: &'static str, last: &'static str, host: &'static str, port: &'static str| {
            move |asked: &Asked<'_>| -> Vec<u8> {
                let own = asked.port.to_string();
                let port = if port == "own" { &own } else { port };
                format!("*1\r\n*3\r\n:{first}\r\n:{last}\r\n*3\r\n{host}:{port}\r\n$1\r\na\r\n")
                    .into()
            }
        };
    let here = "$9\r\n127.0.0.1\r\n";
    vec![
        Wrong::made("slots-from-minus-1", slots("-1", "16383", here, "own")),
        Wrong::made("slots-to-16384", slots("0", "16384", here, "own")),
        Wrong::made(
            "slots-to-max",
            slots("0", "18446744073709551615", here, "own"),
        ),
        Wrong::made("slots-backwards", slots("9", "5", here, "own")),
        Wrong::made("slots-one-only", slots("7", "7", here, "own")),
        Wrong::made("slots-at-port-0", slots("0", "16383", here, "0")),
        Wrong::made("slots-at-port-65536", slots("0", "16383", here, "65536")),
        Wrong::made("slots-at-port-minus-1", slots("0", "16383", here, "-1")),
        Wrong::made("slots-at-no-host", slots("0", "16383", "$0\r\n\r\n", "own")),
        Wrong::made("slots-at-nil", slots("0", "16383", "$-1\r\n", "own")),
        Wrong::made(
            "slots-elsewhere",
            slots("0", "16383", "$9\r\n127.0.0.2\r\n", "1"),
        ),
        Wrong::bytes("slots-of-nobody", "*1\r\n*2\r\n:0\r\n:16383\r\n"),
        Wrong::bytes("slots-of-no-address", "*1\r\n*3\r\n:0\r\n:16383\r\n*0\r\n"),
        Wrong::made("slots-of-1000-masters", |_| {
            let one = |number: usize| {
                let (first, last) = (number * 16, number * 16 + 15);
                format!(
                    "*3\r\n:{first}\r\n:{last}\r\n*2\r\n$9\r\n127.0.0.3\r\n:{}\r\n",
                    number + 1
                )
            };
            let all: String = (0..1000).map(one).collect();
            format!("*1000\r\n{all}").into()
        }),
        Wrong::bytes(
            "nodes-without-own",
            bulk("a 127.0.0.1:1@1 master - 0 0 1 connected 0-5\n"),
        ),
        Wrong::bytes(
            "nodes-slot-16384",
            bulk("a h:1@1 myself,master - 0 0 1 connected 0-16384\n"),
        ),
        Wrong::bytes(
            "nodes-odd-slots",
            bulk("a h:1@1 myself,master - 0 0 1 connected [x 5-\n"),
        ),
        Wrong::bytes("cluster-failed", bulk("cluster_state:fail\r\n")),
    ]
}

fn masters() -> Vec<Wrong> {
    let texts: [(&str, &[&str]); 9] = [
        ("master-without-port", &["127.0.0.1"]),
        ("master-at-port-0", &["127.0.0.1", "0"]),
        ("master-at-port-65536", &["127.0.0.1", "65536"]),
        ("master-at-no-number", &["127.0.0.1", "port"]),
        ("master-at-no-host", &["", "6000"]),
        ("master-elsewhere", &["127.0.0.2", "1"]),
        ("master-and-more", &["127.0.0.1", "1", "more"]),
        ("epoch-max", &["config-epoch", "18446744073709551615"]),
        ("epoch-no-number", &["config-epoch", "x"]),
    ];
    let texts = texts.into_iter();
    texts
        .map(|(name, words)| Wrong::bytes(name, bulks(words)))
        .collect()
}

/// Replies to `HELLO` and `INFO`, and pages of a scan.
fn servers() -> Vec<Wrong> {
    let said = |name: &'static str, from: &'static str, to: &'static str| {
        Wrong::made(name, move |asked| {
            let text = String::from_utf8_lossy(asked.right);
            text.replace(from, to).into_bytes()
        })
    };
    let scan = |cursor: &str, keys: &str| format!("*2\r\n{}{keys}", bulk(cursor));
    vec![
        said("a-replica", "$6\r\nmaster\r\n", "$7\r\nreplica\r\n"),
        said("no-role", "$6\r\nmaster\r\n", "$4\r\nnone\r\n"),
        said("a-sentinel", "$10\r\nstandalone\r\n", "$8\r\nsentinel\r\n"),
        said("no-name", "$5\r\nredis\r\n", "$0\r\n\r\n"),
        said("other-name", "$5\r\nredis\r\n", "$5\r\n\u{1b}[2J\r\n"),
        said("other-run", "run_id:", "run_id:x"),
        Wrong::bytes("info-without-run", bulk("redis_version:7.0.0\r\n")),
        Wrong::bytes(
            "info-version-huge",
            bulk("redis_version:99999999999999999999.0.0\r\n"),
        ),
        Wrong::bytes("info-empty", bulk("")),
        Wrong::bytes("scan-cursor-max", scan("18446744073709551615", "*0\r\n")),
        Wrong::bytes("scan-cursor-no-number", scan("x", "*0\r\n")),
        Wrong::bytes("scan-cursor-same", scan("7", "*0\r\n")),
        Wrong::bytes(
            "scan-keys-of-others",
            scan("0", "*2\r\n$1\r\na\r\n$5\r\nlock:\r\n"),
        ),
        Wrong::bytes("scan-keys-of-arrays", scan("0", "*1\r\n*0\r\n")),
    ]
}
