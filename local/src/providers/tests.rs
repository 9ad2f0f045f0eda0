//! Tests of the stand-ins over real connections, byte by byte.

mod answers;
mod client;
mod content;
mod endpoints;
mod scripts;
