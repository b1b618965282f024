//! mosquitto_pub and mosquitto_sub over TLS, with certificates of `certs/make`; with passwords; and
//! over a Unix socket. And what the tests of the other ways in use of it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::support::broker::{Broker, Scratch, Setup};
use crate::tools::{Ended, Running, end, is_here, run};

/// The protocol versions, and what a refusal of each looks like to mosquitto_pub.
const VERSIONS: [(&str, i32, &str); 2] = [
    ("5", 0x86, "Connection error: Bad User Name or Password"),
    ("311", 4, "Connection error: Connection Refused: bad user name or password."),
];

/// The development certificates in a directory of their own.
pub(crate) struct Certificates(Scratch);

impl Certificates {
    /// Those that `certs/make` makes with a client's certificate for `sensor-1`; `None`, with a
    /// line, where it cannot.
    pub(crate) fn new(what: &str) -> Option<Self> {
        if !is_here("bash", "--version", what) || !is_here("openssl", "version", what) {
            return None;
        }
        let made = Self(Scratch::new());
        let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs/make");
        run(Command::new(make).env("CLIENT", "sensor-1").arg(made.0.path()));
        Some(made)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.text(name)
    }

    /// The lines of a listener that shows the server's certificate.
    pub(crate) fn server(&self) -> String {
        let (pem, key) = (self.text("server.pem"), self.text("server.key"));
        format!("certificate_file = {pem:?}\nkey_file = {key:?}\n")
    }

    /// Those of one that wants a client's certificate, and takes its name for the user's.
    pub(crate) fn named(&self) -> String {
        let (server, ca) = (self.server(), self.text("ca.pem"));
        let crl = self.text("ca.crl");
        format!(
            "{server}client_certificate = \"required\"\nclient_ca_file = {ca:?}\n\
             crl_file = {crl:?}\nuser_from = \"common_name\"\n"
        )
    }

    /// openssl with settings for a CA of these files.
    fn openssl(&self, command: &str, rest: &str) {
        let index = self.path("index");
        if !index.exists() {
            fs::write(&index, "").unwrap();
            self.write("crlnumber", "02\n");
        }
        let settings = format!(
            "[req]\ndistinguished_name = name\n[name]\n[client]\n\
             extendedKeyUsage = clientAuth, serverAuth\nauthorityKeyIdentifier = keyid\n\
             [ca]\ndefault_ca = dev\n[dev]\ndatabase = {}\ncrlnumber = {}\n\
             default_md = sha256\ndefault_crl_days = 30\n",
            index.display(),
            self.text("crlnumber")
        );
        let settings = self.write("openssl.cnf", &settings);
        let mut openssl = Command::new("openssl");
        openssl.args([command, "-config", &settings]).args(rest.split_whitespace());
        run(openssl.current_dir(self.0.path()));
    }

    /// `NAME.pem` and `NAME.key` for another client, of the same CA.
    pub(crate) fn client(&self, name: &str) {
        let request = format!(
            "-new -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
        );
        self.openssl("req", &request);
        let mut openssl = Command::new("openssl");
        let sign = format!(
            "x509 -req -sha256 -days 30 -CA ca.pem -CAkey ca.key -CAcreateserial -in {name}.csr \
             -extfile openssl.cnf -extensions client -out {name}.pem"
        );
        run(openssl.args(sign.split_whitespace()).current_dir(self.0.path()));
    }

    /// Revokes `name.pem`, by `ca.crl`.
    fn revoke(&self, name: &str) {
        let ca = "-keyfile ca.key -cert ca.pem";
        self.openssl("ca", &format!("{ca} -revoke {name}.pem"));
        self.openssl("ca", &format!("{ca} -gencrl -out ca.crl"));
    }
}

/// One `[[listener]]` on a free port.
pub(crate) fn listener(lines: &str) -> String {
    format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{lines}\n")
}

/// A broker of two shards that lets nobody in unasked.
pub(crate) fn closed(settings: &str) -> Broker {
    Setup { shards: 2, anonymous: false, listen: None, settings, ..Setup::default() }.start()
}

