//! A reader of SQLite files that trusts nothing in them: just enough to move in from Moonraker.
//!
//! It reads whole tables and applies a rollback journal that a crash left behind, in memory: the files stay as they
//! are. SQLite itself would be a megabyte of C for something that is done once in the life of a printer.
//!
//! Format: "Database File Format", sqlite.org/fileformat2.html (§1.3 header, §1.6 B-trees, §2.1 records, §3 rollback
//! journal).

mod journal;
mod record;
mod tree;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(super) use record::Value;

/// What every SQLite file begins with.
pub(super) const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const HEADER: usize = 100;
/// The table of tables; its root is always the first page.
const SCHEMA_ROOT: u32 = 1;
/// How many tables are looked at.
const MAX_TABLES: usize = 1000;

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum Damage {
    Io(io::Error),
    /// What is wrong, and at which page (0 for the file as a whole).
    Page(u32, &'static str),
    /// The visitor wants no more.
    Stopped,
}

impl From<io::Error> for Damage {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Page(page, what) => write!(f, "page {page}: {what}"),
            Self::Stopped => f.write_str("reading was stopped"),
        }
    }
}

impl std::error::Error for Damage {}

/// A table, as its CREATE statement tells.
struct Table {
    root: u32,
    columns: Vec<String>,
}

/// One row: the row id, and the values by the names of their columns.
pub(super) struct Row<'a> {
    pub(super) id: i64,
    columns: &'a [String],
    values: Vec<Value>,
}

impl Row<'_> {
    /// The value of a column; null if the table has none of that name.
    pub(super) fn take(&mut self, column: &str) -> Value {
        let at = self.columns.iter().position(|name| name.eq_ignore_ascii_case(column));
        at.and_then(|at| self.values.get_mut(at)).map(std::mem::take).unwrap_or_default()
    }
}

/// An SQLite file, open for reading. Nobody may write to it meanwhile.
pub(super) struct SqliteFile {
    file: File,
    page_size: usize,
    /// Bytes of a page that B-trees use.
    usable: usize,
    pages: u32,
    /// Pages as they were before the transaction that a crash ended.
    restored: HashMap<u32, Vec<u8>>,
    tables: HashMap<String, Table>,
}

impl SqliteFile {
    /// Opens a file, takes back an unfinished transaction, and reads which tables there are.
    pub(super) fn open(path: &Path) -> Result<Self, Damage> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let journal = journal::read(path)?;
        let mut header = [0; HEADER];
        let restored_header = journal.as_ref().and_then(|journal| journal.pages.get(&1)?.first_chunk());
        match restored_header {
            Some(restored) => header = *restored,
            None => {
                file.read_exact_at(&mut header, 0).map_err(|_| Damage::Page(0, "the file is too short"))?
            }
        }
        let size = u16::from_be_bytes([header[16], header[17]]);
        let page_size = if size == 1 { 65_536 } else { usize::from(size) };
        let usable = page_size.saturating_sub(usize::from(header[20]));
        if header[..16] != *MAGIC || !page_size.is_power_of_two() || page_size < 512 || usable < 480 {
            return Err(Damage::Page(0, "it is no SQLite database"));
        }
        if u32::from_be_bytes([header[56], header[57], header[58], header[59]]) > 1 {
            return Err(Damage::Page(0, "its texts are not UTF-8"));
        }
        if has_wal(path) {
            return Err(Damage::Page(
                0,
                "it has a write-ahead log; the server that wrote it must stop in order first",
            ));
        }
        let in_file = u32::try_from(length / page_size as u64).unwrap_or(u32::MAX);
        let (pages, restored) = match journal {
            Some(journal) if journal.page_size == page_size => (journal.size, journal.pages),
            Some(_) => return Err(Damage::Page(0, "its journal is of another database")),
            None => (in_file, HashMap::new()),
        };
        let mut this = Self { file, page_size, usable, pages, restored, tables: HashMap::new() };
        this.tables = this.read_schema()?;
        Ok(this)
    }

    fn read_schema(&self) -> Result<HashMap<String, Table>, Damage> {
        let names = ["type", "name", "tbl_name", "rootpage", "sql"].map(str::to_owned);
        let mut tables = HashMap::new();
        let mut count = 0;
        self.rows_of(SCHEMA_ROOT, &names, &mut |mut row| {
            count += 1;
            if count > MAX_TABLES {
                return Err(Damage::Page(0, "it has too many tables"));
            }
            let Value::Text(kind) = row.take("type") else { return Ok(()) };
            if let (Value::Text(name), Value::Integer(root), Value::Text(sql)) =
                (row.take("name"), row.take("rootpage"), row.take("sql"))
                && kind == "table"
                && let Ok(root) = u32::try_from(root)
            {
                tables.insert(name, Table { root, columns: columns(&sql) });
            }
            Ok(())
        })?;
        Ok(tables)
    }

    /// Whether there is a table.
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }

    /// Calls `visit` with every row of a table, in the order of their ids. Nothing if there is no such table.
    pub(super) fn rows(
        &self,
        table: &str,
        visit: &mut dyn FnMut(Row<'_>) -> Result<(), Damage>,
    ) -> Result<(), Damage> {
        match self.tables.get(table) {
            Some(table) => self.rows_of(table.root, &table.columns, visit),
            None => Ok(()),
        }
    }

    fn rows_of(
        &self,
        root: u32,
        columns: &[String],
        visit: &mut dyn FnMut(Row<'_>) -> Result<(), Damage>,
    ) -> Result<(), Damage> {
        tree::walk(self, root, &mut |page, id, payload| {
            let values =
                record::decode(payload).ok_or(Damage::Page(page, "has a record that cannot be read"))?;
            visit(Row { id, columns, values })
        })
    }

    fn page(&self, number: u32) -> Result<Vec<u8>, Damage> {
        if number == 0 || number > self.pages {
            return Err(Damage::Page(number, "is beyond the last page"));
        }
        if let Some(page) = self.restored.get(&number) {
            return Ok(page.clone());
        }
        let mut page = vec![0; self.page_size];
        let at = u64::from(number - 1) * self.page_size as u64;
        self.file.read_exact_at(&mut page, at).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => Damage::Page(number, "lies beyond the end of the file"),
            _ => Damage::Io(error),
        })?;
        Ok(page)
    }
}

/// Whether changes lie in a write-ahead log, which is not read here.
fn has_wal(path: &Path) -> bool {
    std::fs::metadata(super::disk::with_suffix(path, "-wal")).is_ok_and(|found| found.len() > 32)
}

/// The names of the columns in a CREATE TABLE statement.
fn columns(sql: &str) -> Vec<String> {
    let body = sql.split_once('(').map_or("", |(_, rest)| rest);
    let body = body.rsplit_once(')').map_or(body, |(body, _)| body);
    let mut depth = 0;
    let parts = body.split(|c: char| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    });
    const CONSTRAINTS: [&str; 5] = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];
    let names = parts.filter_map(|part| part.split_whitespace().next());
    let names = names.filter(|name| !CONSTRAINTS.iter().any(|word| name.eq_ignore_ascii_case(word)));
    names.map(|name| name.trim_matches(['"', '`', '[', ']', '\'']).to_owned()).collect()
}

#[cfg(test)]
mod tests;
