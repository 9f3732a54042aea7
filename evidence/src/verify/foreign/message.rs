//! What X-Road's messages say about who asks whom: SOAP envelopes (message protocol 4.0), and the text of REST messages (protocol r1).
//! `message.xml` has either.

use kogge_proto::id::{ClientId, MemberId, ServiceId, SubsystemId};
use roxmltree::Node;

use crate::verify::walk;

/// A message, as far as a verifier needs it.
pub(super) struct Message {
    /// Whether it answers.
    pub(super) is_response: bool,
    /// Who asks (text form).
    pub(super) client: String,
    /// The member of that.
    pub(super) client_member: MemberId,
    /// Which service (text form).
    pub(super) service: String,
    /// The member that has it.
    pub(super) service_member: MemberId,
    /// Which message; REST requests may have none.
    pub(super) message_id: Option<String>,
}

impl Message {
    /// Who must have signed: the client's member for a request, the provider's for a response.
    pub(super) fn signer(&self) -> &MemberId {
        if self.is_response { &self.service_member } else { &self.client_member }
    }

    /// `request` or `response`.
    pub(super) fn kind(&self) -> &'static str {
        if self.is_response { "response" } else { "request" }
    }
}

/// Reads a message of either protocol.
///
/// # Errors
/// In words, what is not as expected.
pub(super) fn read(bytes: &[u8]) -> Result<Message, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "the message is not UTF-8".to_owned())?;
    let start = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii_start();
    if start.starts_with('<') { read_soap(bytes) } else { read_rest(text) }
}

/// Lines that end with CR LF: for a request method and URI, for a response status and reason, and then headers.
fn read_rest(text: &str) -> Result<Message, String> {
    let body = text.strip_suffix("\r\n").ok_or("the last line does not end")?;
    let mut lines = body.split("\r\n");
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().ok_or("there is one line only")?);
    let headers = lines
        .map(|line| line.split_once(':').ok_or_else(|| format!("{line:?} is not a header")))
        .collect::<Result<Vec<_>, _>>()?;
    let is_response = first.starts_with(|c: char| matches!(c, '1'..='9'));
    let client = ClientId::parse(header(&headers, "x-road-client")?.ok_or("there is no X-Road-Client")?)
        .map_err(|error| format!("X-Road-Client: {error}"))?;
    let service = if is_response {
        header(&headers, "x-road-service")?.ok_or("there is no X-Road-Service")?.to_owned()
    } else {
        service_of_uri(second)?
    };
    let service = ServiceId::parse(&service).map_err(|error| format!("the service: {error}"))?;
    Ok(Message {
        is_response,
        client: client.to_string(),
        client_member: client.member().clone(),
        service: service.to_string(),
        service_member: service.subsystem().member().clone(),
        message_id: header(&headers, "x-road-id")?.map(str::to_owned),
    })
}

/// The value of a header. X-Road's programs do not agree on which one counts where it stands twice, so then all must say the same.
fn header<'a>(headers: &[(&str, &'a str)], name: &str) -> Result<Option<&'a str>, String> {
    let mut values =
        headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let first = values.next();
    if values.any(|value| Some(value) != first) {
        return Err(format!("there are two different values of {name}"));
    }
    Ok(first)
}

/// `/r1/INSTANCE/CLASS/CODE/SUBSYSTEM/SERVICE`, with anything behind it.
fn service_of_uri(uri: &str) -> Result<String, String> {
    let path = uri.split('?').next().unwrap_or_default();
    let rest = path.strip_prefix("/r1/").ok_or("the URI does not start with /r1/")?;
    let segments: Vec<&str> = rest.splitn(6, '/').take(5).collect();
    Ok(segments.join("/"))
}

/// One envelope with one header and one body.
fn read_soap(bytes: &[u8]) -> Result<Message, String> {
    let document = walk::parse_foreign(bytes, MESSAGE_BYTES_MAX, NODES_MAX)?;
    let envelope = document.root_element();
    if !envelope.has_tag_name((SOAP, "Envelope")) {
        return Err("the document is not a SOAP envelope".to_owned());
    }
    let header = one(envelope, SOAP, "Header")?;
    let payload = payload(one(envelope, SOAP, "Body")?)?;
    let client = Codes::read(one(header, XROAD, "client")?)?;
    let service = Codes::read(one(header, XROAD, "service")?)?;
    let (client_member, service_member) = (client.member()?, service.member()?);
    Ok(Message {
        is_response: payload.tag_name().name().ends_with("Response"),
        client: client.client()?,
        client_member,
        service: service.service()?,
        service_member,
        message_id: Some(text(one(header, XROAD, "id")?)?.to_owned()),
    })
}

