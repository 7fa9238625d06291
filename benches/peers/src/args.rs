//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Measures alternatives to cache-aside beside it, and writes a page and pictures.
///
/// It starts a private redis-server on a loopback port, and takes some ten minutes.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Takes about a minute: few rounds, and short ones.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Where to write the page and the pictures.
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/.."))]
    pub(crate) out: PathBuf,
}
