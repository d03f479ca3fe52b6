use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::pixels::{Rows, Shrink, encode_png};
use super::*;

/// A PNG of one colour with a white first pixel.
fn png(width: u32, height: u32) -> Vec<u8> {
    let mut rgba = [200, 100, 50, 255].repeat((width * height) as usize);
    rgba[..4].fill(255);
    encode_png(&rgba, width, height).unwrap()
}

/// A QOI image of one colour: one pixel, and runs of it.
fn qoi(width: u32, height: u32) -> Vec<u8> {
    let mut data = b"qoif".to_vec();
    data.extend(width.to_be_bytes());
    data.extend(height.to_be_bytes());
    data.extend([4, 0, 0xfe, 10, 20, 30]);
    let mut left = width * height - 1;
    while left > 0 {
        let run = left.min(62);
        data.push(0xc0 | (run - 1) as u8);
        left -= run;
    }
    data
}

/// A picture as slicers embed it.
fn block(tag: &str, size: &str, data: &[u8], end: &str) -> String {
    let text = STANDARD.encode(data);
    let lines: Vec<String> =
        text.as_bytes().chunks(78).map(|line| format!("; {}", String::from_utf8_lossy(line))).collect();
    format!(";\n; {tag} begin {size} {}\n{}\n; {tag} end\n;{end}", text.len(), lines.join("\n"))
}

/// Feeds a text in pieces. Gives the pictures and what was passed on.
fn extract(text: &[u8], size: usize) -> (Vec<Vec<u8>>, Vec<u8>, Extractor) {
    let mut extractor = Extractor::default();
    let mut passed = Vec::new();
    text.chunks(size).for_each(|piece| extractor.feed(piece, &mut |text| passed.extend_from_slice(text)));
    let pictures = extractor.clone().finish().into_iter().map(|thumbnail| thumbnail.data).collect();
    (pictures, passed, extractor)
}

fn names(files: &[File]) -> Vec<(&str, u32, u32)> {
    files.iter().map(|file| (file.name.as_str(), file.width, file.height)).collect()
}

#[test]
fn bases() {
    assert_eq!(base("a.gcode"), "a");
    assert_eq!(base("two.dots.gcode.gcode"), "two.dots.gcode");
    assert_eq!(base("a.gco"), "a.gco");
    assert_eq!(base(".gcode"), ".gcode");
}

#[test]
fn every_way_to_embed() {
    let picture = png(48, 32);
    let crlf = block("thumbnail", "48x32", &picture, "G28").replace('\n', "\r\n");
    let texts = [
        block("thumbnail", "48x32", &picture, "G28"),
        block("thumbnail_JPG", "48x32", &picture, "G28"),
        block("thumbnail", "48 32", &picture, "G28"),
        block("png", "48*32", &picture, "G28"),
        block("thumbnail_QOI", "48x32", &picture, "").replace("thumbnail_QOI end", "thumbnail end"),
        crlf,
        format!(";thumbnail: data:image/png;base64,{}\nG28\n", STANDARD.encode(&picture)),
        format!(
            "G28\n; thumbnail begin 48x32 1\n;{}\n; thumbnail end\n",
            STANDARD.encode(&picture).trim_end_matches('=')
        ),
    ];
    for text in texts {
        for size in [1, 50, usize::MAX] {
            assert_eq!(extract(text.as_bytes(), size).0, std::slice::from_ref(&picture), "{text}");
        }
    }
}

#[test]
fn what_is_no_picture_stays_in_the_text() {
    let broken = ";\n; thumbnail begin 4x4 8\n; AAAA\nG1 X1\n; thumbnail begin x\n; thumbnail begin 4x4 8\n; A*AA\n; thumbnail end\n; bulb begin 4x4 8\n; AAAA\n";
    let (pictures, passed, extractor) = extract(broken.as_bytes(), 10);
    assert!(pictures.is_empty());
    assert_eq!(String::from_utf8_lossy(&passed), broken.replacen("; AAAA\n", "", 1));
    let at = memchr::memmem::find(&passed, b"G1").unwrap();
    assert_eq!(extractor.locate(at), broken.find("G1").unwrap() as u64);
    assert_eq!(extractor.locate(3), 3);
}

