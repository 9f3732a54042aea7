//! Requests that are refused: each for its reason, in X-Road's form, and without an effect.

use bytes::Bytes;

use crate::call;
use crate::instance::http::send;
use crate::instance::{Instance, PERSONS, PORTAL};

struct Case {
    name: &'static str,
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, &'static str)>,
    body: Bytes,
    status: u16,
    code: &'static str,
}

fn case(name: &'static str, status: u16, code: &'static str) -> Case {
    let target = format!("/r1/{PERSONS}/1");
    Case {
        name,
        method: "GET",
        target,
        headers: vec![("X-Road-Client", PORTAL)],
        body: Bytes::new(),
        status,
        code,
    }
}

impl Case {
    fn client(mut self, client: &'static str) -> Self {
        self.headers = vec![("X-Road-Client", client)];
        self
    }

    fn target(mut self, target: &str) -> Self {
        self.target = target.to_owned();
        self
    }

    fn narrow(mut self, path: &str) -> Self {
        self.target = format!("/r1/DEMO/GOV/2002/population/narrow{path}");
        self.header("X-Road-Purpose", "benefits")
    }

    fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    fn body(mut self, length: usize) -> Self {
        self.method = "POST";
        self.body = Bytes::from(vec![b'x'; length]);
        self
    }
}

fn by_the_consumer() -> Vec<Case> {
    let no_client = Case { headers: vec![], ..case("no client", 400, "client.invalid_client_identifier") };
    let provider = "/r1/DEMO/GOV/2002/population";
    vec![
        case("no service", 404, "server.clientproxy.unknown_service").target("/hello"),
        case("another version", 404, "server.clientproxy.unknown_service").target("/r2/a/b/c/d/e"),
        case("short path", 400, "client.bad_request").target("/r1/DEMO/GOV/2002"),
        case("malformed code", 400, "client.bad_request").target("/r1/DEMO/GOV/2002/a%2Fb/persons"),
        case("method", 405, "client.invalid_http_method").method("FETCH"),
        no_client,
        case("two clients", 400, "client.invalid_client_identifier").header("X-Road-Client", PORTAL),
        case("malformed client", 400, "client.invalid_client_identifier").client("DEMO/GOV"),
        case("malformed party", 400, "client.bad_request").header("X-Road-Represented-Party", "a/b/c"),
        case("a member", 403, "server.clientproxy.unknown_member").client("DEMO/GOV/1001"),
        case("unknown client", 403, "server.clientproxy.unknown_member").client("DEMO/GOV/9/x"),
        case("client of nobody here", 403, "server.clientproxy.unknown_member")
            .client("DEMO/GOV/1001/elsewhere"),
        case("client of another server", 403, "server.clientproxy.unknown_member")
            .client("DEMO/GOV/2002/population"),
        case("plain HTTP", 403, "client.ssl_authentication_failed").client("DEMO/GOV/1001/secret"),
        case("unknown provider", 404, "server.clientproxy.unknown_provider")
            .target("/r1/DEMO/GOV/9/x/persons"),
        case("provider on no server", 404, "server.clientproxy.unknown_provider")
            .target("/r1/DEMO/GOV/1001/elsewhere/x"),
        case("unknown service", 404, "server.clientproxy.unknown_service")
            .target(&format!("{provider}/nothing")),
        case("another server", 400, "server.clientproxy.invalid_security_server")
            .header("X-Road-Security-Server", "DEMO/GOV/1001/SS1"),
        case("malformed server", 400, "client.bad_request").header("X-Road-Security-Server", "DEMO"),
        case("body too large", 413, "client.body_too_large").body(8 * 1024 * 1024 + 1),
    ]
}

