//! The backend behind every chain: nginx if it is installed, as the floor has it, else a small server of our own. The same process serves all chains.

mod builtin;

use std::net::SocketAddr;
use std::path::Path;

pub use self::builtin::serve_backend;
use kogge_proto::digest::{Sha256, Sha256Hasher};

use crate::BenchError;
use crate::chain::{BACKEND, Part};
use crate::child::Child;
use crate::floor::nginx;

/// A backend that answers every request with a JSON body of one length and different content.
#[derive(Debug)]
pub struct Backend {
    child: Child,
    address: SocketAddr,
    program: &'static str,
    body_bytes: usize,
}

impl Backend {
    /// Starts it at `address`; files go to `dir`. `kogge` is the program whose `bench backend` serves where nginx is missing. With `large` bytes, that
    /// many zeros are served at [`Backend::LARGE_PATH`], and a quarter of them at [`Backend::QUARTER_PATH`].
    ///
    /// # Errors
    /// It does not start.
    pub fn start(
        dir: &Path,
        address: SocketAddr,
        body_bytes: usize,
        large: Option<u64>,
        kogge: &Path,
    ) -> Result<Self, BenchError> {
        let body_bytes = body_bytes.max(BODY_BYTES_MIN);
        let log = dir.join("backend.log");
        let (mut child, program) = match nginx::program() {
            Some(program) => {
                (Child::start(&program, nginx_args(dir, address, body_bytes, large)?, &log)?, "nginx")
            }
            None => {
                let args =
                    ["bench", "backend", "--listen", &address.to_string(), "--body", &body_bytes.to_string()];
                (Child::start(kogge, args, &log)?, "built-in")
            }
        };
        child.wait_up("the backend", address, "/")?;
        Ok(Self { child, address, program, body_bytes })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Length of each answer's body.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// `nginx` or `built-in`.
    #[must_use]
    pub fn program(&self) -> &'static str {
        self.program
    }

    /// As a part of a chain.
    #[must_use]
    pub fn part(&self) -> Part {
        Part { name: BACKEND, pid: self.child.pid() }
    }

    /// SHA-256 of the large body of so many zeros.
    #[must_use]
    pub fn large_sha256(bytes: u64) -> Sha256 {
        let (mut hasher, piece) = (Sha256Hasher::new(), vec![0; PIECE_BYTES]);
        let mut left = bytes;
        while left > 0 {
            let count = left.min(PIECE_BYTES as u64);
            hasher.update(piece.get(..count as usize).unwrap_or_default());
            left -= count;
        }
        hasher.finish()
    }

    /// Where the large body is.
    pub const LARGE_PATH: &'static str = "/large";
    /// Where a body of a quarter of its length is.
    pub const QUARTER_PATH: &'static str = "/quarter";
}

fn nginx_args(
    dir: &Path,
    address: SocketAddr,
    body_bytes: usize,
    large: Option<u64>,
) -> Result<Vec<std::ffi::OsString>, BenchError> {
    // nginx makes a number of its own for each request: 32 hexadecimal digits.
    let (start, end) = ("{\"id\":\"", "\",\"data\":\"");
    let rest = body_bytes.saturating_sub(start.len() + 32 + end.len() + 2);
    let body = format!("{start}$request_id{end}{}\"}}", "x".repeat(rest));
    let mut locations = String::new();
    for (path, part) in [(Backend::LARGE_PATH, 1), (Backend::QUARTER_PATH, 4)] {
        let Some(bytes) = large else { continue };
        let file = dir.join(format!("{}.bin", path.trim_start_matches('/')));
        // A file of holes: reading it costs no disk.
        let made = std::fs::File::create(&file).and_then(|made| made.set_len(bytes / part));
        made.map_err(BenchError::file("write", &file))?;
        locations.push_str(&format!(
            "    location ~ {path}$ {{ default_type application/octet-stream; alias {}; }}\n",
            file.display()
        ));
    }
    let server = format!(
        "server {{\n    listen {address} backlog=4096;\n    default_type application/json;\n    \
         location / {{ return 200 '{body}'; }}\n{locations}  }}"
    );
    nginx::configure(dir, "backend", &server)
}

/// Shortest body: the number and what is around it.
const BODY_BYTES_MIN: usize = 64;
const PIECE_BYTES: usize = 256 * 1024;
