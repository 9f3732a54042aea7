//! Building the index anew on request.

use std::io;
use std::path::Path;

use kogge_durable::DirLock;

use crate::LogError;
use crate::index::{Archive, read_segment};
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
    let archive = Archive::new(layout.clone(), index_cache_bytes);
    let segments = layout.segment_numbers().map_err(LogError::io("list", &layout.segments()))?;
    let last = segments.last().copied().unwrap_or_default();
    let mut entries = 0;
    for segment in 1..=last {
        let index = read_segment(&layout, segment)?;
        entries = index.chain.sequence.max(entries);
        // The last segment's index is in memory while a server writes to it.
        if segment < last {
            archive.store(&index).map_err(|error| LogError::Index(error.to_string()))?;
        }
        progress(entries);
    }
    Ok(entries)
}
