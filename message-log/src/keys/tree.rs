//! The keys of a segment's records as the leaves of a binary tree (Goldreich, Goldwasser, Micali 1986): each seed gives those of its two children by a one-way function, so that one seed
//! stands for all records, and one that was taken out cannot be computed from what is left.

use ring::hmac;
use zeroize::Zeroizing;

/// Depth of the leaves: one for each record that a segment can hold.
pub(crate) const DEPTH: u8 = 32;

/// Length of a seed in bytes.
pub(crate) const SEED_BYTES: usize = 32;

/// What a node's keys are computed from.
pub(crate) type Seed = Zeroizing<[u8; SEED_BYTES]>;

/// What is hashed under a parent's seed for its left and its right child.
const LABELS: [&[u8]; 2] = [b"kogge key tree 1 left", b"kogge key tree 1 right"];

/// A node: the `prefix`-th from the left at its depth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Node {
    pub(crate) depth: u8,
    pub(crate) prefix: u32,
}

impl Node {
    const ROOT: Self = Self { depth: 0, prefix: 0 };

    /// The node, if there is one.
    pub(crate) fn new(depth: u8, prefix: u32) -> Option<Self> {
        (depth <= DEPTH && u64::from(prefix) >> depth == 0).then_some(Self { depth, prefix })
    }

    /// First and last leaf below it.
    pub(crate) fn leaves(self) -> (u32, u32) {
        let below = u32::from(DEPTH - self.depth);
        let first = u64::from(self.prefix) << below;
        let last = first + ((1_u64 << below) - 1);
        // Both are below 2^32.
        (u32::try_from(first).unwrap_or(u32::MAX), u32::try_from(last).unwrap_or(u32::MAX))
    }

    fn holds(self, leaf: u32) -> bool {
        let (first, last) = self.leaves();
        (first..=last).contains(&leaf)
    }

    fn child(self, right: bool) -> Self {
        Self { depth: self.depth + 1, prefix: self.prefix << 1 | u32::from(right) }
    }
}

fn child_seed(seed: &Seed, right: bool) -> Seed {
    prf(seed, LABELS[usize::from(right)])
}

/// HMAC-SHA-256.
pub(crate) fn prf(seed: &Seed, label: &[u8]) -> Seed {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed.as_slice()), label);
    let mut out = Seed::default();
    out.iter_mut().zip(tag.as_ref()).for_each(|(out, byte)| *out = *byte);
    out
}

/// Seeds that give the keys of all records but those that were erased.
#[derive(Clone, Default)]
pub(crate) struct Cover(Vec<(Node, Seed)>);

impl Cover {
    /// All leaves of a new tree.
    pub(crate) fn whole(root: Seed) -> Self {
        Self(vec![(Node::ROOT, root)])
    }

    /// From what was written; `None` if the nodes are not in order, or one lies below another.
    pub(crate) fn new(nodes: Vec<(Node, Seed)>) -> Option<Self> {
        let follows = |(a, b): (&(Node, Seed), &(Node, Seed))| a.0.leaves().1 < b.0.leaves().0;
        nodes.iter().zip(nodes.iter().skip(1)).all(follows).then_some(Self(nodes))
    }

    pub(crate) fn nodes(&self) -> &[(Node, Seed)] {
        &self.0
    }

    /// What is left when the leaves from `first` to `last` are taken out: where a node holds some of them, the nodes beside the way to them take its place.
    pub(crate) fn without(&self, first: u32, last: u32) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        for (node, seed) in &self.0 {
            take_out(*node, seed, (first, last), &mut left);
        }
        Self(left)
    }

    /// Whether any of the leaves from `first` to `last` can be computed.
    pub(crate) fn holds_any(&self, first: u32, last: u32) -> bool {
        let after = self.0.partition_point(|(node, _)| node.leaves().1 < first);
        self.0.get(after).is_some_and(|(node, _)| node.leaves().0 <= last)
    }

    fn over(&self, leaf: u32) -> Option<&(Node, Seed)> {
        let at = self.0.partition_point(|(node, _)| node.leaves().1 < leaf);
        self.0.get(at).filter(|(node, _)| node.holds(leaf))
    }
}

/// No deeper than the tree.
fn take_out(node: Node, seed: &Seed, out: (u32, u32), left: &mut Vec<(Node, Seed)>) {
    let (first, last) = node.leaves();
    if last < out.0 || out.1 < first {
        left.push((node, seed.clone()));
    } else if first < out.0 || out.1 < last {
        for right in [false, true] {
            take_out(node.child(right), &child_seed(seed, right), out, left);
        }
    }
}

