//! From what is missing to the commands that install it: pure, so that every kind of machine is tested on any.

use std::path::Path;

use super::Need;
use super::machine::{Machine, Manager, Privilege};
use crate::tools;

/// The commands that install these needs on such a machine, in order.
///
/// # Errors
///
/// The machine's package manager cannot be used; the text says exactly what to install and how.
pub(super) fn commands(missing: &[Need], machine: &Machine, tools: &Path) -> Result<Vec<Vec<String>>, String> {
    let mut commands = system(missing, machine)?;
    for need in missing {
        match need {
            Need::Nextest => commands.push(tools::cargo_install(tools, &tools::NEXTEST)),
            Need::Deny => commands.push(tools::cargo_install(tools, &tools::DENY)),
            Need::Machete => commands.push(tools::cargo_install(tools, &tools::MACHETE)),
            Need::Fuzz => commands.push(tools::cargo_install(tools, &tools::FUZZ)),
            Need::Sam => commands.extend(tools::sam_install(tools)),
            Need::CargoLambda => commands.push(tools::cargo_lambda_install(tools)),
            Need::PythonSdk => commands.extend(tools::python_sdk_install(tools)),
            Need::TypeScriptSdk => commands.extend(tools::typescript_sdk_install(tools)),
            Need::Redis | Need::CCompiler | Need::CxxCompiler | Need::Python | Need::Docker | Need::Node => {}
        }
    }
    Ok(commands)
}

/// The part that the system's package manager does.
fn system(missing: &[Need], machine: &Machine) -> Result<Vec<Vec<String>>, String> {
    let wanted = missing.iter().copied().filter(|need| package(*need, Manager::Apt).is_some()).collect::<Vec<_>>();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let Some(manager) = machine.manager else {
        let by_hand = wanted.iter().map(|need| format!("  - {}\n", by_hand(*need))).collect::<String>();
        return Err(format!("There is no apt, dnf or brew here to install it with. Install it yourself:\n{by_hand}"));
    };
    let packages = wanted.iter().filter_map(|need| package(*need, manager)).flatten().copied().collect::<Vec<_>>();
    let commands = match manager {
        Manager::Apt => apt(&packages, &if machine.systemd { services(&wanted) } else { Vec::new() }),
        Manager::Dnf => vec![line(&["dnf", "install", "--assumeyes"], &packages)],
        // Homebrew cannot bring Apple's compilers, and neither starts services nor works as root.
        Manager::Brew if wanted.contains(&Need::CCompiler) || wanted.contains(&Need::CxxCompiler) => {
            vec![line(&["xcode-select", "--install"], &[])]
        }
        Manager::Brew => vec![line(&["brew", "install"], &packages)],
    };
    match machine.privilege {
        Privilege::Root => Ok(commands),
        _ if manager == Manager::Brew => Ok(commands),
        Privilege::Sudo => {
            Ok(commands.into_iter().map(|command| [vec!["sudo".to_owned()], command].concat()).collect())
        }
        Privilege::Missing => {
            let listing = super::listing(&commands);
            Err(format!("Installing it takes root, and here are neither root nor sudo. As root, run:\n{listing}"))
        }
    }
}

/// Debian starts a packaged server as it installs it. Levee only wants the program, and starts its own: RUNLEVEL=1 keeps
/// sysvinit from starting it, and on systemd it is stopped and disabled right after.
fn apt(packages: &[&str], services: &[&str]) -> Vec<Vec<String>> {
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

/// The services that systemd starts with Debian's packages.
fn services(wanted: &[Need]) -> Vec<&'static str> {
    let services = wanted.iter().map(|need| match need {
        Need::Redis => &["redis-server"][..],
        Need::Docker => &["docker.socket", "docker.service", "containerd.service"],
        _ => &[],
    });
    services.flatten().copied().collect()
}

