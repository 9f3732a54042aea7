//! The index of an open log as its threads see it.

use std::sync::{Arc, Mutex};

use super::{Index, RowsError};
use crate::live::locked;

/// Where the index of an open log is, if it can be used.
#[derive(Default)]
pub(crate) struct IndexSlot {
    index: Mutex<Option<Arc<Index>>>,
    complaint: Mutex<Option<RowsError>>,
}

impl IndexSlot {
    pub(crate) fn get(&self) -> Option<Arc<Index>> {
        locked(&self.index).clone()
    }

    pub(crate) fn put(&self, index: Arc<Index>) {
        *locked(&self.index) = Some(index);
    }

    /// Nobody uses the index any more; the follower will rebuild it.
    pub(crate) fn report(&self, error: RowsError) {
        *locked(&self.index) = None;
        *locked(&self.complaint) = Some(error);
    }

    pub(crate) fn take_complaint(&self) -> Option<RowsError> {
        locked(&self.complaint).take()
    }

    pub(crate) fn clear(&self) {
        *locked(&self.index) = None;
    }
}
