//! The options of all parts, read and checked before any part is built.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use crate::api::Role;
use crate::auth::{self, Network, Networks, Source, TrustedClients};
use crate::components::{data_store, files, machine};
use crate::config::{Config, ConfigError, Section};
use crate::host::Host;
use crate::host::power::PowerAction;
use crate::host::services::Kind;
use crate::transport::DEFAULT_STRANGER_RATE;
use crate::transport::http::{Cors, Hosts, Rules};

/// Where clients are listened for if nothing is said: everywhere, over IPv4.
const DEFAULT_HOST: &str = "0.0.0.0";

/// The port of Moonraker's API.
const DEFAULT_PORT: u16 = 7125;

/// The same over TLS.
const DEFAULT_SSL_PORT: u16 = 7130;

/// Options of `[server]` that are the server's own.
#[derive(Debug, Clone)]
pub(super) struct ServerOptions {
    pub(super) host: String,
    pub(super) port: u16,
    /// The port for HTTPS; none when there is to be none.
    pub(super) ssl_port: Option<u16>,
    /// Whether a certificate is to be made where there is none.
    pub(super) ssl_auto: bool,
    /// Certificate and key, if they are not in the data folder.
    pub(super) ssl_files: Option<(PathBuf, PathBuf)>,
    pub(super) klippy_uds_address: PathBuf,
    pub(super) max_upload_size: u64,
    pub(super) max_websocket_connections: usize,
    pub(super) route_prefix: String,
    pub(super) query_from_cache: bool,
}

/// Options of `[file_manager]`.
#[derive(Debug, Clone)]
pub(super) struct FileOptions {
    pub(super) part: files::Options,
    #[cfg(feature = "job_queue")]
    pub(super) queue_gcode_uploads: bool,
    pub(super) enable_object_processing: bool,
    pub(super) observe: bool,
    pub(super) enable_observer_warnings: bool,
    pub(super) enable_config_write_access: bool,
}

/// Options of `[authorization]`.
#[derive(Debug, Clone)]
pub(super) struct Authorization {
    pub(super) auth: auth::Options,
    pub(super) cors: Cors,
    pub(super) rules: Rules,
    /// Requests a second that a stranger's address may make.
    pub(super) stranger_request_rate: u32,
}

/// All options.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) server: ServerOptions,
    pub(super) files: FileOptions,
    pub(super) data_store: data_store::Options,
    pub(super) machine: machine::Options,
    pub(super) authorization: Authorization,
    #[cfg(feature = "octoprint_compat")]
    pub(super) octoprint_compat: Option<crate::components::octoprint_compat::Options>,
    #[cfg(feature = "announcements")]
    pub(super) announcements: crate::components::announcements::Options,
    #[cfg(feature = "job_queue")]
    pub(super) job_queue: crate::components::job_queue::Options,
    #[cfg(feature = "webcam")]
    pub(super) webcams: Vec<crate::components::webcam::Camera>,
}

impl Settings {
    /// Reads them. On an error reading goes on, so that `config.errors()` has all of them.
    ///
    /// # Errors
    /// The first wrong option.
    pub(super) fn read(config: &Config) -> Result<Self, ConfigError> {
        let server = server(config);
        let files = file_manager(config);
        let data_store = data_store(config);
        let database = database(config);
        let machine = machine(config);
        #[cfg(feature = "octoprint_compat")]
        let octoprint_compat = octoprint_compat(config);
        #[cfg(not(feature = "octoprint_compat"))]
        config.mark_unavailable("octoprint_compat", "octoprint_compat");
        database?;
        #[cfg(not(feature = "ldap"))]
        config.mark_unavailable("ldap", "ldap");
        #[cfg(feature = "history")]
        config.section("history");
        #[cfg(not(feature = "history"))]
        config.mark_unavailable("history", "history");
        #[cfg(feature = "announcements")]
        let announcements = announcements(config);
        #[cfg(not(feature = "announcements"))]
        config.mark_unavailable("announcements", "announcements");
        #[cfg(feature = "job_queue")]
        let job_queue = job_queue(config);
        #[cfg(not(feature = "job_queue"))]
        config.mark_unavailable("job_queue", "job_queue");
        #[cfg(feature = "webcam")]
        let webcams = webcams(config);
        #[cfg(not(feature = "webcam"))]
        config.mark_unavailable("webcam", "webcam");
        let server = server?;
        Ok(Self {
            authorization: authorization(config, server.port)?,
            server,
            files: files?,
            data_store: data_store?,
            machine: machine?,
            #[cfg(feature = "octoprint_compat")]
            octoprint_compat: octoprint_compat?,
            #[cfg(feature = "announcements")]
            announcements: announcements?,
            #[cfg(feature = "job_queue")]
            job_queue: job_queue?,
            #[cfg(feature = "webcam")]
            webcams: webcams?,
        })
    }
}

