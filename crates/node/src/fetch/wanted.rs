//! What a person asks for: `NAME`, `PEER/NAME`, an id or a link, and for a folder `/SUB/PATH` behind it.
//!
//! Only the reading of the words; looking them up is `resolve`'s.

use skep_wire::{BlobId, PeerName, RelPath, ShareName, message::Query, ticket::Link};
use thiserror::Error;

/// Words that were read. They may have more than one meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The words.
    pub text: String,
    /// What they may mean, the longer reading of a share's name first.
    pub readings: Vec<Reading>,
    /// The link they are, if they are one.
    pub link: Option<Link>,
}

/// One meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What to look up.
    pub query: Query,
    /// The part of the folder that is wanted; none: all of it.
    pub sub: Option<RelPath>,
}

/// The words have no meaning.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is not a name, an id or a link: {why}")]
pub struct NotWanted {
    /// The words.
    pub text: String,
    /// What is wrong with them.
    pub why: String,
}

impl Wanted {
    /// Reads the words.
    ///
    /// # Errors
    /// [`NotWanted`] says why they can mean nothing.
    pub fn parse(text: &str) -> Result<Self, NotWanted> {
        let fail = |why: &dyn ToString| NotWanted {
            text: text.to_owned(),
            why: why.to_string(),
        };
        if text.starts_with("skep-") && text.contains(':') {
            let (link, sub) = split(text);
            let link: Link = link.parse().map_err(|e| fail(&e))?;
            let sub = sub.map(RelPath::parse).transpose().map_err(|e| fail(&e))?;
            let readings = vec![Reading {
                query: Query::Id(link.content.id),
                sub,
            }];
            return Ok(Self {
                text: text.to_owned(),
                readings,
                link: Some(link),
            });
        }
        let readings = readings(text).map_err(|e| fail(&e))?;
        Ok(Self {
            text: text.to_owned(),
            readings,
            link: None,
        })
    }
}

/// `a/b/c` may be share `b` of peer `a`, part `c`; or share `a`, part `b/c`.
fn readings(text: &str) -> Result<Vec<Reading>, skep_wire::name::NameError> {
    let (first, rest) = split(text);
    if let Ok(id) = first.parse::<BlobId>() {
        let sub = rest.map(RelPath::parse).transpose()?;
        return Ok(vec![Reading {
            query: Query::Id(id),
            sub,
        }]);
    }
    let name = ShareName::parse(first)?;
    let Some(rest) = rest else {
        return Ok(vec![Reading {
            query: Query::Name {
                publisher: None,
                name,
            },
            sub: None,
        }]);
    };
    let mut readings = Vec::new();
    let (second, third) = split(rest);
    if let (Ok(publisher), Ok(name)) = (PeerName::parse(first), ShareName::parse(second)) {
        let sub = third.map(RelPath::parse).transpose()?;
        readings.push(Reading {
            query: Query::Name {
                publisher: Some(publisher),
                name,
            },
            sub,
        });
    }
    let sub = Some(RelPath::parse(rest)?);
    readings.push(Reading {
        query: Query::Name {
            publisher: None,
            name,
        },
        sub,
    });
    Ok(readings)
}

fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)))
}

#[cfg(test)]
mod tests {
    use skep_wire::{
        NetworkId, PeerId,
        record::{Content, ContentKind},
    };

    use super::*;

    fn queries(text: &str) -> Vec<(Query, Option<String>)> {
        let wanted = Wanted::parse(text).unwrap();
        wanted
            .readings
            .into_iter()
            .map(|r| (r.query, r.sub.map(|s| s.to_string())))
            .collect()
    }

    fn named(publisher: Option<&str>, name: &str) -> Query {
        let publisher = publisher.map(|p| PeerName::parse(p).unwrap());
        Query::Name {
            publisher,
            name: ShareName::parse(name).unwrap(),
        }
    }

    #[test]
    fn names_peers_and_parts() {
        assert_eq!(queries("talk.pdf"), [(named(None, "talk.pdf"), None)]);
        assert_eq!(
            queries("ann/photos/2024/a.jpg"),
            [
                (named(Some("ann"), "photos"), Some("2024/a.jpg".to_owned())),
                (named(None, "ann"), Some("photos/2024/a.jpg".to_owned())),
            ]
        );
        assert_eq!(
            queries("my photos/x"),
            [(named(None, "my photos"), Some("x".to_owned()))]
        );
    }

    #[test]
    fn ids_are_ids() {
        let id = BlobId([7; 32]);
        assert_eq!(queries(&id.to_string()), [(Query::Id(id), None)]);
        assert_eq!(
            queries(&format!("{id}/a")),
            [(Query::Id(id), Some("a".to_owned()))]
        );
    }

    #[test]
    fn a_link_names_what_it_leads_to_and_a_part_of_it() {
        let link = Link {
            network: NetworkId([1; 32]),
            publisher: PeerId([2; 32]),
            name: ShareName::parse("photos").unwrap(),
            content: Content {
                id: BlobId([7; 32]),
                size: 9,
                kind: ContentKind::Folder,
            },
        };
        let whole = Wanted::parse(&link.to_string()).unwrap();
        assert_eq!(whole.link, Some(link.clone()));
        assert_eq!(queries(&link.to_string()), [(Query::Id(BlobId([7; 32])), None)]);
        let part = format!("{link}/2024/a.jpg");
        assert_eq!(
            queries(&part),
            [(Query::Id(BlobId([7; 32])), Some("2024/a.jpg".to_owned()))]
        );
        assert!(Wanted::parse(&format!("{link}/../a")).is_err());
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for text in [
            "",
            "/",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            ".hidden",
            "skep-link-1:!!",
        ] {
            let error = Wanted::parse(text).unwrap_err();
            assert!(error.to_string().contains("is not a name"), "{text}: {error}");
        }
    }
}
