//! Macros: Klipper's templates, with its own functions and the state of the printer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::Map;

use super::line::Gcmd;
use super::{CommandError, literal};
use crate::demo::klippy::clock::Seconds;
use crate::demo::klippy::printer::status::Status;
use crate::demo::klippy::printer::{Config, Printer, RemoteCall, info};
use crate::json::to_text;
use crate::sync::lock;

/// How much work a template may do.
const FUEL: u64 = 1_000_000;

/// A macro of the configuration.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Macro {
    /// As in the configuration.
    pub(in crate::demo::klippy) name: String,
    pub(in crate::demo::klippy) rename_existing: Option<String>,
    pub(in crate::demo::klippy) description: String,
    pub(in crate::demo::klippy) variables: Map<String, serde_json::Value>,
    script: Arc<str>,
    /// Whether it is being run, with which it may not be called.
    pub(in crate::demo::klippy) running: bool,
}

impl Macro {
    /// Those of the configuration.
    ///
    /// # Errors
    /// Klippy's message for a template or variable that cannot be read.
    pub(in crate::demo::klippy) fn all(config: &Config) -> Result<Vec<Self>, String> {
        let sections = config.sections.0.iter();
        sections
            .filter_map(|section| Some((section.name.strip_prefix("gcode_macro ")?.trim(), &section.options)))
            .map(|(name, options)| Self::new(name, options))
            .collect()
    }

    fn new(name: &str, options: &[(String, String)]) -> Result<Self, String> {
        let get =
            |option: &str| options.iter().find(|(key, _)| key == option).map(|(_, value)| value.clone());
        let section = format!("gcode_macro {name}");
        if name.contains(char::is_whitespace) {
            return Err(format!("Name of section '{section}' contains illegal whitespace"));
        }
        let script: Arc<str> = get("gcode").unwrap_or_default().into();
        environment()
            .template_from_str(&script)
            .map_err(|error| format!("Error loading template '{section}:gcode'\n{error}"))?;
        let mut variables = Map::new();
        for (option, text) in options {
            if let Some(variable) = option.strip_prefix("variable_") {
                let value = literal::parse(text).ok_or_else(|| {
                    format!("Option '{option}' in section '{section}' is not a valid literal")
                })?;
                variables.insert(variable.to_owned(), value);
            }
        }
        Ok(Self {
            name: name.to_owned(),
            rename_existing: get("rename_existing"),
            description: get("description").unwrap_or_else(|| "G-Code macro".to_owned()),
            variables,
            script,
            running: false,
        })
    }

    /// The fields of its object: its variables.
    pub(in crate::demo::klippy) fn status(&self) -> Status {
        self.variables
            .iter()
            .fold(Status::default(), |status, (name, value)| status.raw(name.clone(), to_text(value)))
    }
}

/// What a template has asked for beside its text.
enum Request {
    Respond(String),
    Remote(RemoteCall),
    Stop(String),
}

/// Klipper's template language: `{% … %}` and `{ … }`.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder()
        .block_delimiters("{%", "%}")
        .variable_delimiters("{", "}")
        .comment_delimiters("{#", "#}")
        .build();
    if let Ok(syntax) = syntax {
        environment.set_syntax(syntax);
    }
    environment.set_fuel(Some(FUEL));
    environment
}

