//! Where the checkout lies, and how its commands are started.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Outcome;

/// The root of the checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the root of the checkout")
}

/// Where builds go: `CARGO_TARGET_DIR`, or `target` in the checkout.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Builds `skep` as the tests have it. Returns where it is.
pub(crate) fn debug_skep() -> Outcome<PathBuf> {
    run(&mut cargo(&["build", "--quiet", "--package=skep"]))?;
    Ok(debug_binary())
}

/// Where `skep` is once it is built.
pub(crate) fn debug_binary() -> PathBuf {
    target_dir().join("debug/skep")
}

/// `program` with `args`, to be run in the root of the checkout.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root());
    command
}

/// The cargo that runs us, with `args`.
pub(crate) fn cargo(args: &[&str]) -> Command {
    command(&env::var("CARGO").unwrap_or_else(|_| "cargo".into()), args)
}

/// Runs `command` with our own output; anything but success is an error that names it.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command
        .status()
        .map_err(|e| format!("cannot start {}: {e}", shown(command)))?;
    if !status.success() {
        return Err(format!("{} failed ({status})", shown(command)).into());
    }
    Ok(())
}

/// What `command` prints on stdout; anything but success is an error.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cannot start {}: {e}", shown(command)))?;
    if !output.status.success() {
        return Err(format!("{} failed ({})", shown(command), output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The file that runs when somebody types `name`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo/bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(home)
        .chain(sbin)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// Installs Debian packages; only root can.
pub(crate) fn install_packages(packages: &[&str]) -> Outcome {
    if !rustix::process::geteuid().is_root() || find_program("apt-get").is_none() {
        return Err("this needs root and apt-get".into());
    }
    run(&mut command("apt-get", &["update", "-qq"]))?;
    let args = ["install", "-y", "-qq", "--no-install-recommends"];
    run(command("apt-get", &args)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// `command` as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}
