//! One guest's way in, from accept to its session's home.
//!
//! Invariants: each part of the way has its deadline; of what a guest sends, no more is kept than
//! the part it is at may need; a password does not outlive the question whether it is right.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use zeroize::{Zeroize, Zeroizing};

use super::super::authority::{Admitted, Caller, ClientName, Denied, Step};
use super::super::claims::Claims;
use super::super::layers::Layers;
use super::super::mailbox::{HandOff, ToShard};
use super::super::porch::{Entrant, Turned};
use super::super::socket::{Peer, Socket};
use super::super::tls::{Tls, name};
use super::super::totals::{HalfReceived, Place};
use super::refused::{Part, Refused, Stopped, no_http, no_tls};
use super::stream::Stream;
use super::{Desk, SOURCE_FULL, Ticket};
use crate::codec::proxy::{self, Address};
use crate::codec::websocket::{self, HttpError};
use crate::codec::{
    self, Auth, Connect, DecodeError, Framed, Packet, ReasonCode, Sender as From, UserProperties,
    Version,
};
use crate::config::{Protocol, Proxy};

/// How long a refused client may take to read why.
const REFUSAL: Duration = Duration::from_millis(500);
/// AUTH packets that an exchange may take; SCRAM takes one.
const AUTH_ROUNDS_MAX: usize = 4;

/// A connection on its way in.
pub(super) struct Guest {
    pub(super) desk: Rc<Desk>,
    pub(super) ticket: Ticket,
    pub(super) stream: Stream,
    pub(super) layers: Layers,
    /// Who calls; behind a proxy, whom that named.
    pub(super) peer: Peer,
    pub(super) part: Part,
    /// Read, and not used yet; perhaps a password.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) half_received: HalfReceived,
    /// Once its CONNECT is whole.
    pub(super) claims: Claims,
    certificate: Option<ClientName>,
    place: Place,
}

/// A guest that may come in.
struct Welcome {
    /// Without its secrets.
    connect: Vec<u8>,
    client_id: String,
    assigned: bool,
    admitted: Admitted,
}

impl Guest {
    pub(super) fn new(
        desk: Rc<Desk>,
        ticket: Ticket,
        socket: Socket,
        peer: Peer,
        place: Place,
    ) -> io::Result<Self> {
        let half_received = HalfReceived::new(&desk.porch.totals);
        Ok(Self {
            desk,
            ticket,
            stream: Stream::new(socket)?,
            layers: Layers::new(None),
            peer,
            part: Part::Connect,
            bytes: Zeroizing::default(),
            half_received,
            claims: Claims::default(),
            certificate: None,
            place,
        })
    }

    /// Its whole stay; `told` says when it has to go.
    pub(super) async fn receive(mut self, told: oneshot::Receiver<()>) {
        let way_in = tokio::select! {
            biased;
            way_in = self.way_in() => way_in,
            Ok(()) = told => Err(Refused::Evicted),
        };
        match way_in {
            Ok(welcome) => self.go_home(welcome),
            Err(refused) => {
                self.count_and_log(&refused);
                if !matches!(refused, Refused::Evicted) {
                    let _ = timeout(REFUSAL, self.say_goodbye(refused)).await;
                }
            }
        }
    }

    async fn way_in(&mut self) -> Result<Welcome, Refused> {
        let until = self.connect_deadline();
        let used = timeout_at(until, async {
            let rules = &self.ticket.way.entrance.rules;
            let until = Instant::now() + Duration::from_millis(rules.handshake_timeout_ms);
            let why = "handshake_timeout_ms is over";
            timeout_at(until, self.shake_hands()).await.unwrap_or(Err(Refused::Late(why)))?;
            self.part = Part::Connect;
            self.connect().await
        });
        let why = "no CONNECT within server.connect_timeout_ms";
        let used = used.await.unwrap_or(Err(Refused::Late(why)))?;
        // What came behind the CONNECT stays.
        let rest = Zeroizing::new(self.bytes.split_off(used));
        let mut connect = std::mem::replace(&mut self.bytes, rest);
        let entered = self.enter(&connect).await;
        forget_secrets(&mut connect);
        let (client_id, assigned, admitted) = entered?;
        let connect = std::mem::take(&mut *connect);
        Ok(Welcome { connect, client_id, assigned, admitted })
    }

