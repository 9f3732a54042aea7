//! Reading XML strictly: elements are walked in order and every child and attribute must be an expected one, so there is no place for a
//! second signature, a wrapped one, or an element that this reader takes for another than a different reader would. Nothing is looked up
//! by Id.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use roxmltree::{Document, Node, ParsingOptions};

/// A digest with the URI of its method.
#[derive(Clone)]
pub(crate) struct Digest {
    /// URI.
    pub(crate) method: String,
    /// The value.
    pub(crate) value: Vec<u8>,
}

/// Parses a document of at most so many bytes and nodes, without a DTD (and so without entities), in which no Id stands twice.
pub(crate) fn parse(xml: &[u8], bytes_max: usize, nodes_limit: u32) -> Result<Document<'_>, String> {
    let document = parse_foreign(xml, bytes_max, nodes_limit)?;
    no_repeated_id(&document)?;
    Ok(document)
}

/// The same for documents whose attributes of that name are somebody else's business.
pub(crate) fn parse_foreign(xml: &[u8], bytes_max: usize, nodes_limit: u32) -> Result<Document<'_>, String> {
    if xml.len() > bytes_max {
        return Err(format!("the document is larger than {bytes_max} bytes"));
    }
    let text = std::str::from_utf8(xml).map_err(|_| "the document is not UTF-8".to_owned())?;
    if widest_tag(text) > ATTRIBUTES_MAX {
        return Err(format!("an element has more than {ATTRIBUTES_MAX} attributes"));
    }
    let options = ParsingOptions { allow_dtd: false, nodes_limit, entity_resolver: None };
    Document::parse_with_options(text, options).map_err(|error| format!("not acceptable XML: {error}"))
}

/// The most attributes of a tag. The parser compares each with all before it, so it must not see a tag with a hundred thousand. Text that is
/// not well-formed may be counted wrongly; it is refused by the parser, at the same place at the latest.
fn widest_tag(text: &str) -> usize {
    let mut widest = 0;
    let mut rest = text;
    while let Some((_, tag)) = rest.split_once('<') {
        let end = if tag.starts_with("!--") {
            "-->"
        } else if tag.starts_with("![CDATA[") {
            "]]>"
        } else if tag.starts_with('?') {
            "?>"
        } else {
            let (attributes, behind) = attributes_of(tag);
            widest = widest.max(attributes);
            rest = behind;
            continue;
        };
        rest = tag.split_once(end).map_or("", |(_, behind)| behind);
    }
    widest
}

/// Counts the quoted values up to the tag's end; with what stands behind it.
fn attributes_of(tag: &str) -> (usize, &str) {
    let mut quote = None;
    let mut values = 0;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return (values, tag.get(at..).unwrap_or_default()),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => {
                quote = None;
                values += 1;
            }
            _ => {}
        }
    }
    (values, "")
}

/// The root element, which must be this one, with nothing beside it.
pub(crate) fn root<'a, 'input>(
    document: &'a Document<'input>,
    namespace: &str,
    name: &str,
) -> Result<Node<'a, 'input>, String> {
    let root = document.root_element();
    if root.has_tag_name((namespace, name)) && document.root().children().count() == 1 {
        Ok(root)
    } else {
        Err(format!("the document is not one {name}"))
    }
}

/// The children of an element in order; each must be asked for.
pub(crate) struct Walk<'a, 'input> {
    parent: &'a str,
    children: std::iter::Peekable<std::vec::IntoIter<Node<'a, 'input>>>,
}

impl<'a, 'input> Walk<'a, 'input> {
    /// Into an element that has no attributes but these, and no children but elements.
    pub(crate) fn into(element: Node<'a, 'input>, attributes: &[&str]) -> Result<Self, String> {
        only_attributes(element, attributes)?;
        Self::of_children(element, element.children().collect())
    }

    /// The same for an element that may be written with white space between its children.
    pub(crate) fn into_indented(element: Node<'a, 'input>, attributes: &[&str]) -> Result<Self, String> {
        only_attributes(element, attributes)?;
        let is_space = |child: &Node<'_, '_>| {
            child.is_text() && child.text().is_some_and(|text| text.trim_ascii().is_empty())
        };
        Self::of_children(element, element.children().filter(|child| !is_space(child)).collect())
    }

    fn of_children(element: Node<'a, 'input>, children: Vec<Node<'a, 'input>>) -> Result<Self, String> {
        let parent = element.tag_name().name();
        if children.iter().any(|child| !child.is_element()) {
            return Err(format!("{parent} has text, a comment or an instruction between its elements"));
        }
        Ok(Self { parent, children: children.into_iter().peekable() })
    }

