//! The points of the protocol that are known to break clients, each as the client meets it.

use serde_json::{Value, json};

use super::printer;
use crate::harness::pattern::assert_matches;
use crate::harness::websocket::upgrade_request;
use crate::harness::{Multipart, Perigee, Request, Setup};

#[test]
fn ids_of_zero_and_of_text_come_back() {
    let server = Perigee::start();
    let mut client = server.websocket();
    for id in [json!(0), json!("1"), json!("a-b"), json!(10_001)] {
        client.send(&json!({"jsonrpc": "2.0", "method": "server.info", "id": id}));
        assert_eq!(client.answer()["id"], id);
    }
}

#[test]
fn batches_are_answered_by_one_array() {
    let server = Perigee::start();
    let mut client = server.websocket();
    let batch: Vec<Value> = (0..100)
        .map(|id| json!({"jsonrpc": "2.0", "method": "server.files.metadata", "params": {"filename": format!("{id}.gcode")}, "id": id}))
        .collect();
    client.send(&json!(batch));
    let answers = client.answer();
    assert_eq!(answers.as_array().map(Vec::len), Some(100));
    assert_eq!(answers[99]["id"], 99);
    client.send(&json!([]));
    client.send(&json!([{"jsonrpc": "2.0", "method": "server.info"}]));
    client.assert_no_answer();
}

