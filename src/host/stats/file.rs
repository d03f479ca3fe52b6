//! A file that is read again and again.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The most that is read of one file: `/proc/stat` has its CPUs in the first part, `/proc/net/dev` 120 bytes an
/// interface.
const MAX_READ: usize = 64 * 1024;
/// What a buffer starts with: the whole of these files on a small board.
const FIRST: usize = 4 * 1024;
/// So little at once is the whole of a file. The kernel gives what fits into a page, in whole entries, and no entry of
/// these files is longer than the rest of the page; there is no need to ask whether there is more.
const WHOLE: usize = 2 * 1024;

/// An open file of `/proc` or `/sys`. Reading such a file from its start makes the kernel write it anew.
#[derive(Debug)]
pub(super) struct Reopened {
    path: PathBuf,
    file: Option<File>,
}

impl Reopened {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// The content now, in a buffer that grows to what it needs and stays so; `None` where it cannot be read.
    /// A file whose device has gone is opened again.
    pub(super) fn read<'a>(&mut self, buffer: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        if buffer.len() < FIRST {
            buffer.resize(FIRST, 0);
        }
        for _ in 0..2 {
            if self.file.is_none() {
                self.file = File::open(&self.path).ok();
            }
            match fill(self.file.as_ref()?, buffer) {
                Ok(length) => return buffer.get(..length),
                Err(_) => self.file = None,
            }
        }
        None
    }
}

fn fill(file: &File, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut length = 0;
    loop {
        match file.read_at(&mut buffer[length..], length as u64)? {
            0 => return Ok(length),
            n => length += n,
        }
        if length <= WHOLE {
            return Ok(length);
        }
        if length == buffer.len() {
            if length >= MAX_READ {
                return Ok(length);
            }
            buffer.resize(length * 2, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_grows_up_to_its_limit() {
        let path = std::env::temp_dir().join(format!("perigee-reopened-{}", std::process::id()));
        let mut file = Reopened::new(path.clone());
        let mut buffer = Vec::new();
        assert_eq!(file.read(&mut buffer), None);
        std::fs::write(&path, vec![b'x'; FIRST]).unwrap();
        assert_eq!(file.read(&mut buffer).map(<[u8]>::len), Some(FIRST));
        std::fs::write(&path, vec![b'x'; 2 * MAX_READ]).unwrap();
        assert_eq!(file.read(&mut buffer).map(<[u8]>::len), Some(MAX_READ));
        std::fs::write(&path, vec![b'x'; WHOLE + 1]).unwrap();
        assert_eq!(file.read(&mut buffer).map(<[u8]>::len), Some(WHOLE + 1));
        std::fs::write(&path, "short").unwrap();
        assert_eq!(file.read(&mut buffer), Some(&b"short"[..]));
        std::fs::remove_file(path).unwrap();
    }
}
