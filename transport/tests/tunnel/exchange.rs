//! What works when nothing goes wrong, and how a stream ends.

use std::sync::Arc;

use kogge_transport::{Carrier, ProtocolError, TransportError};
use tokio::task::JoinSet;

use crate::world::{Pair, bytes_of, chunk, echo, soon};

on_both_carriers!(
    many_frames_and_a_large_body,
    both_sides_know_each_other,
    sixty_four_exchanges_at_once,
    an_answer_may_come_before_the_question_has_ended,
    dropped_before_its_end_it_is_an_error,
    reset_after_its_end_it_is_an_error,
    half_a_question_is_no_question,
    abandoned_returns_when_the_consumer_is_gone_and_not_before,
    a_frame_over_the_limit_is_not_sent,
);

async fn many_frames_and_a_large_body(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let tunnels = pair.tunnels(carrier);
    let stream = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    let (mut sender, mut receiver) = stream.split();
    let sent: Vec<Vec<u8>> =
        (0..80_u8).map(|n| vec![n; 64 * 1024]).chain((0..200_u8).map(|n| vec![n; 3])).collect();
    let expected = sent.clone();
    let sending = tokio::spawn(async move {
        for bytes in sent {
            sender.send(chunk(bytes)).await.unwrap();
        }
        sender.finish().await.unwrap();
    });
    for bytes in expected {
        let got = bytes_of(receiver.recv().await.unwrap().unwrap());
        assert!(got == bytes, "a chunk of {} bytes has changed", bytes.len());
    }
    assert_eq!(receiver.recv().await.unwrap(), None);
    assert_eq!(receiver.recv().await.unwrap(), None, "the end stays the end");
    sending.await.unwrap();
}

async fn both_sides_know_each_other(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let server = pair.at(listener.local_addr());
    let mut ours = tunnels.open(&server, soon()).await.unwrap();
    assert_eq!(ours.carrier(), carrier);
    assert_eq!(ours.peer().server(), &pair.provider.id);
    assert_eq!(ours.peer().certificate(), &pair.provider.certificate);
    assert_eq!(ours.peer().path().issuer(), &pair.world.ca.certificate);
    ours.send(chunk("x")).await.unwrap();
    let theirs = listener.accept().await.unwrap();
    assert_eq!(theirs.carrier(), carrier);
    assert_eq!(theirs.peer().server(), &pair.consumer.id);
    assert_eq!(theirs.peer().certificate(), &pair.consumer.certificate);
}

async fn sixty_four_exchanges_at_once(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let tunnels = Arc::new(pair.tunnels(carrier));
    let mut exchanges = JoinSet::new();
    for n in 0..64_u8 {
        let (tunnels, server) = (Arc::clone(&tunnels), pair.at(listener.local_addr()));
        exchanges.spawn(async move {
            let mut stream = tunnels.open(&server, soon()).await.unwrap();
            for round in 0..20_u8 {
                stream.send(chunk(vec![n, round])).await.unwrap();
                assert_eq!(bytes_of(stream.recv().await.unwrap().unwrap()), [n, round]);
            }
            stream.finish().await.unwrap();
            assert_eq!(stream.recv().await.unwrap(), None);
        });
    }
    assert_eq!(exchanges.join_all().await.len(), 64);
}

async fn an_answer_may_come_before_the_question_has_ended(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    ours.send(chunk("a long question")).await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    theirs.recv().await.unwrap().unwrap();
    theirs.send(chunk("no")).await.unwrap();
    theirs.finish().await.unwrap();
    assert_eq!(bytes_of(ours.recv().await.unwrap().unwrap()), b"no");
    assert_eq!(ours.recv().await.unwrap(), None);
}

async fn dropped_before_its_end_it_is_an_error(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    theirs.recv().await.unwrap().unwrap();
    theirs.send(chunk("half an answer")).await.unwrap();
    ours.recv().await.unwrap().unwrap();
    drop(theirs);
    let error = ours.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::BrokenAfterSend { .. }), "{error:?}");
    assert!(!error.may_fail_over());
}

async fn reset_after_its_end_it_is_an_error(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    ours.finish().await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    theirs.recv().await.unwrap().unwrap();
    theirs.reset();
    let error = ours.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::BrokenAfterSend { .. }), "{error:?}");
}

async fn half_a_question_is_no_question(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    ours.send(chunk("half")).await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    theirs.recv().await.unwrap().unwrap();
    drop(ours);
    let error = theirs.recv().await.unwrap_err();
    assert!(matches!(error, TransportError::BrokenAfterSend { .. }), "{error:?}");
}

async fn abandoned_returns_when_the_consumer_is_gone_and_not_before(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    let tunnels = pair.tunnels(carrier);
    let mut ours = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    ours.send(chunk("question")).await.unwrap();
    ours.finish().await.unwrap();
    let mut theirs = listener.accept().await.unwrap();
    while theirs.recv().await.unwrap().is_some() {}
    theirs.send(chunk("still working")).await.unwrap();
    // Our having received it shows that everything before it has arrived there as well.
    ours.recv().await.unwrap().unwrap();
    let yet = tokio::time::timeout(std::time::Duration::from_millis(50), theirs.abandoned()).await;
    assert!(yet.is_err(), "the consumer still waits");
    drop(ours);
    theirs.abandoned().await;
}

async fn a_frame_over_the_limit_is_not_sent(carrier: Carrier) {
    let pair = Pair::new();
    let listener = pair.listen();
    echo(&listener);
    let tunnels = pair.tunnels(carrier);
    let mut stream = tunnels.open(&pair.at(listener.local_addr()), soon()).await.unwrap();
    let error = stream.send(chunk(vec![0; 256 * 1024])).await.unwrap_err();
    assert!(matches!(error, TransportError::Protocol(ProtocolError::FrameTooLarge(262_148))), "{error:?}");
    // Nothing of it was sent: the stream still works.
    crate::world::ask_on(&mut stream).await.unwrap();
}