/// Whether the tools are here.
pub(crate) fn tools(what: &str) -> bool {
    is_here("mosquitto_pub", "--help", what)
        && is_here("mosquitto_passwd", "--help", what)
        && is_here("stdbuf", "--version", what)
}

/// `program` to the listener with this number, with further words.
pub(crate) fn tool(program: &str, broker: &Broker, number: usize, rest: &str) -> Command {
    let mut command = Command::new("stdbuf");
    let port = broker.addresses[number].port().to_string();
    command.args(["-oL", program, "-h", "127.0.0.1", "-p", &port]).args(rest.split_whitespace());
    command
}

/// A mosquitto_sub of everything that has its SUBACK; it ends with the message `end`.
pub(crate) fn watcher(broker: &Broker, number: usize, rest: &str) -> Running {
    let words = format!("-t # -q 1 -d {rest}");
    let mut sub = tool("mosquitto_sub", broker, number, &words);
    let sub = Running::start(sub.args(["-F", "=> %t %p"]));
    sub.out.wait_for(&["Subscribed"]);
    sub
}

/// What it got before `end`.
pub(crate) fn messages(watcher: &Running) -> Vec<String> {
    watcher.out.wait_until("last message", |lines| {
        let got: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("=> ")).collect();
        let end = got.iter().position(|&line| line == "end end")?;
        Some(got[..end].iter().map(|&line| line.to_owned()).collect())
    })
}

/// Publishes; with `--tls-version tlsv1.2` in no newer version.
fn publish(made: &Certificates, broker: &Broker, number: usize, rest: &str) -> Ended {
    let mut command = tool("mosquitto_pub", broker, number, &format!("-q 1 {rest}"));
    if rest.contains("tlsv1.2") {
        // To the tool, that is the oldest version alone.
        let settings = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n\
                        MaxProtocol = TLSv1.2\n";
        command.env("OPENSSL_CONF", made.write("tls12.cnf", settings));
    }
    end(&mut command)
}

/// The words for a client that knows the CA of `certificates`.
fn trusting(certificates: &Certificates) -> String {
    format!("--cafile {}", certificates.text("ca.pem"))
}

/// The words for one that shows a certificate besides.
pub(crate) fn showing(certificates: &Certificates, of: &Certificates, name: &str) -> String {
    let (pem, key) = (of.text(&format!("{name}.pem")), of.text(&format!("{name}.key")));
    format!("{} --cert {pem} --key {key}", trusting(certificates))
}

/// Has the broker read its files again.
pub(crate) fn reload(broker: &Broker) {
    broker.signal(Signal::HUP);
    broker.log.wait_for(&["read again: "]);
}

