//! A JSON answer of any kind is read without a panic, into figures that can be counts.
#![no_main]

use levee_core::metering::usage::Reading;
use levee_fuzz::assert_counts;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    if let Some(Reading { figures, absurd, .. }) = Reading::of_message(body) {
        assert_counts(&figures.usage);
        assert_eq!(figures.is_absurd, absurd.is_some());
    }
});
