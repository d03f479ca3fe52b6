use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn names(path: &str) -> Vec<Segment> {
    path.split('.').map(|name| Segment::Name(name.into())).collect()
}

#[test]
fn numbers_and_order_survive_a_change() {
    let text = r#"{"z":1.0,"a":12345678901234567890123456789,"b":{"c":1e-7,"é":"\u00e9"}}"#;
    let changed = insert(text, &names("b.c"), "2").unwrap();
    assert_eq!(changed, text.replace("1e-7", "2"));
    assert_eq!(remove(&changed, &names("b.c")).unwrap().1, text.replace(r#""c":1e-7,"#, ""));
    assert_eq!(locate(text, &names("a")), Some("12345678901234567890123456789"));
}

#[test]
fn escaped_and_repeated_names_are_found() {
    let text = r#"{"\u0061b":1,"x":2,"ab":3}"#;
    assert_eq!(locate(text, &names("ab")), Some("3"));
    assert_eq!(remove(text, &names("ab")).unwrap(), ("3".into(), r#"{"x":2}"#.into()));
    let text = r#"{"\ud800":1,"a":2}"#;
    assert_eq!(locate(text, &names("a")), Some("2"));
}

#[test]
fn arrays_take_indices_only() {
    let text = r#"{"a":[1,[2,3],"x"]}"#;
    let way = |index: i64| vec![Segment::Name("a".into()), Segment::Index(index)];
    assert_eq!(locate(text, &way(0)), Some("1"));
    assert_eq!(locate(text, &way(-2)), Some("[2,3]"));
    for index in [3, -4, i64::MIN, i64::MAX] {
        assert_eq!(locate(text, &way(index)), None);
    }
    assert_eq!(locate(text, &names("a.0")), None);
    assert_eq!(locate(r#"{"0":1}"#, &[Segment::Index(0)]), None);
    assert_eq!(remove(text, &way(1)).unwrap().1, r#"{"a":[1,"x"]}"#);
    assert_eq!(insert(text, &way(0), "1"), Err(NotAnObject));
}

#[test]
fn white_space_goes_and_strings_stay() {
    assert_eq!(minify("{ \"a b\" :\t[ 1 , \" \\\" \" ]\n}"), r#"{"a b":[1," \" "]}"#);
}

pub(in crate::storage) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c\"\\\\{}\\[\\],: é]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[abc\"\\\\]{1,2}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

pub(in crate::storage) fn any_path() -> impl Strategy<Value = Vec<Segment>> {
    let segment = prop_oneof![4 => "[abc\"\\\\]{1,2}".prop_map(Segment::Name), 1 => (-3i64..4).prop_map(Segment::Index)];
    prop::collection::vec(segment, 1..5)
}

pub(in crate::storage) fn model_get<'a>(value: &'a Value, path: &[Segment]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, segment| match (value, segment) {
        (Value::Object(map), Segment::Name(name)) => map.get(name),
        (Value::Array(list), Segment::Index(index)) => {
            let index = if *index < 0 { index + list.len() as i64 } else { *index };
            list.get(usize::try_from(index).ok()?)
        }
        _ => None,
    })
}

pub(in crate::storage) fn model_insert(
    value: &mut Value,
    path: &[Segment],
    new: Value,
) -> Result<(), NotAnObject> {
    let Some((segment, rest)) = path.split_first() else {
        *value = new;
        return Ok(());
    };
    let Value::Object(map) = value else { return Err(NotAnObject) };
    model_insert(map.entry(name_of(segment)).or_insert_with(|| Value::Object(Map::new())), rest, new)
}

pub(in crate::storage) fn model_remove(value: &mut Value, path: &[Segment]) -> Option<Value> {
    let (last, way) = path.split_last()?;
    model_get(value, path)?;
    let mut value = value;
    for segment in way {
        value = match (value, segment) {
            (Value::Object(map), Segment::Name(name)) => map.get_mut(name)?,
            (Value::Array(list), Segment::Index(index)) => {
                let index = if *index < 0 { index + list.len() as i64 } else { *index };
                list.get_mut(usize::try_from(index).ok()?)?
            }
            _ => return None,
        };
    }
    match (value, last) {
        (Value::Object(map), Segment::Name(name)) => map.remove(name),
        (Value::Array(list), Segment::Index(index)) => {
            let index = if *index < 0 { index + list.len() as i64 } else { *index };
            Some(list.remove(usize::try_from(index).ok()?))
        }
        _ => None,
    }
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

proptest! {
    #[test]
    fn editing_text_equals_editing_values(
        value in any_json(), path in any_path(), new in any_json(), pretty: bool,
    ) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert_eq!(locate(&text, &path).map(parse), model_get(&value, &path).cloned());
        prop_assert_eq!(parse(&minify(&text)), value.clone());

        let mut model = value.clone();
        let made = insert(&text, &path, &new.to_string());
        match model_insert(&mut model, &path, new) {
            Ok(()) => prop_assert_eq!(parse(&made.unwrap()), model),
            Err(error) => prop_assert_eq!(made, Err(error)),
        }

        let mut model = value.clone();
        let removed = model_remove(&mut model, &path);
        match remove(&text, &path) {
            Some((gone, rest)) => prop_assert_eq!((Some(parse(&gone)), parse(&rest)), (removed, model)),
            None => prop_assert_eq!(removed, None),
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}\",:\\\\ a1é]{0,30}", path in any_path()) {
        let _ = (locate(&text, &path), insert(&text, &path, "1"), remove(&text, &path), minify(&text));
    }
}

#[test]
fn an_empty_container_is_empty() {
    assert!(is_empty("{ }") && is_empty("[]") && !is_empty("[0]") && !is_empty("1"));
    assert_eq!(
        insert("{ }", &names("a.b"), "1").unwrap(),
        json!({"a": {"b": 1}}).to_string().replace("{\"a", "{ \"a")
    );
}