/// `[server]` (spec config.md §3).
fn server(config: &Config) -> Result<ServerOptions, ConfigError> {
    const MIB: u64 = 1024 * 1024;
    let section = config.section("server");
    let prefix = section.string("route_prefix").optional()?;
    let route_prefix = match prefix.as_deref().map(|prefix| prefix.trim_matches('/')) {
        None => String::new(),
        Some("") => return Err(section.error("route_prefix", "must not be empty")),
        Some(prefix) => route_prefix(prefix),
    };
    let host = section.string("host").or(DEFAULT_HOST);
    let port = section.int::<u16>("port").min(1).max(65535).or(DEFAULT_PORT);
    let ssl_port = section.int::<u16>("ssl_port").min(1).max(65535).or(DEFAULT_SSL_PORT);
    let ssl_auto = section.boolean("ssl_auto").or(false);
    let ssl_files = [ssl_file(&section, "ssl_certificate_path"), ssl_file(&section, "ssl_key_path")];
    let klippy_uds_address = section.path("klippy_uds_address").or("/tmp/klippy_uds");
    let max_upload_size = section.int::<u64>("max_upload_size").min(1).or(1024);
    let max_websocket_connections = section.int("max_websocket_connections").min(1).or(50);
    let query_from_cache = section.boolean("query_from_cache").or(true);
    let port = port?;
    let [cert, key] = ssl_files;
    Ok(ServerOptions {
        host: host?,
        ssl_port: unless_same(&section, port, ssl_port?),
        ssl_auto: ssl_auto?,
        ssl_files: cert?.zip(key?),
        port,
        klippy_uds_address: klippy_uds_address?,
        max_upload_size: max_upload_size?.saturating_mul(MIB),
        max_websocket_connections: max_websocket_connections?,
        route_prefix,
        query_from_cache: query_from_cache?,
    })
}

/// A file of the certificate's, outside the data folder.
fn ssl_file(section: &Section, option: &str) -> Result<Option<PathBuf>, ConfigError> {
    let path = section.path(option).optional()?;
    match path.as_ref().is_some_and(|path| !path.is_file()) {
        true => Err(section.error(option, "names no file")),
        false => Ok(path),
    }
}

fn unless_same(section: &Section, port: u16, ssl_port: u16) -> Option<u16> {
    if port == ssl_port {
        section.warn("ssl_port is the same as port; there is no HTTPS");
    }
    (port != ssl_port).then_some(ssl_port)
}

/// `[machine]` (spec config.md §3). The default of `provider` is what runs this machine.
fn machine(config: &Config) -> Result<machine::Options, ConfigError> {
    let section = config.section("machine");
    let validation = machine::Validation {
        service: section.boolean("validate_service").or(true)?,
        config: section.boolean("validate_config").or(true)?,
        force: section.boolean("force_validation").or(false)?,
    };
    let actions = [("poweroff", PowerAction::PowerOff), ("halt", PowerAction::Halt)];
    let shutdown_action = section.choice("shutdown_action", &actions).any_case().or(PowerAction::PowerOff)?;
    let providers = Kind::ALL.map(|kind| (kind.name(), kind));
    let provider = section.choice("provider", &providers).or(Kind::detect(&Host::default()))?;
    let supervisord_config = section.string("supervisord_config_path").or("")?;
    Ok(machine::Options {
        provider,
        shutdown_action,
        sudo_password: section.rendered("sudo_password").secret().optional()?,
        supervisord_config: Some(supervisord_config).filter(|path| !path.is_empty()).map(PathBuf::from),
        validation,
    })
}

/// `/a/b` with each segment as it stands in an address.
fn route_prefix(prefix: &str) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &percent_encoding::AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    let segments = prefix.split('/').filter(|segment| !segment.is_empty());
    segments.map(|segment| format!("/{}", utf8_percent_encode(segment, KEPT))).collect()
}

