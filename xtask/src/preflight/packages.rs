//! Names of packages and services, by package manager.

use super::Need;
use super::machine::Manager;

/// Returns the manager's packages for a need: `None` if it does not come from the system, and an empty list if this
/// manager does not have it.
pub(super) fn packages(need: Need, manager: Manager) -> Option<&'static [&'static str]> {
    let packages: &[&str] = match (need, manager) {
        (Need::Redis, Manager::Apt) => &["redis-server"],
        (Need::Redis, Manager::Dnf) => &["valkey"],
        (Need::Redis, Manager::Brew) => &["redis"],
        (Need::CCompiler, Manager::Apt) => &["gcc", "libc6-dev"],
        (Need::CCompiler, Manager::Dnf) => &["gcc"],
        (Need::CxxCompiler, Manager::Apt) => &["g++"],
        (Need::CxxCompiler, Manager::Dnf) => &["gcc-c++"],
        (Need::CCompiler | Need::CxxCompiler, Manager::Brew) => &[],
        (Need::Python, Manager::Apt) => &["python3", "python3-venv"],
        (Need::Python, Manager::Dnf) => &["python3", "python3-pip"],
        (Need::Python, Manager::Brew) => &["python3"],
        // From Debian 13 on the client is a separate package, which older releases do not have.
        (Need::Docker, Manager::Apt) => &["docker.io", "?exact-name(docker-cli)", "iproute2"],
        (Need::Docker, Manager::Dnf) => &["moby-engine", "iproute"],
        (Need::Node, Manager::Apt) => &["nodejs", "npm"],
        (Need::Node, Manager::Dnf) => &["nodejs", "nodejs-npm"],
        (Need::Node, Manager::Brew) => &["node"],
        (Need::Chromium, Manager::Apt) => &["chromium", "chromium-driver"],
        (Need::Chromium, Manager::Dnf) => &["chromium", "chromedriver"],
        // Homebrew has these only as applications, whose programs are not on PATH.
        (Need::Docker | Need::Chromium, Manager::Brew) => &[],
        (Need::Nextest | Need::Deny | Need::Machete | Need::Fuzz | Need::Sam | Need::CargoLambda, _) => return None,
        (Need::PythonSdk | Need::TypeScriptSdk | Need::Axe, _) => return None,
    };
    Some(packages)
}

/// Returns the services that systemd starts when Debian's packages for these needs are installed.
pub(super) fn services(needs: &[Need]) -> Vec<&'static str> {
    let services = needs.iter().map(|need| match need {
        Need::Redis => &["redis-server"][..],
        Need::Docker => &["docker.socket", "docker.service", "containerd.service"],
        _ => &[],
    });
    services.flatten().copied().collect()
}

/// Returns instructions for the user if no supported package manager can meet the need.
pub(super) fn by_hand(need: Need) -> &'static str {
    match need {
        Need::Redis => {
            "Redis 7 or later, or Valkey, so that redis-server or valkey-server is on PATH; or run one anywhere and set \
             REDIS_URL, for example REDIS_URL=redis://127.0.0.1:6379"
        }
        Need::CCompiler => "GCC or Clang, so that cc is on PATH",
        Need::CxxCompiler => "GCC's or Clang's C++ compiler, so that c++ is on PATH",
        Need::Docker => "Docker's engine and client and iproute2, so that dockerd, docker and ip are on PATH",
        Need::Node => "Node.js 20 or later, so that node and npm are on PATH",
        Need::Chromium => "Chromium and its ChromeDriver, so that chromium and chromedriver are on PATH",
        _ => "Python 3.10 or later with its venv module, so that python3 is on PATH",
    }
}
