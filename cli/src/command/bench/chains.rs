//! Everything that one series measures, up and with the same backend behind it.

use kogge_bench::{Backend, Chain, Pair};

use super::around::{Around, Surroundings};
use super::product::Product;
use super::{Args, Only};
use crate::demo::Shape;
use crate::demo::layout::Layout;
use crate::demo::processes::Processes;

/// What is up; the floor and the base line stop when this is dropped.
pub(super) struct Chains {
    pub(super) around: Around,
    pub(super) product: Option<Product>,
}

impl Chains {
    pub(super) async fn start(
        args: &Args,
        layout: &Layout,
        processes: &mut Processes,
    ) -> anyhow::Result<Self> {
        let wanted = |what: Only| args.only.is_empty() || args.only.contains(&what);
        let surroundings = Surroundings {
            body: args.body,
            post: args.post,
            large: args.large,
            services: args.services,
            floor: wanted(Only::Floor),
            // The base line holds bodies in memory: it says nothing about large ones.
            base: wanted(Only::Base) && args.large.is_none(),
        };
        let around = Around::start(&surroundings, &layout.path("bench"))?;
        let mut product = None;
        if wanted(Only::Product) {
            let shape = Shape {
                transport: args.transport,
                signing_key: args.keys.kind(),
                signature: args.signature.map(super::Signature::word),
                clients: args.clients,
                services: args.services,
                bystanders: args.members,
                time_max_s: args.large.map(|_| LARGE_TIME_MAX_S),
                ..Shape::default()
            };
            let started = Product::start("product", shape, args.post, &around.backend, layout, processes);
            product = Some(started.await?);
        }
        Ok(Self { around, product })
    }

    /// Floor, base line, product.
    pub(super) fn all(&self) -> Vec<Chain> {
        let mut all = self.around.chains();
        all.extend(self.product.iter().map(|product| product.chain.clone()));
        all
    }

    /// Floor and product, each with what to fetch the large body by.
    pub(super) fn large(&self) -> Vec<(Chain, Pair)> {
        let mut all = self.around.large();
        all.extend(self.product.as_ref().and_then(|product| product.large(Backend::LARGE_PATH)));
        all
    }
}

/// The longest that a security server allows: sixteen bodies of a GiB at once take their time on a small machine.
pub(super) const LARGE_TIME_MAX_S: u32 = 300;
