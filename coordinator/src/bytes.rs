//! Bytes of our own formats: the log, snapshots, and what servers say to each other. All little-endian.

/// Takes `N` bytes off the front; `None` when there are fewer, with nothing taken.
pub(crate) fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk::<N>()?;
    *input = rest;
    Some(*head)
}
