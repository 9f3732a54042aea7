//! Where the demo's files lie and which ports it uses.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The demo's directory. Everything in it is made anew by each run.
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes `root` an empty demo directory. A directory that a demo made before is emptied; any other one with something in it is left alone.
    ///
    /// # Errors
    /// The directory holds something else, or cannot be written.
    pub(crate) fn create(root: &Path) -> anyhow::Result<Self> {
        let root =
            std::path::absolute(root).with_context(|| format!("{} is not a usable path", root.display()))?;
        let occupied = root.read_dir().is_ok_and(|mut entries| entries.next().is_some());
        if occupied && !root.join(MARKER).is_file() {
            bail!(
                "{} is not empty and was not made by a demo: choose another directory with --dir",
                root.display()
            );
        }
        if occupied {
            std::fs::remove_dir_all(&root).with_context(|| format!("cannot empty {}", root.display()))?;
        }
        kogge_durable::create_dir(&root, true)?;
        kogge_durable::write_atomic(
            &root.join(MARKER),
            b"Made by `kogge demo`, which empties this directory.\n",
            false,
        )?;
        Ok(Self { root })
    }

    /// A file or directory within.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// The log file of a process.
    pub(crate) fn log_of(&self, process: &str) -> PathBuf {
        self.root.join("logs").join(format!("{process}.log"))
    }
}

/// The addresses of one demo, all on the loopback interface.
pub(crate) struct Ports {
    pub(crate) consumer: SocketAddr,
    pub(crate) consumer_status: SocketAddr,
    pub(crate) consumer_peer: SocketAddr,
    pub(crate) provider: SocketAddr,
    pub(crate) provider_status: SocketAddr,
    pub(crate) registry: SocketAddr,
    pub(crate) trust_services: SocketAddr,
    pub(crate) register: SocketAddr,
}

impl Ports {
    /// Eight ports from `base` on, or any eight in a row that are free if `base` is 0.
    ///
    /// # Errors
    /// A port is in use, or the base is too high.
    pub(crate) fn choose(base: u16) -> anyhow::Result<Self> {
        let free = if base == 0 { free_ports() } else { consecutive(base) };
        let [
            consumer,
            consumer_status,
            consumer_peer,
            provider,
            provider_status,
            registry,
            trust_services,
            register,
        ] = free?;
        Ok(Self {
            consumer,
            consumer_status,
            consumer_peer,
            provider,
            provider_status,
            registry,
            trust_services,
            register,
        })
    }
}

/// Any ports in a row that are free for TCP and UDP.
///
/// # Errors
/// None were found in some tries.
pub(crate) fn free_ports<const COUNT: usize>() -> anyhow::Result<[SocketAddr; COUNT]> {
    let mut last = None;
    for _ in 0..PORT_TRIES {
        let [high, low, ..] = uuid::Uuid::new_v4().into_bytes();
        match consecutive(FREE_FROM + u16::from_be_bytes([high, low]) % FREE_COUNT) {
            Ok(ports) => return Ok(ports),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("no ports were tried")))
}

fn consecutive<const COUNT: usize>(base: u16) -> anyhow::Result<[SocketAddr; COUNT]> {
    let mut held = Vec::with_capacity(COUNT);
    for wanted in (base..=u16::MAX).take(COUNT) {
        held.push(Held::bind(wanted)?);
    }
    let addresses: Vec<SocketAddr> = held.iter().map(|held| held.addr).collect();
    addresses
        .try_into()
        .map_err(|_| anyhow::anyhow!("--port-base is too high: {COUNT} ports from it on are needed"))
}

/// A port that was free a moment ago, for TCP and UDP.
struct Held {
    addr: SocketAddr,
    _tcp: TcpListener,
    _udp: UdpSocket,
}

impl Held {
    fn bind(port: u16) -> anyhow::Result<Self> {
        let in_use = || format!("port {port} is in use: stop what uses it or choose another --port-base");
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).with_context(in_use)?;
        let addr = tcp.local_addr()?;
        let udp = UdpSocket::bind(addr).with_context(in_use)?;
        Ok(Self { addr, _tcp: tcp, _udp: udp })
    }
}

const MARKER: &str = ".kogge-demo";
/// Tries to find ports in a row that are free for both protocols.
const PORT_TRIES: usize = 50;
/// Free ports are looked for below the range from which systems give ports to outgoing connections (from 32768 on Linux): such a connection
/// could take one between now and the start of the process that is to have it.
const FREE_FROM: u16 = 10_000;
const FREE_COUNT: u16 = 22_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
        assert!(Layout::create(dir.path()).is_err());
        assert!(dir.path().join("thesis.txt").is_file());
    }

    #[test]
    fn a_demo_directory_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(&dir.path().join("demo")).unwrap();
        std::fs::write(layout.path("old"), "").unwrap();
        let layout = Layout::create(&dir.path().join("demo")).unwrap();
        assert!(!layout.path("old").exists());
    }

    #[test]
    fn a_port_in_use_is_named() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = held.local_addr().unwrap().port();
        let Err(error) = Ports::choose(port) else { panic!("the port was taken twice") };
        assert!(error.to_string().contains(&format!("port {port} is in use")), "{error}");
    }
}
