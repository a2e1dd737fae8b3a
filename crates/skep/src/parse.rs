//! Values of options: sizes, rates and times, as people write them.

use std::{net::SocketAddr, time::Duration};

use skep_wire::message::Endpoint;

/// `10GiB`, `40 MiB`, `1.5G`, `4096`: bytes. Powers of 1024, also for `K`, `M`, `G`, `T`; powers of 1000 for `kB`, `MB`, ...
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let wrong = || format!("{text:?} is not a size; write it like 10GiB, 40MiB or 4096");
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let factor = factor(unit.trim()).ok_or_else(wrong)?;
    let bytes = number * factor;
    if !(0.0..9.0e18).contains(&bytes) {
        return Err(wrong());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked just above"
    )]
    Ok(bytes as u64)
}

fn factor(unit: &str) -> Option<f64> {
    let lower = unit.to_ascii_lowercase();
    let (power, base) = match lower.as_str() {
        "" | "b" => (0, 1024.0),
        "k" | "kib" => (1, 1024.0),
        "m" | "mib" => (2, 1024.0),
        "g" | "gib" => (3, 1024.0),
        "t" | "tib" => (4, 1024.0),
        "kb" => (1, 1000.0),
        "mb" => (2, 1000.0),
        "gb" => (3, 1000.0),
        "tb" => (4, 1000.0),
        _ => return None,
    };
    Some(f64::powi(base, power))
}

/// Bytes per second: a size, with or without `/s`; at least 1 KiB.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let rate = bytes(text.trim().trim_end_matches("/s"))?;
    if rate < 1024 {
        Err("a rate is at least 1KiB per second".to_owned())
    } else {
        Ok(rate)
    }
}

/// A rate, or `none`: no limit, as 0.
pub(crate) fn rate_or_none(text: &str) -> Result<u64, String> {
    match text.trim() {
        "none" => Ok(0),
        text => rate(text),
    }
}

/// `A-B`, `A-`, `-N`: bytes from 0, the last included, as the `Range` of HTTP has them.
pub(crate) fn range(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is not a range; write it like 0-99, 1MiB- or -500");
    let (first, last) = text.trim().split_once('-').ok_or_else(wrong)?;
    let number = |text: &str| match text.trim() {
        "" => Ok(None),
        text => bytes(text).map(Some).map_err(|_| wrong()),
    };
    match (number(first)?, number(last)?) {
        (Some(first), Some(last)) if first <= last => Ok(format!("bytes={first}-{last}")),
        (Some(first), None) => Ok(format!("bytes={first}-")),
        (None, Some(last)) => Ok(format!("bytes=-{last}")),
        _ => Err(wrong()),
    }
}

/// `10s`, `5m`, `2h`, `7d`, `250ms`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let wrong = || format!("{text:?} is not a time; write it like 10s, 5m, 2h or 7d");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds: u64 = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let milliseconds = number.checked_mul(milliseconds).ok_or_else(wrong)?;
    if milliseconds == 0 {
        Err("a time is more than nothing".to_owned())
    } else {
        Ok(Duration::from_millis(milliseconds))
    }
}

/// An address and port of this machine that no other machine can reach.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let at: SocketAddr = text
        .parse()
        .map_err(|_| format!("{text:?} is not an address like 127.0.0.1:0"))?;
    if at.ip().is_loopback() {
        Ok(at)
    } else {
        Err("the local API is opened on loopback only".to_owned())
    }
}

/// `HOST:PORT`, `[IPv6]:PORT`.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, String> {
    let wrong = || format!("{text:?} is not HOST:PORT");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let port = port.parse().map_err(|_| wrong())?;
    if host.is_empty() || host.len() > 255 || port == 0 {
        return Err(wrong());
    }
    Ok(Endpoint {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        assert_eq!(bytes("4096"), Ok(4096));
        assert_eq!(bytes("10GiB"), Ok(10 << 30));
        assert_eq!(bytes("1.5 g"), Ok(3 << 29));
        assert_eq!(bytes("40MB"), Ok(40_000_000));
        for wrong in [
            "",
            "GiB",
            "-1",
            "1..2",
            "10 parsecs",
            "1e30",
            "99999999999999GiB",
            "NaN",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for wrong in [
            "",
            "0s",
            "s",
            "-1s",
            "1y",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_are_as_in_http() {
        assert_eq!(range("0-99").as_deref(), Ok("bytes=0-99"));
        assert_eq!(range("1MiB-").as_deref(), Ok("bytes=1048576-"));
        assert_eq!(range("-500").as_deref(), Ok("bytes=-500"));
        for wrong in ["", "-", "5", "9-5", "a-b", "1-2-3", "0-1,5-6"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_may_name_the_second() {
        assert_eq!(rate("40MiB/s"), Ok(40 << 20));
        assert!(rate("10").is_err());
        assert_eq!(rate_or_none("none"), Ok(0));
        assert!(rate_or_none("0").is_err());
    }
}
