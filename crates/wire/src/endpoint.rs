//! Endpoints: where somebody listens. Nothing here resolves or connects.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// The most bytes of a host.
pub const MAX_HOST_BYTES: usize = 255;

/// Where a peer or a coordinator listens. Written `host:port`, or `[address]:port` for IPv6.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// DNS name, IPv4 or IPv6 address (without brackets); see [`check_host`].
    #[serde(deserialize_with = "host")]
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Text that is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// No port, or one that nobody can listen on.
    #[error("an address is HOST:PORT, with a port from 1 to 65535")]
    Port,
    /// Something that is no host.
    #[error(
        "a host is a name, an IPv4 address or an IPv6 address in brackets, of at most {MAX_HOST_BYTES} characters"
    )]
    Host,
}

/// Whether `text` can be a host: 1 to [`MAX_HOST_BYTES`] of letters, digits and `.-_:%`. Whether
/// there is such a host is found out by dialling it.
///
/// # Errors
/// [`EndpointError::Host`] if not.
pub fn check_host(text: &str) -> Result<(), EndpointError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
    if (1..=MAX_HOST_BYTES).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(())
    } else {
        Err(EndpointError::Host)
    }
}

fn host<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    check_host(&text).map_err(serde::de::Error::custom)?;
    Ok(text)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (host, port) = text.rsplit_once(':').ok_or(EndpointError::Port)?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match bracketed {
            Some(address) => address,
            None if host.contains(':') => return Err(EndpointError::Host),
            None => host,
        };
        check_host(host)?;
        match port.parse() {
            Ok(port) if port != 0 => Ok(Self {
                host: host.to_owned(),
                port,
            }),
            _ => Err(EndpointError::Port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in [
            "skep.example:7700",
            "10.0.0.1:1",
            "[fe80::1%eth0]:65535",
            "a_b-c:80",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_endpoint() {
        for text in ["", "host", "host:", "host:0", "host:65536", "host:-1"] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::Port), "{text}");
        }
        let long = format!("{}:80", "a".repeat(256));
        for text in [
            ":80",
            "fe80::1:80",
            "a b:80",
            "é:80",
            "http://x:80",
            "\u{202e}:80",
            &long,
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError::Host), "{text}");
        }
    }

    #[test]
    fn a_host_is_checked_when_it_is_read() {
        let bad = Endpoint {
            host: "a\nb".into(),
            port: 1,
        };
        let bytes = postcard::to_allocvec(&bad).unwrap();
        assert!(postcard::from_bytes::<Endpoint>(&bytes).is_err());
    }
}
