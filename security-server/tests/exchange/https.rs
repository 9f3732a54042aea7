//! TLS towards information systems and registers.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use kogge_daemon::server::{ClientCertificates, tls_config};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::instance::register::Register;
use crate::instance::{Agency, Instance, PERSONS, PORTAL};

/// A self-signed certificate for `localhost` and its key, as `NAME.pem` and `NAME.key`.
fn self_signed(dir: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join(format!("{name}.pem")), made.cert.pem()).unwrap();
    std::fs::write(dir.join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
}

/// Status and fault code that an information system gets over TLS with this certificate.
async fn ask(port: u16, dir: &Path, certificate: Option<&str>, client: &str) -> (u16, String) {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("server.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let config = match certificate {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = vec![CertificateDer::from_pem_file(dir.join(format!("{name}.pem"))).unwrap()];
            let key = PrivateKeyDer::from_pem_file(dir.join(format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only().enable_http1().build();
    let request =
        Request::get(format!("https://localhost:{port}/r1/{PERSONS}/1")).header("X-Road-Client", client);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let response = client.request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let code = response.headers().get("x-road-error").map(|code| code.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    (status, code.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subsystem_may_demand_a_certificate_of_its_information_system() {
    let instance = Instance::new("h2").await;
    for agency in [Agency::consumer(), Agency::provider()] {
        instance.prepare(&agency);
    }
    let dir = Agency::consumer().dir(&instance);
    for name in ["server", "client", "stranger"] {
        self_signed(&dir, name);
    }
    instance.reconfigure(&Agency::consumer(), |text| {
        let tls =
            "tls_listen = \"127.0.0.1:0\"\ntls_certificate = \"server.pem\"\ntls_key = \"server.key\"\n";
        text.replacen("[consumer]\n", &format!("[consumer]\n{tls}"), 1)
            .replacen("connection = \"http\"", "connection = \"https\"", 1)
            .replacen(
                "secret\"\nconnection = \"https\"",
                "secret\"\nconnection = \"mtls\"\ncertificates = [\"client.pem\"]",
                1,
            )
    });
    let (instance, consumer, _provider) = instance.start_two_servers().await;
    let port = consumer.consumer_tls.unwrap().port();
    let refused = (403, "client.ssl_authentication_failed".to_owned());
    assert_eq!(ask(port, &dir, None, PORTAL).await, (200, String::new()));
    assert_eq!(ask(port, &dir, Some("stranger"), PORTAL).await, (200, String::new()), "portal demands none");
    assert_eq!(crate::call(&consumer, "GET", "/1", "").await.status, 403, "but it demands TLS");

    let secret = "DEMO/GOV/1001/secret";
    assert_eq!(ask(port, &dir, None, secret).await, refused);
    assert_eq!(ask(port, &dir, Some("stranger"), secret).await, refused);
    let denied = (403, "server.serverproxy.access_denied".to_owned());
    assert_eq!(
        ask(port, &dir, Some("client"), secret).await,
        denied,
        "it is let in, but has no access right"
    );
    assert_eq!(instance.register.calls(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_is_called_over_tls_only_if_its_certificate_leads_to_the_roots() {
    let instance = Instance::new("h2").await;
    for agency in [Agency::consumer(), Agency::provider()] {
        instance.prepare(&agency);
    }
    let dir = Agency::provider().dir(&instance);
    for name in ["register", "other"] {
        self_signed(&dir, name);
    }
    let tls =
        tls_config(&dir.join("register.pem"), &dir.join("register.key"), ClientCertificates::None).unwrap();
    let register = Register::start_with(Some(tls)).await;
    let service = |code: &str, roots: &str| {
        let url = &register.url;
        format!(
            "[[services]]\nid = \"DEMO/GOV/2002/population/{code}\"\nurl = \"{url}\"\ntls_roots = \"{roots}.pem\"\n\
             [[services.access]]\nclient = \"{PORTAL}\"\n"
        )
    };
    instance.reconfigure(&Agency::provider(), |text| {
        text + &service("tls", "register") + &service("tls-other", "other")
    });
    let (_instance, consumer, _provider) = instance.start_two_servers().await;
    let call = async |code: &str| {
        let url = format!("{}/r1/DEMO/GOV/2002/population/{code}/1", consumer.consumer);
        crate::instance::http::send("GET", &url, &[("X-Road-Client", PORTAL)], "").await
    };
    assert_eq!(call("tls").await.status, 200);
    let refused = call("tls-other").await;
    assert_eq!(refused.header("x-road-error"), Some("server.serverproxy.service_failed.network_error"));
    assert_eq!(register.calls(), 1);
}
