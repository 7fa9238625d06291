//! Records under tags: which there are, what they contain, and their caches.
//!
//! Each row of the primary is a tag, `k3`. A record under tags shows the versions of some rows, and
//! is under their tags. So a write of a row changes all records under its tag, and ends them by
//! `invalidate_tag`. A record shows all that it is under, so the version of each tag tells whether
//! the record was loaded before an invalidation of that tag.
//!
//! ```text
//! list s3, list r3   under tags of the caller: k3 and the rows next to it
//! shelf s3           the same tags, in a cache with another prefix and a tag of its own
//! page p3            under tags of its loader: k3, and a row that follows from the version of k3
//! ```
//!
//! There is no record where the first of its rows is deleted.

use cache_aside::{Cache, Error, Loaded, LoadingCache, Record};

use crate::{
    plan::Plan,
    primary::{Primary, is_deletion},
    random::Random,
    reader::grow_old,
    sync::Mutex,
};

/// How many rows may be the second one of a page.
pub(crate) const SECOND_ROWS: usize = 3;

/// The caches of one process. They share one client.
pub(crate) struct Tagged {
    pub(crate) lists: Cache,
    pub(crate) shelves: Cache,
    pub(crate) pages: Cache,
    /// The same pages, in a run with grace.
    pub(crate) reloaded: Option<LoadingCache<Record>>,
}

impl Tagged {
    pub(crate) fn all(&self) -> [&Cache; 3] {
        [&self.lists, &self.shelves, &self.pages]
    }
}

/// The rows of list and shelf number `first`.
pub(crate) fn rows_of_list(first: usize, rows: usize) -> Vec<usize> {
    // Different numbers of tags, so that a record may be under tags of another one and of more.
    let others: &[usize] = match first % 3 {
        0 => &[1, 3],
        1 => &[1],
        _ => &[],
    };
    let others = others.iter().map(|step| (first + step) % rows);
    let mut some: Vec<_> = std::iter::once(first).chain(others).collect();
    some.sort_unstable_by_key(|row| (*row != first, *row));
    some.dedup();
    some
}

/// The second row of page number `first`, which has this version.
pub(crate) fn second_row(first: usize, version: u64, rows: usize) -> usize {
    let step = usize::try_from(version).unwrap_or_default() % SECOND_ROWS;
    (first + 1 + step) % rows
}

/// The number in an id of a record or of a row.
pub(crate) fn number_in(id: &str) -> usize {
    let number = id.get(1..).and_then(|number| number.parse().ok());
    number.expect("an id of this harness")
}

pub(crate) fn tag(row: usize) -> String {
    format!("k{row}")
}

/// The record with these versions of its rows, the first of which decides whether it exists.
pub(crate) fn record_of(id: &str, versions: &[(usize, u64)]) -> Option<Record> {
    if versions
        .first()
        .is_none_or(|(_, first)| is_deletion(*first))
    {
        return None;
    }
    let mut record = Record::from([("id", id.to_owned())]);
    record.extend(
        versions
            .iter()
            .map(|(row, version)| (tag(*row), version.to_string())),
    );
    Some(record)
}

/// Loads a list or a shelf.
pub(crate) fn load_list(
    primary: &mut Primary,
    random: &mut Random,
    id: &str,
    rows: usize,
) -> Option<Record> {
    random.pause(1);
    let versions = versions_of_list(primary, id, rows);
    grow_old(random);
    record_of(id, &versions)
}

fn versions_of_list(primary: &mut Primary, id: &str, rows: usize) -> Vec<(usize, u64)> {
    let rows = rows_of_list(number_in(id), rows).into_iter();
    rows.map(|row| (row, primary.newest(&tag(row)))).collect()
}

/// Loads a page, which names its tags.
pub(crate) fn load_page(
    primary: &mut Primary,
    random: &mut Random,
    id: &str,
    rows: usize,
) -> Loaded<Record> {
    page_of(id, &read_page(primary, random, id, rows))
}

/// Reads a list or a shelf for an audit.
pub(crate) fn list(primary: &mut Primary, id: &str, plan: &Plan) -> Option<Record> {
    record_of(id, &versions_of_list(primary, id, plan.keys as usize))
}

/// Reads a page for an audit.
pub(crate) fn page(primary: &mut Primary, id: &str, plan: &Plan) -> Option<Record> {
    record_of(id, &versions_of_page(primary, id, plan.keys as usize))
}

fn page_of(id: &str, versions: &[(usize, u64)]) -> Loaded<Record> {
    let tags = versions.iter().map(|(row, _)| tag(*row));
    Loaded::new(record_of(id, versions)).tags(tags)
}

fn read_page(
    primary: &mut Primary,
    random: &mut Random,
    id: &str,
    rows: usize,
) -> Vec<(usize, u64)> {
    random.pause(1);
    let versions = versions_of_page(primary, id, rows);
    grow_old(random);
    versions
}

fn versions_of_page(primary: &mut Primary, id: &str, rows: usize) -> Vec<(usize, u64)> {
    let first = number_in(id);
    let version = primary.newest(&tag(first));
    let mut versions = vec![(first, version)];
    let second = second_row(first, version, rows);
    if second != first && !is_deletion(version) {
        versions.push((second, primary.newest(&tag(second))));
    }
    versions
}

/// Pages that are reloaded on threads of the cache. A page that has not changed is kept.
pub(crate) fn reloaded(pages: &Cache, plan: &Plan) -> Result<LoadingCache<Record>, Error> {
    let (url, seed, rows) = (plan.primary.clone(), plan.seed, plan.keys as usize);
    let lane = u64::from(plan.process) << 32 | u64::from(u32::MAX);
    // One for each load under way.
    let idle: Mutex<Vec<(Primary, Random)>> = Mutex::default();
    let builder = LoadingCache::builder_with_cached(pages, move |context, cached| {
        let taken = idle.lock().pop();
        let (mut primary, mut random) = match taken {
            Some(idle) => idle,
            None => (Primary::connect(&url)?, Random::new(seed, lane)),
        };
        let id = context.id();
        let versions = read_page(&mut primary, &mut random, id, rows);
        idle.lock().push((primary, random));
        let is_unchanged = cached.is_some() && cached == record_of(id, &versions).as_ref();
        Ok::<_, String>(if is_unchanged {
            Loaded::unchanged()
        } else {
            page_of(id, &versions)
        })
    });
    builder.build()
}
