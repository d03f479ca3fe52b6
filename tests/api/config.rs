//! moonraker.conf through the eyes of a client: `server.config`, `check-config`, warnings and the backup
//! (spec config.md §1.3, §2; seed 001 "Get Server Configuration").

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::harness::pattern::assert_matches;
use crate::harness::{Perigee, Setup, eventually};
use crate::sim::Sim;

const SERVER: &str = "[server]\nhost: {host}\nport: {port}\nklippy_uds_address: {dir}/klippy.sock\n[authorization]\ntrusted_clients: 127.0.0.0/8\n";

fn check(setup: &Setup) -> (bool, String) {
    setup.write_config();
    let mut command = crate::harness::server::binary();
    let Output { status, stdout, stderr } =
        command.arg("check-config").arg("-d").arg(setup.data()).output().unwrap();
    assert!(!String::from_utf8_lossy(&stderr).contains("panicked"));
    (status.success(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

#[test]
fn the_whole_syntax() {
    let text = format!(
        "{SERVER}\n\
         # a comment\n\
         ; another\n\
         [one]\n\
         colon: value\n\
         equals = value\n\
         both: a=b\n\
         CamelCase: Kept\n\
         inline: value # comment\n\
         inline2: value ; comment\n\
         tight: value#literal\n\
         escaped: value \\# literal\n\
         escaped2: again\\#\n\
         percent: %(colon)s ${{colon}}\n\
         spaces  :   around   \n\
         empty:\n\
         list:\n\
         \x20 first\n\
         \n\
         \x20 # dropped\n\
         \x20 second\n\
         \x20   deeper\n\
         start: here\n\
         \x20 and there\n\
         tab:\n\
         \ttabbed\tvalue\n\
         unicode: Würfel 測試\n\
         indented:\n\
         \x20 [not a section]\n\
         \x20 key: no option\n\
         \n\
         [Two  Words]\n\
         key: 1\n\
         [two  words]\n\
         key: 2\n"
    );
    let server = Setup::new().config(&text).start();
    let config = server.get("/server/config").result();
    assert_eq!(
        config["orig"]["one"],
        json!({
            "colon": "value", "equals": "value", "both": "a=b", "camelcase": "Kept", "inline": "value", "inline2": "value",
            "tight": "value#literal", "escaped": "value # literal", "escaped2": "again\\#", "percent": "%(colon)s ${colon}",
            "spaces": "around", "empty": "", "list": "\nfirst\nsecond\ndeeper", "start": "here\nand there",
            "tab": "\ntabbed  value", "unicode": "Würfel 測試", "indented": "\n[not a section]\nkey: no option"
        })
    );
    assert_eq!(config["orig"]["Two  Words"]["key"], "1");
    assert_eq!(config["orig"]["two  words"]["key"], "2");
    assert_eq!(config["orig"]["DEFAULT"], json!({}));
}

#[test]
fn includes_are_read_where_they_stand_and_the_later_wins() {
    let server = Setup::new()
        .config(&format!(
            "[data_store]\ntemperature_store_size: 10\ngcode_store_size: 10\n[include extra/*.conf]\n{SERVER}[include last.conf]\n"
        ))
        .file("config/extra/b.conf", "[data_store]\ntemperature_store_size: 30\n")
        .file("config/extra/a.conf", "[data_store]\ntemperature_store_size: 20\n[include ../nested.conf]\n")
        .file("config/nested.conf", "[octoprint_compat]\nenable_ufp: False\n")
        .file("config/last.conf", "[data_store]\ngcode_store_size: 50\n")
        .start();
    let config = server.get("/server/config").result();
    assert_matches(
        &config,
        &json!({
            "config": {"data_store": {"temperature_store_size": 30, "gcode_store_size": 50}},
            "orig": {"octoprint_compat": {"enable_ufp": "False"}},
            "files": {"$has": [{"filename": "moonraker.conf", "sections": {"$has": ["server", "data_store"]}}, {"filename": "extra/a.conf"},
                               {"filename": "nested.conf", "sections": ["octoprint_compat"]}, {"filename": "extra/b.conf"}, {"filename": "last.conf"}]}
        }),
    );
}

#[test]
fn errors_name_file_and_line() {
    for (text, line, word) in [
        ("[server\nport: 1\n", 1, "section"),
        ("[server]\nport: 7125\nthis is no option\n", 3, ""),
        ("port: 7125\n[server]\n", 1, "section"),
        ("[server]\nport: 7125\nport: 7126\n", 3, "port"),
        ("[server]\n[one]\n[one]\n", 3, "one"),
        ("[server]\nport: many\n", 2, "port"),
        ("[server]\nport: 99999999\n", 2, "port"),
        ("[server]\nmax_websocket_connections: -1\n", 2, "max_websocket_connections"),
        ("[server]\n[file_manager]\nenable_config_write_access: perhaps\n", 3, "enable_config_write_access"),
        ("[server]\nroute_prefix: /\n", 2, "route_prefix"),
        ("[server]\n[include nowhere.conf]\n", 2, "nowhere.conf"),
        ("[server]\n[include moonraker.conf]\n", 2, "moonraker.conf"),
    ] {
        let setup = Setup::new().config(text);
        let (fine, said) = check(&setup);
        assert!(!fine, "{text:?}: {said}");
        assert!(said.contains(&format!("moonraker.conf:{line}:")), "{text:?}: {said}");
        assert!(said.contains(word), "{text:?}: {said}");
        // and the server says the same and does not start
        let output = setup.command().output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{text:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("moonraker.conf:{line}:")), "{text:?}: {said}");
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    let setup = Setup::new()
        .config("[server]\nport: many\nmax_upload_size: none\n[data_store]\ngcode_store_size: x\n");
    let (fine, said) = check(&setup);
    assert!(!fine);
    for line in [2, 3, 5] {
        assert!(said.contains(&format!("moonraker.conf:{line}:")), "{line}: {said}");
    }
}

#[test]
fn errors_in_an_included_file_name_that_file() {
    let setup = Setup::new()
        .config(&format!("{SERVER}[include more.conf]\n"))
        .file("config/more.conf", "\n[a]\nbroken\n");
    let (fine, said) = check(&setup);
    assert!(!fine);
    assert!(said.contains("more.conf:3:"), "{said}");
}

#[test]
fn a_configuration_without_the_server_is_an_error() {
    let (fine, said) = check(&Setup::new().config("[data_store]\n"));
    assert!(!fine);
    assert!(said.contains("[server]"), "{said}");
}

#[test]
fn files_that_are_no_text_are_errors() {
    for bytes in [&b"[server]\nhost: \xff\xfe\n"[..], b"[server]\nhost: a\0b\n", &[b'['; 100_000]] {
        let setup = Setup::new();
        setup.dir.write("data/config/moonraker.conf", bytes);
        let output = setup.command().output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"));
    }
}

#[test]
fn a_folder_in_place_of_the_file() {
    let setup = Setup::new();
    fs::create_dir_all(setup.data().join("config/moonraker.conf")).unwrap();
    let output = setup.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_nobody_reads_is_warned_of() {
    let server = Setup::new().option("colour: red").sections("[toaster]\nslots: 2").start();
    let warnings = server.info()["warnings"].clone();
    assert_matches(
        &warnings,
        &json!({"$has": [
            {"$starts": "Unparsed config option 'colour: red' detected in section [server]."},
            {"$starts": "Unparsed config section [toaster] detected."}
        ]}),
    );
    let setup = Setup::new().option("colour: red");
    let (fine, said) = check(&setup);
    assert!(fine && said.contains("colour"), "{said}");
}

#[test]
fn a_section_whose_part_is_not_built_in_is_named() {
    let server = Setup::new().sections("[mqtt]\naddress: broker").start();
    let warnings = server.info()["warnings"].to_string();
    assert!(warnings.contains("mqtt"), "{warnings}");
}

#[test]
fn warnings_of_several_lines_are_broken_for_html() {
    let server = Setup::new().option("odd: first\n  second").start();
    let plain = server.get("/server/info?raw=true").result()["warnings"].to_string();
    let broken = server.info()["warnings"].to_string();
    assert!(plain.contains("\\n") && !plain.contains("<br/>"), "{plain}");
    assert!(broken.contains("<br/>") && !broken.contains("\\n"), "{broken}");
}

#[test]
fn a_configuration_that_works_is_kept_and_used_when_the_next_does_not() {
    let mut server = Setup::new().sections("[data_store]\ngcode_store_size: 77").start();
    let backup = server.data("config/.moonraker.conf.bkp");
    eventually("the backup", || backup.exists().then_some(()));
    fs::write(server.data("config/moonraker.conf"), "[server\n").unwrap();
    server.stop();
    server.start_again();
    assert_eq!(server.get("/server/config").result()["config"]["data_store"]["gcode_store_size"], 77);
    let warnings = server.info()["warnings"].to_string();
    assert!(warnings.contains("backup") && warnings.contains("moonraker.conf"), "{warnings}");
    assert_eq!(fs::read_to_string(server.data("config/moonraker.conf")).unwrap(), "[server\n");
}

#[test]
fn a_configuration_with_warnings_is_not_kept() {
    let mut server = Setup::new().option("colour: red").start();
    server.stop();
    assert!(!server.data("config/.moonraker.conf.bkp").exists());
}

#[test]
fn the_backup_is_one_file_with_everything() {
    let mut server = Setup::new()
        .sections("[include more.conf]")
        .file("config/more.conf", "[data_store]\ngcode_store_size: 77\n")
        .start();
    server.stop();
    let backup = fs::read_to_string(server.data("config/.moonraker.conf.bkp")).unwrap();
    assert!(backup.contains("gcode_store_size") && !backup.contains("[include"), "{backup}");
}

#[test]
fn places_in_options() {
    let setup = Setup::new()
        .config("[server]\nhost: {host}\nport: {port}\nklippy_uds_address: {data_path}/comms/klippy.sock\n[authorization]\ntrusted_clients: 127.0.0.0/8\n")
        .file("moonraker.secrets", "{\"a\": {\"b\": \"c\"}}");
    let comms = setup.data().join("comms");
    fs::create_dir_all(&comms).unwrap();
    let _sim = Sim::at(&comms.join("klippy.sock"), setup.data().join("gcodes"), |_| {});
    setup.start().wait_for_klippy("ready");
}

#[test]
fn secrets_do_not_get_out_by_way_of_the_configuration() {
    let server = Setup::new().file("moonraker.secrets", "[a]\npassword: geheim\n").start();
    assert!(!server.get("/server/config").text().contains("geheim"));
    assert!(!server.log().contains("geheim"));
}

#[test]
fn options_of_other_sections_in_server_are_taken_with_a_warning() {
    let server = Setup::new().option("gcode_store_size: 66").option("temperature_store_size: 67").start();
    let config = server.get("/server/config").result()["config"].to_string();
    assert!(config.contains("66") && config.contains("67"), "{config}");
    let warnings = server.info()["warnings"].to_string();
    assert!(warnings.contains("gcode_store_size") && warnings.contains("moved"), "{warnings}");
}

#[test]
fn deprecated_options_are_warned_of() {
    let server = Setup::new().option("enable_debug_logging: True").start();
    let warnings = server.info()["warnings"].to_string();
    assert!(warnings.contains("enable_debug_logging"), "{warnings}");
}

#[test]
fn words_for_yes_and_no() {
    for (word, permissions) in [
        ("yes", "rw"),
        ("On", "rw"),
        ("TRUE", "rw"),
        ("1", "rw"),
        ("no", "r"),
        ("OFF", "r"),
        ("False", "r"),
        ("0", "r"),
    ] {
        let server =
            Setup::new().sections(&format!("[file_manager]\nenable_config_write_access: {word}")).start();
        let roots = server.get("/server/files/roots").result();
        assert_matches(&roots, &json!({"$has": [{"name": "config", "permissions": permissions}]}));
    }
}

#[test]
fn the_defaults_are_reported() {
    let server = Perigee::start();
    let config: Value = server.get("/server/config").result()["config"].clone();
    assert_matches(
        &config,
        &json!({"server": {"max_upload_size": 1024, "max_websocket_connections": 50, "route_prefix": null},
                "data_store": {"temperature_store_size": 1200, "gcode_store_size": 1000},
                "file_manager": {"enable_object_processing": false, "file_system_observer": "inotify", "enable_config_write_access": true, "queue_gcode_uploads": false}}),
    );
}
