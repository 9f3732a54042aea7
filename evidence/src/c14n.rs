//! XML canonicalisation without comments over roxmltree, for the verifier alone: exclusive (W3C exc-c14n 1.0) and inclusive (C14N 1.0 and 1.1).
//!
//! What is canonicalised is one element with everything below it, as it stands in its document. Inclusive prefix lists are not supported:
//! the profiles that are verified have none, and refuse signatures that ask for them.
//!
//! roxmltree resolves prefixes away, so qualified names are taken from the source text and compared with what it resolved.

use std::collections::BTreeMap;
use std::fmt::Write;

use roxmltree::{Attribute, Node, NodeType};

/// Why an element has no canonical form here.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum C14nError {
    /// Not an element.
    #[error("only an element can be canonicalised")]
    NotAnElement,
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("the elements are nested more than {DEPTH_MAX} deep")]
    TooDeep,
    /// A prefix stands for no namespace, which roxmltree lets pass (Namespaces in XML 1.0 section 2.2 does not).
    #[error("the prefix {0:?} is declared without a namespace")]
    EmptyNamespace(String),
    /// The source text at the element's place is not what the parser made of it.
    #[error("a name in the source text is not the one that was parsed")]
    Source,
    /// C14N 1.1 would have to join values of `xml:base` (section 2.4).
    #[error("an ancestor has an xml:base, which is not supported in C14N 1.1")]
    Base,
}

/// A canonicalisation method of signatures.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// C14N 1.0.
    Inclusive,
    /// C14N 1.1.
    Inclusive11,
    /// Exclusive C14N 1.0.
    Exclusive,
}

impl Method {
    /// From its URI, with or without comments: whoever reads signatures here refuses comments where they would be canonicalised, so both
    /// yield the same. `None` for what is no method, or not supported.
    #[must_use]
    pub fn from_uri(uri: &str) -> Option<Self> {
        match uri {
            "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
            | "http://www.w3.org/TR/2001/REC-xml-c14n-20010315#WithComments" => Some(Self::Inclusive),
            "http://www.w3.org/2006/12/xml-c14n11" | "http://www.w3.org/2006/12/xml-c14n11#WithComments" => {
                Some(Self::Inclusive11)
            }
            "http://www.w3.org/2001/10/xml-exc-c14n#"
            | "http://www.w3.org/2001/10/xml-exc-c14n#WithComments" => Some(Self::Exclusive),
            _ => None,
        }
    }

    /// For people.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Inclusive | Self::Inclusive11 => "inclusive",
            Self::Exclusive => "exclusive",
        }
    }

    /// The canonical form of `element` and its descendants, as UTF-8.
    ///
    /// # Errors
    /// See [`C14nError`]; there must be no comment within.
    pub fn canonical(self, element: Node<'_, '_>) -> Result<Vec<u8>, C14nError> {
        match self {
            Self::Inclusive => canonical(element, Form::Inclusive),
            Self::Inclusive11 => canonical(element, Form::Inclusive11),
            Self::Exclusive => canonical(element, Form::Exclusive),
        }
    }
}

/// The canonical form of `element` and its descendants, as UTF-8.
///
/// # Errors
/// See [`C14nError`].
pub fn exclusive(element: Node<'_, '_>) -> Result<Vec<u8>, C14nError> {
    canonical(element, Form::Exclusive)
}