    /// The next child, which must be this element.
    pub(crate) fn take(&mut self, namespace: &str, name: &str) -> Result<Node<'a, 'input>, String> {
        self.take_if(namespace, name).ok_or_else(|| format!("{} lacks {name} at its place", self.parent))
    }

    /// The next child if it is this element.
    pub(crate) fn take_if(&mut self, namespace: &str, name: &str) -> Option<Node<'a, 'input>> {
        self.children.next_if(|child| child.has_tag_name((namespace, name)))
    }

    /// The next child, whichever it is.
    pub(crate) fn take_any(&mut self) -> Option<Node<'a, 'input>> {
        self.children.next()
    }

    /// There must be no more children.
    pub(crate) fn end(mut self) -> Result<(), String> {
        match self.children.next() {
            None => Ok(()),
            Some(child) => Err(format!("{} must not have {} here", self.parent, child.tag_name().name())),
        }
    }
}

/// The only child of an element with these attributes.
pub(crate) fn only<'a, 'input>(
    element: Node<'a, 'input>,
    attributes: &[&str],
    namespace: &str,
    name: &str,
) -> Result<Node<'a, 'input>, String> {
    let mut children = Walk::into(element, attributes)?;
    let child = children.take(namespace, name)?;
    children.end()?;
    Ok(child)
}

/// The algorithm of an element that has nothing else: no parameters, no inclusive prefix list.
pub(crate) fn algorithm<'a>(element: Node<'a, '_>) -> Result<&'a str, String> {
    Walk::into(element, &["Algorithm"])?.end()?;
    attribute(element, "Algorithm")
}

pub(crate) fn attribute<'a>(element: Node<'a, '_>, name: &str) -> Result<&'a str, String> {
    element.attribute(name).ok_or_else(|| format!("{} lacks its {name}", element.tag_name().name()))
}

fn only_attributes(element: Node<'_, '_>, allowed: &[&str]) -> Result<(), String> {
    match element.attributes().find(|found| found.namespace().is_some() || !allowed.contains(&found.name())) {
        None => Ok(()),
        Some(found) => {
            Err(format!("{} must not have the attribute {}", element.tag_name().name(), found.name()))
        }
    }
}

/// The text of an element that has nothing else.
pub(crate) fn text<'a>(element: Node<'a, '_>, attributes: &[&str]) -> Result<&'a str, String> {
    only_attributes(element, attributes)?;
    let mut children = element.children();
    match (children.next(), children.next()) {
        (Some(child), None) if child.is_text() => Ok(child.text().unwrap_or_default()),
        _ => Err(format!("{} is not plain text", element.tag_name().name())),
    }
}

/// Base64 in one line, with padding, in its only encoding.
pub(crate) fn base64(element: Node<'_, '_>, attributes: &[&str]) -> Result<Vec<u8>, String> {
    STANDARD
        .decode(text(element, attributes)?)
        .map_err(|error| format!("{} is not base64: {error}", element.tag_name().name()))
}

/// Base64 with padding, in lines of any length and with any kind of line end: how others write it.
pub(crate) fn base64_lines(element: Node<'_, '_>, attributes: &[&str]) -> Result<Vec<u8>, String> {
    let joined: String =
        text(element, attributes)?.chars().filter(|c| !matches!(c, ' ' | '\t' | '\r' | '\n')).collect();
    STANDARD.decode(joined).map_err(|error| format!("{} is not base64: {error}", element.tag_name().name()))
}

pub(crate) fn read_digest(parts: &mut Walk<'_, '_>) -> Result<Digest, String> {
    let method = algorithm(parts.take(DS, "DigestMethod")?)?.to_owned();
    Ok(Digest { method, value: base64(parts.take(DS, "DigestValue")?, &[])? })
}

/// Ids in any of the spellings that some reader takes for an Id.
fn no_repeated_id(document: &Document<'_>) -> Result<(), String> {
    let mut seen = std::collections::BTreeSet::new();
    for element in document.descendants().filter(Node::is_element) {
        for attribute in element.attributes().filter(|attribute| attribute.name().eq_ignore_ascii_case("id"))
        {
            if !seen.insert(attribute.value()) {
                return Err(format!("the Id {:?} stands twice", attribute.value()));
            }
        }
    }
    Ok(())
}

/// No element of a signature has more than four, and no SOAP message that people have made comes near.
const ATTRIBUTES_MAX: usize = 256;

pub(crate) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
