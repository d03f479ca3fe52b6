//! The database as clients see it: `server.database.*` and, with `-g`, `debug.database.*` (spec api.md §8,
//! database.md §4 and §5).
//!
//! Section `[database]`, whose two options are deprecated. Namespace `database`. No notifications. Makes a backup
//! every day by itself ([`daily`]).

mod backups;
mod daily;
mod item;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::{Call, Endpoint, Error, NoParams, Reply, Result};
use crate::json;
use crate::klippy::Klippy;
use crate::storage::{ReadDocuments, Storage, Use, Writer};
use crate::tasks::Spawner;
use backups::Backups;
use item::Item;

/// The namespace of this part.
const NAMESPACE: &str = "database";
/// How long a restart after a restore waits, so that its answer gets out first (spec database.md §5).
const RESTART_DELAY: Duration = Duration::from_millis(100);

/// What this part works with.
pub struct Parts {
    /// The database.
    pub storage: Storage,
    /// The link to Klippy: some work is refused while it prints.
    pub klippy: Arc<Klippy>,
    /// Starts tasks.
    pub spawner: Spawner,
    /// Folder of the backups; made when it is needed.
    pub backups: PathBuf,
    /// Whether the debug endpoints are offered.
    pub debug: bool,
    /// Whether the last run did not end in order.
    pub unclean: bool,
    /// Ends this run of the server and begins another.
    pub restart: Arc<dyn Fn() + Send + Sync>,
}

/// The database's part of the API.
pub struct Database {
    storage: Storage,
    klippy: Arc<Klippy>,
    spawner: Spawner,
    backups: Backups,
    debug: bool,
    restart: Arc<dyn Fn() + Send + Sync>,
    /// Compaction, backup and restore come one at a time.
    busy: smol::lock::Mutex<()>,
    /// A restore was made, and the restart that it needs is under way.
    restored: AtomicBool,
}

#[derive(Deserialize)]
struct BackupName {
    filename: Option<String>,
}

#[derive(Deserialize)]
struct FileName {
    filename: String,
}

#[derive(Deserialize)]
struct TableName {
    table: String,
}

#[derive(Serialize)]
struct Listed {
    namespaces: Vec<String>,
    backups: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tables: Option<Vec<String>>,
}

#[derive(Serialize)]
struct BackupPath {
    backup_path: String,
}

