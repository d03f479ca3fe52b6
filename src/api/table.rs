//! The endpoint table: all endpoints of all parts. Transports, the permission check, the list of components in
//! `server.info` and the description of the API are read from it.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::describe::Argument;
use super::endpoint::{Endpoint, Verb};

/// All endpoints.
#[derive(Default)]
pub struct Table {
    components: Vec<&'static str>,
    endpoints: Vec<Arc<Endpoint>>,
    by_rpc: HashMap<&'static str, Arc<Endpoint>>,
}

impl Table {
    /// Adds a component by its Moonraker name with its endpoints. A name given twice is listed once, an RPC
    /// method given twice is an error of the program that the tests find.
    pub fn add(&mut self, component: &'static str, endpoints: Vec<Endpoint>) {
        if !self.components.contains(&component) {
            self.components.push(component);
        }
        for endpoint in endpoints {
            let endpoint = Arc::new(endpoint);
            if !endpoint.rpc.is_empty() {
                let former = self.by_rpc.insert(endpoint.rpc, endpoint.clone());
                debug_assert!(former.is_none(), "RPC method {} declared twice", endpoint.rpc);
            }
            self.endpoints.push(endpoint);
        }
    }

    /// Names of the components, in the order they were added.
    pub fn components(&self) -> &[&'static str] {
        &self.components
    }

    /// All endpoints, in the order they were added.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.iter()
    }

    /// The endpoint of an RPC method, and what stands in place of its `*` (`printer.a.b` under `printer.*`
    /// gives `a/b`).
    pub fn rpc(&self, method: &str) -> Option<(&Arc<Endpoint>, String)> {
        if let Some(endpoint) = self.by_rpc.get(method) {
            return Some((endpoint, String::new()));
        }
        let (head, tail) = method.split_once('.')?;
        let endpoint = self.by_rpc.get(&*format!("{head}.*"))?;
        Some((endpoint, tail.replace('.', "/")))
    }

    /// The description of the API: one entry an endpoint, sorted by name, without the handlers.
    pub fn describe(&self) -> Vec<Description> {
        let mut all: Vec<Description> =
            self.endpoints.iter().map(|endpoint| Description::of(endpoint)).collect();
        all.sort_by(|a, b| (a.rpc, a.path).cmp(&(b.rpc, b.path)));
        all
    }
}

/// One endpoint as others see it.
#[derive(Debug, Serialize)]
pub struct Description {
    rpc: &'static str,
    verbs: Vec<&'static str>,
    path: &'static str,
    role: String,
    arguments: Vec<Argument>,
}

impl Description {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            rpc: endpoint.rpc,
            verbs: endpoint.verbs.iter().map(|verb: &Verb| verb.name()).collect(),
            path: endpoint.path,
            role: format!("{:?}", endpoint.role),
            arguments: (endpoint.arguments)(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_takes_the_rest() {
        let mut table = Table::default();
        table.add(
            "a",
            vec![Endpoint::any("printer.*", "/printer/*"), Endpoint::get("printer.x", "/printer/x")],
        );
        assert_eq!(table.rpc("printer.x").unwrap().1, "");
        assert_eq!(table.rpc("printer.a.b").unwrap().1, "a/b");
        assert!(table.rpc("server.a").is_none());
        assert!(table.rpc("printer").is_none());
    }
}
