//! Which crate may see which: the table of ARCHITECTURE.md, as data.

use serde_json::Value;

use super::Complaint;
use crate::Outcome;

/// One crate of the workspace and what it may use of the others. `wire` is open to all.
struct Room {
    name: &'static str,
    may_use: &'static [&'static str],
}

const ROOMS: &[Room] = &[
    Room {
        name: "skep-wire",
        may_use: &[],
    },
    Room {
        name: "skep-world",
        may_use: &[],
    },
    Room {
        name: "skep-engine",
        may_use: &[],
    },
    Room {
        name: "skep-vault",
        may_use: &[],
    },
    Room {
        name: "skep-store",
        may_use: &["skep-world"],
    },
    Room {
        name: "skep-ledger",
        may_use: &["skep-world"],
    },
    Room {
        name: "skep-net",
        may_use: &["skep-world"],
    },
    // No store and no vault: it cannot hold or read the bytes of a file.
    Room {
        name: "skep-coordinator",
        may_use: &["skep-engine", "skep-ledger", "skep-net", "skep-world"],
    },
    Room {
        name: "skep-node",
        may_use: &[
            "skep-engine",
            "skep-vault",
            "skep-store",
            "skep-ledger",
            "skep-net",
            "skep-world",
        ],
    },
    Room {
        name: "skep-gateway",
        may_use: &[
            "skep-node",
            "skep-engine",
            "skep-ledger",
            "skep-net",
            "skep-world",
        ],
    },
    // It puts the real world together, so it sees `net` beside the services.
    Room {
        name: "skep",
        may_use: &[
            "skep-coordinator",
            "skep-node",
            "skep-gateway",
            "skep-net",
            "skep-world",
        ],
    },
    Room {
        name: "skep-sim",
        may_use: &[
            "skep-coordinator",
            "skep-net",
            "skep-node",
            "skep-engine",
            "skep-ledger",
            "skep-store",
            "skep-world",
        ],
    },
    Room {
        name: "xtask",
        may_use: &[],
    },
];

/// What everybody may use.
const COMMON: &str = "skep-wire";

/// Edges that tests and examples may have beyond the table: (crate, what it uses).
const FOR_TESTS: &[(&str, &str)] = &[];

/// Crates that decide and encode but never act, so they need none of [`ACTING`].
const PURE: &[&str] = &["skep-wire", "skep-engine", "skep-vault"];

/// Outside crates that bring clocks, sockets, files or a runtime.
const ACTING: &[&str] = &[
    "tokio",
    "mio",
    "rustix",
    "async-trait",
    "tempfile",
    "notify",
    "axum",
];

/// A crate of the workspace, as `cargo metadata` tells it.
#[derive(Debug)]
pub(super) struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    /// Only its tests and examples use it.
    dev: bool,
}

/// The crates of the workspace.
pub(super) fn packages(metadata: &Value) -> Outcome<Vec<Package>> {
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo metadata lists no packages")?;
    Ok(packages.iter().map(package).collect())
}

fn package(value: &Value) -> Package {
    let dependency = |value: &Value| Dependency {
        name: value["name"].as_str().unwrap_or_default().to_owned(),
        dev: value["kind"] == "dev",
    };
    let dependencies = value["dependencies"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    Package {
        name: value["name"].as_str().unwrap_or_default().to_owned(),
        dependencies: dependencies.iter().map(dependency).collect(),
    }
}

/// Every edge that the table does not allow.
pub(super) fn check(packages: &[Package]) -> Vec<Complaint> {
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Package) -> Vec<Complaint> {
    let Some(room) = ROOMS.iter().find(|room| room.name == package.name) else {
        return vec![complaint(
            package,
            "is not in the table of crate edges: add it there",
        )];
    };
    let forbidden = package
        .dependencies
        .iter()
        .filter_map(|dependency| forbidden(room, dependency));
    forbidden.map(|reason| complaint(package, &reason)).collect()
}

/// Why `room` may not have `dependency`.
fn forbidden(room: &Room, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    let ours = ROOMS.iter().any(|room| room.name == name);
    let listed = name == COMMON || name == room.name || room.may_use.contains(&name);
    let for_tests = dependency.dev && FOR_TESTS.contains(&(room.name, name));
    if ours && !listed && !for_tests {
        return Some(format!(
            "must not use {name}; see the crate edges in ARCHITECTURE.md"
        ));
    }
    if PURE.contains(&room.name) && ACTING.contains(&name) && !dependency.dev {
        return Some(format!(
            "is pure and must not use {name}: time, bytes and randomness come in as arguments"
        ));
    }
    None
}

fn complaint(package: &Package, message: &str) -> Complaint {
    Complaint {
        path: "Cargo.toml".into(),
        line: 0,
        message: format!("crate {} {message}", package.name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The complaints about a crate `name` with one dependency.
    fn judge(name: &str, dependency: &str, kind: Value) -> Vec<String> {
        let dependency = json!({"name": dependency, "kind": kind});
        let metadata = json!({"packages": [{"name": name, "dependencies": [dependency]}]});
        check(&packages(&metadata).unwrap())
            .into_iter()
            .map(|complaint| complaint.message)
            .collect()
    }

    #[test]
    fn the_coordinator_cannot_hold_file_bytes() {
        for room in ["skep-store", "skep-vault"] {
            let complaints = judge("skep-coordinator", room, Value::Null);
            assert!(
                complaints[0].contains(&format!("must not use {room}")),
                "{complaints:?}"
            );
        }
    }

    #[test]
    fn the_five_rooms_never_see_each_other() {
        let rooms = [
            "skep-engine",
            "skep-vault",
            "skep-store",
            "skep-ledger",
            "skep-net",
        ];
        for room in rooms {
            for other in rooms.into_iter().filter(|other| *other != room) {
                assert_eq!(judge(room, other, Value::Null).len(), 1, "{room} -> {other}");
                assert_eq!(judge(room, other, json!("build")).len(), 1, "{room} -> {other}");
            }
        }
    }

    #[test]
    fn nothing_uses_the_simulation_or_the_binary() {
        for room in ROOMS.iter().map(|room| room.name) {
            for above in ["skep", "skep-sim", "xtask"]
                .into_iter()
                .filter(|above| *above != room)
            {
                assert_eq!(judge(room, above, json!("dev")).len(), 1, "{room} -> {above}");
            }
        }
    }

    #[test]
    fn a_pure_crate_has_no_runtime() {
        assert_eq!(judge("skep-engine", "tokio", Value::Null).len(), 1);
        assert_eq!(judge("skep-engine", "tokio", json!("dev")), [""; 0]);
        assert_eq!(judge("skep-net", "tokio", Value::Null), [""; 0]);
    }

    #[test]
    fn an_unknown_crate_is_named() {
        assert!(judge("skep-shed", "serde", Value::Null)[0].contains("not in the table"));
    }

    #[test]
    fn allowed_edges_pass() {
        for (room, used) in [
            ("skep-node", "skep-store"),
            ("skep-engine", "skep-wire"),
            ("skep", "skep-node"),
        ] {
            assert_eq!(judge(room, used, Value::Null), [""; 0], "{room} -> {used}");
        }
    }
}
