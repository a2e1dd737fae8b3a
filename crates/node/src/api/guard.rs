//! Who may use the local API over TCP: programs that know the token, never a web page.
//!
//! A browser sends whatever a page wants to any address of this machine, under any host name that
//! the page's owner controls (DNS rebinding). So the Host must be a loopback name, an Origin must be
//! the API's own, and nothing is answered without the token, which no page can know.

use axum::http::{HeaderMap, StatusCode, header};
use skep_wire::key::equal;

/// Whether a request with these headers may pass.
///
/// # Errors
/// The status to refuse it with.
pub(crate) fn admit(headers: &HeaderMap, port: u16, token: &str) -> Result<(), StatusCode> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST).unwrap_or_default();
    if !is_ours(host, port) {
        return Err(StatusCode::MISDIRECTED_REQUEST);
    }
    let foreign = |origin: &str| {
        origin
            .strip_prefix("http://")
            .is_none_or(|host| !is_ours(host, port))
    };
    if text(header::ORIGIN).is_some_and(foreign) {
        return Err(StatusCode::FORBIDDEN);
    }
    let shown = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    match shown {
        Some(shown) if equal(shown.as_bytes(), token.as_bytes()) => Ok(()),
        _ => Err(StatusCode::UNAUTHORIZED),
    }
}

fn is_ours(host: &str, port: u16) -> bool {
    let name = host.strip_suffix(&format!(":{port}"));
    name.is_some_and(|name| matches!(name, "127.0.0.1" | "localhost" | "[::1]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(headers: &[(&str, &str)]) -> Result<(), StatusCode> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(
                header::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        admit(&map, 4711, "secret")
    }

    #[test]
    fn the_token_opens_it_for_programs() {
        let token = ("authorization", "Bearer secret");
        assert_eq!(ask(&[("host", "127.0.0.1:4711"), token]), Ok(()));
        assert_eq!(
            ask(&[
                ("host", "localhost:4711"),
                ("origin", "http://localhost:4711"),
                token
            ]),
            Ok(())
        );
    }

    #[test]
    fn nothing_is_answered_without_the_token() {
        let host = ("host", "127.0.0.1:4711");
        assert_eq!(ask(&[host]), Err(StatusCode::UNAUTHORIZED));
        for wrong in [
            "Bearer wrong!",
            "Bearer secre",
            "Bearer secrets",
            "secret",
            "Basic secret",
            "",
        ] {
            assert_eq!(
                ask(&[host, ("authorization", wrong)]),
                Err(StatusCode::UNAUTHORIZED),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_page_is_refused_even_with_the_token() {
        let token = ("authorization", "Bearer secret");
        for host in [
            "evil.example:4711",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1:4711.evil.example",
            "",
        ] {
            assert_eq!(
                ask(&[("host", host), token]),
                Err(StatusCode::MISDIRECTED_REQUEST),
                "{host}"
            );
        }
        let host = ("host", "127.0.0.1:4711");
        for origin in [
            "http://evil.example",
            "null",
            "https://127.0.0.1:4711",
            "http://127.0.0.1:80",
        ] {
            assert_eq!(
                ask(&[host, ("origin", origin), token]),
                Err(StatusCode::FORBIDDEN),
                "{origin}"
            );
        }
    }
}
