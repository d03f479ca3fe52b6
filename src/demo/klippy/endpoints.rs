//! The endpoints of Klippy's API server.

use serde_json::{Value, json};

use super::clock::Seconds;
use super::gcode::CommandError;
use super::printer::State;
use super::queries::read_wanted;
use super::request::{Request, Template};
use super::world::{Job, MAX_REMOTE_METHODS, Shared, Ticket, Work, World};
use crate::json::to_text;

/// Those that there are before the configuration has been read.
const EARLY: [&str; 12] = [
    "list_endpoints",
    "info",
    "emergency_stop",
    "register_remote_method",
    "gcode/help",
    "gcode/script",
    "gcode/restart",
    "gcode/firmware_restart",
    "gcode/subscribe_output",
    "objects/list",
    "objects/query",
    "objects/subscribe",
];

/// Those that come with the printer's parts.
const LATE: [&str; 5] = [
    "pause_resume/cancel",
    "pause_resume/pause",
    "pause_resume/resume",
    "bed_mesh/dump_mesh",
    "query_endstops/status",
];

/// What comes of a request.
enum Reply {
    /// A result as JSON text.
    Now(String),
    /// It will be answered later.
    Later,
}

const EMPTY: &str = "{}";

impl World {
    /// The endpoints that there are now.
    fn endpoints(&self) -> Vec<String> {
        let late: &[&str] = if self.printer.machine.is_some() { &LATE } else { &[] };
        let own = EARLY.iter().chain(late).map(|name| (*name).to_owned());
        own.filter(|name| !self.faults.missing_endpoints.contains(name))
            .chain(self.faults.endpoints.keys().cloned())
            .collect()
    }

    fn queue(&mut self, work: Work, ticket: Ticket) -> Result<Reply, String> {
        self.check_waiting()?;
        self.jobs.push_back(Job { work, ticket: Some(ticket) });
        Ok(Reply::Later)
    }
}

/// Takes a frame of a client.
pub(super) fn receive(shared: &Shared, client: u64, frame: &[u8]) {
    let request = Request::parse(frame);
    shared.with(|world, now| {
        let Some(request) = request else {
            world.record.garbage += 1;
            return;
        };
        world.record.keep(client, &request);
        let ticket = Ticket { client, id: request.id.clone(), method: request.method.clone() };
        if let Some(error) = world.faults.errors.get(&request.method).cloned() {
            world.answer(&ticket, Err(&error));
            return;
        }
        match handle(shared, world, &request, ticket.clone(), now) {
            Ok(Reply::Now(result)) => world.answer(&ticket, Ok(&result)),
            Ok(Reply::Later) => {}
            Err(message) => world.answer(&ticket, Err(&message)),
        }
    });
}

fn handle(
    shared: &Shared,
    world: &mut World,
    request: &Request,
    ticket: Ticket,
    now: Seconds,
) -> Result<Reply, String> {
    let method = request.method.as_str();
    if let Some(answer) = world.faults.endpoints.get(method) {
        return Ok(Reply::Now(answer.clone()));
    }
    let late = LATE.contains(&method) && world.printer.machine.is_some();
    if world.faults.missing_endpoints.contains(method) || !(EARLY.contains(&method) || late) {
        return Err(format!("webhooks: No registered callback for path '{method}'"));
    }
    match method {
        "list_endpoints" => Ok(Reply::Now(json!({ "endpoints": world.endpoints() }).to_string())),
        "info" => info(shared, &world.printer.state, request).map(|info| Reply::Now(to_text(&info))),
        "emergency_stop" => {
            world.printer.shut_down("Shutdown due to webhooks request", now);
            Ok(Reply::Now(EMPTY.to_owned()))
        }
        "register_remote_method" => {
            let template = Template::new(Some(request.object("response_template")?));
            let name = request.text("remote_method")?.to_owned();
            if world.remote.len() >= MAX_REMOTE_METHODS && !world.remote.contains_key(&name) {
                return Err("Too many remote methods".to_owned());
            }
            world.remote.entry(name).or_default().insert(ticket.client, template);
            Ok(Reply::Now(EMPTY.to_owned()))
        }
        "gcode/help" => Ok(Reply::Now(world.printer.help_text().to_string())),
        "gcode/script" => {
            let script = request.text("script")?.to_owned();
            world.queue(Work::Script(script), ticket)
        }
        "gcode/restart" => world.queue(Work::Script("restart".to_owned()), ticket),
        "gcode/firmware_restart" => world.queue(Work::Script("firmware_restart".to_owned()), ticket),
        "gcode/subscribe_output" => {
            let template = Template::new(request.optional_object("response_template")?);
            if let Some(client) = world.clients.get_mut(&ticket.client) {
                client.terminal = Some(template);
            }
            Ok(Reply::Now(EMPTY.to_owned()))
        }
        "objects/list" => {
            let names = world.faults.names(world.printer.object_names());
            Ok(Reply::Now(json!({ "objects": names }).to_string()))
        }
        "objects/query" | "objects/subscribe" => query(shared, world, request, ticket, now),
        "pause_resume/pause" => world.queue(Work::Script("PAUSE".to_owned()), ticket),
        "pause_resume/resume" => world.queue(Work::Script("RESUME".to_owned()), ticket),
        "pause_resume/cancel" => world.queue(Work::Script("CANCEL_PRINT".to_owned()), ticket),
        "query_endstops/status" => world.queue(Work::Endstops, ticket),
        _ => dump_mesh(world, request).map(Reply::Now),
    }
}

fn info(shared: &Shared, state: &State, request: &Request) -> Result<Value, String> {
    request.optional_object("client_info")?;
    let options = &shared.options;
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Ok(json!({
        "state": state.name(),
        "state_message": state.message(),
        "hostname": hostname.trim(),
        "klipper_path": options.klipper_path.to_string_lossy(),
        "python_path": options.python_path.to_string_lossy(),
        "process_id": std::process::id(),
        "user_id": nix::unistd::getuid().as_raw(),
        "group_id": nix::unistd::getgid().as_raw(),
        "log_file": options.log_file.to_string_lossy(),
        "config_file": options.config_file.to_string_lossy(),
        "software_version": options.software_version,
        "cpu_info": "4 core ARMv7 Processor rev 4 (v7l)",
    }))
}

fn query(
    shared: &Shared,
    world: &mut World,
    request: &Request,
    ticket: Ticket,
    now: Seconds,
) -> Result<Reply, String> {
    let wanted = read_wanted(request.object("objects")?)?;
    let template = Template::new(request.optional_object("response_template")?);
    let subscribe = (request.method == "objects/subscribe").then_some(template);
    world.check_waiting()?;
    world.queries.ask(ticket, wanted, subscribe);
    if world.faults.at_once {
        world.tick(now, shared.clock.event_time(), true);
    }
    Ok(Reply::Later)
}

fn dump_mesh(world: &mut World, request: &Request) -> Result<String, String> {
    request.optional_object("mesh_args")?;
    let Some(machine) = &world.printer.machine else {
        return Err(CommandError::new("Printer not ready").0);
    };
    let offset = |axis: &str| machine.config.number("probe", axis).unwrap_or_default();
    let mut dump = machine.mesh.dump([offset("x_offset"), offset("y_offset"), offset("z_offset")]);
    let limits = &machine.toolhead.limits;
    for (name, [x, y, z]) in [("axis_minimum", limits.min), ("axis_maximum", limits.max)] {
        dump[name] = json!([x, y, z, 0]);
    }
    Ok(dump.to_string())
}
