//! Whole configurations: each row of spec config.md §2, and the getters of spec tests.md §3.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn variables() -> Variables {
    Variables { data_path: "/no-such/data".into(), home: Some("/no-such/home".into()) }
}

fn parse(text: &str) -> Config {
    Config::parse("/x/moonraker.conf", text, &variables()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A configuration whose section `[s]` has these lines.
fn section(lines: &str) -> Section {
    parse(&format!("[server]\n[s]\n{lines}\n")).section("s")
}

fn errors(text: &str) -> String {
    Config::parse("/x/moonraker.conf", text, &variables())
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default()
}

/// Files in a folder of their own.
struct Files(tempfile::TempDir);

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn read(&self) -> Result<Config, ConfigErrors> {
        Config::read(&self.path("moonraker.conf"), &Variables::new(self.0.path().into()))
    }

    fn errors(&self) -> String {
        let error = self.read().err().map(|error| error.to_string()).unwrap_or_default();
        error.replace(&*self.0.path().to_string_lossy(), "~")
    }
}

#[test]
fn syntax_of_values() {
    for (lines, value) in [
        ("a: b", "b"),
        ("A = b", "b"),
        ("a: %(x)s ${HOME}", "%(x)s ${HOME}"),
        ("a: one # two", "one"),
        ("a: one#two", "one#two"),
        ("a: one \\# two", "one # two"),
        ("a: again\\#", "again\\#"),
        ("a:\n  one\n\n  # not this\n  two # nor this\n   three", "\none\ntwo\nthree"),
        ("a: zero\n\tone", "zero\none"),
        ("  a: zero\n  b: 1", "zero"),
        ("a:\n  [server]\n  b: c", "\n[server]\nb: c"),
        ("a:", ""),
        ("a: b\r\n  c\r\n", "b\nc"),
    ] {
        assert_eq!(section(lines).string("a").required().as_deref(), Ok(value), "{lines:?}");
    }
}

#[test]
fn names_of_sections_are_case_sensitive_those_of_options_are_not() {
    let config = parse("[server]\nPort: 1\n[Server]\nHOST: x\n");
    assert!(config.has_section("Server") && !config.has_section("SERVER"));
    assert_eq!(config.section("Server").text("host"), Some("x"));
    assert_eq!(config.section("server").text("port"), Some("1"));
    assert_eq!(parse("\u{feff}[server]").section_names().collect::<Vec<_>>(), ["server"]);
}

#[test]
fn options_of_default_leak_into_every_section() {
    let config = parse("[DEFAULT]\nextra: 1\nport: 2\n[server]\nport: 3\n");
    let server = config.section("server");
    assert_eq!(server.int::<u16>("port").or(0), Ok(3));
    assert_eq!(server.texts().collect::<Vec<_>>(), [("port", "3"), ("extra", "1")]);
    assert!(!config.has_section("DEFAULT"));
    let warnings = config.unparsed_warnings();
    assert!(
        warnings[0].starts_with("Unparsed config option 'extra: 1' detected in section [server]."),
        "{warnings:?}"
    );
    assert_eq!(config.to_json()["orig"]["DEFAULT"], json!({"extra": "1", "port": "2"}));
}

#[test]
fn every_error_is_found_with_its_line() {
    let text = "a: 1\n[server]\nnonsense\n  more of it\nport: 1\nport: 2\nPORT: 3\n[server]\nhost: x\nhost: y\n: z\n[x\n";
    assert_eq!(
        errors(text),
        "/x/moonraker.conf:1: option 'a' belongs to no section\n\
         /x/moonraker.conf:3: expected 'option: value' or '[section]'\n\
         /x/moonraker.conf:6: option 'port' appears twice in section [server]\n\
         /x/moonraker.conf:7: option 'port' appears twice in section [server]\n\
         /x/moonraker.conf:8: section [server] appears twice in this file\n\
         /x/moonraker.conf:11: an option needs a name before the delimiter\n\
         /x/moonraker.conf:12: expected 'option: value' or '[section]'"
    );
    assert_eq!(errors("[a]\n"), "/x/moonraker.conf: there is no section [server]");
    let many = format!("[server]\n{}", "x\n".repeat(MAX_ERRORS + 7));
    assert!(errors(&many).ends_with("\n... and 7 more"));
}

#[test]
fn later_files_win() {
    let files = Files::new(&[
        ("moonraker.conf", "[server]\nport: 1\nhost: a\n[include extra/*.conf]\n[power x]\ntype: late\n"),
        ("extra/b.conf", "[server]\nport: 3\n[power x]\ntype: early\n[include deep.inc]\n"),
        ("extra/a.conf", "[server]\nPort: 2\n"),
        ("extra/deep.inc", "[power y]\n"),
    ]);
    let config = files.read().unwrap();
    let server = config.section("server");
    assert_eq!((server.text("port"), server.text("host")), (Some("3"), Some("a")));
    assert_eq!(config.section("power x").text("type"), Some("late"));
    assert_eq!(config.section_names().collect::<Vec<_>>(), ["server", "power x", "power y"]);
    assert_eq!(
        config.to_json()["files"],
        json!([
            {"filename": "moonraker.conf", "sections": ["server", "power x"]},
            {"filename": "extra/a.conf", "sections": ["server"]},
            {"filename": "extra/b.conf", "sections": ["server", "power x"]},
            {"filename": "extra/deep.inc", "sections": ["power y"]},
        ])
    );
}

#[test]
fn includes_that_fail() {
    for (main, other, expected) in [
        ("[server]\n[include no*.conf]", "", "~/moonraker.conf:2: [include no*.conf]: no file matches"),
        ("[server]\n[include ]", "", "~/moonraker.conf:2: [include ]: names no file"),
        (
            "[server]\n[include a.conf]",
            "[include moonraker.conf]",
            "~/a.conf:1: cannot include ~/moonraker.conf: recursive include",
        ),
        (
            "[server]\n[include a.conf] x\n[include ./a.conf]",
            "",
            "~/moonraker.conf:3: cannot include ~/a.conf: recursive",
        ),
        ("[server]\n[include sub]", "", "~/moonraker.conf:2: cannot include ~/sub: is a directory"),
        (
            "[server]\n[include a.conf]\nport: 1",
            "",
            "~/moonraker.conf:3: option 'port' belongs to no section",
        ),
        ("[server]\n[include a.conf]", "[b]\nx", "~/a.conf:2: expected"),
        ("[server]\n[include fifo]", "", "~/moonraker.conf:2: cannot include ~/fifo: is not a regular file"),
    ] {
        let files = Files::new(&[("moonraker.conf", main), ("a.conf", other), ("sub/x", "")]);
        nix::unistd::mkfifo(&files.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(files.errors().starts_with(expected), "{main:?}: {}", files.errors());
    }
    let absolute = Files::new(&[("other.conf", "[a]\nx: 1\n")]);
    let main = format!("[server]\n[include {}]", absolute.path("o*.conf").display());
    let config = Files::new(&[("moonraker.conf", &main)]).read().unwrap();
    assert_eq!(config.section("a").text("x"), Some("1"));
    let outside = config.to_json()["files"][1]["filename"].as_str().map(str::to_owned);
    assert!(Path::new(&outside.unwrap()).is_absolute());
}

#[test]
fn files_that_cannot_be_read() {
    let files = Files::new(&[("sub/x", "")]);
    assert_eq!(files.errors(), "~/moonraker.conf: the file does not exist");
    fs::write(files.path("moonraker.conf"), b"[server]\nname: caf\xe9\n").unwrap();
    assert_eq!(files.errors(), "~/moonraker.conf:2: is not UTF-8 text");
    fs::write(files.path("moonraker.conf"), b"[server]\n\0").unwrap();
    assert_eq!(files.errors(), "~/moonraker.conf:2: contains a NUL byte");
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o000);
    fs::set_permissions(files.path("moonraker.conf"), closed).unwrap();
    if !nix::unistd::geteuid().is_root() {
        assert_eq!(files.errors(), "~/moonraker.conf: no permission to read the file");
    }
    let error = Config::read(&files.path("sub"), &variables()).err().unwrap();
    assert!(error.to_string().ends_with("sub: is a directory"));
}

#[test]
fn everything_is_bounded() {
    let comment = format!("#{}\n", "x".repeat(MAX_SIZE / 2));
    let files = Files::new(&[
        ("moonraker.conf", &format!("[server]\n{comment}[include a.conf]")),
        ("a.conf", &comment),
    ]);
    assert!(files.errors().contains("larger than 1024 KiB"), "{}", files.errors());
    assert!(errors(&comment.repeat(3)).contains("larger than 1024 KiB"));

    let sections: String = (0..=MAX_SECTIONS).map(|i| format!("[s{i}]\n")).collect();
    assert!(errors(&sections).contains("more than 1000 sections"));
    let options: String = (0..=MAX_OPTIONS).map(|i| format!("o{i}:\n")).collect();
    assert!(errors(&format!("[server]\n{options}")).contains("more than 10000 options"));

    let mut chain: Vec<(String, String)> =
        (0..=MAX_INCLUDE_DEPTH).map(|i| (format!("c{i}"), format!("[include c{}]", i + 1))).collect();
    chain.push(("moonraker.conf".into(), "[server]\n[include c0]".into()));
    let chain: Vec<(&str, &str)> = chain.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert!(Files::new(&chain).errors().contains("more than 16 deep"));

    let mut many: Vec<(String, &str)> = (0..MAX_FILES).map(|i| (format!("d/{i}.conf"), "")).collect();
    many.push(("moonraker.conf".into(), "[server]\n[include d/*]"));
    let many: Vec<(&str, &str)> = many.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    assert!(Files::new(&many).errors().contains("more than 100 files"));

    let unknown: String = (0..=MAX_WARNINGS).map(|i| format!("[u{i}]\n")).collect();
    let warnings = parse(&format!("[server]\n{unknown}")).unparsed_warnings();
    assert_eq!(
        (warnings.len(), warnings.last().unwrap().starts_with("... and 2 more")),
        (MAX_WARNINGS + 1, true)
    );
}

#[test]
fn numbers_and_booleans() {
    let s = section("i: 1\nf: 3.5\nb: True\nbad: x");
    assert_eq!(s.int::<u8>("i").above(0).below(2).min(1).max(1).required(), Ok(1));
    assert!(s.int::<u8>("i").above(1).required().is_err());
    assert!(s.int::<u8>("i").below(1).required().is_err());
    assert!(s.int::<u8>("i").min(2).required().is_err());
    let error = s.int::<u8>("i").max(0).required().unwrap_err();
    assert_eq!(error.to_string(), "/x/moonraker.conf:3: [s] option 'i': 1 is above the maximum 0");
    assert_eq!(s.float("f").above(3.4).max(3.5).required(), Ok(3.5));
    assert!(s.float("f").min(3.6).required().is_err());
    assert_eq!(s.boolean("b").or(false), Ok(true));
    assert!(s.boolean("bad").or(false).is_err());
    assert_eq!(s.int::<i32>("none").min(5).or(1), Ok(1), "limits are not for defaults");
    assert_eq!(s.float("none").optional(), Ok(None));
    assert_eq!(s.string("none").or("x"), Ok("x".into()));
    assert_eq!(
        s.int::<u8>("none").required().unwrap_err().to_string(),
        "/x/moonraker.conf:2: [s] option 'none': is missing"
    );
    let absent = parse("[server]").section("not_available");
    assert!(!absent.exists());
    assert!(absent.string("x").required().unwrap_err().message.contains("the section is missing"));
}

#[test]
fn lists_and_dicts() {
    let s = section(
        "lines:\n one\n two\n\n three\ni: 1,2,3\nf: 1.5,2.8\nw: klipper  moonraker\nwindow: 0-5\n\
         nested:\n 1,2,3\n 4,5,6\nd:\n one=1\n two = 2\n one=3\nsparse:\n a=\n b\n c=x,y",
    );
    let comma = Separator::Char(',');
    assert_eq!(s.list::<String>("lines").required().unwrap(), ["one", "two", "three"]);
    assert_eq!(s.list::<i64>("i").separated_by(comma).required().unwrap(), [1, 2, 3]);
    assert_eq!(s.list::<f64>("f").separated_by(comma).required().unwrap(), [1.5, 2.8]);
    assert_eq!(
        s.list::<String>("w").separated_by(Separator::Whitespace).required().unwrap(),
        ["klipper", "moonraker"]
    );
    assert_eq!(
        s.list::<u8>("window").separated_by(Separator::Char('-')).count(2).required().unwrap(),
        [0, 5]
    );
    assert!(s.list::<u8>("i").separated_by(comma).count(2).required().is_err());
    assert!(s.list::<u8>("lines").required().is_err());
    assert_eq!(s.list::<String>("none").or_empty().unwrap(), [""; 0]);
    assert_eq!(s.list("none2").or(["Klipper state".to_owned()]).unwrap(), ["Klipper state"]);
    let nested = s.nested_list::<i64>("nested", [Separator::Newline, comma]).required().unwrap();
    assert_eq!(nested, [[1, 2, 3], [4, 5, 6]]);
    assert_eq!(s.dict::<i64>("d").required().unwrap(), [("one".to_owned(), 3), ("two".to_owned(), 2)]);
    assert!(s.dict::<String>("sparse").required().unwrap_err().message.contains("'b' has no value"));
    let sparse = s.dict::<String>("sparse").sparse().required().unwrap();
    let sparse: Vec<_> = sparse.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
    assert_eq!(sparse, [("a", Some("")), ("b", None), ("c", Some("x,y"))]);
    assert_eq!(s.dict::<String>("none").sparse().or_empty().unwrap(), []);
}

#[test]
fn choices_paths_and_pins() {
    let s =
        section("action: HALT\np: {data_path}/comms/x\nq: ~/klipper\nr:\npin: !gpiochip1/gpio4\nin: ^gpio3");
    let choices = [("halt", 1), ("poweroff", 2)];
    assert_eq!(s.choice("action", &choices).any_case().required(), Ok(1));
    assert!(s.choice("action", &choices).or(2).unwrap_err().message.contains("none of halt, poweroff"));
    assert_eq!(s.choice("none", &choices).or(2), Ok(2));
    assert_eq!(s.path("p").required().unwrap(), Path::new("/no-such/data/comms/x"));
    assert_eq!(s.path("q").required().unwrap(), Path::new("/no-such/home/klipper"));
    assert!(s.path("r").required().is_err());
    assert_eq!(s.path("default").or("/no-such/klippy_uds").unwrap(), Path::new("/no-such/klippy_uds"));
    assert_eq!(s.pin("pin", false).required().unwrap().name(), "gpiochip1:gpio4");
    assert!(s.pin("in", false).required().is_err());
    assert_eq!(s.pin("in", true).required().unwrap().bias, Bias::PullUp);
}

#[test]
fn templates_and_secrets() {
    let files = Files::new(&[
        (
            "moonraker.conf",
            "[server]\n[mqtt]\nuser: {secrets.mqtt_credentials.username}\nname: plain\nbad: {secrets.none.x}\n\
             wrong: {\nlater: {payload}!\n",
        ),
        ("moonraker.secrets", "[mqtt_credentials]\nusername: mqttuser\npassword: mqttpass\n"),
    ]);
    let config = files.read().unwrap();
    let mqtt = config.section("mqtt");
    assert_eq!(mqtt.rendered("user").required().unwrap(), "mqttuser");
    assert_eq!(mqtt.rendered("name").required().unwrap(), "plain");
    assert_eq!(mqtt.rendered("none").or("{secrets.mqtt_credentials.password}").unwrap(), "mqttpass");
    assert_eq!(mqtt.rendered("none").optional(), Ok(None));
    let error = mqtt.rendered("bad").required().unwrap_err().to_string();
    assert!(error.contains("moonraker.conf:5: [mqtt] option 'bad':"), "{error}");
    assert!(mqtt.template("wrong").required().is_err());
    let later = mqtt.template("later").required().unwrap();
    assert_eq!(later.render(&[("payload", json!("on"))]).unwrap(), "on!");
    let default = mqtt.template("state_response_template").or("{payload}").unwrap();
    assert_eq!(default.render(&[("payload", json!(1))]).unwrap(), "1");
    let keep = std::thread::spawn(move || later.render(&[])).join().unwrap();
    assert_eq!(keep.unwrap(), "!", "a template may go to another thread");
}

#[test]
fn a_secrets_file_that_cannot_be_used_is_a_warning() {
    let files = Files::new(&[("moonraker.conf", "[server]"), ("moonraker.secrets", "[1]")]);
    assert!(files.read().unwrap().warnings()[0].starts_with("[secrets]: the secrets file"));

    let other = Files::new(&[("old.json", r#"{"a": {"b": "c"}}"#)]);
    let main = format!(
        "[server]\nx: {{secrets.a.b}}\n[secrets]\nsecrets_path: {}\n",
        other.path("old.json").display()
    );
    let files = Files::new(&[("moonraker.conf", &main)]);
    let config = files.read().unwrap();
    assert_eq!(config.section("server").rendered("x").required().unwrap(), "c");
    assert!(config.warnings()[0].starts_with("[secrets]: Option 'secrets_path' is deprecated"));
    fs::write(files.path("moonraker.secrets"), r#"{"a": {"b": "new"}}"#).unwrap();
    assert_eq!(files.read().unwrap().section("server").rendered("x").required().unwrap(), "new");

    let files = Files::new(&[("moonraker.conf", "[server]\n[secrets]\nsecrets_path: /no-such\n")]);
    assert_eq!(files.read().unwrap().warnings().len(), 2);
}

#[test]
fn deprecated_and_moved_options_warn() {
    let config = parse("[server]\ntemperature_store_size: 600\n[test_options]\nold: 1\n");
    let options = config.section("test_options");
    assert_eq!(options.int::<i64>("old").deprecated().or(0), Ok(1));
    assert_eq!(options.int::<i64>("older").deprecated().or(0), Ok(0));
    let store = config.section_or_server("data_store");
    assert_eq!(store.int::<u32>("temperature_store_size").or(1200), Ok(600));
    assert_eq!(store.int::<u32>("gcode_store_size").or(1000), Ok(1000));
    let warnings = config.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with("[test_options]: Option 'old' is deprecated"));
    assert!(warnings[0].contains("https://moonraker.readthedocs.io/en/latest/configuration/"));
    assert!(
        warnings[1]
            .starts_with("[server]: Option 'temperature_store_size' has been moved to section [data_store]")
    );
    let json = config.to_json();
    assert_eq!(json["config"]["data_store"], json!({"gcode_store_size": 1000}));
    assert_eq!(json["config"]["server"], json!({"temperature_store_size": 600}));

    let moved = parse("[server]\na: 1\n[data_store]\n").section_or_server("data_store");
    assert_eq!(moved.int::<i64>("a").optional(), Ok(None), "only where the section is missing");
}

#[test]
fn what_nobody_read_is_warned_of() {
    let config = parse(
        "[server]\nport: 1\nunknown_option: True\n[machine unparsed]\nx: 1\n[broken]\nn: x\nother: 1\n[mqtt]\na: 1\n\
         [sensor x]\n[list]\nlong: abc\n def\n",
    );
    let server = config.section("server");
    server.int::<u16>("port").required().unwrap();
    config.section("broken").int::<i32>("n").required().unwrap_err();
    config.mark_unavailable("mqtt", "mqtt");
    config.mark_unavailable("sensor", "sensor");
    config.section("list");
    let warnings = config.unparsed_warnings();
    let starts = [
        "Unparsed config option 'unknown_option: True' detected in section [server].",
        "Unparsed config section [machine unparsed] detected.",
        "Config section [mqtt] has no effect: this build of Perigee does not have the feature 'mqtt'",
        "Config section [sensor x] has no effect",
        "Unparsed config option 'long: abc\ndef' detected in section [list].",
    ];
    assert_eq!(warnings.len(), starts.len(), "{warnings:?}");
    for (warning, start) in warnings.iter().zip(starts) {
        assert!(warning.starts_with(start), "{warning}");
    }
    assert_eq!(config.errors().iter().count(), 1);
}

#[test]
fn the_reply_of_server_config() {
    let config = parse("[server]\nport: 7125\nhost: x\nklippy_uds_address: {data_path}/k\n[history]\n");
    let server = config.section("server");
    server.int::<u16>("port").required().unwrap();
    server.string("ssl_certificate_path").optional().unwrap();
    server.float("delay").or(0.01).unwrap();
    server.path("klippy_uds_address").or("/tmp/klippy_uds").unwrap();
    server.template("greeting").or("{x}").unwrap();
    server.list::<String>("names").or(["a".to_owned()]).unwrap();
    server.choice("mode", &[("fast", 1)]).or(1).unwrap();
    server.dict::<i64>("counts").or_empty().unwrap();
    config.section("history");
    assert_eq!(
        config.to_json(),
        json!({
            "config": {
                "secrets": {"secrets_path": null},
                "server": {
                    "port": 7125, "ssl_certificate_path": null, "delay": 0.01, "klippy_uds_address": "{data_path}/k",
                    "greeting": "{x}", "names": ["a"], "mode": "fast", "counts": {},
                },
                "history": {},
            },
            "orig": {
                "DEFAULT": {},
                "server": {"port": "7125", "host": "x", "klippy_uds_address": "{data_path}/k"},
                "history": {},
            },
            "files": [{"filename": "moonraker.conf", "sections": ["server", "history"]}],
        })
    );
}

#[test]
fn passwords_are_masked_everywhere() {
    let config = parse(
        "[DEFAULT]\nshared_key: hunter0\n[server]\n[mqtt]\nuser: hunter1\npassword: hunter2\n\
         token: {secrets.mqtt.token}\nother: {\"hunter3\"}\n[late]\napi_token: hunter4\npassword_file: /x\n",
    );
    let mqtt = config.section("mqtt");
    assert_eq!(mqtt.string("user").secret().required().unwrap(), "hunter1");
    mqtt.string("password").secret().required().unwrap();
    mqtt.string("token").secret().required().unwrap();
    mqtt.string("other").secret().required().unwrap();
    mqtt.string("shared_key").secret().required().unwrap();
    assert_eq!(mqtt.string("absent").secret().or("admin").unwrap(), "admin");
    let error = mqtt.int::<i64>("password").secret().required().unwrap_err().to_string();
    config.section("late");
    let json = config.to_json();
    let seen = format!("{json} {} {error} {:?}", config.masked_text(), config.unparsed_warnings());
    assert!(!seen.contains("hunter"), "{seen}");
    assert_eq!(json["config"]["mqtt"]["password"], MASK);
    assert_eq!(json["config"]["mqtt"]["token"], "{secrets.mqtt.token}");
    assert_eq!(json["config"]["mqtt"]["absent"], "admin");
    assert_eq!(json["orig"]["mqtt"]["token"], "{secrets.mqtt.token}");
    assert_eq!(json["orig"]["late"]["api_token"], MASK);
    assert_eq!(json["orig"]["late"]["password_file"], "/x");
    assert_eq!(json["orig"]["server"]["shared_key"], MASK);
}

#[test]
fn sections_by_their_first_word() {
    let config =
        parse("[server]\n[prefix_sec one]\n[x]\n[prefix_sec  two]\n[prefix_section]\n[prefix_sec three]\n");
    let found = config.sections_named("prefix_sec");
    let names: Vec<_> = found.iter().map(|section| (section.name(), section.instance())).collect();
    assert_eq!(names, [("prefix_sec one", "one"), ("prefix_sec  two", "two"), ("prefix_sec three", "three")]);
    assert_eq!(config.section("x").instance(), "");
}

#[test]
fn the_hash_is_that_of_names_and_texts() {
    use sha2::{Digest, Sha256};
    let expected: [u8; 32] = Sha256::digest("host0.0.0.0port7010").into();
    assert_eq!(parse("[server]\nhost: 0.0.0.0\nport: 7010\n").section("server").hash(), expected);
}

#[test]
fn supplemental_files_need_no_server() {
    let files = Files::new(&[("more.conf", "[a]\nx: 1\n"), ("broken.conf", "a]\n")]);
    let config = Config::read_supplemental(&files.path("more.conf"), &variables()).unwrap();
    assert_eq!(config.section("a").int::<u8>("x").required(), Ok(1));
    assert!(Config::read_supplemental(&files.path("broken.conf"), &variables()).is_err());
    assert!(Config::read_supplemental(&files.path("none.conf"), &variables()).is_err());
}

#[test]
fn sections_may_be_kept_and_sent() {
    fn shareable<T: Clone + Send + Sync + 'static>() {}
    shareable::<Config>();
    shareable::<Section>();
    shareable::<Template>();
}

#[test]
fn a_readers_own_rules() {
    let s = section("a: 1\nb: 2");
    s.warn("'a' is odd");
    let error = s.error("b", "does not go with 'a'");
    assert_eq!(error.to_string(), "/x/moonraker.conf:4: [s] option 'b': does not go with 'a'");
}

proptest! {
    #[test]
    fn no_file_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let files = Files::new(&[]);
        fs::write(files.path("moonraker.conf"), bytes).unwrap();
        let _ = files.read();
    }

    #[test]
    fn no_text_panics(text in "(\\[[a-z ]{0,6}\\]|\n|\t| |[#;:=\\\\]|\\PC|include \\*){0,60}") {
        if let Ok(config) = Config::parse("/no-such/x.conf", &format!("[server]\n{text}"), &variables()) {
            let server = config.section("server");
            for (name, _) in server.texts() {
                let _ = (server.int::<u8>(name).optional(), server.path(name).secret().optional());
                let _ = (server.rendered(name).optional(), server.dict::<i64>(name).optional());
            }
            let _ = (config.to_json(), config.unparsed_warnings(), config.masked_text());
        }
    }

    #[test]
    fn values_come_back_as_they_were_written(port: u16, on: bool, names in proptest::collection::vec("[a-z]{1,5}", 1..4)) {
        let s = section(&format!("port: {port}\non: {on}\nnames:\n  {}", names.join("\n  ")));
        prop_assert_eq!(s.int::<u16>("port").required(), Ok(port));
        prop_assert_eq!(s.boolean("on").required(), Ok(on));
        prop_assert_eq!(s.list::<String>("names").required(), Ok(names));
    }
}
