use kogge_proto::message::RequestParts;

use super::*;
use crate::config::defaults;
use crate::services::{AccessRight, AccessRights};

fn service(purposes: &[&str]) -> Service {
    let right = |methods: &[&str], path: &str| {
        let methods: Vec<String> = methods.iter().map(|&method| method.to_owned()).collect();
        AccessRight::new("DEMO/GOV/1/portal".parse().unwrap(), Some(&methods), path.parse().unwrap()).unwrap()
    };
    Service {
        id: "DEMO/GOV/2/population/persons".parse().unwrap(),
        url: "http://127.0.0.1:1/".parse().unwrap(),
        tls_roots: None,
        time_max: defaults::SERVICE_TIME_MAX,
        body_bytes_max: 10,
        retention: crate::body::Retention::Kept,
        purposes: purposes.iter().map(|&purpose| purpose.to_owned()).collect(),
        access: AccessRights::new(vec![right(&["GET"], "/persons/*"), right(&["POST"], "/queries")]),
    }
}

fn ask(
    method: &str,
    path: &str,
    purpose: Option<&str>,
    purposes: &[&str],
    client: &str,
) -> Result<(), AuthoriseError> {
    let mut headers = vec![("x-road-client".into(), client.into())];
    headers.extend(purpose.map(|purpose| ("x-road-purpose".into(), purpose.into())));
    let request = RestRequest::build(RequestParts {
        method,
        target: &format!("/r1/DEMO/GOV/2/population/persons{path}"),
        headers,
        request_id: "id",
        fallback_message_id: "id",
    });
    decide(&service(purposes), &client.parse().unwrap(), &request.unwrap())
}

const PORTAL: &str = "DEMO/GOV/1/portal";

#[test]
fn a_right_covers_client_method_and_path() {
    assert_eq!(ask("GET", "/persons/1", None, &[], PORTAL), Ok(()));
    assert_eq!(ask("GET", "/persons/1?x=/../y", None, &[], PORTAL), Ok(()));
    assert_eq!(ask("POST", "/queries", None, &[], PORTAL), Ok(()));
    for (method, path, client) in [
        ("POST", "/persons/1", PORTAL),
        ("GET", "/queries", PORTAL),
        ("GET", "", PORTAL),
        ("GET", "/persons/1/2", PORTAL),
        ("GET", "/persons/1", "DEMO/GOV/1/other"),
    ] {
        let denied = ask(method, path, None, &[], client);
        assert!(
            matches!(denied, Err(AuthoriseError::AccessDenied { .. })),
            "{method} {path} {client}: {denied:?}"
        );
    }
}

#[test]
fn a_path_that_reads_two_ways_is_denied_whatever_the_right() {
    for path in ["/persons/..", "/persons/%2e%2e", "/persons/a%2fb", "/persons//1", "/persons/..;a=b"] {
        let denied = ask("GET", path, None, &[], PORTAL);
        assert!(matches!(denied, Err(AuthoriseError::AmbiguousPath(_))), "{path}: {denied:?}");
    }
}

#[test]
fn a_purpose_is_demanded_where_the_service_lists_some() {
    let purposes = ["benefits"];
    assert_eq!(ask("GET", "/persons/1", Some("benefits"), &purposes, PORTAL), Ok(()));
    assert_eq!(ask("GET", "/persons/1", Some("anything"), &[], PORTAL), Ok(()));
    for purpose in [None, Some(""), Some("Benefits"), Some("benefits,other")] {
        let refused = ask("GET", "/persons/1", purpose, &purposes, PORTAL);
        assert!(matches!(refused, Err(AuthoriseError::PurposeRefused { .. })), "{purpose:?}: {refused:?}");
    }
    let stranger = ask("GET", "/persons/1", None, &purposes, "DEMO/GOV/1/other");
    assert!(matches!(stranger, Err(AuthoriseError::AccessDenied { .. })), "{stranger:?}");
}