/// A cover, and the way to the leaf that was computed last: the next one shares nearly all of it, so that a record costs two steps and not thirty-two.
pub(crate) struct Tree {
    cover: Cover,
    way: Vec<(Node, Seed)>,
}

impl Tree {
    pub(crate) fn new(cover: Cover) -> Self {
        Self { cover, way: Vec::new() }
    }

    pub(crate) fn cover(&self) -> &Cover {
        &self.cover
    }

    /// The seed of a leaf; `None` if it was taken out.
    pub(crate) fn leaf(&mut self, leaf: u32) -> Option<Seed> {
        while self.way.last().is_some_and(|(node, _)| !node.holds(leaf)) {
            self.way.pop();
        }
        if self.way.is_empty() {
            self.way.push(self.cover.over(leaf)?.clone());
        }
        loop {
            let (node, seed) = self.way.last()?;
            if node.depth == DEPTH {
                return Some(seed.clone());
            }
            let right = leaf >> (DEPTH - node.depth - 1) & 1 == 1;
            let child = (node.child(right), child_seed(seed, right));
            self.way.push(child);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        Tree::new(Cover::whole(Zeroizing::new([7; 32])))
    }

    /// By the definition, without anything that is remembered.
    fn by_hand(leaf: u32) -> Seed {
        (0..32).rev().fold(Zeroizing::new([7; 32]), |seed, bit| child_seed(&seed, leaf >> bit & 1 == 1))
    }

    const SOME: [u32; 9] = [0, 1, 2, 3, 1000, 1001, u32::MAX - 1, 5, u32::MAX];

    #[test]
    fn a_leaf_is_the_same_whatever_was_asked_for_before() {
        let mut tree = tree();
        for leaf in SOME.into_iter().chain(SOME.into_iter().rev()) {
            assert_eq!(tree.leaf(leaf).unwrap(), by_hand(leaf), "{leaf}");
        }
    }

    #[test]
    fn what_was_taken_out_is_gone_and_all_else_is_there() {
        let whole = Cover::whole(Zeroizing::new([7; 32]));
        for (first, last) in [(5, 5), (0, 0), (0, 999), (3, 1000), (u32::MAX, u32::MAX)] {
            let cover = whole.without(first, last);
            assert!(cover.nodes().len() <= 2 * usize::from(DEPTH));
            assert!(
                !cover.holds_any(first, last)
                    && cover.holds_any(first, last.saturating_add(1)) == (last < u32::MAX)
            );
            assert!(Cover::new(cover.nodes().to_vec()).is_some());
            let mut tree = Tree::new(cover);
            for leaf in SOME {
                let expected = (!(first..=last).contains(&leaf)).then(|| by_hand(leaf));
                assert_eq!(tree.leaf(leaf), expected, "{leaf} without {first} to {last}");
            }
        }
        assert!(whole.without(0, u32::MAX).nodes().is_empty());
        // Once more changes nothing.
        let once = whole.without(5, 5);
        assert_eq!(once.without(5, 5).nodes(), once.nodes());
    }

    #[test]
    fn no_seed_that_is_left_is_on_the_way_to_what_was_taken_out() {
        let cover = Cover::whole(Zeroizing::new([7; 32])).without(1000, 1000);
        let mut seed = Zeroizing::new([7; 32]);
        for bit in (0..32).rev() {
            assert!(cover.nodes().iter().all(|(_, left)| *left != seed));
            seed = child_seed(&seed, 1000_u32 >> bit & 1 == 1);
        }
        assert!(cover.nodes().iter().all(|(_, left)| *left != seed));
        assert_eq!(cover.nodes().len(), 32);
    }

    #[test]
    fn nodes_that_overlap_or_are_out_of_order_are_no_cover() {
        let node = |depth, prefix| (Node::new(depth, prefix).unwrap(), Seed::default());
        assert!(Cover::new(vec![node(1, 0), node(2, 2)]).is_some());
        for wrong in
            [vec![node(1, 1), node(1, 0)], vec![node(0, 0), node(1, 1)], vec![node(3, 3), node(3, 3)]]
        {
            assert!(Cover::new(wrong).is_none());
        }
        assert_eq!((Node::new(33, 0), Node::new(1, 2), Node::new(0, 1)), (None, None, None));
        assert!(Node::new(32, u32::MAX).is_some());
    }
}
