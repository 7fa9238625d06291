//! Errors with each code, and redirections to slots and addresses that do not exist.

use super::Wrong;

const SLOTS: [(&str, &str); 6] = [
    ("slot-minus-1", "-1"),
    ("slot-16384", "16384"),
    ("slot-65536", "65536"),
    ("slot-max", "18446744073709551615"),
    ("slot-beyond-64-bits", "99999999999999999999"),
    ("slot-no-number", "x"),
];

const ADDRESSES: [(&str, &str); 10] = [
    ("no-port", "127.0.0.1"),
    ("port-empty", "127.0.0.1:"),
    ("port-0", "127.0.0.1:0"),
    ("port-65536", "127.0.0.1:65536"),
    ("port-minus-1", "127.0.0.1:-1"),
    ("empty", ""),
    ("colon", ":"),
    ("refusing-host", "127.0.0.2:1"),
    ("host-without-name", "?:1"),
    ("host-of-spaces", "a b c:1"),
];

pub(super) fn all() -> Vec<Wrong> {
    let mut all = Vec::new();
    for redirect in ["MOVED", "ASK"] {
        let name = |what: &str| format!("{}-{what}", redirect.to_lowercase());
        for (what, slot) in SLOTS {
            all.push(Wrong::made(name(what), move |asked| {
                format!("-{redirect} {slot} 127.0.0.1:{}\r\n", asked.port).into()
            }));
        }
        for (what, address) in ADDRESSES {
            let error = format!("-{redirect} 7 {address}\r\n");
            all.push(Wrong::bytes(name(what), error));
        }
        all.push(Wrong::bytes(name("alone"), format!("-{redirect}\r\n")));
        all.push(Wrong::bytes(
            name("slot-only"),
            format!("-{redirect} 7\r\n"),
        ));
        all.push(Wrong::made(name("here"), move |asked| {
            format!("-{redirect} 7 127.0.0.1:{}\r\n", asked.port).into()
        }));
        let long = "a".repeat(100_000);
        all.push(Wrong::bytes(
            name("long-host"),
            format!("-{redirect} 7 {long}:1\r\n"),
        ));
    }
    let codes = [
        "ERR",
        "LOADING",
        "NOSCRIPT",
        "WRONGTYPE",
        "READONLY",
        "NOAUTH",
        "WRONGPASS",
        "BUSY",
        "CROSSSLOT",
        "TRYAGAIN",
        "CLUSTERDOWN",
        "EXECABORT",
        "NOPERM",
        "OOM",
        "MASTERDOWN",
        "MISCONF",
        "NOREPLICAS",
        "NOPROTO",
        "UNBLOCKED",
    ];
    for code in codes {
        let name = code.to_lowercase();
        all.push(Wrong::bytes(
            name,
            format!("-{code} the server says so\r\n"),
        ));
    }
    all.extend([
        Wrong::bytes(
            "unknown-command",
            "-ERR unknown command 'X', with args beginning with: \r\n",
        ),
        Wrong::bytes("error-empty", "-\r\n"),
        Wrong::bytes("error-code-only", "-ERR\r\n"),
        Wrong::bytes("error-of-spaces", "-   \r\n"),
        Wrong::bytes("error-escapes", "-ERR \x1b[2J\x07\x00\r\n"),
        Wrong::made("error-of-1-mb", |_| {
            [b"-ERR ", &*vec![b'x'; 1 << 20], b"\r\n"].concat()
        }),
        Wrong::made("error-code-of-1-mb", |_| {
            [b"-", &*vec![b'X'; 1 << 20], b" no\r\n"].concat()
        }),
        Wrong::made("error-not-utf-8", |_| b"-ERR \xff\xfe\r\n".to_vec()),
    ]);
    all
}
