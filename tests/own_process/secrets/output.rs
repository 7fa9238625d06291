//! All text that leaves the crate, with its place.

use std::{
    error::Error as StdError,
    fmt, panic,
    sync::{Arc, Mutex, Once, PoisonError},
};

use super::MARK;

/// A text, after its place.
type Text = (String, String);

/// The text that calls return or that an observer gets.
#[derive(Clone)]
pub(super) struct Seen {
    /// The server, for the place of a text.
    server: String,
    texts: Arc<Mutex<Vec<Text>>>,
}

impl Seen {
    pub(super) fn at(server: impl Into<String>) -> Seen {
        Seen {
            server: server.into(),
            texts: Arc::default(),
        }
    }

    pub(super) fn text(&self, place: &str, text: impl Into<String>) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.push((format!("{}, {place}", self.server), text.into()));
    }

    /// A value in both forms of `Debug`.
    pub(super) fn debug(&self, place: &str, value: &dyn fmt::Debug) {
        self.text(place, format!("{value:?} | {value:#?}"));
    }

    /// An error and its sources, in all their forms.
    pub(super) fn error(&self, place: &str, error: &(dyn StdError + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.text(place, format!("{error} | {error:#}"));
            self.debug(place, &error);
            next = error.source();
        }
    }

    pub(super) fn outcome<T, E: StdError + 'static>(
        &self,
        place: &str,
        outcome: Result<T, E>,
    ) -> Option<T> {
        outcome.inspect_err(|error| self.error(place, error)).ok()
    }

    pub(super) fn texts(&self) -> Vec<Text> {
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.clone()
    }

    /// All of it, and all output of the process since it began.
    pub(super) fn all(&self) -> Vec<Text> {
        [self.texts(), reported()].concat()
    }
}

/// Fails if a text contains a secret, as text or as a list of bytes.
pub(super) fn assert_nothing_is_shown(texts: &[Text]) {
    let bytes = MARK.as_bytes();
    let capital = [bytes[0].to_ascii_uppercase(), bytes[1], bytes[2]];
    let lists = [bytes, &capital[..]].map(|mark| {
        let list = format!("{mark:?}");
        let hexadecimal = format!("{mark:x?}");
        [list, hexadecimal].map(|list| list.trim_matches(['[', ']']).to_owned())
    });
    for (place, text) in texts {
        let text = text.to_lowercase();
        assert!(!text.contains(MARK), "{place}: {text}");
        let is_shown = lists.as_flattened().iter().any(|list| text.contains(list));
        assert!(!is_shown, "{place}: {text}");
    }
}

static REPORTED: Mutex<Vec<Text>> = Mutex::new(Vec::new());

fn report(place: &str, text: String) {
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    reported.push((place.to_owned(), text));
}

/// The output of this process to a logger, a subscriber, a recorder of metrics, and the panic hook.
pub(super) fn reported() -> Vec<Text> {
    let mut reported = REPORTED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    reported.push(("metrics".to_owned(), recorder::rendered()));
    reported
}

/// Looks for words in what was reported since its last look.
#[derive(Default)]
pub(super) struct Search {
    looked_at: usize,
}

impl Search {
    pub(super) fn finds(&mut self, words: &str) -> bool {
        let reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
        let new = &reported[self.looked_at..];
        self.looked_at = reported.len();
        new.iter().any(|(_, text)| text.contains(words))
    }
}

/// Keeps all output of this process from now on.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Logger).expect("nobody else listens in this process");
        log::set_max_level(log::LevelFilter::Trace);
        #[cfg(feature = "tracing")]
        spans::listen();
        recorder::listen();
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            report("panic", panic.to_string());
            before(panic);
        }));
    });
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        report("log", record.args().to_string());
    }

    fn flush(&self) {}
}

#[cfg(feature = "metrics")]
mod recorder {
    use std::sync::OnceLock;

    use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

    static RECORDED: OnceLock<PrometheusHandle> = OnceLock::new();

    pub(super) fn listen() {
        let recorder = PrometheusBuilder::new().build_recorder();
        RECORDED.get_or_init(|| recorder.handle());
        metrics::set_global_recorder(recorder).expect("nobody else listens in this process");
    }

    /// Names, labels and descriptions.
    pub(super) fn rendered() -> String {
        RECORDED
            .get()
            .map(PrometheusHandle::render)
            .unwrap_or_default()
    }
}

#[cfg(not(feature = "metrics"))]
mod recorder {
    pub(super) fn listen() {}

    pub(super) fn rendered() -> String {
        String::new()
    }
}

/// The output through `tracing`: events, and spans with their fields.
#[cfg(feature = "tracing")]
mod spans {
    use std::fmt;

    use tracing::{
        Event, Id, Subscriber,
        field::{Field, Visit},
        span::{Attributes, Record},
    };
    use tracing_subscriber::{
        layer::{Context, Layer, SubscriberExt},
        registry,
    };

    struct Fields;
    /// Where a field stands.
    struct Place(&'static str);

    impl Visit for Place {
        fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
            super::report(self.0, format!("{field} {value:?}"));
        }
    }

    impl<S: Subscriber> Layer<S> for Fields {
        fn on_new_span(&self, span: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
            span.record(&mut Place("span"));
        }

        fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
            values.record(&mut Place("span"));
        }

        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            event.record(&mut Place("tracing"));
        }
    }

    pub(super) fn listen() {
        tracing::subscriber::set_global_default(registry().with(Fields))
            .expect("nobody else listens in this process");
    }
}
