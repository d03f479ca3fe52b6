//! The link to Klippy (spec behaviour.md §2): handshake, states, requests, remote methods, the bridge.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::pattern::assert_matches;
use crate::harness::{Perigee, Setup, eventually};
use crate::sim::{Sim, State};

#[test]
fn the_handshake_goes_in_order() {
    let setup = Setup::new();
    let (socket, gcodes) = (setup.klippy_socket(), setup.data().join("gcodes"));
    let server = setup.start();
    let mut agent = server.websocket();
    agent.call(
        "server.connection.identify",
        json!({"client_name": "a", "version": "1", "type": "agent", "url": "u"}),
    );
    agent.call("connection.register_remote_method", json!({"method_name": "agents_method"}));
    let sim = Sim::at(&socket, gcodes, |_| {});
    agent.expect("notify_klippy_ready");
    server.wait_for_klippy("ready");
    sim.expect("register_remote_method", "agents_method");
    let requests = sim.requests();
    let methods: Vec<&str> = requests.iter().filter_map(|request| request["method"].as_str()).collect();
    let at = |method: &str| {
        methods.iter().position(|known| *known == method).unwrap_or_else(|| panic!("{method} in {methods:?}"))
    };
    assert_eq!(at("info"), 0);
    assert_matches(
        &requests[0]["params"],
        &json!({"client_info": {"program": {"$type": "string"}, "version": {"$type": "string"}}}),
    );
    for pair in [
        "info",
        "list_endpoints",
        "objects/subscribe",
        "gcode/subscribe_output",
        "objects/list",
        "register_remote_method",
    ]
    .windows(2)
    {
        assert!(at(pair[0]) < at(pair[1]), "{} before {} in {methods:?}", pair[0], pair[1]);
    }
    let endpoints: Vec<usize> = (0..methods.len()).filter(|n| methods[*n] == "list_endpoints").collect();
    assert!(endpoints.len() >= 2 && endpoints[1] > at("gcode/subscribe_output"), "asked again: {methods:?}");
    assert_matches(
        &requests[at("objects/subscribe")]["params"],
        &json!({"objects": {"webhooks": null}, "response_template": {"method": "process_status_update"}}),
    );
    assert_matches(
        &requests[at("gcode/subscribe_output")]["params"],
        &json!({"response_template": {"method": "process_gcode_response"}}),
    );
    assert_eq!(
        requests[at("register_remote_method")]["params"],
        json!({"response_template": {"method": "agents_method"}, "remote_method": "agents_method"})
    );
    let mut ids: Vec<u64> = requests.iter().map(|request| request["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), requests.len(), "each request has an id of its own");
}

/// Who is at the other end is asked of the kernel; the simulator lives in this very process.
#[test]
fn klippys_process_is_known() {
    let (_sim, server) = Sim::ready();
    server.wait_for_log(&format!("process {}", std::process::id()));
}

#[test]
fn states_are_told_as_they_come() {
    let setup = Setup::new();
    let socket = setup.klippy_socket();
    let server = setup.start();
    let info = server.info();
    assert_matches(&info, &json!({"klippy_connected": false, "klippy_state": "disconnected"}));
    let mut client = server.websocket();
    client.settle();
    let sim = Sim::at(&socket, server.data("gcodes"), |options| options.startup = Duration::from_millis(700));
    eventually("the start-up", || (server.info()["klippy_state"] == "startup").then_some(()));
    assert_eq!(server.info()["klippy_connected"], true);
    server.wait_for_klippy("ready");
    assert_eq!(client.expect("notify_klippy_ready"), Value::Null);
    sim.stop();
    assert_eq!(client.expect("notify_klippy_disconnected"), Value::Null);
    server.wait_for_klippy("disconnected");
    assert_matches(&server.info(), &json!({"klippy_connected": false, "missing_klippy_requirements": []}));
    let _sim = Sim::at(&socket, server.data("gcodes"), |_| {});
    client.expect("notify_klippy_ready");
    server.wait_for_klippy("ready");
}

#[test]
fn klippy_in_error_can_be_asked_and_is_not_ready() {
    let setup = Setup::new();
    let sim = Sim::start_in(&setup, State::Error("Option 'x' in section 'printer' must be specified".into()));
    let server = setup.start();
    let mut client = server.websocket();
    server.wait_for_klippy("error");
    assert_eq!(server.get("/printer/info").result()["state"], "error");
    client.call("printer.objects.query", json!({"objects": {"webhooks": null}}));
    assert!(client.take_named("notify_klippy_ready").is_empty());
    assert!(sim.requests_of("register_remote_method").is_empty());
    // recovery is by way of a restart
    client.call("printer.firmware_restart", Value::Null);
    client.expect("notify_klippy_disconnected");
    client.expect("notify_klippy_ready");
    server.wait_for_klippy("ready");
}

#[test]
fn klippy_in_shutdown_from_the_start_is_no_news() {
    let setup = Setup::new();
    let _sim = Sim::start_in(&setup, State::shutdown("MCU lost"));
    let server = setup.start();
    let mut client = server.websocket();
    server.wait_for_klippy("shutdown");
    assert!(client.take_named("notify_klippy_shutdown").is_empty());
}

#[test]
fn an_emergency_stop_is_a_shutdown_and_a_restart_ends_it() {
    let (_sim, server) = Sim::ready();
    let mut client = server.websocket();
    assert_eq!(client.call("printer.emergency_stop", Value::Null), "ok");
    assert_eq!(client.expect("notify_klippy_shutdown"), Value::Null);
    server.wait_for_klippy("shutdown");
    let info = client.call("printer.info", Value::Null);
    assert_eq!(info["state"], "shutdown");
    assert!(client.take_named("notify_klippy_shutdown").is_empty(), "told once");
    assert_eq!(client.call("printer.firmware_restart", Value::Null), "ok");
    client.expect("notify_klippy_disconnected");
    client.expect("notify_klippy_ready");
    server.wait_for_klippy("ready");
}

#[test]
fn m112_is_an_emergency_stop_too() {
    let (_sim, server) = Sim::ready();
    let mut client = server.websocket();
    let _ = client.try_call("printer.gcode.script", json!({"script": "M112"}));
    client.expect("notify_klippy_shutdown");
    server.wait_for_klippy("shutdown");
}

#[test]
fn a_restart_that_cuts_the_connection_has_succeeded() {
    let (_sim, server) = Sim::ready();
    let mut client = server.websocket();
    for method in ["printer.restart", "printer.firmware_restart"] {
        assert_eq!(client.call(method, Value::Null), "ok", "{method}");
        client.expect("notify_klippy_disconnected");
        client.expect("notify_klippy_ready");
    }
    assert_eq!(server.post("/printer/restart", json!({})).result(), "ok");
}

#[test]
fn whatever_else_waits_when_the_connection_goes_is_told() {
    let (sim, server) = Sim::ready();
    sim.mute("gcode/script");
    let mut client = server.websocket();
    let waiting = client.start("printer.gcode.script", json!({"script": "G28"}));
    sim.expect("gcode/script", "G28");
    sim.drop_connections();
    let error = client.finish(waiting).unwrap_err();
    assert_eq!((error.code, &*error.message), (503, "Klippy Disconnected"));
    client.expect("notify_klippy_disconnected");
    // the socket is still there: the link comes back by itself
    client.expect("notify_klippy_ready");
}

#[test]
fn without_klippy_calls_are_refused_at_once() {
    let server = Perigee::start();
    let mut client = server.websocket();
    for (method, params) in [
        ("printer.info", json!({})),
        ("printer.objects.list", json!({})),
        ("printer.objects.query", json!({"objects": {"fan": null}})),
        ("printer.objects.subscribe", json!({"objects": {"fan": null}})),
        ("printer.gcode.script", json!({"script": "G28"})),
        ("printer.print.start", json!({"filename": "a.gcode"})),
        ("printer.print.pause", json!({})),
        ("printer.print.resume", json!({})),
        ("printer.print.cancel", json!({})),
        ("printer.restart", json!({})),
        ("printer.firmware_restart", json!({})),
        ("printer.emergency_stop", json!({})),
        ("printer.query_endstops.status", json!({})),
    ] {
        assert_eq!(client.fail(method, params).code, 503, "{method}");
    }
}

#[test]
fn endpoints_of_klippy_stay_known_when_it_goes() {
    let (sim, server) = Sim::ready();
    server.get("/printer/pause_resume/cancel").expect(200);
    server.get("/printer/nothing/there").error(404);
    sim.stop();
    server.wait_for_klippy("disconnected");
    server.get("/printer/pause_resume/cancel").error(503);
}

#[test]
fn endpoints_that_klippy_adds_are_offered() {
    let setup = Setup::new();
    let sim = Sim::start(&setup);
    sim.answer("new_module/do_it", &json!({"done": [1, 2.50, "x"]}));
    sim.answer("a/b/c", &json!({}));
    let server = setup.start();
    server.wait_for_klippy("ready");
    let mut client = server.websocket();
    assert_eq!(
        client.call("printer.new_module.do_it", json!({"x": {"y": 1}, "z": "1"})),
        json!({"done": [1, 2.5, "x"]})
    );
    assert_eq!(sim.requests_of("new_module/do_it")[0]["params"], json!({"x": {"y": 1}, "z": "1"}));
    for verb in ["GET", "POST"] {
        let request = crate::harness::Request::new(verb, "/printer/new_module/do_it?a=1&b:int=2&token=x");
        assert_eq!(server.send(&request).result(), json!({"done": [1, 2.5, "x"]}));
    }
    assert_eq!(sim.requests_of("new_module/do_it")[1]["params"], json!({"a": "1", "b": 2}));
    assert_eq!(server.send(&crate::harness::Request::delete("/printer/new_module/do_it")).status, 405);
    // an empty result is "ok"
    assert_eq!(client.call("printer.a.b.c", Value::Null), "ok");
}

#[test]
fn answers_are_passed_on_as_they_are() {
    let (sim, server) = Sim::ready();
    sim.mute("gcode/help");
    let mut client = server.websocket();
    for (answer, expected) in [
        (r#","result":{}"#, Ok(json!("ok"))),
        (r#","result":[]"#, Ok(json!("ok"))),
        (r#","result":"""#, Ok(json!("ok"))),
        (r#","result":0"#, Ok(json!("ok"))),
        (r#","result":false"#, Ok(json!("ok"))),
        (r#","result":{"a":null}"#, Ok(json!({"a": null}))),
        (r#","result":"text""#, Ok(json!("text"))),
        (
            r#","error":{"message":"Must home axis first","error":"WebRequestError"}"#,
            Err((400, "Must home axis first")),
        ),
        (r#","error":{"error":"WebRequestError"}"#, Err((400, ""))),
        (r#","error":"only text""#, Err((400, ""))),
        ("", Err((400, "Malformed Klippy Response"))),
    ] {
        let waiting = client.start("printer.gcode.help", Value::Null);
        sim.answer_with("gcode/help", answer);
        match (client.finish(waiting), expected) {
            (Ok(result), Ok(expected)) => assert_eq!(result, expected, "{answer}"),
            (Err(error), Err((code, message))) => {
                assert_eq!(error.code, code, "{answer}");
                assert!(message.is_empty() || error.message == message, "{answer}: {error:?}");
            }
            (found, _) => panic!("{answer}: {found:?}"),
        }
    }
}

#[test]
fn numbers_of_klippy_keep_every_digit() {
    let (sim, server) = Sim::ready();
    sim.mute("gcode/help");
    let mut http = server.connect();
    http.write(crate::harness::Request::get("/printer/gcode/help").head("x").as_bytes()).unwrap();
    sim.answer_with(
        "gcode/help",
        r#","result":{"a":1.10,"b":1e3,"c":123456789012345678901234567890,"d":0.1000000000000000055}"#,
    );
    let text = http.read_response(false).unwrap().expect(200).text();
    for number in ["1.10", "123456789012345678901234567890", "0.1000000000000000055"] {
        assert!(text.contains(number), "{text}");
    }
}

#[test]
fn a_printer_that_lacks_what_front_ends_need() {
    let setup = Setup::new();
    let sim = Sim::start(&setup);
    for object in ["virtual_sdcard", "display_status", "pause_resume"] {
        sim.controls().remove_object(object);
    }
    let server = setup.start();
    server.wait_for_klippy("ready");
    eventually("what is missing", || {
        let missing = server.info()["missing_klippy_requirements"].clone();
        (missing == json!(["display_status", "pause_resume", "virtual_sdcard"])).then_some(())
    });
}

#[test]
fn a_virtual_sd_card_elsewhere_is_warned_of() {
    let setup = Setup::new();
    let elsewhere = setup.dir.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let _sim = Sim::at(&setup.klippy_socket(), elsewhere, |_| {});
    let server = setup.start();
    server.wait_for_klippy("ready");
    eventually("the warning", || {
        server.info()["warnings"].to_string().contains("virtual_sdcard").then_some(())
    });
}

#[test]
fn what_klippy_says_of_its_log_and_source_is_used() {
    let setup = Setup::new();
    let log = setup.dir.write("klipper-logs/klippy.log", "a line of Klipper's log\n");
    let source = setup.dir.join("klipper");
    setup.dir.write("klipper/config/example.cfg", "[printer]\n");
    setup.dir.write("klipper/docs/Overview.md", "# Overview\n");
    let _sim = Sim::at(&setup.klippy_socket(), setup.data().join("gcodes"), |options| {
        options.log_file = log;
        options.klipper_path = source;
    });
    let server = setup.start();
    server.wait_for_klippy("ready");
    assert_eq!(server.get("/server/files/klippy.log").expect(200).text(), "a line of Klipper's log\n");
    let roots = server.get("/server/files/roots").result();
    assert_matches(
        &roots,
        &json!({"$has": [{"name": "config_examples", "permissions": "r"}, {"name": "docs", "permissions": "r"}]}),
    );
    assert_eq!(server.get("/server/files/config_examples/example.cfg").expect(200).text(), "[printer]\n");
    assert_eq!(server.delete("/server/files/docs/Overview.md").status, 405);
    let directories = server.info()["registered_directories"].to_string();
    assert!(directories.contains("config_examples") && directories.contains("docs"), "{directories}");
}

#[test]
fn macros_may_call_and_unknown_calls_are_logged_only() {
    let (sim, server) = Sim::ready();
    sim.send(&json!({"method": "no_such_method", "params": {"a": 1}}));
    sim.send(&json!({"method": "process_gcode_response", "params": {"response": "still here"}}));
    let mut client = server.websocket();
    sim.respond("and here");
    client.expect_where("notify_gcode_response", |params| params == &json!(["and here"]));
    server.wait_for_log("no_such_method");
}

/// What an agent offers to macros reaches it.
#[test]
fn an_agent_is_called_by_macros() {
    let (sim, server) = Sim::ready();
    let mut agent = server.websocket();
    agent.call(
        "server.connection.identify",
        json!({"client_name": "helper", "version": "1", "type": "agent", "url": "http://x"}),
    );
    assert_eq!(
        agent.call("connection.register_remote_method", json!({"method_name": "obico_remote_event"})),
        "ok"
    );
    sim.expect("register_remote_method", "obico_remote_event");
    eventually("a call to get through", || {
        let called =
            sim.controls().call_remote_method("obico_remote_event", &json!({"message": "hi", "n": 5}));
        (called == 1).then_some(())
    });
    assert_eq!(agent.expect("obico_remote_event"), json!({"message": "hi", "n": 5}));
    // again after Klippy was away
    sim.drop_connections();
    agent.expect("notify_klippy_ready");
    let calls = sim.requests_of("register_remote_method");
    let known =
        calls.iter().filter(|request| request["params"]["remote_method"] == "obico_remote_event").count();
    assert!(known >= 2, "{calls:?}");
    // the name is taken as long as the agent is there
    let mut other = server.websocket();
    other.call(
        "server.connection.identify",
        json!({"client_name": "other", "version": "1", "type": "agent", "url": "http://x"}),
    );
    assert_eq!(
        other.fail("connection.register_remote_method", json!({"method_name": "obico_remote_event"})).code,
        400
    );
    drop(agent);
    eventually("the name to be free", || {
        other.try_call("connection.register_remote_method", json!({"method_name": "obico_remote_event"})).ok()
    });
}

#[test]
fn only_agents_offer_methods_and_send_events() {
    let server = Perigee::start();
    let (mut client, _) = server.identified();
    assert_eq!(client.fail("connection.register_remote_method", json!({"method_name": "x"})).code, 400);
    assert_eq!(client.fail("connection.send_event", json!({"event": "x"})).code, 400);
    let mut agent = server.websocket();
    let who = json!({"client_name": "octo", "version": "1", "type": "agent", "url": "u"});
    agent.call("server.connection.identify", who.clone());
    assert_matches(
        &client.expect("notify_agent_event"),
        &json!([{"agent": "octo", "event": "connected", "data": {"name": "octo", "version": "1", "type": "agent", "url": "u"}}]),
    );
    assert_eq!(agent.call("connection.send_event", json!({"event": "hello", "data": {"a": 1}})), "ok");
    assert_eq!(
        client.expect("notify_agent_event"),
        json!([{"agent": "octo", "event": "hello", "data": {"a": 1}}])
    );
    assert_eq!(agent.fail("connection.send_event", json!({"event": "connected"})).code, 400);
    assert!(agent.take_named("notify_agent_event").is_empty(), "not to the sender");
    assert_matches(
        &client.call("server.extensions.list", Value::Null),
        &json!({"agents": [{"name": "octo", "version": "1", "type": "agent", "url": "u"}]}),
    );
    let mut twin = server.websocket();
    assert_eq!(twin.fail("server.connection.identify", who).code, 400);
    drop(agent);
    assert_matches(
        &client.expect("notify_agent_event"),
        &json!([{"agent": "octo", "event": "disconnected"}]),
    );
}

#[test]
fn requests_to_agents_go_there_and_back() {
    let server = Perigee::start();
    let mut agent = server.websocket();
    agent.call(
        "server.connection.identify",
        json!({"client_name": "octo", "version": "1", "type": "agent", "url": "u"}),
    );
    let mut client = server.websocket();
    assert_eq!(client.fail("server.extensions.request", json!({"agent": "nobody", "method": "m"})).code, 400);
    let mut exchange = |arguments: Value, answer: Value| {
        let mut params = json!({"agent": "octo", "method": "do"});
        if !arguments.is_null() {
            params["arguments"] = arguments;
        }
        let waiting = client.start("server.extensions.request", params);
        let mut asked = agent.answer_where(|message| message["method"] == "do");
        let mut reply = answer;
        reply["jsonrpc"] = json!("2.0");
        reply["id"] = asked["id"].clone();
        agent.send(&reply);
        (asked["params"].take(), client.finish(waiting))
    };
    assert_eq!(
        exchange(json!({"a": 1}), json!({"result": {"b": [1.50]}})),
        (json!({"a": 1}), Ok(json!({"b": [1.5]})))
    );
    assert_eq!(exchange(json!([1, 2]), json!({"result": "x"})), (json!([1, 2]), Ok(json!("x"))));
    let (params, _) = exchange(Value::Null, json!({"result": "x"}));
    assert_eq!(params, Value::Null, "no arguments, no params");
    let (_, failed) = exchange(json!({}), json!({"error": {"code": 5, "message": "no"}}));
    let error = failed.unwrap_err();
    assert_eq!((error.code, error.data), (424, json!({"code": 5, "message": "no"})));
    assert!(error.message.contains("octo"), "{}", error.message);
    let (_, failed) = exchange(json!({}), json!({"result": null}));
    assert_eq!(failed.unwrap_err().code, 424);
    assert_eq!(
        client
            .fail("server.extensions.request", json!({"agent": "octo", "method": "do", "arguments": 5}))
            .code,
        400
    );
    let waiting = client.start("server.extensions.request", json!({"agent": "octo", "method": "do"}));
    agent.answer_where(|message| message["method"] == "do");
    drop(agent);
    let error = client.finish(waiting).unwrap_err();
    assert_eq!((error.code, &*error.message), (500, "Client Socket Disconnected"));
}

#[test]
fn a_socket_that_appears_late_or_again_is_found() {
    let setup = Setup::new();
    let socket = setup.klippy_socket();
    // a plain file and a socket that nobody listens on are in the way first
    fs::write(&socket, "no socket").unwrap();
    let server = setup.start();
    fs::remove_file(&socket).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    fs::remove_file(&socket).unwrap();
    for _ in 0..3 {
        let sim = Sim::at(&socket, server.data("gcodes"), |_| {});
        server.wait_for_klippy("ready");
        sim.stop();
        server.wait_for_klippy("disconnected");
    }
}

/// Klippy reports each change once to a connection, and the answer to a subscription counts.
#[test]
fn a_shutdown_within_the_answer_to_a_subscription_is_a_shutdown() {
    let (sim, server) = Sim::ready();
    let mut client = server.websocket();
    // the server's own subscriptions are through
    eventually("temperatures", || {
        server.get("/server/temperature_store").result()["extruder"].is_object().then_some(())
    });
    sim.mute("objects/subscribe");
    sim.controls().clear_requests();
    let call = client.start("printer.objects.subscribe", json!({"objects": {"fan": null}}));
    let status = r#""webhooks":{"state":"shutdown","state_message":"It burns"},"fan":{"speed":0.0}"#;
    sim.answer_with("objects/subscribe", &format!(r#","result":{{"eventtime":1.5,"status":{{{status}}}}}"#));
    client.finish(call).unwrap();
    client.expect("notify_klippy_shutdown");
    assert_eq!(server.info()["klippy_state"], "shutdown");
}

#[test]
fn the_bridge_carries_klippys_own_protocol() {
    let (sim, server) = Sim::ready();
    let mut bridge = server.try_websocket("/klippysocket").unwrap_or_else(|refusal| panic!("{refusal:?}"));
    bridge.send_text(r#"{"id": "mine", "method": "info", "params": {}}"#);
    let answer = bridge.answer();
    assert_eq!((&answer["id"], &answer["result"]["state"]), (&json!("mine"), &json!("ready")));
    bridge.send_text(
        r#"{"id": 2, "method": "gcode/subscribe_output", "params": {"response_template": {"key": 345}}}"#,
    );
    assert_eq!(bridge.answer_where(|message| message["id"] == 2)["id"], 2);
    sim.respond("for all");
    let message = bridge.answer_where(|message| message["key"] == 345);
    assert_eq!(message["params"]["response"], "for all");
    // it is no JSON-RPC client
    let mut client = server.websocket();
    assert_eq!(client.call("server.info", Value::Null)["websocket_count"], 1);
    sim.drop_connections();
    assert_eq!(bridge.expect_close(), (Some(1001), "Klippy Disconnected".to_owned()));
}

#[test]
fn without_klippy_there_is_no_bridge() {
    let server = Perigee::start();
    let refusal = server.try_websocket("/klippysocket").map(|_| ()).unwrap_err();
    refusal.error(503);
}
