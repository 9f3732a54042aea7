//! What is wrong at the start is said, and a server does not start half.

use std::net::TcpListener;

use kogge_durable::DurableError;
use kogge_message_log::LogError;
use kogge_security_server::ServerError;
use kogge_signer::{Pin, SoftToken, TokenError};
use kogge_transport::BindError;

use crate::instance::{Agency, Instance};

async fn error(instance: &Instance) -> ServerError {
    match instance.try_start(&Agency::consumer()).await {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

async fn prepared() -> Instance {
    let instance = Instance::new("h2").await;
    instance.prepare(&Agency::consumer());
    instance.registry.publish(|_| {});
    instance
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_used() {
    let instance = prepared().await;
    let dir = Agency::consumer().dir(&instance);
    kogge_durable::write_atomic(&dir.join("pin"), b"another-pin-1234", true).unwrap();
    assert!(matches!(error(&instance).await, ServerError::Token(TokenError::WrongPin)));
    std::fs::remove_file(dir.join("pin")).unwrap();
    assert!(matches!(error(&instance).await, ServerError::Token(TokenError::Pin(_))));
    kogge_durable::write_atomic(&dir.join("pin"), b"a-new-pin-12345", true).unwrap();
    std::fs::rename(dir.join("token"), dir.join("away")).unwrap();
    assert!(matches!(error(&instance).await, ServerError::Token(TokenError::Missing(_))));
    SoftToken::create(&dir.join("token"), &Pin::new("a-new-pin-12345")).unwrap();
    let empty = error(&instance).await;
    assert!(matches!(empty, ServerError::NoAuthenticationCertificate), "{empty:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_another_process_has() {
    let instance = prepared().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    for (section, is_expected) in [
        ("consumer", (|error| matches!(error, ServerError::Listen(_))) as fn(&ServerError) -> bool),
        ("provider", |error| matches!(error, ServerError::Bind(BindError::InUse { .. }))),
        ("status", |error| matches!(error, ServerError::Listen(_))),
    ] {
        let from = format!("[{section}]\nlisten = \"127.0.0.1:0\"");
        let to = format!("[{section}]\nlisten = \"{addr}\"");
        instance.reconfigure(&Agency::consumer(), |text| text.replacen(&from, &to, 1));
        let found = error(&instance).await;
        assert!(is_expected(&found), "{section}: {found:?}");
        assert!(found.to_string().contains(&addr.port().to_string()), "{found}");
        instance.reconfigure(&Agency::consumer(), |text| text.replacen(&to, &from, 1));
    }
    // Whatever was opened before has been let go.
    instance.start(&Agency::consumer()).await.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_in_use_or_of_another_server() {
    let instance = prepared().await;
    let running = instance.start(&Agency::consumer()).await;
    running.ready().await;
    let in_use = error(&instance).await;
    assert!(matches!(in_use, ServerError::Log(LogError::Durable(DurableError::Locked { .. }))), "{in_use:?}");
    running.stop().await;
    instance.reconfigure(&Agency::consumer(), |text| text.replacen("1001/SS1", "1001/SS2", 1));
    let other = error(&instance).await;
    assert!(matches!(other, ServerError::Log(LogError::OtherServer { .. })), "{other:?}");
}
