//! The thumbnails beside G-code files: `<directory>/.thumbs/`. All blocking.
//!
//! They are not forced to the disk one by one: they can be made again, and at the start a record whose pictures
//! are missing or cut is made again.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::record::Picture;
use crate::files::temp::TempFile;
use crate::gcode::thumbnail::{DIRECTORY, Entry, File, MAX_TOTAL, Thumbnail};

/// Writes pictures for a G-code file in `directory`.
pub(super) fn write(directory: &Path, files: &[File]) -> io::Result<Vec<Entry>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let folder = directory.join(DIRECTORY);
    match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    for file in files {
        let temp = TempFile::create_in(&folder)?;
        temp.file().write_all(&file.data)?;
        temp.replace_unsynced(&folder.join(&file.name))?;
    }
    Ok(files.iter().map(File::entry).collect())
}

/// The picture that came with the package of the G-code file with this base name, if it was in one and the picture is
/// still there. One that is too large is none.
pub(super) fn of_package(directory: &Path, base: &str) -> Option<Thumbnail> {
    let path = directory.join(DIRECTORY).join(format!("{base}.png"));
    let size = fs::symlink_metadata(&path).ok().filter(fs::Metadata::is_file)?.len();
    let data = (size <= MAX_TOTAL as u64).then(|| fs::read(&path).ok())??;
    Some(Thumbnail::of_package(data))
}

/// Removes pictures of a G-code file in `directory`.
pub(super) fn remove<'a>(directory: &Path, pictures: impl IntoIterator<Item = &'a Picture>) {
    for name in pictures.into_iter().filter_map(Picture::name) {
        let path = directory.join(DIRECTORY).join(name);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::debug!("cannot remove {}: {error}", path.display());
        }
    }
}

/// Moves pictures along with a G-code file. Fails, with nothing lost, where there are others of the same names.
pub(super) fn move_to(from: &Path, to: &Path, pictures: &[Picture]) -> io::Result<()> {
    if pictures.is_empty() {
        return Ok(());
    }
    let (from, to) = (from.join(DIRECTORY), to.join(DIRECTORY));
    let names = || pictures.iter().filter_map(Picture::name);
    if names().any(|name| fs::symlink_metadata(to.join(name)).is_ok()) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match fs::create_dir(&to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    names().try_for_each(|name| fs::rename(from.join(name), to.join(name)))
}

/// Whether all pictures are there and as long as they should be.
pub(super) fn are_whole(directory: &Path, pictures: &[Picture]) -> bool {
    pictures.iter().all(|picture| {
        let size =
            |name| fs::metadata(directory.join(DIRECTORY).join(name)).ok().map(|metadata| metadata.len());
        picture.name().is_none_or(|name| size(name) == Some(picture.size))
    })
}

impl Picture {
    /// The name of its file. None for a path that leads anywhere but into the folder of thumbnails: records are
    /// also imported, and what they name is deleted.
    pub(super) fn name(&self) -> Option<&str> {
        let name = self.relative_path.strip_prefix(DIRECTORY)?.strip_prefix('/')?;
        let plain = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
        plain.then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(path: &str, size: u64) -> Picture {
        Picture { width: 1, height: 1, size, relative_path: path.into() }
    }

    fn file(name: &str) -> File {
        File { name: name.into(), data: vec![1, 2], width: 1, height: 1 }
    }

    #[test]
    fn pictures_are_written_moved_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        fs::create_dir(&other).unwrap();
        assert!(write(dir.path(), &[]).unwrap().is_empty() && !dir.path().join(DIRECTORY).exists());
        let entries = write(dir.path(), &[file("a.png"), file("b.png")]).unwrap();
        assert_eq!((entries[0].relative_path.as_str(), entries[0].size), (".thumbs/a.png", 2));
        let both = [picture(".thumbs/a.png", 2), picture(".thumbs/b.png", 2)];
        assert!(are_whole(dir.path(), &both));
        assert!(!are_whole(dir.path(), &[picture(".thumbs/a.png", 3)]));
        assert!(!are_whole(dir.path(), &[picture(".thumbs/c.png", 2)]));
        move_to(dir.path(), &other, &both[..1]).unwrap();
        assert!(are_whole(&other, &both[..1]) && are_whole(dir.path(), &both[1..]));
        write(dir.path(), &[file("a.png")]).unwrap();
        assert!(move_to(dir.path(), &other, &both).is_err());
        assert!(are_whole(dir.path(), &both));
        remove(dir.path(), &both);
        assert!(!dir.path().join(".thumbs/b.png").exists());
    }

    #[test]
    fn records_cannot_name_other_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("kept"), "").unwrap();
        fs::create_dir(dir.path().join(DIRECTORY)).unwrap();
        for path in ["kept", ".thumbs/../kept", ".thumbs/", ".thumbs/..", "../x", "/etc/passwd", ".thumbsx"] {
            assert_eq!(picture(path, 0).name(), None, "{path}");
            remove(dir.path(), &[picture(path, 0)]);
        }
        assert!(dir.path().join("kept").exists());
        assert_eq!(picture(".thumbs/a b.png", 0).name(), Some("a b.png"));
    }
}
