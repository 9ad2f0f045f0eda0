//! Consent of the user to installations.
//!
//! Files under the build directory belong to the project. The system belongs to the user: it is not changed without
//! consent.

use std::env;

/// Flags that allow or forbid installing what is missing.
#[derive(clap::Args)]
pub(crate) struct Consent {
    /// Install what is missing without asking, packages of the system included, as CI=true does
    #[arg(long, conflicts_with = "no_install")]
    yes: bool,
    /// Install nothing, not even under the build directory: where something is missing, say what, and stop
    #[arg(long)]
    no_install: bool,
}

/// Decision about the commands that install something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The commands run.
    Yes,
    /// The commands run after a yes at the terminal.
    Ask,
    /// The commands do not run; the text gives the reason and a remedy.
    No(&'static str),
}

impl Consent {
    /// Decides, given if the commands change the system, if `CI` is set, and if there is a terminal.
    pub(super) fn answer(&self, changes_system: bool, ci: bool, terminal: bool) -> Answer {
        match self {
            Self { no_install: true, .. } => Answer::No("--no-install was given, so install it yourself:"),
            Self { yes: true, .. } => Answer::Yes,
            _ if ci || !changes_system => Answer::Yes,
            _ if terminal => Answer::Ask,
            _ => Answer::No(
                "there is no terminal to ask at. Add --yes to have these commands run, or run them yourself:",
            ),
        }
    }
}

/// Returns true if `CI` is set, as CI services do.
pub(crate) fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|ci| ci == "true" || ci == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEITHER: Consent = Consent { yes: false, no_install: false };
    const NO_INSTALL: Consent = Consent { yes: false, no_install: true };

    #[test]
    fn yes_and_ci_install_without_a_question() {
        assert_eq!(Consent { yes: true, ..NEITHER }.answer(true, false, false), Answer::Yes);
        assert_eq!(NEITHER.answer(true, true, false), Answer::Yes);
    }

    #[test]
    fn what_leaves_the_system_alone_needs_no_yes() {
        assert_eq!(NEITHER.answer(false, false, false), Answer::Yes);
        assert_eq!(NEITHER.answer(false, false, true), Answer::Yes);
    }

    #[test]
    fn a_person_is_asked_before_the_system_changes() {
        assert_eq!(NEITHER.answer(true, false, true), Answer::Ask);
    }

    #[test]
    fn no_install_wins_over_ci_and_holds_for_the_build_directory_too() {
        assert!(matches!(NO_INSTALL.answer(true, true, true), Answer::No(_)));
        assert!(matches!(NO_INSTALL.answer(false, true, true), Answer::No(_)));
    }

    #[test]
    fn a_script_without_yes_is_told_about_it() {
        let Answer::No(why) = NEITHER.answer(true, false, false) else { panic!("must refuse") };
        assert!(why.contains("--yes"), "{why}");
    }
}
