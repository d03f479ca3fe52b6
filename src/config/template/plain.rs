//! Templates without a template engine: names of values, nothing else.

use std::sync::Arc;

use serde_json::Value as Json;

use super::{MAX_OUTPUT, TemplateError};

/// Makes templates.
#[derive(Debug)]
pub(in crate::config) struct Engine {
    secrets: Arc<Json>,
}

/// A template, ready to be rendered. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Template {
    source: Arc<str>,
    secrets: Arc<Json>,
}

impl Engine {
    pub(in crate::config) fn new(secrets: &Json) -> Self {
        Self { secrets: Arc::new(secrets.clone()) }
    }

    pub(in crate::config) fn compile(&self, source: &str) -> Result<Template, String> {
        let mut rest = source;
        while let Some((_, reference, after)) = next_reference(rest)? {
            if reference.split('.').any(|name| name.is_empty() || !name.chars().all(is_name)) {
                return Err(format!(
                    "'{{{reference}}}' needs the feature 'templates', which this build does not have"
                ));
            }
            rest = after;
        }
        Ok(Template { source: source.into(), secrets: self.secrets.clone() })
    }
}

impl Template {
    /// The text that the template was made from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The trimmed text, with the values of these names filled in.
    pub fn render(&self, values: &[(&str, Json)]) -> Result<String, TemplateError> {
        let error = |message: String| TemplateError { code: 500, message };
        let mut out = String::new();
        let mut rest = &*self.source;
        while let Some((text, reference, after)) = next_reference(rest).map_err(error)? {
            out.push_str(text);
            out.push_str(&self.text_of(reference, values).map_err(error)?);
            rest = after;
        }
        out.push_str(rest);
        if out.len() > MAX_OUTPUT {
            return Err(error(format!("the result is larger than {MAX_OUTPUT} bytes")));
        }
        Ok(out.trim().to_owned())
    }

    /// An unknown name gives an empty text; a name within an unknown one is an error, as in Jinja.
    fn text_of(&self, reference: &str, values: &[(&str, Json)]) -> Result<String, String> {
        let mut names = reference.split('.');
        let root = names.next().unwrap_or_default();
        let mut found = match values.iter().find(|(name, _)| *name == root) {
            Some((_, value)) => Some(value),
            None => (root == "secrets").then_some(&*self.secrets),
        };
        for name in names {
            found = found.ok_or_else(|| format!("'{{{reference}}}': nothing has this name"))?.get(name);
        }
        Ok(match found {
            None => String::new(),
            Some(Json::String(text)) => text.clone(),
            Some(Json::Bool(true)) => "True".into(),
            Some(Json::Bool(false)) => "False".into(),
            Some(Json::Null) => "None".into(),
            Some(other) => other.to_string(),
        })
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

type Reference<'a> = (&'a str, &'a str, &'a str);

/// The text before the next `{name}`, the name, and the text behind it.
fn next_reference(text: &str) -> Result<Option<Reference<'_>>, String> {
    let Some((before, rest)) = text.split_once('{') else { return Ok(None) };
    let (reference, after) = rest.split_once('}').ok_or("a '{' without a '}'")?;
    Ok(Some((before, reference.trim(), after)))
}
