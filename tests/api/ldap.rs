//! Log-ins with passwords that a real OpenLDAP server keeps, on an address of its own.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::pattern::assert_matches;
use crate::harness::seed::user;
use crate::harness::server::free_address;
use crate::harness::{Perigee, Setup, TempDir, eventually};

const READER: &str = "cn=reader,dc=example,dc=org";

/// Those below `ou=robots` are no persons; `twin` is there twice.
const ENTRIES: &str = "
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: cn=reader,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: redaer

dn: ou=robots,dc=example,dc=org
objectClass: organizationalUnit
ou: robots

";

fn person(name: &str, place: &str, group: Option<&str>) -> String {
    let group = group.map_or(String::new(), |group| format!("memberOf: cn={group},dc=example,dc=org\n"));
    format!(
        "dn: uid={name},{place}dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
         mail: {name}@example.org\nuserPassword: {}\n{group}\n",
        password(name)
    )
}

fn password(name: &str) -> String {
    format!("pw-{name}")
}

/// An OpenLDAP server.
struct Slapd {
    address: SocketAddr,
    secure: Option<SocketAddr>,
    process: Child,
    dir: TempDir,
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program(name: &str) -> Option<String> {
    ["/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/bin"]
        .into_iter()
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| Path::new(path).exists())
}

impl Slapd {
    /// Starts one; none where it is not installed. `access` says who may read.
    fn start(access: &str, tls: bool) -> Option<Self> {
        let (Some(slapd), Some(slapadd)) = (program("slapd"), program("slapadd")) else {
            println!("skipped: there is no slapd, install OpenLDAP");
            return None;
        };
        let (address, secure) = (free_address(), tls.then(free_address));
        let dir = TempDir::new();
        std::fs::create_dir(dir.join("db")).unwrap();
        let tls = if tls { certificate(&dir, secure.unwrap()) } else { String::new() };
        let config = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             moduleload memberof\npidfile {0}/pid\n{tls}database mdb\nmaxsize 10485760\nsuffix dc=example,dc=org\n\
             directory {0}/db\naccess to attrs=userPassword by anonymous auth\n{access}\n",
            dir.path().display()
        );
        dir.write("slapd.conf", config);
        let twins = person("twin", "", None) + &person("twin", "ou=robots,", None);
        let people = person("anna", "", Some("printers")) + &person("bob", "", Some("others"));
        dir.write("entries.ldif", format!("{ENTRIES}{people}{twins}"));
        let added = Command::new(slapadd)
            .arg("-f")
            .arg(dir.join("slapd.conf"))
            .arg("-l")
            .arg(dir.join("entries.ldif"))
            .output()
            .unwrap();
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let mut urls = format!("ldap://{address}");
        if let Some(secure) = secure {
            urls += &format!(" ldaps://{secure}");
        }
        let process = Command::new(slapd)
            .arg("-f")
            .arg(dir.join("slapd.conf"))
            .args(["-d", "0", "-h", &urls])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let slapd = Self { address, secure, process, dir };
        for address in [Some(address), secure].into_iter().flatten() {
            eventually("slapd to listen", || TcpStream::connect(address).ok());
        }
        Some(slapd)
    }

    /// A server that asks it.
    fn perigee(&self, options: &str) -> Perigee {
        let options = options
            .replace("{port}", &self.address.port().to_string())
            .replace("{host}", &self.address.ip().to_string());
        let sections = format!(
            "[authorization]\ndefault_source: ldap\n[ldap]\nldap_host: {}\nldap_port: {}\n\
             base_dn: dc=example,dc=org\n{options}",
            self.address.ip(),
            self.secure.unwrap_or(self.address).port()
        );
        Setup::new().strangers().sections(&sections).seeded(&[user("olaf", None)], &[]).start()
    }
}

