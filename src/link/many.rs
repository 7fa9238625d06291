//! Requests about many records at once.

use super::Link;
use crate::{
    error::Error,
    event::Event,
    reporter::Reporter,
    store::{Each, Failure, Store, Symptom},
};

impl Link {
    /// Asks the store about `count` records at once. Each has an answer or a failure; where the store is silent, all
    /// have the same one.
    pub(crate) fn ask_all<T>(
        &self,
        reporter: &Reporter,
        request: &'static str,
        count: usize,
        ask: impl FnOnce(&dyn Store) -> Each<T>,
    ) -> Vec<Result<T, Error>> {
        if count == 0 {
            return Vec::new();
        }
        let asked = self.ask(reporter, request, |store| {
            let each = ask(store)?;
            if each.len() != count {
                let miscounted = format!("{} answers to {count} questions", each.len());
                return Err(Failure::new(Symptom::Refused, miscounted));
            }
            let mut failures = each.iter().filter_map(|answer| answer.as_ref().err());
            // What says so of one record would say it of all.
            match failures.find(|failure| failure.symptom == Symptom::Silent) {
                Some(silent) => Err(silent.clone()),
                None => Ok(each),
            }
        });
        let each = match asked {
            Ok(each) => each.into_iter(),
            Err(error) => return vec![error; count].into_iter().map(Err).collect(),
        };
        let mut is_reported = false;
        let told = each.map(|answer| {
            answer.map_err(|failure| {
                let error = failure.at(request);
                // They were one request, so one failed.
                if !std::mem::replace(&mut is_reported, true) {
                    let error = &error;
                    reporter.report(&Event::StoreFailed { request, error });
                    self.line.complain(error);
                }
                error
            })
        });
        told.collect()
    }
}
