//! Section `[ldap]` (spec config.md §3).

use crate::api::Role;
use crate::auth::{Filter, LdapOptions, USERNAME};
use crate::config::{Config, ConfigError};

/// The port without and with TLS.
const PORTS: [u16; 2] = [389, 636];

/// Who is looked for: persons, by the name that Unix or Windows knows them by.
const FILTERS: [&str; 2] =
    ["(&(objectClass=Person)(uid=USERNAME))", "(&(objectClass=Person)(sAMAccountName=USERNAME))"];

/// The section, if there is one.
pub(super) fn options(config: &Config) -> Result<Option<LdapOptions>, ConfigError> {
    if !config.has_section("ldap") {
        return Ok(None);
    }
    let section = config.section("ldap");
    let host = section.string("ldap_host").required();
    let secure = section.boolean("ldap_secure").or(false)?;
    if secure && !cfg!(feature = "tls") {
        return Err(section.error("ldap_secure", "needs a build with the feature 'tls'"));
    }
    let port = section.int::<u16>("ldap_port").min(1).or(PORTS[usize::from(secure)]);
    let base_dn = section.rendered("base_dn").required();
    let group_dn = section.rendered("group_dn").optional();
    let is_active_directory = section.boolean("is_active_directory").or(false)?;
    let bind_dn = section.rendered("bind_dn").optional()?;
    let password = section.rendered("bind_password").secret();
    let bind = match bind_dn {
        Some(dn) => Some((dn, password.required()?)),
        None => password.optional()?.and(None),
    };
    let filter = section.rendered("user_filter").optional()?;
    if filter.as_ref().is_some_and(|filter| !filter.contains(USERNAME)) {
        return Err(section.error("user_filter", format!("must have {USERNAME} in it")));
    }
    let filter = filter.unwrap_or_else(|| FILTERS[usize::from(is_active_directory)].to_owned());
    let attributes = ["memberOf", "isMemberOf"].map(|name| (name, name));
    Ok(Some(LdapOptions {
        host: host?,
        port: port?,
        secure,
        ca_file: section.path("ca_file").optional()?,
        base_dn: base_dn?,
        group_dn: group_dn?,
        check_dn_case: section.boolean("check_dn_case").or(true)?,
        membership_attribute: section.choice("membership_attribute", &attributes).or("memberOf")?,
        bind,
        user_filter: Filter::parse(&filter)
            .map_err(|reason| section.error("user_filter", format!("is no filter: {reason}")))?,
        role: section.choice("role", &Role::NAMES).or(Role::Admin)?,
    }))
}
