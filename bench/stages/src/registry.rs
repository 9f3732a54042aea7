//! Asking who is who, and who may.

use std::sync::Arc;

use kogge_certs::snapshot::VerifiedSnapshot;
use kogge_proto::id::{SecurityServerId, ServiceId, SubsystemId};
use kogge_security_server::services::{AccessRight, AccessRights, NormalPath};

use crate::exchange::{CLIENT, Exchange};
use crate::world::MEMBERS;
use crate::{Stage, Work, World};

pub(crate) const STAGES: &[Stage] = &[
    Stage::plain("look-ups.10-members", 200, |world| look_ups(world.snapshot())),
    Stage::plain("look-ups.100000-members", 200, |world| look_ups(world.grown_snapshot(100_000))),
    Stage::plain("authorise", 200, authorise),
];

/// What both security servers ask in one exchange, for another client and service each time.
fn look_ups(snapshot: Arc<VerifiedSnapshot>) -> Work {
    let services: Vec<ServiceId> = snapshot.services().take(3 * MEMBERS).map(|service| service.id).collect();
    let clients: Vec<(SubsystemId, SecurityServerId)> = snapshot.registrations().take(MEMBERS).collect();
    let mut round = 0;
    Work::new(move || {
        let ((client, server), service) =
            (&clients[round % clients.len()], &services[round % services.len()]);
        round += 1;
        // The consumer's server: may the client ask here, who provides, is there such a service?
        assert!(snapshot.is_provider(server, client));
        let providers = snapshot.providers(service.subsystem());
        assert!(snapshot.service_registered(service));
        // The provider's server: is the client there, do we provide, is there such a service?
        assert!(snapshot.is_provider(server, client));
        assert!(snapshot.is_provider(&providers[0].id, service.subsystem()));
        assert!(snapshot.service_registered(service));
    })
}

/// The path in its one form, and the last of [`RIGHTS`] access rights, which covers it.
fn authorise(_: &World) -> Work {
    let client = SubsystemId::parse(CLIENT).unwrap();
    let others = (1..RIGHTS).map(|number| format!("EE/GOV/7000{number:04}/register").parse().unwrap());
    let rights = others.chain([client.clone()]).map(|client| {
        let methods = ["GET".to_owned(), "POST".to_owned()];
        AccessRight::new(client, Some(&methods), "/persons/*/address".parse().unwrap()).unwrap()
    });
    let (rights, request) = (AccessRights::new(rights.collect()), Exchange::new(1).request);
    Work::new(move || {
        let path = NormalPath::new(request.service_path()).unwrap();
        assert!(rights.permit(&client, request.method(), &path));
    })
}

/// Clients of a service that is asked for by many.
const RIGHTS: u32 = 20;
