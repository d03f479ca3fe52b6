//! Real clients, replayed: their start-up sequences and uploads as they send them, and each point of the
//! protocol that is known to break one.

mod fluidd;
mod klipperscreen;
mod mainsail;
mod others;
mod points;
mod slicers;

use serde_json::{Map, Value, json};

use crate::harness::rpc::Wire;
use crate::harness::{Client, Perigee, Setup};
use crate::sim::Sim;

/// A printer that is ready and a server with what slicers upload to.
fn printer() -> (Sim, Perigee) {
    let setup = Setup::new().sections("[octoprint_compat]");
    let sim = Sim::start(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    (sim, server)
}

/// A call of a part that a build or a configuration may lack, or that has nothing to give: a result or "not
/// found", nothing else.
#[track_caller]
fn optional<W: Wire>(client: &mut Client<W>, method: &str, params: Value) -> Option<Value> {
    match client.try_call(method, params) {
        Ok(result) => Some(result),
        Err(error) => {
            assert_eq!(error.code, -32601, "{method}: {}", error.message);
            None
        }
    }
}

/// All objects but menus, as front-ends subscribe to them.
fn all_objects<W: Wire>(client: &mut Client<W>) -> Value {
    let listed = client.call("printer.objects.list", Value::Null);
    let names = listed["objects"].as_array().expect("a list").iter().filter_map(Value::as_str);
    let all: Map<String, Value> =
        names.filter(|name| !name.starts_with("menu")).map(|name| (name.to_owned(), Value::Null)).collect();
    json!(all)
}
