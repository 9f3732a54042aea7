//! Exchanges whose information system goes away, too many at once, and a server that stops while one is running.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::instance::{Agency, Instance, PERSONS, PORTAL};
use crate::{assert_logged, call};

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_runs_to_its_end_when_the_information_system_goes_away() {
    let (instance, consumer, provider) = Instance::with_two_servers("quic").await;
    let mut connection = TcpStream::connect(consumer.consumer.trim_start_matches("http://")).await.unwrap();
    let request = format!("GET /r1/{PERSONS}/held HTTP/1.1\r\nHost: x\r\nX-Road-Client: {PORTAL}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    instance.register.called(1).await;
    drop(connection);
    consumer.status_is("running", |status| status["exchanges_running"] == 1).await;
    instance.register.release();
    consumer.status_is("done", |status| status["exchanges_running"] == 0).await;
    provider.status_is("done", |status| status["exchanges_running"] == 0).await;
    assert_logged(&consumer, &provider, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_off_leaves_nothing() {
    let (instance, consumer, _provider) = Instance::with_two_servers("h2").await;
    let mut connection = TcpStream::connect(consumer.consumer.trim_start_matches("http://")).await.unwrap();
    let request = format!(
        "POST /r1/{PERSONS} HTTP/1.1\r\nHost: x\r\nX-Road-Client: {PORTAL}\r\nContent-Length: 1000000\r\n\r\nhalf"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    consumer.status_is("running", |status| status["exchanges_running"] == 1).await;
    drop(connection);
    consumer.status_is("done", |status| status["exchanges_running"] == 0).await;
    assert!(consumer.records().is_empty());
    assert_eq!(std::fs::read_dir(consumer.log_dir.join("spool")).unwrap().count(), 0);
    assert_eq!(instance.register.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_exchange_too_many_is_refused_at_once() {
    let (instance, consumer, _provider) = Instance::with_two_servers("h2").await;
    let held = async { call(&consumer, "GET", "/held", "").await };
    let refused = async {
        instance.register.called(1).await;
        let others = (0..instance.exchanges_max() - 1).map(|_| call(&consumer, "GET", "/held", ""));
        let others = futures_util::future::join_all(others);
        let refused = async {
            instance.register.called(instance.exchanges_max()).await;
            let refused = call(&consumer, "GET", "/1", "").await;
            for _ in 0..instance.exchanges_max() {
                instance.register.release();
                tokio::task::yield_now().await;
            }
            refused
        };
        let (refused, others) = tokio::join!(refused, others);
        assert!(others.iter().all(|answer| answer.status == 200));
        refused
    };
    let (held, refused) = tokio::join!(held, refused);
    assert_eq!(held.status, 200);
    assert_eq!(refused.header("x-road-error"), Some("server.clientproxy.overloaded"));
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, Some("2")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_has_enough_refuses_before_it_takes_the_body() {
    let instance = Instance::new("auto").await;
    for agency in [Agency::consumer(), Agency::provider()] {
        instance.prepare(&agency);
    }
    instance.reconfigure(&Agency::provider(), |text| {
        text.replacen("[provider]\n", "[provider]\nexchanges_max = 1\n", 1)
    });
    let (instance, consumer, provider) = instance.start_two_servers().await;
    let held = async { call(&consumer, "GET", "/held", "").await };
    let refused = async {
        instance.register.called(1).await;
        let refused = call(&consumer, "POST", "/1", vec![0; 8 * 1024 * 1024]).await;
        instance.register.release();
        refused
    };
    let (held, refused) = tokio::join!(held, refused);
    assert_eq!(held.status, 200);
    assert_eq!(refused.header("x-road-error"), Some("server.serverproxy.overloaded"));
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, Some("2")));
    assert_eq!((instance.register.calls(), provider.records().len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_lets_running_exchanges_end() {
    let (instance, consumer, provider) = Instance::with_two_servers("quic").await;
    let log_dirs = [consumer.log_dir.clone(), provider.log_dir.clone()];
    let url = format!("{}/r1/{PERSONS}/held", consumer.consumer);
    let asking = tokio::spawn(async move {
        crate::instance::http::send("GET", &url, &[("X-Road-Client", PORTAL)], "").await
    });
    instance.register.called(1).await;
    let stopping = async { tokio::join!(consumer.stop(), provider.stop()) };
    let releasing = async {
        tokio::task::yield_now().await;
        instance.register.release();
    };
    tokio::join!(stopping, releasing);
    let answer = asking.await.unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    for log_dir in log_dirs {
        assert_eq!(crate::instance::records(&log_dir).len(), 2);
    }
}
