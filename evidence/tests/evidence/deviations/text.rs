//! Lines and bytes.

use super::Deviation;

/// Of each line: taken away, doubled, swapped with the next, one letter altered; of the whole: other line ends, one more, one less, nothing.
pub(super) fn deviations(content: &[u8]) -> Vec<Deviation> {
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let mut all = bytes(content);
    for (at, line) in lines.iter().enumerate() {
        let place = format!("line {}", at + 1);
        let mut add = |kind, changed: Vec<&[u8]>| all.push(Deviation::new(&place, kind, changed.concat()));
        if lines.len() > 1 {
            let (before, after) = (&lines[..at], &lines[at + 1..]);
            add("removed", [before, after].concat());
            add("doubled", [before, &[line], &[line], after].concat());
        }
        if let Some(next) = lines.get(at + 1).filter(|next| next != &line) {
            let mut swapped = lines.clone();
            (swapped[at], swapped[at + 1]) = (next, line);
            add("swapped", swapped);
        }
        if let Some(letter) = line.iter().rposition(u8::is_ascii_alphanumeric) {
            let altered = changed(line, letter);
            let mut others = lines.clone();
            others[at] = &altered;
            add("altered", others);
        }
    }
    all
}

/// Of the whole: nothing, cut, longer, first and last byte altered.
pub(super) fn bytes(content: &[u8]) -> Vec<Deviation> {
    let last = content.len() - 1;
    vec![
        Deviation::new("all", "emptied", Vec::new()),
        Deviation::new("all", "cut", content[..last].to_vec()),
        Deviation::new("all", "half", content[..content.len() / 2].to_vec()),
        Deviation::new("all", "longer by a line end", [content, b"\n"].concat()),
        Deviation::new("all", "longer by a zero", [content, &[0]].concat()),
        Deviation::new("all", "first byte altered", changed(content, 0)),
        Deviation::new("all", "last byte altered", changed(content, last)),
        Deviation::new("all", "with a byte order mark", [b"\xEF\xBB\xBF", content].concat()),
    ]
}

/// One byte made another that is as readable.
pub(super) fn changed(content: &[u8], at: usize) -> Vec<u8> {
    let mut changed = content.to_vec();
    changed[at] = match changed[at] {
        b'A' | b'a' | b'0' => changed[at] + 1,
        letter if letter.is_ascii_alphanumeric() => letter - 1,
        other => other ^ 1,
    };
    changed
}
