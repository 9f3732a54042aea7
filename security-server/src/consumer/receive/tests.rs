use std::convert::Infallible;
use std::time::Duration;

use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use kogge_proto::id::IdError;

use super::*;

const ID: &str = "11111111-2222-4333-8444-555555555555";
const TARGET: &str = "/r1/DEMO/GOV/2/population/persons/1?full=true";

fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> http::request::Builder {
    let builder = Request::builder().method(method).uri(target);
    headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value))
}

async fn read_request<B>(request: Request<B>) -> Result<Received, ReceiveError>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    read_until(request, Instant::now() + Duration::from_secs(60)).await
}

async fn read_until<B>(request: Request<B>, deadline: Instant) -> Result<Received, ReceiveError>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let dir = tempfile::tempdir().unwrap();
    let intake = Intake { spool: dir.path().into(), body_bytes_max: 100, retention: Retention::Kept };
    let intakes = Intakes::new(intake, &[]);
    read(request, &"DEMO/GOV/1/SS1".parse().unwrap(), ID, &intakes, deadline).await
}

async fn read_plain(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<Received, ReceiveError> {
    read_request(request(method, target, headers).body(Full::new(Bytes::new())).unwrap()).await
}

const CLIENT_HEADER: (&str, &str) = ("X-Road-Client", "DEMO/GOV/1/portal");

#[tokio::test]
async fn the_message_is_x_roads() {
    let headers =
        [CLIENT_HEADER, ("Accept", "text/plain"), ("Connection", "close"), ("X-Road-Request-Id", "mine")];
    let body = Full::new(Bytes::from_static(b"abc"));
    let received = read_request(request("POST", TARGET, &headers).body(body).unwrap()).await.unwrap();
    let text = std::str::from_utf8(received.request().bytes()).unwrap();
    let expected = format!(
        "POST\r\n{TARGET}\r\nx-road-client:DEMO/GOV/1/portal\r\naccept:text/plain\r\nx-road-request-id:{ID}\r\nx-road-id:DEMO-"
    );
    assert!(text.starts_with(&expected), "{text}");
    assert_eq!(received.body().unwrap().length(), 3);
}

#[tokio::test]
async fn no_bytes_are_no_body_and_an_own_message_id_stays() {
    let received = read_plain("GET", TARGET, &[CLIENT_HEADER, ("x-road-id", "my-id")]).await.unwrap();
    assert!(received.body().is_none());
    assert_eq!(received.request().message_id(), "my-id");
}

#[tokio::test]
async fn an_absolute_target_counts_by_its_path() {
    let absolute = format!("http://ss1:8080{TARGET}");
    let received = read_plain("GET", &absolute, &[CLIENT_HEADER]).await.unwrap();
    assert_eq!(received.request().target(), TARGET);
}

#[tokio::test]
async fn malformed_requests_are_refused_for_their_reason() {
    for target in ["/", "/r2/DEMO/GOV/2/population/persons", "/r1", "/R1/DEMO/GOV/2/a/b", "/wsdl"] {
        assert!(
            matches!(read_plain("GET", target, &[CLIENT_HEADER]).await, Err(ReceiveError::NotRest)),
            "{target}"
        );
    }
    let message = |result: Result<Received, ReceiveError>| match result {
        Err(ReceiveError::Message(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(message(read_plain("FETCH", TARGET, &[CLIENT_HEADER]).await), MessageError::Method);
    assert_eq!(message(read_plain("GET", "/r1/DEMO/GOV/2/a", &[CLIENT_HEADER]).await), MessageError::Target);
    assert_eq!(message(read_plain("GET", TARGET, &[]).await), MessageError::Missing("x-road-client"));
    let twice = [CLIENT_HEADER, CLIENT_HEADER];
    assert_eq!(message(read_plain("GET", TARGET, &twice).await), MessageError::Repeated("x-road-client"));
    assert_eq!(
        message(read_plain("GET", TARGET, &[("X-Road-Client", "DEMO/GOV/1/")]).await),
        MessageError::Identifier { place: "X-Road-Client", source: IdError::Empty }
    );
    let broken = request("GET", TARGET, &[CLIENT_HEADER])
        .header("X-A", http::HeaderValue::from_bytes(b"\xff").unwrap());
    let broken = read_request(broken.body(Full::new(Bytes::new())).unwrap()).await;
    assert!(matches!(broken, Err(ReceiveError::HeaderNotText(_))), "{broken:?}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_announced_or_not() {
    let too_large = |result: Result<Received, ReceiveError>| {
        matches!(result, Err(ReceiveError::Body(BodyError::TooLarge { limit: 100 })))
    };
    let announced = Full::new(Bytes::from(vec![0; 101]));
    assert!(too_large(
        read_request(request("POST", TARGET, &[CLIENT_HEADER]).body(announced).unwrap()).await
    ));
    let pieces = futures_util::stream::iter(
        (0..3).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; 50])))),
    );
    let chunked = StreamBody::new(pieces);
    assert!(too_large(read_request(request("POST", TARGET, &[CLIENT_HEADER]).body(chunked).unwrap()).await));
}

#[tokio::test]
async fn a_client_that_does_not_send_its_body_is_given_up() {
    let pieces = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
    let silent = request("POST", TARGET, &[CLIENT_HEADER]).body(StreamBody::new(pieces)).unwrap();
    assert!(matches!(read_until(silent, Instant::now()).await, Err(ReceiveError::Timeout)));
}
