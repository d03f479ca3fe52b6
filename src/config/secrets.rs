//! The file `moonraker.secrets`: passwords and tokens that options name as `{secrets.section.key}` (spec
//! config.md §2).

use std::path::Path;

use serde_json::{Map, Value as Json};

use super::file;
use super::source::Source;

/// The file's name in the data folder.
pub const FILE_NAME: &str = "moonraker.secrets";
/// Bytes of the file.
pub const MAX_SIZE: usize = 64 * 1024;

/// What the file at `path` holds: an object, from JSON or from INI sections (all values text then). `None` if
/// there is no file; the error is a sentence without any of the contents.
pub(super) fn read(path: &Path) -> Result<Option<Json>, String> {
    let text = match file::read_text(path, MAX_SIZE) {
        Ok(file) => file.text,
        Err(error) if error.missing => return Ok(None),
        Err(error) => return Err(format!("the secrets file {} {}", path.display(), error.reason)),
    };
    match serde_json::from_str(&text) {
        Ok(Json::Object(object)) => Ok(Some(Json::Object(object))),
        Ok(_) => Err(format!("the secrets file {} must hold a JSON object", path.display())),
        Err(_) => match Source::parse_plain(path, &text) {
            Ok(source) => Ok(Some(sections(&source))),
            Err(_) => Err(format!("the secrets file {} is neither JSON nor INI", path.display())),
        },
    }
}

fn sections(source: &Source) -> Json {
    let section = |section| -> Map<String, Json> {
        source.options(section).map(|option| (option.name.clone(), option.value.clone().into())).collect()
    };
    source.sections.iter().map(|known| (known.name.to_string(), Json::Object(section(known)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_text(text: &str) -> Result<Option<Json>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn json_and_ini() {
        let expected = json!({"mqtt_credentials": {"username": "mqttuser", "password": "mqtt pass #1 ; 2"}});
        let ini = "# mine\n[mqtt_credentials]\nUsername: mqttuser\npassword = mqtt pass #1 ; 2\n";
        assert_eq!(read_text(ini), Ok(Some(expected.clone())), "no inline comments here");
        assert_eq!(read_text(&expected.to_string()), Ok(Some(expected)));
        assert_eq!(read_text(""), Ok(Some(json!({}))));
        assert_eq!(read_text("[include x]\na: \\# b"), Ok(Some(json!({"include x": {"a": "\\# b"}}))));
    }

    #[test]
    fn what_is_neither() {
        for text in ["[1, 2]", "\"word\"", "{\"a\": ", "password: x", "[a]\nb: 1\nb: 2", "\0"] {
            let error = read_text(text).unwrap_err();
            assert!(!error.contains("password"), "{error}");
        }
        assert_eq!(read(Path::new("/no-such/moonraker.secrets")), Ok(None));
        assert!(read(Path::new("/")).is_err());
    }
}
