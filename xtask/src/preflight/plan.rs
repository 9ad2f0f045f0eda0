//! Chooses the commands that install missing needs. It is pure, so that every kind of machine is tested on any.

use std::fmt::Write as _;
use std::path::Path;

use super::Need;
use super::machine::{Machine, Manager, Privilege};
use super::packages::{by_hand, packages, services};
use crate::{shell, tools};

/// Words of a command.
type Line = Vec<String>;

/// Commands that install all missing needs.
#[derive(Debug)]
pub(super) struct Plan {
    /// Commands that change the system.
    system: Vec<Line>,
    /// Commands that only write to the tools' folder. Some of them use the results of the system's commands.
    tools: Vec<Line>,
}

impl Plan {
    /// Plans the installation of these needs on this machine.
    ///
    /// # Errors
    ///
    /// The machine's package manager cannot be used. The text says exactly what to install and how.
    pub(super) fn new(missing: &[Need], machine: &Machine, tools: &Path) -> Result<Self, String> {
        let mut from_system = Vec::new();
        let mut lines = Vec::new();
        // Redis is unpacked into the tools' folder if possible; compilers, interpreters, Docker and browsers
        // come from the system.
        for need in missing {
            match need {
                Need::Redis => match machine.manager {
                    Some(Manager::Apt) if machine.unpacks => lines.push(tools::redis_fetch(tools, "apt")),
                    Some(Manager::Dnf) if machine.unpacks => lines.push(tools::redis_fetch(tools, "dnf")),
                    _ => from_system.push(*need),
                },
                Need::Nextest => lines.push(tools::cargo_install(tools, &tools::NEXTEST)),
                Need::Deny => lines.push(tools::cargo_install(tools, &tools::DENY)),
                Need::Machete => lines.push(tools::cargo_install(tools, &tools::MACHETE)),
                Need::Fuzz => lines.push(tools::cargo_install(tools, &tools::FUZZ)),
                Need::Sam => lines.extend(tools::sam_install(tools)),
                Need::CargoLambda => lines.push(tools::cargo_lambda_install(tools)),
                Need::PythonSdk => lines.extend(tools::python_sdk_install(tools)),
                Need::TypeScriptSdk => lines.extend(tools::npm_install(tools, &tools::TYPESCRIPT_SDK)),
                Need::Axe => lines.extend(tools::npm_install(tools, &tools::AXE)),
                Need::CCompiler | Need::CxxCompiler | Need::Python | Need::Docker | Need::Node | Need::Chromium => {
                    from_system.push(*need);
                }
            }
        }
        Ok(Self { system: system(&from_system, machine)?, tools: lines })
    }

    /// Returns true if a command changes more than the tools' folder.
    pub(super) fn changes_system(&self) -> bool {
        !self.system.is_empty()
    }

    /// Returns all commands, in order.
    pub(super) fn commands(self) -> Vec<Line> {
        [self.system, self.tools].concat()
    }
}

/// Returns the commands in a form that can be pasted into a shell, one per line.
pub(super) fn listing(commands: &[Line]) -> String {
    let mut lines = String::new();
    for words in commands {
        let words = words.iter().map(|word| shell::quote(word)).collect::<Vec<_>>();
        let _ = writeln!(lines, "  {}", words.join(" "));
    }
    lines
}

/// Returns the commands of the system's package manager.
fn system(wanted: &[Need], machine: &Machine) -> Result<Vec<Line>, String> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let Some(manager) = machine.manager else {
        return Err(format!("There is no apt, dnf or brew here to install it with. {}", advice(wanted)));
    };
    let names = wanted.iter().filter_map(|need| packages(*need, manager)).flatten().copied().collect::<Vec<_>>();
    let is_compiler = |need: &Need| matches!(need, Need::CCompiler | Need::CxxCompiler);
    let has_none = |need: &Need| packages(*need, manager).is_none_or(<[_]>::is_empty);
    let commands = match manager {
        Manager::Apt => apt(&names, &if machine.systemd { services(wanted) } else { Vec::new() }),
        Manager::Dnf => vec![line(&["dnf", "install", "--assumeyes"], &names)],
        // Homebrew does not provide Apple's compilers. It does not start services and does not run as root.
        Manager::Brew if wanted.iter().any(is_compiler) => vec![line(&["xcode-select", "--install"], &[])],
        Manager::Brew if wanted.iter().any(has_none) => {
            return Err(format!("Homebrew does not have all of it. {}", advice(wanted)));
        }
        Manager::Brew => vec![line(&["brew", "install"], &names)],
    };
    // Prefix sudo if it is needed, except for Homebrew.
    match machine.privilege {
        Privilege::Root => Ok(commands),
        _ if manager == Manager::Brew => Ok(commands),
        Privilege::Sudo => {
            Ok(commands.into_iter().map(|command| [vec!["sudo".to_owned()], command].concat()).collect())
        }
        Privilege::Missing => {
            let listing = listing(&commands);
            Err(format!("Installing it takes root, and here are neither root nor sudo. As root, run:\n{listing}"))
        }
    }
}

fn advice(wanted: &[Need]) -> String {
    let lines = wanted.iter().map(|need| format!("  - {}\n", by_hand(*need))).collect::<String>();
    format!("Install it yourself:\n{lines}")
}

/// Returns the commands for Debian. Debian starts a packaged server on installation, but Levee needs only the program
/// and starts its own. So RUNLEVEL=1 keeps sysvinit from starting it, and on systemd it is stopped and disabled right
/// after.
fn apt(packages: &[&str], services: &[&str]) -> Vec<Line> {
    let install = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "install", "--quiet", "--yes"];
    let mut commands = vec![
        line(&["apt-get", "update", "--quiet"], &[]),
        line(&install, &[&["--no-install-recommends"], packages].concat()),
    ];
    if !services.is_empty() {
        commands.push(line(&["systemctl", "disable", "--now"], services));
    }
    commands
}

fn line(words: &[&str], more: &[&str]) -> Line {
    words.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests;
