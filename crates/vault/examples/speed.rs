//! How fast one core cuts, names, compresses, seals, shards and hashes: `cargo run --release -p skep-vault --example
//! speed`. Each stage runs alone over the same 256 MiB, once of noise and once of text.

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use skep_vault::{
    Cutter, Kind,
    keys::{EpochKey, NamingKey},
    pack::{Salt, Writer},
    piece::{Coding, Encoder, Namer},
    shard::{Shards, assemble},
};
use skep_wire::backup::Scheme;
use zeroize::Zeroizing;

const BYTES: usize = 256 << 20;

#[allow(clippy::print_stdout, clippy::disallowed_methods)] // a measurement is made of both
fn measure(what: &str, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    let gib = BYTES as f64 / f64::from(1 << 30);
    println!("{what:<28} {:6.2} GiB/s", gib / start.elapsed().as_secs_f64());
}

fn noise() -> Vec<u8> {
    let mut bytes = vec![0; BYTES];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

/// Words in a random order: about 3:1.
fn text(noise: &[u8]) -> Vec<u8> {
    let words =
        "the quick brown fox jumps over a lazy dog and while let match return struct impl fn self use mod";
    let words: Vec<&str> = words.split(' ').collect();
    let mut out = Vec::with_capacity(BYTES + 16);
    for byte in noise {
        out.extend_from_slice(words[usize::from(*byte) % words.len()].as_bytes());
        out.push(b' ');
        if out.len() >= BYTES {
            break;
        }
    }
    out
}

fn main() {
    let naming = NamingKey::new(Zeroizing::new([1; 32]));
    let noise = noise();
    for (name, bytes) in [("noise", &noise), ("text", &text(&noise))] {
        stages(name, bytes, &naming);
    }
    packs(&noise, &naming);
}

fn stages(name: &str, bytes: &[u8], naming: &NamingKey) {
    let (cutter, namer, mut encoder) = (Cutter::new(naming), Namer::new(naming), Encoder::new());
    let mut ranges = Vec::new();
    measure(&format!("cut, {name}"), || ranges.extend(cutter.ranges(bytes)));
    measure(&format!("name, {name}"), || {
        for range in &ranges {
            black_box(namer.name(Kind::Data, &bytes[range.clone()]));
        }
    });
    measure(&format!("compress, {name}"), || {
        for range in &ranges {
            black_box(encoder.encode(&bytes[range.clone()]).1.len());
        }
    });
}

fn packs(noise: &[u8], naming: &NamingKey) {
    let (namer, key) = (Namer::new(naming), EpochKey::new(Zeroizing::new([2; 32])));
    let id = namer.name(Kind::Data, b"");
    measure("seal and hash packs", || {
        for (salt, pack) in (0u8..).zip(noise.chunks(15 << 20)) {
            let mut writer = Writer::new(Kind::Data, 1, &key, Salt::new([salt; 32]));
            for piece in pack.chunks(256 << 10) {
                writer.push(id, 256 << 10, Coding::Stored, piece);
            }
            black_box(writer.finish());
        }
    });
    let scheme = Scheme::new(4, 2).expect("a scheme");
    let packs: Vec<Bytes> = noise.chunks(16 << 20).map(Bytes::copy_from_slice).collect();
    measure("4+2, parity", || {
        packs
            .iter()
            .for_each(|pack| drop(black_box(Shards::new(scheme, pack))));
    });
    let shards: Vec<_> = packs.iter().map(|pack| Shards::new(scheme, pack)).collect();
    measure("4+2, hashes", || {
        shards.iter().for_each(|shards| drop(black_box(shards.ids())));
    });
    let shards: Vec<_> = shards.into_iter().map(Shards::into_all).collect();
    measure("4+2, restore of two lost", || {
        for shards in &shards {
            let have: Vec<_> = (2..6).map(|index| (index, &shards[index][..])).collect();
            black_box(assemble(scheme, 16 << 20, &have)).expect("enough shards");
        }
    });
}