/// `[file_manager]` (spec config.md §3).
fn file_manager(config: &Config) -> Result<FileOptions, ConfigError> {
    let section = config.section_or_server("file_manager");
    for ignored in ["config_path", "log_path"] {
        section.string(ignored).deprecated().optional()?;
    }
    let observer = section.string("file_system_observer").or("inotify")?;
    let observe = match observer.to_ascii_lowercase().as_str() {
        "inotify" => true,
        "none" => false,
        other => {
            section.warn(format!("There is no file_system_observer '{other}'; files are not observed"));
            false
        }
    };
    // every reader of G-code here is bounded by its own windows, so there is nothing to time out
    section.float("default_metadata_parser_timeout").optional()?;
    let queue_gcode_uploads = section.boolean("queue_gcode_uploads").or(false)?;
    #[cfg(not(feature = "job_queue"))]
    if queue_gcode_uploads {
        section.warn("queue_gcode_uploads has no effect: this build has no job queue (feature job_queue)");
    }
    let enable_observer_warnings = section.boolean("enable_observer_warnings").or(true)?;
    Ok(FileOptions {
        part: files::Options {
            check_klipper_config_path: section.boolean("check_klipper_config_path").or(true)?,
        },
        #[cfg(feature = "job_queue")]
        queue_gcode_uploads,
        enable_object_processing: section.boolean("enable_object_processing").or(false)?,
        observe,
        enable_observer_warnings: section
            .boolean("enable_inotify_warnings")
            .deprecated()
            .or(enable_observer_warnings)?,
        enable_config_write_access: section.boolean("enable_config_write_access").or(true)?,
    })
}

/// `[data_store]`.
fn data_store(config: &Config) -> Result<data_store::Options, ConfigError> {
    let section = config.section_or_server("data_store");
    let temperature_store_size = section.int("temperature_store_size").min(0).max(86_400).or(1200);
    let gcode_store_size = section.int("gcode_store_size").min(0).max(100_000).or(1000);
    Ok(data_store::Options {
        temperature_store_size: temperature_store_size?,
        gcode_store_size: gcode_store_size?,
    })
}

/// `[database]`, whose options mean nothing any more (spec config.md §3).
fn database(config: &Config) -> Result<(), ConfigError> {
    let section = config.section("database");
    section.string("database_path").deprecated().optional()?;
    section.boolean("enable_database_debug").deprecated().optional()?;
    Ok(())
}

/// `[authorization]` (spec config.md §3). `port` is where the server listens, which tokens name.
fn authorization(config: &Config, port: u16) -> Result<Authorization, ConfigError> {
    let section = config.section_or_server("authorization");
    let (trusted_clients, refused) =
        TrustedClients::new(section.list::<String>("trusted_clients").or_empty()?);
    let (cors, wrong) =
        Cors::new(section.list::<String>("cors_domains").or_empty()?, trusted_clients.clone());
    refused.into_iter().chain(wrong).for_each(|reason| section.warn(reason));
    let host = nix::unistd::gethostname().unwrap_or_default();
    let roles = Role::NAMES;
    let auth = auth::Options {
        login_timeout: section.int("login_timeout").min(1).or(90)?,
        force_logins: section.boolean("force_logins").or(false)?,
        default_source: source(&section, config.has_section("ldap"))?,
        enable_api_key: section.boolean("enable_api_key").or(true)?,
        max_login_attempts: section.int("max_login_attempts").above(0).optional()?,
        trusted_clients,
        trusted_role: section.choice("trusted_role", &roles).or(Role::Admin)?,
        unix_socket_role: section.choice("unix_socket_role", &roles).or(Role::Admin)?,
        issuer: format!("http://{}:{port}", host.to_string_lossy()),
        #[cfg(feature = "ldap")]
        ldap: super::ldap::options(config)?,
    };
    let stranger_request_rate = section.int("stranger_request_rate").min(0).or(DEFAULT_STRANGER_RATE)?;
    Ok(Authorization { auth, cors, rules: rules(&section)?, stranger_request_rate })
}

/// Who is asked for passwords. Existing files may hold anything, so a wrong word is warned of (spec config.md §3).
fn source(section: &Section, has_ldap: bool) -> Result<Source, ConfigError> {
    let word = section.string("default_source").or(Source::Moonraker.name())?;
    match word.to_ascii_lowercase().as_str() {
        "moonraker" => Ok(Source::Moonraker),
        "ldap" if has_ldap && cfg!(feature = "ldap") => Ok(Source::Ldap),
        "ldap" => {
            section.warn("default_source is ldap, and there is no LDAP server; it is 'moonraker'");
            Ok(Source::Moonraker)
        }
        _ => {
            section.warn(format!("There is no source '{word}' of users; it is 'moonraker'"));
            Ok(Source::Moonraker)
        }
    }
}

/// The options of `[authorization]` that the reference does not have.
fn rules(section: &Section) -> Result<Rules, ConfigError> {
    let names = section.list::<String>("allowed_hosts").or_empty()?;
    let check_host = section.boolean("check_host").or(true)?;
    let trusted_proxies = match section.list::<String>("trusted_proxies").optional()? {
        None => Networks::loopback(),
        Some(entries) => {
            let mut proxies = Networks::default();
            for entry in entries {
                match entry.parse::<Network>() {
                    Ok(network) => proxies.add(network),
                    Err(reason) => section.warn(format!("trusted proxy '{entry}' {reason}")),
                }
            }
            proxies
        }
    };
    Ok(Rules {
        trusted_proxies,
        hosts: check_host.then(|| Hosts::new(names)),
        check_origin: section.boolean("check_origin").or(true)?,
    })
}

