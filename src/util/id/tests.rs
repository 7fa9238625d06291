//! Ids of any type that prints, and the buffers that hold their texts.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Prints through a closure.
struct Printed<F>(F);

impl<F: Fn(&mut fmt::Formatter<'_>) -> fmt::Result> Display for Printed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)(f)
    }
}

fn reason(id: Result<Id, Error>) -> &'static str {
    match id {
        Err(Error::InvalidId { reason }) => reason,
        other => panic!("no such error: {other:?}"),
    }
}

fn kept() -> usize {
    let text = BUFFER.take();
    let room = text.capacity();
    BUFFER.set(text);
    room
}

#[test]
fn any_displayable_value_is_an_id() {
    assert_eq!(&*Id::new(&"p-001").unwrap(), "p-001");
    assert_eq!(&*Id::new(&String::from("ä")).unwrap(), "ä");
    assert_eq!(&*Id::new(&'ß').unwrap(), "ß");
    assert_eq!(&*Id::new(&u64::MAX).unwrap(), "18446744073709551615");
    assert_eq!(&*Id::new(&format_args!("{}:{}", 1, 2)).unwrap(), "1:2");
}

#[test]
fn ids_that_exist_at_the_same_time_do_not_share_a_buffer() {
    let outer = Id::new(&"outer").unwrap();
    let inner = Id::new(&"inner").unwrap();
    assert_eq!((&*outer, &*inner), ("outer", "inner"));
    drop(outer);
    let next = Id::new(&"next").unwrap();
    assert_eq!((&*inner, &*next), ("inner", "next"));
}

#[test]
fn a_display_may_use_ids_itself() {
    let nested = Printed(|f: &mut fmt::Formatter<'_>| {
        f.write_str("before ")?;
        f.write_str(&Id::new(&"within").unwrap())?;
        f.write_str(" after")
    });
    assert_eq!(&*Id::new(&nested).unwrap(), "before within after");
}

#[test]
fn a_display_that_panics_leaves_nothing_in_the_next_id() {
    let panics = Printed(|f: &mut fmt::Formatter<'_>| {
        f.write_str("half an id")?;
        panic!("the type's own")
    });
    assert!(catch_unwind(AssertUnwindSafe(|| Id::new(&panics))).is_err());
    assert_eq!(&*Id::new(&"next").unwrap(), "next");
    let all = || Ids::new(["first"].into_iter().map(|_| &panics));
    assert!(catch_unwind(AssertUnwindSafe(all)).is_err());
}

#[test]
fn a_display_that_fails_is_an_error() {
    let fails = Printed(|f: &mut fmt::Formatter<'_>| {
        f.write_str("half an id")?;
        Err(fmt::Error)
    });
    assert_eq!(reason(Id::new(&fails)), UNPRINTABLE);
    assert!(matches!(
        Id::of_loaded(&fails),
        Err(Error::InvalidId {
            reason: UNPRINTABLE
        })
    ));
    assert_eq!(&*Id::new(&"next").unwrap(), "next");
}

#[test]
fn an_id_has_1_byte_to_64_kib() {
    assert_eq!(reason(Id::new(&"")), EMPTY);
    assert_eq!(Id::new(&"x".repeat(LONGEST)).unwrap().len(), LONGEST);
    assert_eq!(reason(Id::new(&"x".repeat(LONGEST + 1))), TOO_LONG);
    assert!(Id::of_loaded(&"").unwrap().is_none());
    assert!(Id::of_loaded(&"x".repeat(LONGEST + 1)).unwrap().is_none());
}

#[test]
fn a_display_that_ignores_the_bound_takes_no_memory_and_is_refused() {
    let endless = Printed(|f: &mut fmt::Formatter<'_>| {
        for _ in 0..1_000 {
            let _ = f.write_str(&"x".repeat(1_000));
        }
        f.write_str("y")
    });
    let mut text = String::new();
    assert!(append(&mut text, &endless).is_err());
    assert!(text.len() <= LONGEST && !text.contains('y'));
    assert_eq!(reason(Id::new(&endless)), TOO_LONG);
}

#[test]
fn a_thread_keeps_a_small_buffer_and_frees_a_large_one() {
    drop(Id::new(&"p-001").unwrap());
    let room = kept();
    assert!(room > 0);
    drop(Id::new(&"x".repeat(KEPT + 1)).unwrap());
    assert!(kept() <= KEPT);
}

#[test]
fn the_ids_of_a_batch_keep_their_order_and_are_each_checked() {
    let ids = Ids::new([7, 40, 7]).unwrap();
    assert_eq!(ids.iter().collect::<Vec<_>>(), ["7", "40", "7"]);
    assert_eq!(Ids::new([""; 0]).unwrap().iter().count(), 0);
    let long = "x".repeat(LONGEST);
    assert_eq!(Ids::new([&long, &long]).unwrap().iter().count(), 2);
    assert!(matches!(
        Ids::new(["a", "", "b"]),
        Err(Error::InvalidId { reason: EMPTY })
    ));
}
