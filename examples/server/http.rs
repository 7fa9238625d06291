//! Requests and answers: the tasks that `tiny_http` leaves to its user.
//!
//! Limits every body, parses forms strictly, and closes each connection after its answer: an open
//! connection would hold a thread of `tiny_http` for as long as its client wants.

use std::io::{self, Read, Write};

use serde_json::{Value, json};
use tiny_http::{Method, Request, StatusCode};

/// Far longer than any form of the demo.
const LONGEST_BODY: usize = 64 * 1024;

/// Whether the request must be forgotten instead of dropped. On drop, `tiny_http` allocates the
/// stated length of the body, so a huge length would end the process. Up to a gigabyte the memory
/// is allocated but not used, and the answer is 413.
pub(crate) fn is_absurd(request: &Request) -> bool {
    request
        .body_length()
        .is_some_and(|len| len > 16 * 1024 * LONGEST_BODY)
}

pub(crate) struct Answer {
    status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(value: &Value) -> Answer {
        Answer::text("application/json", value.to_string())
    }

    pub(crate) fn html(page: String) -> Answer {
        Answer::text("text/html; charset=utf-8", page)
    }

    pub(crate) fn text(content_type: &'static str, text: String) -> Answer {
        Answer {
            status: 200,
            content_type,
            headers: Vec::new(),
            body: text.into_bytes(),
        }
    }

    pub(crate) fn error(status: u16, message: impl Into<String>) -> Answer {
        let message: String = message.into();
        Answer::json(&json!({ "error": message })).with_status(status)
    }

    pub(crate) fn with_status(self, status: u16) -> Answer {
        Answer { status, ..self }
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends the answer. Writes it by hand, because a `tiny_http::Response` drops the `Connection`
    /// header.
    pub(crate) fn send(self, request: Request) -> io::Result<()> {
        let head_only = *request.method() == Method::Head;
        // Reads and drops the rest of the body.
        let mut wire = request.into_writer();
        write!(
            wire,
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
            self.status,
            StatusCode(self.status).default_reason_phrase(),
            self.content_type,
            self.body.len(),
        )?;
        for (name, value) in &self.headers {
            write!(wire, "{name}: {value}\r\n")?;
        }
        wire.write_all(b"\r\n")?;
        if !head_only {
            wire.write_all(&self.body)?;
        }
        wire.flush()
    }
}

/// The fields of a form, or of a query.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The form after the `?`.
    pub(crate) fn of_query(request: &Request) -> Result<Form, Answer> {
        let query = request.url().split_once('?').map_or("", |(_, query)| query);
        Form::parse(query.as_bytes())
    }

    /// The form in the body.
    pub(crate) fn of_body(request: &mut Request) -> Result<Form, Answer> {
        if request.body_length().is_some_and(|len| len > LONGEST_BODY) {
            return Err(Answer::error(413, "the body is longer than 64 KiB"));
        }
        // A body in chunks does not state its length.
        let mut body = Vec::new();
        request
            .as_reader()
            .take(LONGEST_BODY as u64)
            .read_to_end(&mut body)
            .map_err(|error| Answer::error(400, format!("the body broke off: {error}")))?;
        // `tiny_http` takes a chunked body that breaks off for a whole one. Some clients send none
        // in chunks.
        if request.body_length().is_none() && !body.is_empty() {
            let why = "send the body with a `Content-Length`, not in chunks";
            return Err(Answer::error(411, why));
        }
        if body.len() < request.body_length().unwrap_or_default() {
            return Err(Answer::error(400, "the body broke off"));
        }
        Form::parse(&body)
    }

    /// `form_urlencoded` accepts anything; an invalid form would then return a wrong record.
    fn parse(text: &[u8]) -> Result<Form, Answer> {
        let malformed = |what| Answer::error(400, format!("malformed form: {what}"));
        if !text.is_ascii() {
            return Err(malformed("bytes beyond ASCII must be written as %XX"));
        }
        let mut behind_percent = text.split(|byte| *byte == b'%').skip(1);
        let is_escape = |rest: &[u8]| {
            rest.len() >= 2 && rest[0].is_ascii_hexdigit() && rest[1].is_ascii_hexdigit()
        };
        if !behind_percent.all(is_escape) {
            return Err(malformed("a % without two hex digits"));
        }
        let fields: Vec<_> = form_urlencoded::parse(text).into_owned().collect();
        // The replacement for bytes that are not UTF-8.
        let is_utf8 = |text: &str| !text.contains(char::REPLACEMENT_CHARACTER);
        if !fields
            .iter()
            .all(|(name, value)| is_utf8(name) && is_utf8(value))
        {
            return Err(malformed("not UTF-8"));
        }
        Ok(Form(fields))
    }

    /// A field, if it exists.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&str>, Answer> {
        let mut values = self.0.iter().filter(|(field, _)| field == name);
        let value = values.next().map(|(_, value)| value.as_str());
        if values.next().is_some() {
            return Err(Answer::error(400, format!("`{name}` is there twice")));
        }
        Ok(value)
    }

    /// A field that must exist, but may be empty.
    pub(crate) fn require(&self, name: &str) -> Result<&str, Answer> {
        self.get(name)?
            .ok_or_else(|| Answer::error(400, format!("`{name}` is missing")))
    }

    /// A field that must exist and must not be empty.
    pub(crate) fn require_text(&self, name: &str) -> Result<&str, Answer> {
        match self.require(name)? {
            "" => Err(Answer::error(400, format!("`{name}` is empty"))),
            text => Ok(text),
        }
    }
}