    fn connect_deadline(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.desk.porch.connect_timeout_ms)
    }

    /// What comes before MQTT.
    async fn shake_hands(&mut self) -> Result<(), Refused> {
        let way = Rc::clone(&self.ticket.way);
        let rules = &way.entrance.rules;
        if rules.proxy != Proxy::Off {
            self.part = Part::Proxy;
            self.proxy().await?;
        }
        if let Some(tls) = &way.entrance.tls {
            self.part = Part::Tls;
            self.tls(tls).await?;
        }
        self.bytes = Zeroizing::new(self.stream.take_ahead());
        if rules.protocol == Protocol::Websocket {
            self.part = Part::Upgrade;
            self.upgrade().await?;
        }
        Ok(())
    }

    /// Who the proxy says that it is.
    async fn proxy(&mut self) -> Result<(), Refused> {
        let way = Rc::clone(&self.ticket.way);
        let rules = &way.entrance.rules;
        let used = loop {
            let header = proxy::parse(self.stream.ahead());
            match header.map_err(|error| Refused::Wrong(error.to_string()))? {
                Some(header) => {
                    let expected = match rules.proxy {
                        Proxy::V1 => header.version == 1,
                        Proxy::V2 => header.version == 2,
                        Proxy::Any | Proxy::Off => true,
                    };
                    if !expected {
                        let why = "the PROXY header is not of the listener's version";
                        return Err(Refused::Silently(why));
                    }
                    if let Some((address, port)) = header.source {
                        let address: IpAddr = match address {
                            Address::V4(bytes) => bytes.into(),
                            Address::V6(bytes) => bytes.into(),
                        };
                        self.peer = Peer::Ip((address, port).into());
                    }
                    if let Some(tls) = header.tls.filter(|tls| tls.verified) {
                        let name = name::of_proxy(tls.common_name, rules.user_from);
                        self.certificate = Some(name);
                    }
                    break header.used;
                }
                None => self.read_ahead().await?,
            }
        };
        self.stream.use_ahead(used);
        let totals = &self.desk.porch.totals;
        if let Err(why) = way.may_come(&self.peer) {
            totals.refused_sources.fetch_add(1, Relaxed);
            return Err(Refused::Silently(why));
        }
        if !self.ticket.from(&self.peer) {
            totals.refused_handshakes.fetch_add(1, Relaxed);
            return Err(Refused::Silently(SOURCE_FULL));
        }
        Ok(())
    }

    async fn tls(&mut self, tls: &Tls) -> Result<(), Refused> {
        if self.stream.ahead().is_empty() {
            self.read_ahead().await?;
        }
        if let Some(why) = no_tls(self.stream.ahead()) {
            return Err(Refused::Silently(why));
        }
        let accepting = TlsAcceptor::from(tls.current()).accept(&mut self.stream);
        let (_, connection) = accepting.await.map_err(|error| Part::tls(&error))?.into_inner();
        let shown = connection.peer_certificates().and_then(|chain| chain.first());
        if let Some(certificate) = shown {
            let user_from = self.ticket.way.entrance.rules.user_from;
            self.certificate = Some(name::of_certificate(certificate, user_from));
        }
        self.layers = Layers::new(Some(connection));
        Ok(())
    }

    async fn upgrade(&mut self) -> Result<(), Refused> {
        let way = Rc::clone(&self.ticket.way);
        let rules = &way.entrance.rules;
        let (answer, used) = loop {
            if let Some(why) = no_http(&self.bytes) {
                return Err(Refused::Http(HttpError { status: 400, what: why }));
            }
            let Some(request) = websocket::request(&self.bytes).map_err(Refused::Http)? else {
                self.read().await?;
                continue;
            };
            let refuse = |status, what| Err(Refused::Http(HttpError { status, what }));
            if rules.websocket_path.as_deref().is_some_and(|path| path != request.path) {
                return refuse(404, "the path is not the listener's websocket_path");
            }
            let listed = |origin| rules.origins.iter().any(|listed| listed.is(origin));
            if !rules.origins.is_empty() && request.origin.is_some_and(|origin| !listed(origin)) {
                return refuse(403, "origins does not name the page's origin");
            }
            break (websocket::accept(request.key, request.protocol), request.used);
        };
        self.write(&answer).await?;
        let behind = std::mem::take(&mut *self.bytes).split_off(used);
        self.layers.start_websocket(&behind);
        Ok(())
    }

    /// Waits for a whole CONNECT; returns how many bytes it takes.
    async fn connect(&mut self) -> Result<usize, Refused> {
        loop {
            let porch = Arc::clone(&self.desk.porch);
            if let Some(used) = porch.whole(&self.bytes).map_err(Refused::Mqtt)? {
                return Ok(used);
            }
            self.read().await?;
        }
    }

    /// Who it is, and whether it may come in.
    async fn enter(&mut self, connect: &[u8]) -> Result<(String, bool, Admitted), Refused> {
        let porch = Arc::clone(&self.desk.porch);
        let entrant = porch.receive(true, connect).map_err(|turned| {
            self.claims = Claims::read(connect);
            Refused::Mqtt(turned)
        })?;
        let Some(entrant) = entrant else {
            return Err(Refused::Silently("CONNECT is not whole")); // it was
        };
        self.claims = Claims::of(&entrant.connect, &entrant.client_id);
        let version = entrant.connect.version;
        let admitted = self.authenticate(&entrant).await.map_err(|refused| match refused {
            Stopped::Denied(Denied { reason, what }) => {
                Refused::Mqtt(Turned::Away(Some(version), DecodeError { reason, what }))
            }
            Stopped::Refused(refused) => refused,
        })?;
        Ok((entrant.client_id, entrant.assigned, admitted))
    }

    async fn authenticate(&mut self, entrant: &Entrant<'_>) -> Result<Admitted, Stopped> {
        let (certificate, peer) = (self.certificate.take(), self.peer);
        let caller = Caller {
            peer: &peer,
            listener: self.ticket.way.entrance.number,
            certificate: certificate.as_ref(),
            connect: &entrant.connect,
            client_id: &entrant.client_id,
        };
        let authority = Arc::clone(&self.desk.authority);
        let mut step = authority.authenticate(&caller).await?;
        for _ in 0..AUTH_ROUNDS_MAX {
            let (data, next) = match step {
                Step::Enter(admitted) => return Ok(admitted),
                Step::Challenge { data, next } => (data, next),
            };
            let until = self.connect_deadline();
            let answer = timeout_at(until, self.challenge(&entrant.connect, &data)).await;
            let why = "no AUTH within server.connect_timeout_ms";
            let answer = answer.unwrap_or(Err(Refused::Late(why)))?;
            step = authority.go_on(&caller, next, &answer).await?;
        }
        let (reason, what) = (ReasonCode::NotAuthorized, "the exchange of AUTH packets has no end");
        Err(Stopped::Denied(Denied { reason, what }))
    }

    /// Sends AUTH with `data`, and waits for the client's \[MQTT-4.12.0-2\], \[MQTT-4.12.0-3\].
    async fn challenge(&mut self, connect: &Connect<'_>, data: &[u8]) -> Result<Vec<u8>, Refused> {
        let method = connect.authentication_method;
        let auth = Auth {
            reason: ReasonCode::ContinueAuthentication,
            method,
            data: Some(data),
            reason_string: None,
            user_properties: UserProperties::default(),
        };
        let mut bytes = Vec::new();
        codec::encode(&Packet::Auth(auth), connect.version, &mut bytes);
        self.write(&bytes).await?;
        let away = |error| Refused::Mqtt(Turned::Away(Some(connect.version), error));
        loop {
            let max = self.desk.porch.connect_bytes_max;
            match codec::frame(&self.bytes, max).map_err(away)? {
                Framed::Whole(frame) => {
                    let used = frame.len;
                    let packet = codec::decode(frame, From::Client, connect.version);
                    let data = match packet.map_err(away)? {
                        Packet::Auth(auth) => answer_of(&auth, method).map_err(away)?,
                        Packet::Disconnect(_) => {
                            let why = "the client left instead of authenticating";
                            return Err(Refused::Mqtt(Turned::Left(why)));
                        }
                        _ => return Err(away(wrong("AUTH is expected [MQTT-3.1.2-30]"))),
                    };
                    self.bytes[..used].zeroize();
                    self.bytes.drain(..used);
                    return Ok(data);
                }
                Framed::Partial { .. } => self.read().await?,
            }
        }
    }

    /// The socket goes to its session's home, with every byte that is in hand.
    fn go_home(self, welcome: Welcome) {
        let Welcome { connect: mut bytes, client_id, assigned, admitted } = welcome;
        let Admitted { identity, ends, authentication, seat } = admitted;
        let entrance = &self.ticket.way.entrance;
        let is_bare = entrance.tls.is_none() && entrance.rules.protocol == Protocol::Mqtt;
        let (desk, mut place) = (self.desk, self.place);
        bytes.extend_from_slice(&self.bytes);
        place.sit(seat);
        let home = desk.porch.home_of(&client_id);
        let hand_off = HandOff {
            socket: self.stream.into_socket(),
            layers: (!is_bare).then(|| Box::new(self.layers)),
            peer: self.peer,
            bytes,
            client_id,
            assigned,
            safety: entrance.safety,
            place,
            identity,
            ends,
            authentication,
        };
        // A shard that is gone has been told to stop: the process ends.
        let _ = desk.shards[usize::from(home.0)].send(ToShard::HandOff(Box::new(hand_off)));
    }
}

