//! The file of the demo, on the printer of the demo.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Bench, print};
use crate::demo::SAMPLE_GCODE;
use crate::demo::klippy::Options;
use crate::demo::klippy::gcode::Action;
use crate::demo::klippy::printer::{Printer, Sections};

/// The value behind a comment's key.
fn comment(key: &str) -> &'static str {
    SAMPLE_GCODE
        .lines()
        .find_map(|line| line.strip_prefix("; ")?.strip_prefix(key)?.strip_prefix(" = "))
        .unwrap()
}

#[test]
fn it_prints_without_complaint_and_with_the_filament_that_it_claims() {
    let bench = Bench::fast();
    bench.write("sample.gcode", SAMPLE_GCODE);
    let mut client = bench.client();
    client.watch_terminal();
    client.gcode("SDCARD_PRINT_FILE FILENAME=sample.gcode");
    let stats = print::wait_for(&mut client, "complete");
    let wrong: Vec<String> = client
        .terminal()
        .into_iter()
        .filter(|line| line.starts_with("!!") || line.contains("Unknown"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let layers: u64 = comment("total layers count").parse().unwrap();
    assert_eq!(stats["info"]["current_layer"], layers);
    let filament: f64 = comment("filament used [mm]").parse().unwrap();
    let used = stats["filament_used"].as_f64().unwrap();
    assert!((used - filament).abs() < 1.0, "{used}");
    let objects = client.object("exclude_object");
    assert_eq!(objects["objects"].as_array().unwrap().len(), 2);
}

/// Runs a script on a printer without a clock: every wait is over at once.
fn run(printer: &mut Printer, script: &str, now: &mut f64) {
    for line in script.lines() {
        printer.advance(*now, true);
        match printer.execute(line, *now).unwrap() {
            Action::Until(time) | Action::Home(time) => *now = now.max(time),
            Action::Heat(name) => {
                while printer.machine.as_ref().unwrap().heaters.get(name).unwrap().is_busy() {
                    *now += 1.0;
                    printer.advance(*now, true);
                }
            }
            Action::Macro(index, script) => {
                run(printer, &script, now);
                printer.machine.as_mut().unwrap().macros[index].running = false;
            }
            action => assert_eq!(action, Action::Done, "{line}"),
        }
    }
}

#[test]
fn it_prints_in_the_time_that_it_claims() {
    let mut options = Options::new("/nonexistent/socket", "/nonexistent/gcodes");
    options.config_file = "/nonexistent/printer.cfg".into();
    let mut printer = Printer::new(&options);
    let mut now = 1000.0;
    printer.start(&options, &Sections::default(), now);
    let begin = SAMPLE_GCODE.find("G21").unwrap();
    run(&mut printer, &SAMPLE_GCODE[..begin], &mut now);
    assert!((60.0..300.0).contains(&(now - 1000.0)), "heating takes its time: {now}");
    let heated = now;
    run(&mut printer, &SAMPLE_GCODE[begin..], &mut now);
    let took = printer.machine.as_ref().unwrap().toolhead.print_time - heated;
    let claimed: f64 = comment("estimated printing time (normal mode)")
        .split_whitespace()
        .map(|part| {
            let (number, unit) = part.split_at(part.len() - 1);
            number.parse::<f64>().unwrap() * if unit == "m" { 60.0 } else { 1.0 }
        })
        .sum();
    assert!((took - claimed).abs() < claimed * 0.05, "{took} of {claimed}");
}

#[test]
fn its_thumbnails_are_pictures_of_their_size() {
    assert!(SAMPLE_GCODE.len() < 60_000);
    let mut sizes = Vec::new();
    let mut lines = SAMPLE_GCODE.lines();
    while let Some(line) = lines.next() {
        let Some(begin) = line.strip_prefix("; thumbnail begin ") else {
            continue;
        };
        let (size, length) = begin.split_once(' ').unwrap();
        let text: String =
            lines.by_ref().take_while(|line| *line != "; thumbnail end").map(|line| &line[2..]).collect();
        assert_eq!(text.len(), length.parse::<usize>().unwrap());
        let picture = STANDARD.decode(text).unwrap();
        assert_eq!(picture[..8], *b"\x89PNG\r\n\x1a\n");
        let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
        assert_eq!(format!("{}x{}", number(16), number(20)), size);
        assert!(picture.ends_with(b"IEND\xaeB`\x82"));
        sizes.push(size);
    }
    assert_eq!(sizes, ["32x32", "160x120"]);
}