#[cfg(feature = "tls")]
fn certificate(dir: &TempDir, address: SocketAddr) -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![address.ip().to_string()]).unwrap();
    dir.write("ldap.key", key.serialize_pem());
    dir.write("ldap.cert", params.self_signed(&key).unwrap().pem());
    format!("TLSCertificateFile {0}/ldap.cert\nTLSCertificateKeyFile {0}/ldap.key\n", dir.path().display())
}

#[cfg(not(feature = "tls"))]
fn certificate(_: &TempDir, _: SocketAddr) -> String {
    String::new()
}

/// The status of a log-in. Each comes from an address of its own, so that none has to wait.
fn login(server: &Perigee, name: &str, password: &str) -> u16 {
    use std::sync::atomic::{AtomicU8, Ordering};
    static CLIENT: AtomicU8 = AtomicU8::new(1);
    let address = format!("10.0.0.{}", CLIENT.fetch_add(1, Ordering::Relaxed));
    let body = json!({"username": name, "password": password});
    let request = crate::harness::Request::post("/access/login").json(&body);
    server.send(&request.header("X-Forwarded-For", &address)).status
}

const ANYBODY: &str = "access to * by * read";

#[test]
fn who_is_known_there_logs_in_here() {
    let Some(slapd) = Slapd::start(ANYBODY, false) else { return };
    let server = slapd.perigee("");
    let info = server.get("/access/info").result();
    assert_matches(&info, &json!({"default_source": "ldap", "available_sources": ["moonraker", "ldap"]}));

    let answer = server.post("/access/login", json!({"username": "anna", "password": password("anna")}));
    let answer = answer.result();
    assert_matches(&answer, &json!({"username": "anna", "source": "ldap", "action": "user_logged_in"}));
    let token = answer["token"].as_str().unwrap();
    let request = crate::harness::Request::get("/access/user");
    let own = server.send(&request.header("Authorization", &format!("Bearer {token}"))).result();
    assert_matches(&own, &json!({"username": "anna", "source": "ldap", "role": "admin"}));
    assert_eq!(login(&server, "anna", "pw-anna"), 200, "again");

    for (name, password) in [
        ("anna", "wrong"),
        ("anna", ""),
        ("nobody", "x"),
        ("", ""),
        ("*", "pw-anna"),
        ("ann*", "pw-anna"),
        ("anna)(uid=*", "pw-anna"),
        ("\\61nna", "pw-anna"),
        ("twin", "pw-twin"),
        // whose password is kept here
        ("olaf", "Passw0rd-anna"),
    ] {
        let status = login(&server, name, password);
        assert!([400, 401].contains(&status), "{status} for {name:?} with {password:?}");
    }
    let body = json!({"username": "olaf", "password": "Passw0rd-anna", "source": "moonraker"});
    server.post("/access/login", body).expect(200);
    // and whose is there has none here
    let body = json!({"username": "anna", "password": "", "source": "moonraker"});
    server.post("/access/login", body).error(400);
    let users = server.unix_socket().call("access.users.list", Value::Null);
    assert_eq!(users["users"].as_array().unwrap().len(), 2, "{users}");
    assert!(!server.log().contains("panic"));
}

#[test]
fn groups_filters_and_roles() {
    let Some(slapd) = Slapd::start(ANYBODY, false) else { return };
    let server = slapd.perigee("group_dn: cn=printers,dc=example,dc=org\nrole: read_only");
    assert_eq!((login(&server, "anna", "pw-anna"), login(&server, "bob", "pw-bob")), (200, 401));
    let users = server.unix_socket().call("access.users.list", Value::Null).to_string();
    assert!(users.contains("read_only"), "{users}");

    let server = slapd.perigee("group_dn: CN=Printers,DC=example,DC=org");
    assert_eq!(login(&server, "anna", "pw-anna"), 401);
    let server = slapd.perigee("group_dn: CN=Printers,DC=example,DC=org\ncheck_dn_case: False");
    assert_eq!(login(&server, "anna", "pw-anna"), 200);

    let server = slapd.perigee("user_filter: (&(|(mail=USERNAME@example.org)(mail=USERNAME))(!(uid=bob)))");
    assert_eq!(login(&server, "anna@example.org", "pw-anna"), 200);
    assert_eq!((login(&server, "anna", "pw-anna"), login(&server, "bob", "pw-bob")), (200, 401));
    let server = slapd.perigee("user_filter: (uid:caseExactMatch:=USERNAME)");
    assert_eq!((login(&server, "anna", "pw-anna"), login(&server, "Anna", "pw-anna")), (200, 401));
    // there is no sAMAccountName here
    let server = slapd.perigee("is_active_directory: True");
    assert_eq!(login(&server, "anna", "pw-anna"), 401);
}

