//! Addresses and lists of peers inside messages.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use super::field::{BadField, Name};

/// The most peers of a list that are read.
const LISTED: usize = 64;

/// How the server writes lists of peers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    /// `[B:10.0.0.2:6002,C:10.0.0.3:6003]`
    #[default]
    Colon,
    /// `[B@10.0.0.2:6002:0,2;C@10.0.0.3:6003:1]`, with the chunks of each.
    At,
    /// `[B, C]`: the document's own.
    Names,
}

/// One peer of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: Name,
    /// Where it takes chunks; none when only its name was said.
    pub address: Option<SocketAddr>,
    /// The chunks that are meant for it, if that was said.
    pub chunks: Option<Vec<u64>>,
}

/// The peers of a plan, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerList {
    /// How it is written.
    pub style: Style,
    /// The peers.
    pub peers: Vec<Listed>,
}

impl FromStr for PeerList {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let inner = inner.ok_or(BadField)?.trim();
        let style = if inner.contains('@') {
            Style::At
        } else if inner.contains(':') {
            Style::Colon
        } else {
            Style::Names
        };
        let parts: Vec<&str> = match style {
            _ if inner.is_empty() => Vec::new(),
            Style::At => inner.split(';').collect(),
            Style::Colon | Style::Names => inner.split(',').collect(),
        };
        if parts.len() > LISTED {
            return Err(BadField);
        }
        let read = if style == Style::At { at } else { colon };
        let peers = parts
            .into_iter()
            .map(|part| read(part.trim()))
            .collect::<Result<_, _>>()?;
        Ok(Self { style, peers })
    }
}

/// `name` or `name:ip:port`
fn colon(text: &str) -> Result<Listed, BadField> {
    let (name, address) = match text.split_once(':') {
        None => (text, None),
        Some((name, address)) => (name, Some(socket_addr(address)?)),
    };
    Ok(Listed {
        name: name.parse()?,
        address,
        chunks: None,
    })
}

/// `name@ip:port:0,2`
fn at(text: &str) -> Result<Listed, BadField> {
    let (name, rest) = text.split_once('@').ok_or(BadField)?;
    let (address, chunks) = rest.rsplit_once(':').ok_or(BadField)?;
    let chunk = |text: &str| text.parse().map_err(|_| BadField);
    let chunks = match chunks {
        "" => Vec::new(),
        chunks => chunks.split(',').map(chunk).collect::<Result<_, _>>()?,
    };
    Ok(Listed {
        name: name.parse()?,
        address: Some(socket_addr(address)?),
        chunks: Some(chunks),
    })
}

/// `ip:port`; an IPv6 address with or without brackets.
fn socket_addr(text: &str) -> Result<SocketAddr, BadField> {
    let (ip, port) = text.rsplit_once(':').ok_or(BadField)?;
    Ok(SocketAddr::new(ip_addr(ip)?, port.parse().map_err(|_| BadField)?))
}

fn ip_addr(text: &str) -> Result<IpAddr, BadField> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text).parse().map_err(|_| BadField)
}

impl fmt::Display for PeerList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (between, name_alone) = match self.style {
            Style::Colon => (",", false),
            Style::At => (";", false),
            Style::Names => (", ", true),
        };
        f.write_str("[")?;
        for (n, peer) in self.peers.iter().enumerate() {
            if n > 0 {
                f.write_str(between)?;
            }
            write!(f, "{}", peer.name)?;
            match (peer.address, &peer.chunks) {
                (Some(address), Some(chunks)) if self.style == Style::At => {
                    let chunks: Vec<String> = chunks.iter().map(u64::to_string).collect();
                    write!(f, "@{address}:{}", chunks.join(","))?;
                }
                (Some(address), _) if !name_alone => write!(f, ":{address}")?,
                _ => {}
            }
        }
        f.write_str("]")
    }
}

/// Who will bring chunks, as a storage peer is told: `ip:udp:tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bringer {
    /// Its address.
    pub ip: IpAddr,
    /// Where it takes datagrams.
    pub udp: u16,
    /// Where it takes connections.
    pub tcp: u16,
}

impl FromStr for Bringer {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        // Some write the brackets with which the field is described.
        let bare = text.strip_prefix('[').filter(|_| !text.starts_with("[["));
        let bare = bare.and_then(|bare| bare.strip_suffix(']')).unwrap_or(text);
        let (rest, tcp) = bare.rsplit_once(':').ok_or(BadField)?;
        let (ip, udp) = rest.rsplit_once(':').ok_or(BadField)?;
        let port = |text: &str| text.parse().map_err(|_| BadField);
        Ok(Self {
            ip: ip_addr(ip)?,
            udp: port(udp)?,
            tcp: port(tcp)?,
        })
    }
}

impl fmt::Display for Bringer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ip, udp, tcp } = self;
        match ip {
            IpAddr::V4(ip) => write!(f, "{ip}:{udp}:{tcp}"),
            IpAddr::V6(ip) => write!(f, "[{ip}]:{udp}:{tcp}"),
        }
    }
}

/// Where a chunk is to be copied: `Target:ip:port`, or a name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The peer.
    pub name: Name,
    /// Where it takes chunks, if that was said.
    pub address: Option<SocketAddr>,
}

impl FromStr for Target {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        let Listed { name, address, .. } = colon(text)?;
        Ok(Self { name, address })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{}:{address}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> PeerList {
        text.parse().unwrap_or_else(|_| panic!("{text}"))
    }

    #[test]
    fn lists_are_read_and_written_in_all_styles() {
        for text in [
            "[]",
            "[B, C]",
            "[B:10.0.0.2:6002,C:10.0.0.3:6003]",
            "[B:[fd00::1]:6002]",
            "[B@10.0.0.2:6002:0,2;C@10.0.0.3:6003:1]",
            "[B@[fd00::1]:6002:]",
        ] {
            assert_eq!(list(text).to_string(), text);
        }
        assert_eq!(list("[ B:1.2.3.4:5 , C ]").peers.len(), 2);
        assert_eq!(list("[B,C]"), list("[B, C]"));
        assert_eq!(
            list("[B@1.2.3.4:5:0,2]").peers.first().unwrap().chunks,
            Some(vec![0, 2])
        );
    }

    #[test]
    fn lists_that_make_no_sense_are_refused() {
        for bad in [
            "",
            "[",
            "]",
            "B",
            "[B:6002]",
            "[B:1.2.3.4:99999]",
            "[:1.2.3.4:5]",
            "[B@1.2.3.4:5:x]",
            "[a b]",
            "[,]",
        ] {
            assert!(bad.parse::<PeerList>().is_err(), "{bad}");
        }
        let long = format!("[{}B]", "B,".repeat(LISTED));
        assert!(long.parse::<PeerList>().is_err());
    }

    #[test]
    fn bringers_come_with_and_without_brackets() {
        let bringer: Bringer = "10.0.0.1:5001:6001".parse().unwrap();
        assert_eq!(
            (bringer.udp, bringer.tcp, bringer.to_string().as_str()),
            (5001, 6001, "10.0.0.1:5001:6001")
        );
        assert_eq!("[10.0.0.1:5001:6001]".parse(), Ok(bringer));
        let v6: Bringer = "[fd00::1]:1:2".parse().unwrap();
        assert_eq!(v6.to_string(), "[fd00::1]:1:2");
        assert_eq!("[[fd00::1]:1:2]".parse::<Bringer>().ok(), None);
        assert!("10.0.0.1:5001".parse::<Bringer>().is_err());
    }
}