/// Calls a macro: fills in its template, does what that asks for, and gives the lines to run.
///
/// # Errors
/// Klippy's message for a macro that calls itself or a template that fails.
pub(in crate::demo::klippy) fn call(
    printer: &mut Printer,
    index: usize,
    gcmd: &Gcmd<'_>,
    now: Seconds,
) -> Result<String, CommandError> {
    let found = printer.machine.as_ref().and_then(|machine| machine.macros.get(index)).cloned();
    let Some(macro_) = found else {
        return Err(CommandError::new("Printer not ready"));
    };
    if macro_.running {
        return Err(CommandError(format!("Macro {} called recursively", macro_.name.to_uppercase())));
    }
    let mut context: BTreeMap<String, Value> =
        macro_.variables.iter().map(|(name, value)| (name.clone(), from_json(value))).collect();
    let params: BTreeMap<String, Value> =
        gcmd.params().map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
    context.insert("params".to_owned(), Value::from(params));
    context.insert("rawparams".to_owned(), Value::from(gcmd.raw_parameters()));
    if macro_.script.contains("printer") {
        context.insert("printer".to_owned(), printer_value(printer, &macro_.script, now));
    }
    let requests = Arc::new(Mutex::new(Vec::new()));
    let environment = with_actions(environment(), &requests);
    let script = environment.render_str(&macro_.script, Value::from(context)).map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::InvalidOperation => {
                format!("gcode.CommandError: {}", error.detail().unwrap_or_default())
            }
            _ => error.to_string(),
        };
        CommandError(format!("Error evaluating 'gcode_macro {}:gcode': {reason}\n", macro_.name))
    })?;
    for request in lock(&requests).drain(..) {
        match request {
            Request::Respond(text) => printer.output.push(info(&text)),
            Request::Remote(call) => printer.remote_calls.push(call),
            Request::Stop(reason) => printer.shut_down(&format!("Shutdown due to {reason}"), now),
        }
    }
    if let Some(macro_) = printer.machine.as_mut().and_then(|machine| machine.macros.get_mut(index)) {
        macro_.running = true;
    }
    Ok(script)
}

/// The objects of the printer that the script may look at.
fn printer_value(printer: &mut Printer, script: &str, now: Seconds) -> Value {
    let mut objects = BTreeMap::new();
    for name in printer.object_names() {
        // the longest object is seldom looked at
        if name == "configfile" && !script.contains("configfile") {
            continue;
        }
        if let Some(status) = printer.object(&name, now, now) {
            let json: serde_json::Value = serde_json::from_str(&status.to_json()).unwrap_or_default();
            objects.insert(name, from_json(&json));
        }
    }
    Value::from(objects)
}

fn with_actions(
    mut environment: Environment<'static>,
    requests: &Arc<Mutex<Vec<Request>>>,
) -> Environment<'static> {
    let sink = requests.clone();
    environment.add_function("action_respond_info", move |text: String| {
        lock(&sink).push(Request::Respond(text));
        ""
    });
    environment.add_function("action_raise_error", |text: String| -> Result<&'static str, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, text))
    });
    let sink = requests.clone();
    environment.add_function("action_emergency_stop", move |text: Option<String>| {
        lock(&sink).push(Request::Stop(text.unwrap_or_else(|| "action_emergency_stop".to_owned())));
        ""
    });
    let sink = requests.clone();
    environment.add_function(
        "action_call_remote_method",
        move |method: Option<String>, kwargs: Kwargs| -> Result<&'static str, Error> {
            let mut params = Map::new();
            for name in kwargs.args() {
                params.insert(name.to_owned(), to_json(&kwargs.peek::<Value>(name)?));
            }
            let named = params.remove("method").and_then(|name| name.as_str().map(str::to_owned));
            let method = method.or(named).ok_or_else(|| Error::from(ErrorKind::MissingArgument))?;
            lock(&sink).push(Request::Remote(RemoteCall { method, params }));
            Ok("")
        },
    );
    environment
}

fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::from(()),
        serde_json::Value::Bool(value) => Value::from(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::from(number),
            None => Value::from(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<_>>()),
        serde_json::Value::Object(fields) => Value::from(
            fields.iter().map(|(name, value)| (name.clone(), from_json(value))).collect::<BTreeMap<_, _>>(),
        ),
    }
}

fn to_json(value: &Value) -> serde_json::Value {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => serde_json::Value::Null,
        ValueKind::Bool => value.is_true().into(),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(number) if value.is_integer() => number.into(),
            _ => f64::try_from(value.clone()).unwrap_or_default().into(),
        },
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter().map(|items| items.map(|item| to_json(&item)).collect()).unwrap_or_default()
        }
        ValueKind::Map => value
            .try_iter()
            .map(|keys| {
                keys.map(|key| {
                    (key.to_string(), value.get_item(&key).map_or_else(|_| ().into(), |v| to_json(&v)))
                })
                .collect()
            })
            .unwrap_or_default(),
        _ => value.to_string().into(),
    }
}
