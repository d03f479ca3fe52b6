//! Packages that hold G-code: Ultimaker's `.ufp` and the `.3mf` that BambuStudio and OrcaSlicer export with it.

mod zip;

use std::fmt;
use std::io::{self, Read, Seek, Write};

use super::text;
use super::thumbnail::{MAX_TOTAL, Thumbnail};
use zip::Member;

/// Why a package cannot be read.
#[derive(Debug)]
pub enum Error {
    /// It is no zip archive.
    NotAnArchive,
    /// It is cut or corrupt.
    Damaged,
    /// It has no G-code in it.
    NoModel,
    /// A member's name would lead out of the directory.
    UnsafeName(String),
    /// It claims to unpack to far more than G-code can.
    Bomb,
    /// It unpacks to more than there is room for, or than 4 GiB.
    TooLarge,
    /// Its G-code is encrypted.
    Encrypted,
    /// Its G-code is compressed by this method, which no slicer uses.
    Method(u16),
    /// The file could not be read or written.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotAnArchive => out.write_str("not a package: no zip archive"),
            Error::Damaged => out.write_str("the package is damaged or incomplete"),
            Error::NoModel => out.write_str("the package contains no G-code"),
            Error::UnsafeName(name) => {
                write!(out, "the package is refused: it contains the unsafe path {name:?}")
            }
            Error::Bomb => {
                write!(out, "the package is refused: it would grow more than {} times", zip::MAX_RATIO)
            }
            Error::TooLarge => out.write_str("the G-code in the package is too large"),
            Error::Encrypted => out.write_str("the G-code in the package is encrypted"),
            Error::Method(method) => {
                write!(out, "the package uses compression method {method}, only deflate is supported")
            }
            Error::Io(error) => write!(out, "the package cannot be read: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Io(error)
    }
}

/// The name that the G-code in a package gets, if `file_name` is that of a package: `a.ufp`, `a.3mf` and `a.gcode.3mf`
/// become `a.gcode`.
pub fn model_name(file_name: &str) -> Option<String> {
    let (stem, extension) = file_name.rsplit_once('.')?;
    let known = extension.eq_ignore_ascii_case("ufp") || extension.eq_ignore_ascii_case("3mf");
    let stem = stem.strip_suffix(".gcode").unwrap_or(stem);
    (known && !stem.is_empty()).then(|| format!("{stem}.gcode"))
}

/// An opened package.
#[derive(Debug)]
pub struct Package<F> {
    file: F,
    model: Member,
    picture: Option<Member>,
}

/// What a member of a package is to us. A `.3mf` has one pair for each plate; the first plate counts.
enum Role {
    Model(i64),
    Picture(i64),
}

fn role(name: &[u8]) -> Option<Role> {
    match name {
        b"3D/model.gcode" => return Some(Role::Model(0)),
        b"Metadata/thumbnail.png" => return Some(Role::Picture(0)),
        _ => {}
    }
    let plate = name.strip_prefix(b"Metadata/plate_")?;
    let digits = plate.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = text::integer(&plate[..digits])?;
    match &plate[digits..] {
        b".gcode" => Some(Role::Model(number)),
        b".png" => Some(Role::Picture(number)),
        _ => None,
    }
}

impl<F: Read + Seek> Package<F> {
    /// Opens a package and finds its G-code. Reads the archive's directory only; memory does not depend on its size.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn open(mut file: F) -> Result<Self, Error> {
        let mut model: Option<(i64, Member)> = None;
        let mut pictures: Vec<(i64, Member)> = Vec::new();
        zip::walk(&mut file, |name, member| match role(name) {
            Some(Role::Model(number)) if model.as_ref().is_none_or(|(best, _)| number < *best) => {
                model = Some((number, member));
            }
            Some(Role::Picture(number)) if pictures.len() < MAX_PLATES => pictures.push((number, member)),
            _ => {}
        })?;
        let (number, model) = model.ok_or(Error::NoModel)?;
        let picture = pictures.into_iter().find(|(plate, _)| *plate == number).map(|(_, member)| member);
        Ok(Package { file, model, picture })
    }

    /// Size of the G-code, bytes, as the package states it.
    pub fn model_size(&self) -> u64 {
        self.model.size
    }

    /// Writes the G-code to `out` if it is no larger than `limit` bytes. Gives its size.
    ///
    /// # Errors
    /// See [`Error`]; `out` is then incomplete.
    pub fn extract_model<W: Write>(&mut self, out: &mut W, limit: u64) -> Result<u64, Error> {
        self.model.unpack(&mut self.file, out, limit)
    }

    /// The picture beside the G-code, if there is one that can be unpacked and is not too large.
    pub fn thumbnail(&mut self) -> Option<Thumbnail> {
        let mut data = Vec::new();
        self.picture.as_ref()?.unpack(&mut self.file, &mut data, MAX_TOTAL as u64).ok()?;
        Some(Thumbnail::of_package(data))
    }
}

/// Most plates of a `.3mf` whose pictures are remembered.
const MAX_PLATES: usize = 64;

#[cfg(test)]
mod tests;
