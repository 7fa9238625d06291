//! Counts stale reads of this crate and of its alternatives, under the same races and faults.
//!
//! `cargo run --release --manifest-path benches/league/Cargo.toml` writes `benches/league.md` and
//! its picture. `benches/league/README.md` has the protocol of the workers.
//!
//! One file each: `args` (the flags), `peer` (the libraries), `turn` (one measurement: servers,
//! processes, faults), `conversation` (the requests to one process), `process` (its lines),
//! `ledger` (what is true), `primary` (what the loaders read), `faults`, `results`, `page`, `plot`.
//! With `--commands`, `commands` counts those of one call, and `page/commands` shows them.
//! The proxy and the random numbers are those of the history harness.

#![forbid(unsafe_code)]

mod args;
mod commands;
mod conversation;
mod faults;
#[path = "../../peers/src/figure.rs"]
#[allow(dead_code, reason = "each user takes its own part")]
mod figure;
mod ledger;
#[path = "../../peers/src/machine.rs"]
mod machine;
mod page;
#[path = "../../../examples/support/paint.rs"]
#[allow(dead_code, reason = "each user takes its own part")]
mod paint;
mod peer;
mod plot;
mod primary;
mod process;
#[path = "../../../tests/harnesses/history/proxy.rs"]
mod proxy;
#[path = "../../../tests/harnesses/history/random.rs"]
mod random;
mod results;
#[path = "../../peers/src/spread.rs"]
#[allow(dead_code, reason = "each user takes its own part")]
mod spread;
#[path = "../../../tests/support/mod.rs"]
mod support;
mod turn;
#[path = "../../../tests/harnesses/history/wire.rs"]
mod wire;
#[path = "../workers/mod.rs"]
mod workers;

