//! nginx as backend and as both hops.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::account::cores;
use crate::tls_files::SERVER_NAME;
use crate::{BenchError, TlsFiles};

pub(crate) fn program() -> Option<PathBuf> {
    super::find("nginx")
}

/// Command lines of the first and the second hop.
pub(crate) fn hops(
    dir: &Path,
    tls: &TlsFiles,
    [a, b]: [SocketAddr; 2],
    backend: SocketAddr,
) -> Result<[Vec<OsString>; 2], BenchError> {
    let (cert, key, ca) = (tls.certificate.display(), tls.key.display(), tls.ca.display());
    let first = format!(
        "upstream next {{ server {b}; {KEPT} }}
  server {{
    listen {a} backlog=4096;
    location / {{
      proxy_pass https://next;
      {PROXY}
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_certificate {cert};
      proxy_ssl_certificate_key {key};
      proxy_ssl_trusted_certificate {ca};
      proxy_ssl_verify on;
      proxy_ssl_name {SERVER_NAME};
      proxy_ssl_server_name on;
    }}
  }}"
    );
    let second = format!(
        "upstream next {{ server {backend}; {KEPT} }}
  server {{
    listen {b} ssl backlog=4096;
    ssl_protocols TLSv1.3;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_client_certificate {ca};
    ssl_verify_client on;
    location / {{
      proxy_pass http://next;
      {PROXY}
    }}
  }}"
    );
    Ok([configure(dir, "nginx-a", &first)?, configure(dir, "nginx-b", &second)?])
}

/// Writes a configuration around the inside of its `http` block; the command line that uses it.
pub(crate) fn configure(dir: &Path, name: &str, inside: &str) -> Result<Vec<OsString>, BenchError> {
    let file = dir.join(format!("{name}.conf"));
    let at = |what: &str| dir.join(format!("{name}.{what}")).display().to_string();
    let (workers, pid, errors) = (cores(), at("pid"), at("err"));
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("  {kind}_temp_path {};\n", at(kind)))
        .collect();
    // Started by root, nginx would become somebody who may not look into the bench's directory; started by anybody else, it does not heed this.
    let text = format!(
        "user root;\ndaemon off;\nworker_processes {workers};\nworker_rlimit_nofile 8192;\npid {pid};\nerror_log {errors} error;\n\
         events {{ worker_connections 4096; multi_accept on; }}\n\
         http {{\n  access_log off;\n  server_tokens off;\n  sendfile on;\n  tcp_nodelay on;\n  \
         keepalive_timeout 600s;\n  keepalive_requests 1000000000;\n  client_max_body_size 0;\n{temporary}  {inside}\n}}\n"
    );
    std::fs::write(&file, text).map_err(BenchError::file("write", &file))?;
    Ok(vec!["-e".into(), errors.into(), "-c".into(), file.into()])
}

/// Connections to the next hop are kept.
const KEPT: &str = "keepalive 256; keepalive_requests 1000000000; keepalive_timeout 600s;";
/// Bodies pass through without a file in between.
const PROXY: &str = "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_request_buffering off; \
                     proxy_max_temp_file_size 0; client_body_buffer_size 256k;";