#[test]
fn params_may_be_absent_or_empty_and_nothing_else() {
    let server = Perigee::start();
    let mut client = server.websocket();
    client.call("server.info", Value::Null);
    client.call("server.info", json!({}));
    for params in ["null", "[]"] {
        client.send_text(&format!(r#"{{"jsonrpc":"2.0","method":"server.info","params":{params},"id":1}}"#));
        assert_matches(
            &client.answer(),
            &json!({"error": {"code": -32602, "message": {"$starts": "Invalid params:"}}, "id": 1}),
        );
    }
}

#[test]
fn without_an_id_nothing_is_answered_and_what_is_wrong_is() {
    let server = Perigee::start();
    let mut client = server.websocket();
    client.send(&json!({"jsonrpc": "2.0", "method": "server.info"}));
    client.send(&json!({"jsonrpc": "2.0", "method": "server.info", "id": null}));
    client.assert_no_answer();
    client.send_text("{oops");
    assert_matches(&client.answer(), &json!({"error": {"code": -32700}, "id": null}));
    let error = client.fail("no.such.method", Value::Null);
    assert_eq!((error.code, &*error.message), (-32601, "Method not found"));
}

#[test]
fn what_is_not_found_is_32601_and_other_errors_keep_their_status() {
    let (sim, server) = printer();
    let mut client = server.websocket();
    let error = client.fail("server.files.metadata", json!({"filename": "none.gcode"}));
    assert_eq!(error.code, -32601);
    assert_ne!(error.message, "Method not found");
    assert_eq!(client.fail("server.files.metadata", json!({})).code, 400);
    assert_eq!(client.fail("server.files.get_directory", json!({"path": "config/.git"})).code, 403);
    sim.stop();
    server.wait_for_klippy("disconnected");
    assert_eq!(client.fail("printer.print.pause", Value::Null).code, 503);
}

#[test]
fn unknown_params_are_ignored() {
    let server = Perigee::start();
    let mut client = server.websocket();
    client.call("server.files.list", json!({"root": "config", "max": 100, "plateindex": 0}));
    server.get("/server/files/list?root=config&max=100").expect(200);
}

#[test]
fn an_upload_is_201_and_bare() {
    let server = Perigee::start();
    let answer = server.upload("gcodes", "a.gcode", "G28\n");
    assert_eq!(answer.status, 201);
    assert_matches(&answer.json(), &json!({"result": {"$absent": true}, "item": {"path": "a.gcode"}}));
}

#[test]
fn the_file_may_be_the_first_part_and_fields_may_have_names_of_files() {
    let server = Perigee::start();
    let forms = [
        Multipart::new().file("a.gcode", "x").text("root", "config").text("path", "p").text("print", "false"),
        Multipart::new().text("root", "config").text("path", "p").text("print", "false").file("a.gcode", "x"),
        Multipart::new().text("path", "p").file("a.gcode", "x").text("print", "false").text("root", "config"),
        Multipart::new()
            .part("name=\"root\"; filename=\"upload\"", "", "config")
            .part("name=\"path\"; filename=\"upload\"", "", "p")
            .file("a.gcode", "x"),
    ];
    for form in forms {
        assert_matches(
            &server.send(&form.upload()).expect(201).json(),
            &json!({"item": {"root": "config", "path": "p/a.gcode"}}),
        );
    }
}

#[test]
fn arguments_in_query_and_body_are_one() {
    let server = Setup::new().file("gcodes/a.gcode", "x").start();
    server.post("/server/files/copy?source=gcodes/a.gcode", json!({"dest": "gcodes/b.gcode"})).expect(200);
    assert!(server.data("gcodes/b.gcode").exists());
    // Cura2Moonraker sends an empty body with everything in the query
    server.post("/server/files/move?source=gcodes/b.gcode&dest=gcodes/c.gcode", json!({})).expect(200);
}

#[test]
fn json_that_is_not_declared_is_ignored() {
    let server = Setup::new().file("gcodes/a.gcode", "x").start();
    let request = Request {
        body: b"{\"source\": \"gcodes/a.gcode\", \"dest\": \"gcodes/b.gcode\"}".to_vec(),
        ..Request::post("/server/files/copy")
    };
    assert_eq!(server.send(&request).error(400), "No data for argument: source");
}

#[test]
fn keys_and_tokens_of_a_trusted_client_do_not_matter() {
    let server = Perigee::start();
    for key in ["", "wrong"] {
        server.send(&Request::get("/server/info").header("X-Api-Key", key)).expect(200);
        server.get(&format!("/server/info?token={key}")).expect(200);
        let request = upgrade_request(&format!("/websocket?token={key}")).header("X-Api-Key", key);
        let mut client = server.upgrade(&request).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        client.call("server.info", Value::Null);
    }
}

#[test]
fn a_client_that_expects_permission_gets_it() {
    let server = Perigee::start();
    let body = Multipart::new().file("a.gcode", vec![b'x'; 2_000_000]).into_body();
    let request = Request::post("/server/files/upload")
        .header("Content-Type", &Multipart::content_type())
        .header("Content-Length", &body.len().to_string())
        .header("Expect", "100-continue");
    let mut http = server.connect();
    http.write(request.head("x").as_bytes()).unwrap();
    http.write(&body).unwrap();
    let response = http.read_response(false).unwrap().expect(201);
    assert_eq!(response.interim, [100]);
}

#[test]
fn pages_of_allowed_sites_may_read_everything() {
    let server = Setup::new()
        .sections("[authorization]\ncors_domains:\n    *://my.mainsail.xyz\n")
        .file("config/a.cfg", "x")
        .start();
    let origin = "https://my.mainsail.xyz";
    let allowed = |request: Request| {
        let response = server.send(&request.header("Origin", origin));
        assert_eq!(response.header("Access-Control-Allow-Origin"), Some(origin), "{response:?}");
        response.status
    };
    assert_eq!(allowed(Request::get("/server/info")), 200);
    assert_eq!(allowed(Request::get("/server/files/config/a.cfg")), 200);
    assert_eq!(allowed(Request::get("/server/files/config/none.cfg")), 404);
    assert_eq!(allowed(Multipart::new().file("a.gcode", "x").upload()), 201);
    let asked = Request::new("OPTIONS", "/server/files/upload")
        .header("Access-Control-Request-Private-Network", "true");
    let preflight = server.send(&asked.clone().header("Origin", origin));
    assert_eq!(
        (preflight.status, preflight.header("Access-Control-Allow-Private-Network")),
        (204, Some("true"))
    );
    let foreign = server.send(&Request::get("/server/info").header("Origin", "https://evil.test"));
    assert_eq!((foreign.status, foreign.header("Access-Control-Allow-Origin")), (200, None));
}

/// The reference cuts such a message to "Unknown"; here it is whole in the body, with a plain reason phrase.
#[test]
fn a_message_with_odd_letters_is_whole() {
    let server = Perigee::start();
    let response = server.get("/server/files/metadata?filename=%3Ca%3E%0A%C3%BC.gcode");
    assert_eq!(response.reason, "Not Found");
    assert!(response.error(404).contains("<a>"));
}

#[test]
fn a_subscription_replaces_the_one_before_and_its_answer_holds_what_was_asked() {
    let (sim, server) = printer();
    let mut client = server.websocket();
    client.call("printer.objects.subscribe", json!({"objects": {"fan": null, "toolhead": null}}));
    let answer =
        client.call("printer.objects.subscribe", json!({"objects": {"display_status": ["message"]}}));
    assert_matches(
        &answer["status"],
        &json!({"$keys": ["display_status"], "$all": [{"display_status": {"$keys": ["message"]}}]}),
    );
    sim.run("M106 S255\nM117 next");
    let update = client
        .expect_where("notify_status_update", |params| params[0]["display_status"]["message"] == "next");
    assert_matches(&update[0], &json!({"$keys": ["display_status"]}));
}
