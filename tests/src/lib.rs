//! The harness of the whole-stack tests: it starts the built stack as users do, and sends requests as clients do.

#![expect(clippy::expect_used, clippy::panic, reason = "this package is tests")]

mod answer;
mod board;
mod breakers;
mod chaos;
mod chromium;
mod ledger;
mod logs;
mod platform;
mod property;
mod scripted;
mod sdk;
mod stack;

pub use self::{
    answer::Answer,
    board::{Browser, token_of},
    breakers::decide,
    chaos::Chaos,
    chromium::{Chromium, View},
    ledger::{Served, figures},
    platform::{Month, messages},
    property::property,
    scripted::{STREAM_HEAD, Scripted, event},
    sdk::{Language, Sdk, Target},
    stack::{Builder, Stack, binaries, signal_to, wait_for, workspace},
};
