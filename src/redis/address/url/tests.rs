//! The addresses that are accepted, and the reasons that refuse the others.

use super::*;

fn shown(infos: &[ConnectionInfo]) -> Vec<String> {
    infos.iter().map(|info| info.addr().to_string()).collect()
}

#[test]
fn the_nodes_of_a_cluster_have_the_same_user_and_parameters() {
    let Ok(Address::Cluster(nodes)) =
        Address::parse("redis+cluster://me:p%40ss@one:7000,[::1]:7001, two?protocol=resp3")
    else {
        panic!("it is the address of a cluster");
    };
    assert_eq!(shown(&nodes), ["one:7000", "::1:7001", "two:6379"]);
    for node in &nodes {
        let login = node.redis_settings();
        assert_eq!(
            (login.username(), login.password()),
            (Some("me"), Some("p@ss"))
        );
        assert_eq!(login.protocol(), redis::ProtocolVersion::RESP3);
    }
}

#[test]
fn sentinels_have_a_port_of_their_own_and_a_name_for_the_server() {
    let Ok(Address::Sentinel { sentinels, name }) =
        Address::parse("redis+sentinel://:secret@one,[::1],two:5000/shop/3")
    else {
        panic!("it is the address of sentinels");
    };
    assert_eq!(name, "shop");
    assert_eq!(shown(&sentinels), ["one:26379", "::1:26379", "two:5000"]);
    let login = sentinels[0].redis_settings();
    assert_eq!((login.password(), login.db()), (Some("secret"), 3));
}

#[test]
fn a_password_that_would_end_the_host_is_refused_with_a_hint() {
    for scheme in ["redis", "rediss", "redis+cluster", "redis+sentinel"] {
        for end in ["/", "?", "#", "/x?", "?x=1#"] {
            for path in ["", "/shop/0"] {
                let url = format!("{scheme}://u:12{end}rest@host{path}");
                let refusal = Address::parse(&url).unwrap_err().to_string();
                assert!(refusal.contains("`#` is `%23`"), "{url}: {refusal}");
                assert!(!refusal.contains("12"), "{url}: {refusal}");
                assert!(!refusal.contains("rest"), "{url}: {refusal}");
            }
        }
    }
    let escaped = "redis://u:12%23re%2Fst%3F%40@host";
    let Ok(Address::Server(server)) = Address::parse(escaped) else {
        panic!("it is the address of a server");
    };
    let password = server.redis_settings().password().map(str::to_owned);
    assert_eq!(password.as_deref(), Some("12#re/st?@"));
    // A socket has no host that a character could end.
    assert!(Address::parse("unix:///a@b.sock?pass=p@ss").is_ok());
}

#[test]
fn an_invalid_address_is_refused_without_being_quoted() {
    for url in [
        "redis+sentinel://:secret@one",
        "redis+sentinel://:secret@one/",
        "redis+cluster://:secret@",
        "redis+cluster://:secret@one,,two",
        "redis+cluster://:secret@one,:secret@two",
        "redis://:secret@one/secret",
        "redis://one?protocol=secret",
        "http://:secret@one",
        ":secret",
    ] {
        let refusal = Address::parse(url).unwrap_err().to_string();
        assert!(refusal.starts_with("setting `address`: "), "{refusal}");
        assert!(!refusal.contains("secret"), "{refusal}");
    }
}

fn server(url: &str) -> ConnectionInfo {
    match Address::parse(url) {
        Ok(Address::Server(server)) => server,
        other => panic!("{url}: {other:?}"),
    }
}

fn refusal(url: &str) -> String {
    match Address::parse(url) {
        Err(error) => error.to_string(),
        Ok(address) => panic!("{url}: {address:?}"),
    }
}

#[test]
fn white_space_around_an_address_of_any_form_is_ignored() {
    for (before, after) in [("", "\n"), ("", "\r\n"), (" \t", " "), ("\n", "\t\n")] {
        let parse = |url: &str| Address::parse(&format!("{before}{url}{after}"));
        for url in [
            "redis://one:7000",
            "REDIS://one:7000/0",
            "redis://one:7000?protocol=2",
        ] {
            assert_eq!(
                server(&format!("{before}{url}{after}")).addr().to_string(),
                "one:7000"
            );
        }
        let socket = server(&format!("{before}unix:///a/b.sock{after}"));
        assert_eq!(socket.addr().to_string(), "/a/b.sock");
        let socket = server(&format!("{before}unix:///a?pass=secret{after}"));
        assert_eq!(socket.redis_settings().password(), Some("secret"));
        let Ok(Address::Cluster(nodes)) = parse("redis+cluster://one, two") else {
            panic!("it is the address of a cluster");
        };
        assert_eq!(shown(&nodes), ["one:6379", "two:6379"]);
        for url in [
            "redis+sentinel://one,two/shop",
            "Redis+Sentinel://one,two/shop",
        ] {
            let Ok(Address::Sentinel { sentinels, name }) = parse(url) else {
                panic!("it is the address of sentinels");
            };
            assert_eq!(name, "shop");
            assert_eq!(shown(&sentinels), ["one:26379", "two:26379"]);
        }
    }
}

/// The parser of URLs removes them, within a password too.
#[test]
fn a_line_break_within_an_address_is_refused() {
    for url in [
        "redis://:se\ncret@one",
        "redis://:secret@one\n/0",
        "redis+cluster://one,\ntwo",
        "redis+sentinel://one/sh\top",
        "unix:///a\nb",
    ] {
        assert!(refusal(url).contains("a line break"), "{url}");
    }
    assert!(refusal("redis+sentinel://one/shop ?protocol=2").contains("white space"));
}

