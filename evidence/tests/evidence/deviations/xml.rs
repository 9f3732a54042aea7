//! Elements and attributes.

use std::ops::Range;

use roxmltree::{Document, Node};

use super::Deviation;
use super::text::changed;

/// Of each element: taken away, doubled, renamed, emptied, its text altered, a child or a comment more; of each attribute: taken away, altered; of the
/// document: a DTD, an entity, a second root.
pub(super) fn deviations(text: &str) -> Vec<Deviation> {
    let document = Document::parse(text).unwrap();
    let mut all = Vec::new();
    for element in document.descendants().filter(Node::is_element) {
        let place = way(element);
        let mut add = |place: &str, kind, range: Range<usize>, instead: &str| {
            let edited = [&text[..range.start], instead, &text[range.end..]].concat();
            all.push(Deviation::new(place, kind, edited.into_bytes()));
        };
        let own = element.range();
        let source = &text[own.clone()];
        if element.parent().is_some_and(|parent| parent.is_element()) {
            add(&place, "removed", own.clone(), "");
            add(&place, "doubled", own.clone(), &source.repeat(2));
        }
        add(&place, "renamed", own.clone(), &renamed(source));
        let open = source.find('>').unwrap() + 1;
        if let Some(close) = source.rfind("</") {
            let inside = own.start + open..own.start + close;
            if !inside.is_empty() {
                add(&place, "emptied", inside.clone(), "");
            }
            add(&place, "with a child more", inside.end..inside.end, "<more/>");
            add(&place, "with a comment", inside.start..inside.start, "<!-- -->");
        }
        for attribute in element.attributes() {
            let place = format!("{place}/@{}", attribute.name());
            let value = attribute.range_value();
            let letter = attribute.value().rfind(|letter: char| letter.is_ascii_alphanumeric()).unwrap_or(0);
            let altered = String::from_utf8(changed(attribute.value().as_bytes(), letter)).unwrap();
            add(&place, "altered", value, &altered);
            add(&place, "removed", attribute.range(), "");
        }
    }
    for (place, range) in texts(text) {
        let content = &text[range.clone()];
        let Some(letter) = content.find(|letter: char| letter.is_ascii_alphanumeric()) else { continue };
        let altered = String::from_utf8(changed(content.as_bytes(), letter)).unwrap();
        let edited = [&text[..range.start], &altered, &text[range.end..]].concat();
        all.push(Deviation::new(place, "altered", edited.into_bytes()));
    }
    all.extend(of_the_document(text, &document));
    all
}

/// Texts of elements that have no other content: where and what.
pub(super) fn texts(text: &str) -> Vec<(String, Range<usize>)> {
    let document = Document::parse(text).unwrap();
    let leaves = document.descendants().filter(|node| node.is_element() && node.text().is_some());
    leaves
        .filter(|element| !element.children().any(|child| child.is_element()))
        .map(|element| (way(element), element.first_child().unwrap().range()))
        .collect()
}

fn of_the_document(text: &str, document: &Document<'_>) -> Vec<Deviation> {
    let root = document.root_element();
    let (head, body) = text.split_at(root.range().start);
    let name = root.tag_name().name();
    let make = |kind, edited: String| Deviation::new("document", kind, edited.into_bytes());
    vec![
        make("with a DTD", format!("{head}<!DOCTYPE {name}>{body}")),
        make(
            "with an entity",
            format!("{head}<!DOCTYPE {name} [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>{body}"),
        ),
        make("with a second root", format!("{text}{body}")),
        make("with text behind", format!("{text}x")),
        make("nested deeply", format!("{head}{}{body}", "<a>".repeat(10_000))),
        make("cut", text[..text.len() / 2].to_owned()),
        make("not UTF-8", String::new()),
    ]
    .into_iter()
    .map(|mut deviation| {
        if deviation.kind == "not UTF-8" {
            deviation.bytes = [text.as_bytes(), b"\xFF"].concat();
        }
        deviation
    })
    .collect()
}

fn renamed(source: &str) -> String {
    let name_end = source.find([' ', '>', '/']).unwrap();
    let name = &source[1..name_end];
    let renamed = source.replacen(&format!("<{name}"), &format!("<{name}X"), 1);
    match renamed.rfind(&format!("</{name}>")) {
        Some(at) => [&renamed[..at], &format!("</{name}X>"), &renamed[at + name.len() + 3..]].concat(),
        None => renamed,
    }
}

/// Names from the root down, with a number where several of a name stand beside each other.
fn way(element: Node<'_, '_>) -> String {
    let step = |element: Node<'_, '_>| {
        let name = element.tag_name().name();
        let alike = |other: &Node<'_, '_>| other.is_element() && other.tag_name().name() == name;
        let siblings = || element.parent().into_iter().flat_map(|parent| parent.children()).filter(alike);
        let number = siblings().position(|other| other == element).unwrap_or(0) + 1;
        if siblings().count() > 1 { format!("{name}[{number}]") } else { name.to_owned() }
    };
    let mut steps: Vec<String> = element.ancestors().filter(Node::is_element).map(step).collect();
    steps.reverse();
    steps.join("/")
}
