//! The replicated state machine: the same operations in the same order give the same state.
