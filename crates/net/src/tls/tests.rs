//! Real sockets on the loopback: who gets in, who does not, and what hostile peers cost.

use std::{future::Future, net::Ipv4Addr};

use rustls::{
    ClientConnection, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn key(seed: u8) -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed([seed; 32]))
}

async fn listen(seed: u8) -> (Box<dyn Listener>, Endpoint) {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = Tls.listen(&key(seed), at).await.unwrap();
    let to = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: listener.local().port(),
    };
    (listener, to)
}

/// A pair of ends, dialled by key 1 and accepted by key 2.
async fn pair() -> (Stream, Stream) {
    let (listener, to) = listen(2).await;
    let me = key(1);
    let (dialled, accepted) = tokio::join!(Tls.dial(&me, &to, Some(key(2).peer_id())), listener.accept());
    (dialled.unwrap(), accepted.unwrap())
}

/// Waits for what must come within half a minute.
async fn soon<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), what)
        .await
        .expect("in time")
}

/// Waits for it while the listener listens, which must let nobody in.
async fn kept_out<F: Future>(listener: &dyn Listener, what: F) -> F::Output {
    soon(async {
        tokio::select! {
            biased;
            accepted = listener.accept() => panic!("let in: {}", accepted.unwrap().peer),
            output = what => output,
        }
    })
    .await
}

#[tokio::test]
async fn both_sides_see_each_others_keys_and_bytes() {
    let (mut a, mut b) = pair().await;
    assert_eq!(a.peer, key(2).peer_id());
    assert_eq!(b.peer, key(1).peer_id());
    a.writer.write_all(b"there").await.unwrap();
    a.writer.flush().await.unwrap();
    b.writer.write_all(b"and back").await.unwrap();
    b.writer.shutdown().await.unwrap();
    let mut there = [0; 5];
    soon(b.reader.read_exact(&mut there)).await.unwrap();
    assert_eq!(&there, b"there");
    let mut back = Vec::new();
    soon(a.reader.read_to_end(&mut back)).await.unwrap();
    assert_eq!(back, b"and back");
}

#[tokio::test]
async fn much_goes_both_ways_at_the_same_time() {
    let (a, b) = pair().await;
    let data: Arc<Vec<u8>> = Arc::new((0..251).cycle().take(3_000_017).collect());
    let run = |stream: Stream| {
        let data = Arc::clone(&data);
        async move {
            let Stream {
                mut reader,
                mut writer,
                ..
            } = stream;
            let sent = Arc::clone(&data);
            let send = async move {
                for piece in sent.chunks(77_777) {
                    writer.write_all(piece).await.unwrap();
                }
                writer.shutdown().await.unwrap();
            };
            let mut got = Vec::new();
            let (_, read) = tokio::join!(send, reader.read_to_end(&mut got));
            read.unwrap();
            assert!(got == *data, "the same bytes");
        }
    };
    soon(async { tokio::join!(run(a), run(b)) }).await;
}

#[tokio::test]
async fn another_key_than_the_expected_one_is_denied_and_gets_nothing() {
    let (listener, to) = listen(2).await;
    let me = key(1);
    let denied = kept_out(&*listener, Tls.dial(&me, &to, Some(key(3).peer_id()))).await;
    assert_eq!(denied.err().unwrap().kind(), io::ErrorKind::PermissionDenied);
    assert_open(&*listener, &to).await;
}

#[tokio::test]
async fn a_cut_connection_is_an_error_and_not_an_end() {
    let (mut a, b) = pair().await;
    drop(b);
    let mut rest = Vec::new();
    let error = soon(a.reader.read_to_end(&mut rest)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn dialling_nobody_fails_and_a_name_with_several_addresses_finds_the_right_one() {
    let nobody = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: 1,
    };
    assert!(soon(Tls.dial(&key(1), &nobody, None)).await.is_err());
    let (listener, mut to) = listen(2).await;
    to.host = "localhost".to_owned();
    let me = key(1);
    let (dialled, accepted) = soon(async { tokio::join!(Tls.dial(&me, &to, None), listener.accept()) }).await;
    assert!(dialled.is_ok() && accepted.is_ok());
}

#[tokio::test(start_paused = true)]
async fn dialling_a_silent_host_gives_up_within_ten_seconds() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = Endpoint {
        host: "127.0.0.1".to_owned(),
        port: silent.local_addr().unwrap().port(),
    };
    let start = Instant::now();
    let error = Tls.dial(&key(1), &to, None).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert!(start.elapsed() <= Duration::from_secs(10));
}

