//! Copying a file with its objects written into it.

use std::io::{self, Read, Write};

use memchr::{memchr, memrchr};

use super::marks::{self, Kind, Mark};
use super::{MAX_LINE, Objects, STAMP, for_each_chunk};

impl Objects {
    /// Copies `input`, the file that was surveyed from its beginning, to `output` with the objects in it.
    ///
    /// # Errors
    /// Those of `input` and `output`.
    pub fn rewrite<R: Read, W: Write>(&self, input: &mut R, output: &mut W) -> io::Result<()> {
        let mut rewriter = Rewriter::new(self, output);
        for_each_chunk(input, |chunk| rewriter.feed(chunk))?;
        rewriter.finish()
    }
}

struct Rewriter<'a, W> {
    objects: &'a Objects,
    output: &'a mut W,
    /// The beginning of a line that was cut by the end of a piece.
    line: Vec<u8>,
    /// Whether that line is too long to matter and its beginning has been written.
    passing: bool,
    /// Whether the definitions have been written.
    defined: bool,
    /// The object that we are in.
    current: Option<&'a str>,
    /// The file's own line end.
    end: Option<&'static [u8]>,
    /// Whether what was written last ended its line.
    ended: bool,
}

impl<'a, W: Write> Rewriter<'a, W> {
    fn new(objects: &'a Objects, output: &'a mut W) -> Self {
        let (line, passing, defined, current, end) = (Vec::new(), false, false, None, None);
        Rewriter { objects, output, line, passing, defined, current, end, ended: true }
    }

    fn feed(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut rest = piece;
        if !self.line.is_empty() || self.passing {
            let end = memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1);
            let (head, tail) = rest.split_at(end);
            self.complete(head)?;
            rest = tail;
        }
        let whole = memrchr(b'\n', rest).map_or(0, |newline| newline + 1);
        let (lines, cut) = rest.split_at(whole);
        self.whole_lines(lines)?;
        self.complete(cut)
    }

    /// Adds to a cut line, and treats it once it is whole.
    fn complete(&mut self, text: &[u8]) -> io::Result<()> {
        let ended = text.ends_with(b"\n");
        if self.passing {
            self.passing = !ended;
            return self.copy(text);
        }
        self.line.extend_from_slice(text);
        if ended || self.line.len() > MAX_LINE {
            let line = std::mem::take(&mut self.line);
            self.passing = !ended;
            self.whole_lines(&line)?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        self.whole_lines(&line)?;
        self.leave()
    }

    /// Writes text of the file.
    fn copy(&mut self, text: &[u8]) -> io::Result<()> {
        if let Some(last) = text.last() {
            self.ended = *last == b'\n';
        }
        self.output.write_all(text)
    }

    /// Copies whole lines, in runs as long as nothing has to be added.
    fn whole_lines(&mut self, text: &[u8]) -> io::Result<()> {
        let mut copied = 0;
        let mut at = 0;
        while at < text.len() {
            let next = memchr(b'\n', &text[at..]).map_or(text.len(), |newline| at + newline + 1);
            let line = text[at..next].trim_ascii_end();
            if self.end.is_none() {
                self.end = Some(if text[at..next].ends_with(b"\r\n") { b"\r\n" } else { b"\n" });
            }
            if !self.defined && is_code(line) {
                self.copy(&text[copied..at])?;
                copied = at;
                self.define()?;
            }
            if matches!(line.first(), Some(b';' | b'M' | b'm'))
                && line.len() <= MAX_LINE
                && let Some(mark) = marks::read(line)
                && mark.kind() == self.objects.kind
            {
                self.copy(&text[copied..at])?;
                if mark.kind() == Kind::M486 {
                    self.output.write_all(b"; ")?;
                }
                self.copy(&text[at..next])?;
                copied = next;
                self.mark(&mark)?;
            }
            at = next;
        }
        self.copy(&text[copied..])
    }

    fn mark(&mut self, mark: &Mark<'_>) -> io::Result<()> {
        let number;
        let label: &[u8] = match *mark {
            Mark::Start(label) => label,
            Mark::Numbered { number: Some(index), .. } => {
                number = index.to_string();
                number.as_bytes()
            }
            Mark::Numbered { number: None, .. } | Mark::Done => return Ok(()),
            Mark::End => b"",
        };
        let objects = self.objects;
        let name = objects.names.get(label).map(String::as_str);
        if name == self.current {
            return Ok(());
        }
        self.leave()?;
        if let Some(name) = name {
            self.add(&["EXCLUDE_OBJECT_START NAME=", name])?;
            self.current = Some(name);
        }
        Ok(())
    }

    fn leave(&mut self) -> io::Result<()> {
        match self.current.take() {
            Some(name) => self.add(&["EXCLUDE_OBJECT_END NAME=", name]),
            None => Ok(()),
        }
    }

    fn define(&mut self) -> io::Result<()> {
        self.defined = true;
        self.add(&["; ", STAMP])?;
        let objects = self.objects;
        objects.definitions.iter().try_for_each(|definition| self.add(&[definition]))
    }

    /// Writes a line of our own.
    fn add(&mut self, words: &[&str]) -> io::Result<()> {
        let end = self.end.unwrap_or(b"\n");
        if !std::mem::replace(&mut self.ended, true) {
            self.output.write_all(end)?;
        }
        for word in words {
            self.output.write_all(word.as_bytes())?;
        }
        self.output.write_all(end)
    }
}

/// Whether a line is a command or macro.
fn is_code(line: &[u8]) -> bool {
    line.first().is_some_and(|first| *first != b';' && !first.is_ascii_whitespace())
}
