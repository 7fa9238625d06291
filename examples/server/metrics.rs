//! The library's metrics, in the Prometheus format.

use std::{thread, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::http::Answer;

/// From a near hit to a slow primary, in seconds.
const BUCKETS: [f64; 15] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 1.0, 5.0,
];

/// How often the samples are sorted into buckets if no request does it.
const UPKEEP: Duration = Duration::from_secs(5);

pub(crate) struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder. Called before the cache is built, because the cache then describes
    /// its metrics.
    pub(crate) fn install() -> Result<Metrics, String> {
        let handle = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)
            .and_then(PrometheusBuilder::install_recorder)
            .map_err(|error| error.to_string())?;
        let kept = handle.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(UPKEEP);
                kept.run_upkeep();
            }
        });
        Ok(Metrics(handle))
    }

    pub(crate) fn answer(&self) -> Answer {
        if cfg!(feature = "metrics") {
            Answer::text("text/plain; version=0.0.4; charset=utf-8", self.0.render())
        } else {
            Answer::error(404, "built without the feature `metrics`")
        }
    }
}
