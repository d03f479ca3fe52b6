//! The file manager as a whole, on a real file system.

mod links;
mod listing;
mod metadata;
mod requests;
mod uploads;
mod watching;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use smol::Executor;
use tempfile::TempDir;

use super::*;
use crate::sync::lock;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// A data folder with the usual roots, and a file manager on it.
struct Bench {
    dir: TempDir,
    executor: Arc<Executor<'static>>,
    files: Files,
    told: Arc<std::sync::Mutex<Vec<FileAction>>>,
    loaded: Arc<std::sync::Mutex<Option<LoadedFile>>>,
    storage: Storage,
}

impl Bench {
    fn new() -> Self {
        Self::with_limit(64 << 20)
    }

    fn with_limit(max_upload: u64) -> Self {
        Self::with(max_upload, Observer::None)
    }

    fn with(max_upload: u64, observer: Observer) -> Self {
        Self::on(tempfile::tempdir().unwrap(), max_upload, observer)
    }

    /// A file manager on a data folder that may have been used before.
    fn on(dir: TempDir, max_upload: u64, observer: Observer) -> Self {
        let (storage, _) = Storage::open(&dir.path().join("database"), &Default::default()).unwrap();
        let executor = Arc::new(Executor::new());
        let told = Arc::<std::sync::Mutex<Vec<FileAction>>>::default();
        let loaded = Arc::<std::sync::Mutex<Option<LoadedFile>>>::default();
        let (sink, load) = (told.clone(), loaded.clone());
        let files = Files::new(Setup {
            spawner: Spawner::new(&executor),
            loaded: Arc::new(move || lock(&load).clone()),
            sink: Arc::new(move |action: &FileAction| lock(&sink).push(action.clone())),
            warnings: Arc::default(),
            observer,
            observer_warnings: true,
            define_objects: false,
            storage: storage.clone(),
            max_upload,
        });
        let bench = Self { dir, executor, files, told, loaded, storage };
        for (name, access) in [("config", Access::Write), ("logs", Access::Read), ("gcodes", Access::Write)] {
            fs::create_dir_all(bench.path(name)).unwrap();
            bench.files.roots().register(name, &bench.path(name), access).unwrap();
        }
        bench.files.0.started.store(true, Ordering::Relaxed);
        bench.run(bench.files.begin());
        bench
    }

    /// A path in the data folder.
    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, content: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), content).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// The names in a directory, hidden ones too.
    fn names(&self, path: &str) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.path(path))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let late = async {
            smol::Timer::after(PATIENCE).await;
            panic!("a test waited too long");
        };
        smol::block_on(self.executor.run(futures_lite::future::or(future, late)))
    }

    /// Waits until so many changes have been told, and returns them.
    fn told(&self, count: usize) -> Vec<FileAction> {
        self.run(async {
            while lock(&self.told).len() < count {
                smol::Timer::after(Duration::from_millis(1)).await;
            }
        });
        std::mem::take(&mut *lock(&self.told))
    }

    /// Waits until so many changes have been told, as `action root/path`.
    fn told_text(&self, count: usize) -> Vec<String> {
        self.told(count).iter().map(text).collect()
    }

    async fn upload(&self, target: &UploadTarget, content: &[u8]) -> Result<Change> {
        let mut upload = self.files.begin_upload(target, None).await?;
        for chunk in content.chunks(10_000) {
            upload.write(chunk).await?;
        }
        self.files.finish_upload(upload, target).await
    }
}

/// `action root/path`, and where it came from.
fn text(action: &FileAction) -> String {
    let kind = serde_json::to_string(&action.action).unwrap();
    let source =
        action.source_item.as_ref().map(|s| format!(" from {}/{}", s.root, s.path)).unwrap_or_default();
    format!("{} {}/{}{source}", kind.trim_matches('"'), action.item.root, action.item.path)
}

/// The status that a request was refused with.
fn status<T>(result: Result<T>) -> u16 {
    result.err().expect("the request should have been refused").status()
}

fn to(root: &str, filename: &str) -> UploadTarget {
    UploadTarget { root: root.into(), filename: filename.into(), ..UploadTarget::default() }
}

fn link(target: impl AsRef<Path>, at: impl AsRef<Path>) {
    std::os::unix::fs::symlink(target, at).unwrap();
}