#[test]
fn an_unknown_parameter_is_refused_by_its_name_and_the_known_ones_are_listed() {
    // A cluster has one database.
    let (one, cluster) = ("@host:6379/3`", "redis+cluster://user:password@host:6379`");
    let sentinel = "@host:26379/NAME/3`";
    for (url, example) in [
        ("redis://one?db=3", one),
        ("redis://one/3?protocol=2&db=3", one),
        ("rediss://one?db=3", one),
        ("redis+cluster://one,two?db=3", cluster),
        ("redis+sentinel://one,two/shop?db=3", sentinel),
        ("redis+sentinel://one,two/shop/3?db=3", sentinel),
    ] {
        let refusal = refusal(url);
        assert!(
            refusal.contains("`db` is unknown; known is `protocol`"),
            "{url}: {refusal}"
        );
        assert!(refusal.contains(example), "{url}: {refusal}");
    }
    for name in ["database", "PROTOCOL", "password", "timeout"] {
        let refusal = refusal(&format!("unix:///a?{name}=3"));
        let all = "known are `db`, `user`, `pass` and `protocol`";
        assert!(
            refusal.contains(&format!("`{name}` is unknown; {all}")),
            "{refusal}"
        );
    }
    for parameters in ["protocol=2&protocol=3", "protocol=3&protocol=3"] {
        assert!(refusal(&format!("redis://one?{parameters}")).contains("twice"));
    }
    for fine in [
        "redis://one?",
        "redis://one?protocol=resp3&",
        "unix:///a?db=3&protocol=3",
    ] {
        server(fine);
    }
}

#[test]
fn no_refusal_of_a_parameter_shows_a_part_of_a_password() {
    for url in [
        "unix:///a?pass=secret&secret",
        "unix:///a?pass=x&secret=1",
        "unix:///a?pass=secret#secret",
        "unix:///a?pass=se+cret",
        "redis://one?a@secret",
        "redis://one?s ecret",
        "redis://one?secretsecretsecretsecretsecretsecret",
    ] {
        assert!(!refusal(url).contains("secret"), "{url}");
    }
    assert!(refusal("unix:///a?pass=x&y").contains("`&` is `%26`"));
    assert!(refusal("unix:///a?pass=x+y").contains("`+` as `%2B`"));
    let login = server("unix:///a?pass=x%26y%2Bz%23%20");
    assert_eq!(login.redis_settings().password(), Some("x&y+z# "));
}

/// redis-rs cuts off what follows: the socket would be another.
#[test]
fn a_fragment_is_refused() {
    for url in [
        "redis://one#two",
        "unix:///a/ha#sh.sock",
        "redis+cluster://one#two",
    ] {
        assert!(refusal(url).contains("`#` is `%23`"), "{url}");
    }
    for url in [
        "redis://one#insecure",
        "rediss://one#insecure",
        "rediss+cluster://a,b#insecure",
    ] {
        assert!(
            refusal(url).contains("certificates are always checked"),
            "{url}"
        );
    }
    assert_eq!(
        server("unix:///a/ha%23sh.sock").addr().to_string(),
        "/a/ha#sh.sock"
    );
}

#[test]
fn an_empty_user_or_password_counts_as_none() {
    for url in [
        "redis://one",
        "redis://:@one",
        "redis://@one",
        "redis://default:@one",
        "redis://default@one",
        "unix:///a?pass=",
        "unix:///a?user=&pass=",
        "unix:///a?user=default&pass=",
    ] {
        let server = server(url);
        let login = server.redis_settings();
        assert_eq!((login.username(), login.password()), (None, None), "{url}");
    }
    for url in ["redis://:secret@one", "unix:///a?user=&pass=secret"] {
        let server = server(url);
        let login = server.redis_settings();
        assert_eq!(
            (login.username(), login.password()),
            (None, Some("secret")),
            "{url}"
        );
    }
    // redis-rs would not send the user.
    for url in [
        "redis://me@one",
        "redis://me:@one",
        "unix:///a?user=me&pass=",
        "redis+cluster://me@one,two",
        "redis+sentinel://me@one,two/shop",
    ] {
        assert!(refusal(url).contains("a user without a password"), "{url}");
    }
}

#[test]
fn the_database_and_the_protocol_of_a_login_are_kept() {
    for url in [
        "redis://me:secret@one/3?protocol=3",
        "unix:///a?user=me&pass=secret&db=3&protocol=resp3",
    ] {
        let server = server(url);
        let login = server.redis_settings();
        assert_eq!(
            (login.username(), login.password()),
            (Some("me"), Some("secret"))
        );
        assert_eq!(
            (login.db(), login.protocol()),
            (3, redis::ProtocolVersion::RESP3)
        );
    }
}

#[test]
fn a_refusal_has_no_name_of_the_client_library_for_it() {
    for url in ["redis://", "redis://one/x", "redis://one?protocol=7"] {
        let refusal = refusal(url);
        assert!(!refusal.contains("InvalidClientConfig"), "{refusal}");
        assert!(refusal.contains("write `redis://host:6379`"), "{refusal}");
        assert!(!refusal.contains('%'), "it has no password: {refusal}");
    }
}
