//! One lookup under tags, and the check of its answer.
//!
//! The rule: a lookup that starts after `invalidate_tag` returned never returns a record that was
//! loaded before it under that tag. So each version that an answer shows is judged as that of a
//! record: see `tags` and `judge`.

use std::{convert::Infallible, time};

use cache_aside::{Error, Lookup, Record};

use crate::{
    judge::{Before, Fault, source_of},
    plan::Instant,
    primary::is_deletion,
    tags::{SECOND_ROWS, Tagged, load_list, load_page, number_in, rows_of_list, tag},
    workers::Worker,
};

/// What was known of some rows before a lookup began.
type BeforeAll = Vec<(usize, Before)>;

impl Worker<'_> {
    /// Reads one record under tags, or several in one call.
    pub(crate) fn read_under_tags(&mut self) {
        let workers = self.workers;
        let tagged = workers.tagged.as_ref().expect("a run with tags");
        let first = self.random.index(workers.rows.len());
        match self.random.below(8) {
            0..=2 => self.read_lists(tagged, first, false),
            3 | 4 => self.read_lists(tagged, first, true),
            5 if self.random.one_in(2) => {
                let firsts = [first, (first + 1) % workers.rows.len()];
                let count = 1 + self.random.index(2);
                self.peek_at_pages(tagged, &firsts[..count]);
            }
            _ => self.read_page(tagged, first),
        }
    }

    fn read_lists(&mut self, tagged: &Tagged, first: usize, on_shelf: bool) {
        let workers = self.workers;
        let count = workers.rows.len();
        let rows = rows_of_list(first, count);
        let names: Vec<_> = rows.iter().map(|row| tag(*row)).collect();
        let tags: Vec<_> = names.iter().map(String::as_str).collect();
        let cache = if on_shelf {
            &tagged.shelves
        } else {
            &tagged.lists
        };
        let options = cache.options().tags(&tags);
        let ids = [format!("s{first}"), format!("r{first}")];
        let before = self.before_all(rows.into_iter());
        let (primary, random) = (&mut self.primary, &mut self.random);
        if !on_shelf && random.one_in(4) {
            let answers = options.get_many(&ids, |ids| {
                let found = ids.iter().filter_map(|&id| {
                    let record = load_list(primary, random, id, count)?;
                    Some((id.to_owned(), record))
                });
                Ok::<_, Infallible>(found.collect::<Vec<_>>())
            });
            return self.check_all(&ids, &before, answers);
        }
        let id = &ids[usize::from(!on_shelf && random.one_in(2))];
        let began = time::Instant::now();
        let answer = options.get(id, |id| {
            Ok::<_, Infallible>(load_list(primary, random, id, count))
        });
        self.tally.longest = self.tally.longest.max(began.elapsed());
        self.check_tagged(id, &before, &answer);
    }

    fn read_page(&mut self, tagged: &Tagged, first: usize) {
        let count = self.workers.rows.len();
        let id = format!("p{first}");
        let before = self.before_all(rows_of_page(first, count));
        let (primary, random) = (&mut self.primary, &mut self.random);
        let began = time::Instant::now();
        let reloaded = tagged.reloaded.as_ref().filter(|_| random.one_in(2));
        let answer = match reloaded {
            Some(pages) => pages.get(&id),
            None => tagged.pages.options().get(&id, |id| {
                Ok::<_, Infallible>(load_page(primary, random, id, count))
            }),
        };
        self.tally.longest = self.tally.longest.max(began.elapsed());
        self.check_tagged(&id, &before, &answer);
    }

    /// Peeks at pages in one call. A batch that loads has no loader tags, so it only peeks.
    /// If there is no page, or if Redis cannot be asked, nothing is checked.
    fn peek_at_pages(&mut self, tagged: &Tagged, firsts: &[usize]) {
        let count = self.workers.rows.len();
        let ids: Vec<_> = firsts.iter().map(|first| format!("p{first}")).collect();
        let rows = firsts.iter().flat_map(|first| rows_of_page(*first, count));
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable();
        rows.dedup();
        let before = self.before_all(rows.into_iter());
        let found = match &ids[..] {
            [id] => tagged.pages.peek(id).map(|found| vec![found]),
            ids => tagged.pages.peek_many(ids),
        };
        for (id, found) in ids.iter().zip(found.into_iter().flatten()) {
            if let Some(found) = found {
                self.check_tagged(id, &before, &Ok(found));
            }
        }
    }

    fn before_all(&mut self, rows: impl Iterator<Item = usize>) -> BeforeAll {
        let workers = self.workers;
        let mut before: Vec<_> = rows
            .map(|row| (row, self.before(&workers.rows[row])))
            .collect();
        let began = Instant::now();
        for (_, before) in &mut before {
            before.began = began;
        }
        before
    }

    fn check_all(
        &mut self,
        ids: &[String],
        before: &BeforeAll,
        answers: Result<Vec<Lookup<Record>>, Error>,
    ) {
        match answers {
            Ok(answers) => {
                for (id, answer) in ids.iter().zip(answers) {
                    self.check_tagged(id, before, &Ok(answer));
                }
            }
            Err(error) => self.check_tagged(&ids[0], before, &Err(error)),
        }
    }

    /// Checks each version that the answer shows.
    fn check_tagged(
        &mut self,
        id: &str,
        before: &BeforeAll,
        answer: &Result<Lookup<Record>, Error>,
    ) {
        let workers = self.workers;
        let first = number_in(id);
        let of_row = |row| before.iter().find(|(known, _)| *known == row);
        let (_, of_first) = of_row(first).expect("the first row is always read");
        let source = || format!("{} of {id}", source_of(answer));
        let found = match answer {
            Ok(found) => found,
            Err(error) => {
                let fault = Fault::Other(format!("a lookup failed: {error:#}"));
                return self.report(&workers.rows[first], of_first, fault, None, source());
            }
        };
        self.count(found.source(), found.record().is_none());
        let versions: Vec<(usize, Option<u64>)> = match found.record() {
            None => vec![(first, None)],
            Some(record) => {
                let shown = record.iter().filter(|(name, _)| *name != "id");
                shown
                    .map(|(name, text)| (number_in(name), text.parse().ok()))
                    .collect()
            }
        };
        for &(row, version) in &versions {
            let Some((_, before)) = of_row(row) else {
                let fault = Fault::Other("a record that never was".to_owned());
                return self.report(&workers.rows[first], of_first, fault, version, source());
            };
            let row = &workers.rows[row];
            if let Some(fault) = self.is_too_old(row, before, version, found.source()) {
                return self.report(row, before, fault, version, source());
            }
        }
        let shown = versions.iter().find(|(row, _)| *row == first);
        let exists = shown.is_some_and(|(_, version)| version.is_some_and(|it| !is_deletion(it)));
        let is_right = |record: &Record| exists && record.get("id") == Some(id);
        if !found.record().is_none_or(|record| is_right(record)) {
            let fault = Fault::Other("a record that never was".to_owned());
            self.report(
                &workers.rows[first],
                of_first,
                fault,
                shown.and_then(|it| it.1),
                source(),
            );
        }
    }
}

/// The rows that a page may show.
fn rows_of_page(first: usize, rows: usize) -> impl Iterator<Item = usize> {
    (0..=SECOND_ROWS.min(rows - 1)).map(move |step| (first + step) % rows)
}
