//! Which peers were refused lately, and how often the log says so.

use std::collections::VecDeque;
use std::net::SocketAddr;

use kogge_proto::time::UnixMillis;

use crate::Carrier;
use crate::error::Refusal;

/// A peer that was refused during its handshake.
#[derive(Clone, Debug)]
pub struct RefusedPeer {
    /// When.
    pub at: UnixMillis,
    /// From where.
    pub addr: SocketAddr,
    /// Over which carrier.
    pub carrier: Carrier,
    /// Why; the peer itself has learnt only a TLS alert.
    pub refusal: Refusal,
}

/// The last refused peers, and a number of log lines per second: any stranger who can connect could otherwise fill the disk.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    peers: VecDeque<RefusedPeer>,
    second: i64,
    told: u32,
    untold: u64,
}

impl Refusals {
    /// Remembers a refused peer.
    pub(super) fn remember(&mut self, peer: RefusedPeer) {
        if self.peers.len() >= REFUSED_PEERS_MAX {
            self.peers.pop_front();
        }
        self.peers.push_back(peer);
    }

    /// The last refused peers, newest last.
    pub(super) fn peers(&self) -> Vec<RefusedPeer> {
        self.peers.iter().cloned().collect()
    }

    /// Whether a line may be written at `now`; if so, how many were left out since the last one.
    pub(super) fn tell(&mut self, now: UnixMillis) -> Option<u64> {
        if now.seconds() != self.second {
            self.second = now.seconds();
            self.told = 0;
        }
        if self.told >= LINES_PER_SECOND_MAX {
            self.untold = self.untold.saturating_add(1);
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// Enough for an operator to see who knocks.
const REFUSED_PEERS_MAX: usize = 32;

/// Enough to see what goes on; less than 200 MB a day.
const LINES_PER_SECOND_MAX: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_what_was_left_out_is_told() {
        let mut refusals = Refusals::default();
        for _ in 0..LINES_PER_SECOND_MAX {
            assert_eq!(refusals.tell(UnixMillis(5000)), Some(0));
        }
        assert_eq!(refusals.tell(UnixMillis(5000)), None);
        assert_eq!(refusals.tell(UnixMillis(5999)), None);
        assert_eq!(refusals.tell(UnixMillis(6000)), Some(2));
        assert_eq!(refusals.tell(UnixMillis(6000)), Some(0));
    }

    #[test]
    fn only_the_last_peers_are_remembered() {
        let mut refusals = Refusals::default();
        for at in 0..100 {
            let addr = SocketAddr::from(([192, 0, 2, 1], 1));
            let refusal = Refusal::NoSnapshot;
            refusals.remember(RefusedPeer { at: UnixMillis(at), addr, carrier: Carrier::Quic, refusal });
        }
        let times: Vec<i64> = refusals.peers().iter().map(|peer| peer.at.0).collect();
        assert_eq!(times, (68..100).collect::<Vec<_>>());
    }
}