/// What the manager calls it; `None` for what it has no part in.
fn package(need: Need, manager: Manager) -> Option<&'static [&'static str]> {
    let packages: &[&str] = match (need, manager) {
        (Need::Redis, Manager::Apt) => &["redis-server"],
        (Need::Redis, Manager::Dnf) => &["valkey"],
        (Need::Redis, Manager::Brew) => &["redis"],
        (Need::CCompiler, Manager::Apt) => &["gcc", "libc6-dev"],
        (Need::CCompiler, Manager::Dnf) => &["gcc"],
        (Need::CCompiler, Manager::Brew) => &[],
        (Need::CxxCompiler, Manager::Apt) => &["g++"],
        (Need::CxxCompiler, Manager::Dnf) => &["gcc-c++"],
        (Need::CxxCompiler, Manager::Brew) => &[],
        (Need::Python, Manager::Apt) => &["python3", "python3-venv"],
        (Need::Python, Manager::Dnf) => &["python3", "python3-pip"],
        (Need::Python, Manager::Brew) => &["python3"],
        // From Debian 13 on the client is a package of its own, which older ones do not have.
        (Need::Docker, Manager::Apt) => &["docker.io", "?exact-name(docker-cli)", "iproute2"],
        (Need::Docker, Manager::Dnf) => &["moby-engine", "iproute"],
        (Need::Docker, Manager::Brew) => &[],
        (Need::Node, Manager::Apt) => &["nodejs", "npm"],
        (Need::Node, Manager::Dnf) => &["nodejs", "nodejs-npm"],
        (Need::Node, Manager::Brew) => &["node"],
        (Need::Nextest | Need::Deny | Need::Machete | Need::Fuzz | Need::Sam | Need::CargoLambda, _) => return None,
        (Need::PythonSdk | Need::TypeScriptSdk, _) => return None,
    };
    Some(packages)
}

fn by_hand(need: Need) -> &'static str {
    match need {
        Need::Redis => {
            "Redis 7 or later, or Valkey, so that redis-server or valkey-server is on PATH; or run one anywhere and set \
             REDIS_URL, for example REDIS_URL=redis://127.0.0.1:6379"
        }
        Need::CCompiler => "GCC or Clang, so that cc is on PATH",
        Need::CxxCompiler => "GCC's or Clang's C++ compiler, so that c++ is on PATH",
        Need::Docker => "Docker's engine and client and iproute2, so that dockerd, docker and ip are on PATH",
        Need::Node => "Node.js 20 or later, so that node and npm are on PATH",
        _ => "Python 3.10 or later with its venv module, so that python3 is on PATH",
    }
}

