//! One write that ends tags: the commit of some rows, and the invalidation of their tags.
//!
//! As after a write of a record, a successful call settles the versions that were committed before
//! it. A failed call settles nothing, but this process must then not read the records under the
//! tag.

use std::convert::Infallible;

use cache_aside::{Error, UnitOfWork};

use crate::{
    plan::Instant,
    tags::{Tagged, load_page, number_in, rows_of_list},
    workers::{Row, Worker},
};

impl Worker<'_> {
    pub(crate) fn write_under_tags(&mut self) {
        let workers = self.workers;
        let tagged = workers.tagged.as_ref().expect("a run with tags");
        let first = self.random.index(workers.rows.len());
        let row = &workers.rows[first];
        match self.random.below(16) {
            0..=6 => self.end_tags(tagged, &[row]),
            7..=9 => {
                let rows = rows_of_list(first, workers.rows.len()).into_iter();
                let rows: Vec<_> = rows.map(|row| &workers.rows[row]).collect();
                self.end_tags(tagged, &rows);
            }
            10 | 11 => {
                let next = &workers.rows[(first + 1) % workers.rows.len()];
                self.end_tags_in_a_unit(tagged, &[row, next]);
            }
            12 | 13 => self.end_tag_under_a_guard(tagged, row),
            14 => self.write_page_through(tagged, first),
            _ if self.random.one_in(4) => drop(tagged.shelves.clear()),
            _ => drop(
                tagged
                    .pages
                    .update_field(format!("p{first}"), "id", format!("p{first}")),
            ),
        }
    }

    /// Commits these rows, and ends their tags in one step.
    fn end_tags(&mut self, tagged: &Tagged, rows: &[&Row]) {
        let began = Instant::now();
        let versions: Vec<_> = rows
            .iter()
            .map(|row| self.primary.commit(&row.id))
            .collect();
        self.random.pause(1);
        let [lists, shelves, pages] = tagged.all();
        let cache = [lists, shelves, pages][self.random.index(3)];
        let told = match rows {
            [row] => cache.invalidate_tag(&row.id),
            rows => cache.invalidate_tags(rows.iter().map(|row| &row.id)),
        };
        for (row, version) in rows.iter().zip(versions) {
            self.tags_ended(row, version, began, "InvalidateTag", told.clone());
        }
    }

    /// Ends tags by the end of a unit of work, which also guards a record under them.
    fn end_tags_in_a_unit(&mut self, tagged: &Tagged, rows: &[&Row]) {
        let began = Instant::now();
        let longest = self.long_or_short();
        let mut unit = UnitOfWork::new();
        for row in rows {
            unit.add_tag(&tagged.pages, &row.id)
                .expect("the tag is a good one");
        }
        if self.random.one_in(2) {
            let id = format!("s{}", number_in(&rows[0].id));
            unit.add(&tagged.lists, id).expect("the id is a good one");
        }
        unit.guard();
        self.random.pause(longest);
        let versions: Vec<_> = rows
            .iter()
            .map(|row| self.primary.commit(&row.id))
            .collect();
        self.random.pause(longest);
        if self.random.one_in(8) {
            // It ends the tags, but does not tell whether that has failed.
            return unit.rollback();
        }
        let written = unit.commit();
        for (row, version) in rows.iter().zip(versions) {
            let mut deferred = written.deferred().iter();
            let failed = deferred.find(|deferred| deferred.id == row.id);
            let told = failed.map_or(Ok(()), |failed| Err(failed.error.clone()));
            self.tags_ended(row, version, began, "Unit", told);
        }
    }

    /// Ends a tag while a record under it has a guard. Its loads are then shared by the nonce.
    fn end_tag_under_a_guard(&mut self, tagged: &Tagged, row: &Row) {
        let longest = self.long_or_short();
        let number = number_in(&row.id);
        let (cache, id) = match self.random.below(3) {
            0 => (&tagged.lists, format!("s{number}")),
            1 => (&tagged.shelves, format!("s{number}")),
            _ => (&tagged.pages, format!("p{number}")),
        };
        let written = cache.write(&id, || {
            self.random.pause(longest);
            let began = Instant::now();
            let version = self.primary.commit(&row.id);
            let told = cache.invalidate_tag(&row.id);
            self.tags_ended(row, version, began, "InvalidateTag under a guard", told);
            self.random.pause(longest);
            Ok::<_, Infallible>(())
        });
        // The guard of the record is not checked: no row is settled by its end.
        let _ = written.expect("the id is a good one, and nothing in it fails");
    }

    /// Caches a page as it is in the primary. Nothing is changed, and no tag is ended.
    fn write_page_through(&mut self, tagged: &Tagged, first: usize) {
        let count = self.workers.rows.len();
        let id = format!("p{first}");
        let (primary, random) = (&mut self.primary, &mut self.random);
        let written = tagged.pages.write_through(&id, || {
            Ok::<_, Infallible>(((), load_page(primary, random, &id, count)))
        });
        let written = written.expect("the id is a good one, and nothing in it fails");
        self.tally.write_through += 1;
        self.tally.cached += u64::from(written.is_cached());
    }

    fn tags_ended(
        &mut self,
        row: &Row,
        version: u64,
        began: Instant,
        call: &str,
        told: Result<(), Error>,
    ) {
        self.tally.tags += 1;
        self.settle(row, version, began, call, told);
    }
}
