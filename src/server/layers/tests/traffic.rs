//! Payload both ways, however it is cut and whoever is slow.

use super::*;

#[test]
fn one_byte_at_a_time() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        let payload = bytes(700);
        let raw = client.encode(&payload);
        host.receive(&raw[..raw.len() - 1], 1);
        let kept = host.c.kept_bytes();
        assert_eq!(kept > 0, matches!(kind, Kind::Tls(_) | Kind::Both), "{kind:?}: {kept}");
        host.receive(&raw[raw.len() - 1..], 1);
        assert!(host.got == payload && host.end.is_none(), "{kind:?}");
        assert_eq!(host.c.kept_bytes(), 0, "{kind:?}");
    }
}

#[test]
fn much_from_the_client_however_large_the_buffer_is() {
    for kind in KINDS {
        for room in [4096, 16_384, 40_000, 65_536, 1 << 20] {
            let (mut host, mut client) = Host::new(kind);
            host.room = room;
            let (large, mut sent) = (bytes(900_000), Vec::new());
            // Small records in between, so that many fit into one read.
            for piece in [&large[..], &large[..3], &large[..20_000]] {
                let raw = client.encode(piece);
                host.receive(&raw, usize::MAX);
                sent.extend_from_slice(piece);
            }
            let small: Vec<u8> = (0..2000).flat_map(|n| client.encode(&large[n..n + 30])).collect();
            host.receive(&small, usize::MAX);
            sent.extend((0..2000).flat_map(|n| large[n..n + 30].to_vec()));
            assert!(host.got == sent && host.end.is_none(), "{kind:?}, {room}");
            assert_eq!(host.c.kept_bytes(), 0, "{kind:?}, {room}");
        }
    }
}

/// A client that does not read, then does: what waits is bounded, and all of it arrives in order,
/// also when nothing is left in the outbox but with the layers.
#[test]
fn much_to_a_client_that_does_not_read_at_first() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        let (small, large) = (bytes(300), bytes(1_500_000));
        let mut expected = Vec::new();
        for n in 0..40 {
            host.sends.append(link(), |out| out.extend_from_slice(&small[n..]));
            expected.extend_from_slice(&small[n..]);
            if n % 15 == 0 {
                let payload = host.sends.refer(message(&large[n..]), false);
                host.sends.append_end(link(), payload);
                expected.extend_from_slice(&large[n..]);
            }
            host.settle();
        }
        assert!(host.c.blocked && host.sends.backlog(link()) > 0, "{kind:?}");
        if let Some(ping) = client.peer.is_some().then(|| PeerMessage::Ping(vec![7; 9].into())) {
            // In the middle of a frame: the pong waits for its end.
            let raw = client.say(ping);
            host.receive(&raw, usize::MAX);
        }
        host.drain(&mut client);
        assert!(client.got == expected, "{kind:?}: {} of {}", client.got.len(), expected.len());
        let has_pong = matches!(kind, Kind::WebSocket | Kind::Both);
        assert_eq!(client.pongs.len(), usize::from(has_pong), "{kind:?}");
        assert!(!has_pong || client.frames > 10, "frames are bounded");
    }
}

#[test]
fn what_waits_in_a_tunnel_is_flushed_with_an_empty_outbox() {
    let (mut host, mut client) = Host::new(Kind::Tls(&version::TLS13));
    let mut sent = 0;
    while !host.c.blocked {
        host.sends.append(link(), |out| out.extend_from_slice(&[5; 10_000]));
        sent += 10_000;
        host.settle();
    }
    assert_eq!(host.sends.backlog(link()), 0, "it is all with rustls");
    host.drain(&mut client);
    assert_eq!(client.got.len(), sent);
}

/// Many small packets of one pass are one record, but a frame each: paho C leaves the second packet
/// of a frame until more comes.
#[test]
fn one_record_for_a_pass() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        for _ in 0..1000 {
            host.sends.append(link(), |out| out.extend_from_slice(b"\x40\x02\0\x01"));
        }
        host.settle();
        let raw = host.sent();
        if client.tls.is_some() {
            let len = usize::from(u16::from_be_bytes([raw[3], raw[4]]));
            assert_eq!(len + 5, raw.len(), "{kind:?}");
        }
        client.decode(&raw);
        assert_eq!(client.got.len(), 4000, "{kind:?}");
        assert_eq!(client.frames, if client.peer.is_some() { 1000 } else { 0 }, "{kind:?}");
    }
}

/// A PUBLISH of QoS 0 to "t", up to its payload.
fn head_of(payload: usize) -> Vec<u8> {
    let (mut head, mut left) = (vec![0x30], payload + 3);
    while left >= 0x80 {
        head.push(left as u8 | 0x80);
        left >>= 7;
    }
    head.extend([left as u8, 0, 1, b't']);
    head
}

