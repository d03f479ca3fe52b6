//! Templates by minijinja.
//!
//! Of minijinja's features only these are taken: `builtins` (the filters and tests that Jinja2 has),
//! `fuel` (a bound on run time), `json` and `urlencode` (the filters `tojson` and `urlencode`, which Jinja2 has).
//! Not taken: `macros`, `multi_template` (there is one template an option and nothing to include), `debug`
//! (copies of the source in errors), `serde` (the two conversions below are shorter), `loop_controls` (Jinja2
//! has none by default). Python's methods of text and dicts (`payload.strip()`) come from minijinja-contrib.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use minijinja_contrib::pycompat;
use serde_json::Value as Json;

use super::{MAX_OUTPUT, TemplateError};

/// Instructions that one rendering may take. Real templates take some hundred.
pub const MAX_FUEL: u64 = 100_000;
/// How deeply a template's value may nest where it becomes JSON; a namespace can contain itself.
const MAX_DEPTH: usize = 64;
/// The name of an option's template in its environment and in its errors.
const NAME: &str = "template";

/// Makes templates.
#[derive(Debug)]
pub(in crate::config) struct Engine {
    environment: Environment<'static>,
}

/// A compiled template. Cheap to clone; may be kept and rendered from any thread.
///
/// Rendering blocks as long as the functions in its context do (`call_method`, `http_request.send`): one with
/// such functions belongs on the blocking pool.
#[derive(Clone, Debug)]
pub struct Template {
    source: Arc<str>,
    environment: Arc<Environment<'static>>,
}

impl Engine {
    /// `secrets` becomes the global of that name.
    pub(in crate::config) fn new(secrets: &Json) -> Self {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .block_delimiters("{%", "%}")
            .variable_delimiters("{", "}")
            .comment_delimiters("{#", "#}")
            .build();
        match syntax {
            Ok(syntax) => environment.set_syntax(syntax),
            Err(error) => log::error!("template delimiters: {error}"),
        }
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(MAX_FUEL));
        environment.set_unknown_method_callback(pycompat::unknown_method_callback);
        environment.add_filter("fromjson", from_json);
        environment.add_function("raise_error", raise_error);
        environment.add_function("log_debug", log_debug);
        environment.add_global("secrets", to_value(secrets));
        Self { environment }
    }

    /// The error is a sentence.
    pub(in crate::config) fn compile(&self, source: &str) -> Result<Template, String> {
        // The clone shares filters, tests and globals with the original.
        let mut environment = self.environment.clone();
        environment.add_template_owned(NAME, source.to_owned()).map_err(|error| error.to_string())?;
        Ok(Template { source: source.into(), environment: Arc::new(environment) })
    }
}

impl Template {
    /// The text that the template was made from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The trimmed text, with the values of these names filled in.
    pub fn render(&self, values: &[(&str, Json)]) -> Result<String, TemplateError> {
        self.render_value(Value::from_pairs(values.iter().map(|(name, value)| (*name, to_value(value)))))
    }

    /// As [`Template::render`], with a context that may hold functions and objects.
    pub fn render_value(&self, context: Value) -> Result<String, TemplateError> {
        let mut out = Bounded(Vec::new());
        let rendered = self
            .environment
            .get_template(NAME)
            .and_then(|template| template.render_captured_to(context, &mut out).map(drop));
        rendered.map_err(|error| explain(&error))?;
        Ok(String::from_utf8_lossy(&out.0).trim().to_owned())
    }
}

struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other(format!("the result is larger than {MAX_OUTPUT} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `raise_error` was called with.
#[derive(Debug)]
struct Raised {
    message: String,
    code: u16,
}

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Raised {}

fn raise_error(message: Option<String>, code: Option<u16>, named: Kwargs) -> Result<Value, Error> {
    let named_code = match named.get("code")? {
        Some(code) => Some(code),
        None => named.get("err_code")?,
    };
    let message = match message {
        Some(message) => message,
        None => named.get("err_msg")?,
    };
    let code = code.or(named_code).unwrap_or(400);
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised { message, code }))
}

fn log_debug(values: Rest<Value>) {
    let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
    log::debug!("{}", texts.join(" "));
}

fn from_json(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text)
        .map(|json| to_value(&json))
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("fromjson: {error}")))
}

fn explain(error: &Error) -> TemplateError {
    let mut cause = Some(error as &dyn std::error::Error);
    let mut message = error.to_string();
    while let Some(error) = cause {
        if let Some(raised) = error.downcast_ref::<Raised>() {
            return TemplateError { code: raised.code, message: raised.message.clone() };
        }
        cause = error.source();
        if let Some(cause) = cause {
            message = format!("{message}: {cause}");
        }
    }
    TemplateError { code: 500, message }
}

/// JSON as a template sees it.
pub fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(whole)) => Value::from(whole),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(list) => list.iter().map(to_value).collect(),
        Json::Object(map) => {
            Value::from_pairs(map.iter().map(|(name, value)| (name.as_str(), to_value(value))))
        }
    }
}

/// A template's value as JSON, for a call that a template makes; the error is a sentence.
pub fn from_value(value: &Value) -> Result<Json, String> {
    json_of(value, 0)
}

