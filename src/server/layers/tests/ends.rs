//! How connections end: in order, without a word, and over what is broken.

use tungstenite::protocol::CloseFrame;

use super::*;
use crate::codec::ReasonCode;

#[test]
fn orderly_ends() {
    // The client's close_notify, with something before it.
    for version in [&version::TLS13, &version::TLS12] {
        let (mut host, mut client) = Host::new(Kind::Tls(version));
        let mut raw = client.encode(b"last");
        client.tls.as_mut().unwrap().send_close_notify();
        raw.extend(client.encode(b""));
        host.receive(&raw, usize::MAX);
        assert_eq!(host.got, b"last");
        assert!(matches!(host.end, Some(ReadEnd::Over(None))), "{:?}", host.end);
        // Its answers still go out, then our close_notify.
        host.sends.append(link(), |out| out.extend_from_slice(b"answer"));
        host.settle();
        host.c.shut(ReasonCode::Success);
        client.decode(&host.sent());
        assert_eq!(client.got, b"answer");
        assert!(client.tls_closed && host.c.shut);
    }
    // The client's close frame: the same code comes back.
    for kind in [Kind::WebSocket, Kind::Both] {
        let (mut host, mut client) = Host::new(kind);
        let mut raw = client.encode(b"last");
        let frame = CloseFrame { code: 4001.into(), reason: "done".into() };
        raw.extend(client.say(PeerMessage::Close(Some(frame))));
        host.receive(&raw, 1);
        assert_eq!(host.got, b"last");
        assert!(matches!(host.end, Some(ReadEnd::Over(None))), "{:?}", host.end);
        host.c.shut(ReasonCode::Success);
        let raw = host.sent();
        client.decode(&raw);
        assert_eq!(client.closed, Some(Some(4001)), "{kind:?}");
        assert!(kind == Kind::WebSocket || client.tls_closed);
    }
}

#[test]
fn our_ends() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        host.sends.append(link(), |out| out.extend_from_slice(b"bye"));
        host.settle();
        host.c.shut(ReasonCode::ServerShuttingDown);
        assert!(host.c.shut);
        client.decode(&host.sent());
        assert_eq!(client.got, b"bye", "{kind:?}");
        assert_eq!(client.tls_closed, client.tls.is_some(), "{kind:?}");
        let code = client.peer.is_some().then_some(Some(1001));
        assert_eq!(client.closed, code, "{kind:?}");
        assert!(matches!(host.client_socket.read(&mut [0]), Ok(0)), "{kind:?}: our side is shut");
    }
}

/// A socket that is full when it is to be closed: the last words wait for room.
#[test]
fn our_end_waits_for_room() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        let mut len = 0;
        // Until the layers have something that the socket does not take, or the outbox has.
        while !host.c.blocked {
            host.sends.append(link(), |out| out.extend_from_slice(&[1; 5000]));
            len += 5000;
            host.settle();
        }
        while host.sends.backlog(link()) > 0 {
            client.decode(&host.sent());
            host.settle();
        }
        host.c.shut(ReasonCode::Success);
        for _ in 0..100 {
            client.decode(&host.sent());
            host.settle();
            host.c.shut(ReasonCode::Success);
        }
        assert!(host.c.shut && client.got.len() == len, "{kind:?}");
        assert_eq!(client.tls_closed, client.tls.is_some(), "{kind:?}");
        assert_eq!(client.closed, client.peer.is_some().then_some(Some(1000)), "{kind:?}");
    }
}

#[test]
fn ends_without_a_word() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        let raw = client.encode(b"some");
        host.receive(&raw, usize::MAX);
        drop(std::mem::replace(&mut host.client_socket, UnixStream::pair().unwrap().0));
        host.settle();
        assert_eq!(host.got, b"some");
        match kind {
            Kind::WebSocket => assert!(matches!(host.end, Some(ReadEnd::Over(None)))),
            _ => assert!(host.error().contains("without close_notify"), "{kind:?}"),
        }
    }
}

/// What came before is handed out; then the peer is told.
#[test]
fn broken_records() {
    for kind in [Kind::Tls(&version::TLS13), Kind::Tls(&version::TLS12), Kind::Both] {
        for spoil in [0, 10, 20] {
            let (mut host, mut client) = Host::new(kind);
            let mut raw = client.encode(b"good");
            let mut bad = client.encode(b"a record that is spoiled");
            bad[spoil] ^= 0x80;
            raw.extend(bad);
            host.receive(&raw, usize::MAX);
            assert_eq!(host.got, b"good", "{kind:?}");
            assert!(
                matches!(host.end, Some(ReadEnd::Wrong(_))) && host.error().starts_with("TLS: ")
            );
            client.decode(&host.sent());
            let told = matches!(client.tls_error, Some(rustls::Error::AlertReceived(_)));
            assert!(told, "{kind:?}, {spoil}: {:?}", client.tls_error);
        }
    }
}

#[test]
fn broken_frames() {
    for kind in [Kind::WebSocket, Kind::Both] {
        for (frame, code, what) in [
            (&b"\x81\x84\0\0\0\0text"[..], 1003, "MQTT-6.0.0-1"),
            (b"\x82\x04MQTT", 1002, "without a mask"),
        ] {
            let (mut host, mut client) = Host::new(kind);
            let mut raw = client.encode(b"good");
            raw.extend(client.encrypt(frame));
            host.receive(&raw, usize::MAX);
            assert_eq!(host.got, b"good");
            assert!(host.error().contains(what), "{}", host.error());
            host.c.shut(ReasonCode::ProtocolError);
            client.decode(&host.sent());
            assert_eq!(client.closed, Some(Some(code)), "{kind:?}");
        }
    }
}
