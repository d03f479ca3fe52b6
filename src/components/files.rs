//! `server.files.*`: the file manager's calls (spec api.md §6.1). Uploads and downloads are the transport's.
//!
//! Section `[file_manager]`. Events: `notify_filelist_changed`. Stored: G-code metadata, by the file manager.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::api::{Call, Endpoint, Error, Event, Events, NoParams, Reply, Result, Role, Warnings};
use crate::files::{Access, Files, GCODES, rights};
use crate::klippy::objects::Wanted;
use crate::klippy::{Klippy, Stage};

/// The key of the warning that Klippy prints from another folder.
const GCODE_PATH_WARNING: &str = "gcode_path";

/// The key of the warning that Klippy's configuration is elsewhere.
const CONFIG_PATH_WARNING: &str = "klipper_config";

/// Section `[file_manager]`, as far as it is not the file manager's own.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether to warn when Klippy's configuration lies outside the `config` root.
    pub check_klipper_config_path: bool,
}

/// The file manager's calls.
pub struct FilesPart {
    files: Files,
    klippy: Arc<Klippy>,
    warnings: Arc<Warnings>,
    options: Options,
}

#[derive(Deserialize)]
struct List {
    root: Option<String>,
}

#[derive(Deserialize)]
struct Filename {
    filename: String,
}

#[derive(Deserialize)]
struct Directory {
    path: Option<String>,
    #[serde(default)]
    extended: bool,
}

#[derive(Deserialize)]
struct CreateDirectory {
    path: String,
}

#[derive(Deserialize)]
struct DeleteDirectory {
    path: String,
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize)]
struct Transfer {
    source: String,
    dest: String,
}

#[derive(Deserialize)]
struct Zip {
    items: Vec<String>,
    dest: Option<String>,
    #[serde(default)]
    store_only: bool,
}

#[derive(Deserialize)]
struct DeleteFile {
    path: Option<String>,
}

impl FilesPart {
    /// Offers these files, and follows where Klippy says that its own are.
    pub fn new(
        files: Files,
        klippy: &Arc<Klippy>,
        events: &Events,
        warnings: Arc<Warnings>,
        options: Options,
    ) -> Arc<Self> {
        let part = Arc::new(Self { files, klippy: klippy.clone(), warnings, options });
        let weak = Arc::downgrade(&part);
        events.subscribe(move |event| {
            if let (Event::KlippyIdentified, Some(part)) = (event, weak.upgrade()) {
                part.klippy_identified();
            }
        });
        let weak = Arc::downgrade(&part);
        klippy.at(Stage::Ready, move |_| {
            let weak = weak.clone();
            async move {
                if let Some(part) = weak.upgrade() {
                    part.check_gcode_path().await;
                }
            }
        });
        part
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        vec![
            Endpoint::get("server.files.list", "/server/files/list").read_only().to(self, Self::list),
            Endpoint::get("server.files.roots", "/server/files/roots").read_only().to(self, Self::roots),
            Endpoint::get("server.files.metadata", "/server/files/metadata")
                .read_only()
                .to(self, Self::metadata),
            Endpoint::post("server.files.metascan", "/server/files/metascan")
                .operator()
                .to(self, Self::metascan),
            Endpoint::get("server.files.thumbnails", "/server/files/thumbnails")
                .read_only()
                .to(self, Self::thumbnails),
            Endpoint::get("server.files.get_directory", "/server/files/directory")
                .read_only()
                .to(self, Self::directory),
            Endpoint::post("server.files.post_directory", "/server/files/directory")
                .operator()
                .to(self, Self::create_directory),
            Endpoint::delete("server.files.delete_directory", "/server/files/directory")
                .operator()
                .to(self, Self::delete_directory),
            Endpoint::post("server.files.move", "/server/files/move").operator().to(self, Self::move_item),
            Endpoint::post("server.files.copy", "/server/files/copy").operator().to(self, Self::copy_item),
            Endpoint::post("server.files.zip", "/server/files/zip").operator().to(self, Self::zip),
            Endpoint::delete("server.files.delete_file", "/server/files/*")
                .operator()
                .to(self, Self::delete_file),
        ]
    }

    async fn list(self: Arc<Self>, call: Call<List>) -> Result<Reply> {
        let files = self.files.list(call.params.root.as_deref().unwrap_or(GCODES)).await?;
        Ok(Reply::of(&files))
    }

    async fn roots(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        Ok(Reply::of(&self.files.roots().list()))
    }

    async fn metadata(self: Arc<Self>, call: Call<Filename>) -> Result<Reply> {
        self.files.metadata(&call.params.filename).await.map(Reply::from_json_text)
    }

    async fn metascan(self: Arc<Self>, call: Call<Filename>) -> Result<Reply> {
        self.files.metascan(&call.params.filename).await.map(Reply::from_json_text)
    }

    async fn thumbnails(self: Arc<Self>, call: Call<Filename>) -> Result<Reply> {
        Ok(Reply::of(&self.files.thumbnails(&call.params.filename).await?))
    }

