//! A primary and its streaming replica, from Debian's packages, in a temporary folder.
//!
//! PostgreSQL refuses to run as root. So root starts it as the user `postgres`, which Debian's
//! package makes. Both servers listen on unix sockets only. They end with their values, and so with
//! this program.

use std::{
    fs::{self, File},
    os::unix::{
        fs::chown,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use postgres::{Client, Config, NoTls};

use crate::Outcome;

const HOW_TO_INSTALL: &str = "PostgreSQL is not installed. Type:  sudo apt-get install postgresql";

/// The user of Debian's package, for a run as root.
const USER: &str = "postgres";

/// Longer than a start takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The binaries of an installation, and who runs them.
struct Installation {
    bin: PathBuf,
    /// The ids of the user and its group. `None`: this user.
    user: Option<(u32, u32)>,
    folder: PathBuf,
}

/// A server that runs. Its drop ends it.
pub(crate) struct Postgres {
    server: Child,
    /// The folder of its socket.
    pub(crate) socket: PathBuf,
}

/// A primary and its replica.
pub(crate) struct Servers {
    // Dropped first: it would log that its primary has ended.
    pub(crate) replica: Postgres,
    pub(crate) primary: Postgres,
    /// The version that the primary reports.
    pub(crate) version: String,
}

impl Servers {
    /// Starts both in this folder. `prepare` makes the tables of the primary, before the replica
    /// copies it.
    pub(crate) fn start(
        bin: Option<&Path>,
        folder: &Path,
        lag: Duration,
        prepare: impl FnOnce(&mut Client) -> Outcome<()>,
    ) -> Outcome<Servers> {
        let postgres = Installation::find(bin, folder)?;
        run(postgres.tool("initdb").args([
            "--pgdata=primary",
            "--username=postgres",
            // Nobody else can open the folder of the socket.
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]))?;
        let primary = postgres.start("primary", &[])?;
        let mut client = primary.connect()?;
        prepare(&mut client)?;
        let version = client.query_one("SHOW server_version", &[])?.get(0);

        let host = format!("--host={}", primary.socket.display());
        run(postgres.tool("pg_basebackup").args([
            &*host,
            "--username=postgres",
            "--pgdata=replica",
            // It follows the primary, as `standby.signal` says.
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
        ]))?;
        let delay = format!("recovery_min_apply_delay={}ms", lag.as_millis());
        // A change that removes row versions waits for the short queries that may need them.
        // Otherwise the replica would end their connections.
        let patience = "max_standby_streaming_delay=-1";
        let replica = postgres.start("replica", &[&delay, patience])?;
        Ok(Servers {
            replica,
            primary,
            version,
        })
    }
}

impl Installation {
    fn find(bin: Option<&Path>, folder: &Path) -> Outcome<Installation> {
        let bin = match bin {
            Some(bin) => bin.to_owned(),
            None => newest_of_debian().ok_or(HOW_TO_INSTALL)?,
        };
        if !bin.join("initdb").exists() {
            return Err(format!("{}: no `initdb`. {HOW_TO_INSTALL}", bin.display()).into());
        }
        let user = if id("-u", None)? == 0 {
            let whose = |flag| {
                id(flag, Some(USER)).map_err(|_| {
                    format!("PostgreSQL refuses to run as root, and there is no user `{USER}`")
                })
            };
            Some((whose("-u")?, whose("-g")?))
        } else {
            None
        };
        if let Some((user, group)) = user {
            chown(folder, Some(user), Some(group))?;
        }
        Ok(Installation {
            bin,
            user,
            folder: folder.to_owned(),
        })
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
            .current_dir(&self.folder)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        command
    }

    /// Starts a server over the data that is in the folder of this name.
    fn start(&self, name: &str, settings: &[&str]) -> Outcome<Postgres> {
        // Short, since the path of a unix socket must be.
        let socket = self.folder.join(&name[..1]);
        fs::create_dir(&socket)?;
        if let Some((user, group)) = self.user {
            chown(&socket, Some(user), Some(group))?;
        }
        let log = self.folder.join(format!("{name}.log"));
        let output = File::create(&log)?;
        let sockets = format!("unix_socket_directories={}", socket.display());
        let mut server = self.tool("postgres");
        server.args(["-D", name]);
        // What is lost with the machine may be lost here.
        for setting in [
            "listen_addresses=",
            &sockets,
            "fsync=off",
            "shared_buffers=32MB",
        ] {
            server.args(["-c", setting]);
        }
        for setting in settings {
            server.args(["-c", setting]);
        }
        let server = server.stdout(output.try_clone()?).stderr(output).spawn()?;
        let mut server = Postgres { server, socket };
        server.wait_until_ready(&log)?;
        Ok(server)
    }
}

impl Postgres {
    pub(crate) fn connect(&self) -> Outcome<Client> {
        connect(&self.socket)
    }

    fn wait_until_ready(&mut self, log: &Path) -> Outcome<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(failure) = self.connect() else {
                return Ok(());
            };
            let has_ended = self.server.try_wait()?.is_some();
            if has_ended || Instant::now() > deadline {
                let said = fs::read_to_string(log).unwrap_or_default();
                let last = said.lines().last().unwrap_or_default().to_owned();
                return Err(format!("PostgreSQL does not start: {failure}: {last}").into());
            }
            // The only way to learn that it is ready is to ask it.
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: &str) {
        let _ = Command::new("kill")
            .args([signal, &self.server.id().to_string()])
            .status();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // It ends its connections, and then itself.
        self.signal("-INT");
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.server.try_wait() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Runs a tool to its end.
fn run(tool: &mut Command) -> Outcome<()> {
    let Output { status, stderr, .. } = tool.output()?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&stderr);
    let name = Path::new(tool.get_program()).file_name();
    let name = name.unwrap_or_default().display();
    Err(format!("{name} ended with {status}: {}", said.trim()).into())
}

/// A connection to the server whose socket is in this folder.
pub(crate) fn connect(socket: &Path) -> Outcome<Client> {
    let mut config = Config::new();
    config
        .host_path(socket)
        .user("postgres")
        .dbname("postgres")
        .connect_timeout(Duration::from_secs(5));
    Ok(config.connect(NoTls)?)
}

/// `/usr/lib/postgresql/15/bin`, of the newest version.
fn newest_of_debian() -> Option<PathBuf> {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| version(path).is_some())
        .max_by_key(version)
        .map(|path| path.join("bin"))
}

/// The number of a user or its group.
fn id(flag: &str, user: Option<&str>) -> Outcome<u32> {
    let output = Command::new("id").arg(flag).args(user).output()?;
    if !output.status.success() {
        return Err(format!("`id` ended with {:?}", output.status.into_raw()).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}