/// `[octoprint_compat]`, if there is such a section.
#[cfg(feature = "octoprint_compat")]
fn octoprint_compat(
    config: &Config,
) -> Result<Option<crate::components::octoprint_compat::Options>, ConfigError> {
    if !config.has_section("octoprint_compat") {
        return Ok(None);
    }
    let section = config.section("octoprint_compat");
    Ok(Some(crate::components::octoprint_compat::Options {
        enable_ufp: section.boolean("enable_ufp").or(true)?,
        flip_h: section.boolean("flip_h").or(false)?,
        flip_v: section.boolean("flip_v").or(false)?,
        rotate_90: section.boolean("rotate_90").or(false)?,
        stream_url: section.string("stream_url").or("/webcam/?action=stream")?,
        webcam_enabled: section.boolean("webcam_enabled").or(true)?,
    }))
}

/// `[announcements]` (spec config.md §3).
#[cfg(feature = "announcements")]
fn announcements(config: &Config) -> Result<crate::components::announcements::Options, ConfigError> {
    let section = config.section_or_server("announcements");
    let url = section.string("moonlight_url").or(crate::components::announcements::MOONLIGHT)?;
    if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(section.error("moonlight_url", "must begin with http:// or https://"));
    }
    Ok(crate::components::announcements::Options {
        subscriptions: section.list("subscriptions").or_empty()?,
        enable_moonlight: section.boolean("enable_moonlight").or(true)?,
        moonlight_url: url.trim_end_matches('/').to_owned(),
        dev_mode: section.boolean("dev_mode").or(false)?,
    })
}

/// `[job_queue]` (spec config.md §3).
#[cfg(feature = "job_queue")]
fn job_queue(config: &Config) -> Result<crate::components::job_queue::Options, ConfigError> {
    let section = config.section_or_server("job_queue");
    Ok(crate::components::job_queue::Options {
        load_on_startup: section.boolean("load_on_startup").or(false)?,
        automatic_transition: section.boolean("automatic_transition").or(false)?,
        job_transition_delay: section.float("job_transition_delay").above(0.0).or(0.01)?,
        job_transition_gcode: section.string("job_transition_gcode").or("")?,
    })
}

/// `[webcam <name>]` (spec config.md §3).
#[cfg(feature = "webcam")]
fn webcams(config: &Config) -> Result<Vec<crate::components::webcam::Camera>, ConfigError> {
    config.sections_named("webcam").iter().map(webcam).collect()
}

#[cfg(feature = "webcam")]
fn webcam(section: &crate::config::Section) -> Result<crate::components::webcam::Camera, ConfigError> {
    use crate::components::webcam::{Camera, Source, is_aspect_ratio, is_rotation};
    let blank = Camera::blank(String::new());
    let camera = Camera {
        name: section.instance().to_owned(),
        enabled: section.boolean("enabled").or(blank.enabled)?,
        icon: section.string("icon").or(blank.icon)?,
        aspect_ratio: section.string("aspect_ratio").or(blank.aspect_ratio)?,
        target_fps: section.int("target_fps").or(blank.target_fps)?,
        target_fps_idle: section.int("target_fps_idle").or(blank.target_fps_idle)?,
        location: section.string("location").or(blank.location)?,
        service: section.string("service").or(blank.service)?,
        stream_url: section.string("stream_url").required()?,
        snapshot_url: section.string("snapshot_url").or("")?,
        flip_horizontal: section.boolean("flip_horizontal").or(false)?,
        flip_vertical: section.boolean("flip_vertical").or(false)?,
        rotation: section.int("rotation").or(0)?,
        source: Source::Config,
        extra_data: blank.extra_data,
        uid: blank.uid,
    };
    if !is_rotation(camera.rotation) {
        return Err(section.error("rotation", "must be 0, 90, 180 or 270"));
    }
    if !is_aspect_ratio(&camera.aspect_ratio) {
        return Err(section.error("aspect_ratio", "must be two whole numbers with a colon between them"));
    }
    Ok(camera)
}

/// The addresses to listen on. `all` is every address of this machine.
///
/// # Errors
/// Those of looking up a name. Blocking.
pub(super) fn addresses(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let any = |address: IpAddr| SocketAddr::new(address, port);
    match host.trim() {
        // the IPv6 socket takes IPv4 as well
        host if host.eq_ignore_ascii_case("all") => Ok(vec![any(Ipv6Addr::UNSPECIFIED.into())]),
        "" | "0.0.0.0" => Ok(vec![any(Ipv4Addr::UNSPECIFIED.into())]),
        host => Ok((host, port).to_socket_addrs()?.take(1).collect()),
    }
}
