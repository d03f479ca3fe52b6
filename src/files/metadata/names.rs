//! Whose a picture is.
//!
//! A picture's name tells the file it belongs to, until that file is renamed: pictures keep their names then, because
//! clients go on showing them under these. No other file may take such names meanwhile.

use std::collections::HashSet;
use std::sync::Mutex;

use super::record::Picture;
use crate::files::path::RelPath;
use crate::gcode::thumbnail;
use crate::sync::lock;

/// The pictures that are not named after their file, by their path in the gcodes root.
#[derive(Debug, Default)]
pub(super) struct Names {
    foreign: Mutex<HashSet<String>>,
}

impl Names {
    /// Takes note that these are the pictures of a file.
    pub(super) fn own(&self, file: &RelPath, pictures: &[Picture]) {
        let base = base_of(file);
        let foreign = pictures.iter().filter(|p| p.name().is_some_and(|name| !is_named_after(name, base)));
        let paths: Vec<_> = foreign.map(|picture| path_of(file, &picture.relative_path)).collect();
        lock(&self.foreign).extend(paths);
    }

    /// Takes note that these no longer are the pictures of a file.
    pub(super) fn disown(&self, file: &RelPath, pictures: &[Picture]) {
        let mut foreign = lock(&self.foreign);
        for picture in pictures {
            foreign.remove(&path_of(file, &picture.relative_path));
        }
    }

    /// What the names of a file's pictures are to begin with, so that those of no other file are overwritten.
    /// `pictures` are its present ones, which may be.
    pub(super) fn free_base(&self, file: &RelPath, pictures: &[Picture]) -> String {
        let foreign = lock(&self.foreign);
        let own: HashSet<_> = pictures.iter().map(|picture| path_of(file, &picture.relative_path)).collect();
        let folder = path_of(file, &format!("{}/", thumbnail::DIRECTORY));
        let others = foreign.iter().filter(|path| !own.contains(*path));
        let others: Vec<_> = others.filter_map(|path| path.strip_prefix(&folder)).collect();
        let free = |base: &String| !others.iter().any(|name| is_named_after(name, base));
        let base = base_of(file);
        // There are more numbers than others, so one of them is free.
        let numbered = (2..).map(|number| format!("{base}_{number}"));
        std::iter::once(base.to_owned()).chain(numbered).find(free).unwrap_or_default()
    }
}

fn base_of(file: &RelPath) -> &str {
    thumbnail::base(file.name().unwrap_or_default())
}

/// Where a picture of a file lies in the root.
fn path_of(file: &RelPath, relative: &str) -> String {
    match file.parent().filter(|parent| !parent.is_root()) {
        Some(parent) => format!("{parent}/{relative}"),
        None => relative.to_owned(),
    }
}

/// Whether a name is one that pictures of a file with this base are given: `base.png`, `base-32x32.png`,
/// `base-32x32-2.png`.
fn is_named_after(name: &str, base: &str) -> bool {
    let Some((rest, _)) = name.strip_prefix(base).and_then(|rest| rest.split_once('.')) else { return false };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_size = |text: &str| text.split_once('x').is_some_and(|(w, h)| is_number(w) && is_number(h));
    let mut parts = rest.split('-');
    parts.next() == Some("")
        && parts.next().is_none_or(is_size)
        && parts.next().is_none_or(is_number)
        && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_whose_a_picture_is() {
        for name in ["a.png", "a-32x32.png", "a-400x300.jpg", "a-32x32-2.png"] {
            assert!(is_named_after(name, "a"), "{name}");
        }
        for name in
            ["ab.png", "a-b-32x32.png", "a-3x.png", "a-32x32-x.png", "a_2-32x32.png", "a", "a-1x1-1-1.png"]
        {
            assert!(!is_named_after(name, "a"), "{name}");
        }
        assert!(is_named_after("a-b-32x32.png", "a-b") && is_named_after("two.dots-1x2.png", "two.dots"));
    }

    #[test]
    fn names_of_others_are_not_taken() {
        let file = |text: &str| RelPath::parse(text).unwrap();
        let pictures =
            [Picture { width: 1, height: 1, size: 1, relative_path: ".thumbs/a-32x32.png".into() }];
        let names = Names::default();
        names.own(&file("d/a.gcode"), &pictures);
        assert!(lock(&names.foreign).is_empty());
        names.own(&file("d/b.gcode"), &pictures);
        assert_eq!(names.free_base(&file("d/a.gcode"), &[]), "a_2");
        assert_eq!(names.free_base(&file("d/a.gcode"), &pictures), "a");
        assert_eq!(names.free_base(&file("a.gcode"), &[]), "a");
        assert_eq!(names.free_base(&file("d/b.gcode"), &pictures), "b");
        names.disown(&file("d/b.gcode"), &pictures);
        assert_eq!(names.free_base(&file("d/a.gcode"), &[]), "a");
    }
}