#[test]
fn client_certificates_name_users() {
    const WHAT: &str = "mosquitto_pub with a client certificate";
    let Some(made) = Certificates::new(WHAT).filter(|_| tools(WHAT)) else { return };
    made.client("sensor-2");
    let acl = "user sensor-1\ntopic write up/#\nuser watcher\ntopic readwrite #\n";
    let acl = made.write("acl", acl);
    let passwords = made.text("passwords");
    run(Command::new("mosquitto_passwd").args(["-c", "-b", &passwords, "watcher", "wren"]));
    let only_13 = made.named() + "tls_version_min = \"1.3\"\n";
    let broker = closed(&format!(
        "auth.password_file = {passwords:?}\nauth.acl_file = {acl:?}\n{}{}{}",
        listener(&made.server()),
        listener(&made.named()),
        listener(&only_13)
    ));
    let trusting = trusting(&made);
    let as_watcher = format!("{trusting} -u watcher -P wren");
    let watcher = watcher(&broker, 0, &as_watcher);
    let mut expected = Vec::new();
    for (number, tls) in [(1, "tlsv1.2"), (1, "tlsv1.3"), (2, "tlsv1.3")] {
        for (version, ..) in VERSIONS {
            for (name, topic) in
                [("client", "up/1"), ("client", "down/1"), ("sensor-2", "up/2"), ("client", "up")]
            {
                let shown = showing(&made, &made, name);
                let message = format!("{number}-{tls}-{version}");
                let words = format!("-V {version} --tls-version {tls} -t {topic} -m {message}");
                let ended = publish(&made, &broker, number, &format!("{shown} {words}"));
                assert!(ended.status.success(), "{words}: {}", ended.err);
                let allowed = name == "client" && topic.starts_with("up");
                // Version 3.1.1 has no words for it.
                let denied = ended.err.contains("Not authorized");
                assert_eq!(denied, !allowed && version == "5", "{words}: {}", ended.err);
                if allowed {
                    expected.push(format!("{topic} {message}"));
                }
            }
        }
    }
    let shown = showing(&made, &made, "client");
    let old = publish(&made, &broker, 2, &format!("{shown} --tls-version tlsv1.2 -t up/3 -m x"));
    assert!(!old.status.success());
    broker.log.wait_for(&["connection refused", "TLS handshake: peer is incompatible"]);
    assert!(publish(&made, &broker, 0, &format!("{as_watcher} -t end -m end")).status.success());
    assert_eq!(messages(&watcher), expected);
    broker.stop();
}

/// What the tool says in each version of TLS, and the `count`th line of the log.
fn refused(broker: &Broker, ended: &Ended, why: &str, count: usize) {
    let says = ["A TLS error occurred", "The connection was lost"];
    let said = says.iter().any(|text| ended.err.contains(text));
    assert!(!ended.status.success() && said, "{}", ended.err);
    broker.log.wait_until(why, |lines| {
        let refused = |line: &&String| line.contains("connection refused") && line.contains(why);
        (lines.iter().filter(refused).count() == count).then_some(())
    });
}

#[test]
fn certificates_that_do_not_do() {
    const WHAT: &str = "mosquitto_pub with bad certificates";
    let Some(made) = Certificates::new(WHAT).filter(|_| tools(WHAT)) else { return };
    let Some(other) = Certificates::new(WHAT) else { return };
    made.client("sensor-2");
    let broker = closed(&listener(&made.named()));
    let good = showing(&made, &made, "client");
    for (words, why) in [
        // The server is not who it says it is.
        (showing(&other, &made, "client"), "received fatal alert: UnknownCA"),
        (trusting(&made), "peer sent no certificates"),
        (showing(&made, &other, "client"), "invalid peer certificate: "),
    ] {
        for (n, tls) in ["tlsv1.2", "tlsv1.3"].into_iter().enumerate() {
            let words = format!("{words} --tls-version {tls} -t t -m x");
            refused(&broker, &publish(&made, &broker, 0, &words), why, n + 1);
            assert!(publish(&made, &broker, 0, &format!("{good} -t t -m x")).status.success());
        }
    }
    made.revoke("client");
    reload(&broker);
    for (n, tls) in ["tlsv1.2", "tlsv1.3"].into_iter().enumerate() {
        let words = format!("{good} --tls-version {tls} -t t -m x");
        let ended = publish(&made, &broker, 0, &words);
        refused(&broker, &ended, "invalid peer certificate: Revoked", n + 1);
    }
    let another = showing(&made, &made, "sensor-2");
    assert!(publish(&made, &broker, 0, &format!("{another} -t t -m x")).status.success());
    broker.stop();
}

