//! The floor as it stands, and one that is none.

use std::path::Path;

use super::*;

/// Free ports a moment ago.
fn ports<const COUNT: usize>() -> [SocketAddr; COUNT] {
    let held = [(); COUNT].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap())
}

fn nginx_is_missing(test: &str) -> bool {
    let missing = nginx::program().is_none();
    assert!(
        !(missing && std::env::var("CI").as_deref() == Ok("true")),
        "{test} needs nginx, which is missing"
    );
    if missing {
        eprintln!("SKIPPED: {test} needs nginx, which is missing");
    }
    missing
}

#[test]
fn every_installed_proxy_makes_a_floor_that_refuses_strangers() {
    if nginx_is_missing("the floor") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let [backend, a1, b1, a2, b2] = ports();
    let backend = Backend::start(dir.path(), backend, 100, None, Path::new("no-such-program")).unwrap();
    let tls = TlsFiles::create(dir.path()).unwrap();
    let pairs = [Pair { path: "/x".to_owned(), client: "A".to_owned() }];
    for (stack, [a, b]) in Floor::installed().into_iter().zip([[a1, b1], [a2, b2]]) {
        let mut floor = Floor::start(stack, dir.path(), &tls, [a, b], &backend, &pairs, 0).unwrap();
        assert!(crate::child::answers(a, "/x").unwrap(), "{stack:?}");
        assert!(!tls.answers_strangers(b).unwrap_or(false), "{stack:?}");
        assert_eq!(floor.chain().parts.len(), 3);
        let before = floor.chain().parts[0].pid;
        floor.start_again(&mut Answered::default(), &Stop::default()).unwrap();
        assert_ne!(floor.chain().parts[0].pid, before, "{stack:?}");
    }
}

#[test]
fn a_second_hop_that_answers_everybody_is_no_floor() {
    if nginx_is_missing("a floor that is none") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let tls = TlsFiles::create(dir.path()).unwrap();
    let [address] = ports();
    let server = format!(
        "server {{ listen {address} ssl; ssl_protocols TLSv1.3; ssl_certificate {}; ssl_certificate_key {}; return 200 'all'; }}",
        tls.certificate.display(),
        tls.key.display()
    );
    let args = nginx::configure(dir.path(), "open", &server).unwrap();
    let _open = Child::start(&nginx::program().unwrap(), args, &dir.path().join("log")).unwrap();
    let mut tries = 0;
    while std::net::TcpStream::connect(address).is_err() {
        tries += 1;
        assert!(tries < 1000, "nginx does not listen");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let refused = refuses_strangers("open", address, &tls);
    assert!(matches!(&refused, Err(BenchError::Unfit { name, .. }) if name == "open"), "{refused:?}");
}