fn payload<'a, 'input>(body: Node<'a, 'input>) -> Result<Node<'a, 'input>, String> {
    let mut elements = body.children().filter(Node::is_element);
    match (elements.next(), elements.next()) {
        (Some(payload), None) => Ok(payload),
        _ => Err("the body of the SOAP envelope does not have one element".to_owned()),
    }
}

/// The codes of an identifier, in their order.
struct Codes(Vec<(&'static str, String)>);

impl Codes {
    fn read(element: Node<'_, '_>) -> Result<Self, String> {
        let mut codes: Vec<(&'static str, String)> = Vec::new();
        let mut rest = CODES.iter();
        for child in element.children().filter(Node::is_element) {
            let known = rest.find(|name| child.has_tag_name((IDENTIFIERS, **name)));
            let name = known.ok_or_else(|| {
                format!("{} has {} at a wrong place", element.tag_name().name(), child.tag_name().name())
            })?;
            codes.push((name, text(child)?.to_owned()));
        }
        Ok(Self(codes))
    }

    fn may(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| *found == name).map(|(_, code)| code.as_str())
    }

    fn must(&self, name: &str) -> Result<&str, String> {
        self.may(name).ok_or_else(|| format!("an identifier lacks its {name}"))
    }

    fn member(&self) -> Result<MemberId, String> {
        MemberId::new(self.must("xRoadInstance")?, self.must("memberClass")?, self.must("memberCode")?)
            .map_err(|error| error.to_string())
    }

    /// Member or subsystem.
    fn client(&self) -> Result<String, String> {
        let member = self.member()?;
        if self.may("serviceCode").is_some() || self.may("serviceVersion").is_some() {
            return Err("the client has the codes of a service".to_owned());
        }
        match self.may("subsystemCode") {
            Some(code) => SubsystemId::new(member, code)
                .map(|subsystem| subsystem.to_string())
                .map_err(|error| error.to_string()),
            None => Ok(member.to_string()),
        }
    }

    /// As X-Road writes a service in short: what it does not have is left out.
    fn service(&self) -> Result<String, String> {
        self.must("serviceCode")?;
        let codes: Vec<&str> = self.0.iter().map(|(_, code)| code.as_str()).collect();
        codes
            .iter()
            .try_for_each(|code| kogge_proto::id::check_code(code))
            .map_err(|error| error.to_string())?;
        Ok(codes.join("/"))
    }
}

fn one<'a, 'input>(
    parent: Node<'a, 'input>,
    namespace: &str,
    name: &str,
) -> Result<Node<'a, 'input>, String> {
    let mut found = parent.children().filter(|child| child.has_tag_name((namespace, name)));
    match (found.next(), found.next()) {
        (Some(child), None) => Ok(child),
        _ => Err(format!("{} does not have one {name}", parent.tag_name().name())),
    }
}

/// The text of an element that has nothing else.
fn text<'a>(element: Node<'a, '_>) -> Result<&'a str, String> {
    let mut children = element.children();
    match (children.next(), children.next()) {
        (Some(child), None) if child.is_text() => Ok(child.text().unwrap_or_default()),
        _ => Err(format!("{} is not plain text", element.tag_name().name())),
    }
}

/// Larger SOAP envelopes than X-Road's own log takes by default.
pub(super) const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// About a hundred bytes of memory to a node.
const NODES_MAX: u32 = 1_000_000;

/// The codes of identifiers in the order of X-Road's schema.
const CODES: [&str; 6] =
    ["xRoadInstance", "memberClass", "memberCode", "subsystemCode", "serviceCode", "serviceVersion"];
const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const XROAD: &str = "http://x-road.eu/xsd/xroad.xsd";
const IDENTIFIERS: &str = "http://x-road.eu/xsd/identifiers";
