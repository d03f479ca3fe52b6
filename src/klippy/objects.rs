//! Which fields of which printer objects somebody wants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::api::status::{Objects, StatusUpdate};
use crate::api::{Error, Result};
use crate::json;

/// How many objects one request may name; printers have some hundreds.
pub const MAX_OBJECTS: usize = 4096;

/// Object name → its fields, or none for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Wanted(BTreeMap<Arc<str>, Option<BTreeSet<Arc<str>>>>);

impl Wanted {
    /// All fields of these objects.
    pub fn all_of<'a>(objects: impl IntoIterator<Item = &'a str>) -> Self {
        Self(objects.into_iter().map(|name| (name.into(), None)).collect())
    }

    /// Reads the `objects` argument: an object whose values are `null` (all fields) or lists of names. A string
    /// is read as a list with commas, which is how fields are given in a query.
    ///
    /// # Errors
    /// 400 for anything else.
    pub fn parse(objects: &serde_json::Value) -> Result<Self> {
        let wrong = || Error::bad_request("Invalid argument 'objects': expected an object of field lists");
        let map = objects.as_object().ok_or_else(wrong)?;
        if map.len() > MAX_OBJECTS {
            return Err(Error::bad_request(format!("More than {MAX_OBJECTS} objects asked for")));
        }
        let mut wanted = BTreeMap::new();
        for (name, fields) in map {
            let fields = match fields {
                serde_json::Value::Null => None,
                serde_json::Value::String(list) => Some(split_fields(list)),
                serde_json::Value::Array(items) => {
                    let names = items.iter().map(|item| item.as_str().map(Arc::from));
                    Some(names.collect::<Option<_>>().ok_or_else(wrong)?)
                }
                _ => return Err(wrong()),
            };
            wanted.insert(Arc::from(name.as_str()), fields);
        }
        Ok(Self(wanted))
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what `other` wants; all fields win over some.
    pub fn merge(&mut self, other: &Self) {
        for (name, fields) in &other.0 {
            match (self.0.get_mut(name), fields) {
                (Some(Some(known)), Some(more)) => known.extend(more.iter().cloned()),
                (Some(known), None) => *known = None,
                (Some(None), Some(_)) => {}
                (None, _) => {
                    self.0.insert(name.clone(), fields.clone());
                }
            }
        }
    }

    /// Whether all that `other` wants is wanted here too.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(name, fields)| self.covers_object(name, fields.as_ref()))
    }

    fn covers_object(&self, name: &str, fields: Option<&BTreeSet<Arc<str>>>) -> bool {
        match (self.0.get(name), fields) {
            (Some(None), _) => true,
            (Some(Some(known)), Some(fields)) => fields.is_subset(known),
            _ => false,
        }
    }

    /// What of this is not wanted by `live`.
    pub fn without(&self, live: &Self) -> Self {
        let missing = self.0.iter().filter(|(name, fields)| !live.covers_object(name, fields.as_ref()));
        Self(missing.map(|(name, fields)| (name.clone(), fields.clone())).collect())
    }

    /// Whether an object is wanted, wholly or in part.
    pub fn names(&self, object: &str) -> bool {
        self.0.contains_key(object)
    }

    fn takes(&self, object: &str, field: &str) -> bool {
        match self.0.get(object) {
            Some(None) => true,
            Some(Some(fields)) => fields.contains(field),
            None => false,
        }
    }

    /// Whether every field of an update is wanted, so that it can be passed on as it is.
    pub fn takes_all_of(&self, update: &StatusUpdate) -> bool {
        update.objects.iter().all(|(object, fields)| fields.keys().all(|field| self.takes(object, field)))
    }

    /// The wanted part of some fields. Objects without a wanted field are left out, unless `keep_empty`.
    pub fn select(&self, objects: &Objects, keep_empty: bool) -> Objects {
        let mut selected = Objects::new();
        for (name, wanted) in &self.0 {
            let Some(fields) = objects.get(name) else { continue };
            let fields = match wanted {
                None => fields.clone(),
                Some(names) => names
                    .iter()
                    .filter_map(|name| fields.get_key_value(name).map(|(k, v)| (k.clone(), v.clone())))
                    .collect(),
            };
            if keep_empty || !fields.is_empty() {
                selected.insert(name.clone(), fields);
            }
        }
        selected
    }

    /// The argument as Klippy reads it.
    pub fn to_raw(&self) -> Box<RawValue> {
        json::to_raw(self)
    }
}

fn split_fields(list: &str) -> BTreeSet<Arc<str>> {
    list.split(',').map(str::trim).filter(|field| !field.is_empty()).map(Arc::from).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn wanted(value: serde_json::Value) -> Wanted {
        Wanted::parse(&value).unwrap()
    }

    #[test]
    fn all_fields_win_over_some() {
        let mut union = wanted(json!({"a": ["x"], "b": null}));
        union.merge(&wanted(json!({"a": ["y"], "b": ["z"], "c": "u, v"})));
        assert_eq!(union, wanted(json!({"a": ["x", "y"], "b": null, "c": ["u", "v"]})));
        union.merge(&wanted(json!({"a": null})));
        assert!(union.covers(&wanted(json!({"a": ["anything"]}))));
        assert!(!union.covers(&wanted(json!({"c": null}))));
        assert_eq!(wanted(json!({"a": [], "d": null})).without(&union), wanted(json!({"d": null})));
    }

    #[test]
    fn what_is_no_list_of_names_is_refused() {
        for value in
            [json!([]), json!("a"), json!(null), json!({"a": 1}), json!({"a": [1]}), json!({"a": {}})]
        {
            assert_eq!(Wanted::parse(&value).unwrap_err().status(), 400, "{value}");
        }
        let many: serde_json::Map<_, _> = (0..=MAX_OBJECTS).map(|n| (n.to_string(), json!(null))).collect();
        assert!(Wanted::parse(&many.into()).is_err());
    }

    fn any_wanted() -> impl Strategy<Value = Wanted> {
        let fields = proptest::option::of(proptest::collection::btree_set("[a-c]".prop_map(Arc::from), 0..3));
        proptest::collection::btree_map("[x-z]".prop_map(Arc::from), fields, 0..4).prop_map(Wanted)
    }

    proptest! {
        #[test]
        fn a_union_covers_its_parts(a in any_wanted(), b in any_wanted()) {
            let mut union = a.clone();
            union.merge(&b);
            prop_assert!(union.covers(&a) && union.covers(&b));
            prop_assert!(a.without(&union).is_empty());
            let mut other = b.clone();
            other.merge(&a);
            prop_assert_eq!(union, other);
        }
    }
}