impl Database {
    /// Begins to keep count of unsafe stops and to make backups.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { storage, klippy, spawner, backups, debug, unclean, restart } = parts;
        let noted = storage.clone();
        spawner.spawn(async move {
            if let Err(error) = noted.write(move |writer| note_start(writer, unclean)).await {
                log::warn!("database: the start could not be noted: {error}");
            }
        });
        let database = Arc::new(Self {
            storage,
            klippy,
            spawner,
            backups: Backups::new(backups),
            debug,
            restart,
            busy: smol::lock::Mutex::new(()),
            restored: AtomicBool::new(false),
        });
        database.spawner.spawn(daily::run(Arc::downgrade(&database)));
        database
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        let item = "/server/database/item";
        let backup = "/server/database/backup";
        let mut all = vec![
            Endpoint::get("server.database.list", "/server/database/list").read_only().to(self, Self::list),
            Endpoint::get("server.database.get_item", item).read_only().to(self, Self::get_item),
            Endpoint::post("server.database.post_item", item).operator().to(self, Self::post_item),
            Endpoint::delete("server.database.delete_item", item).operator().to(self, Self::delete_item),
            Endpoint::post("server.database.compact", "/server/database/compact").to(self, Self::compact),
            Endpoint::post("server.database.post_backup", backup).to(self, Self::post_backup),
            Endpoint::delete("server.database.delete_backup", backup).to(self, Self::delete_backup),
            Endpoint::post("server.database.restore", "/server/database/restore").to(self, Self::restore),
        ];
        if self.debug {
            let item = "/debug/database/item";
            all.extend([
                Endpoint::get("debug.database.list", "/debug/database/list").to(self, Self::debug_list),
                Endpoint::get("debug.database.get_item", item).to(self, Self::debug_get_item),
                Endpoint::post("debug.database.post_item", item).to(self, Self::debug_post_item),
                Endpoint::delete("debug.database.delete_item", item).to(self, Self::debug_delete_item),
                Endpoint::get("debug.database.table", "/debug/database/table").to(self, Self::debug_table),
            ]);
        }
        all
    }

    async fn list(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let mut namespaces = self.storage.read(|view| view.namespaces())?;
        namespaces.retain(|name| self.storage.is_visible(name));
        Ok(Reply::of(&Listed { namespaces, backups: self.backups.list().await, tables: None }))
    }

    async fn get_item(self: Arc<Self>, call: Call<Item>) -> Result<Reply> {
        self.storage.check_access(&call.params.namespace, Use::Read)?;
        self.get(&call.params)
    }

    async fn post_item(self: Arc<Self>, call: Call<Item>) -> Result<Reply> {
        self.storage.check_access(&call.params.namespace, Use::Write)?;
        self.post(call.params).await
    }

    async fn delete_item(self: Arc<Self>, call: Call<Item>) -> Result<Reply> {
        self.storage.check_access(&call.params.namespace, Use::Write)?;
        self.delete(call.params).await
    }

    fn get(&self, item: &Item) -> Result<Reply> {
        let value = self.storage.read(|view| match item.path()? {
            Some(path) => view.item(&item.namespace, &path),
            None => view.whole_namespace(&item.namespace),
        })?;
        Ok(item.reply(&value))
    }

    async fn post(&self, mut item: Item) -> Result<Reply> {
        let value = item.value.take().ok_or_else(|| Error::bad_request("No data for argument: value"))?;
        let path = item.required_path()?;
        let namespace = item.namespace.clone();
        let value = self
            .storage
            .write(move |writer| writer.insert_item(&namespace, &path, &value).map(|()| value))
            .await?;
        Ok(item.reply(&value))
    }

    async fn delete(&self, item: Item) -> Result<Reply> {
        let path = item.required_path()?;
        let namespace = item.namespace.clone();
        let value = self.storage.write(move |writer| writer.delete_item(&namespace, &path)).await?;
        Ok(item.reply(&value))
    }

    async fn compact(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let _alone = self.busy.lock().await;
        self.refuse_while_busy("compact the database")?;
        let sizes = self.storage.compact().await?;
        Ok(Reply::of(&sizes))
    }

    async fn post_backup(self: Arc<Self>, call: Call<BackupName>) -> Result<Reply> {
        let name = call.params.filename.unwrap_or_else(|| backups::default_name("perigee-backup"));
        let path = self.backups.path(&name)?;
        let _alone = self.busy.lock().await;
        self.refuse_while_busy("back up the database")?;
        self.backups.make_folder_of(&path).await?;
        self.storage.backup(path.clone()).await?;
        Ok(Reply::of(&BackupPath { backup_path: path.to_string_lossy().into_owned() }))
    }

    async fn delete_backup(self: Arc<Self>, call: Call<FileName>) -> Result<Reply> {
        let path = self.backups.path(&call.params.filename)?;
        let _alone = self.busy.lock().await;
        self.backups.delete(&path).await?;
        Ok(Reply::of(&BackupPath { backup_path: path.to_string_lossy().into_owned() }))
    }

    async fn restore(self: Arc<Self>, call: Call<FileName>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Restored {
            restored_tables: Vec<String>,
            restored_namespaces: Vec<String>,
        }
        let path = self.backups.path(&call.params.filename)?;
        let _alone = self.busy.lock().await;
        self.refuse_while_busy("restore the database")?;
        self.backups.check_exists(&path).await?;
        self.storage.restore(path).await?;
        let outcome = self.storage.read(|view| {
            Ok(Restored { restored_tables: view.tables()?, restored_namespaces: view.namespaces()? })
        })?;
        self.restored.store(true, Ordering::Relaxed);
        let part = self.clone();
        self.spawner.spawn(async move {
            smol::Timer::after(RESTART_DELAY).await;
            (part.restart)();
        });
        Ok(Reply::of(&outcome))
    }

    /// Work on the whole file waits for the end of a print, and of the run that a restore has ended.
    fn refuse_while_busy(&self, what: &str) -> Result<()> {
        if self.klippy.is_printing() {
            return Err(Error::bad_request(format!("Cannot {what} while printing")));
        }
        if self.restored.load(Ordering::Relaxed) {
            return Err(Error::bad_request(format!("Cannot {what}: a restore is being finished")));
        }
        Ok(())
    }

    async fn debug_list(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let (namespaces, tables) = self.storage.read(|view| Ok((view.namespaces()?, view.tables()?)))?;
        Ok(Reply::of(&Listed { namespaces, backups: self.backups.list().await, tables: Some(tables) }))
    }

    async fn debug_get_item(self: Arc<Self>, call: Call<Item>) -> Result<Reply> {
        self.count_debug("get").await?;
        self.get(&call.params)
    }

    async fn debug_post_item(self: Arc<Self>, call: Call<Item>) -> Result<Reply> {
        self.count_debug("post").await?;
        self.post(call.params).await
    }

    async fn debug_delete_item(self: Arc<Self>, call: Call<Item>) -> Result<Reply> {
        self.count_debug("delete").await?;
        self.delete(call.params).await
    }

    async fn count_debug(&self, verb: &'static str) -> Result<()> {
        Ok(self
            .storage
            .write(move |writer| {
                let key = format!("debug_counter.{verb}");
                let key = crate::storage::KeyPath::parse(&key)?;
                let count: u64 = match writer.item(NAMESPACE, &key) {
                    Ok(count) => serde_json::from_str(count.get()).unwrap_or_default(),
                    Err(_) => 0,
                };
                writer.insert_item(NAMESPACE, &key, &json::to_raw(&(count + 1)))
            })
            .await?)
    }

    async fn debug_table(self: Arc<Self>, call: Call<TableName>) -> Result<Reply> {
        let name = call.params.table;
        let rows = self.storage.read(|view| item::table_rows(view, &name))?;
        if rows.is_empty() {
            return Err(Error::not_found(format!("Table '{name}' not found")));
        }
        #[derive(Serialize)]
        struct Rows {
            table_name: String,
            rows: Vec<Box<RawValue>>,
        }
        Ok(Reply::of(&Rows { table_name: name, rows }))
    }
}

/// Counts stops that were not in order (spec database.md §1).
fn note_start(writer: &mut Writer<'_>, unclean: bool) -> crate::storage::Result<()> {
    /// The version of Moonraker's layout that the namespaces follow.
    const VERSION: u32 = 2;
    let key = "unsafe_shutdowns";
    let known = writer.record(NAMESPACE, key)?;
    let count: u64 = known.and_then(|count| serde_json::from_str(count.get()).ok()).unwrap_or_default();
    writer.put_record(NAMESPACE, key, &json::to_raw(&(count + u64::from(unclean))))?;
    writer.put_record(NAMESPACE, "database_version", &json::to_raw(&VERSION))
}

#[cfg(test)]
mod tests;
