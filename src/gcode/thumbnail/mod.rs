//! Pictures embedded in sliced files: finding them, checking them, and making the files that clients load.

mod bmp;
mod extract;
mod image;
mod pixels;
mod qoi;

use serde::Serialize;

pub(super) use extract::Extractor;
use image::Picture;

/// Most bytes of decoded pictures held for one file; those after are left out.
pub const MAX_TOTAL: usize = 4 << 20;
/// Most pixels decoded for one file, all pictures together: bounds the time that hostile ones take.
pub const MAX_PIXELS: u64 = 16 << 20;
/// Side of the small picture that lists show; one is always made (spec behaviour.md §6.5).
pub const MINIATURE: u32 = 32;
/// Name of the directory, next to the sliced file, that holds its pictures.
pub const DIRECTORY: &str = ".thumbs";

/// A picture as it stands in a sliced file: bytes in some image format, not yet looked into.
#[derive(Debug, Clone, PartialEq)]
pub struct Thumbnail {
    /// The image file's bytes.
    pub data: Vec<u8>,
    /// What its file is called instead of `<base>-<width>x<height>`: the picture of a package is `<base>`.
    pub plain_name: bool,
}

impl Thumbnail {
    /// A picture embedded in the text of a file.
    pub fn embedded(data: Vec<u8>) -> Self {
        Thumbnail { data, plain_name: false }
    }

    /// The picture of a package ([`super::package`]).
    pub fn of_package(data: Vec<u8>) -> Self {
        Thumbnail { data, plain_name: true }
    }
}

/// One entry of the `thumbnails` list of the metadata record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// Size of the file, bytes.
    pub size: u64,
    /// Path relative to the directory of the sliced file.
    pub relative_path: String,
}

/// A file to be written into [`DIRECTORY`].
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// Name within [`DIRECTORY`].
    pub name: String,
    /// Its bytes: PNG or JPEG.
    pub data: Vec<u8>,
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
}

impl File {
    /// The file's entry in the metadata record.
    pub fn entry(&self) -> Entry {
        Entry {
            width: self.width,
            height: self.height,
            size: self.data.len() as u64,
            relative_path: format!("{DIRECTORY}/{}", self.name),
        }
    }
}

/// What the names of a sliced file's pictures begin with: its own name without `.gcode`. Another extension stays, so
/// that `a.gcode` and `a.gco` in one directory do not overwrite each other's pictures.
pub fn base(file_name: &str) -> &str {
    match file_name.strip_suffix(".gcode") {
        Some(stem) if !stem.is_empty() => stem,
        _ => file_name,
    }
}

/// The files to write for the pictures of a sliced file whose name begins with `base`, in the order of the record: the
/// miniature, made unless there is one, first; then the others as they stand in the file. What cannot be decoded is
/// left out; formats that browsers do not show become PNG; no two files have the same name.
pub fn files(thumbnails: Vec<Thumbnail>, base: &str) -> Vec<File> {
    let mut budget = MAX_PIXELS;
    let mut pictures: Vec<(Picture, bool)> = Vec::new();
    for thumbnail in thumbnails {
        if let Some(picture) = Picture::check(thumbnail.data, &mut budget)
            && !pictures.iter().any(|(other, _)| other.data == picture.data)
        {
            pictures.push((picture, thumbnail.plain_name));
        }
    }
    let miniature = make_miniature(&pictures, base);
    let mut files: Vec<File> = miniature.into_iter().collect();
    for (picture, plain_name) in pictures {
        let Picture { data, format, width, height } = picture;
        let stem = if plain_name { base.to_owned() } else { format!("{base}-{width}x{height}") };
        let name = free_name(&files, &stem, format.extension());
        files.push(File { name, data, width, height });
    }
    files
}

/// The miniature, from the picture with most bytes, unless one of them has its size. It keeps the picture's aspect,
/// and is no larger than it, under the name of the full square (spec behaviour.md §6.5).
fn make_miniature(pictures: &[(Picture, bool)], base: &str) -> Option<File> {
    if pictures.iter().any(|(picture, _)| (picture.width, picture.height) == (MINIATURE, MINIATURE)) {
        return None;
    }
    let mut candidates: Vec<&Picture> = pictures.iter().map(|(picture, _)| picture).collect();
    candidates.sort_by_key(|picture| std::cmp::Reverse(picture.data.len()));
    candidates.into_iter().find_map(|picture| {
        let (data, width, height) = picture.shrunk(MINIATURE)?;
        Some(File { name: format!("{base}-{MINIATURE}x{MINIATURE}.png"), data, width, height })
    })
}

/// `<stem>.<extension>`, or with the first free number behind the stem.
fn free_name(taken: &[File], stem: &str, extension: &str) -> String {
    let free = |name: &String| !taken.iter().any(|file| file.name == *name);
    std::iter::once(format!("{stem}.{extension}"))
        .chain((2..).map(|count| format!("{stem}-{count}.{extension}")))
        .find(free)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
