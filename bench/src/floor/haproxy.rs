//! HAProxy as both hops.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::account::cores;
use crate::tls_files::SERVER_NAME;
use crate::{BenchError, TlsFiles};

pub(crate) fn program() -> Option<PathBuf> {
    super::find("haproxy")
}

/// Command lines of the first and the second hop.
pub(crate) fn hops(
    dir: &Path,
    tls: &TlsFiles,
    [a, b]: [SocketAddr; 2],
    backend: SocketAddr,
) -> Result<[Vec<OsString>; 2], BenchError> {
    let (both, ca) = (tls.both.display(), tls.ca.display());
    let to_next = format!(
        "{b} ssl crt {both} ca-file {ca} verify required verifyhost {SERVER_NAME} sni str({SERVER_NAME}) ssl-min-ver TLSv1.3"
    );
    let with_tls = format!("{b} ssl crt {both} ca-file {ca} verify required ssl-min-ver TLSv1.3");
    Ok([
        configure(dir, "haproxy-a", &a.to_string(), &to_next)?,
        configure(dir, "haproxy-b", &with_tls, &backend.to_string())?,
    ])
}

fn configure(dir: &Path, name: &str, listen: &str, next: &str) -> Result<Vec<OsString>, BenchError> {
    let file = dir.join(format!("{name}.cfg"));
    let threads = cores();
    let text = format!(
        "global\n  nbthread {threads}\n  maxconn 4096\n\
         defaults\n  mode http\n  http-reuse always\n  timeout connect 5s\n  timeout client 600s\n  timeout server 600s\n\
         listen hop\n  bind {listen} backlog 4096\n  server next {next} pool-max-conn 1024\n"
    );
    std::fs::write(&file, text).map_err(BenchError::file("write", &file))?;
    Ok(vec!["-f".into(), file.into()])
}
