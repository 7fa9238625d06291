//! The file with the shop. It is created at the first start, under another name until it is
//! complete, and then kept.
//!
//! An existing file is checked before it is used. A shop that is damaged, or that another version
//! of this program created, is created again. A file that is not a shop belongs to the user, and is
//! not changed.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use rusqlite::{Connection, OpenFlags};

use crate::{Outcome, stock};

/// In the header of each shop. Other programs use another number, or 0.
const APPLICATION_ID: i32 = i32::from_be_bytes(*b"shop");

/// Also in the header, and written last. Increase it with every change of the contents in `stock`.
const VERSION: i32 = 1;

/// A complete shop. It is only read and copied.
pub(crate) struct Shop {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// Whether it was made or found.
    pub(crate) history: String,
}

/// The file at the path of the shop.
enum Found {
    Nothing,
    Shop,
    /// A shop that cannot be used.
    Flawed(String),
    SomethingElse,
}

/// Finds the shop, or makes it.
pub(crate) fn open(path: &Path, rows: u32, interrupted: &AtomicBool) -> Outcome<Shop> {
    let name = path.display();
    let found = look(path, rows).map_err(|error| format!("{name}: {error}"))?;
    let is_whole = matches!(found, Found::Shop);
    let history = match found {
        Found::Shop => "found".to_owned(),
        Found::Nothing => "made".to_owned(),
        Found::Flawed(flaw) => format!("made anew, because the old one {flaw}"),
        Found::SomethingElse => {
            return Err(format!("{name} is no shop of this program's; choose another --db").into());
        }
    };
    if !is_whole {
        make(path, rows, interrupted).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(Shop {
        path: path.to_owned(),
        bytes: fs::metadata(path)?.len(),
        history,
    })
}

fn look(path: &Path, rows: u32) -> io::Result<Found> {
    match is_a_shop(path) {
        Ok(true) => {}
        Ok(false) => return Ok(Found::SomethingElse),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    }
    let flaw = flaw(path, rows).unwrap_or_else(|error| Some(format!("can't be read: {error}")));
    Ok(flaw.map_or(Found::Shop, Found::Flawed))
}

/// Looks only at the first bytes, so it also recognizes a shop that is incomplete or damaged. For
/// their position, see <https://www.sqlite.org/fileformat2.html#the_database_header>.
fn is_a_shop(path: &Path) -> io::Result<bool> {
    let mut header = Vec::new();
    File::open(path)?.take(72).read_to_end(&mut header)?;
    Ok(header.starts_with(b"SQLite format 3\0")
        && header.get(68..72) == Some(&APPLICATION_ID.to_be_bytes()))
}

/// The defect of a shop, if it has one.
fn flaw(path: &Path, rows: u32) -> rusqlite::Result<Option<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        VERSION => {}
        0 => return Ok(Some("is half-made".to_owned())),
        other => return Ok(Some(format!("is of version {other}"))),
    }
    let found: u32 = connection.query_row("SELECT count(*) FROM product", [], |row| row.get(0))?;
    if found != rows {
        return Ok(Some(format!("has {found} products")));
    }
    let verdict: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    Ok((verdict != "ok").then(|| "is damaged".to_owned()))
}

fn make(path: &Path, rows: u32, interrupted: &AtomicBool) -> Outcome<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    // Removed when this returns early.
    let file = tempfile::Builder::new()
        .prefix("cache-aside-shop-")
        .suffix(".half-made")
        .tempfile_in(folder.unwrap_or(Path::new(".")))?;
    let mut connection = Connection::open(file.path())?;
    // If this fails, no data is lost.
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    stock::fill(&mut connection, rows, interrupted)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.close().map_err(|(_, error)| error)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