#[test]
fn no_more_than_the_limit_is_kept() {
    let large = block("thumbnail", "9x9", &vec![1; MAX_TOTAL / 2 + 1], "");
    let (pictures, passed, _) = extract([large.as_str(), &large].concat().as_bytes(), 1 << 16);
    assert_eq!(pictures.len(), 1);
    assert!(passed.len() < 200);
    let many: String = (0..100).map(|_| block("thumbnail", "9x9", b"abc", "")).collect();
    assert_eq!(extract(many.as_bytes(), 1 << 16).0.len(), 64);
}

#[test]
fn files_of_a_slicer_with_a_large_picture_only() {
    let files = files(vec![Thumbnail::embedded(png(400, 300))], "benchy");
    assert_eq!(names(&files), [("benchy-32x32.png", 32, 24), ("benchy-400x300.png", 400, 300)]);
    let entry = files[1].entry();
    assert_eq!(entry.relative_path, ".thumbs/benchy-400x300.png");
    assert_eq!(entry.size, png(400, 300).len() as u64);
    assert_eq!(
        serde_json::to_string(&files[0].entry()).unwrap(),
        format!(
            r#"{{"width":32,"height":24,"size":{},"relative_path":".thumbs/benchy-32x32.png"}}"#,
            files[0].data.len()
        )
    );
}

#[test]
fn no_two_files_have_the_same_name() {
    let other = encode_png(&[7; 48 * 48 * 4], 48, 48).unwrap();
    let pictures = [png(48, 48), other, png(48, 48), qoi(48, 48), b"junk".to_vec(), png(32, 32)];
    let files = files(pictures.map(Thumbnail::embedded).to_vec(), "a");
    let expected = [
        ("a-48x48.png", 48, 48),
        ("a-48x48-2.png", 48, 48),
        ("a-48x48-3.png", 48, 48),
        ("a-32x32.png", 32, 32),
    ];
    assert_eq!(names(&files), expected);
    let package = super::files(vec![Thumbnail::of_package(png(300, 300))], "b");
    assert_eq!(names(&package), [("b-32x32.png", 32, 32), ("b.png", 300, 300)]);
}

#[test]
fn small_pictures_are_not_enlarged() {
    let files = files(vec![Thumbnail::embedded(png(16, 8))], "a");
    assert_eq!(names(&files), [("a-32x32.png", 16, 8), ("a-16x8.png", 16, 8)]);
}

#[test]
fn qoi_and_bmp_become_png() {
    let mut bmp = b"BM".to_vec();
    for word in [0u32, 0, 54, 40, 3, 2, 1 | 24 << 16, 0] {
        bmp.extend(word.to_le_bytes());
    }
    bmp.resize(54, 0);
    bmp.extend([[3, 2, 1].repeat(3), vec![0; 3], [6, 5, 4].repeat(3), vec![0; 3]].concat());
    for (data, first) in [(qoi(3, 2), [10, 20, 30, 255]), (bmp, [4, 5, 6, 255])] {
        let mut files = files(vec![Thumbnail::embedded(data)], "a");
        let picture = files.pop().unwrap();
        assert_eq!((picture.width, picture.height), (3, 2));
        let mut reader = png::Decoder::new(std::io::Cursor::new(picture.data)).read_info().unwrap();
        assert_eq!(reader.next_row().unwrap().unwrap().data()[..4], first);
    }
}

