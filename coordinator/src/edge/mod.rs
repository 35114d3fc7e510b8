//! The rim: sockets, files, threads, clocks. Nothing here decides anything.