fn line(words: &[&str], more: &[&str]) -> Vec<String> {
    words.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: Machine = Machine { manager: Some(Manager::Apt), privilege: Privilege::Root, systemd: false };

    fn lines(missing: &[Need], machine: Machine) -> Vec<String> {
        let commands = commands(missing, &machine, Path::new("target/tools")).unwrap();
        commands.iter().map(|words| words.join(" ")).collect()
    }

    #[test]
    fn debian_updates_its_lists_first_and_installs_once() {
        let lines = lines(&[Need::Redis, Need::CCompiler], DEBIAN);
        assert_eq!(
            lines,
            [
                "apt-get update --quiet",
                "env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install --quiet --yes --no-install-recommends \
                 redis-server gcc libc6-dev",
            ]
        );
    }

    #[test]
    fn systemd_does_not_go_on_running_the_packaged_server() {
        let lines = lines(&[Need::Redis], Machine { systemd: true, ..DEBIAN });
        assert_eq!(lines[2], "systemctl disable --now redis-server");
    }

    #[test]
    fn systemd_is_left_alone_where_redis_was_there() {
        assert_eq!(lines(&[Need::CCompiler], Machine { systemd: true, ..DEBIAN }).len(), 2);
    }

    #[test]
    fn systemd_does_not_go_on_running_a_docker_that_nobody_had() {
        let lines = lines(&[Need::Docker], Machine { systemd: true, ..DEBIAN });
        assert!(lines[1].ends_with("docker.io ?exact-name(docker-cli) iproute2"), "{lines:?}");
        assert_eq!(lines[2], "systemctl disable --now docker.socket docker.service containerd.service");
    }

    #[test]
    fn a_user_goes_through_sudo() {
        let lines = lines(&[Need::Redis], Machine { privilege: Privilege::Sudo, ..DEBIAN });
        assert!(lines.iter().all(|line| line.starts_with("sudo ")), "{lines:?}");
    }

    #[test]
    fn a_user_without_sudo_is_told_what_root_has_to_run() {
        let machine = Machine { privilege: Privilege::Missing, ..DEBIAN };
        let advice = commands(&[Need::Redis], &machine, Path::new("tools")).unwrap_err();
        assert!(advice.contains("As root, run:\n  apt-get update --quiet\n  env DEBIAN_FRONTEND"), "{advice}");
    }

    #[test]
    fn a_user_without_sudo_may_still_install_cargo_tools() {
        let lines = lines(&[Need::Machete], Machine { privilege: Privilege::Missing, ..DEBIAN });
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("cargo install --locked --root target/tools"), "{lines:?}");
    }

    #[test]
    fn a_cxx_compiler_comes_from_the_system_and_the_fuzzer_from_cargo() {
        let lines = lines(&[Need::CCompiler, Need::CxxCompiler, Need::Fuzz], DEBIAN);
        assert!(lines[1].ends_with(" gcc libc6-dev g++"), "{lines:?}");
        assert!(lines[2].contains("cargo install --locked --root target/tools cargo-fuzz"), "{lines:?}");
    }

    #[test]
    fn homebrew_needs_no_root_and_refuses_it() {
        let machine = Machine { manager: Some(Manager::Brew), privilege: Privilege::Sudo, systemd: false };
        assert_eq!(lines(&[Need::Redis], machine), ["brew install redis"]);
    }

    #[test]
    fn fedora_has_valkey() {
        let machine = Machine { manager: Some(Manager::Dnf), ..DEBIAN };
        assert_eq!(lines(&[Need::Redis], machine), ["dnf install --assumeyes valkey"]);
    }

    #[test]
    fn an_unknown_system_is_told_what_to_install() {
        let machine = Machine { manager: None, ..DEBIAN };
        let advice = commands(&[Need::Redis, Need::Nextest], &machine, Path::new("tools")).unwrap_err();
        assert!(advice.contains("REDIS_URL=redis://127.0.0.1:6379"), "{advice}");
        assert!(!advice.contains("nextest"), "{advice}");
    }

    #[test]
    fn the_sdks_are_installed_as_pinned_and_marked_as_such_at_the_end() {
        let lines = lines(&[Need::Python, Need::PythonSdk, Need::Node, Need::TypeScriptSdk], DEBIAN);
        assert!(lines[1].ends_with("python3 python3-venv nodejs npm"), "{lines:?}");
        assert_eq!(lines[2], "python3 -m venv --clear target/tools/sdk-python");
        assert!(lines[3].ends_with("--requirement tests/sdk/python/requirements.txt"), "{lines:?}");
        assert_eq!(lines[4], "cp tests/sdk/python/requirements.txt target/tools/sdk-python/installed");
        assert!(lines[7].starts_with("npm ci --prefix target/tools/sdk-typescript "), "{lines:?}");
        assert_eq!(lines[8], "cp tests/sdk/typescript/package-lock.json target/tools/sdk-typescript/installed");
    }

    #[test]
    fn sam_is_installed_into_its_own_environment() {
        let lines = lines(&[Need::Python, Need::Sam, Need::CargoLambda], DEBIAN);
        assert!(lines[1].ends_with("python3 python3-venv"), "{lines:?}");
        assert_eq!(lines[2], "python3 -m venv target/tools/sam-venv");
        for (line, package) in lines[3..].iter().zip(["aws-sam-cli", "cargo-lambda"]) {
            assert!(line.starts_with("target/tools/sam-venv/bin/pip install "), "{lines:?}");
            assert!(line.contains(package), "{lines:?}");
        }
        assert_eq!(lines.len(), 5);
    }
}
