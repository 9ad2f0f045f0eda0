//! Stand-ins over real connections, byte by byte.

mod client;
mod content;
mod endpoints;
mod scripts;