use std::{
    env,
    error::Error,
    fs, io,
    os::unix::process::CommandExt,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use args::Args;
use peer::Peer;
use results::Entry;
use support::Server;
use turn::Scenario;

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.subcommand {
        Some(args::Command::Worker { name }) => workers::run(name).map_err(Failure::from),
        None if args.short => short(&args),
        None if args.commands => commands(&args),
        None => measure(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("league: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures some or all, and prints or writes the result.
fn measure(args: &Args) -> Result<(), Failure> {
    let is_all = args.worker.is_none() && args.only.is_empty();
    let peers = match &args.worker {
        Some(command) => vec![Peer::given(command)],
        None => chosen(&args.only)?,
    };
    prepare(&peers)?;
    let machine = Machine::look()?;
    if machine.is_busy {
        eprintln!(
            "league: warning: other programs keep this machine busy (load average {}, {} cores). The page will say so.",
            machine::load_average(),
            machine::cores()
        );
    }
    let plan = Plan {
        rounds: args.rounds,
        length: Duration::from_secs(args.seconds),
        reads: if is_all { args.reads } else { 0 },
        seed: args.seed,
    };
    let entries = run(&plan, peers)?;
    if !is_all {
        println!("{}", page::tables(&entries));
        return Ok(());
    }
    fs::create_dir_all(&args.out)?;
    let path = args.out.join("league.md");
    fs::write(&path, page::write(&entries, &machine, &plan))?;
    plot::draw(&args.out.join("league.svg"), &entries)?;
    eprintln!("league: written to {}", path.canonicalize()?.display());
    without_stale_reads(&entries)
}

/// Counts the commands of all, and writes their page.
fn commands(args: &Args) -> Result<(), Failure> {
    let peers = peer::all();
    prepare(&peers)?;
    let counted = page::commands::count(&peers, &progress(peers.len() as u64))?;
    page::commands::write(&args.out, &Machine::look()?, (&peers, &counted))?;
    println!("{}", page::commands::table(&peers, &counted));
    page::commands::check(&peers, &counted)
}

/// Installs what these need. If that needs a newer Redis, runs this program again.
fn prepare(peers: &[Peer]) -> Result<(), Failure> {
    if !peers.iter().any(Peer::is_installed_apart) {
        return Ok(());
    }
    install()?;
    if env::var_os("REDIS_SERVER").is_none() {
        return Err(on_a_newer_redis()?.into());
    }
    Ok(())
}

/// The peers of these names, or all.
fn chosen(names: &[String]) -> Result<Vec<Peer>, Failure> {
    let all = peer::all();
    if let Some(name) = names
        .iter()
        .find(|name| all.iter().all(|peer| peer.name != **name))
    {
        let known: Vec<_> = all.iter().map(|peer| &*peer.name).collect();
        return Err(format!("{name} is none of: {}", known.join(" · ")).into());
    }
    let is_chosen = |peer: &Peer| names.is_empty() || names.contains(&peer.name);
    Ok(all.into_iter().filter(is_chosen).collect())
}

/// Both checks can fail: the second shows that the judge finds stale reads at all.
fn short(args: &Args) -> Result<(), Failure> {
    let plan = Plan {
        rounds: 1,
        length: Duration::from_secs(2),
        reads: 0,
        seed: args.seed,
    };
    let entries = run(&plan, peer::short())?;
    println!("{}", page::tables(&entries));
    let peers = peer::short();
    let counted = page::commands::count(&peers, &ProgressBar::hidden())?;
    println!("{}", page::commands::table(&peers, &counted));
    page::commands::check(&peers, &counted)?;
    without_stale_reads(&entries)?;
    let helper = entries.iter().find(|entry| entry.peer.name == peer::HELPER);
    if helper.is_none_or(|entry| entry.stale() == 0) {
        return Err("no stale read of the plain helper was found: the judge finds nothing".into());
    }
    Ok(())
}

/// The machine at the start of a measurement.
#[derive(Debug)]
struct Machine {
    description: String,
    /// Whether the load average exceeds the number of cores.
    is_busy: bool,
}

impl Machine {
    fn look() -> Result<Machine, Failure> {
        let cores = u32::try_from(machine::cores())?;
        let load = machine::load_average().parse::<f64>();
        Ok(Machine {
            description: machine::describe(&redis_version()?),
            is_busy: load.is_ok_and(|load| load > f64::from(cores)),
        })
    }
}

/// The sizes of a measurement.
#[derive(Debug, Clone, Copy)]
struct Plan {
    rounds: u64,
    /// The length of a turn.
    length: Duration,
    /// How many reads this crate has in total, at least.
    reads: u64,
    seed: u64,
}

/// Takes turns, so that the noise of a machine meets all of them alike.
fn run(plan: &Plan, peers: Vec<Peer>) -> Result<Vec<Entry>, Failure> {
    let mut entries: Vec<_> = peers.into_iter().map(Entry::new).collect();
    let turns = plan.rounds * (entries.len() * Scenario::ALL.len()) as u64;
    let bar = progress(turns);
    for round in 0..plan.rounds {
        for scenario in 0..Scenario::ALL.len() {
            for entry in &mut entries {
                turn(entry, scenario, round, plan, &bar)?;
            }
        }
    }
    let ours = entries
        .iter_mut()
        .find(|entry| entry.peer.name == peer::OURS);
    if let Some(ours) = ours {
        let mut round = plan.rounds;
        while ours.reads() < plan.reads {
            for scenario in 0..Scenario::ALL.len() {
                bar.inc_length(1);
                turn(ours, scenario, round, plan, &bar)?;
            }
            round += 1;
        }
    }
    bar.finish_and_clear();
    Ok(entries)
}

fn turn(
    entry: &mut Entry,
    scenario: usize,
    round: u64,
    plan: &Plan,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let cell = &mut entry.cells[scenario];
    bar.set_message(format!("{}, {}", entry.peer.name, cell.scenario.name()));
    // The same for all peers.
    let seed = (plan.seed << 40) + (round << 20) + ((scenario as u64) << 10);
    let outcome = turn::run(&entry.peer, cell.scenario, plan.length, seed)
        .map_err(|error| format!("{}, {}: {error}", entry.peer.name, cell.scenario.name()))?;
    bar.inc(1);
    let line = page::line(&entry.peer, cell.scenario, round, &outcome);
    bar.suspend(|| eprintln!("{line}"));
    cell.rounds.push(outcome);
    Ok(())
}

/// This crate must not have any beyond what its documentation says.
fn without_stale_reads(entries: &[Entry]) -> Result<(), Failure> {
    let ours = entries
        .iter()
        .filter(|entry| entry.peer.name.starts_with(peer::OURS));
    for entry in ours {
        if entry.undocumented() > 0 {
            let (name, stale) = (&entry.peer.name, entry.undocumented());
            return Err(format!("{name} has {stale} stale reads against its documentation").into());
        }
    }
    Ok(())
}

fn install() -> Result<(), Failure> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/install");
    let status = Command::new(script).status()?;
    if status.success() {
        Ok(())
    } else {
        Err("benches/league/install failed".into())
    }
}

/// Runs this program again on Redis 8.2, which the client-side cache of redis-py needs. Returns only
/// if that fails.
fn on_a_newer_redis() -> Result<io::Error, Failure> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/server");
    let found = Command::new(script)
        .arg("redis-8.2")
        .stderr(Stdio::inherit())
        .output()?;
    if !found.status.success() {
        return Err("no Redis 8.2 was found; set REDIS_SERVER to a redis-server".into());
    }
    let path = String::from_utf8(found.stdout)?;
    Ok(Command::new(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env("REDIS_SERVER", path.trim())
        .exec())
}

fn redis_version() -> Result<String, Failure> {
    let server = Server::try_start_on_port()?;
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query(&mut server.connect())?;
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    Ok(line.unwrap_or("of some version").to_owned())
}

/// A progress line on stderr, if that is a terminal.
fn progress(turns: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:<45} {wide_bar} {pos}/{len}, {eta} left")
        .expect("the template is right");
    let bar = ProgressBar::new(turns).with_style(style);
    bar.with_finish(ProgressFinish::AndClear)
}