#[test]
fn passwords_of_both_makers() {
    const WHAT: &str = "mosquitto_pub with passwords";
    let Some(made) = Certificates::new(WHAT).filter(|_| tools(WHAT)) else { return };
    let (theirs, own) = (made.text("theirs"), made.text("own"));
    run(Command::new("mosquitto_passwd").args(["-c", "-b", &theirs, "anna", "wren"]));
    let mut passwd = Command::new(env!("CARGO_BIN_EXE_stonechat"));
    let mut passwd = Running::told(passwd.args(["passwd", "--create", &own, "anna"]));
    passwd.tell(b"wren\n");
    passwd.finish();
    let trusting = trusting(&made);
    for file in [theirs, own] {
        assert!(!fs::read_to_string(&file).unwrap().contains("wren"));
        let broker = closed(&format!(
            "auth.wrong_password_delay_ms = 0\nauth.password_file = {file:?}\n{}",
            listener(&made.server())
        ));
        for (version, code, message) in VERSIONS {
            let words = format!("{trusting} -V {version} -t t -m x");
            let enters = publish(&made, &broker, 0, &format!("{words} -u anna -P wren"));
            assert!(enters.status.success(), "{file}: {}", enters.err);
            for wrong in ["-u anna -P robin", "-u nobody -P wren", "-u anna"] {
                let ended = publish(&made, &broker, 0, &format!("{words} {wrong}"));
                let known = (ended.status.code(), ended.err.lines().next());
                assert_eq!(known, (Some(code), Some(message)), "{wrong}: {}", ended.err);
            }
            let nobody = publish(&made, &broker, 0, &words);
            assert!(nobody.err.to_lowercase().contains("not authori"), "{}", nobody.err);
        }
        let refused = "the user name or the password is wrong";
        broker.log.wait_for(&["connection refused", "peer=127.0.0.1:", refused]);
        let log = broker.log.all().join("\n");
        assert!(!log.contains("wren") && !log.contains("robin"), "a password in the log:\n{log}");
        broker.stop();
    }
}

#[test]
fn a_unix_socket() {
    let what = "mosquitto_pub --unix";
    if !tools(what) {
        return;
    }
    let scratch = Scratch::new();
    // A path of at most 107 bytes, wherever this is built.
    let place = scratch.path().join("socket");
    let me = rustix::process::getuid().as_raw();
    let group = rustix::process::getgid().as_raw();
    let (mode, owner) = match me {
        0 => (0o660, (1234, 4321)), // others cannot give away
        _ => (0o600, (me, group)),
    };
    let broker = closed(&format!(
        "[[listener]]\naddress = \"unix:{}\"\nallow_anonymous = true\nunix_mode = \"{mode:04o}\"\n\
         unix_owner = \"{}:{}\"\n{}",
        place.display(),
        owner.0,
        owner.1,
        listener("allow_anonymous = true")
    ));
    let found = fs::symlink_metadata(&place).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!((found.permissions().mode() & 0o777, (found.uid(), found.gid())), (mode, owner));
    let unix = |rest: &str| {
        let mut command = Command::new("mosquitto_pub");
        command.arg("--unix").arg(&place).args(rest.split_whitespace());
        command
    };
    let watcher = watcher(&broker, 0, "");
    for (version, ..) in VERSIONS {
        for qos in 0..3 {
            run(&mut unix(&format!("-V {version} -q {qos} -t unix/{version} -m {qos}")));
        }
    }
    run(&mut unix("-t end -m end"));
    let expected = ["5", "311"].map(|v| [0, 1, 2].map(|qos| format!("unix/{v} {qos}")));
    assert_eq!(messages(&watcher), expected.concat());
    broker.log.wait_for(&["client connected", &format!("unix:uid={me},pid=")]);
    if me == 0 && is_here("setpriv", "--version", "a Unix socket that a user may not open") {
        // Whoever may not write does not come in; whoever is of its group does.
        for (uid, gid, enters) in [(2222, 2222, false), (2222, 4321, true), (1234, 2222, true)] {
            let mut command = Command::new("setpriv");
            command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
            command.args(["--clear-groups", "mosquitto_pub", "--unix"]).arg(&place);
            let ended = end(command.args(["-t", "t", "-m", "x", "-q", "1"]));
            assert_eq!(ended.status.success(), enters, "{uid}:{gid}: {}", ended.err);
        }
        broker.log.wait_for(&["client connected", "unix:uid=1234,pid="]);
    }
    broker.stop();
    assert!(!place.exists());
}
