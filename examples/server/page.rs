//! The page, and the policy under which a browser shows it.

use crate::http::Answer;

/// The page with its style and its script, in one file.
const PAGE: &str = include_str!("page.html");

/// The placeholder in the file for the nonce of each answer.
const NONCE: &str = "{{nonce}}";

/// The page. Its script and its style carry a random number that the policy names. The browser
/// runs no other script.
pub(crate) fn answer() -> Answer {
    let random = getrandom::u64().expect("the operating system has randomness");
    let nonce = format!("{random:016x}");
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         img-src data:; connect-src 'self'; form-action 'none'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    Answer::html(PAGE.replace(NONCE, &nonce))
        .with_header("Content-Security-Policy", policy)
        .with_header("Referrer-Policy", "no-referrer")
}
