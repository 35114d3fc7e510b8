//! The whole server without I/O: inputs and `now` in, outputs out.