fn by_the_provider() -> Vec<Case> {
    let denied = "server.serverproxy.access_denied";
    let purpose = "server.serverproxy.purpose_refused";
    let provider = "/r1/DEMO/GOV/2002/population";
    vec![
        case("not configured", 404, "server.serverproxy.unknown_service")
            .target(&format!("{provider}/unconfigured")),
        case("path", 403, denied).narrow("/closed"),
        case("no path", 403, denied).narrow(""),
        case("method", 403, denied).narrow("/open/1").method("PUT"),
        case("dot segment", 403, denied).narrow("/open/../closed"),
        case("encoded dots", 403, denied).narrow("/open/%2e%2e/closed"),
        case("encoded slash", 403, denied).narrow("/open/a%2Fb"),
        case("no purpose", 403, purpose).target(&format!("{provider}/narrow/open/1")),
        case("purpose", 403, purpose)
            .target(&format!("{provider}/narrow/open/1"))
            .header("X-Road-Purpose", "fun"),
        case("body over the service's limit", 400, "server.serverproxy.invalid_message")
            .narrow("/open/1")
            .body(1001),
        case("large body over the service's limit", 400, "server.serverproxy.invalid_message")
            .narrow("/open/1")
            .body(6 * 1024 * 1024),
        case("register down", 502, "server.serverproxy.service_failed.network_error")
            .target(&format!("{provider}/down")),
    ]
}

fn by_the_register() -> Vec<Case> {
    vec![
        case("register silent", 504, "server.serverproxy.service_failed.timeout").narrow("/open/silent"),
        case("answer too large", 502, "server.serverproxy.service_failed.invalid_response")
            .narrow("/open/big"),
    ]
}

async fn refuse(instance_url: &str, case: Case) {
    let url = format!("{instance_url}{}", case.target);
    let answer = send(case.method, &url, &case.headers, case.body).await;
    let body = answer.json();
    assert_eq!(
        (answer.status.as_u16(), body["type"].as_str()),
        (case.status, Some(case.code)),
        "{}: {body}",
        case.name
    );
    assert_eq!(answer.header("x-road-error"), Some(case.code), "{}", case.name);
    assert!(!body["message"].as_str().unwrap().is_empty(), "{}", case.name);
    assert!(uuid::Uuid::try_parse(body["detail"].as_str().unwrap()).is_ok(), "{}: {body}", case.name);
    for internal in ["127.0.0.1", "/tmp", "os error"] {
        assert!(!body.to_string().contains(internal), "{}: {body}", case.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_reason_and_no_effect() {
    let (instance, consumer, provider) = Instance::with_two_servers("auto").await;
    for case in by_the_consumer() {
        refuse(&consumer.consumer, case).await;
    }
    assert!(consumer.records().is_empty(), "what the consumer's server refuses is no message");
    for case in by_the_provider() {
        refuse(&consumer.consumer, case).await;
    }
    assert_eq!(instance.register.calls(), 0);
    let in_provider_log: Vec<_> =
        provider.records().into_iter().map(|found| (found.record.service, found.record.direction)).collect();
    assert_eq!(
        in_provider_log,
        [("DEMO/GOV/2002/population/down".to_owned(), 1)],
        "only what was permitted is logged"
    );
    for case in by_the_register() {
        refuse(&consumer.consumer, case).await;
    }
    assert_eq!(instance.register.calls(), 2);
    assert_eq!(call(&consumer, "GET", "/1", "").await.status, 200, "nothing of that has done harm");

    // A client that is still sending when it is refused hears why.
    for _ in 0..10 {
        let url = format!("{}/nowhere", consumer.consumer);
        assert_eq!(send("POST", &url, &[], vec![0; 4 * 1024 * 1024]).await.status, 404);
    }

    let url = format!("{}/nowhere", consumer.consumer);
    let answer = send("GET", &url, &[("Accept", "application/xml")], "").await;
    assert!(answer.body.starts_with(b"<?xml"), "{:?}", answer.body);
    let metrics = send("GET", &format!("{}/metrics", consumer.status), &[], "").await;
    let metrics = std::str::from_utf8(&metrics.body).unwrap();
    assert!(
        metrics.contains("kogge_faults_total{code=\"server.serverproxy.access_denied\"} 6\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("kogge_exchanges_total{side=\"consumer\",outcome=\"answered\"} 1\n"),
        "{metrics}"
    );
}