fn json_of(value: &Value, depth: usize) -> Result<Json, String> {
    if depth > MAX_DEPTH {
        return Err(format!("a value nests more than {MAX_DEPTH} deep"));
    }
    let items = || value.try_iter().map_err(|error| error.to_string());
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Json::Null,
        ValueKind::Bool => Json::Bool(value.is_true()),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(whole) if value.is_integer() => whole.into(),
            _ => f64::try_from(value.clone()).map_err(|error| error.to_string())?.into(),
        },
        ValueKind::Seq | ValueKind::Iterable => {
            items()?.map(|item| json_of(&item, depth + 1)).collect::<Result<Vec<_>, _>>()?.into()
        }
        ValueKind::Map => {
            let mut map = serde_json::Map::new();
            for key in items()? {
                let item = value.get_item(&key).map_err(|error| error.to_string())?;
                map.insert(key.to_string(), json_of(&item, depth + 1)?);
            }
            map.into()
        }
        _ => value.to_string().into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn template(source: &str) -> Template {
        Engine::new(&json!({"a": {"b c": "d"}})).compile(source).unwrap()
    }

    fn render(source: &str) -> String {
        template(source).render(&[("payload", json!(" {\"on\": true, \"n\": [1, 2.5]} "))]).unwrap()
    }

    #[test]
    fn moonrakers_dialect() {
        assert_eq!(render("{# note #}{% set x = 2 %}{% if x > 1 %}{x * 2}{% endif %}"), "4");
        assert_eq!(render("{% do log_debug('x') %}done"), "done");
        assert_eq!(render("{ {'a': {'b': 1}}['a'].b }"), "1", "braces of a dict do not end an expression");
        assert_eq!(render("{% set d = {\"a\": [\"b\"], \"c\": None} %}{d.c}{d.a[0]}"), "Noneb");
        assert_eq!(render("{(payload|fromjson).on}"), "True");
        assert_eq!(render("{% set p = payload|fromjson %}{p['n'][1] | float}"), "2.5");
        assert_eq!(render("{payload.strip()[:1]}{'%s-%02d' | format('a', 3)}"), "{a-03");
        assert_eq!(
            render("{ {'x': 1.0}.items() | list | length }{'A'.lower()}{ ['a','b'] | join('-') }"),
            "1aa-b"
        );
        assert_eq!(
            render("{'a b&c' | urlencode}{ [1, None] | tojson }"),
            "a%20b%26c[1,null]".replace(",", ", ")
        );
        assert_eq!(render("{secrets['a']['b c']}{% for i in range(3) %}{i}{% endfor %}"), "d012");
        assert_eq!(render("{none_such}|{'<b>' ~ True}"), "|<b>True");
        assert_eq!(render("one\ntwo\n\n"), "one\ntwo");
    }

    #[test]
    fn raised_errors_carry_their_code() {
        for (source, code) in [
            ("{% do raise_error('no') %}", 400),
            ("{raise_error('no', 404)}", 404),
            ("{raise_error('no', code=409)}", 409),
            ("{raise_error(err_msg='no', err_code=410)}", 410),
        ] {
            let error = template(source).render(&[]).unwrap_err();
            assert_eq!((error.code, error.message.as_str()), (code, "no"), "{source}");
        }
        let error = template("a\n{x.y.z}").render(&[]).unwrap_err();
        assert_eq!(error.code, 500);
        assert!(error.message.contains("template:2"), "{error}");
    }

    #[test]
    fn rendering_ends() {
        let long = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
        assert!(template(long).render(&[]).unwrap_err().message.contains("fuel"));
        assert!(Engine::new(&Json::Null).compile(&"{(".repeat(10_000)).is_err());
        assert!(
            Engine::new(&Json::Null)
                .compile(&format!("{{{}1{}}}", "(".repeat(5_000), ")".repeat(5_000)))
                .is_err()
        );
    }

    #[test]
    fn a_context_may_hold_functions() {
        let double = Value::from_function(|number: i64| number * 2);
        let context = Value::from_pairs([("double", double)]);
        assert_eq!(template("{double(21)}").render_value(context).unwrap(), "42");
    }

    #[test]
    fn a_value_within_itself_is_no_json() {
        let seen = Arc::new(std::sync::Mutex::new(None));
        let keep = seen.clone();
        let take = Value::from_function(move |value: Value| {
            *keep.lock().unwrap() = Some(from_value(&value));
            ""
        });
        let context = Value::from_pairs([("take", take)]);
        let source = "{% set ns = namespace() %}{% set ns.x = ns %}{take(ns)}";
        template(source).render_value(context).unwrap();
        assert!(matches!(seen.lock().unwrap().take(), Some(Err(_))));
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            (-1e9..1e9f64).prop_map(Json::from),
            ".{0,8}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                proptest::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|map| Json::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_passes_through_a_template_unchanged(json in any_json()) {
            prop_assert_eq!(from_value(&to_value(&json)), Ok(json));
        }

        #[test]
        fn no_source_panics(source in "[{}%#a-c|'. ()\n-]{0,40}") {
            if let Ok(template) = Engine::new(&json!({})).compile(&source) {
                let _ = template.render(&[("a", json!({"b": [1]}))]);
            }
        }
    }
}
