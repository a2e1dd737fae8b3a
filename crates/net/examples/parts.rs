//! What the parts of a download that nobody can do without cost alone: on one thread, with nothing around them.
//!
//! Reading and writing go through the page cache, encryption is that of TLS in its records, the copies through
//! the kernel are those of a TCP connection on the loopback interface, and hashing is that of whole chunks.
//!
//! `cargo run --release -p skep-net --example parts`, on a machine that does nothing else

#![expect(clippy::print_stdout, reason = "a program")]

use std::{
    env,
    error::Error,
    fs::{self, File},
    hint::black_box,
    io::{Read, Seek, SeekFrom, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use skep_wire::chunk::hash_chunk;

const CHUNK_BYTES: usize = 1 << 20;
const CHUNKS: u64 = 1024;
/// The largest record of TLS.
const RECORD_BYTES: usize = 16 << 10;
/// What fits into the buffers of a socket, so that one thread can play both ends.
const SOCKET_BYTES: usize = 64 << 10;
const ROUNDS: usize = 3;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let path = env::current_exe()?.with_extension("tmp");
    let measured = measure(&path);
    fs::remove_file(&path)?;
    println!("{:<42} {:>8}", "part", "s per GiB");
    let measured = measured?;
    for (name, time) in &measured {
        println!("{name:<42} {:>8.2}", time.as_secs_f64());
    }
    let sum: Duration = measured.iter().map(|(_, time)| *time).sum();
    println!("{:<42} {:>8.2}", "sum", sum.as_secs_f64());
    Ok(())
}

/// The best of some rounds of each: what the machine can do.
fn measure(path: &Path) -> Outcome<Vec<(&'static str, Duration)>> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let mut chunk = vec![0x5a; CHUNK_BYTES];
    let write = best(|| write(&mut file, &chunk))?;
    let read = best(|| read(&mut file, &mut chunk))?;
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[7; 16])?);
    let (encrypt, decrypt) = cipher(&key, &mut chunk)?;
    let copy = best(|| copy_through_socket(&chunk))?;
    let hash = best(|| {
        for number in 0..CHUNKS {
            black_box(hash_chunk(number, black_box(&chunk)));
        }
        Ok(())
    })?;
    Ok(vec![
        ("read from the page cache", read),
        ("encrypt (AES-128-GCM, records of 16 KiB)", encrypt),
        ("copy through the kernel, both ends", copy),
        ("decrypt", decrypt),
        ("hash (BLAKE3)", hash),
        ("write to the page cache", write),
    ])
}

fn best(mut part: impl FnMut() -> Outcome) -> Outcome<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        part()?;
        best = best.min(start.elapsed());
    }
    Ok(best)
}

/// Into new pages, as a download does. The old ones go with the old length.
fn write(file: &mut File, chunk: &[u8]) -> Outcome {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    Ok((0..CHUNKS).try_for_each(|_| file.write_all(chunk))?)
}

fn read(file: &mut File, chunk: &mut [u8]) -> Outcome {
    file.seek(SeekFrom::Start(0))?;
    Ok((0..CHUNKS).try_for_each(|_| file.read_exact(chunk))?)
}

/// What all chunks take to be encrypted, and to be decrypted again, each the best of some rounds.
fn cipher(key: &LessSafeKey, chunk: &mut [u8]) -> Outcome<(Duration, Duration)> {
    let mut best = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let (mut sealing, mut opening) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..CHUNKS {
            let start = Instant::now();
            let tags = seal(key, chunk)?;
            sealing += start.elapsed();
            let start = Instant::now();
            open(key, chunk, tags)?;
            opening += start.elapsed();
        }
        best = (best.0.min(sealing), best.1.min(opening));
    }
    Ok(best)
}

fn seal(key: &LessSafeKey, chunk: &mut [u8]) -> Outcome<Vec<Tag>> {
    let records = chunk.chunks_exact_mut(RECORD_BYTES);
    let tags = records.map(|record| key.seal_in_place_separate_tag(nonce(), Aad::empty(), record));
    Ok(tags.collect::<Result<_, _>>()?)
}

fn open(key: &LessSafeKey, chunk: &mut [u8], tags: Vec<Tag>) -> Outcome {
    for (record, tag) in chunk.chunks_exact_mut(RECORD_BYTES).zip(tags) {
        black_box(key.open_in_place_separate_tag(nonce(), Aad::empty(), tag, record, 0..)?);
    }
    Ok(())
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn copy_through_socket(chunk: &[u8]) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    let mut arrived = vec![0; SOCKET_BYTES];
    for _ in 0..CHUNKS {
        for part in chunk.chunks_exact(SOCKET_BYTES) {
            sender.write_all(part)?;
            receiver.read_exact(&mut arrived)?;
        }
    }
    Ok(())
}
