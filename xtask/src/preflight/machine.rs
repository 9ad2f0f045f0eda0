//! Means of this machine to install something.

use std::env;
use std::path::Path;

use crate::shell;
use crate::workspace::Workspace;

/// A supported package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager {
    /// Debian and its derivatives.
    Apt,
    /// Fedora, RHEL, Amazon Linux.
    Dnf,
    /// macOS, and Linux accounts without root.
    Brew,
}

/// Way in which a command becomes root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privilege {
    Root,
    Sudo,
    /// The command cannot become root.
    Missing,
}

/// Facts that decide the commands that install a package here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    /// First of apt, dnf and brew that is installed.
    pub(super) manager: Option<Manager>,
    pub(super) privilege: Privilege,
    /// True if systemd runs, which starts a packaged service as soon as it is installed.
    pub(super) systemd: bool,
    /// True if packages can be downloaded and unpacked into a folder, for which root is not needed.
    pub(super) unpacks: bool,
}

impl Machine {
    pub(super) fn detect(workspace: &Workspace) -> Self {
        let managers = [("apt-get", Manager::Apt), ("dnf", Manager::Dnf), ("brew", Manager::Brew)];
        let privilege = if rustix::process::geteuid().is_root() {
            Privilege::Root
        } else if on_path("sudo") {
            Privilege::Sudo
        } else {
            Privilege::Missing
        };
        let manager = managers.into_iter().find(|(program, _)| on_path(program)).map(|(_, manager)| manager);
        let unpacks = match manager {
            Some(Manager::Apt) => on_path("dpkg-deb"),
            // In older versions, dnf's download command is a plugin.
            Some(Manager::Dnf) => {
                ["rpm2cpio", "cpio"].into_iter().all(on_path)
                    && shell::succeeds(workspace.command("dnf").args(["download", "--help"]))
            }
            _ => false,
        };
        Self { manager, privilege, systemd: Path::new("/run/systemd/system").is_dir(), unpacks }
    }
}

/// Returns true if a folder of PATH contains this program. Debian keeps servers in `/usr/sbin`, which is not on every
/// account's PATH, but redis-server is in `/usr/bin`.
pub(super) fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| is_program(&folder.join(program))))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_programs_count() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program"));
        assert!(!is_program(Path::new("/etc/passwd")));
        assert!(!is_program(Path::new("/usr")));
    }
}
