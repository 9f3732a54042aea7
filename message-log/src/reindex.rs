//! Building the index anew on request.

use std::io;
use std::path::Path;

use kogge_durable::DirLock;

use crate::LogError;
use crate::index::{Index, build};
use crate::layout::Layout;

/// Rebuilds the index of the log in `dir` from its segments; `progress` is told entries done. Returns the number of entries. No server may
/// have the log open. If it is interrupted, the next opening of the log goes on where it stopped.
///
/// # Errors
/// There is no log, it is in use or damaged, or the index cannot be written.
pub fn reindex(dir: &Path, index_cache_bytes: u64, progress: &mut dyn FnMut(u64)) -> Result<u64, LogError> {
    let layout = Layout::new(dir);
    let first = layout.segment(1);
    std::fs::metadata(&first).map_err(LogError::io("open the message log's", &first))?;
    let _lock = DirLock::acquire(dir)?;
    match std::fs::remove_dir_all(layout.index()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(LogError::io("remove", &layout.index())(error));
        }
        Ok(()) | Err(_) => {}
    }
    let index =
        Index::create(&layout, index_cache_bytes).map_err(|error| LogError::Index(error.to_string()))?;
    build(&layout, &index, progress)
}