/// Whatever their lengths, packets come whole and in order, and no frame has more than one.
#[test]
fn a_packet_is_a_frame_or_several() {
    let lengths = [0, 4_090, 4_091, 9, 4_092, 300_000, 4, 262_137, 262_138, 600_000, 2_000, 12];
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        let (mut wanted, mut frames) = (Vec::new(), 0);
        for (n, len) in lengths.into_iter().enumerate() {
            let (head, payload) = (head_of(len), vec![n as u8; len]);
            frames += (head.len() + len).div_ceil(FRAME_BYTES_MAX);
            wanted.extend_from_slice(&head);
            wanted.extend_from_slice(&payload);
            host.sends.append(link(), |out| out.extend_from_slice(&head));
            if n % 2 == 0 {
                host.sends.append(link(), |out| out.extend_from_slice(&payload));
            } else {
                let payload = host.sends.refer(message(&payload), false);
                host.sends.append_end(link(), payload);
            }
        }
        host.drain(&mut client);
        assert!(client.got == wanted, "{kind:?}");
        assert_eq!(client.frames, if client.peer.is_some() { frames } else { 0 }, "{kind:?}");
    }
}

#[test]
fn keys_are_updated_by_the_client() {
    let (mut host, mut client) = Host::new(Kind::Tls(&version::TLS13));
    for n in 0..5 {
        let payload = [n; 100];
        let mut raw = client.encode(&payload);
        client.tls.as_mut().unwrap().refresh_traffic_keys().unwrap();
        raw.extend(client.encode(&payload));
        host.receive(&raw, 77);
        host.sends.append(link(), |out| out.extend_from_slice(&payload));
        host.drain(&mut client);
    }
    assert_eq!((host.got.len(), client.got.len()), (1000, 500));
    assert!(host.end.is_none() && client.tls_error.is_none());
}

/// What was read before the hand-off never makes the socket readable.
#[test]
fn what_is_in_hand_comes_first() {
    for kind in KINDS {
        let (mut client, mut server) = Client::new(kind);
        let payload = bytes(12_000);
        let (mut raw, mut rest) = (client.encode(&payload), Vec::new());
        let later = raw.split_off(raw.len() - 10); // of the last record, a part is there
        match &mut server {
            None => rest = raw,
            Some(server) => {
                let mut raw = &raw[..];
                while !raw.is_empty() {
                    server.read_tls(&mut raw).unwrap();
                    server.process_new_packets().unwrap();
                }
                if kind == Kind::Both {
                    let _ = server.reader().read_to_end(&mut rest);
                }
            }
        }
        let mut host = Host::with(kind, server, &rest);
        host.room = 5000;
        assert!(host.c.readable, "{kind:?}");
        host.settle();
        let whole = kind == Kind::WebSocket;
        assert!(!whole || host.got.len() == payload.len() - 10, "{kind:?}");
        host.receive(&later, usize::MAX);
        assert!(host.got == payload && host.end.is_none(), "{kind:?}");
    }
}

/// A read that does not ask the socket leaves its news unread.
#[test]
fn news_while_something_is_in_hand() {
    let (mut host, mut client) = Host::new(Kind::Tls(&version::TLS13));
    let raw = client.encode(&bytes(8192));
    host.client_socket.write_all(&raw).unwrap();
    let mut buffer = [0; 4096];
    while matches!(host.c.read(&mut buffer), ReadEnd::Pending) {}
    assert_eq!(host.c.kept_bytes(), 4096, "what is in hand fills the buffer");
    let raw = client.encode(b"x");
    host.client_socket.write_all(&raw).unwrap();
    assert!(matches!(host.c.read(&mut buffer), ReadEnd::Bytes(4096)));
    assert!(host.c.readable);
    assert!(matches!(host.c.read(&mut buffer), ReadEnd::Bytes(1)));
    assert!(!host.c.readable);
}

#[test]
fn answers_of_the_porch() {
    for kind in KINDS {
        let (mut host, mut client) = Host::new(kind);
        host.c.write_last(b"refused");
        client.decode(&host.sent());
        assert_eq!(client.got, b"refused", "{kind:?}");
    }
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<WebSocket>() <= 168, "{}", size_of::<WebSocket>());
    assert!(size_of::<Layers>() <= 64, "{}", size_of::<Layers>());
}

/// Not for every day: run it alone, with the number that it prints in mind.
#[test]
#[ignore = "measures the memory of the process"]
fn memory_of_idle_connections() {
    const COUNT: usize = 1500;
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let (socket, mut buffer, large) = (Socket::from(ours), vec![0; 262_144], bytes(16_000));
    for kind in KINDS {
        let mut make = || {
            let (mut client, tls) = Client::new(kind);
            let mut layers = Box::new(Layers::new(tls));
            if matches!(kind, Kind::WebSocket | Kind::Both) {
                layers.start_websocket(b"");
            }
            // After some traffic, both ways.
            let mut raw = client.encode(&large);
            raw.extend((0..200).flat_map(|n| client.encode(&large[n..n + 40])));
            theirs.write_all(&raw).unwrap();
            while layers.in_hand() {
                let _ = layers.read(&socket, &mut buffer);
            }
            assert!(layers.write_plain(&socket, &large).unwrap() && layers.kept_bytes() == 0);
            while theirs.read(&mut buffer).is_ok() {}
            layers.left = Left::More;
            layers
        };
        drop((0..50).map(|_| make()).collect::<Vec<_>>());
        let before = resident();
        let layers: Vec<_> = (0..COUNT).map(|_| make()).collect();
        eprintln!("{kind:?}: {} bytes each", resident().saturating_sub(before) / COUNT);
        std::mem::forget(layers); // so that the next kind finds no free memory
    }
}
