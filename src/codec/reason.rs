//! Reason Codes (section 2.4): their numbers, names, packets, and what 3.x has in their place.
//!
//! May use: `core` alone. Invariant: [`ReasonCode::from_u8`] knows exactly the codes of the
//! specification's table, and `as_u8` is its inverse.

use std::fmt;

/// A Reason Code; 0x00 means Success, Normal disconnection or Granted QoS 0, by packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ReasonCode {
    /// 0x00
    #[default]
    Success = 0x00,
    /// 0x01
    GrantedQoS1 = 0x01,
    /// 0x02
    GrantedQoS2 = 0x02,
    /// 0x04
    DisconnectWithWillMessage = 0x04,
    /// 0x10
    NoMatchingSubscribers = 0x10,
    /// 0x11
    NoSubscriptionExisted = 0x11,
    /// 0x18
    ContinueAuthentication = 0x18,
    /// 0x19
    ReAuthenticate = 0x19,
    /// 0x80
    UnspecifiedError = 0x80,
    /// 0x81
    MalformedPacket = 0x81,
    /// 0x82
    ProtocolError = 0x82,
    /// 0x83
    ImplementationSpecificError = 0x83,
    /// 0x84
    UnsupportedProtocolVersion = 0x84,
    /// 0x85
    ClientIdentifierNotValid = 0x85,
    /// 0x86
    BadUserNameOrPassword = 0x86,
    /// 0x87
    NotAuthorized = 0x87,
    /// 0x88
    ServerUnavailable = 0x88,
    /// 0x89
    ServerBusy = 0x89,
    /// 0x8A
    Banned = 0x8A,
    /// 0x8B
    ServerShuttingDown = 0x8B,
    /// 0x8C
    BadAuthenticationMethod = 0x8C,
    /// 0x8D
    KeepAliveTimeout = 0x8D,
    /// 0x8E
    SessionTakenOver = 0x8E,
    /// 0x8F
    TopicFilterInvalid = 0x8F,
    /// 0x90
    TopicNameInvalid = 0x90,
    /// 0x91
    PacketIdentifierInUse = 0x91,
    /// 0x92
    PacketIdentifierNotFound = 0x92,
    /// 0x93
    ReceiveMaximumExceeded = 0x93,
    /// 0x94
    TopicAliasInvalid = 0x94,
    /// 0x95
    PacketTooLarge = 0x95,
    /// 0x96
    MessageRateTooHigh = 0x96,
    /// 0x97
    QuotaExceeded = 0x97,
    /// 0x98
    AdministrativeAction = 0x98,
    /// 0x99
    PayloadFormatInvalid = 0x99,
    /// 0x9A
    RetainNotSupported = 0x9A,
    /// 0x9B
    QoSNotSupported = 0x9B,
    /// 0x9C
    UseAnotherServer = 0x9C,
    /// 0x9D
    ServerMoved = 0x9D,
    /// 0x9E
    SharedSubscriptionsNotSupported = 0x9E,
    /// 0x9F
    ConnectionRateExceeded = 0x9F,
    /// 0xA0
    MaximumConnectTime = 0xA0,
    /// 0xA1
    SubscriptionIdentifiersNotSupported = 0xA1,
    /// 0xA2
    WildcardSubscriptionsNotSupported = 0xA2,
}

