use super::*;

const DEBIAN: Machine =
    Machine { manager: Some(Manager::Apt), privilege: Privilege::Root, systemd: false, unpacks: true };
/// Debian on which packages cannot be unpacked.
const PACKED: Machine = Machine { unpacks: false, ..DEBIAN };
const USER: Machine = Machine { privilege: Privilege::Missing, ..DEBIAN };

fn plan(missing: &[Need], machine: Machine) -> Result<Plan, String> {
    Plan::new(missing, &machine, Path::new("target/tools"))
}

fn lines(missing: &[Need], machine: Machine) -> Vec<String> {
    plan(missing, machine).unwrap().commands().iter().map(|words| words.join(" ")).collect()
}

#[test]
fn redis_is_unpacked_into_the_tools_by_any_user_and_the_system_stays_as_it_is() {
    for (manager, name) in [(Manager::Apt, "apt"), (Manager::Dnf, "dnf")] {
        for privilege in [Privilege::Root, Privilege::Sudo, Privilege::Missing] {
            let machine = Machine { manager: Some(manager), privilege, ..DEBIAN };
            let script = format!("sh xtask/src/preflight/redis.sh {name} target/tools");
            assert_eq!(lines(&[Need::Redis], machine), [script]);
            assert!(!plan(&[Need::Redis], machine).unwrap().changes_system());
        }
    }
}

#[test]
fn the_script_that_unpacks_redis_is_in_the_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let script = &lines(&[Need::Redis], DEBIAN)[0];
    assert!(root.join(script.split(' ').nth(1).unwrap()).is_file());
}

#[test]
fn tools_and_what_tests_use_leave_the_system_as_it_is() {
    let tools = [Need::Nextest, Need::Deny, Need::Machete, Need::Fuzz, Need::Sam, Need::CargoLambda];
    let packages = [Need::PythonSdk, Need::TypeScriptSdk, Need::Axe];
    assert!(!plan(&[&tools[..], &packages].concat(), USER).unwrap().changes_system());
}

#[test]
fn compilers_interpreters_docker_and_browsers_change_the_system() {
    let needs = [Need::CCompiler, Need::CxxCompiler, Need::Python, Need::Node, Need::Docker, Need::Chromium];
    for need in needs {
        assert!(plan(&[need, Need::Nextest], DEBIAN).unwrap().changes_system(), "{need:?}");
    }
}

#[test]
fn debian_updates_its_lists_first_and_installs_once() {
    let lines = lines(&[Need::Redis, Need::CCompiler], PACKED);
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
fn the_system_is_changed_before_the_tools_that_rely_on_it() {
    let lines = lines(&[Need::Redis, Need::CCompiler], DEBIAN);
    assert!(lines[1].ends_with(" gcc libc6-dev"), "{lines:?}");
    assert!(lines[2].starts_with("sh "), "{lines:?}");
}

#[test]
fn systemd_does_not_go_on_running_the_packaged_server() {
    let lines = lines(&[Need::Redis], Machine { systemd: true, ..PACKED });
    assert_eq!(lines[2], "systemctl disable --now redis-server");
}

#[test]
fn systemd_is_left_alone_where_no_service_is_installed() {
    assert_eq!(lines(&[Need::CCompiler], Machine { systemd: true, ..DEBIAN }).len(), 2);
}

#[test]
fn systemd_does_not_go_on_running_a_docker_that_was_not_there() {
    let lines = lines(&[Need::Docker], Machine { systemd: true, ..DEBIAN });
    assert!(lines[1].ends_with("docker.io ?exact-name(docker-cli) iproute2"), "{lines:?}");
    assert_eq!(lines[2], "systemctl disable --now docker.socket docker.service containerd.service");
}

#[test]
fn a_user_goes_through_sudo_to_change_the_system() {
    let lines = lines(&[Need::CCompiler], Machine { privilege: Privilege::Sudo, ..DEBIAN });
    assert!(lines.iter().all(|line| line.starts_with("sudo ")), "{lines:?}");
}

#[test]
fn a_user_without_sudo_is_told_what_root_has_to_run() {
    let advice = plan(&[Need::Node], USER).unwrap_err();
    assert!(advice.contains("As root, run:\n  apt-get update --quiet\n  env DEBIAN_FRONTEND"), "{advice}");
}

#[test]
fn a_user_without_sudo_may_still_install_cargo_tools() {
    let lines = lines(&[Need::Machete], USER);
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
    let machine = Machine { manager: Some(Manager::Brew), privilege: Privilege::Sudo, ..PACKED };
    assert_eq!(lines(&[Need::Redis], machine), ["brew install redis"]);
    assert!(plan(&[Need::Redis], machine).unwrap().changes_system());
}

#[test]
fn what_homebrew_does_not_have_is_installed_by_hand() {
    let advice = plan(&[Need::Chromium], Machine { manager: Some(Manager::Brew), ..PACKED }).unwrap_err();
    assert!(advice.contains("chromium and chromedriver are on PATH"), "{advice}");
}

#[test]
fn fedora_has_valkey() {
    let machine = Machine { manager: Some(Manager::Dnf), ..PACKED };
    assert_eq!(lines(&[Need::Redis], machine), ["dnf install --assumeyes valkey"]);
}

#[test]
fn an_unknown_system_is_told_what_to_install() {
    let advice = plan(&[Need::Redis, Need::Nextest], Machine { manager: None, ..PACKED }).unwrap_err();
    assert!(advice.contains("REDIS_URL=redis://127.0.0.1:6379"), "{advice}");
    assert!(!advice.contains("nextest"), "{advice}");
}

#[test]
fn what_tests_use_is_installed_as_pinned_and_marked_as_such_at_the_end() {
    let lines = lines(&[Need::Python, Need::PythonSdk, Need::Node, Need::TypeScriptSdk], DEBIAN);
    assert!(lines[1].ends_with("python3 python3-venv nodejs npm"), "{lines:?}");
    assert_eq!(lines[2], "python3 -m venv --clear target/tools/sdk-python");
    assert!(lines[3].ends_with("--requirement tests/sdk/python/requirements.txt"), "{lines:?}");
    assert_eq!(lines[4], "cp tests/sdk/python/requirements.txt target/tools/sdk-python/installed");
    assert!(lines[7].starts_with("npm ci --prefix target/tools/sdk-typescript "), "{lines:?}");
    assert_eq!(lines[8], "cp tests/sdk/typescript/package-lock.json target/tools/sdk-typescript/installed");
}

#[test]
fn a_browser_comes_from_the_system_and_what_judges_its_pages_from_npm() {
    let lines = lines(&[Need::Chromium, Need::Axe], DEBIAN);
    assert!(lines[1].ends_with("chromium chromium-driver"), "{lines:?}");
    assert!(lines[4].starts_with("npm ci --prefix target/tools/sdk-axe "), "{lines:?}");
    assert_eq!(lines[5], "cp tests/sdk/axe/package-lock.json target/tools/sdk-axe/installed");
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

#[test]
fn the_listing_can_be_pasted() {
    let commands = [vec!["apt-get".to_owned(), "update".to_owned()], vec!["pip".to_owned(), "a>=1".to_owned()]];
    assert_eq!(listing(&commands), "  apt-get update\n  pip 'a>=1'\n");
}