#[test]
fn hostile_pictures() {
    let mut lying = png(4, 4);
    lying[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    let truncated = png(64, 64)[..60].to_vec();
    let huge = qoi(1, 1)
        .iter()
        .enumerate()
        .map(|(at, byte)| if (4..12).contains(&at) { 0x7f } else { *byte })
        .collect();
    for data in [lying, truncated, huge, b"\x89PNG".to_vec(), b"\xff\xd8".to_vec(), Vec::new()] {
        assert!(files(vec![Thumbnail::embedded(data)], "a").is_empty());
    }
}

#[test]
fn pixels_of_all_pictures_are_counted_together() {
    let mut budget = 10 * 10 + 9 * 9;
    assert!(Picture::check(png(10, 10), &mut budget).is_some());
    assert!(Picture::check(png(10, 9), &mut budget).is_none());
    assert!(Picture::check(qoi(9, 9), &mut budget).is_some());
    assert_eq!(budget, 0);
}

#[test]
fn interlaced() {
    let mut data = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8; 4], content: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(name);
        crc.update(content);
        data.extend((content.len() as u32).to_be_bytes());
        data.extend([name, content, &crc.sum().to_be_bytes()[..]].concat());
    };
    chunk(b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 2, 8, 0, 0, 0, 1]);
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    // the first, sixth and seventh pass, each line with its filter
    std::io::Write::write_all(&mut encoder, &[0, 10, 0, 20, 0, 30, 40]).unwrap();
    chunk(b"IDAT", &encoder.finish().unwrap());
    chunk(b"IEND", &[]);
    let picture = Picture::check(data, &mut 4).unwrap();
    let mut seen = Seen(vec![0; 4]);
    super::image::decode_png(&picture.data, &mut 4, &mut seen).unwrap();
    assert_eq!(seen.0, [10, 20, 30, 40]);
}

/// The grey values of a picture of two by two.
struct Seen(Vec<u8>);

impl Rows for Seen {
    fn row(&mut self, x: u32, y: u32, step: u32, channels: usize, pixels: &[u8]) {
        for (column, pixel) in (x..).step_by(step as usize).zip(pixels.chunks(channels)) {
            self.0[(y * 2 + column) as usize] = pixel[0];
        }
    }
}

#[test]
fn shrinking_averages() {
    let mut shrink = Shrink::new(64, 32, 32);
    assert_eq!((shrink.width, shrink.height), (32, 16));
    let row: Vec<u8> =
        (0..64).flat_map(|x| if x % 2 == 0 { [0, 0, 0, 255] } else { [100, 200, 50, 255] }).collect();
    (0..32).for_each(|y| shrink.row(0, y, 1, 4, &row));
    assert_eq!(shrink.finish(), [50, 100, 25, 255].repeat(32 * 16));
    // what is transparent does not darken what is not
    let mut edge = Shrink::new(64, 64, 32);
    let row: Vec<u8> = (0..64).flat_map(|x| if x % 2 == 0 { [0; 4] } else { [100, 200, 50, 255] }).collect();
    (0..64).for_each(|y| edge.row(0, y, 1, 4, &row));
    assert_eq!(edge.finish()[..4], [100, 200, 50, 128]);
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same(
        lines in prop::collection::vec(prop_oneof![
            Just("G1 X1 Y1 E1".to_owned()),
            Just(block("thumbnail", "16x16", b"some bytes", "")),
            Just("; thumbnail begin 16x16 12".to_owned()),
            Just("; thumbnail end".to_owned()),
            Just("; c29tZQ==".to_owned()),
            Just(";thumbnail: data:image/png;base64,c29tZQ==".to_owned()),
            // about as long as a line may be that begins a picture
            (120usize..170).prop_map(|length| format!("; thumbnail{} begin 16x16 12", "x".repeat(length))),
            (1usize..200).prop_map(|length| format!(";thumbnail: data:image/png;base64,{}", "c29t".repeat(length))),
            "[ -~]{0,12}",
        ], 0..20),
        size in prop_oneof![1usize..40, 40usize..400],
    ) {
        let text = lines.join("\n");
        let whole = extract(text.as_bytes(), usize::MAX);
        let pieces = extract(text.as_bytes(), size);
        prop_assert_eq!(&whole.0, &pieces.0);
        let mut passed = whole.1;
        // what is left of a picture at the end is passed on or not, but lost either way
        passed.truncate(pieces.1.len().min(passed.len()));
        prop_assert_eq!(passed, &pieces.1[..]);
    }

    #[test]
    fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..200), begin in 0usize..5) {
        let magic: [&[u8]; 5] = [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", b"qoif\0\0\0\x04\0\0\0\x04", b"BM", b""];
        files(vec![Thumbnail::embedded([magic[begin], data.as_slice()].concat())], "a");
        extract(&data, 7);
    }

    #[test]
    fn damaged_png(at in 0usize..200, byte: u8) {
        let mut data = png(20, 20);
        if let Some(place) = data.get_mut(at) {
            *place = byte;
        }
        files(vec![Thumbnail::embedded(data)], "a");
    }
}
