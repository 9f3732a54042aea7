//! An instance set up by operators' commands alone, one exchange through it, and its evidence.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far longer than anything here takes; an end to a test that would otherwise hang.
const PATIENCE: Duration = Duration::from_secs(60);

struct Instance {
    dir: TempDir,
    ports: Ports,
}

struct Ports {
    trust: u16,
    registry: u16,
    consumer: u16,
    register: u16,
    /// Peer and status port of each server.
    servers: [(u16, u16); 2],
}

/// A running daemon; killed if the test ends early.
struct Daemon(Child);

impl Daemon {
    fn stop(mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

impl Instance {
    /// Everything made and registered, nothing running.
    fn set_up() -> Self {
        let held: Vec<TcpListener> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let port: Vec<u16> = held.iter().map(|held| held.local_addr().unwrap().port()).collect();
        let ports = Ports {
            trust: port[0],
            registry: port[1],
            consumer: port[2],
            register: port[3],
            servers: [(port[4], port[5]), (port[6], port[7])],
        };
        let instance = Self { dir: tempfile::tempdir().unwrap(), ports };
        instance.write("pin", "correct horse battery\n");
        let pin = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(instance.dir.path().join("pin"), pin).unwrap();
        instance.make_authorities();
        for (number, code) in ["1001", "2002"].into_iter().enumerate() {
            instance.enrol(code, instance.ports.servers[number].0);
            instance.configure_server(code, instance.ports.servers[number]);
        }
        instance.registry("add-service DEMO/GOV/2002/sys/persons --title Persons");
        instance
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kogge"));
        command.args(line.split_whitespace()).current_dir(self.dir.path());
        command
    }

    fn output(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Runs a command that must succeed; what it printed.
    fn kogge(&self, line: &str) -> String {
        let Output { status, stdout, stderr } = self.output(line);
        assert!(status.success(), "{line}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    fn registry(&self, line: &str) {
        let (command, arguments) = line.split_once(' ').unwrap();
        self.kogge(&format!("central-registry {command} --config registry.toml {arguments}"));
    }

    fn make_authorities(&self) {
        let Ports { trust, registry, .. } = self.ports;
        let token = "[token]\npin = \"file:pin\"\n";
        self.write(
            "trust.toml",
            &format!("dir = \"trust\"\nenvironment = \"test\"\nlisten = \"127.0.0.1:{trust}\"\n{token}"),
        );
        let address = format!("127.0.0.1:{registry}");
        self.write(
            "registry.toml",
            &format!(
                "dir = \"registry\"\nlisten = \"{address}\"\npublic_url = \"http://{address}\"\n{token}"
            ),
        );
        self.kogge("trust-services init --config trust.toml");
        self.registry("init --instance DEMO --environment test");
        let base = format!("http://127.0.0.1:{trust}");
        self.registry(&format!("add-ca --name CA --certificate trust/ca.pem --ocsp-url {base}/ocsp"));
        let tsa = format!("--url {base}/tsa --policy 1.3.6.1.4.1.99999.1");
        self.registry(&format!("add-tsa --name TSA --certificate trust/tsa.pem {tsa}"));
    }

    /// A member with a subsystem, a security server with its keys and certificates, and all that registered.
    fn enrol(&self, code: &str, peer_port: u16) {
        let (member, server) = (format!("DEMO/GOV/{code}"), format!("DEMO/GOV/{code}/SS1"));
        std::fs::create_dir(self.dir.path().join(code)).unwrap();
        self.kogge(&format!("token init --dir {code}/token --pin file:pin"));
        for (key_use, whom) in [
            ("signing", format!("--name Agency --member {member} --server {server}")),
            ("authentication", format!("--name Agency --server {server}")),
        ] {
            let token = format!("--dir {code}/token --pin file:pin");
            let key = self.kogge(&format!("token generate {token} --use {key_use}"));
            let (csr, pem) = (format!("{code}/{key_use}.csr"), format!("{code}/{key_use}.pem"));
            self.kogge(&format!("token request {token} --key {} {whom} --out {csr}", key.trim()));
            let profile = format!("--config trust.toml --profile {key_use}");
            self.kogge(&format!("trust-services issue {profile} {whom} --out {pem} {csr}"));
            self.kogge(&format!("token import --dir {code}/token {pem}"));
        }
        self.registry(&format!("add-member {member} --name Agency"));
        self.registry(&format!("add-subsystem {member}/sys"));
        self.registry(&format!("add-server {server} --address 127.0.0.1:{peer_port}"));
        self.registry(&format!("add-client {server} {member}/sys"));
        self.registry(&format!("add-auth-certificate {server} {code}/authentication.pem"));
    }

    fn configure_server(&self, code: &str, (peer, status): (u16, u16)) {
        let mut config = format!(
            "id = \"DEMO/GOV/{code}/SS1\"\nanchor = \"registry/anchor.toml\"\ndata_dir = \"{code}/data\"\n\
             [token]\ndir = \"{code}/token\"\npin = \"file:pin\"\n[registry]\ninterval_s = 1\n\
             [status]\nlisten = \"127.0.0.1:{status}\"\n[provider]\nlisten = \"127.0.0.1:{peer}\"\n\
             [message_log]\ndir = \"{code}/log\"\n[timestamping]\ninterval_s = 1\n"
        );
        config += &match code {
            "1001" => format!(
                "[consumer]\nlisten = \"127.0.0.1:{}\"\n[[clients]]\nsubsystem = \"DEMO/GOV/1001/sys\"\n\
                 connection = \"http\"\n",
                self.ports.consumer
            ),
            _ => format!(
                "[[services]]\nid = \"DEMO/GOV/2002/sys/persons\"\nurl = \"http://127.0.0.1:{}\"\n\
                 [[services.access]]\nclient = \"DEMO/GOV/1001/sys\"\nmethods = [\"GET\"]\npath = \"/**\"\n",
                self.ports.register
            ),
        };
        self.write(&format!("{code}.toml"), &config);
    }

    fn start(&self, line: &str) -> Daemon {
        Daemon(self.command(line).stderr(Stdio::null()).spawn().unwrap())
    }
}

/// A register with one answer.
fn serve_register(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\nconnection: close\r\n\r\n[\"Anna\"]";
            stream.write_all(answer).unwrap();
        }
    });
}

/// The whole answer to a GET, head and body; empty if nobody answers.
fn get(port: u16, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    let head =
        "host: localhost\r\nconnection: close\r\nx-road-client: DEMO/GOV/1001/sys\r\nx-road-id: 4711\r\n";
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{head}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn assert_no_file_has(dir: &std::path::Path, bytes: &[u8]) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_no_file_has(&path, bytes);
        } else if path.is_file() {
            let content = std::fs::read(&path).unwrap();
            assert!(!content.windows(bytes.len()).any(|window| window == bytes), "{}", path.display());
        }
    }
}

fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn commands_alone_make_an_instance_whose_evidence_verifies() {
    let instance = Instance::set_up();
    serve_register(instance.ports.register);
    for server in ["1001.toml", "2002.toml"] {
        instance.kogge(&format!("security-server run --config {server} --check-config"));
    }
    let daemons: Vec<Daemon> = [
        "trust-services run --config trust.toml",
        "central-registry run --config registry.toml",
        "security-server run --config 2002.toml",
        "security-server run --config 1001.toml --threads 1",
    ]
    .map(|line| instance.start(line))
    .into();
    for (_, status) in instance.ports.servers {
        wait_for("a server is ready", || get(status, "/ready").starts_with("HTTP/1.1 200"));
    }

    let answer = get(instance.ports.consumer, "/r1/DEMO/GOV/2002/sys/persons/all");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("[\"Anna\"]"), "{answer}");
    assert_eq!(
        instance.output("security-server run --config 1001.toml").status.code(),
        Some(1),
        "it runs already"
    );

    let verify = "verify 1001/log 2002/log --anchor registry/anchor.toml";
    wait_for("all records are timestamped", || instance.output(verify).status.success());
    for (config, option) in
        [("1001.toml", ""), ("1001.toml", "--response"), ("2002.toml", ""), ("2002.toml", "--response")]
    {
        instance
            .kogge(&format!("log export --config {config} --message-id 4711 {option} --out message.asice"));
        instance.kogge("verify message.asice --anchor registry/anchor.toml");
    }
    // The running server erases.
    let erase = "log erase --config 2002.toml --message-id 4711 --reason court-order --actor tester";
    let said = instance.kogge(erase);
    assert!(said.starts_with("erased the bodies of the records "), "{said}");
    let refused = |line: &str| {
        let output = instance.output(line);
        assert_eq!(output.status.code(), Some(1), "{line}");
        String::from_utf8(output.stderr).unwrap()
    };
    let said = refused(erase);
    assert!(said.contains("it was erased before"), "{said}");
    let said = refused(&erase.replace("4711", "4712"));
    assert!(said.contains("no record with this message id"), "{said}");
    let said = refused("log export --config 2002.toml --message-id 4711 --response --out message.asice");
    assert!(said.contains("does not give the body"), "{said}");
    instance.write("body", "[\"Anna\"]");
    instance
        .kogge("log export --config 2002.toml --message-id 4711 --response --body body --out message.asice");
    instance.kogge("verify message.asice --anchor registry/anchor.toml");
    let verified = instance.kogge(verify);
    assert!(verified.contains("asked for by tester: court-order"), "{verified}");
    daemons.into_iter().rev().for_each(Daemon::stop);
    let listed = instance.kogge("log list --config 2002.toml");
    assert_eq!(listed.lines().count(), 3, "{listed}");
    assert!(listed.contains("by tester: court-order"), "{listed}");
    let shown = instance.kogge("log show --config 2002.toml --message-id 4711");
    assert!(shown.contains("not readable (it was erased)") && shown.contains("court-order"), "{shown}");
    // Without a server the command itself does it.
    instance.kogge(&erase.replace("2002.toml", "1001.toml"));
    for server in ["1001", "2002"] {
        let line = format!("verify {server}/log --anchor registry/anchor.toml");
        for line in [&format!("{line} --log-key {server}/token/log.key --pin file:pin"), &line] {
            let verified = instance.kogge(line);
            assert!(verified.contains("1 erasures are signed by who may erase"), "{verified}");
        }
    }
    for server in ["1001", "2002"] {
        assert_no_file_has(&instance.dir.path().join(server), b"[\"Anna\"]");
    }
    instance.kogge("log reindex --config 2002.toml");
}
