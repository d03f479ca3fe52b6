//! Reading a feed (RSS 2.0, as far as announcements use it).

use quick_xml::Reader;
use quick_xml::events::Event;

use super::date;

/// How many items a feed may have; those after them are left out.
pub(super) const MAX_ITEMS: usize = 200;
/// Longest text of one element, in bytes; it is cut there.
const MAX_TEXT: usize = 8 << 10;
/// How deeply elements may nest.
const MAX_DEPTH: usize = 16;

/// What a feed holds.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Feed {
    /// What the ids of its items begin with.
    pub(super) prefix: String,
    pub(super) items: Vec<Item>,
}

/// One announcement.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) url: Option<String>,
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) priority: Option<String>,
    /// Seconds since 1970.
    pub(super) date: Option<f64>,
}

/// Reads a feed. A document that declares entities is refused: no feed needs them, and some are bombs.
pub(super) fn parse(text: &str) -> Result<Feed, String> {
    let mut reader = Reader::from_str(text);
    let mut walk = Walk::default();
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => walk.open(start.local_name().as_ref())?,
            Event::Empty(empty) => {
                walk.open(empty.local_name().as_ref())?;
                walk.close();
            }
            Event::End(_) => walk.close(),
            Event::Text(text) => walk.text(&text.decode().map_err(|error| error.to_string())?),
            Event::CData(text) => walk.text(&String::from_utf8_lossy(&text)),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref().map_err(|error| error.to_string())?;
                let name = reference.decode().map_err(|error| error.to_string())?;
                match (character, &*name) {
                    (Some(character), _) => walk.text(character.encode_utf8(&mut [0; 4])),
                    (None, "amp") => walk.text("&"),
                    (None, "lt") => walk.text("<"),
                    (None, "gt") => walk.text(">"),
                    (None, "quot") => walk.text("\""),
                    (None, "apos") => walk.text("'"),
                    (None, _) => return Err("it uses an entity that is not known".to_owned()),
                }
            }
            Event::DocType(_) => return Err("it has a document type".to_owned()),
            Event::Eof => return walk.finish(),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
        }
    }
}

/// The way into the document, and what was found.
#[derive(Default)]
struct Walk {
    path: Vec<String>,
    text: String,
    has_channel: bool,
    feed: Feed,
    item: Option<Item>,
    has_id: bool,
}

impl Walk {
    fn open(&mut self, name: &[u8]) -> Result<(), String> {
        if self.path.len() >= MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        self.path.push(String::from_utf8_lossy(name).into_owned());
        self.text.clear();
        match self.path() {
            ["rss", "channel", "", ""] => self.has_channel = true,
            ["rss", "channel", "item", ""] => (self.item, self.has_id) = (Some(Item::default()), false),
            _ => {}
        }
        Ok(())
    }

    fn text(&mut self, text: &str) {
        let mut end = MAX_TEXT.saturating_sub(self.text.len()).min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&text[..end]);
    }

    fn path(&self) -> [&str; 4] {
        let mut names = self.path.iter().map(String::as_str);
        [(); 4].map(|()| names.next().unwrap_or_default())
    }

    fn close(&mut self) {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        let depth = self.path.len();
        let [root, channel, child, grandchild] = self.path().map(str::to_owned);
        self.path.pop();
        if root != "rss" || channel != "channel" || depth > 4 {
            return;
        }
        match (depth, child.as_str()) {
            (3, "title") => self.feed.prefix = text.to_lowercase(),
            (3, "item") => self.end_item(),
            (4, "item") => self.field(&grandchild, text),
            _ => {}
        }
    }

    fn field(&mut self, name: &str, text: String) {
        let Some(item) = &mut self.item else { return };
        match name {
            "guid" => (item.id, self.has_id) = (text, true),
            "link" => item.url = Some(text),
            "title" => item.title = Some(text),
            "description" => item.description = Some(text),
            "category" => item.priority = Some(text),
            "pubDate" => item.date = date::parse(&text),
            _ => {}
        }
    }

    fn end_item(&mut self) {
        let Some(item) = self.item.take().filter(|item| self.has_id && !item.id.is_empty()) else { return };
        if self.feed.items.len() < MAX_ITEMS {
            self.feed.items.push(item);
        }
    }

    fn finish(mut self) -> Result<Feed, String> {
        if !self.has_channel || !self.path.is_empty() {
            return Err("it is no RSS feed".to_owned());
        }
        if self.feed.prefix.is_empty()
            && let Some(first) = self.feed.items.first()
        {
            self.feed.prefix = first.id.split('/').take(2).collect::<Vec<_>>().join("/");
        }
        Ok(self.feed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn items_are_read() {
        let feed = parse(
            r#"<?xml version="1.0"?><!-- c --><rss version="2.0" xmlns:m="x"><channel><title>Org/Feed</title>
            <item><title>A &amp; B &#252;</title><link>https://x/1</link><guid isPermaLink="false">org/feed/1</guid>
            <description><![CDATA[<b>bold</b>]]></description><category>high</category>
            <pubDate>Fri, 28 Jan 2022 18:00:06 +0000</pubDate><m:extra><guid>no</guid></m:extra></item>
            <item><title>no id</title></item><item><guid>org/feed/2</guid><link/></item></channel></rss>"#,
        )
        .unwrap();
        assert_eq!((feed.prefix.as_str(), feed.items.len()), ("org/feed", 2));
        let item = &feed.items[0];
        assert_eq!(
            (item.title.as_deref(), item.description.as_deref(), item.priority.as_deref(), item.date),
            (Some("A & B ü"), Some("<b>bold</b>"), Some("high"), Some(1_643_392_806.0))
        );
        assert_eq!((feed.items[1].url.as_deref(), &feed.items[1].title), (Some(""), &None));
    }

    #[test]
    fn the_prefix_may_come_from_the_first_id() {
        let feed = parse("<rss><channel><item><guid>a/b/c/1</guid></item></channel></rss>").unwrap();
        assert_eq!(feed.prefix, "a/b");
    }

    #[test]
    fn what_is_no_feed_is_refused() {
        let bomb = "<!DOCTYPE rss [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]><rss><channel><title>&b;</title></channel></rss>";
        let deep = format!("<rss><channel>{}{}</channel></rss>", "<a>".repeat(100), "</a>".repeat(100));
        for text in [
            "",
            "text",
            "<rss/>",
            "<html></html>",
            "<rss><channel>",
            bomb,
            &deep,
            "<rss><channel><title>&unknown;</title></channel></rss>",
            "<rss><channel></title></channel></rss>",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn size_is_bounded() {
        let item = format!("<item><guid>a/b</guid><title>{}</title></item>", "x".repeat(MAX_TEXT * 2));
        let feed = parse(&format!("<rss><channel>{}</channel></rss>", item.repeat(MAX_ITEMS + 5))).unwrap();
        assert_eq!(feed.items.len(), MAX_ITEMS);
        assert_eq!(feed.items[0].title.as_ref().map(String::len), Some(MAX_TEXT));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(<(/?)(rss|channel|item|guid|title)>|&[a-z#0-9]{0,3};?|[a-zé<>!\\[\\]-]){0,30}") {
            let _ = parse(&text);
            let _ = parse(&format!("<rss><channel>{text}</channel></rss>"));
        }
    }
}
