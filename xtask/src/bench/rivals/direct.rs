//! Tools that take a file from one place: cp, curl, rsync, sendme.

use std::{fs, net::Ipv4Addr, path::Path};

use crate::{
    Outcome,
    bench::{
        material::Material,
        report::Cost,
        stage::{Side, Stage, command, free_port, wait_listening},
    },
};

/// From the page cache to the disk.
pub(super) fn cp(stage: &mut Stage, material: &Material, _: usize) -> Outcome<Cost> {
    let target = stage.target()?;
    stage.fetch(
        command("cp", ["--reflink=never"])
            .arg(material.path())
            .arg(target),
    )
}

/// Plain HTTP with sendfile.
pub(super) fn nginx_curl(stage: &mut Stage, material: &Material, _: usize) -> Outcome<Cost> {
    let root = stage.folder("served")?;
    material.link_into(&root)?;
    let port = free_port()?;
    let config = stage.path("nginx.conf");
    let (root, pid) = (root.display(), stage.path("nginx.pid"));
    let text = format!(
        "daemon off; master_process off; pid {}; error_log stderr;\n\
         events {{}}\n\
         http {{ access_log off; sendfile on; server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n",
        pid.display()
    );
    fs::write(&config, text)?;
    stage.start(
        Side::Sender,
        "nginx",
        command("nginx", ["-e", "stderr", "-c"]).arg(config),
    )?;
    wait_listening(port)?;
    let url = format!("http://{}:{port}/payload", Ipv4Addr::LOCALHOST);
    let target = stage.target()?;
    stage.fetch(command("curl", ["--silent", "--fail", &url, "--output"]).arg(target))
}

/// The rsync protocol without ssh.
pub(super) fn rsync(stage: &mut Stage, material: &Material, _: usize) -> Outcome<Cost> {
    let root = stage.folder("served")?;
    material.link_into(&root)?;
    let url = rsync_daemon(stage, &root)? + "/payload";
    let target = stage.target()?;
    stage.fetch(command("rsync", [url]).arg(target))
}

/// A folder with all that is in it. The slash at the end means: what is in it.
pub(in crate::bench) fn rsync_folder(stage: &mut Stage, material: &Material) -> Outcome<Cost> {
    let url = rsync_daemon(stage, &material.path())? + "/";
    let target = stage.target()?;
    stage.fetch(command("rsync", ["-a", &url]).arg(target))
}

/// Starts a daemon and tells where it serves `root`.
fn rsync_daemon(stage: &mut Stage, root: &Path) -> Outcome<String> {
    let port = free_port()?;
    let config = stage.path("rsyncd.conf");
    // Without uid and gid it becomes `nobody`, who may not read here.
    let text = format!(
        "use chroot = no\nuid = 0\ngid = 0\n[served]\npath = {}\n",
        root.display()
    );
    fs::write(&config, text)?;
    let mut daemon = command("rsync", ["--daemon", "--no-detach", "--address=127.0.0.1"]);
    daemon
        .arg(format!("--port={port}"))
        .arg(format!("--config={}", config.display()));
    stage.start(Side::Sender, "rsyncd", &mut daemon)?;
    wait_listening(port)?;
    Ok(format!("rsync://127.0.0.1:{port}/served"))
}

/// QUIC and verified BLAKE3 streams, like Skep without a coordinator.
pub(super) fn sendme(stage: &mut Stage, material: &Material, _: usize) -> Outcome<Cost> {
    let root = stage.folder("served")?;
    material.link_into(&root)?;
    let mut sender = command(
        "sendme",
        ["send", "--relay=disabled", "--ticket-type=addresses", "payload"],
    );
    stage.start(Side::Sender, "sender", sender.current_dir(root))?;
    let ticket = stage.wait_printed("sender", printed_ticket)?;
    let folder = stage.folder("out")?;
    stage.fetch(command("sendme", ["receive", "--relay=disabled", &ticket]).current_dir(folder))
}

/// The word after `sendme receive`, once the line is complete.
fn printed_ticket(printed: &str) -> Option<String> {
    let (line, _) = printed.split_once("sendme receive ")?.1.split_once('\n')?;
    Some(line.trim().to_owned())
}