#[test]
fn a_directory_that_not_everybody_may_read() {
    let Some(slapd) = Slapd::start(&format!("access to * by dn.exact=\"{READER}\" read by * none"), false)
    else {
        return;
    };
    assert_eq!(login(&slapd.perigee(""), "anna", "pw-anna"), 503, "nobody may search");
    let server = slapd.perigee(&format!("bind_dn: {READER}\nbind_password: redaer"));
    assert_eq!((login(&server, "anna", "pw-anna"), login(&server, "anna", "x")), (200, 401));
    let shown = server.unix_socket().call("server.config", Value::Null).to_string() + &server.log();
    assert!(!shown.contains("redaer"), "the password is shown");
    let server = slapd.perigee(&format!("bind_dn: {READER}\nbind_password: wrong"));
    assert_eq!(login(&server, "anna", "pw-anna"), 503);
}

#[test]
fn a_server_that_is_gone() {
    let Some(slapd) = Slapd::start(ANYBODY, false) else { return };
    let server = slapd.perigee("");
    assert_eq!(login(&server, "anna", "pw-anna"), 200);
    drop(slapd);
    assert_eq!(login(&server, "anna", "pw-anna"), 503);
    server.get("/access/info").expect(200);
}

#[test]
#[cfg(feature = "tls")]
fn over_tls() {
    let Some(slapd) = Slapd::start(ANYBODY, true) else { return };
    let trusted = slapd.dir.join("ldap.cert");
    let secure = |options: &str| {
        let options = format!("ldap_secure: True\n{options}");
        let mut sections = slapd.perigee(&options);
        sections.wait_until_up();
        sections
    };
    // it listens at an address of its own, which the harness names by its port alone
    let host = slapd.secure.unwrap().ip();
    assert_eq!(host, slapd.address.ip());
    let server = secure(&format!("ca_file: {}", trusted.display()));
    assert_eq!((login(&server, "anna", "pw-anna"), login(&server, "anna", "x")), (200, 401));
    assert_eq!(login(&secure(""), "anna", "pw-anna"), 503, "nobody has signed its certificate");
}

#[test]
fn what_is_wrong_in_the_configuration_is_said() {
    let base = "ldap_host: a\nbase_dn: b\n";
    for (options, word) in [
        ("base_dn: b", "ldap_host"),
        ("ldap_host: a", "base_dn"),
        (&format!("{base}bind_dn: x"), "bind_password"),
        (&format!("{base}user_filter: (uid=anna)"), "USERNAME"),
        (&format!("{base}user_filter: (uid=USERNAME"), "is no filter"),
        (&format!("{base}membership_attribute: groups"), "membership_attribute"),
    ] {
        let setup = Setup::new().sections(&format!("[ldap]\n{options}"));
        setup.write_config();
        let mut server = setup.spawn();
        assert!(!server.wait_for_exit().success());
        assert!(server.output().contains(word), "{word}: {}", server.output());
    }
    let server = Setup::new().sections("[authorization]\ndefault_source: ldap").start();
    assert!(server.info()["warnings"].to_string().contains("default_source"));
}
