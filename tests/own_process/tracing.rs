//! The spans and events of the feature `tracing`.

use std::{
    fmt::{self, Write},
    mem,
    sync::{Arc, Mutex},
};

use crate::support::{Server, load_loaf};
use cache_aside::{Cache, Memory, Record};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt},
    registry::LookupSpan,
};

/// The output for a subscriber, a line each: a span with its fields when it closes; an event with
/// its spans.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Told {
    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields(String::new());
        span.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &tracing::span::Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(span.extensions_mut().get_mut::<Fields>().unwrap());
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Fields(event.metadata().level().to_string());
        for span in context.event_scope(event).into_iter().flatten() {
            write!(line.0, " in {}", span.name()).unwrap();
        }
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let extensions = span.extensions();
        let fields = &extensions.get::<Fields>().unwrap().0;
        self.0
            .lock()
            .unwrap()
            .push(format!("{}{fields}", span.name()));
    }
}

/// The output of this work for a subscriber.
fn told(work: impl FnOnce()) -> Vec<String> {
    let told = Told::default();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(told.clone()), work);
    // Locked, not unwrapped: a thread that meets a callsite for the first time holds every
    // subscriber for a moment.
    let mut told = told.0.lock().unwrap();
    mem::take(&mut told)
}

#[test]
fn a_lookup_is_a_span_with_its_answer_and_the_load_one_within() {
    own_process!();
    let builder = Cache::builder(Memory::new(100)).prefix("test:");
    let cache: Cache = builder.build().unwrap();
    let lines = told(|| {
        let load = |id: &str| {
            tracing::info!("the driver's own");
            load_loaf(id)
        };
        cache.get("p-001", load).unwrap();
        cache.get("p-001", load).unwrap();
    });
    assert_eq!(
        lines[0],
        "TRACE in cache_aside::get message=missed reason=\"absent\""
    );
    assert_eq!(
        lines[1],
        "INFO in cache_aside::load in cache_aside::get message=the driver's own"
    );
    assert_eq!(lines[2], "cache_aside::load");
    assert!(
        lines[3].starts_with("DEBUG in cache_aside::get message=loaded outcome=\"found\" elapsed="),
        "{lines:?}"
    );
    assert_eq!(
        lines[4..],
        [
            "cache_aside::get cache=\"test:\" id=\"p-001\" source=\"loaded\" found=true",
            "cache_aside::get cache=\"test:\" id=\"p-001\" source=\"hit\" found=true"
        ]
    );
}

#[test]
fn a_call_that_writes_is_a_span() {
    own_process!();
    let builder = Cache::builder(Memory::new(100)).prefix("test:");
    let cache: Cache = builder.build().unwrap();
    let lines = told(|| {
        cache.invalidate("p-001").unwrap();
    });
    assert_eq!(
        lines,
        ["cache_aside::write cache=\"test:\" id=\"p-001\" call=\"invalidate\""]
    );
}

#[test]
fn what_would_be_logged_is_an_event_and_a_lookup_says_why_it_is_degraded() {
    own_process!();
    let mut server = Server::start_on_port();
    let cache: Cache<Record> = server.builder().build().unwrap();
    server.kill();
    let lines = told(|| {
        cache.get("p-001", load_loaf).unwrap();
    });
    assert!(
        lines[0].starts_with(
            "WARN in cache_aside::get message=cache `test:`: request `read` to 127.0.0.1:"
        ),
        "{lines:?}"
    );
    let span = lines.last().unwrap();
    assert!(
        span.contains("degraded_cause=request `read` to 127.0.0.1:"),
        "{span}"
    );
    assert!(span.ends_with("source=\"degraded\" found=true"), "{span}");
}

/// A subscriber that wants none of our spans, and a caller whose span has the same fields.
#[test]
fn the_fields_of_the_callers_own_span_stay_as_they_are() {
    own_process!();
    let builder = Cache::builder(Memory::new(100)).prefix("test:");
    let cache: Cache = builder.build().unwrap();
    let told = Told::default();
    let quiet = tracing_subscriber::filter::LevelFilter::INFO;
    let subscriber = tracing_subscriber::registry().with(told.clone().with_filter(quiet));
    tracing::subscriber::with_default(subscriber, || {
        let _span = tracing::info_span!("request", source = "the web", found = "my own").entered();
        cache.get("p-001", load_loaf).unwrap();
    });
    assert_eq!(
        *told.0.lock().unwrap(),
        ["request source=\"the web\" found=\"my own\""]
    );
}
