//! Refuses requests that a page of another origin makes a browser send.
//!
//! A web page can send a form to any address, also to this machine. And the name of its own host can
//! be changed to point at this machine (DNS rebinding): then the browser lets it read the answers.
//! The demo has no login, so it looks at what a browser says of a request, and a page cannot change:
//! the headers `Host`, `Origin` and `Sec-Fetch-Site`. A program that sends none of them is no
//! browser, and is served.

use std::net::{IpAddr, SocketAddr};

use tiny_http::{Method, Request};

use crate::http::Answer;

pub(crate) fn check(request: &Request) -> Result<(), Answer> {
    let header = |name: &'static str| {
        let mut headers = request.headers().iter();
        let header = headers.find(|header| header.field.equiv(name));
        header.map(|header| header.value.as_str())
    };
    let host = header("Host");
    if !host.is_none_or(is_address) {
        return Err(Answer::error(
            403,
            "open the demo by its IP address, or as localhost: another name may belong to another page",
        ));
    }
    if !matches!(request.method(), Method::Get | Method::Head) {
        let is_own = |origin: &str| {
            let address = origin.split_once("://").map(|(_, address)| address);
            address.is_some() && address == host
        };
        let is_same_origin = header("Origin").is_none_or(is_own)
            && header("Sec-Fetch-Site").is_none_or(|site| site == "same-origin");
        if !is_same_origin {
            return Err(Answer::error(
                403,
                "another page must not change anything here",
            ));
        }
    }
    Ok(())
}

/// Whether a `Host` is an IP address or `localhost`, with or without a port. No other page can have
/// such a host.
fn is_address(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let bare = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    bare.is_some_and(|bare| bare.parse::<IpAddr>().is_ok())
        || name.eq_ignore_ascii_case("localhost")
}