/// The inclusive canonical form of `element` and its descendants, as UTF-8: the element carries all namespaces that are in scope there,
/// used or not, and the attributes of the xml namespace that its ancestors have given it (C14N 1.0 section 2.4).
///
/// # Errors
/// See [`C14nError`].
pub fn inclusive(element: Node<'_, '_>) -> Result<Vec<u8>, C14nError> {
    canonical(element, Form::Inclusive)
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Form {
    Exclusive,
    Inclusive,
    Inclusive11,
}

fn canonical(element: Node<'_, '_>, form: Form) -> Result<Vec<u8>, C14nError> {
    if !element.is_element() {
        return Err(C14nError::NotAnElement);
    }
    let mut out = String::new();
    write_element(&mut out, element, form, &Rendered::new(), 0)?;
    Ok(out.into_bytes())
}

/// Namespaces that written ancestors have declared, by prefix; the default namespace has the empty prefix.
type Rendered = BTreeMap<String, String>;

fn write_element(
    out: &mut String,
    element: Node<'_, '_>,
    form: Form,
    ancestors: &Rendered,
    depth: usize,
) -> Result<(), C14nError> {
    if depth >= DEPTH_MAX {
        return Err(C14nError::TooDeep);
    }
    let name = element_name(element)?;
    out.push('<');
    out.push_str(name);
    let mut rendered = ancestors.clone();
    let in_scope = match form {
        Form::Exclusive => visibly_used(element)?,
        Form::Inclusive | Form::Inclusive11 => in_scope(element),
    };
    if let Some((prefix, _)) = in_scope.iter().find(|(prefix, uri)| uri.is_empty() && !prefix.is_empty()) {
        return Err(C14nError::EmptyNamespace(prefix.clone()));
    }
    for (prefix, uri) in new_declarations(in_scope, ancestors) {
        match prefix.as_str() {
            "" => out.push_str(" xmlns=\""),
            _ => push_all(out, &[" xmlns:", &prefix, "=\""]),
        }
        escape_attribute(out, &uri);
        out.push('"');
        rendered.insert(prefix, uri);
    }
    let inherited = if depth == 0 { inherited(element, form)? } else { Attributes::new() };
    for (_, attribute) in sorted_attributes(element, inherited) {
        push_all(out, &[" ", attribute_name(element, &attribute)?, "=\""]);
        escape_attribute(out, attribute.value());
        out.push('"');
    }
    out.push('>');
    for child in element.children() {
        match child.node_type() {
            NodeType::Element => write_element(out, child, form, &rendered, depth + 1)?,
            NodeType::Text => escape_text(out, child.text().unwrap_or_default()),
            NodeType::PI => write_instruction(out, child),
            NodeType::Comment | NodeType::Root => {}
        }
    }
    push_all(out, &["</", name, ">"]);
    Ok(())
}

/// The declarations that the element has to carry: those where no written ancestor has declared the same. Sorted by prefix, the default
/// namespace first.
fn new_declarations(in_scope: Rendered, ancestors: &Rendered) -> Rendered {
    let is_new =
        |prefix: &String, uri: &String| ancestors.get(prefix).map_or("", String::as_str) != uri.as_str();
    in_scope.into_iter().filter(|(prefix, uri)| is_new(prefix, uri)).collect()
}

/// The namespaces of the prefixes that the element uses visibly (exc-c14n section 3).
fn visibly_used(element: Node<'_, '_>) -> Result<Rendered, C14nError> {
    let mut used = vec![prefix_of(element_name(element)?)];
    for attribute in element.attributes() {
        // An attribute without prefix is in no namespace, whatever the default is.
        used.extend(
            Some(prefix_of(attribute_name(element, &attribute)?)).filter(|prefix| !prefix.is_empty()),
        );
    }
    let uri = |prefix: &str| {
        let found = element.lookup_namespace_uri(Some(prefix).filter(|prefix| !prefix.is_empty()));
        found.unwrap_or_default().to_owned()
    };
    Ok(used
        .into_iter()
        .filter(|prefix| *prefix != "xml")
        .map(|prefix| (prefix.to_owned(), uri(prefix)))
        .collect())
}

/// All namespaces that are in scope, among them that there is no default namespace.
fn in_scope(element: Node<'_, '_>) -> Rendered {
    let mut found = Rendered::from([(String::new(), String::new())]);
    for namespace in element.namespaces().filter(|namespace| namespace.name() != Some("xml")) {
        found.insert(namespace.name().unwrap_or_default().to_owned(), namespace.uri().to_owned());
    }
    found
}

/// Attributes by namespace and local name.
type Attributes<'a, 'input> = BTreeMap<(&'a str, &'a str), Attribute<'a, 'input>>;

/// The attributes of the xml namespace that ancestors have, the nearest ancestor's first. C14N 1.1 hands on neither `xml:id` nor, as it
/// is, `xml:base`.
fn inherited<'a, 'input>(element: Node<'a, 'input>, form: Form) -> Result<Attributes<'a, 'input>, C14nError> {
    let mut found = Attributes::new();
    if form == Form::Exclusive {
        return Ok(found);
    }
    for ancestor in element.ancestors().skip(1) {
        for attribute in ancestor.attributes().filter(|attribute| attribute.namespace() == Some(XML)) {
            match (form, attribute.name()) {
                (Form::Inclusive11, "id") => {}
                (Form::Inclusive11, "base") => return Err(C14nError::Base),
                _ => {
                    found.entry((XML, attribute.name())).or_insert(attribute);
                }
            }
        }
    }
    Ok(found)
}

/// By namespace and local name, those without namespace first (C14N 1.0 section 2.3); the element's own in place of inherited ones.
fn sorted_attributes<'a, 'input>(
    element: Node<'a, 'input>,
    inherited: Attributes<'a, 'input>,
) -> Attributes<'a, 'input> {
    let mut attributes = inherited;
    for attribute in element.attributes() {
        let name = (attribute.namespace().unwrap_or_default(), attribute.name());
        attributes.insert(name, attribute);
    }
    attributes
}

/// The qualified name behind the `<`.
fn element_name<'a>(element: Node<'a, '_>) -> Result<&'a str, C14nError> {
    let source = element.document().input_text().get(element.range()).ok_or(C14nError::Source)?;
    let source = source.strip_prefix('<').ok_or(C14nError::Source)?;
    let end =
        source.find(|c: char| c.is_ascii_whitespace() || c == '>' || c == '/').ok_or(C14nError::Source)?;
    qualified(source.get(..end), element.tag_name().name())
}

fn attribute_name<'a>(element: Node<'a, '_>, attribute: &Attribute<'_, '_>) -> Result<&'a str, C14nError> {
    qualified(element.document().input_text().get(attribute.range_qname()), attribute.name())
}

/// `source` if it is `local` with or without a prefix.
fn qualified<'a>(source: Option<&'a str>, local: &str) -> Result<&'a str, C14nError> {
    let source = source.ok_or(C14nError::Source)?;
    let found = source.split_once(':').map_or(source, |(_, local)| local);
    if found == local { Ok(source) } else { Err(C14nError::Source) }
}

fn prefix_of(name: &str) -> &str {
    name.split_once(':').map_or("", |(prefix, _)| prefix)
}

fn write_instruction(out: &mut String, node: Node<'_, '_>) {
    let Some(instruction) = node.pi() else { return };
    push_all(out, &["<?", instruction.target]);
    if let Some(value) = instruction.value {
        push_all(out, &[" ", value]);
    }
    out.push_str("?>");
}

fn escape_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#xD;"),
            other => out.push(other),
        }
    }
}

fn escape_attribute(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '"' => out.push_str("&quot;"),
            // Writing into a String does not fail.
            '\t' | '\n' | '\r' => drop(write!(out, "&#x{:X};", u32::from(c))),
            other => out.push(other),
        }
    }
}

fn push_all(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// A signature is nested 12 deep; the stack holds far more than this.
pub const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests;
