//! Compares alternatives with this crate: in one run, on one private server, in turn.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml` writes `benches/peers.md` and its
//! pictures.

#![forbid(unsafe_code)]

mod allocated;
mod args;
mod figure;
mod machine;
mod measure;
mod page;
#[path = "../../../examples/support/paint.rs"]
#[allow(dead_code, reason = "each user takes its own part")]
mod paint;
mod peer;
mod plan;
mod plot;
mod prove;
mod record;
mod results;
mod rounds;
mod spread;
mod standing;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod work;

use std::{error::Error, fs, process::ExitCode};

use clap::Parser;

use args::Args;
use plan::Plan;
use support::Server;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let server = Server::try_start_on_port()?;
    let plan = Plan::new(args.quick);
    let machine = machine::describe(&version(&server)?);
    let results = measure::measure(&server.url(), plan);

    fs::create_dir_all(&args.out)?;
    let page = args.out.join("peers.md");
    fs::write(&page, page::write(&results, &machine, &plan.rounds()))?;
    plot::draw(&args.out, &results)?;
    eprintln!("peers: written to {}", page.canonicalize()?.display());
    Ok(())
}

fn version(server: &Server) -> Result<String, Box<dyn Error>> {
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query(&mut server.connect())?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    Ok(line.unwrap_or("of some version").to_owned())
}