/// The data of the client's AUTH. Its reason and method are given \[MQTT-4.12.0-3\],
/// \[MQTT-4.12.0-5\].
fn answer_of(auth: &Auth<'_>, method: Option<&str>) -> Result<Vec<u8>, DecodeError> {
    if auth.reason != ReasonCode::ContinueAuthentication {
        return Err(wrong("AUTH does not continue the authentication [MQTT-4.12.0-3]"));
    }
    if auth.method != method {
        return Err(wrong("AUTH has another method than CONNECT [MQTT-4.12.0-5]"));
    }
    Ok(auth.data.unwrap_or_default().to_vec())
}

fn wrong(what: &'static str) -> DecodeError {
    DecodeError { reason: ReasonCode::ProtocolError, what }
}

/// Overwrites password and authentication data in the bytes of a CONNECT: whose right they are is
/// settled, and nobody needs them any more.
fn forget_secrets(connect: &mut [u8]) {
    let start = connect.as_ptr().addr();
    let Ok(Framed::Whole(frame)) = codec::frame(connect, usize::MAX) else { return };
    let Ok(Packet::Connect(packet)) = codec::decode(frame, From::Client, Version::V5) else {
        return;
    };
    let place = |secret: &[u8]| (secret.as_ptr().addr() - start, secret.len());
    let secrets = [packet.password.map(place), packet.authentication_data.map(place)];
    for (at, len) in secrets.into_iter().flatten() {
        connect[at..at + len].zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connect_without_its_secrets() {
        let mut bytes = b"\x10\x2c\0\x04MQTT\x05\xc2\0\0\x11\x15\0\x05SCRAM\x16\0\x06secret\
            \0\x01c\0\x01u\0\x08password"
            .to_vec();
        forget_secrets(&mut bytes);
        let text = bytes.escape_ascii().to_string();
        assert!(text.contains("SCRAM") && !text.contains("secret") && !text.contains("word"));
        assert_eq!(bytes.len(), 46);
        let Ok(Framed::Whole(frame)) = codec::frame(&bytes, 100) else { panic!("{text}") };
        let Ok(Packet::Connect(c)) = codec::decode(frame, From::Client, Version::V5) else {
            panic!("{text}");
        };
        assert_eq!((c.user_name, c.password), (Some("u"), Some(&[0; 8][..])));
    }
}
