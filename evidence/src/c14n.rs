//! Exclusive XML canonicalisation (W3C exc-c14n 1.0, without comments) over roxmltree, for the verifier alone.
//!
//! What is canonicalised is one element with everything below it. Inclusive prefix lists are not supported: the one profile
//! that is verified has none, and refuses signatures that ask for them.
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
    /// The source text at the element's place is not what the parser made of it.
    #[error("a name in the source text is not the one that was parsed")]
    Source,
}

/// The canonical form of `element` and its descendants, as UTF-8.
///
/// # Errors
/// See [`C14nError`].
pub fn exclusive(element: Node<'_, '_>) -> Result<Vec<u8>, C14nError> {
    if !element.is_element() {
        return Err(C14nError::NotAnElement);
    }
    let mut out = String::new();
    write_element(&mut out, element, &Rendered::new(), 0)?;
    Ok(out.into_bytes())
}

/// Namespaces that written ancestors have declared, by prefix; the default namespace has the empty prefix.
type Rendered = BTreeMap<String, String>;

fn write_element(
    out: &mut String,
    element: Node<'_, '_>,
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
    for (prefix, uri) in new_declarations(element, ancestors)? {
        match prefix.as_str() {
            "" => out.push_str(" xmlns=\""),
            _ => push_all(out, &[" xmlns:", &prefix, "=\""]),
        }
        escape_attribute(out, &uri);
        out.push('"');
        rendered.insert(prefix, uri);
    }
    for (_, attribute) in sorted_attributes(element) {
        push_all(out, &[" ", attribute_name(element, &attribute)?, "=\""]);
        escape_attribute(out, attribute.value());
        out.push('"');
    }
    out.push('>');
    for child in element.children() {
        match child.node_type() {
            NodeType::Element => write_element(out, child, &rendered, depth + 1)?,
            NodeType::Text => escape_text(out, child.text().unwrap_or_default()),
            NodeType::PI => write_instruction(out, child),
            NodeType::Comment | NodeType::Root => {}
        }
    }
    push_all(out, &["</", name, ">"]);
    Ok(())
}

/// The declarations that the element has to carry: of prefixes that it uses visibly, where no written ancestor has declared
/// the same (exc-c14n section 3). Sorted by prefix, the default namespace first.
fn new_declarations(element: Node<'_, '_>, ancestors: &Rendered) -> Result<Rendered, C14nError> {
    let mut used = vec![prefix_of(element_name(element)?)];
    for attribute in element.attributes() {
        // An attribute without prefix is in no namespace, whatever the default is.
        used.extend(
            Some(prefix_of(attribute_name(element, &attribute)?)).filter(|prefix| !prefix.is_empty()),
        );
    }
    let mut declarations = Rendered::new();
    for prefix in used.into_iter().filter(|prefix| *prefix != "xml") {
        let uri = element
            .lookup_namespace_uri(Some(prefix).filter(|prefix| !prefix.is_empty()))
            .unwrap_or_default();
        if ancestors.get(prefix).map_or("", String::as_str) != uri {
            declarations.insert(prefix.to_owned(), uri.to_owned());
        }
    }
    Ok(declarations)
}

/// By namespace and local name, those without namespace first (C14N 1.0 section 2.3).
fn sorted_attributes<'a, 'input>(
    element: Node<'a, 'input>,
) -> BTreeMap<(&'a str, &'a str), Attribute<'a, 'input>> {
    element
        .attributes()
        .map(|attribute| ((attribute.namespace().unwrap_or_default(), attribute.name()), attribute))
        .collect()
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

/// A signature is nested 12 deep; the stack holds far more than this.
pub const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests;
