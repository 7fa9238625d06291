//! Traces that are made up: right ones of any length, with many records and processes.

/// Ids of a trace that is much longer than what is kept.
const IDS: u64 = 200_000;

const PROCESSES: u64 = 4;

/// The time from one event to the next, in nanoseconds.
const STEP: u64 = 10_000;

/// The lines of a right trace. Each record is invalidated, loaded, filled and read by turns, by
/// different processes. Some are read much more often than others.
pub(crate) fn lines(count: u64) -> impl Iterator<Item = String> {
    let open = (0..PROCESSES).map(|p| format!(r#"{{"at":1,"p":"{p}","e":"open","error":100}}"#));
    let events = (PROCESSES..count.saturating_sub(PROCESSES)).map(event);
    let end = count * STEP + 1_000_000;
    let close = (0..PROCESSES).map(move |p| format!(r#"{{"at":{end},"p":"{p}","e":"close"}}"#));
    open.chain(events).chain(close)
}

fn event(number: u64) -> String {
    let at = number * STEP + 1_000_000;
    let began = at - STEP / 2;
    let (round, process) = (number / 16, number % PROCESSES);
    // A spread that has no pattern, and prefers small ids.
    let mixed = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let id = (mixed % IDS) % (1 + (mixed >> 24) % IDS);
    let key = format!(r#""key":"made:{id}","client":1"#);
    let hash = format!(r#""hash":"{:016x}""#, round % 1_000_000);
    let rest = match number % 16 {
        0 => format!(r#""e":"end",{key},"began":{began},"outcome":"done""#),
        1 => format!(r#""e":"load",{key},"began":{began},{hash},"token":"{round:032x}""#),
        2 => format!(r#""e":"fill",{key},"token":"{round:032x}","outcome":"stored""#),
        3..8 => format!(r#""e":"lookup",{key},"began":{began},"from":"hit",{hash}"#),
        8 => r#""e":"alive""#.to_owned(),
        _ => format!(r#""e":"lookup",{key},"began":{began},"from":"near",{hash},"near":50000000"#),
    };
    format!(r#"{{"at":{at},"p":"{process}",{rest}}}"#)
}
