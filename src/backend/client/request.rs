//! One request of the client: whether it is sent, and what its failure means for those after it.
//!
//! Called by everything that asks the store, here and in the engine.

use super::StoreClient;
use crate::{
    error::Error,
    store::{Failure, FailureKind, Store},
    telemetry::{event::Event, reporter::Reporter, trace},
};

impl StoreClient {
    /// Sends a request to the store, unless the breaker is open.
    pub(crate) fn ask<T>(
        &self,
        reporter: &Reporter,
        request: &'static str,
        ask: impl FnOnce(&dyn Store) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        self.refuse_broken(request)?;
        match ask(&**self.store()) {
            Ok(answer) => {
                self.state.breaker.succeeded();
                Ok(answer)
            }
            Err(failure) => Err(self.failed(reporter, request, failure)),
        }
    }

    /// Fails if the breaker is open.
    fn refuse_broken(&self, request: &'static str) -> Result<(), Error> {
        if self.postponed.is_due() {
            self.start_recovery();
        }
        match self.state.breaker.refusal() {
            None => Ok(()),
            Some(cause) => Err(Error::Store { request, cause }),
        }
    }

    /// Reports and counts the failure of a request.
    fn failed(&self, reporter: &Reporter, request: &'static str, failure: Failure) -> Error {
        let breaker = &self.state.breaker;
        let kind = failure.kind;
        let error = failure.at(request);
        reporter.report(&Event::StoreFailed {
            request,
            error: &error,
        });
        self.state.log_throttled(Some(&reporter.cache), &error);
        match kind {
            FailureKind::Unavailable if breaker.failed(&error) => {
                trace::warn!(
                    "too many requests in a row failed, so none is sent until the server answers a probe; the last failure: {error:#}"
                );
                self.state.report_breaker();
                self.start_recovery();
            }
            FailureKind::Unavailable | FailureKind::Partial | FailureKind::Saturated => {}
            FailureKind::Rejected => breaker.succeeded(),
        }
        error
    }
}
