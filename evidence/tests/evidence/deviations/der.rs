//! Nodes of DER structures.

use super::Deviation;

/// Of each node: taken away, doubled, another tag, emptied, first and last byte of the content altered, one byte more; lengths around it are made right again, so
/// that only the structure itself can tell. Of the whole: cut, longer, a length in its long form.
pub(super) fn deviations(der: &[u8]) -> Vec<Deviation> {
    let root = Tlv::read(der).unwrap();
    let mut all = Vec::new();
    visit(&root, &mut Vec::new(), &mut |way| {
        let node = root.at(way);
        let place = format!("der/{}", way.iter().map(usize::to_string).collect::<Vec<_>>().join("."));
        let mut add = |kind, instead: &[Vec<u8>]| {
            all.push(Deviation::new(&place, kind, root.with(way, instead)));
        };
        let content = node.content();
        if !way.is_empty() {
            add("removed", &[]);
            add("doubled", &[node.encode(), node.encode()]);
        }
        add("with another tag", &[encoded(node.tag ^ 0x01, &content)]);
        add("with a byte more", &[encoded(node.tag, &[&content[..], &[0]].concat())]);
        if let Some(last) = content.len().checked_sub(1) {
            add("emptied", &[encoded(node.tag, &[])]);
            for (kind, at) in [("first byte altered", 0), ("last byte altered", last)] {
                let mut altered = content.clone();
                altered[at] ^= 0x01;
                add(kind, &[encoded(node.tag, &altered)]);
            }
        }
    });
    all.push(Deviation::new("der", "cut", der[..der.len() - 1].to_vec()));
    all.push(Deviation::new("der", "longer by a zero", [der, &[0]].concat()));
    let content = root.content();
    let indefinite = [&[root.tag, 0x80], &content[..], &[0, 0]].concat();
    all.push(Deviation::new("der", "of indefinite length", indefinite));
    all
}

/// A node; children if it is constructed.
struct Tlv {
    tag: u8,
    primitive: Vec<u8>,
    children: Vec<Tlv>,
}

impl Tlv {
    fn read(der: &[u8]) -> Option<Self> {
        let (node, rest) = Self::first(der)?;
        rest.is_empty().then_some(node)
    }

    fn first(der: &[u8]) -> Option<(Self, &[u8])> {
        let (&tag, rest) = der.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let mut node = Self { tag, primitive: content.to_vec(), children: Vec::new() };
        // An OCTET STRING often holds a structure of its own: an extension's value, a basic OCSP response, TSTInfo.
        let holds_one =
            tag == OCTET_STRING && content.first() == Some(&SEQUENCE) && Self::read(content).is_some();
        if tag & CONSTRUCTED != 0 || holds_one {
            let mut left = content;
            while !left.is_empty() {
                let (child, after) = Self::first(left)?;
                node.children.push(child);
                left = after;
            }
        }
        Some((node, rest))
    }

    fn content(&self) -> Vec<u8> {
        if self.children.is_empty() {
            self.primitive.clone()
        } else {
            self.children.iter().flat_map(Self::encode).collect()
        }
    }

    fn encode(&self) -> Vec<u8> {
        encoded(self.tag, &self.content())
    }

    fn at(&self, way: &[usize]) -> &Self {
        way.iter().fold(self, |node, step| &node.children[*step])
    }

    /// The whole, with other nodes in place of the one at `way`.
    fn with(&self, way: &[usize], instead: &[Vec<u8>]) -> Vec<u8> {
        let Some((step, rest)) = way.split_first() else { return instead.concat() };
        let inside = self
            .children
            .iter()
            .enumerate()
            .flat_map(|(at, child)| if at == *step { child.with(rest, instead) } else { child.encode() });
        encoded(self.tag, &inside.collect::<Vec<u8>>())
    }
}

fn visit(node: &Tlv, way: &mut Vec<usize>, each: &mut impl FnMut(&[usize])) {
    each(way);
    for (at, child) in node.children.iter().enumerate() {
        way.push(at);
        visit(child, way, each);
        way.pop();
    }
}

fn encoded(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let significant = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let mut out = vec![tag];
    if content.len() >= 0x80 {
        out.push(0x80 | u8::try_from(significant.len()).unwrap());
    }
    out.extend_from_slice(significant);
    out.extend_from_slice(content);
    out
}

const CONSTRUCTED: u8 = 0x20;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
