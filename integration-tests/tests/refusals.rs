//! Bad requests through the whole chain: each gets an X-Road-style error that says what is wrong, and the chain goes on working.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use kogge_integration_tests::{Demo, http};

const BINARY: &str = env!("CARGO_BIN_EXE_kogge-under-test");

/// What a bad request is to be answered with.
struct Case {
    what: &'static str,
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    status: u16,
    fault: &'static str,
}

#[test]
fn every_bad_request_is_told_what_is_wrong() {
    let demo = Demo::start(BINARY, &[]).unwrap();
    for case in cases(&demo) {
        let url = format!("{}{}", demo.endpoints.consumer.trim_end_matches('/'), case.path);
        let headers: Vec<(&str, &str)> =
            case.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = http::send(case.method, &url, &headers, b"").unwrap();
        let what = case.what;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.fault(), case.fault, "{what}: {text}");
        assert_eq!(answer.status, case.status, "{what}: {text}");
        assert_eq!(answer.header("x-road-error"), Some(case.fault), "{what}");
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(!detail.is_empty(), "{what}: {text}");
        assert!(logs(&demo).contains(&detail), "{what}: the servers' logs do not have {detail}");
    }
    malformed_http(&demo);
    errors_come_as_xml_if_asked(&demo);
    let good = demo.call("GET", "?family_name=Meyer&limit=1", b"").unwrap();
    assert_eq!(good.status, 200, "the chain must work after all that");
}

fn cases(demo: &Demo) -> Vec<Case> {
    let client = demo.endpoints.client.clone();
    let service = demo.endpoints.service.clone();
    let [instance, class, code, subsystem, _] = service.split('/').collect::<Vec<_>>().try_into().unwrap();
    let provider = format!("{instance}/{class}/{code}");
    let good = |client: &str| vec![("X-Road-Client", client.to_owned())];
    let case = |what, method, path: String, headers, status, fault| Case {
        what,
        method,
        path,
        headers,
        status,
        fault,
    };
    vec![
        case("no client", "GET", format!("/r1/{service}"), vec![], 400, "client.invalid_client_identifier"),
        case(
            "two clients",
            "GET",
            format!("/r1/{service}"),
            [good(&client), good(&client)].concat(),
            400,
            "client.invalid_client_identifier",
        ),
        case(
            "malformed client",
            "GET",
            format!("/r1/{service}"),
            good("DEMO/GOV"),
            400,
            "client.invalid_client_identifier",
        ),
        case(
            "confusable client",
            "GET",
            format!("/r1/{service}"),
            good("DEMO/GOV/1/a%00"),
            400,
            "client.invalid_client_identifier",
        ),
        case(
            "unknown client",
            "GET",
            format!("/r1/{service}"),
            good("DEMO/GOV/9999/portal"),
            403,
            "server.clientproxy.unknown_member",
        ),
        case("path too short", "GET", "/r1/DEMO/GOV".to_owned(), good(&client), 400, "client.bad_request"),
        case(
            "other path",
            "GET",
            "/somewhere".to_owned(),
            good(&client),
            404,
            "server.clientproxy.unknown_service",
        ),
        case(
            "other version",
            "GET",
            format!("/r2/{service}"),
            good(&client),
            404,
            "server.clientproxy.unknown_service",
        ),
        case(
            "bad encoding",
            "GET",
            format!("/r1/{provider}/{subsystem}/per%zzsons"),
            good(&client),
            400,
            "client.bad_request",
        ),
        case(
            "unknown provider",
            "GET",
            format!("/r1/{instance}/{class}/9999/{subsystem}/persons"),
            good(&client),
            404,
            "server.clientproxy.unknown_provider",
        ),
        case(
            "unknown subsystem",
            "GET",
            format!("/r1/{provider}/nothing/persons"),
            good(&client),
            404,
            "server.clientproxy.unknown_provider",
        ),
        case(
            "unknown service",
            "GET",
            format!("/r1/{provider}/{subsystem}/nothing"),
            good(&client),
            404,
            "server.clientproxy.unknown_service",
        ),
        case(
            "no right for the method",
            "DELETE",
            format!("/r1/{service}"),
            good(&client),
            403,
            "server.serverproxy.access_denied",
        ),
        case(
            "path that leaves the service",
            "GET",
            format!("/r1/{service}/../admin"),
            good(&client),
            403,
            "server.serverproxy.access_denied",
        ),
        case(
            "unknown method",
            "BREW",
            format!("/r1/{service}"),
            good(&client),
            405,
            "client.invalid_http_method",
        ),
        case(
            "unknown security server",
            "GET",
            format!("/r1/{service}"),
            [good(&client), vec![("X-Road-Security-Server", format!("{instance}/GOV/1/nope"))]].concat(),
            400,
            "server.clientproxy.invalid_security_server",
        ),
    ]
}

/// What is not even HTTP is answered by the HTTP layer, or the connection is closed; the server stays up.
fn malformed_http(demo: &Demo) {
    let authority = demo.endpoints.consumer.trim_start_matches("http://").trim_end_matches('/');
    for bytes in [&b"GARBAGE\r\n\r\n"[..], b"GET / HTTP/9.9\r\n\r\n", b"\0\0\0\0\r\n\r\n", &[b'A'; 200_000]] {
        if let Ok(answer) = http::raw(authority, bytes) {
            assert!((400..=505).contains(&answer.status), "{}", answer.status);
        }
    }
}

fn errors_come_as_xml_if_asked(demo: &Demo) {
    let answer = http::send("GET", &demo.url(""), &[("Accept", "application/xml")], b"").unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("<type>client.invalid_client_identifier</type>"), "{text}");
}

/// What both security servers have logged so far.
fn logs(demo: &Demo) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(demo.dir().join("logs")).unwrap() {
        text.push_str(&std::fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    text
}
