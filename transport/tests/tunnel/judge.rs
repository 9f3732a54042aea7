//! OpenSSL as a judge of the TCP side: it knows nothing of us.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use kogge_transport::{Carrier, Listener};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::raw::RawServer;
use crate::world::{Pair, ask, echo};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_1_3_and_nothing_older() {
    let Some((_pair, listener)) = scene() else { return };
    let old = s_client(listener.local_addr(), &["-tls1_2"]).await;
    assert!(old.contains("alert protocol version"), "{old}");
    let new = s_client(listener.local_addr(), &["-tls1_3"]).await;
    assert!(new.contains("New, TLSv1.3, Cipher is TLS_"), "{new}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_service_without_a_certificate() {
    let Some((_pair, listener)) = scene() else { return };
    let output = s_client(listener.local_addr(), &["-alpn", "h2"]).await;
    assert!(output.contains("alert certificate required"), "{output}");
    assert!(output.contains("ALPN protocol: h2"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_service_without_the_application_protocol() {
    let Some((_pair, listener)) = scene() else { return };
    let output = s_client(listener.local_addr(), &["-alpn", "http/1.1"]).await;
    assert!(output.contains("alert no application protocol"), "{output}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registered_client_is_served_without_a_ticket_and_with_a_staple() {
    let Some((pair, listener)) = scene() else { return };
    let raw = RawServer::new(&pair, "T/GOV/1/raw");
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = (dir.path().join("c.pem"), dir.path().join("k.der"));
    std::fs::write(&certificate, raw.server.certificate.to_pem()).unwrap();
    std::fs::write(&key, raw.pkcs8()).unwrap();
    let arguments = [
        "-alpn",
        "h2",
        "-status",
        "-msg",
        "-cert",
        certificate.to_str().unwrap(),
        "-key",
        key.to_str().unwrap(),
        "-keyform",
        "DER",
    ];
    let output = s_client(listener.local_addr(), &arguments).await;
    assert!(!output.contains("alert "), "{output}");
    assert!(output.contains("OCSP Response Status: successful"), "{output}");
    assert!(output.contains("Cert Status: good"), "{output}");
    assert!(!output.contains("NewSessionTicket"), "{output}");
    assert!(output.contains("Early data was not sent"), "{output}");
    assert!(listener.refused_peers().is_empty());
    // And our own client still is.
    echo(&listener);
    ask(&pair.tunnels(Carrier::H2), &pair.at(listener.local_addr())).await.unwrap();
}

/// The hybrid group comes first where the client has it; OpenSSL has it since 3.5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_exchange_is_one_of_three() {
    let Some((_pair, listener)) = scene() else { return };
    let addr = listener.local_addr();
    for (group, named) in [("X25519", "X25519"), ("P-256", "ECDH, prime256v1")] {
        let output = s_client(addr, &["-groups", group]).await;
        assert!(output.contains(&format!("Server Temp Key: {named}")), "{output}");
    }
    let output = s_client(addr, &["-groups", "P-384"]).await;
    assert!(output.contains("alert handshake failure"), "{output}");
    let output = s_client(addr, &["-groups", "X25519MLKEM768:X25519"]).await;
    if output.contains("Server Temp Key") || output.contains("Negotiated TLS1.3 group") {
        assert!(output.contains("X25519MLKEM768"), "{output}");
    } else {
        eprintln!("SKIPPED: this openssl has no X25519MLKEM768");
    }
}

/// A listener for openssl to look at; `None` where there is no openssl.
fn scene() -> Option<(Pair, Arc<Listener>)> {
    let found =
        std::process::Command::new("openssl").arg("version").output().is_ok_and(|out| out.status.success());
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "openssl is missing");
        eprintln!("SKIPPED: openssl is missing");
        return None;
    }
    let pair = Pair::new();
    let listener = pair.listen();
    Some((pair, listener))
}

/// All that `openssl s_client` prints. It ends when the server closes the connection, or a moment after its input has ended.
async fn s_client(addr: SocketAddr, arguments: &[&str]) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &addr.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    // With its input at an end at once, openssl would leave before the server's answer to its certificate.
    let closing = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        // Fails if openssl has ended by itself.
        let _ = input.shutdown().await;
        drop(input);
    };
    let (output, ()) = tokio::join!(client.wait_with_output(), closing);
    let output = output.unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
