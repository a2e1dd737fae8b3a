//! The document's files: the tracker's `peers.json` and a peer's `config.json`, as text.
//!
//! Pure. A port is text in the one and a number in the other, as in the document; both are read
//! either way.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use skep_wire::RelPath;

use super::{
    codec::{FileName, Host, Name},
    tracker::Record,
};

/// The name of the tracker's file.
pub const PEERS: &str = "peers.json";
/// The name of a peer's file.
pub const CONFIG: &str = "config.json";
/// The most bytes of either.
pub const MAX_BYTES: usize = 64 << 20;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadBook {
    /// It has not the document's shape.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// A peer in it has no possible name.
    #[error("{0:?} is no name of a peer")]
    Name(String),
}

#[derive(Serialize, Deserialize)]
struct Row {
    #[serde(default)]
    files: Vec<String>,
    #[serde(default, rename = "listeningIP")]
    listening_ip: String,
    #[serde(default, rename = "listeningPORT", deserialize_with = "port")]
    listening_port: Port,
}

/// A port as `peers.json` writes it.
#[derive(Default, Clone, Copy)]
struct Port(u16);

impl Serialize for Port {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// What a peer's settings are, in the words of the document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The address to listen on.
    #[serde(rename = "peerListeningIP")]
    pub listening_ip: String,
    /// The port to listen on; 0 is any.
    #[serde(rename = "peerListeningPORT", deserialize_with = "number")]
    pub listening_port: u16,
    /// The shared folder.
    #[serde(rename = "sharedDIR")]
    pub shared_dir: String,
    /// The tracker's host.
    #[serde(rename = "trackerIP")]
    pub tracker_ip: String,
    /// The tracker's port.
    #[serde(rename = "trackerPort", deserialize_with = "number")]
    pub tracker_port: u16,
    /// The peer's name.
    pub user: String,
}

/// Where `config.json` is in a home.
#[must_use]
pub fn config_path() -> RelPath {
    RelPath::parse(CONFIG).expect("it is a path")
}

/// Reads `peers.json`. Files that cannot be shared here are left out.
///
/// # Errors
/// [`BadBook`].
pub fn read_peers(text: &[u8]) -> Result<Vec<(Name, Record)>, BadBook> {
    let rows: BTreeMap<String, Row> = serde_json::from_slice(text)?;
    let record = |(name, row): (String, Row)| {
        let files = row.files.iter().filter_map(|file| FileName::parse(file).ok());
        let host = Host::parse(&row.listening_ip);
        let at = host.map(|host| SocketAddr::new(host.0, row.listening_port.0));
        let record = Record {
            files: files.collect(),
            listening: at.filter(|at| at.port() != 0),
        };
        match Name::parse(&name) {
            Ok(name) => Ok((name, record)),
            Err(_) => Err(BadBook::Name(name)),
        }
    };
    rows.into_iter().map(record).collect()
}

/// Writes `peers.json`.
#[must_use]
pub fn write_peers<'a>(records: impl Iterator<Item = (&'a Name, &'a Record)>) -> Vec<u8> {
    let row = |(name, record): (&'a Name, &'a Record)| {
        let row = Row {
            files: record.files.iter().map(ToString::to_string).collect(),
            listening_ip: record.listening.map(|at| at.ip().to_string()).unwrap_or_default(),
            listening_port: Port(record.listening.map_or(0, |at| at.port())),
        };
        (name.as_str(), row)
    };
    let rows: BTreeMap<&str, Row> = records.map(row).collect();
    serde_json::to_vec_pretty(&rows).expect("text and lists are JSON")
}

/// Reads `config.json`.
///
/// # Errors
/// [`BadBook::Shape`].
pub fn read_settings(text: &[u8]) -> Result<Settings, BadBook> {
    Ok(serde_json::from_slice(text)?)
}

/// Writes `config.json`.
#[must_use]
pub fn write_settings(settings: &Settings) -> Vec<u8> {
    serde_json::to_vec_pretty(settings).expect("text and numbers are JSON")
}

#[derive(Deserialize)]
#[serde(untagged)]
enum TextOrNumber {
    Text(String),
    Number(u16),
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match TextOrNumber::deserialize(deserializer)? {
        TextOrNumber::Number(number) => Ok(number),
        TextOrNumber::Text(text) if text.is_empty() => Ok(0),
        TextOrNumber::Text(text) => text.parse().map_err(D::Error::custom),
    }
}

fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Port, D::Error> {
    number(deserializer).map(Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the document, with the braces that it leaves out.
    const PEERS_JSON: &str = r#"{
        "PEER_1": {
            "files": [".DS_Store", "video.mov", "virus_replication.cpp", "client1.pdf"],
            "listeningIP": "localhost",
            "listeningPORT": "53784"
        },
        "PEER_2": {
            "files": [".DS_Store", "DistributedComputing512.pdf", "521Project4image.png"],
            "listeningIP": "localhost",
            "listeningPORT": "53786"
        }
    }"#;

    const CONFIG_JSON: &str = r#"{
        "peerListeningIP": "localhost",
        "peerListeningPORT": 0,
        "sharedDIR": "test",
        "trackerIP": "localhost",
        "trackerPort": 45000,
        "user": "PEER_1"
    }"#;

    #[test]
    fn the_documents_peers_are_read_and_written() {
        let peers = read_peers(PEERS_JSON.as_bytes()).unwrap();
        let (name, record) = &peers[0];
        assert_eq!((name.as_str(), record.files.len()), ("PEER_1", 4));
        assert_eq!(record.listening, Some("127.0.0.1:53784".parse().unwrap()));
        let written = write_peers(peers.iter().map(|(name, record)| (name, record)));
        let value: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(value["PEER_2"]["listeningPORT"], "53786");
        assert_eq!(value["PEER_2"]["listeningIP"], "127.0.0.1");
        assert_eq!(value["PEER_2"]["files"][0], ".DS_Store");
        assert_eq!(read_peers(&written).unwrap(), peers);
    }

    #[test]
    fn the_documents_config_is_read_and_written() {
        let settings = read_settings(CONFIG_JSON.as_bytes()).unwrap();
        assert_eq!((settings.tracker_port, settings.user.as_str()), (45000, "PEER_1"));
        let value: serde_json::Value = serde_json::from_slice(&write_settings(&settings)).unwrap();
        assert_eq!(
            value,
            serde_json::from_str::<serde_json::Value>(CONFIG_JSON).unwrap()
        );
    }

    #[test]
    fn ports_may_be_numbers_or_text_and_a_peer_may_listen_nowhere() {
        let peers =
            read_peers(br#"{"a": {"listeningPORT": 7, "listeningIP": "10.0.0.1"}, "b": {}}"#).unwrap();
        assert_eq!(peers[0].1.listening, Some("10.0.0.1:7".parse().unwrap()));
        assert_eq!(peers[1].1, Record::default());
        assert_eq!(
            read_settings(br#"{"trackerPort": "45000"}"#)
                .unwrap()
                .tracker_port,
            45000
        );
    }

    #[test]
    fn damaged_and_hostile_files_are_refused() {
        for bad in [
            "",
            "[]",
            "{",
            r#"{"a": 1}"#,
            r#"{"a": {"listeningPORT": 65536}}"#,
            r#"{"a b": {}}"#,
        ] {
            assert!(read_peers(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read_settings(br#"{"trackerPort": "x"}"#).is_err());
        let peers = read_peers(br#"{"a": {"files": ["../x", "ok"]}}"#).unwrap();
        assert_eq!(peers[0].1.files, [FileName::parse("ok").unwrap()]);
    }
}