    async fn directory(self: Arc<Self>, call: Call<Directory>) -> Result<Reply> {
        let path = call.params.path.as_deref().unwrap_or(GCODES);
        let directory = self.files.directory(path, call.params.extended).await?;
        Ok(Reply::from_json_text(directory.to_json()))
    }

    async fn create_directory(self: Arc<Self>, call: Call<CreateDirectory>) -> Result<Reply> {
        call.caller.identity.require(rights::to_write_path(&call.params.path))?;
        let change = self.files.create_directory(&call.params.path).await?;
        Ok(Reply::of(&change.action))
    }

    async fn delete_directory(self: Arc<Self>, call: Call<DeleteDirectory>) -> Result<Reply> {
        call.caller.identity.require(rights::to_write_path(&call.params.path))?;
        let change = self.files.delete_directory(&call.params.path, call.params.force).await?;
        Ok(Reply::of(&change.action))
    }

    async fn move_item(self: Arc<Self>, call: Call<Transfer>) -> Result<Reply> {
        call.caller.identity.require(rights::to_write_path(&call.params.source))?;
        call.caller.identity.require(rights::to_write_path(&call.params.dest))?;
        let change = self.files.move_item(&call.params.source, &call.params.dest).await?;
        Ok(Reply::of(&change.action))
    }

    async fn copy_item(self: Arc<Self>, call: Call<Transfer>) -> Result<Reply> {
        call.caller.identity.require(rights::to_read(&call.params.source))?;
        call.caller.identity.require(rights::to_write_path(&call.params.dest))?;
        let change = self.files.copy_item(&call.params.source, &call.params.dest).await?;
        Ok(Reply::of(&change.action))
    }

    async fn zip(self: Arc<Self>, call: Call<Zip>) -> Result<Reply> {
        let Zip { items, dest, store_only } = call.params;
        for item in &items {
            call.caller.identity.require(rights::to_read(item))?;
        }
        // without a name it becomes a file of the configuration folder
        call.caller.identity.require(dest.as_deref().map_or(Role::Admin, rights::to_write_path))?;
        let (zipped, _notice) = self.files.zip(&items, dest.as_deref(), store_only).await?;
        Ok(Reply::of(&zipped))
    }

    async fn delete_file(self: Arc<Self>, call: Call<DeleteFile>) -> Result<Reply> {
        // over HTTP the path is the rest of the address
        let path = call.params.path.filter(|_| call.tail.is_empty()).unwrap_or(call.tail);
        if path.is_empty() {
            return Err(Error::bad_request("No data for argument: path"));
        }
        call.caller.identity.require(rights::to_write_path(&path))?;
        let change = self.files.delete_file(&path).await?;
        Ok(Reply::of(&change.action))
    }

    /// Offers what Klipper's folder holds for people, protects it, and looks where its configuration is (spec
    /// behaviour.md §2.2).
    fn klippy_identified(&self) {
        let info = self.klippy.info();
        let roots = self.files.roots();
        if !info.log_file.is_empty() {
            roots.register_file("klippy.log", Path::new(&info.log_file));
        }
        if !info.klipper_path.is_empty() {
            let source = Path::new(&info.klipper_path);
            roots.reserve("klipper", source, true);
            for (name, folder) in [("config_examples", "config"), ("docs", "docs")] {
                self.files.add_root(name, source.join(folder), Access::Read);
            }
        }
        self.check_config_path(&info.config_file);
    }

    fn check_config_path(&self, config_file: &str) {
        let inside = self.files.roots().get("config").is_ok_and(|root| {
            let real = std::fs::canonicalize(config_file);
            real.is_ok_and(|real| real.starts_with(&root.path))
        });
        if self.options.check_klipper_config_path && !config_file.is_empty() && !inside {
            self.warnings.set(
                CONFIG_PATH_WARNING,
                format!(
                    "Klipper's configuration file '{config_file}' is not in the config folder of this server"
                ),
            );
        } else {
            self.warnings.clear(CONFIG_PATH_WARNING);
        }
    }

    /// Warns when Klippy prints from another folder than uploads go to.
    async fn check_gcode_path(&self) {
        let Ok(mut objects) = self.klippy.query_values(&Wanted::all_of(["configfile"])).await else { return };
        let config = objects.remove("configfile").and_then(|mut fields| fields.remove("config"));
        let config: serde_json::Value =
            config.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let Some(path) = config.pointer("/virtual_sdcard/path").and_then(|path| path.as_str()) else {
            return;
        };
        let path = expand_home(path);
        let ours = self.files.roots().get(GCODES).ok().and_then(|root| std::fs::metadata(&root.path).ok());
        let theirs = std::fs::metadata(&path).ok();
        let same = |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        if ours.zip(theirs).is_some_and(|(ours, theirs)| same(ours, theirs)) {
            self.warnings.clear(GCODE_PATH_WARNING);
        } else {
            self.warnings.set(
                GCODE_PATH_WARNING,
                format!(
                    "Klipper prints from '{}', uploads go to another folder: set [virtual_sdcard] path to this \
                     server's gcodes folder",
                    path.display()
                ),
            );
        }
    }
}

/// A path of Klipper's configuration, in which `~` is its user's home; that is mostly ours too.
fn expand_home(path: &str) -> std::path::PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => path.into(),
    }
}