/// Somebody honest still gets in.
async fn assert_open(listener: &dyn Listener, to: &Endpoint) {
    let me = key(9);
    let (dialled, accepted) = soon(async { tokio::join!(Tls.dial(&me, to, None), listener.accept()) }).await;
    dialled.unwrap();
    assert_eq!(accepted.unwrap().peer, key(9).peer_id());
}

#[tokio::test]
async fn garbage_before_tls_is_cut_off() {
    let (listener, to) = listen(2).await;
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0; 4096],
        &[0xff; 4096],
        // A handshake record that announces 16 MiB of hello.
        &[0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff],
    ];
    for bytes in garbage {
        let mut tcp = TcpStream::connect(listener.local()).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // At most an alert, and then the end; a reset is as good.
        let _ = kept_out(&*listener, tcp.read_to_end(&mut answer)).await;
        assert!(answer.len() < 64, "{} bytes for {bytes:?}", answer.len());
    }
    assert_open(&*listener, &to).await;
}

#[tokio::test]
async fn garbage_inside_the_connection_is_an_error() {
    let (listener, _) = listen(2).await;
    let config = identity::client_config(&key(1), None).unwrap();
    let mut tcp = TcpStream::connect(listener.local()).await.unwrap();
    let mut session = Session::client(config).unwrap();
    let handshake = async {
        while !session.handshake().unwrap() {
            tcp.write_all(session.outgoing.filled()).await.unwrap();
            session.outgoing.consume(session.outgoing.len());
            let room = session.incoming_room().unwrap();
            let count = tcp.read(room).await.unwrap();
            session.arrived(count, false);
        }
        tcp.write_all(session.outgoing.filled()).await.unwrap();
    };
    let ((), accepted) = soon(async { tokio::join!(handshake, listener.accept()) }).await;
    let mut accepted = accepted.unwrap();
    tcp.write_all(&[&[23, 3, 3, 0, 64][..], &[7; 64]].concat())
        .await
        .unwrap();
    let mut read = [0; 16];
    let error = soon(accepted.reader.read(&mut read)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
}

/// Connects with a blocking rustls client of this configuration and reads until the end.
async fn handshake_fails(listener: &dyn Listener, config: ClientConfig) {
    let at = listener.local();
    let outcome = tokio::task::spawn_blocking(move || {
        let name = rustls::pki_types::ServerName::try_from("skep.invalid").unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(session, std::net::TcpStream::connect(at).unwrap());
        io::Read::read(&mut stream, &mut [0; 16])
    });
    assert!(kept_out(listener, outcome).await.unwrap().is_err());
}

#[tokio::test]
async fn another_protocol_or_none_is_refused() {
    let (listener, to) = listen(2).await;
    for alpn in [vec![], vec![b"h2".to_vec()]] {
        let mut config = identity::client_config(&key(1), None).unwrap();
        config.alpn_protocols = alpn;
        handshake_fails(&*listener, config).await;
    }
    assert_open(&*listener, &to).await;
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ED25519]
    }
}

#[tokio::test]
async fn a_client_with_certificates_or_without_a_key_is_refused() {
    let (listener, to) = listen(2).await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = vec![skep_wire::message::ALPN.to_vec()];
    handshake_fails(&*listener, config).await;
    assert_open(&*listener, &to).await;
}

#[tokio::test]
async fn a_flood_of_silent_connections_keeps_nobody_out() {
    let (listener, to) = listen(2).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        let mut tcp = TcpStream::connect(listener.local()).await.unwrap();
        tcp.write_all(&[0x16]).await.unwrap();
        silent.push(tcp);
    }
    assert_open(&*listener, &to).await;
}

#[tokio::test]
async fn a_dropped_listener_listens_no_more() {
    let (listener, to) = listen(2).await;
    drop(listener);
    let refused = async {
        while TcpStream::connect(("127.0.0.1", to.port)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon(refused).await;
}
