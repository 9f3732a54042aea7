//! A registry snapshot as the configuration directory that X-Road's own verifier takes, and [`crate::globalconf`] reads:
//!
//! ```text
//! instance-identifier
//! INSTANCE/shared-params.xml
//! INSTANCE/shared-params.xml.metadata
//! ```
//!
//! X-Road's verifier reads nothing else: private parameters are for servers that take part.
//!
//! The document (X-Road "Protocol for Downloading Configuration", section 2.6.2) is of version 3 of its schema, which all of X-Road 7.6 to 7.8 read. The order
//! of its elements is the schema's. What Kogge has and X-Road has not is left out: suspensions, services, policies of TSAs, the registry's keys.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::successors;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kogge_certs::certificate::Certificate;
use kogge_certs::snapshot::{SecurityServer, VerifiedSnapshot};
use kogge_certs::trust::{ApprovedCa, ApprovedTsa};
use kogge_proto::id::{MemberId, SubsystemId};

/// The content of `shared-params.xml.metadata`: which version of the schema. There is no expiry: what verifies old evidence must not expire.
pub const METADATA: &str = "{\"contentIdentifier\":\"SHARED-PARAMETERS\",\"configurationVersion\":\"3\"}";

/// The content of `shared-params.xml`. `sources` are the registry's URLs.
#[must_use]
pub fn shared_params(snapshot: &VerifiedSnapshot, sources: &[String]) -> String {
    let parties = Parties::of(snapshot);
    let mut xml = Xml(String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n\
         <ns2:conf xmlns:ns2=\"http://x-road.eu/xsd/xroad.xsd\">\n",
    ));
    xml.text("instanceIdentifier", snapshot.instance());
    // The schema asks for one at least.
    let sources = if sources.is_empty() { &[String::new()][..] } else { sources };
    sources.iter().for_each(|source| xml.within("source", |xml| xml.text("address", host(source))));
    approved_cas(&mut xml, snapshot.trust().cas());
    snapshot.trust().tsas().iter().for_each(|tsa| approved_tsa(&mut xml, tsa));
    parties.write(&mut xml);
    xml.within("globalSettings", |xml| {
        for class in &parties.classes {
            xml.within("memberClass", |xml| member_class(xml, class));
        }
        xml.text("ocspFreshnessSeconds", &snapshot.policy().ocsp_freshness.as_secs().to_string());
    });
    xml.0.push_str("</ns2:conf>\n");
    xml.0
}

