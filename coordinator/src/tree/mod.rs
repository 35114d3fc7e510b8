//! The data tree: znodes in an arena, found by parent and name.
