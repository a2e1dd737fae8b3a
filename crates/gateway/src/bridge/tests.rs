//! A bridge between a network and a provider that are both made up.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use skep_wire::RelPath;
use skep_world::{
    Dir,
    disk::{Open, Replace},
};

use super::*;

/// A network of shares whose bytes count upwards.
#[derive(Default)]
struct Shelf {
    streams: AtomicUsize,
    breaks_at: Option<u64>,
}

impl Native for Shelf {
    fn shares(&self) -> Shares<'_> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn read(&self, share: &Share, offset: u64) -> mpsc::Receiver<io::Result<Bytes>> {
        self.streams.fetch_add(1, Ordering::Relaxed);
        let all: Vec<u8> = (offset..self.breaks_at.unwrap_or(share.bytes))
            .map(|at| u8::try_from(at).unwrap())
            .collect();
        let (sender, pieces) = mpsc::channel(100);
        for piece in all.chunks(7) {
            sender.try_send(Ok(Bytes::copy_from_slice(piece))).unwrap();
        }
        pieces
    }
}

/// Notes what it is asked for; refuses what is called `bad`.
#[derive(Default, Clone)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Provider for Notes {
    const FIT: Fit = Fit {
        name_bytes: 9,
        file_bytes: 1000,
        allows: |name| name.len() <= 9,
    };

    async fn provide(&mut self, name: &str) -> Result<(), String> {
        self.0.lock().unwrap().push(format!("+{name}"));
        if name == "bad" {
            return Err("no".to_owned());
        }
        Ok(())
    }

    async fn withdraw(&mut self, name: &str) {
        self.0.lock().unwrap().push(format!("-{name}"));
    }

    async fn leave(self) {}
}

fn share(name: &str, id: &str, bytes: u64) -> Share {
    Share {
        name: name.to_owned(),
        id: id.to_owned(),
        publisher: "ann".to_owned(),
        bytes,
    }
}

fn exposed(shelf: Shelf, shares: &[Share]) -> (Arc<Shelf>, Exposed) {
    let shelf = Arc::new(shelf);
    let exposed = Exposed::new(shelf.clone());
    let files = shares.iter().map(|share| (share.name.clone(), share.clone()));
    exposed.set(files.collect());
    (shelf, exposed)
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

#[tokio::test]
async fn what_is_shared_is_provided_and_what_is_gone_is_withdrawn() {
    let notes = Notes::default();
    let (_, exposed) = exposed(Shelf::default(), &[]);
    let journal = Journal::new(Arc::new(skep_world::real::Clock::start()), None);
    let mut bridge = Bridge::new(notes.clone(), exposed.clone(), journal);
    let mut told = Vec::new();
    let mut follow = async |shares: &[Share]| {
        let mut tell = |name: &str, share: &Share| told.push(format!("{name} {}", share.name));
        bridge.follow(shares.to_vec(), &mut tell).await;
        (std::mem::take(&mut told), notes.taken())
    };
    let (lorem, long) = (share("lorem", "1", 10), share("summer holiday", "2", 10));
    let (told, asked) = follow(&[lorem.clone(), long.clone()]).await;
    assert_eq!(told, ["lorem lorem", "summer ~1 summer holiday"]);
    assert_eq!(asked, ["+lorem", "+summer ~1"]);
    assert!(exposed.stat(&path("summer ~1")).is_ok());
    // Nothing has changed for those who provide it, though another publishes it too.
    let mut both = lorem.clone();
    both.publisher = "ann, bob".to_owned();
    assert!(follow(&[both, long.clone()]).await.1.is_empty());
    // Another content under the same name; and what is too large, or is refused again and again.
    let other = share("lorem", "3", 10);
    let shares = [other, share("huge", "4", 1001), share("bad", "5", 1)];
    assert_eq!(
        follow(&shares).await.1,
        ["-lorem", "-summer ~1", "+bad", "+lorem"]
    );
    assert_eq!(follow(&shares).await.1, ["+bad"]);
    assert!(exposed.stat(&path("huge")).is_err() && exposed.stat(&path("summer ~1")).is_err());
}

#[test]
fn whoever_reads_in_order_has_one_stream_and_a_leap_begins_another() {
    let (shelf, exposed) = exposed(Shelf::default(), &[share("lorem", "1", 200)]);
    let file = exposed.open(&path("lorem"), Open::Read).unwrap();
    let mut bytes = [0; 200];
    for (at, part) in bytes.chunks_mut(33).enumerate() {
        file.read_exact_at(at as u64 * 33, part).unwrap();
    }
    assert!(bytes.iter().copied().eq(0..200));
    assert_eq!(file.read_at(200, &mut bytes).unwrap(), 0);
    assert_eq!(shelf.streams.load(Ordering::Relaxed), 1);
    file.read_exact_at(50, &mut bytes[..9]).unwrap();
    assert_eq!((bytes[0], shelf.streams.load(Ordering::Relaxed)), (50, 2));
}

#[test]
fn a_stream_that_breaks_off_is_an_error_and_not_an_end() {
    let shelf = Shelf {
        breaks_at: Some(100),
        ..Shelf::default()
    };
    let (_, exposed) = exposed(shelf, &[share("lorem", "1", 200)]);
    let file = exposed.open(&path("lorem"), Open::Read).unwrap();
    let error = file.read_exact_at(0, &mut [0; 200]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn the_folder_can_be_listed_and_read_and_nothing_else() {
    let (_, exposed) = exposed(Shelf::default(), &[share("lorem", "1", 3)]);
    assert_eq!(exposed.list(None).unwrap().len(), 1);
    assert!(exposed.open(&path("other"), Open::Read).is_err());
    for how in [Open::Write, Open::CreateNew, Open::OpenOrCreatePrivate] {
        assert!(exposed.open(&path("lorem"), how).is_err());
    }
    assert!(exposed.remove_file(&path("lorem")).is_err());
    assert!(
        exposed
            .rename(&path("lorem"), &path("ipsum"), Replace::Never)
            .is_err()
    );
    let file = exposed.open(&path("lorem"), Open::Read).unwrap();
    assert!(file.write_at(0, b"x").is_err() && file.set_len(0).is_err());
    assert_eq!(file.stat().unwrap().size, 3);
}