/// The directory where X-Road looks for an instance: its identifier as Java's `URLEncoder` writes it.
#[must_use]
pub fn directory_name(instance: &str) -> String {
    let mut name = String::new();
    for byte in instance.bytes() {
        match byte {
            b' ' => name.push('+'),
            b'.' | b'-' | b'*' | b'_' => name.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    // The names that have another meaning for a file system; X-Road has no answer to them.
    if name.bytes().all(|byte| byte == b'.') { name.replace('.', "%2E") } else { name }
}

/// An intermediate CA that the snapshot lists is approved by that, without an OCSP response about it. In this document's words it stands for itself; as an
/// `intermediateCA` it would be one that its issuer may have revoked. X-Road's verifier begins at the CA that issued the certificate either way; `kogge verify`
/// takes the first CA that a path leads to, so each stands before its issuer.
fn approved_cas(xml: &mut Xml, cas: &[Arc<ApprovedCa>]) {
    let mut approved: Vec<(&Certificate, &ApprovedCa)> = Vec::new();
    for ca in cas {
        approved
            .extend(ca.intermediates.iter().chain([&ca.certificate]).map(|certificate| (certificate, &**ca)));
    }
    approved.sort_by_key(|(certificate, ca)| Reverse(depth(certificate, ca)));
    for (certificate, ca) in approved {
        xml.within("approvedCA", |xml| {
            xml.text("name", &ca.name);
            xml.text("authenticationOnly", "false");
            xml.within("topCA", |xml| ca_info(xml, certificate, ca));
            xml.text("certificateProfileInfo", PROFILE);
        });
    }
}

/// How many of the CA's certificates are above this one.
fn depth(certificate: &Certificate, ca: &ApprovedCa) -> usize {
    let above = |below: &&Certificate| {
        let issuer = below.issuer_der().to_vec();
        ca.intermediates.iter().chain([&ca.certificate]).find(|above| above.subject_der() == issuer)
    };
    // A certificate that names itself, or a circle, ends where there can be no more.
    successors(Some(certificate), above)
        .take(ca.intermediates.len() + 1)
        .take_while(|found| **found != ca.certificate)
        .count()
}

/// A CA with those who answer for its certificates. X-Road ties a responder's certificate to a URL, Kogge does not: the lists are put side by side.
fn ca_info(xml: &mut Xml, certificate: &Certificate, ca: &ApprovedCa) {
    xml.certificate(certificate);
    for place in 0..ca.ocsp_urls.len().max(ca.ocsp_responders.len()) {
        let url = ca.ocsp_urls.get(place).or(ca.ocsp_urls.first());
        xml.within("ocsp", |xml| {
            xml.text("url", url.map_or("", String::as_str));
            if let Some(responder) = ca.ocsp_responders.get(place) {
                xml.certificate(responder);
            }
        });
    }
}

fn approved_tsa(xml: &mut Xml, tsa: &ApprovedTsa) {
    xml.within("approvedTSA", |xml| {
        xml.text("name", &tsa.name);
        xml.text("url", &tsa.url);
        xml.certificate(&tsa.certificate);
    });
}

/// X-Road asks for a description; there is none beside the code.
fn member_class(xml: &mut Xml, class: &str) {
    xml.text("code", class);
    xml.text("description", class);
}

/// Who takes part, with the ids by which the document's parts refer to each other.
struct Parties {
    members: BTreeMap<MemberId, (String, Vec<SubsystemId>)>,
    servers: Vec<(SecurityServer, Vec<SubsystemId>)>,
    classes: BTreeSet<String>,
    member_ids: BTreeMap<MemberId, String>,
    subsystem_ids: BTreeMap<SubsystemId, String>,
}

impl Parties {
    fn of(snapshot: &VerifiedSnapshot) -> Self {
        let mut members: BTreeMap<_, _> =
            snapshot.members().map(|member| (member.id, (member.name, Vec::new()))).collect();
        for subsystem in snapshot.subsystems() {
            if let Some((_, subsystems)) = members.get_mut(subsystem.id.member()) {
                subsystems.push(subsystem.id);
            }
        }
        let mut clients: BTreeMap<_, Vec<SubsystemId>> = BTreeMap::new();
        for (subsystem, server) in snapshot.registrations() {
            clients.entry(server).or_default().push(subsystem);
        }
        let servers = snapshot.security_servers();
        let servers = servers.map(|server| {
            let clients = clients.remove(&server.id).unwrap_or_default();
            (server, clients)
        });
        let servers = servers.collect();
        let numbered = (0..).zip(members.keys()).map(|(n, id)| (id.clone(), format!("member{n}")));
        let member_ids = numbered.collect();
        let subsystems = members.values().flat_map(|(_, subsystems)| subsystems);
        let subsystem_ids =
            (0..).zip(subsystems).map(|(n, id)| (id.clone(), format!("subsystem{n}"))).collect();
        let classes = members.keys().map(|member| member.class().to_owned()).collect();
        Self { members, servers, classes, member_ids, subsystem_ids }
    }

    fn write(&self, xml: &mut Xml) {
        for (member, (name, subsystems)) in &self.members {
            xml.within_id("member", self.member(member), |xml| {
                xml.within("memberClass", |xml| member_class(xml, member.class()));
                xml.text("memberCode", member.code());
                xml.text("name", name);
                for subsystem in subsystems {
                    xml.within_id("subsystem", self.subsystem(subsystem), |xml| {
                        xml.text("subsystemCode", subsystem.code());
                    });
                }
            });
        }
        for (server, clients) in &self.servers {
            xml.within("securityServer", |xml| {
                xml.text("owner", self.member(server.id.owner()));
                xml.text("serverCode", server.id.code());
                if let Some(address) = server.addresses.first() {
                    xml.text("address", host(address));
                }
                for digest in &server.auth_certificates {
                    xml.text("authCertHash", &STANDARD.encode(digest.as_bytes()));
                }
                clients.iter().for_each(|client| xml.text("client", self.subsystem(client)));
            });
        }
    }

    fn member(&self, id: &MemberId) -> &str {
        self.member_ids.get(id).map_or("", String::as_str)
    }

    fn subsystem(&self, id: &SubsystemId) -> &str {
        self.subsystem_ids.get(id).map_or("", String::as_str)
    }
}

/// The host of a URL or of `HOST:PORT`: X-Road's ports are fixed.
fn host(address: &str) -> &str {
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = address.split('/').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// A document that grows.
struct Xml(String);

impl Xml {
    fn within(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        self.0.push_str(&format!("<{name}>\n"));
        write(self);
        self.0.push_str(&format!("</{name}>\n"));
    }

    fn within_id(&mut self, name: &str, id: &str, write: impl FnOnce(&mut Self)) {
        self.0.push_str(&format!("<{name} id=\"{id}\">\n"));
        write(self);
        self.0.push_str(&format!("</{name}>\n"));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.0.push_str(&format!("<{name}>"));
        text.chars().for_each(|character| self.character(character));
        self.0.push_str(&format!("</{name}>\n"));
    }

    fn certificate(&mut self, certificate: &Certificate) {
        self.text("cert", &STANDARD.encode(certificate.der()));
    }

    /// Names are for people and may hold what XML 1.0 has no way to write (section 2.2).
    fn character(&mut self, character: char) {
        match character {
            '<' => self.0.push_str("&lt;"),
            '>' => self.0.push_str("&gt;"),
            '&' => self.0.push_str("&amp;"),
            '\r' => self.0.push_str("&#13;"),
            '\t' | '\n' => self.0.push(character),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => self.0.push('\u{fffd}'),
            _ => self.0.push(character),
        }
    }
}

/// X-Road's class that reads `serialNumber=INSTANCE/SERVER/CLASS, CN=CODE`, which is how Kogge's signing certificates name their member.
const PROFILE: &str = "ee.ria.xroad.common.certificateprofile.impl.FiVRKCertificateProfileInfoProvider";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_markup() {
        let mut xml = Xml(String::new());
        xml.text("name", "A&B <x/> ]]>\u{0}\r\"'");
        assert_eq!(xml.0, "<name>A&amp;B &lt;x/&gt; ]]&gt;\u{fffd}&#13;\"'</name>\n");
    }

    #[test]
    fn the_directory_is_where_x_road_looks_for_it() {
        for (instance, name) in
            [("DEMO", "DEMO"), ("EE-x_1.2*", "EE-x_1.2*"), ("a b+ü/", "a+b%2B%C3%BC%2F"), ("..", "%2E%2E")]
        {
            assert_eq!(directory_name(instance), name);
        }
    }

    #[test]
    fn the_host_stands_alone() {
        for (address, expected) in [
            ("ss1.example:5500", "ss1.example"),
            ("[::1]:5500", "[::1]"),
            ("http://central.example:8080/x", "central.example"),
            ("https://central.example", "central.example"),
            ("", ""),
        ] {
            assert_eq!(host(address), expected, "{address}");
        }
    }
}