/// Every code there is, with its name in the specification.
const NAMES: [(ReasonCode, &str); 43] = {
    use ReasonCode::*;
    [
        (Success, "Success"),
        (GrantedQoS1, "Granted QoS 1"),
        (GrantedQoS2, "Granted QoS 2"),
        (DisconnectWithWillMessage, "Disconnect with Will Message"),
        (NoMatchingSubscribers, "No matching subscribers"),
        (NoSubscriptionExisted, "No subscription existed"),
        (ContinueAuthentication, "Continue authentication"),
        (ReAuthenticate, "Re-authenticate"),
        (UnspecifiedError, "Unspecified error"),
        (MalformedPacket, "Malformed Packet"),
        (ProtocolError, "Protocol Error"),
        (ImplementationSpecificError, "Implementation specific error"),
        (UnsupportedProtocolVersion, "Unsupported Protocol Version"),
        (ClientIdentifierNotValid, "Client Identifier not valid"),
        (BadUserNameOrPassword, "Bad User Name or Password"),
        (NotAuthorized, "Not authorized"),
        (ServerUnavailable, "Server unavailable"),
        (ServerBusy, "Server busy"),
        (Banned, "Banned"),
        (ServerShuttingDown, "Server shutting down"),
        (BadAuthenticationMethod, "Bad authentication method"),
        (KeepAliveTimeout, "Keep Alive timeout"),
        (SessionTakenOver, "Session taken over"),
        (TopicFilterInvalid, "Topic Filter invalid"),
        (TopicNameInvalid, "Topic Name invalid"),
        (PacketIdentifierInUse, "Packet Identifier in use"),
        (PacketIdentifierNotFound, "Packet Identifier not found"),
        (ReceiveMaximumExceeded, "Receive Maximum exceeded"),
        (TopicAliasInvalid, "Topic Alias invalid"),
        (PacketTooLarge, "Packet too large"),
        (MessageRateTooHigh, "Message rate too high"),
        (QuotaExceeded, "Quota exceeded"),
        (AdministrativeAction, "Administrative action"),
        (PayloadFormatInvalid, "Payload format invalid"),
        (RetainNotSupported, "Retain not supported"),
        (QoSNotSupported, "QoS not supported"),
        (UseAnotherServer, "Use another server"),
        (ServerMoved, "Server moved"),
        (SharedSubscriptionsNotSupported, "Shared Subscriptions not supported"),
        (ConnectionRateExceeded, "Connection rate exceeded"),
        (MaximumConnectTime, "Maximum connect time"),
        (SubscriptionIdentifiersNotSupported, "Subscription Identifiers not supported"),
        (WildcardSubscriptionsNotSupported, "Wildcard Subscriptions not supported"),
    ]
};

/// The code of each byte.
const CODES: [Option<ReasonCode>; 256] = {
    let mut codes = [None; 256];
    let mut i = 0;
    while i < NAMES.len() {
        codes[NAMES[i].0 as usize] = Some(NAMES[i].0);
        i += 1;
    }
    codes
};

impl ReasonCode {
    /// The code that `byte` stands for, if the specification has one.
    pub const fn from_u8(byte: u8) -> Option<Self> {
        CODES[byte as usize]
    }

    /// The byte on the wire.
    pub const fn as_u8(self) -> u8 {
        self as u8
    }

    /// Whether it says that something failed: 0x80 and above (section 2.4).
    pub const fn is_error(self) -> bool {
        self.as_u8() >= 0x80
    }

    /// The name that the specification gives it. 0x00 has three, and is called "Success" here.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(code, _)| *code == self).map_or("", |(_, name)| name)
    }

    /// The CONNACK return code of MQTT 3.1 and 3.1.1 (their section 3.2.2.3) that comes nearest.
    /// What another attempt will not heal is 5 (not authorized), as clients come back at 3.
    pub const fn connack_return_code(self) -> u8 {
        use ReasonCode::*;
        match self {
            code if !code.is_error() => 0,
            UnsupportedProtocolVersion => 1,
            ClientIdentifierNotValid => 2,
            BadUserNameOrPassword => 4,
            NotAuthorized | Banned | BadAuthenticationMethod => 5,
            MalformedPacket | ProtocolError | TopicNameInvalid | PacketTooLarge => 5,
            PayloadFormatInvalid | RetainNotSupported | QoSNotSupported => 5,
            _ => 3,
        }
    }

    /// The code that a CONNACK return code of MQTT 3.1 and 3.1.1 stands for.
    pub const fn from_connack_return_code(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Success),
            1 => Some(Self::UnsupportedProtocolVersion),
            2 => Some(Self::ClientIdentifierNotValid),
            3 => Some(Self::ServerUnavailable),
            4 => Some(Self::BadUserNameOrPassword),
            5 => Some(Self::NotAuthorized),
            _ => None,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
